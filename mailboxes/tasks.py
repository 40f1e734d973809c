"""The doors through which workers enter: each takes an id and is safe to run twice."""

import functools
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from celery import Task, shared_task
from django.conf import settings
from django.db import DatabaseError, InterfaceError, close_old_connections

from emailsync.web import upgrading
from mailboxes import searching
from mailboxes.engine import authorizing, delivering, diagnosing, jobs, scheduling, syncing
from mailboxes.models import Diagnosis, WorkerState

log = logging.getLogger(__name__)

#: Threads of a worker that long receiving runs, and tests, must each leave to others.
KEPT_FREE = 2
#: Together they leave one: whatever else goes on, mail that is to be sent finds a thread.
_together = threading.BoundedSemaphore(max(1, settings.WORKER_CONCURRENCY - 1))


class Places:
    """The threads of a worker that one kind of work may hold; who finds none is remembered."""

    def __init__(self) -> None:
        """Leave some to others."""
        self._free = threading.BoundedSemaphore(max(1, settings.WORKER_CONCURRENCY - KEPT_FREE))
        #: In the order of their coming.
        self._waiting: OrderedDict[int, None] = OrderedDict()

    def work(self, run: Callable[[int], None], pk: int) -> None:
        """Run one; in a busy worker what ends goes on with those who wait, until they are handed out anew."""
        if not self._take():
            self._waiting.setdefault(pk)
            return
        ends = time.monotonic() + scheduling.WAKE_UP_PATIENCE.total_seconds()
        try:
            run(pk)
            while time.monotonic() < ends and (following := self._next()) is not None:
                close_old_connections()
                run(following)
        finally:
            _together.release()
            self._free.release()

    def _take(self) -> bool:
        if not self._free.acquire(blocking=False):
            return False
        if not _together.acquire(blocking=False):
            self._free.release()
            return False
        return True

    def _next(self) -> int | None:
        try:
            return self._waiting.popitem(last=False)[0]
        except KeyError:
            return None


_receiving, _testing = Places(), Places()
#: Servers that failed last time may hang again: all of them together hold half of the threads at most.
_doubtful = threading.BoundedSemaphore(max(1, settings.WORKER_CONCURRENCY // 2))


def door(run: Callable[..., None]) -> "Task[..., None]":
    """Make a task of `run`. When the database fails it, one line says why: the row is handed out again."""

    @functools.wraps(run)
    def enter(*ids: int | str) -> None:
        try:
            run(*ids)
        except (DatabaseError, InterfaceError) as error:
            if not (cause := upgrading.explain(error)):
                raise
            log.error("%s is tried again: %s", run.__name__, cause)  # noqa: TRY400  (no fault of ours)

    return shared_task(enter)


@door
def sync_mailbox(state_pk: int) -> None:
    """Receive the new mail of one mailbox."""
    _receiving.work(_receive, state_pk)


def _receive(state_pk: int) -> None:
    _carefully(syncing.run, state_pk, is_doubtful=WorkerState.objects.doubtful().filter(pk=state_pk).exists())


@door
def deliver(state_pk: int) -> None:
    """Send the waiting mail of one mailbox."""
    is_doubtful = WorkerState.objects.doubtful().filter(pk=state_pk).exists()
    _carefully(delivering.run, state_pk, is_doubtful=is_doubtful)


@door
def diagnose(diagnosis_pk: int) -> None:
    """Test one mailbox and enable what works."""
    _testing.work(_diagnose, diagnosis_pk)


def _diagnose(pk: int) -> None:
    _carefully(diagnosing.run, pk, is_doubtful=Diagnosis.objects.doubtful().filter(pk=pk).exists())


def _carefully(run: Callable[[int], None], pk: int, *, is_doubtful: bool) -> None:
    """Work on something; what may hang is left to a later wake-up where enough of that kind runs."""
    if not is_doubtful:
        run(pk)
    elif _doubtful.acquire(blocking=False):
        try:
            run(pk)
        finally:
            _doubtful.release()


@door
def detect(detection_pk: str) -> None:
    """Search for the mail servers of a domain."""
    # Asking name services and reading XML take memory that a worker which only syncs shall not need.
    from mailboxes.engine import detecting

    detecting.run(detection_pk)


@door
def exchange_code(visit_pk: str) -> None:
    """Exchange the code that somebody brought from their provider for tokens."""
    authorizing.exchange(visit_pk)


@door
def look_after_token(token_pk: str) -> None:
    """Renew a permission that would lapse unused, and tell of what ends soon."""
    authorizing.look_after(token_pk)


@door
def index_emails() -> None:
    """Make the words of new mail quick to search."""
    searching.catch_up()


@door
def run_job(job_pk: int) -> None:
    """Go on with a job from where it stands."""
    jobs.run(job_pk)
