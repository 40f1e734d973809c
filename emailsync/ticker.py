"""The clock that every worker runs: twice a second it hands out what is due.

Several tickers need no agreement: a row is handed out by the one whose UPDATE changed it. A database that
does not answer, or a broker that does not take a wake-up, is tried again at the next tick; the rows stay
due. Before its first tick it waits for the tables of this version, so that nothing is begun without them.
"""

import logging
import os
import signal
import threading
from datetime import datetime

from celery import Task
from django.conf import settings
from django.db import DatabaseError, InterfaceError, close_old_connections
from django.db.models import Model
from django.utils import timezone
from kombu.exceptions import OperationalError

from emailsync.web import upgrading
from mailboxes import searching, tasks
from mailboxes.choices import Direction
from mailboxes.engine import heartbeat, scheduling
from mailboxes.models import Detection, Diagnosis, Job, OAuthToken, OAuthVisit, WorkerState

log = logging.getLogger(__name__)

TASKS: dict[type[Model], "Task[..., None]"] = {
    Diagnosis: tasks.diagnose,
    Detection: tasks.detect,
    Job: tasks.run_job,
    OAuthVisit: tasks.exchange_code,
    OAuthToken: tasks.look_after_token,
}
#: Longest pause between two ticks while the database or the broker is away.
LONGEST_PAUSE = 10.0


class Ticker(threading.Thread):
    """One worker's clock."""

    def __init__(self) -> None:
        """Prepare a daemon thread: it must never keep a worker alive."""
        super().__init__(name="ticker", daemon=True)
        self._stop_event = threading.Event()

    def run(self) -> None:
        """Tick until told to stop.

        A worker whose clock ends otherwise, for want of memory say, would hand out nothing more and look
        well. It ends as well, and is started again.
        """
        try:
            self._keep_ticking()
        finally:
            if not self._stop_event.is_set():
                log.critical("The clock has stopped, and so does its worker.")
                os.kill(os.getpid(), signal.SIGTERM)

    def _keep_ticking(self) -> None:
        """Tick; after a failure, pause longer each time."""
        pause = settings.TICK
        ticked: datetime | None = None
        while not self._stop_event.wait(pause):
            try:
                now = timezone.now()
                if ticked is None:
                    close_old_connections()
                    upgrading.require_tables()
                # At the start, and whenever the clock is put back.
                if ticked is None or now < ticked:
                    scheduling.forget_future(now)
                ticked = now
                tick()
                pause = settings.TICK
            except (DatabaseError, InterfaceError, OperationalError, OSError) as error:
                pause = min(pause * 2, LONGEST_PAUSE)
                cause = f"The database or the broker does not answer: {error}"
                if upgrading.is_of_another_version(error):
                    cause = upgrading.MIGRATE
                log.warning("Trying again in %.0f s. %s", pause, cause)
        close_old_connections()

    def stop(self) -> None:
        """Ask the clock to end after the current tick."""
        self._stop_event.set()


def tick() -> None:
    """Hand out everything that is due now."""
    close_old_connections()
    now = timezone.now()
    heartbeat.beat(now)
    for model in scheduling.kinds_due(now):
        for row in scheduling.claim_due(model, now=now):
            _send(_task_for(row), row.pk if isinstance(row.pk, int) else str(row.pk))
    if searching.is_behind():
        _send(tasks.index_emails)


def _task_for(row: Model) -> "Task[..., None]":
    if isinstance(row, WorkerState):
        return tasks.sync_mailbox if row.direction == Direction.INCOMING else tasks.deliver
    return TASKS[type(row)]


def _send(task: "Task[..., None]", *arguments: int | str) -> None:
    """Send one wake-up, void once what it is about is handed out anew.

    Raises kombu's OperationalError when the broker is away.
    """
    task.apply_async(args=arguments, retry=False, expires=scheduling.WAKE_UP_PATIENCE.total_seconds())


_ticker = Ticker()


def start() -> None:
    """Start this process's clock, once."""
    if not _ticker.is_alive():
        _ticker.start()


def stop() -> None:
    """Stop this process's clock."""
    _ticker.stop()
