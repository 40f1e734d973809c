"""The Celery application: wake-ups only, so nothing in the broker is worth keeping.

Due times, leases and results are rows. A task that is lost, doubled or late changes nothing but when
the work starts: tasks are acknowledged early, never retried and never scheduled ahead.
"""

import os

from celery import Celery
from celery.signals import worker_init, worker_ready, worker_shutting_down

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "emailsync.settings")

app = Celery("emailsync")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["mailboxes"])


@worker_init.connect
def refuse_unsafe_start(**_: object) -> None:
    """End before any work when the key ring is wrong: Celery does not obey Django's checks by itself."""
    import django

    django.setup()
    from django.conf import settings

    from emailsync import checks

    checks.refuse_unsafe_start()
    if settings.CELERY_BROKER_URL.startswith("filesystem:"):
        # Whoever removed the folder removed wake-ups only; rows stay due.
        (settings.BROKER_DIR / "control").mkdir(parents=True, exist_ok=True, mode=0o700)


@worker_ready.connect
def start_ticker(**_: object) -> None:
    """Start this worker's clock once the worker can take tasks."""
    from emailsync.ticker import start

    start()


@worker_shutting_down.connect
def stop_ticker(**_: object) -> None:
    """Stop handing out work before the pool drains."""
    from emailsync.ticker import stop

    stop()
