"""Prove that nothing was overlooked: the server's list of messages against the ledger.

Every message that the server lists is either in the ledger, or above the cursor and waiting for the next run,
or it was overlooked: some server gave it a number below the cursor, or said nothing of it when it was asked.
Such a gap is told, and every message of it gets an entry in the ledger, by which the next run reads it; that
run counts again. The list is asked for by windows (`IncomingClient.ids_after`) and compared window by window.

A count runs after a run, on a connection of its own, once a day and whenever somebody asks. If it fails,
that is told in its report and stops nothing.
"""

import logging
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta

from django.utils import timezone

from emailsync.mail.errors import MailError
from emailsync.mail.incoming import IncomingClient
from mailboxes.alerts import wall
from mailboxes.choices import LedgerOutcome, Reason
from mailboxes.engine import connecting, reading, scheduling
from mailboxes.models import FolderCursor, LedgerEntry, Mailbox, Reconciliation
from mailboxes.models.ledger import Key

log = logging.getLogger(__name__)

INTERVAL = timedelta(days=1)
#: Seconds that counting may take.
PATIENCE = 1800.0
#: Messages compared with one question to the database.
WINDOW = 2000


@dataclass
class Count:
    """What the server lists, and what the ledger says of it."""

    on_server: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    waiting: int = 0
    missed: list[Key] = field(default_factory=list)
    gone: int = 0
    trouble: str = ""


def count_if_due(lease: scheduling.Lease, mailbox: Mailbox) -> None:
    """Count the Inbox when a day has passed or somebody asked. Call it after a complete run.

    Raises LeaseLost.
    """
    now = timezone.now()
    report = Reconciliation.objects.filter(mailbox=mailbox).first()
    if report is None:
        # All that there is was just looked at for the first time.
        with scheduling.fenced(lease):
            Reconciliation.objects.create(mailbox=mailbox, due_on=now + INTERVAL)
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
    told = client.status().messages
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
            # Over POP3 every run looks at all names: what has no entry came after it.
            if isinstance(key, str) or key > cursor.last_uid:
                count.waiting += 1
            else:
                count.missed.append(key)
    count.gone = cursor.entries().count() - count.outcomes.total()
    return count


def _note(lease: scheduling.Lease, mailbox: Mailbox, cursor: FolderCursor, count: Count) -> None:
    """Write the report; what was overlooked is told, and given to the next run to read."""
    now = timezone.now()
    with scheduling.fenced(lease):
        Reconciliation.objects.filter(mailbox=mailbox).update(
            due_on=now if count.missed else now + INTERVAL,
            tried_on=now,
            counted_on=now,
            on_server=count.on_server,
            outcomes=dict(count.outcomes),
            waiting=count.waiting,
            missed=len(count.missed),
            gone=count.gone,
            trouble=count.trouble,
        )
        if not count.missed:
            wall.resolve("ledger_gap", mailbox=mailbox, now=now)
            return
        wall.raise_alert("ledger_gap", now=now, mailbox=mailbox, words={"number": len(count.missed)})
        LedgerEntry.objects.bulk_create(
            [
                LedgerEntry(
                    mailbox=mailbox,
                    folder=cursor.folder,
                    uidvalidity=cursor.uidvalidity,
                    uid=key,
                    outcome=LedgerOutcome.MISSED,
                    reason=Reason.OVERLOOKED,
                    seen_on=now,
                )
                for key in count.missed
            ],
            batch_size=500,
        )
