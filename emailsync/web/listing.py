"""Lists: search, sort, views, facets and pages, declared once and kept in the address.

    class MailboxListing(Listing[Mailbox]):
        columns = (
            Column("name", "Name", sort=(Lower("name"),)),
            Column("tested", "Last tested", sort=("tested_on",), classes="lg"),
        )
        search = ("name", "address")
        views = (View("active", "Active Mailboxes", Q(is_active=True)), ...)
        facets = (Facet("failing", "Failing", Q(incoming_status="failure")), ...)

    listing = MailboxListing(request.GET, queryset, url=request.path)

A listing asks the database two questions, whatever its size: one for all counts, one for the rows of
the page (and what `queryset` prefetches). Words in the address it does not know are ignored.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from django.db.models import Count, F, Model, Q, QuerySet
from django.db.models.expressions import Combinable
from django.http import QueryDict
from django.utils.http import urlencode

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise

M = TypeVar("M", bound=Model)

LONGEST_QUERY = 200
MOST_WORDS = 8


@dataclass(frozen=True)
class Column:
    """A column; sortable when it says by what, each a field name or an expression."""

    name: str
    title: "_StrOrPromise"
    sort: tuple[str | Combinable, ...] = ()
    classes: str = ""


@dataclass(frozen=True)
class View:
    """A named part of the records, chosen in the title."""

    name: str
    title: "_StrOrPromise"
    condition: Q = field(default_factory=Q)


@dataclass(frozen=True)
class Facet:
    """A filter within the view, shown with the number of records it would leave."""

    name: str
    title: "_StrOrPromise"
    condition: Q


@dataclass(frozen=True)
class Choice:
    """A view, a facet or a page size as a link."""

    title: "_StrOrPromise"
    url: str
    is_current: bool
    count: int = 0


@dataclass(frozen=True)
class Header:
    """A column's head. `direction` is "ascending", "descending" or nothing."""

    title: "_StrOrPromise"
    classes: str
    url: str
    direction: str


