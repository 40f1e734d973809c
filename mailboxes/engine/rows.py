"""The rows of received mail, table by table, and the fastest way to insert them."""

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Model
from psycopg.types.json import Jsonb

from emailsync.mail.parsing import Address, ParsedMessage
from mailboxes.choices import LedgerOutcome, RecipientKind
from mailboxes.engine.preparing import Prepared
from mailboxes.engine.tracking import Rules, Verdict
from mailboxes.models import Attachment, LedgerEntry, Message, MessageWords, RawMessage, Recipient

MESSAGE_COLUMNS = (
    "id mailbox_id environment_id folder uidvalidity uid message_id in_reply_to references subject "
    "from_name from_address date received_at stored_on size sha256 "
    "preview has_html attachment_count defects is_quarantined is_header_only "
    "kept_because conversation correlation correlated_with_id correlated_with_outgoing_id smart_key "
    "forwarded_in_id accepted_by_id automatic"
)
#: By their values, in the order in which a message names its people.
RECIPIENT_KINDS = tuple(
    kind.value for kind in (RecipientKind.TO, RecipientKind.CC, RecipientKind.BCC, RecipientKind.REPLY_TO)
)


@dataclass(frozen=True)
class Place:
    """Where a message was found: by UID, by UIDL, or attached to a message of a forward mailbox (`uidl`)."""

    mailbox: UUID
    folder: str
    size: int
    received_at: datetime
    uidvalidity: int | None = None
    uid: int | None = None
    uidl: str | None = None
    fingerprint: str = ""
    forwarded_in: int | None = None
    #: Removed from the server once it is stored.
    is_deleted_later: bool = False

    @property
    def is_listed(self) -> bool:
        """Say whether the `uidl` is one that a server lists."""
        return self.uidl is not None and self.forwarded_in is None


class Rows:
    """Rows to insert, table by table, as plain tuples: model instances would cost more than parsing."""

    def __init__(self, rules: Rules, *, now: datetime) -> None:
        """Begin without any."""
        self._rules, self._now = rules, now
        self.messages: list[tuple[Any, ...]] = []
        self.raws: list[tuple[Any, ...]] = []
        self.recipients: list[tuple[Any, ...]] = []
        self.attachments: list[tuple[Any, ...]] = []
        self.words: list[tuple[Any, ...]] = []
        self.ledger: list[tuple[Any, ...]] = []
        #: Messages that are there and get everything anew, and those that turned out to be kept elsewhere.
        self.replaced: list[int] = []
        self.unneeded: list[int] = []

    def add_ledger(self, place: Place, outcome: str, reason: str, message_pk: int | None) -> None:
        """Account for a message: `outcome` is a LedgerOutcome, `reason` a Reason or empty."""
        is_kept = message_pk is not None and outcome != LedgerOutcome.OVERSIZE
        self.ledger.append(
            (
                *(place.mailbox, place.folder, place.uidvalidity, place.uid, place.uidl),
                *(str(outcome), str(reason), message_pk, place.size, place.received_at),
                *(self._now, is_kept and place.is_deleted_later, False, "", place.forwarded_in),
                *(place.is_listed, place.fingerprint),
            )
        )

    def add_message(
        self,
        place: Place,
        item: Prepared,
        verdict: Verdict,
        *,
        pk: int,
        replaces: bool = False,
    ) -> None:
        """Add a message with its bytes at rest; one that could not be parsed has its failure and little else.

        One that `replaces` the message `pk` takes its place, and others go on referring to it.
        """
        if replaces:
            self.replaced.append(pk)
        head = (pk, place.mailbox, self._rules.environment, place.folder, place.uidvalidity, place.uid)
        tail = (place.received_at, self._now, item.source.size, item.sha256)
        tracked = (
            *(verdict.reason.value, verdict.conversation, verdict.correlation),
            *(verdict.answered.message, verdict.answered.outgoing, verdict.smart_key, place.forwarded_in),
            verdict.accepted_by,
            item.seen.automatic.value,
        )
        parsed = item.parsed
        if parsed is None:
            blank = ("", "", "", "", "", "", None)
            seen = ("", False, 0, [item.failure], True, item.is_header_only)
            self.messages.append((*head, *blank, *tail, *seen, *tracked))
        else:
            sender = parsed.sender or Address("", "")
            said = (
                parsed.message_id[:998],
                parsed.in_reply_to[:998],
                " ".join(parsed.references),
                parsed.subject,
            )
            came = (sender.name, sender.address[:998], parsed.date)
            seen = (
                *(item.seen.preview, parsed.has_html, len(parsed.attachments), list(parsed.defects)),
                *(False, item.is_header_only),
            )
            self.messages.append((*head, *said, *came, *tail, *seen, *tracked))
            self._add_children(pk, parsed)
            self.words.append((pk, item.seen.words))
        self.raws.append((pk, item.content, item.file))

    def _add_children(self, pk: int, parsed: ParsedMessage) -> None:
        for kind, addresses in zip(
            RECIPIENT_KINDS, (parsed.to, parsed.cc, parsed.bcc, parsed.reply_to), strict=True
        ):
            for position, address in enumerate(addresses):
                self.recipients.append((pk, kind, position, address.name, address.address[:998]))
        for a in parsed.attachments:
            blocked = self._rules.blocks(a)
            self.attachments.append(
                (
                    *(pk, a.position, a.filename, a.content_type[:255], a.size, a.sha256),
                    *(a.content_id[:998], a.inline, bool(blocked), blocked),
                )
            )

    def insert(self) -> None:
        """Write all of them."""
        if self.unneeded:
            Message.objects.filter(pk__in=self.unneeded).delete()
        self._replace()
        insert_into(Message, MESSAGE_COLUMNS, self.messages)
        insert_into(RawMessage, "message_id content file", self.raws)
        insert_into(Recipient, "message_id kind position name address", self.recipients)
        insert_into(
            Attachment,
            "message_id position filename content_type size sha256 content_id is_inline "
            "is_blocked blocked_because",
            self.attachments,
        )
        insert_into(MessageWords, "message_id words", self.words)
        insert_into(
            LedgerEntry,
            "mailbox_id folder uidvalidity uid uidl outcome reason message_id size received_at seen_on "
            "is_to_delete is_to_fetch moved_to origin_id is_listed fingerprint",
            self.ledger,
        )

    def _replace(self) -> None:
        """Write those messages that are there already, without what belonged to them before."""
        if not self.replaced:
            return
        there, self.messages = (
            [row for row in self.messages if (row[0] in self.replaced) is is_there]
            for is_there in (True, False)
        )
        for part in (Recipient, Attachment, MessageWords, RawMessage):
            part._base_manager.filter(message__in=self.replaced).delete()
        for row in there:
            columns = dict(zip(MESSAGE_COLUMNS.split(), row, strict=True))
            del columns["stored_on"]
            Message.objects.filter(pk=columns.pop("id")).update(**columns)


