"""The Celery application: wake-ups only, so nothing in the broker is worth keeping.

Due times, leases and results are rows. A task that is lost, doubled or late changes nothing but when
the work starts: tasks are acknowledged early, never retried and never scheduled ahead.
"""

import gc
import os
import time
import uuid
from pathlib import Path
from typing import Any

from celery import Celery
from celery.signals import worker_init, worker_ready, worker_shutting_down
from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.utils.json import dumps

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "emailsync.settings")
# Django's own checks would load every page of the console; those that matter here are asked below.
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")


class FolderChannel(filesystem.Channel):
    """kombu's folder of messages, with messages that appear whole and without files of bindings.

    kombu's own opens a file first and writes it later; whoever reads in between finds nothing where JSON
    belongs, and ends. Every queue here has an exchange of its own name, so bindings need no files.
    """

    def get_table(self, exchange: str) -> list[tuple[str, str, str]]:  # type: ignore[override]  # kombu's own classes disagree
        """Return the one queue that is bound to an exchange."""
        return [filesystem.exchange_queue_t(exchange, "", exchange)]

    def _queue_bind(self, exchange: str, routing_key: str | None, pattern: str | None, queue: str) -> None:
        """Write nothing: the names say it."""

    def _put(self, queue: str, payload: dict[str, Any], **_: Any) -> None:  # type: ignore[override]  # see above
        """Write a message beside the queue and move it in by one rename."""
        name = f"{round(time.monotonic() * 1000)}_{uuid.uuid4()}"
        folder = Path(self.data_folder_out)
        unfinished = folder / f"{name}.unfinished"
        try:
            unfinished.write_text(dumps(payload))
            unfinished.rename(folder / f"{name}.{queue}.msg")
        except OSError:
            # The disk is full. It is tried again and again, and nobody would ever clear these away.
            unfinished.unlink(missing_ok=True)
            raise


class FolderTransport(filesystem.Transport):
    """The embedded broker."""

    Channel = FolderChannel


TRANSPORT_ALIASES["filesystem"] = "emailsync.celery:FolderTransport"

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

    # What is loaded by now stays for good: nobody needs to look through it for what may go.
    gc.collect()
    gc.freeze()
    # A batch of mail is thousands of objects that live on: looking through them for every 700 takes time.
    gc.set_threshold(10_000)
    start()


@worker_shutting_down.connect
def stop_ticker(**_: object) -> None:
    """Stop handing out work before the pool drains."""
    from emailsync.ticker import stop

    stop()
