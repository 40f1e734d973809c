"""Approve and reject addresses. Every decision is stamped with who and when; rejecting clears the stamp."""

from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F, QuerySet

from mailboxes import access
from mailboxes.alerts import wall
from mailboxes.choices import AddressStatus, MailboxKind
from mailboxes.models import Mailbox
from mailboxes.services import editing
from profiles.access import Permission, environments_of


@transaction.atomic
def approve(mailboxes: QuerySet[Mailbox], *, by: User | None, now: datetime) -> int:
    """Approve the addresses of `mailboxes`; returns how many were not approved before."""
    access.require_each(by, Permission.APPROVE, mailboxes)
    return _approve(mailboxes, by=by, now=now)


def _approve(mailboxes: QuerySet[Mailbox], *, by: User | None, now: datetime) -> int:
    found = list(mailboxes.exclude(address_status=AddressStatus.APPROVED).values_list("pk", flat=True))
    for pks in editing.in_pieces(found):
        changed = Mailbox.objects.filter(pk__in=pks)
        changed.update(
            address_status=AddressStatus.APPROVED,
            approved_by=by,
            approved_on=now,
            modified_on=now,
            modified_by=by,
            version=F("version") + 1,
        )
        wall.resolve_each("not_approved", mailboxes=pks, now=now)
        editing.make_due(changed, now=now)
    return len(found)


def own_pending(mailboxes: QuerySet[Mailbox], person: User) -> QuerySet[Mailbox]:
    """Return those of `mailboxes` whose pending addresses `person` may approve as their own.

    Those of users, not of queues; owned by the person, with the address of the person's account, in an
    environment that does not restrict self-approval.
    """
    if not person.email:
        return mailboxes.none()
    return mailboxes.filter(
        kind=MailboxKind.USER,
        owner=person,
        address__iexact=person.email,
        address_status=AddressStatus.PENDING,
        environment__in=environments_of(person).exclude(email_settings__restrict_self_approval=True),
    )


def approve_own(mailboxes: QuerySet[Mailbox], *, by: User, now: datetime) -> int:
    """Approve those of `mailboxes` whose addresses `by` may approve as their own, and say so on their walls.

    Returns how many were approved.
    """
    found = list(own_pending(mailboxes, by).select_related("server_profile"))
    approved = _approve(Mailbox.objects.filter(pk__in=[mailbox.pk for mailbox in found]), by=by, now=now)
    for mailbox in found:
        wall.raise_alert("address_approved_by_owner", mailbox=mailbox, now=now)
    return approved


@transaction.atomic
def reject(mailboxes: QuerySet[Mailbox], *, by: User | None, now: datetime) -> int:
    """Reject the addresses of `mailboxes`; returns how many were not rejected before.

    Email under way for them can commit nothing more.
    """
    access.require_each(by, Permission.APPROVE, mailboxes)
    return _withhold(mailboxes, AddressStatus.REJECTED, by=by, now=now)


@transaction.atomic
def withdraw(mailboxes: QuerySet[Mailbox], *, by: User | None, now: datetime) -> int:
    """Take approvals back: the addresses wait for a decision again; returns how many did not before."""
    access.require_each(by, Permission.APPROVE, mailboxes)
    return _withhold(mailboxes, AddressStatus.PENDING, by=by, now=now)


def _withhold(mailboxes: QuerySet[Mailbox], status: str, *, by: User | None, now: datetime) -> int:
    found = list(mailboxes.exclude(address_status=status).values_list("pk", flat=True))
    for pks in editing.in_pieces(found):
        changed = Mailbox.objects.filter(pk__in=pks)
        changed.update(
            address_status=status,
            approved_by=None,
            approved_on=None,
            modified_on=now,
            modified_by=by,
            version=F("version") + 1,
        )
        editing.stop_runs(changed)
    return len(found)