def insert_into(model: type[Model], names: str, rows: list[tuple[Any, ...]]) -> None:
    """Insert `rows` with the columns `names`: by COPY on PostgreSQL, in bulk elsewhere."""
    if not rows:
        return
    if connection.vendor != "postgresql":
        attributes = names.split()
        model._base_manager.bulk_create(
            [model(**dict(zip(attributes, row, strict=True))) for row in rows], batch_size=500
        )
        return
    statement, types, json_at = _copying(model, names)
    # Django does not translate what `copy` raises by itself.
    with (
        connection.wrap_database_errors,
        connection.cursor() as cursor,
        cursor.copy(statement) as copy,
    ):
        copy.set_types(types)
        for row in rows:
            copy.write_row(_with_json(row, json_at) if json_at else row)


@cache
def _copying(model: type[Model], names: str) -> tuple[str, list[str], list[int]]:
    """Return the statement, the types of its columns, and the places of those that hold JSON."""
    by_name = {field.attname: field for field in model._meta.concrete_fields}
    fields = [by_name[name] for name in names.split()]
    types = [_copy_type(field.db_type(connection) or "text") for field in fields]
    columns = ", ".join(connection.ops.quote_name(str(field.column)) for field in fields)
    table = connection.ops.quote_name(model._meta.db_table)
    json_at = [place for place, kind in enumerate(types) if kind == "jsonb"]
    return f"COPY {table} ({columns}) FROM STDIN (FORMAT BINARY)", types, json_at


def _with_json(row: tuple[Any, ...], places: list[int]) -> list[Any]:
    """Return a row with the values at `places` as COPY takes JSON."""
    values = list(row)
    for place in places:
        values[place] = Jsonb(values[place])
    return values


def _copy_type(db_type: str) -> str:
    """Return the type's name as COPY wants it: without length, and short."""
    name = db_type.partition("(")[0]
    return "timestamptz" if name == "timestamp with time zone" else name
