"""What people ask for about a received message that is not all there."""

from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _

from emailsync.mail.incoming import LARGEST_MESSAGE
from mailboxes import access
from mailboxes.choices import Direction, JobKind, LedgerOutcome
from mailboxes.engine import orders
from mailboxes.models import Job, LedgerEntry, Mailbox, Message, WorkerState
from profiles.access import Permission
from profiles.models import Environment


class NotNow(Exception):
    """The message is not in a state in which this can be done; the sentence says why."""


@transaction.atomic
def fetch_anyway(message: Message, *, by: User | None, now: datetime) -> None:
    """Have a message above the limit, of which only the header is kept, fetched whole by the next run.

    Raises NotNow when nothing can be fetched.
    """
    access.require(by, Permission.READ_EMAIL, message.mailbox)
    if not message.is_header_only:
        raise NotNow(_("The message is here whole."))
    if message.size > LARGEST_MESSAGE:
        raise NotNow(
            _("No message larger than %(size)s is fetched. Read it in the mailbox itself.")
            % {"size": filesizeformat(LARGEST_MESSAGE)}
        )
    enabled = WorkerState.objects.filter(
        mailbox=message.mailbox, direction=Direction.INCOMING, is_enabled=True
    )
    if not enabled.exists():
        raise NotNow(_("Incoming email of this mailbox is not enabled. Run Test & Enable first."))
    entry = LedgerEntry.objects.filter(message=message, outcome=LedgerOutcome.OVERSIZE).order_by("pk").last()
    if entry is None:
        raise NotNow(_("The message is no longer on the server."))
    LedgerEntry.objects.filter(pk=entry.pk).update(is_to_fetch=True)
    enabled.update(due_at=now)


@transaction.atomic
def read_again(
    messages: QuerySet[Message], *, environment: Environment, by: User | None, now: datetime
) -> Job | None:
    """Have a worker read those `messages` of one environment again that are in quarantine.

    Returns the job that does it, or nothing when none is in quarantine. Raises PermissionDenied.
    """
    chosen = messages.filter(environment=environment, is_quarantined=True)
    access.require_each(
        by, Permission.READ_EMAIL, Mailbox.objects.filter(pk__in=chosen.order_by().values("mailbox"))
    )
    targets = list(chosen.order_by("pk").values_list("pk", flat=True))
    if not targets:
        return None
    return orders.start(JobKind.READ_AGAIN, environment=environment, targets=targets, by=by, now=now)


def is_being_fetched(message: Message) -> bool:
    """Say whether the next run fetches a message of which only the header is kept."""
    return LedgerEntry.objects.asked_for().filter(message=message).exists()
