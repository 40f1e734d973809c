"""Approve and reject addresses, for those who may. Rejecting clears the stamp of an approval."""

from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet

from mailboxes import access
from mailboxes.choices import AddressStatus
from mailboxes.engine import approving
from mailboxes.models import Mailbox
from profiles.access import Permission


@transaction.atomic
def approve(mailboxes: QuerySet[Mailbox], *, by: User | None, now: datetime) -> int:
    """Approve the addresses of `mailboxes`; returns how many were not approved before."""
    access.require_each(by, Permission.APPROVE, mailboxes)
    return approving.approve(mailboxes, by=by, now=now)


@transaction.atomic
def reject(mailboxes: QuerySet[Mailbox], *, by: User | None, now: datetime) -> int:
    """Reject the addresses of `mailboxes`; returns how many were not rejected before.

    Email under way for them can commit nothing more.
    """
    access.require_each(by, Permission.APPROVE, mailboxes)
    return approving.withhold(mailboxes, AddressStatus.REJECTED, by=by, now=now)


@transaction.atomic
def withdraw(mailboxes: QuerySet[Mailbox], *, by: User | None, now: datetime) -> int:
    """Take approvals back: the addresses wait for a decision again; returns how many did not before."""
    access.require_each(by, Permission.APPROVE, mailboxes)
    return approving.withhold(mailboxes, AddressStatus.PENDING, by=by, now=now)
