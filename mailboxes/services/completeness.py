"""Ask for the count of an Inbox against its ledger, and tell what is known of it."""

from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction

from mailboxes import access
from mailboxes.choices import Direction
from mailboxes.models import Mailbox, Reconciliation, WorkerState
from mailboxes.models.mailbox import MailboxQuerySet
from profiles.access import Permission


@transaction.atomic
def ask(mailboxes: MailboxQuerySet, *, by: User | None, now: datetime) -> int:
    """Have the Inboxes of those `mailboxes` counted that receive; returns how many they are."""
    access.require_each(by, Permission.DIAGNOSE, mailboxes)
    enabled = WorkerState.objects.filter(
        mailbox__in=mailboxes, direction=Direction.INCOMING, is_enabled=True
    ).exclude(mailbox__incoming="forward_mailbox")
    pks = list(enabled.values_list("mailbox", flat=True))
    Reconciliation.objects.bulk_create(
        [Reconciliation(mailbox_id=pk, due_on=now) for pk in pks],
        update_conflicts=True,
        unique_fields=["mailbox"],
        update_fields=["due_on"],
        batch_size=500,
    )
    WorkerState.objects.filter(mailbox__in=pks, direction=Direction.INCOMING, is_enabled=True).update(
        due_at=now
    )
    return len(pks)


def report(mailbox: Mailbox) -> Reconciliation | None:
    """Return the last count of a mailbox's Inbox."""
    return Reconciliation.objects.filter(mailbox=mailbox).first()
