"""Batches of received mail into rows: ledger, raw bytes, message and cursor in one fenced transaction."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from django.db import DataError, IntegrityError, connection, models

from emailsync.mail.incoming import FetchedMessage, RemoteMessage
from mailboxes.choices import LedgerOutcome, MailboxKind, Reason, TrackIncoming
from mailboxes.engine import scheduling, unpacking
from mailboxes.engine.preparing import Prepared, at_rest
from mailboxes.engine.rows import Place, Rows, Stored
from mailboxes.engine.tracking import Rules, Tracker, unreadable
from mailboxes.models import FolderCursor, Mailbox, Message
from mailboxes.models.ledger import Key

log = logging.getLogger(__name__)

#: What the database, or its driver, says about values that it cannot hold.
REFUSALS = (DataError, OverflowError, UnicodeEncodeError)
#: Why a message is accounted for without its bytes.
NOTED_BECAUSE = {
    LedgerOutcome.BEFORE_START: Reason.BEFORE_START_DATE,
    LedgerOutcome.NOT_WANTED: Reason.NOTHING_WANTED,
    LedgerOutcome.OVERSIZE: Reason.TOO_LARGE,
    LedgerOutcome.QUARANTINED: Reason.WITHHELD,
}


@dataclass(frozen=True)
class Noted:
    """A message accounted for without its bytes: too old, too large, unwanted, or withheld by the server."""

    remote: RemoteMessage
    outcome: LedgerOutcome


@dataclass(frozen=True)
class Batch:
    """What one transaction stores: parsed messages, noted ones and the UID up to which all is known."""

    prepared: Sequence[Prepared]
    noted: Sequence[Noted]
    last_uid: int

    def close(self) -> None:
        """Give the temporary files back."""
        for item in self.prepared:
            item.close()


@dataclass(frozen=True)
class Folder:
    """Where a batch comes from: the mailbox, and its folder with what its messages are known by."""

    mailbox: Mailbox
    cursor: FolderCursor
    rules: Rules

    @property
    def is_forward(self) -> bool:
        """Say whether others' mail comes here as attachments."""
        return self.mailbox.kind == MailboxKind.FORWARD

    @property
    def option(self) -> TrackIncoming:
        """Return which of the mail is kept. What is for others is not for a forward mailbox to refuse."""
        return TrackIncoming.ALL if self.is_forward else TrackIncoming(self.mailbox.track_incoming)

    def place(self, source: FetchedMessage | RemoteMessage) -> Place:
        """Return where `source` was found."""
        return Place(
            mailbox=self.mailbox.pk,
            folder=self.cursor.folder,
            uidvalidity=None if source.uidl else self.cursor.uidvalidity,
            uid=None if source.uidl else source.uid,
            uidl=source.uidl or None,
            size=source.size,
            received_at=source.received_at,
            is_deleted_later=self.mailbox.delete_after_processing,
        )


@dataclass
class Saved:
    """What a batch came to."""

    stored: int = 0
    duplicates: int = 0
    #: UID or UIDL and reason of each message of which only the bytes could be kept.
    quarantined: list[tuple[Key, str]] = field(default_factory=list)
    #: UID and kind of alert of each message of a forward mailbox that could not be given to anybody.
    unmatched: list[tuple[int, str]] = field(default_factory=list)


def save(lease: scheduling.Lease, folder: Folder, batch: Batch, *, now: datetime) -> Saved:
    """Store `batch`, then move the cursor, all or nothing. Raises LeaseLost.

    A batch that the database refuses is stored again message by message, and what it still refuses is
    quarantined with its bytes.
    """
    try:
        return _store_surely(lease, folder, batch.prepared, batch, now=now)
    except REFUSALS as error:
        log.warning("A batch was refused by the database and is stored one by one: %s", error)
    saved = Saved()
    for item in batch.prepared:
        # The cursor waits for what was noted: see the last line.
        alone = Batch([], [], 0)
        try:
            part = _store_surely(lease, folder, [item], alone, now=now)
        except REFUSALS as error:
            reason = f"The database does not take it ({type(error).__name__})."
            bare = replace(item, parsed=None, failure=reason, attached=())
            part = _store_surely(lease, folder, [bare], alone, now=now)
        saved.stored += part.stored
        saved.duplicates += part.duplicates
        saved.quarantined += part.quarantined
        saved.unmatched += part.unmatched
    _store(lease, folder, [], Batch([], batch.noted, batch.last_uid), now=now)
    return saved


