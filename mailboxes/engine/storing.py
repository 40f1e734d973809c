"""Batches of received mail into rows: ledger, raw bytes, message and cursor in one fenced transaction."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from django.db import DataError, IntegrityError, connection, models
from django.db.models import OuterRef, Subquery

from emailsync.mail.incoming import FetchedMessage, RemoteMessage
from mailboxes.choices import LedgerOutcome, MailboxKind, Reason
from mailboxes.engine import bouncing, scheduling, unpacking
from mailboxes.engine.preparing import Prepared, at_rest
from mailboxes.engine.rows import Place, Rows
from mailboxes.engine.tracking import Rules, Tracker, unreadable
from mailboxes.models import FolderCursor, LedgerEntry, Mailbox, Message
from mailboxes.models.ledger import Key, LedgerEntryQuerySet

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
    #: It is withheld because it did not come in the time that there was.
    is_late: bool = False


@dataclass(frozen=True)
class Recognised:
    """A message that was there before the folder was renumbered; `entry` is its ledger entry of then."""

    remote: RemoteMessage
    entry: int


@dataclass(frozen=True)
class Batch:
    """What one transaction stores, and the UID up to which all is known (0: no further than before)."""

    prepared: Sequence[Prepared]
    noted: Sequence[Noted]
    last_uid: int
    recognised: Sequence[Recognised] = ()

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

    def place(self, source: FetchedMessage | RemoteMessage, *, fingerprint: str = "") -> Place:
        """Return where `source` was found."""
        return Place(
            mailbox=self.mailbox.pk,
            folder=self.cursor.folder,
            uidvalidity=None if source.uidl else self.cursor.uidvalidity,
            uid=None if source.uidl else source.uid,
            uidl=source.uidl or None,
            fingerprint=fingerprint,
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
    #: Messages of which only the header is kept, with their primary keys.
    oversize: list[tuple[FetchedMessage, int]] = field(default_factory=list)
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
            bare = replace(item, parsed=None, failure=refusal(error), attached=(), bounce=None)
            part = _store_surely(lease, folder, [bare], alone, now=now)
        saved.stored += part.stored
        saved.duplicates += part.duplicates
        saved.quarantined += part.quarantined
        saved.oversize += part.oversize
        saved.unmatched += part.unmatched
    _store(lease, folder, [], replace(batch, prepared=[]), now=now)
    return saved


def refusal(error: Exception) -> str:
    """Say why a message is in quarantine that was read and that the database does not hold."""
    return f"The database does not take it ({type(error).__name__})."


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
        keys = [p.source.key for p in prepared] + [n.remote.key for n in batch.noted]
        entries = cursor.named(keys + [each.remote.key for each in batch.recognised])
        known, headers = set(cursor.keys(entries)), dict[Key, int]()
        if known:
            # What was withheld or too old before is accounted for anew; what is stored already is not.
            entries.to_be_read_again().delete()
            headers = _asked_for(cursor, entries)
            known = set(cursor.keys(entries))
        fresh = [p for p in prepared if p.source.key not in known]
        rows = Rows(folder.rules, now=now)
        moved = _add(rows, folder, fresh, saved, headers=headers)
        moved |= _renumber(rows, folder, [each for each in batch.recognised if each.remote.key not in known])
        for note in batch.noted:
            if note.remote.key not in known:
                rows.add_ledger(folder.place(note.remote), note.outcome, NOTED_BECAUSE[note.outcome], None)
        rows.insert()
        bouncing.note(folder.mailbox.environment_id, [b for p in fresh for b in p.bounces()], now=now)
        if rows.replaced:
            # The same message may have come several times; its header stood for all of them.
            same = LedgerEntry.objects.filter(message__in=rows.replaced, outcome=LedgerOutcome.OVERSIZE)
            same.update(outcome=LedgerOutcome.DUPLICATE, reason=Reason.SAME_CONTENT)
        # After a renumbering messages found again take their new UID.
        if cursor.is_rescan and not cursor.is_by_uidl:
            _move(cursor, moved)
        if batch.last_uid:
            unmoved = FolderCursor.objects.filter(pk=cursor.pk, uidvalidity=cursor.uidvalidity)
            unmoved.filter(last_uid__lt=batch.last_uid).update(last_uid=batch.last_uid)
    return saved


def _asked_for(cursor: FolderCursor, entries: LedgerEntryQuerySet) -> dict[Key, int]:
    """Take back the entries of messages that are fetched whole now; returns the messages of their headers."""
    asked_for = entries.asked_for()
    found = asked_for.filter(message__is_header_only=True).values_list(cursor.key, "message_id")
    headers = dict(found)
    asked_for.delete()
    return headers


def _renumber(rows: Rows, folder: Folder, recognised: Sequence[Recognised]) -> set[int]:
    """Account for messages under new UIDs as they were under the old; returns what is stored of them."""
    earlier = LedgerEntry.objects.in_bulk([each.entry for each in recognised])
    for each in recognised:
        entry = earlier.get(each.entry)
        if entry is None:
            raise scheduling.LeaseLost(f"ledger entry {each.entry} of {folder.mailbox.pk}")
        place = folder.place(each.remote, fingerprint=entry.fingerprint)
        rows.add_ledger(place, entry.outcome, entry.reason, entry.message_id)
    return {entry.message_id for entry in earlier.values() if entry.message_id is not None}


def _move(cursor: FolderCursor, messages: set[int]) -> None:
    """Give messages that were found again the UID that the ledger now has for them."""
    if messages:
        found = cursor.entries().filter(message=OuterRef("pk")).order_by("uid").values("uid")[:1]
        Message.objects.filter(pk__in=messages).update(uid=Subquery(found), uidvalidity=cursor.uidvalidity)


def _add(
    rows: Rows, folder: Folder, fresh: Sequence[Prepared], saved: Saved, *, headers: Mapping[Key, int]
) -> set[int]:
    """Add rows for messages that have none; returns those that were stored before.

    `headers` are the messages, by UID or UIDL, of which only the header was kept and that are here whole now.
    """
    by_hash = _held(folder.mailbox, fresh)
    new = list({item.sha256: item for item in fresh if item.sha256 not in by_hash}.values())
    parsed = [item.parsed for item in new if item.parsed]
    tracker = Tracker(folder.rules, parsed, mailboxes=[folder.mailbox])
    readable = [item for item in new if item.parsed and not item.is_header_only] if folder.is_forward else []
    forwarded = unpacking.sort(folder.rules, readable)
    saved.unmatched += forwarded.unmatched
    ids = iter(message_ids(len(new) + len(forwarded.parcels)))
    moved: set[int] = set()
    for item in fresh:
        place = folder.place(item.source, fingerprint=item.fingerprint)
        header = headers.get(item.source.key)
        held = by_hash.get(item.sha256)
        if held is not None:
            moved.add(held)
            saved.duplicates += 1
            rows.add_ledger(_once_deleted(place, held), *_same(item), held)
            rows.unneeded += [header] if header else []
            continue
        verdict = tracker.judge(item.parsed, folder.mailbox) if item.parsed else unreadable()
        if not verdict.is_wanted:
            rows.add_ledger(place, LedgerOutcome.NOT_WANTED, verdict.reason, None)
            rows.unneeded += [header] if header else []
            continue
        pk = by_hash[item.sha256] = header or next(ids)
        rows.add_message(place, at_rest(item), verdict, pk=pk, replaces=header is not None)
        if item.is_header_only:
            rows.add_ledger(place, LedgerOutcome.OVERSIZE, Reason.TOO_LARGE, pk)
            saved.oversize.append((item.source, pk))
        else:
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


def _once_deleted(place: Place, message: int) -> Place:
    """Have a message stay that is still there, under its UIDL, after the server confirmed its deletion."""
    if place.uidl is None or not place.is_deleted_later:
        return place
    before = LedgerEntry.objects.filter(
        mailbox=place.mailbox, uidl=place.uidl, is_listed=False, message=message, origin=None
    )
    return replace(place, is_deleted_later=not before.exists())


def _same(item: Prepared) -> tuple[LedgerOutcome, Reason]:
    """Return how a message is accounted for that is kept already; of a large one, its header at least."""
    if item.is_header_only:
        return LedgerOutcome.OVERSIZE, Reason.TOO_LARGE
    return LedgerOutcome.DUPLICATE, Reason.SAME_CONTENT


def _held(mailbox: Mailbox, fresh: Sequence[Prepared]) -> dict[str, int]:
    """Return which of the messages are kept already, by hash.

    A large one of which only the header comes may have been fetched whole before, when somebody asked for it.
    Nothing less than its fingerprint tells that: another copy has the same Message-ID and comes in the same
    second, and may have been stripped of the attachments that this one has.
    """
    same = Message.objects.filter(mailbox=mailbox, sha256__among={item.sha256 for item in fresh})
    found = dict(same.values_list("sha256", "pk"))
    headers = {
        item.fingerprint: item
        for item in fresh
        if item.is_header_only and item.fingerprint and item.sha256 not in found
    }
    names = {item.parsed.message_id for item in headers.values() if item.parsed} - {""}
    if names:
        whole = LedgerEntry.objects.filter(
            message__mailbox=mailbox, message__message_id__in=names, message__is_header_only=False
        )
        for mark, pk in whole.filter(fingerprint__in=headers).values_list("fingerprint", "message_id"):
            found[headers[mark].sha256] = pk
    return found


def message_ids(count: int) -> list[int]:
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
