"""The doors through which workers enter: each takes an id and is safe to run twice."""

from celery import shared_task

from mailboxes.engine import delivering, diagnosing, syncing


@shared_task
def sync_mailbox(state_pk: int) -> None:
    """Receive the new mail of one mailbox."""
    syncing.run(state_pk)


@shared_task
def deliver(state_pk: int) -> None:
    """Send the waiting mail of one mailbox."""
    delivering.run(state_pk)


@shared_task
def diagnose(diagnosis_pk: int) -> None:
    """Test one mailbox and enable what works."""
    diagnosing.run(diagnosis_pk)