def _store_surely(
    lease: scheduling.Lease, folder: Folder, prepared: Sequence[Prepared], batch: Batch, *, now: datetime
) -> Saved:
    """Store, and once more when a mailbox that attached mail was for has just been changed by others."""
    try:
        return _store(lease, folder, prepared, batch, now=now)
    except IntegrityError:
        if not folder.is_forward:
            raise
        log.info("A batch of a forward mailbox met a change of its recipients and is stored again")
        return _store(lease, folder, prepared, batch, now=now)


def _store(
    lease: scheduling.Lease, folder: Folder, prepared: Sequence[Prepared], batch: Batch, *, now: datetime
) -> Saved:
    saved = Saved()
    cursor = folder.cursor
    with scheduling.fenced(lease):
        entries = cursor.named([p.source.key for p in prepared] + [n.remote.key for n in batch.noted])
        # What was withheld or too old before is accounted for anew; what is stored already is not.
        entries.to_be_read_again().delete()
        known = set(cursor.keys(entries))
        fresh = [p for p in prepared if p.source.key not in known]
        rows = Rows(folder.rules, now=now)
        moved = _add(rows, folder, fresh, saved)
        for note in batch.noted:
            if note.remote.key not in known:
                rows.add_ledger(folder.place(note.remote), note.outcome, NOTED_BECAUSE[note.outcome], None)
        rows.insert()
        # After a renumbering messages found again take their new UID.
        if cursor.is_rescan and not cursor.is_by_uidl:
            for message_pk, uid in moved.items():
                Message.objects.filter(pk=message_pk).update(uid=uid, uidvalidity=cursor.uidvalidity)
        same = FolderCursor.objects.filter(pk=cursor.pk, uidvalidity=cursor.uidvalidity)
        same.filter(last_uid__lt=batch.last_uid).update(last_uid=batch.last_uid)
    return saved


def _add(rows: Rows, folder: Folder, fresh: Sequence[Prepared], saved: Saved) -> dict[int, int]:
    """Add rows for messages that have none; returns the new UIDs of those that were stored before."""
    hashes = {item.sha256 for item in fresh}
    same = Message.objects.filter(mailbox=folder.mailbox, sha256__in=hashes)
    by_hash = dict(same.values_list("sha256", "pk"))
    new = list({item.sha256: item for item in fresh if item.sha256 not in by_hash}.values())
    parsed = [item.parsed for item in new if item.parsed]
    tracker = Tracker(folder.rules, parsed, mailbox=folder.mailbox, options={folder.option})
    readable = [item for item in new if item.parsed] if folder.is_forward else []
    forwarded = unpacking.sort(folder.rules, readable)
    saved.unmatched += forwarded.unmatched
    ids = iter(_message_ids(len(new) + len(forwarded.parcels)))
    moved: dict[int, int] = {}
    for item in fresh:
        place = folder.place(item.source)
        held = by_hash.get(item.sha256)
        if held is not None:
            moved[held] = item.source.uid
            saved.duplicates += 1
            rows.add_ledger(place, LedgerOutcome.DUPLICATE, Reason.SAME_CONTENT, held)
            continue
        verdict = tracker.judge(item.parsed, folder.option) if item.parsed else unreadable()
        if not verdict.is_wanted:
            rows.add_ledger(place, LedgerOutcome.NOT_WANTED, verdict.reason, None)
            continue
        pk = by_hash[item.sha256] = next(ids)
        kept = at_rest(item)
        stored = Stored(item.source.body.size, item.sha256, kept.content, kept.file)
        rows.add_message(place, stored, item.parsed, verdict, pk=pk, failure=item.failure)
        outcome = LedgerOutcome.STORED if item.parsed else LedgerOutcome.QUARANTINED
        rows.add_ledger(place, outcome, verdict.reason, pk)
        saved.stored += 1
        if item.parsed:
            tracker.keep(item.parsed, verdict, pk)
        else:
            saved.quarantined.append((item.source.key, item.failure))
    if forwarded.parcels:
        unpacking.deliver(rows, folder.rules, forwarded.parcels, outers=by_hash, ids=ids)
    return moved


def _message_ids(count: int) -> list[int]:
    """Return fresh primary keys, so that children can be written in the same breath as their message."""
    if not count:
        return []
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)",
                [Message._meta.db_table, count],
            )
            return [row[0] for row in cursor.fetchall()]
    # SQLite has one writer at a time, and this transaction is it.
    highest = Message.objects.aggregate(highest=models.Max("pk"))["highest"] or 0
    return list(range(highest + 1, highest + 1 + count))
