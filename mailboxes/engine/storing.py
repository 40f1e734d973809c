"""Batches of received mail into rows: ledger, raw bytes, message and cursor in one fenced transaction."""

import logging
import os
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from django.core.files.storage import default_storage
from django.db import DataError, connection, models
from django.db.models import Model
from psycopg.types.json import Jsonb

from emailsync.mail.errors import SpoolFailed
from emailsync.mail.incoming import FetchedMessage, RemoteMessage
from emailsync.mail.parsing import Address, ParsedMessage, parse, parse_file
from mailboxes import searching
from mailboxes.choices import LedgerOutcome, RecipientKind
from mailboxes.engine import scheduling
from mailboxes.models import (
    Attachment,
    FolderCursor,
    LedgerEntry,
    Mailbox,
    Message,
    MessageWords,
    RawMessage,
    Recipient,
)

log = logging.getLogger(__name__)

#: Raw messages above this size are kept as files, content-addressed, instead of in the database.
FILE_THRESHOLD = 4 * 1024 * 1024
COPY_PIECE = 1024 * 1024
PREVIEW_CHARACTERS = 200
#: What a defect in a parser may raise. The message is quarantined with its bytes, and the next one follows.
PARSER_FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)

#: What the database, or its driver, says about values that it cannot hold.
REFUSALS = (DataError, OverflowError, UnicodeEncodeError)


@dataclass(frozen=True)
class Noted:
    """A message accounted for without its bytes: too old, too large, or withheld by the server."""

    remote: RemoteMessage
    outcome: LedgerOutcome


@dataclass(frozen=True)
class Prepared:
    """A fetched message with what its rows need, made before the transaction opens."""

    source: FetchedMessage
    sha256: str
    parsed: ParsedMessage | None
    failure: str
    content: bytes | None
    file: str


@dataclass(frozen=True)
class Batch:
    """What one transaction stores: parsed messages, noted ones and the UID up to which all is known."""

    prepared: Sequence[Prepared]
    noted: Sequence[Noted]
    last_uid: int


@dataclass(frozen=True)
class Folder:
    """Where a batch comes from: the mailbox, its folder and the UIDVALIDITY its UIDs belong to."""

    mailbox: Mailbox
    name: str
    uidvalidity: int
    #: Set after a renumbering: messages found again take their new UID.
    is_rescan: bool = False


@dataclass
class Saved:
    """What a batch came to."""

    stored: int = 0
    duplicates: int = 0
    #: UID and reason of each message of which only the bytes could be kept.
    quarantined: list[tuple[int, str]] = field(default_factory=list)


def save(lease: scheduling.Lease, folder: Folder, batch: Batch, *, now: datetime) -> Saved:
    """Store `batch`, then move the cursor, all or nothing. Raises LeaseLost.

    A batch that the database refuses is stored again message by message, and what it still refuses is
    quarantined with its bytes.
    """
    try:
        return _store(lease, folder, batch.prepared, batch, now=now)
    except REFUSALS as error:
        log.warning("A batch was refused by the database and is stored one by one: %s", error)
    saved = Saved()
    for item in batch.prepared:
        # The cursor waits for what was noted: see the last line.
        alone = Batch([], [], 0)
        try:
            part = _store(lease, folder, [item], alone, now=now)
        except REFUSALS as error:
            reason = f"The database does not take it ({type(error).__name__})."
            bare = Prepared(item.source, item.sha256, None, reason, item.content, item.file)
            part = _store(lease, folder, [bare], alone, now=now)
        saved.stored += part.stored
        saved.duplicates += part.duplicates
        saved.quarantined += part.quarantined
    _store(lease, folder, [], Batch([], batch.noted, batch.last_uid), now=now)
    return saved


def prepare(message: FetchedMessage) -> Prepared:
    """Parse a message and put a large one's bytes to rest; what cannot be parsed is marked for quarantine."""
    body = message.body
    sha256 = body.sha256.hex()
    content = body.content if body.content is not None and body.size <= FILE_THRESHOLD else None
    file = ""
    failure, parsed = "", None
    try:
        whole = body.content
        parsed = parse(whole) if whole is not None else parse_file(body.open(), size=body.size)
    except PARSER_FAILURES as error:
        log.exception("A message could not be parsed and is quarantined")
        failure = f"{type(error).__name__} while reading it"
    if body.size > FILE_THRESHOLD:
        file = _keep_file(body.open(), sha256, size=body.size)
    elif content is None:
        content = body.open().read()
    return Prepared(message, sha256, parsed, failure, content, file)


