"""Ask for the count of an Inbox against its ledger, and tell what is known of it."""

from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet

from mailboxes import access
from mailboxes.choices import JobKind
from mailboxes.engine import orders, switching
from mailboxes.models import Job, Mailbox, Reconciliation
from mailboxes.models.mailbox import MailboxQuerySet
from profiles.access import Permission
from profiles.models import Environment


@transaction.atomic
def ask(mailboxes: MailboxQuerySet, *, by: User | None, now: datetime) -> int:
    """Have the Inboxes of those `mailboxes` counted that receive; returns how many they are."""
    access.require_each(by, Permission.DIAGNOSE, mailboxes)
    return len(switching.have_counted(mailboxes, now=now))


@transaction.atomic
def ask_all(
    mailboxes: QuerySet[Mailbox], *, environment: Environment, by: User | None, now: datetime
) -> int | Job:
    """Do as `ask` with `mailboxes` of one environment; when they are many, by the job that is returned."""
    chosen = access.within(mailboxes, by, Permission.DIAGNOSE, environment=environment)
    targets = chosen.order_by("pk").values_list("pk", flat=True)
    pks = orders.few(targets)
    if pks is not None:
        return ask(Mailbox.objects.filter(pk__in=pks), by=by, now=now)
    return orders.start(JobKind.COUNT, environment=environment, targets=targets, by=by, now=now)


def report(mailbox: Mailbox) -> Reconciliation:
    """Return the last count of a mailbox's Inbox."""
    return Reconciliation.objects.get(mailbox=mailbox)
