"""What a worker carries about: its memory is multiplied by the number of workers."""

import subprocess
import sys

import pytest
from django.conf import settings

LOAD = """
import sys
from emailsync.management import worker
worker.app.loader.init_worker()
worker.app.Worker
import emailsync.ticker
print(*sys.modules)
"""


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """Return the modules that a worker has loaded when it begins to work."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD], cwd=settings.BASE_DIR, capture_output=True, check=True
    )
    return set(done.stdout.decode().split())


def test_a_worker_has_its_tasks(loaded: set[str]) -> None:
    """Whatever it leaves out, it can work."""
    assert {"mailboxes.tasks", "mailboxes.engine.syncing", "celery.apps.worker"} <= loaded


@pytest.mark.parametrize(
    "unneeded",
    ["emailsync.urls", "mailboxes.views", "profiles.forms", "spnego", "dns", "oauthlib", "prompt_toolkit"],
)
def test_a_worker_loads_nothing_that_it_may_never_need(loaded: set[str], unneeded: str) -> None:
    """Screens, and libraries for few mailboxes, are loaded when they are needed."""
    assert unneeded not in loaded
