"""Messages above the limit: told of, and fetched whole when somebody asks for one.

Of such a message the header is kept. Fetching it all the same happens after a run, on a connection of its own
with an hour's time: whatever goes wrong there stops neither the mailbox nor the mail that came behind it.
Each request is one attempt.
"""

import logging
from contextlib import closing
from datetime import datetime

from django.conf import settings
from django.db.models import Q
from django.template.defaultfilters import filesizeformat
from django.utils import timezone

from emailsync.mail.errors import MailError
from emailsync.mail.incoming import FetchedMessage, IncomingClient, RemoteMessage
from mailboxes.alerts import wall
from mailboxes.choices import LedgerOutcome, Reason
from mailboxes.engine import connecting, preparing, reading, scheduling, storing, tracking
from mailboxes.models import FolderCursor, LedgerEntry, Mailbox
from mailboxes.models.ledger import LedgerEntryQuerySet

log = logging.getLogger(__name__)


def tell(mailbox: Mailbox, message: RemoteMessage | FetchedMessage, *, pk: int | None, now: datetime) -> None:
    """Raise the alert about a message above the limit, whose header is kept as the message `pk`."""
    wall.raise_alert(
        "message_oversize",
        now=now,
        mailbox=mailbox,
        about=str(message.key),
        words={
            "size": filesizeformat(message.size),
            "limit": filesizeformat(settings.MAXIMUM_MESSAGE_SIZE),
            "received_at": message.received_at.isoformat(),
            **({"received_id": pk} if pk else {}),
        },
    )


def fetch_asked_for(lease: scheduling.Lease, mailbox: Mailbox) -> None:
    """Fetch those messages above the limit that somebody asked for. Raises LeaseLost."""
    entries = LedgerEntry.objects.asked_for().filter(mailbox=mailbox)
    if not entries.exists():
        return
    try:
        with connecting.open_incoming(mailbox, seconds=connecting.LONGEST) as client:
            _fetch(lease, mailbox, client, entries)
    except MailError as error:
        log.warning("A message above the limit could not be fetched: %s", error)
        with scheduling.fenced(lease):
            wall.raise_alert(
                "oversize_not_fetched", now=timezone.now(), mailbox=mailbox, cause=wall.Cause.of(error)
            )
            entries.update(is_to_fetch=False)


def _fetch(
    lease: scheduling.Lease, mailbox: Mailbox, client: IncomingClient, entries: LedgerEntryQuerySet
) -> None:
    cursor = FolderCursor.objects.get(mailbox=mailbox, folder=reading.INBOX)
    folder = storing.Folder(mailbox, cursor, tracking.Rules.of(mailbox.environment_id))
    keys = cursor.keys(cursor.entries().asked_for())
    if client.folders is not None:
        reading.open_inbox(client.folders, cursor, read_only=True)
    else:
        # Which number a name has in this conversation.
        client.ids_after(0)
    for message in client.fetch(client.describe(reading.numbers(client, keys))):
        with closing(message.body):
            prepared = preparing.prepare(message, unpack=folder.is_forward)
            storing.save(lease, folder, storing.Batch([prepared], [], 0), now=timezone.now())
            preparing.restore([prepared])
        with scheduling.fenced(lease):
            now = timezone.now()
            wall.resolve("message_oversize", mailbox=mailbox, now=now, about=str(message.key))
            wall.resolve("oversize_not_fetched", mailbox=mailbox, now=now)
    # What is left was removed from the server meanwhile, or renumbered.
    left = Q(pk__in=cursor.named(keys).values("pk")) | Q(uidl__isnull=False, is_listed=False)
    with scheduling.fenced(lease):
        for uid, uidl in entries.filter(left).values_list("uid", "uidl"):
            wall.resolve("message_oversize", mailbox=mailbox, now=timezone.now(), about=str(uidl or uid))
        entries.filter(left).update(outcome=LedgerOutcome.GONE, reason=Reason.VANISHED)
        entries.update(is_to_fetch=False)