def _keep_file(stream: IO[bytes], sha256: str, *, size: int) -> str:
    """Write a large message to storage under its hash, whole and on disk before any row names it.

    It gets that name only when all of it is there: a full disk or a power cut leaves no half message
    behind that would be taken for this one later. Raises SpoolFailed.
    """
    name = f"{sha256[:2]}/{sha256[2:4]}/{sha256}"
    path = Path(default_storage.path(name))
    unfinished = path.with_name(f"{sha256}.{uuid.uuid4().hex}.unfinished")
    try:
        if path.exists() and path.stat().st_size == size:
            return name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                shutil.copyfileobj(stream, file, COPY_PIECE)
                file.flush()
                os.fsync(file.fileno())
            unfinished.rename(path)
        finally:
            unfinished.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as error:
        raise SpoolFailed(
            f"A large message could not be written to the data folder: {error.strerror}."
        ) from error
    return name


def _sync_folder(folder: Path) -> None:
    """Have the names in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _store(
    lease: scheduling.Lease, folder: Folder, prepared: Sequence[Prepared], batch: Batch, *, now: datetime
) -> Saved:
    saved = Saved()
    mailbox = folder.mailbox
    with scheduling.fenced(lease):
        uids = [p.source.uid for p in prepared] + [n.remote.uid for n in batch.noted]
        entries = LedgerEntry.objects.filter(
            mailbox=mailbox, folder=folder.name, uidvalidity=folder.uidvalidity, uid__in=uids
        )
        # What the server withheld before is accounted for anew; what is stored already is not.
        entries.withheld().delete()
        known = set(entries.values_list("uid", flat=True))
        fresh = [p for p in prepared if p.source.uid not in known]
        by_hash = dict(
            Message.objects.filter(mailbox=mailbox, sha256__in={p.sha256 for p in fresh}).values_list(
                "sha256", "pk"
            )
        )
        rows = _Rows()
        ids = iter(_message_ids(sum(p.sha256 not in by_hash for p in fresh)))
        moved: dict[int, int] = {}
        for item in fresh:
            held = by_hash.get(item.sha256)
            if held is not None:
                outcome, message_pk = LedgerOutcome.DUPLICATE, held
                moved[held] = item.source.uid
                saved.duplicates += 1
            else:
                message_pk = next(ids)
                by_hash[item.sha256] = message_pk
                outcome = LedgerOutcome.STORED if item.parsed else LedgerOutcome.QUARANTINED
                rows.add_message(folder, item, message_pk, now=now)
                saved.stored += 1
                if not item.parsed:
                    saved.quarantined.append((item.source.uid, item.failure))
            rows.add_ledger(folder, item.source.uid, outcome, message_pk, item.source, now=now)
        for note in batch.noted:
            if note.remote.uid not in known:
                rows.add_ledger(folder, note.remote.uid, note.outcome, None, note.remote, now=now)
        rows.insert()
        if folder.is_rescan:
            for message_pk, uid in moved.items():
                Message.objects.filter(pk=message_pk).update(uid=uid, uidvalidity=folder.uidvalidity)
        FolderCursor.objects.filter(
            mailbox=mailbox, folder=folder.name, uidvalidity=folder.uidvalidity, last_uid__lt=batch.last_uid
        ).update(last_uid=batch.last_uid)
    return saved


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


class _Rows:
    """Rows to insert, table by table, as plain tuples: model instances would cost more than parsing."""

    def __init__(self) -> None:
        self.messages: list[tuple[Any, ...]] = []
        self.raws: list[tuple[Any, ...]] = []
        self.recipients: list[tuple[Any, ...]] = []
        self.attachments: list[tuple[Any, ...]] = []
        self.words: list[tuple[Any, ...]] = []
        self.ledger: list[tuple[Any, ...]] = []

    def add_ledger(
        self,
        folder: Folder,
        uid: int,
        outcome: LedgerOutcome,
        message_pk: int | None,
        source: FetchedMessage | RemoteMessage,
        *,
        now: datetime,
    ) -> None:
        delete = message_pk is not None and folder.mailbox.delete_after_processing
        self.ledger.append(
            (
                *(folder.mailbox.pk, folder.name, folder.uidvalidity, uid, outcome.value, message_pk),
                *(source.size, source.received_at, now, delete),
            )
        )

    def add_message(self, folder: Folder, item: Prepared, pk: int, *, now: datetime) -> None:
        source, parsed = item.source, item.parsed
        head = (
            pk,
            folder.mailbox.pk,
            folder.mailbox.environment_id,
            folder.name,
            folder.uidvalidity,
            source.uid,
        )
        tail = (source.received_at, now, source.body.size, item.sha256)
        if parsed is None:
            blank = ("", "", "", "", "", "", None)
            self.messages.append((*head, *blank, *tail, "", False, 0, [item.failure], True))
        else:
            sender = parsed.sender or Address("", "")
            said = (
                parsed.message_id[:998],
                parsed.in_reply_to[:998],
                " ".join(parsed.references),
                parsed.subject,
            )
            came = (sender.name, sender.address[:998], parsed.date)
            seen = (_preview(parsed), bool(parsed.html), len(parsed.attachments), list(parsed.defects), False)
            self.messages.append((*head, *said, *came, *tail, *seen))
            self._add_children(pk, parsed)
            people = (str(one) for one in (sender, *parsed.to, *parsed.cc, *parsed.bcc, *parsed.reply_to))
            self.words.append((pk, searching.words(parsed.subject, people, parsed.text)))
        self.raws.append((pk, item.content, item.file))

    def _add_children(self, pk: int, parsed: ParsedMessage) -> None:
        headers = (
            (RecipientKind.TO, parsed.to),
            (RecipientKind.CC, parsed.cc),
            (RecipientKind.BCC, parsed.bcc),
            (RecipientKind.REPLY_TO, parsed.reply_to),
        )
        for kind, addresses in headers:
            self.recipients += [
                (pk, kind.value, position, address.name, address.address[:998])
                for position, address in enumerate(addresses)
            ]
        self.attachments += [
            (pk, a.position, a.filename, a.content_type[:255], a.size, a.sha256, a.content_id[:998], a.inline)
            for a in parsed.attachments
        ]

    def insert(self) -> None:
        _insert(
            Message,
            "id mailbox_id environment_id folder uidvalidity uid message_id in_reply_to references subject "
            "from_name from_address date received_at stored_on size sha256 "
            "preview has_html attachment_count defects is_quarantined",
            self.messages,
        )
        _insert(RawMessage, "message_id content file", self.raws)
        _insert(Recipient, "message_id kind position name address", self.recipients)
        _insert(
            Attachment,
            "message_id position filename content_type size sha256 content_id is_inline",
            self.attachments,
        )
        _insert(MessageWords, "message_id words", self.words)
        _insert(
            LedgerEntry,
            "mailbox_id folder uidvalidity uid outcome message_id size received_at seen_on is_to_delete",
            self.ledger,
        )


def _preview(parsed: ParsedMessage) -> str:
    return " ".join(parsed.text[: PREVIEW_CHARACTERS * 4].split())[:PREVIEW_CHARACTERS]


def _insert(model: type[Model], names: str, rows: list[tuple[Any, ...]]) -> None:
    """Insert `rows` with the columns `names`: by COPY on PostgreSQL, in bulk elsewhere."""
    if not rows:
        return
    attributes = names.split()
    if connection.vendor != "postgresql":
        model._base_manager.bulk_create(
            [model(**dict(zip(attributes, row, strict=True))) for row in rows], batch_size=500
        )
        return
    fields = [next(f for f in model._meta.concrete_fields if f.attname == name) for name in attributes]
    types = [_copy_type(f.db_type(connection) or "text") for f in fields]
    json_at = [index for index, kind in enumerate(types) if kind == "jsonb"]
    columns = ", ".join(connection.ops.quote_name(str(f.column)) for f in fields)
    table = connection.ops.quote_name(model._meta.db_table)
    # Django does not translate what `copy` raises by itself.
    with (
        connection.wrap_database_errors,
        connection.cursor() as cursor,
        cursor.copy(f"COPY {table} ({columns}) FROM STDIN (FORMAT BINARY)") as copy,
    ):
        copy.set_types(types)
        for row in rows:
            copy.write_row([Jsonb(v) if i in json_at else v for i, v in enumerate(row)] if json_at else row)


def _copy_type(db_type: str) -> str:
    """Return the type's name as COPY wants it: without length, and short."""
    name = db_type.partition("(")[0]
    return "timestamptz" if name == "timestamp with time zone" else name
