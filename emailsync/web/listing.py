"""Lists: search, sort, views, facets, filters and pages, declared once and kept in the address.

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
the page (and what `queryset` prefetches). It counts no further than people look: "10,000+" costs the
same in a million rows. Words in the address it does not know are ignored.
"""

from functools import cached_property
from typing import Any, ClassVar, TypeVar

from django.db.models import Model
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from emailsync.web.listing_parts import Choice, Column, Facet, Filter, Header, View
from emailsync.web.listing_records import COUNTED_BY_FACET, LONGEST_QUERY, Records

__all__ = ["LONGEST_QUERY", "Choice", "Column", "Facet", "Filter", "Header", "Listing", "View"]

M = TypeVar("M", bound=Model)


class Listing(Records[M]):
    """The records of one page of a list, the words about them, and every link that changes what is shown."""

    #: What the records are called, one and many.
    noun: ClassVar[tuple[Any, Any]] = (gettext_lazy("record"), gettext_lazy("records"))

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
        return str(self.view.title) if self.view else str(self.noun[1]).capitalize()

    @property
    def total_words(self) -> str:
        """Say how many records there are: "1,234", "10,000+"."""
        return f"{self.total:,}+" if self.is_more else f"{self.total:,}"

    @property
    def range(self) -> str:
        """Say which of how many records are shown."""
        if self.pages == 1:
            things = self.noun[0] if self.total == 1 else self.noun[1]
            return _("%(number)s %(things)s") % {"number": f"{self.total:,}", "things": things}
        rows = f"{self.first:,}\N{EN DASH}{self.last:,}"
        return _("%(rows)s of %(total)s") % {"rows": rows, "total": self.total_words}

    @property
    def caption(self) -> str:
        """Describe the table to those who do not see it."""
        column = self._sort_column
        words = _("%(title)s, %(range)s") % {"title": self.title, "range": self.range}
        if column is None:
            return words
        sentence = (
            _("%(list)s, sorted by %(column)s descending")
            if self.sort.startswith("-")
            else _("%(list)s, sorted by %(column)s")
        )
        return sentence % {"list": words, "column": str(column.title).lower()}

    @property
    def is_filtered(self) -> bool:
        """Tell whether a search, a filter or a facet hides records."""
        return bool(self.query or self.facet or self.filtered)

    # Links that change it

    @cached_property
    def state(self) -> dict[str, str]:
        """Return the state of the list as it stands in the address, without the page."""
        parts = {
            "view": self.view.name if self.view and self.view != self.opening else "",
            "q": self.query,
            "facet": self.facet.name if self.facet else "",
            **{each.name: value for each, value in self.filtered},
            "sort": self.sort if self.sort != self.default_sort else "",
            "size": str(self.size) if self.size != self.page_sizes[0] else "",
        }
        return {name: value for name, value in parts.items() if value}

    def link(self, **changes: str) -> str:
        """Return the address of this list with `changes`; an empty value leaves the word out."""
        state = {**self.state, **changes}
        if state.get("sort") == self.default_sort:
            state["sort"] = ""
        words = urlencode({name: value for name, value in state.items() if value})
        return f"{self.url}?{words}" if words else self.url

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
        """Return the address of the same view without search, filters and facet."""
        return self.link(q="", facet="", **{each.name: "" for each, _value in self.filtered})

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
        """Return the state that the search form carries along; its filters are fields of their own."""
        typed = {"q", *(each.name for each in self.filters)}
        return {name: value for name, value in self.state.items() if name not in typed}

    @property
    def headers(self) -> list[Header]:
        """Return the heads of the columns; a second click turns the order round."""
        return [self._header(column) for column in self.shown_columns]

    @property
    def shown_columns(self) -> list[Column]:
        """Return the columns that the reader sees."""
        return [
            column
            for column in self.columns
            if not column.is_optional or (column.name in self._chosen if self._chosen else column.is_usual)
        ]

    @cached_property
    def shown(self) -> set[str]:
        """Return the names of the columns that the reader sees, for the cells of a row."""
        return {column.name for column in self.shown_columns}

    def _header(self, column: Column) -> Header:
        if not column.sort:
            return Header(column.title, column.classes, "", "")
        direction = {column.name: "ascending", f"-{column.name}": "descending"}.get(self.sort, "")
        turned = f"-{column.name}" if direction == "ascending" else column.name
        return Header(column.title, column.classes, self.link(sort=turned), direction)

    @property
    def view_choices(self) -> list[Choice]:
        """Return the views; changing the view keeps the search and drops the facet."""
        return [
            Choice(
                view.title,
                self.link(view=view.name if view != self.opening else "", facet=""),
                view == self.view,
            )
            for view in self.views
        ]

    @property
    def facet_choices(self) -> list[Choice]:
        """Return the facets with their counts, "All" first."""
        if not self.facets:
            return []
        everything = self._facet_choice(_("All"), "all_records", self.link(facet=""), self.facet is None)
        return [
            everything,
            *(
                self._facet_choice(
                    facet.title, f"facet_{facet.name}", self.link(facet=facet.name), facet == self.facet
                )
                for facet in self.facets
            ),
        ]

    def _facet_choice(self, title: Any, name: str, url: str, is_current: bool) -> Choice:  # noqa: FBT001
        count, limit = self._counts[name], self._limit if is_current else COUNTED_BY_FACET
        return Choice(title, url, is_current, min(count, limit), is_more=count > limit)

    @property
    def filter_choices(self) -> list[Choice]:
        """Return the filters set, each a link that takes it away."""
        return [
            Choice(each.chip(value), self.link(**{each.name: ""}), is_current=True)
            for each, value in self.filtered
        ]

    @property
    def filter_fields(self) -> list[tuple[Filter, str]]:
        """Return every filter with its value, or nothing, for the form that sets them."""
        values = {each.name: value for each, value in self.filtered}
        return [(each, values.get(each.name, "")) for each in self.filters]

    @property
    def size_choices(self) -> list[Choice]:
        """Return the page sizes."""
        return [
            Choice(
                str(size), self.link(size=str(size) if size != self.page_sizes[0] else ""), size == self.size
            )
            for size in self.page_sizes
        ]
