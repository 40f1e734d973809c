"""Emails as rows of a list, whichever way they went, and their places in the order of time."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Count, Q, QuerySet
from django.urls import reverse
from django.utils.translation import gettext as _

from mailboxes.choices import Direction, OutgoingStatus
from mailboxes.models import Mailbox, Message, OutgoingMessage
from mailboxes.services import outgoing
from profiles.access import Permission
from profiles.models import Environment

RECEIVED, SENT = 0, 1
Place = tuple[datetime, int, int]
RECEIVED_FIELDS = (
    "subject",
    "from_name",
    "from_address",
    "received_at",
    "attachment_count",
    "is_quarantined",
    "is_header_only",
    "conversation",
    "mailbox",
)
SENT_FIELDS = (
    "subject",
    "to",
    "cc",
    "bcc",
    "created_on",
    "attachment_count",
    "status",
    "conversation",
    "mailbox",
)
MAILBOX_FIELDS = ("mailbox__name", "mailbox__owner", "mailbox__environment")


@dataclass(frozen=True)
class Email:
    """One row of the list, whichever way the message went."""

    way: int
    pk: int
    mailbox: Mailbox
    url: str
    subject: str
    who: str
    direction: Direction
    status: str
    at: datetime
    has_attachments: bool
    conversation: UUID | None
    #: Whether "Cancel sending", "Send again" or "Read again" may be asked for.
    can_be_commanded: bool = False
    #: How many emails its conversation has, and where they are shown.
    in_conversation: int = 1
    conversation_url: str = ""

    @property
    def key(self) -> str:
        """Return the word by which commands and the page name this email."""
        return f"{'out' if self.way else 'in'}-{self.pk}"

    @property
    def place(self) -> Place:
        """Return where the email stands in the order of time."""
        return self.at, self.way, self.pk

    @property
    def cursor(self) -> str:
        """Return its place as a word for the address."""
        return write_cursor(self.place)


def received_status(message: Message) -> str:
    """Return the status of a received message, in the words of the console."""
    if message.is_quarantined:
        return "quarantined"
    return "oversize" if message.is_header_only else "received"


def read_cursor(word: str) -> Place | None:
    """Return the place that `word` names, if it is one."""
    parts = word.split("-")
    if len(parts) != 3 or not all(p.isascii() and p.isdecimal() and len(p) <= 18 for p in parts):
        return None
    moment, way, pk = map(int, parts)
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=moment), way, pk
    except OverflowError:
        return None


def write_cursor(place: Place) -> str:
    """Return a place as a word for the address."""
    return f"{round(place[0].timestamp() * 1_000_000)}-{place[1]}-{place[2]}"


@dataclass(frozen=True)
class Reader:
    """Who reads the mail of an environment, and which of its mailboxes; None is all of them."""

    user_pk: int | None
    environment: Environment
    readable: QuerySet[Mailbox] | None

    def scope(self, **conditions: Any) -> Q:
        """Return the condition for mail that may be read."""
        scope = Q(environment=self.environment, **conditions)
        return scope if self.readable is None else scope & Q(mailbox__in=self.readable)

    def may_send(self, mailbox: Mailbox) -> bool:
        """Say whether email of `mailbox` can be sent, canceled and repeated."""
        return Permission.SEND_EMAIL in self.environment.may or mailbox.owner_id == self.user_pk

    def address(self, name: str, *words: object) -> str:
        """Return the address of a page about mail."""
        return reverse(f"mailboxes:{name}", args=[self.environment.slug, *words])

    def received_row(self, message: Message) -> Email:
        """Return a received message as a row."""
        return Email(
            way=RECEIVED,
            pk=message.pk,
            mailbox=message.mailbox,
            url=self.address("message_detail", message.mailbox_id, message.pk),
            subject=str(message),
            who=message.from_name or message.from_address or _("(unknown sender)"),
            direction=Direction.INCOMING,
            status=received_status(message),
            at=message.received_at,
            has_attachments=message.attachment_count > 0,
            conversation=message.conversation,
            can_be_commanded=message.is_quarantined,
        )

    def sent_row(self, message: OutgoingMessage) -> Email:
        """Return an outgoing message as a row."""
        is_draft = message.status == OutgoingStatus.DRAFT
        may_send = self.may_send(message.mailbox)
        return Email(
            way=SENT,
            pk=message.pk,
            mailbox=message.mailbox,
            url=self.address(
                "email_draft" if is_draft and may_send else "outgoing_detail", message.mailbox_id, message.pk
            ),
            subject=str(message),
            who=first_of([*message.to, *message.cc, *message.bcc]),
            direction=Direction.OUTGOING,
            status=message.status,
            at=message.created_on,
            has_attachments=message.attachment_count > 0,
            conversation=message.conversation,
            can_be_commanded=may_send and message.status in outgoing.COMMANDABLE,
        )

    def _address(self, name: str, *words: object) -> str:
        return reverse(f"mailboxes:{name}", args=[self.environment.slug, *words])

    def with_conversations(self, rows: list[Email]) -> list[Email]:
        """Say how many emails each conversation has, in two questions for the whole page."""
        known = {row.conversation for row in rows if row.conversation}
        if not known:
            return rows
        scope = self.scope(conversation__in=known)
        numbers = Counter[UUID | None]()
        for found in (Message.objects.filter(scope), OutgoingMessage.objects.filter(scope)):
            counted: Iterable[tuple[UUID | None, int]] = (
                found.order_by().values_list("conversation").annotate(number=Count("pk"))
            )
            for conversation, number in counted:
                numbers[conversation] += number
        return [
            replace(
                row,
                in_conversation=numbers[row.conversation],
                conversation_url=self.address("conversation", row.conversation),
            )
            if numbers[row.conversation] > 1
            else row
            for row in rows
        ]


def next_of(
    emails: QuerySet[Any], place: Place | None, *, at: str, way: int, descending: bool, limit: int
) -> QuerySet[Any]:
    """Return the emails of one table that come next after `place`, one more than a page holds."""
    if place:
        moment, place_way, pk = place
        word = "lt" if descending else "gt"
        beyond = Q(**{f"{at}__{word}": moment})
        if way == place_way:
            beyond |= Q(**{at: moment, f"pk__{word}": pk})
        elif (way < place_way) == descending:
            beyond |= Q(**{at: moment})
        # The first condition alone is what an index is entered by.
        emails = emails.filter(**{f"{at}__{word}e": moment}).filter(beyond)
    sign = "-" if descending else ""
    return emails.select_related("mailbox").order_by(f"{sign}{at}", f"{sign}pk")[:limit]


def first_of(addresses: list[str]) -> str:
    """Name the first of some addresses, and how many more there are."""
    if not addresses:
        return _("(nobody)")
    first = addresses[0].rpartition(" <")[0].strip('"') or addresses[0]
    if len(addresses) == 1:
        return first
    return _("%(first)s and %(number)d more") % {"first": first, "number": len(addresses) - 1}
