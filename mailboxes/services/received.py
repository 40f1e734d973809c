"""What people ask for about a received message that is not all there."""

from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _

from emailsync.mail.incoming import LARGEST_MESSAGE
from mailboxes import access
from mailboxes.choices import Direction, LedgerOutcome
from mailboxes.models import LedgerEntry, Message, WorkerState
from profiles.access import Permission


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


def is_being_fetched(message: Message) -> bool:
    """Say whether the next run fetches a message of which only the header is kept."""
    return LedgerEntry.objects.asked_for().filter(message=message).exists()
