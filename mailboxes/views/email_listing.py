"""The mail of one mailbox, received and sent in one list, newest first.

The two tables are united, ordered and cut to a page in the database, by keys alone; the rows of the page
are then fetched by key. A list asks five questions, whatever its size.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar

from django.db import connection
from django.db.models import Count, Exists, F, IntegerField, OuterRef, Q, QuerySet, TextField, Value
from django.db.models.functions import Cast
from django.http import QueryDict
from django.urls import reverse

from emailsync.web.listing import MOST_WORDS, Column, Facet, Listing
from mailboxes.choices import Direction, OutgoingStatus
from mailboxes.models import Mailbox, Message, OutgoingMessage, Recipient

PENDING = Q(status__in=[OutgoingStatus.PENDING_SEND, OutgoingStatus.SENDING])
FAILED = Q(status__in=[OutgoingStatus.FAILED, OutgoingStatus.UNCERTAIN])
EVERYTHING, NOTHING = Q(), Q(pk__in=[])

#: What each facet leaves of the received and of the outgoing mail.
CONDITIONS = {
    "": (EVERYTHING, EVERYTHING),
    "incoming": (EVERYTHING, NOTHING),
    "outgoing": (NOTHING, EVERYTHING),
    "pending": (NOTHING, PENDING),
    "failed": (NOTHING, FAILED),
}


@dataclass(frozen=True)
class Email:
    """One row of the list, whichever way the message went."""

    key: str
    url: str
    subject: str
    who: str
    direction: Direction
    status: str
    at: datetime
    has_attachments: bool


class EmailListing(Listing[Message]):
    """Received and outgoing mail of one mailbox under one search, one set of facets and one pager."""

    columns: ClassVar = (
        Column("subject", "Subject"),
        Column("who", "From or to"),
        Column("direction", "Direction"),
        Column("status", "Status"),
        Column("date", "Date", sort=("at",), classes="end"),
    )
    facets: ClassVar = (
        Facet("incoming", "Incoming", NOTHING),
        Facet("outgoing", "Outgoing", NOTHING),
        Facet("pending", "Pending", NOTHING),
        Facet("failed", "Failed", NOTHING),
    )
    default_sort: ClassVar[str] = "-date"
    noun: ClassVar[tuple[str, str]] = ("email", "emails")

    def __init__(self, state: QueryDict, mailbox: Mailbox, *, url: str) -> None:
        """Read what is asked for out of the address."""
        super().__init__(state, Message.objects.filter(mailbox=mailbox), url=url)
        self.mailbox = mailbox
        self.slug = mailbox.environment.slug

    @cached_property
    def received(self) -> QuerySet[Message]:
        """Return the received mail that the search finds."""
        found = self._queryset
        for word in self._words():
            inside = Recipient.objects.filter(message=OuterRef("pk"))
            found = found.filter(
                Q(subject__icontains=word)
                | Q(from_name__icontains=word)
                | Q(from_address__icontains=word)
                | Exists(inside.filter(Q(name__icontains=word) | Q(address__icontains=word)))
            )
        return found

    @cached_property
    def outgoing(self) -> QuerySet[OutgoingMessage]:
        """Return the outgoing mail that the search finds."""
        found = OutgoingMessage.objects.filter(mailbox=self.mailbox)
        words = self._words()
        if words:
            text = {f"{name}_text": Cast(name, TextField()) for name in ("to", "cc", "bcc")}
            found = found.annotate(**text)
        for word in words:
            found = found.filter(
                Q(subject__icontains=word)
                | inside_json("to_text", word)
                | inside_json("cc_text", word)
                | inside_json("bcc_text", word)
            )
        return found

    def _words(self) -> list[str]:
        return self.query.split()[:MOST_WORDS]

    @cached_property
    def _counts(self) -> dict[str, int]:
        incoming = self.received.count()
        outgoing = self.outgoing.aggregate(
            outgoing=Count("pk"), pending=Count("pk", filter=PENDING), failed=Count("pk", filter=FAILED)
        )
        return {
            "all_records": incoming + outgoing["outgoing"],
            "facet_incoming": incoming,
            **{f"facet_{name}": number for name, number in outgoing.items()},
        }

    @cached_property
    def rows(self) -> list[Any]:
        """Return the emails of this page."""
        if not self.total:
            return []
        keys = self._keys_of_page()
        messages = self._fetch_received(key for way, key, _ in keys if way == 0)
        sent = self._fetch_outgoing(key for way, key, _ in keys if way == 1)
        found = [(messages if way == 0 else sent).get(key) for way, key, _ in keys]
        return [email for email in found if email]

    def _keys_of_page(self) -> list[tuple[int, int, datetime]]:
        """Return (way, key, time) of every email of this page, in order."""
        of_received, of_outgoing = CONDITIONS[self.facet.name if self.facet else ""]
        order = ("at", "key") if self.sort == "date" else ("-at", "-key")
        start = (self.page - 1) * self.size
        end = start + self.size
        halves = []
        if of_received is not NOTHING:
            halves.append(_keys(self.received.filter(of_received), way=0, at="received_at"))
        if of_outgoing is not NOTHING:
            halves.append(_keys(self.outgoing.filter(of_outgoing), way=1, at="created_on"))
        if len(halves) == 1:
            return list(halves[0].order_by(*order)[start:end])
        if connection.features.supports_slicing_ordering_in_compound:
            # PostgreSQL would sort both tables whole; cut first, each half comes out of its index.
            halves = [half.order_by(*order)[:end] for half in halves]
        return list(halves[0].union(halves[1], all=True).order_by(*order, "way")[start:end])

    def _fetch_received(self, keys: Iterable[int]) -> dict[int, Email]:
        fields = (
            "subject",
            "from_name",
            "from_address",
            "received_at",
            "attachment_count",
            "is_quarantined",
        )
        found = Message.objects.filter(pk__in=list(keys)).only(*fields)
        return {
            message.pk: Email(
                key=f"in-{message.pk}",
                url=reverse("mailboxes:message_detail", args=[self.slug, self.mailbox.pk, message.pk]),
                subject=str(message),
                who=message.from_name or message.from_address or "(unknown sender)",
                direction=Direction.INCOMING,
                status="quarantined" if message.is_quarantined else "received",
                at=message.received_at,
                has_attachments=message.attachment_count > 0,
            )
            for message in found
        }

    def _fetch_outgoing(self, keys: Iterable[int]) -> dict[int, Email]:
        fields = ("subject", "to", "cc", "bcc", "created_on", "attachment_count", "status")
        found = OutgoingMessage.objects.filter(pk__in=list(keys)).only(*fields)
        return {
            message.pk: Email(
                key=f"out-{message.pk}",
                url=reverse("mailboxes:outgoing_detail", args=[self.slug, self.mailbox.pk, message.pk]),
                subject=str(message),
                who=_first_of([*message.to, *message.cc, *message.bcc]),
                direction=Direction.OUTGOING,
                status=message.status,
                at=message.created_on,
                has_attachments=message.attachment_count > 0,
            )
            for message in found
        }

    @property
    def signature(self) -> str:
        """Return a word that changes when anything shown changes, so that nothing else is sent again."""
        shown = [sorted(self._counts.items()), [(row.key, row.status) for row in self.rows]]
        return hashlib.blake2s(repr(shown).encode(), digest_size=8).hexdigest()


def inside_json(name: str, word: str) -> Q:
    """Return the condition that `word` stands in a JSON column as text, where SQLite keeps it escaped."""
    return Q(**{f"{name}__icontains": word}) | Q(**{f"{name}__icontains": json.dumps(word)[1:-1]})


def _keys(emails: QuerySet[Any], *, way: int, at: str) -> QuerySet[Any, Any]:
    named: QuerySet[Any, Any] = emails.order_by().annotate(
        way=Value(way, IntegerField()), key=F("pk"), at=F(at)
    )
    return named.values_list("way", "key", "at")


def _first_of(addresses: list[str]) -> str:
    if not addresses:
        return "(nobody)"
    first = addresses[0].rpartition(" <")[0].strip('"') or addresses[0]
    return first if len(addresses) == 1 else f"{first} and {len(addresses) - 1} more"
