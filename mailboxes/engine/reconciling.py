"""Prove that nothing was overlooked: the server's list of messages against the ledger.

Every message that the server lists is either in the ledger, or above the cursor and waiting for the next run,
or it was overlooked: some server gave it a number below the cursor, or said nothing of it when it was asked.
Such a gap is told, and every message of it gets an entry in the ledger, by which the next run reads it; that
run counts again. The list is asked for by windows (`IncomingClient.ids_after`) and compared window by window.

A server that gives the number of a message to another one, and says nothing, hides it behind the entry of the
first. So a sample of the numbers is asked for INTERNALDATE too, which no server changes (RFC 9051, section
2.3.3): where it is another than the ledger's, the folder was renumbered, and is read again.

A count runs after a run, on a connection of its own, once a day and whenever somebody asks. If it fails,
that is told in its report and stops nothing.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from django.utils import timezone

from emailsync.mail.errors import MailError
from emailsync.mail.incoming import IncomingClient
from mailboxes.alerts import wall
from mailboxes.choices import LedgerOutcome, Reason
from mailboxes.engine import connecting, numbering, reading, scheduling
from mailboxes.models import FolderCursor, LedgerEntry, Mailbox, Reconciliation
from mailboxes.models.ledger import Key

log = logging.getLogger(__name__)

INTERVAL = timedelta(days=1)
#: Seconds that counting may take.
PATIENCE = 1800.0
#: Messages compared with one question to the database.
WINDOW = 2000
#: Of how many messages at most the date is compared, evenly spread.
SAMPLE = 1000


@dataclass
class Count:
    """What the server lists, and what the ledger says of it."""

    on_server: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    waiting: int = 0
    missed: list[Key] = field(default_factory=list)
    gone: int = 0
    #: A number names another message than it did.
    is_renumbered: bool = False
    trouble: str = ""


def count_if_due(lease: scheduling.Lease, mailbox: Mailbox) -> None:
    """Count the Inbox when a day has passed or somebody asked. Call it after a complete run.

    Raises LeaseLost.
    """
    now = timezone.now()
    report = Reconciliation.objects.get(mailbox=mailbox)
    if report.due_on is None:
        # All that there is was just looked at for the first time.
        with scheduling.fenced(lease):
            Reconciliation.objects.filter(pk=report.pk).update(due_on=now + INTERVAL)
        return
    if report.due_on > now:
        return
    cursor = FolderCursor.objects.get(mailbox=mailbox, folder=reading.INBOX)
    try:
        with connecting.open_incoming(mailbox, seconds=PATIENCE) as client:
            count = _count(client, cursor)
    except MailError as error:
        log.warning("An Inbox could not be counted: %s", error)
        with scheduling.fenced(lease):
            Reconciliation.objects.filter(pk=report.pk).update(
                trouble=str(error)[:2000], tried_on=timezone.now(), due_on=now + INTERVAL
            )
        return
    _note(lease, mailbox, cursor, count)


def _count(client: IncomingClient, cursor: FolderCursor) -> Count:
    """Compare, window by window. Raises MailError."""
    status = client.status()
    told = status.messages
    # Over POP3 a run looks at the names when number or size of the messages have changed.
    is_as_read = cursor.is_by_uidl and (told, status.octets) == (cursor.messages, cursor.octets)
    if client.folders is not None:
        reading.open_inbox(client.folders, cursor, read_only=True)
    numbers = client.ids_after(0)
    names = client.uidls
    count = Count(on_server=len(numbers))
    if len(numbers) < told:
        count.trouble = f"The server says that it holds {told} messages and lists {len(numbers)} of them."
    for at in range(0, len(numbers), WINDOW):
        keys: list[Key] = [names.get(number, number) for number in numbers[at : at + WINDOW]]
        known: dict[Key, str] = dict(cursor.named(keys).values_list(cursor.key, "outcome"))
        count.outcomes.update(known.values())
        for key in keys:
            if key in known:
                continue
            is_new = not is_as_read if isinstance(key, str) else key > cursor.last_uid
            if is_new:
                count.waiting += 1
            else:
                count.missed.append(key)
    count.gone = cursor.entries().count() - count.outcomes.total()
    if client.folders is not None:
        count.is_renumbered = _is_renumbered(client, cursor, numbers)
    return count


def _is_renumbered(client: IncomingClient, cursor: FolderCursor, numbers: Sequence[int]) -> bool:
    """Say whether a number names a message of another INTERNALDATE than the ledger's."""
    chosen = numbers[:: max(1, -(-len(numbers) // SAMPLE))]
    entries = cursor.named(chosen).filter(received_at__isnull=False)
    known = dict(entries.values_list("uid", "received_at"))
    # What a server tells no date of, or an impossible one, comes with the moment at which it is asked.
    asked_on = timezone.now()
    described = [message for message in client.describe(chosen) if message.received_at < asked_on]
    return any(known.get(message.uid, message.received_at) != message.received_at for message in described)


def _note(lease: scheduling.Lease, mailbox: Mailbox, cursor: FolderCursor, count: Count) -> None:
    """Write the report; what was overlooked is told, and given to the next run to read."""
    now = timezone.now()
    starts_over = count.is_renumbered and not numbering.is_parked(cursor, now=now)
    with scheduling.fenced(lease):
        Reconciliation.objects.filter(mailbox=mailbox).update(
            due_on=now if count.missed or starts_over else now + INTERVAL,
            tried_on=now,
            counted_on=now,
            on_server=count.on_server,
            outcomes=dict(count.outcomes),
            waiting=count.waiting,
            missed=len(count.missed),
            gone=count.gone,
            trouble=count.trouble,
        )
        if starts_over:
            numbering.start_over(mailbox, cursor, uidvalidity=cursor.uidvalidity, now=now)
            return
        if not count.missed:
            wall.resolve("ledger_gap", mailbox=mailbox, now=now)
            return
        wall.raise_alert("ledger_gap", now=now, mailbox=mailbox, words={"number": len(count.missed)})
        LedgerEntry.objects.bulk_create(
            [
                LedgerEntry(
                    mailbox=mailbox,
                    folder=cursor.folder,
                    **cursor.naming(key),
                    outcome=LedgerOutcome.MISSED,
                    reason=Reason.OVERLOOKED,
                    seen_on=now,
                )
                for key in count.missed
            ],
            batch_size=500,
        )
