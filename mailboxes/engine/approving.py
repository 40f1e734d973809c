"""Approve addresses and take approvals away; every decision is stamped with who and when."""

from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F, QuerySet

from mailboxes.alerts import wall
from mailboxes.choices import AddressStatus, MailboxKind
from mailboxes.engine.eligibility import NOT_APPROVED
from mailboxes.engine.switching import in_pieces, lock, make_due, stop_runs
from mailboxes.models import Mailbox
from profiles.access import environments_of


@transaction.atomic
def approve(mailboxes: QuerySet[Mailbox], *, by: User | None, now: datetime) -> int:
    """Approve the addresses of `mailboxes`; returns how many were not approved before.

    What was to be tested and enabled meanwhile is tested again.
    """
    waiting = mailboxes.exclude(address_status=AddressStatus.APPROVED)
    found = list(waiting.order_by("pk").values_list("pk", flat=True))
    for pks in in_pieces(found):
        lock(pks)
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
        make_due(changed, now=now, mends=NOT_APPROVED)
    return len(found)


@transaction.atomic
def withhold(mailboxes: QuerySet[Mailbox], status: str, *, by: User | None, now: datetime) -> int:
    """Give the addresses of `mailboxes` another status than Approved, and clear the stamp.

    Returns how many had it not before. Email under way for them can commit nothing more.
    """
    others = mailboxes.exclude(address_status=status)
    found = list(others.order_by("pk").values_list("pk", flat=True))
    for pks in in_pieces(found):
        lock(pks)
        changed = Mailbox.objects.filter(pk__in=pks)
        changed.update(
            address_status=status,
            approved_by=None,
            approved_on=None,
            modified_on=now,
            modified_by=by,
            version=F("version") + 1,
        )
        stop_runs(changed)
    return len(found)


def own_pending(mailboxes: QuerySet[Mailbox], person: User) -> QuerySet[Mailbox]:
    """Return those of `mailboxes` whose pending addresses `person` may approve as their own.

    Those of users, not of queues; owned by the person, with the address of the person's account and opened by
    it, in an environment that does not restrict self-approval.
    """
    if not person.email:
        return mailboxes.none()
    return mailboxes.filter(
        kind=MailboxKind.USER,
        owner=person,
        address__iexact=person.email,
        server_account="",
        address_status=AddressStatus.PENDING,
        environment__in=environments_of(person).exclude(email_settings__restrict_self_approval=True),
    )


def approve_own(mailboxes: QuerySet[Mailbox], *, by: User, now: datetime) -> int:
    """Approve those of `mailboxes` whose addresses `by` may approve as their own, and say so on their walls.

    Returns how many were approved.
    """
    found = list(own_pending(mailboxes, by).select_related("server_profile"))
    approved = approve(Mailbox.objects.filter(pk__in=[mailbox.pk for mailbox in found]), by=by, now=now)
    for mailbox in found:
        wall.raise_alert("address_approved_by_owner", mailbox=mailbox, now=now)
    return approved
