"""The clock that every worker runs: twice a second it hands out what is due.

Several tickers need no agreement: a row is handed out by the one whose UPDATE changed it. A database that
does not answer, or a broker that does not take a wake-up, is tried again at the next tick; the rows stay
due.
"""

import logging
import threading

from celery import Task
from django.conf import settings
from django.db import DatabaseError, InterfaceError, close_old_connections
from django.utils import timezone
from kombu.exceptions import OperationalError

from mailboxes import searching, tasks
from mailboxes.choices import Direction
from mailboxes.engine import heartbeat, scheduling
from mailboxes.models import Detection, Diagnosis, Job, OAuthToken, OAuthVisit, WorkerState

log = logging.getLogger(__name__)

#: Longest pause between two ticks while the database or the broker is away.
LONGEST_PAUSE = 10.0


class Ticker(threading.Thread):
    """One worker's clock."""

    def __init__(self) -> None:
        """Prepare a daemon thread: it must never keep a worker alive."""
        super().__init__(name="ticker", daemon=True)
        self._stop_event = threading.Event()

    def run(self) -> None:
        """Tick until told to stop; after a failure, pause longer each time."""
        pause = settings.TICK
        while not self._stop_event.wait(pause):
            try:
                tick()
                pause = settings.TICK
            except (DatabaseError, InterfaceError, OperationalError, OSError) as error:
                pause = min(pause * 2, LONGEST_PAUSE)
                log.warning(
                    "The database or the broker does not answer; trying again in %.0f s: %s", pause, error
                )
        close_old_connections()

    def stop(self) -> None:
        """Ask the clock to end after the current tick."""
        self._stop_event.set()


def tick() -> None:
    """Hand out everything that is due now."""
    close_old_connections()
    now = timezone.now()
    heartbeat.beat(now)
    for diagnosis in scheduling.claim_due(Diagnosis, now=now):
        _send(tasks.diagnose, diagnosis.pk)
    for detection in scheduling.claim_due(Detection, now=now):
        _send(tasks.detect, str(detection.pk))
    for job in scheduling.claim_due(Job, now=now):
        _send(tasks.run_job, job.pk)
    for visit in scheduling.claim_due(OAuthVisit, now=now):
        _send(tasks.exchange_code, str(visit.pk))
    for token in scheduling.claim_due(OAuthToken, now=now):
        _send(tasks.look_after_token, str(token.pk))
    for state in scheduling.claim_due(WorkerState, now=now):
        _send(tasks.sync_mailbox if state.direction == Direction.INCOMING else tasks.deliver, state.pk)
    if searching.is_behind():
        _send(tasks.index_emails)


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