class Listing(Generic[M]):
    """The records of one page of a list, and every link that changes what is shown."""

    columns: ClassVar[Sequence[Column]] = ()
    search: ClassVar[Sequence[str]] = ()
    views: ClassVar[Sequence[View]] = ()
    facets: ClassVar[Sequence[Facet]] = ()
    page_sizes: ClassVar[Sequence[int]] = (25, 50, 100, 250)
    #: Whether commands reach all records that match, beyond the page.
    offers_all: ClassVar[bool] = False
    default_sort: ClassVar[str] = ""
    #: What the records are called, one and many.
    noun: ClassVar[tuple[str, str]] = ("record", "records")

    def __init__(self, state: QueryDict, queryset: QuerySet[M], *, url: str) -> None:
        """Read what is asked for out of the address."""
        self.url = url
        self.query = " ".join(state.get("q", "").replace("\0", "").split())[:LONGEST_QUERY]
        self.view = next((view for view in self.views if view.name == state.get("view")), None) or (
            self.views[0] if self.views else None
        )
        self.facet = next((facet for facet in self.facets if facet.name == state.get("facet")), None)
        self.size = next(
            (size for size in self.page_sizes if str(size) == state.get("size")), self.page_sizes[0]
        )
        self.sort = self._known_sort(state.get("sort", "")) or self._known_sort(self.default_sort)
        #: Whether all records that match are chosen for a command, on all pages.
        self.everything = self.offers_all and state.get("all") == "1"
        self._asked_page = state.get("page", "")
        self._queryset = queryset

    def _known_sort(self, sort: str) -> str:
        return (
            sort
            if any(column.sort and column.name == sort.removeprefix("-") for column in self.columns)
            else ""
        )

    # What is shown

    @cached_property
    def matching(self) -> QuerySet[M]:
        """Return the records of the view that match the search, before any facet."""
        found = self._queryset
        if self.view:
            found = found.filter(self.view.condition)
        for word in self.query.split()[:MOST_WORDS]:
            anywhere = Q()
            for name in self.search:
                anywhere |= Q(**{f"{name}__icontains": word})
            found = found.filter(anywhere)
        return found

    @cached_property
    def selected(self) -> QuerySet[M]:
        """Return every record that the state of the list selects, on all pages."""
        return self.matching.filter(self.facet.condition) if self.facet else self.matching

    @cached_property
    def _counts(self) -> dict[str, int]:
        counts = {
            f"facet_{facet.name}": Count("pk", filter=facet.condition, distinct=True) for facet in self.facets
        }
        return self.matching.order_by().aggregate(all_records=Count("pk", distinct=True), **counts)

    @cached_property
    def total(self) -> int:
        """Return how many records there are on all pages."""
        return self._counts[f"facet_{self.facet.name}"] if self.facet else self._counts["all_records"]

    @cached_property
    def pages(self) -> int:
        """Return how many pages there are; an empty list has one."""
        return max(1, -(-self.total // self.size))

    @cached_property
    def page(self) -> int:
        """Return the number of the page shown; one that does not exist becomes the nearest that does."""
        asked = int(self._asked_page) if self._asked_page.isascii() and self._asked_page.isdecimal() else 1
        return min(max(asked, 1), self.pages)

    @cached_property
    def rows(self) -> list[M]:
        """Return the records of this page."""
        start = (self.page - 1) * self.size
        return (
            list(self.selected.order_by(*self._ordering())[start : start + self.size]) if self.total else []
        )

    def _ordering(self) -> list[Any]:
        """Return the order: empty values last either way, and the key decides between equals."""
        column = next((column for column in self.columns if column.name == self.sort.removeprefix("-")), None)
        if column is None:
            return [*(self._queryset.query.order_by or self._queryset.model._meta.ordering or ()), "pk"]
        terms = [F(term) if isinstance(term, str) else term for term in column.sort]
        if self.sort.startswith("-"):
            return [*(term.desc(nulls_last=True) for term in terms), "pk"]  # type: ignore[attr-defined]
        return [*(term.asc(nulls_last=True) for term in terms), "pk"]  # type: ignore[attr-defined]

    # Words about it

    @property
    def first(self) -> int:
        """Return the position of the first record shown."""
        return (self.page - 1) * self.size + 1 if self.total else 0

    @property
    def last(self) -> int:
        """Return the position of the last record shown."""
        return min(self.page * self.size, self.total)

    @property
    def title(self) -> str:
        """Return the name of the view."""
        return str(self.view.title) if self.view else self.noun[1].capitalize()

    @property
    def range(self) -> str:
        """Say which of how many records are shown."""
        if self.pages == 1:
            return f"{self.total:,} {self.noun[0] if self.total == 1 else self.noun[1]}"
        return f"{self.first:,}\N{EN DASH}{self.last:,} of {self.total:,}"

    @property
    def caption(self) -> str:
        """Describe the table to those who do not see it."""
        words = f"{self.title}, {self.range}"
        column = next((column for column in self.columns if column.name == self.sort.removeprefix("-")), None)
        if column:
            words += f", sorted by {column.title.lower()}" + (
                " descending" if self.sort.startswith("-") else ""
            )
        return words

    @property
    def is_filtered(self) -> bool:
        """Tell whether a search or a facet hides records."""
        return bool(self.query or self.facet)

    # Links that change it

    @property
    def state(self) -> dict[str, str]:
        """Return the state of the list as it stands in the address, without the page."""
        first_view = self.views[0].name if self.views else ""
        parts = {
            "view": self.view.name if self.view and self.view.name != first_view else "",
            "q": self.query,
            "facet": self.facet.name if self.facet else "",
            "sort": self.sort if self.sort != self.default_sort else "",
            "size": str(self.size) if self.size != self.page_sizes[0] else "",
        }
        return {name: value for name, value in parts.items() if value}

    def link(self, **changes: str) -> str:
        """Return the address of this list with `changes`; an empty value leaves the word out."""
        words = QueryDict(mutable=True)
        state = {**self.state, **changes}
        if state.get("sort") == self.default_sort:
            state["sort"] = ""
        words.update({name: value for name, value in state.items() if value})
        return f"{self.url}?{words.urlencode()}" if words else self.url

    @property
    def here(self) -> str:
        """Return the address of what is shown now."""
        return self.link(page=str(self.page) if self.page > 1 else "")

    @property
    def words(self) -> str:
        """Return the state as it stands in the address: what a command on all that match is sent with."""
        return urlencode(self.state)

    @property
    def everything_url(self) -> str:
        """Return the address of this page with all records that match chosen."""
        return self.link(page=str(self.page) if self.page > 1 else "", all="1")

    @property
    def clear_url(self) -> str:
        """Return the address of the same view without search and facet."""
        return self.link(q="", facet="")

    @property
    def previous_url(self) -> str:
        """Return the address of the page before this one, or nothing."""
        return self.link(page=str(self.page - 1)) if self.page > 1 else ""

    @property
    def next_url(self) -> str:
        """Return the address of the page after this one, or nothing."""
        return self.link(page=str(self.page + 1)) if self.page < self.pages else ""

    @property
    def hidden(self) -> dict[str, str]:
        """Return the state that the search form carries along."""
        return {name: value for name, value in self.state.items() if name != "q"}

    @property
    def headers(self) -> list[Header]:
        """Return the heads of the columns; a second click turns the order round."""
        return [self._header(column) for column in self.columns]

    def _header(self, column: Column) -> Header:
        if not column.sort:
            return Header(column.title, column.classes, "", "")
        direction = {column.name: "ascending", f"-{column.name}": "descending"}.get(self.sort, "")
        turned = f"-{column.name}" if direction == "ascending" else column.name
        return Header(column.title, column.classes, self.link(sort=turned), direction)

    @property
    def view_choices(self) -> list[Choice]:
        """Return the views; changing the view keeps the search and drops the facet."""
        first_view = self.views[0].name if self.views else ""
        return [
            Choice(
                view.title,
                self.link(view=view.name if view.name != first_view else "", facet=""),
                view == self.view,
            )
            for view in self.views
        ]

    @property
    def facet_choices(self) -> list[Choice]:
        """Return the facets with their counts, "All" first."""
        if not self.facets:
            return []
        everything = Choice("All", self.link(facet=""), self.facet is None, self._counts["all_records"])
        return [
            everything,
            *(
                Choice(
                    facet.title,
                    self.link(facet=facet.name),
                    facet == self.facet,
                    self._counts[f"facet_{facet.name}"],
                )
                for facet in self.facets
            ),
        ]

    @property
    def size_choices(self) -> list[Choice]:
        """Return the page sizes."""
        return [
            Choice(
                str(size), self.link(size=str(size) if size != self.page_sizes[0] else ""), size == self.size
            )
            for size in self.page_sizes
        ]
