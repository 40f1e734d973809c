"""The doors through which workers enter: each takes an id and is safe to run twice."""

import threading
from collections.abc import Callable
from functools import partial

from celery import shared_task
from django.conf import settings

from mailboxes import searching
from mailboxes.engine import authorizing, delivering, detecting, diagnosing, jobs, syncing
from mailboxes.models import WorkerState

#: Threads of a worker that long receiving runs must leave to tests and sending.
KEPT_FREE = 2
_receiving = threading.BoundedSemaphore(max(1, settings.WORKER_CONCURRENCY - KEPT_FREE))
#: Servers that failed last time may hang again: all of them together hold half of the threads at most.
_doubtful = threading.BoundedSemaphore(max(1, settings.WORKER_CONCURRENCY // 2))


@shared_task
def sync_mailbox(state_pk: int) -> None:
    """Receive the new mail of one mailbox; a busy worker leaves the row to the next wake-up."""
    _where_is_room(_receiving, partial(_carefully, syncing.run), state_pk)


@shared_task
def deliver(state_pk: int) -> None:
    """Send the waiting mail of one mailbox."""
    _carefully(delivering.run, state_pk)


def _carefully(run: Callable[[int], None], state_pk: int) -> None:
    if WorkerState.objects.doubtful().filter(pk=state_pk).exists():
        _where_is_room(_doubtful, run, state_pk)
    else:
        run(state_pk)


def _where_is_room(places: threading.BoundedSemaphore, run: Callable[[int], None], state_pk: int) -> None:
    if not places.acquire(blocking=False):
        return
    try:
        run(state_pk)
    finally:
        places.release()


@shared_task
def diagnose(diagnosis_pk: int) -> None:
    """Test one mailbox and enable what works."""
    diagnosing.run(diagnosis_pk)


@shared_task
def detect(detection_pk: str) -> None:
    """Search for the mail servers of a domain."""
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
