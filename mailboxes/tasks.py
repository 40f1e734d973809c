"""The doors through which workers enter: each takes an id and is safe to run twice."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from celery import shared_task
from django.conf import settings
from django.db import close_old_connections

from mailboxes import searching
from mailboxes.engine import authorizing, delivering, diagnosing, jobs, scheduling, syncing
from mailboxes.models import WorkerState

#: Threads of a worker that long receiving runs must leave to tests and sending.
KEPT_FREE = 2
_receiving = threading.BoundedSemaphore(max(1, settings.WORKER_CONCURRENCY - KEPT_FREE))
#: Servers that failed last time may hang again: all of them together hold half of the threads at most.
_doubtful = threading.BoundedSemaphore(max(1, settings.WORKER_CONCURRENCY // 2))

#: Mailboxes whose wake-up found no thread free for receiving, in the order of their coming.
_waiting: OrderedDict[int, None] = OrderedDict()


@shared_task
def sync_mailbox(state_pk: int) -> None:
    """Receive the new mail of one mailbox; in a busy worker a run that ends goes on with those who wait.

    It does so for as long as it takes until they are handed out anew.
    """
    if not _receiving.acquire(blocking=False):
        _waiting.setdefault(state_pk)
        return
    ends = time.monotonic() + scheduling.WAKE_UP_PATIENCE.total_seconds()
    try:
        _carefully(syncing.run, state_pk)
        while time.monotonic() < ends and (following := _next_waiting()) is not None:
            close_old_connections()
            _carefully(syncing.run, following)
    finally:
        _receiving.release()


def _next_waiting() -> int | None:
    try:
        return _waiting.popitem(last=False)[0]
    except KeyError:
        return None


@shared_task
def deliver(state_pk: int) -> None:
    """Send the waiting mail of one mailbox."""
    _carefully(delivering.run, state_pk)


def _carefully(run: Callable[[int], None], state_pk: int) -> None:
    """Work on a direction; one that failed last time is left to a later wake-up where enough of them run."""
    if not WorkerState.objects.doubtful().filter(pk=state_pk).exists():
        run(state_pk)
    elif _doubtful.acquire(blocking=False):
        try:
            run(state_pk)
        finally:
            _doubtful.release()


@shared_task
def diagnose(diagnosis_pk: int) -> None:
    """Test one mailbox and enable what works."""
    diagnosing.run(diagnosis_pk)


@shared_task
def detect(detection_pk: str) -> None:
    """Search for the mail servers of a domain."""
    # Asking name services and reading XML take memory that a worker which only syncs shall not need.
    from mailboxes.engine import detecting

    detecting.run(detection_pk)


@shared_task
def exchange_code(visit_pk: str) -> None:
    """Exchange the code that somebody brought from their provider for tokens."""
    authorizing.exchange(visit_pk)


@shared_task
def look_after_token(token_pk: str) -> None:
    """Renew a permission that would lapse unused, and tell of what ends soon."""
    authorizing.look_after(token_pk)


@shared_task
def index_emails() -> None:
    """Make the words of new mail quick to search."""
    searching.catch_up()


@shared_task
def run_job(job_pk: int) -> None:
    """Go on with a job from where it stands."""
    jobs.run(job_pk)
