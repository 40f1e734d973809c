"""Mail received and sent in one list, by time, of one mailbox or of all that somebody may read.

Pages are cut by keys, not by numbers: each begins after the last email of the one before, so the thousandth
costs what the first does. Both tables give their next rows out of an index, and the two are merged here.
Counts would cost more than the rows; only the tab of one mailbox shows them, and up to a limit.
"""

import hashlib
import json
from functools import cached_property

from django.db.models import Count, Q, QuerySet
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from emailsync.web.listing import LONGEST_QUERY, Choice
from mailboxes import searching
from mailboxes.models import Mailbox, Message, OutgoingMessage
from mailboxes.views.email_filters import FACETS, NOTHING, Filters
from mailboxes.views.email_rows import (
    MAILBOX_FIELDS,
    RECEIVED,
    RECEIVED_FIELDS,
    SENT,
    SENT_FIELDS,
    Email,
    Place,
    Reader,
    next_of,
    read_cursor,
    write_cursor,
)

SIZE = 25
#: How many emails of a mailbox are counted, and how many of those that a search finds.
COUNTED = 10_000
COUNTED_BY_SEARCH = 1_000


class EmailListing:
    """One page of mail, and every link that changes what is shown."""

    noun = (gettext_lazy("email"), gettext_lazy("emails"))

    def __init__(
        self,
        state: QueryDict,
        reader: Reader,
        *,
        url: str,
        mailbox: Mailbox | None = None,
    ) -> None:
        """Read what is asked for out of the address; the list is of `mailbox`, or of the environment."""
        self.reader, self.mailbox, self.url = reader, mailbox, url
        self.query = " ".join(state.get("q", "").replace("\0", "").split())[:LONGEST_QUERY]
        self.facet = state.get("facet", "") if state.get("facet", "") in FACETS else ""
        self.is_oldest_first = state.get("sort") == "date"
        self.filters = Filters(state)
        self._after = read_cursor(state.get("after", ""))
        self._before = None if self._after else read_cursor(state.get("before", ""))

    # What is shown

    def _scope(self) -> Q:
        return self.reader.scope() if self.mailbox is None else Q(mailbox=self.mailbox)

    @cached_property
    def _halves(self) -> tuple[QuerySet[Message], QuerySet[OutgoingMessage]]:
        received, sent = self.filters.conditions()
        scope = self._scope()
        return (
            searching.received(Message.objects.filter(scope & received), self.query),
            searching.outgoing(OutgoingMessage.objects.filter(scope & sent), self.query),
        )

    @cached_property
    def rows(self) -> list[Email]:
        """Return the emails of this page."""
        return self.reader.with_conversations(self._page[0])

    @cached_property
    def _page(self) -> tuple[list[Email], bool, bool]:
        """Return the emails and whether there are others before and after them."""
        if self._before:
            rows, more = self._cut(self._before, forward=False)
            if more:
                return rows, True, True
        rows, more = self._cut(self._after, forward=True)
        return rows, self._after is not None, more

    def _cut(self, place: Place | None, *, forward: bool) -> tuple[list[Email], bool]:
        descending = forward != self.is_oldest_first
        _title, *conditions = FACETS.get(self.facet, ("", Q(), Q()))
        found: list[Email] = []
        if conditions[RECEIVED] is not NOTHING:
            found += map(
                self.reader.received_row,
                next_of(
                    self._halves[RECEIVED].filter(conditions[RECEIVED]),
                    place,
                    at="received_at",
                    way=RECEIVED,
                    descending=descending,
                    limit=SIZE + 1,
                ).only(*RECEIVED_FIELDS, *MAILBOX_FIELDS),
            )
        if conditions[SENT] is not NOTHING:
            found += map(
                self.reader.sent_row,
                next_of(
                    self._halves[SENT].filter(conditions[SENT]),
                    place,
                    at="created_on",
                    way=SENT,
                    descending=descending,
                    limit=SIZE + 1,
                ).only(*SENT_FIELDS, *MAILBOX_FIELDS),
            )
        found.sort(key=lambda email: email.place, reverse=descending)
        rows = found[:SIZE]
        return (rows if forward else rows[::-1]), len(found) > SIZE

    @property
    def signature(self) -> str:
        """Return a word that changes when anything shown changes, so that nothing else is sent again."""
        shown = [[(row.key, row.status, row.in_conversation) for row in self.rows]]
        return hashlib.blake2s(repr(shown).encode(), digest_size=8).hexdigest()

    @property
    def can_be_commanded(self) -> bool:
        """Say whether any row can be canceled, sent or read again."""
        return any(row.can_be_commanded for row in self.rows)

    # Words about it

    @property
    def range(self) -> str:
        """Say how many emails there are, when this page holds them all."""
        before, after = self._page[1:]
        number = len(self.rows)
        if before or after:
            return _("%(number)d emails on this page") % {"number": number}
        return ngettext("%(number)d email", "%(number)d emails", number) % {"number": number}

    @property
    def is_filtered(self) -> bool:
        """Tell whether a search, a facet or a filter hides emails."""
        return bool(self.query or self.facet or any(self.filters.state.values()))

    @property
    def filter_count(self) -> int:
        """Return how many filters are set."""
        return sum(map(bool, self.filters.state.values()))

    # Links that change it

    @property
    def state(self) -> dict[str, str]:
        """Return the state of the list as it stands in the address, without the page."""
        parts = {
            "q": self.query,
            "facet": self.facet,
            "sort": "date" if self.is_oldest_first else "",
            **self.filters.state,
        }
        return {name: value for name, value in parts.items() if value}

    def link(self, **changes: str) -> str:
        """Return the address of this list with `changes`; an empty value leaves the word out."""
        words = QueryDict(mutable=True)
        words.update({name: value for name, value in {**self.state, **changes}.items() if value})
        return f"{self.url}?{words.urlencode()}" if words else self.url

    @property
    def here(self) -> str:
        """Return the address of what is shown now."""
        before, _after = self._page[1:]
        return self.link(after=write_cursor(self._after)) if before and self._after else self.link()

    @property
    def is_first(self) -> bool:
        """Tell whether this is the first page."""
        return not self._page[1]

    @property
    def previous_url(self) -> str:
        """Return the address of the page before this one, or nothing."""
        return self.link(before=self.rows[0].cursor) if self._page[1] and self.rows else ""

    @property
    def next_url(self) -> str:
        """Return the address of the page after this one, or nothing."""
        return self.link(after=self.rows[-1].cursor) if self._page[2] else ""

    @property
    def turn_url(self) -> str:
        """Return the address of the list in the other order."""
        return self.link(sort="" if self.is_oldest_first else "date")

    @property
    def clear_url(self) -> str:
        """Return the address of the list without search, facet and filters."""
        return self.link(q="", facet="", **dict.fromkeys(self.filters.state, ""))

    @property
    def hidden(self) -> dict[str, str]:
        """Return the state that the search form carries along and has no control for."""
        return {name: value for name, value in self.state.items() if name in {"facet", "sort"}}

    @cached_property
    def _counts(self) -> dict[str, tuple[int, bool]]:
        """Return the numbers of the facets among the newest emails, and whether there are older ones."""
        if self.mailbox is None:
            return {}
        limit = COUNTED_BY_SEARCH if self.query else COUNTED
        found, sent = self._halves
        incoming = found.order_by("-received_at", "-pk")[: limit + 1].aggregate(
            incoming=Count("pk"), quarantined=Count("pk", filter=FACETS["quarantined"][1])
        )
        names = ("outgoing", "pending", "failed", "drafts")
        out = sent.order_by("-created_on", "-pk")[: limit + 1].aggregate(
            everything=Count("pk"), **{name: Count("pk", filter=FACETS[name][2]) for name in names}
        )
        older = {"incoming": incoming["incoming"] > limit, "outgoing": out["everything"] > limit}
        numbers = {name: (min(number, limit), older["incoming"]) for name, number in incoming.items()}
        numbers |= {name: (min(number, limit), older["outgoing"]) for name, number in out.items()}
        every = numbers["incoming"][0] + numbers["everything"][0]
        return {**numbers, "": (every, any(older.values()))}

    @property
    def facet_choices(self) -> list[Choice]:
        """Return the facets, "All" first, with numbers on the tab of one mailbox."""
        titles = {"": _("All"), **{name: str(facet[0]) for name, facet in FACETS.items()}}
        return [
            Choice(title, self.link(facet=name), name == self.facet, *self._counts.get(name, (0, False)))
            for name, title in titles.items()
        ]

    @property
    def has_counts(self) -> bool:
        """Tell whether the facets have numbers."""
        return self.mailbox is not None


def inside_json(name: str, word: str) -> Q:
    """Return the condition that `word` stands in a JSON column as text, where SQLite keeps it escaped."""
    return Q(**{f"{name}__icontains": word}) | Q(**{f"{name}__icontains": json.dumps(word)[1:-1]})
