"""What a list finds: how it reads its address, counts no further than people look, and fetches one page."""

from collections.abc import Collection, Sequence
from functools import cached_property
from typing import Any, ClassVar, Generic, TypeVar

from django.db.models import Count, F, Model, Q, QuerySet
from django.http import QueryDict

from emailsync.web.counting import counted_together
from emailsync.web.listing_parts import Column, Facet, Filter, View
from emailsync.web.lookups import Among

M = TypeVar("M", bound=Model)

LONGEST_QUERY = 200
MOST_WORDS = 8
#: The pages of a list, and what its facets would leave, are counted up to here.
COUNTED = 10_000
COUNTED_BY_FACET = 1_000
LAST_PAGE = 1_000_000
#: As many records that a search finds are asked for by key.
FEW = 1_000
#: Up to so many keys of what lies scattered among all records are read to show a page of them.
RARE = 5_000


class Records(Generic[M]):
    """The records that a list finds and shows on one page."""

    columns: ClassVar[Sequence[Column]] = ()
    search: ClassVar[Sequence[str]] = ()
    views: ClassVar[Sequence[View]] = ()
    facets: ClassVar[Sequence[Facet]] = ()
    page_sizes: ClassVar[Sequence[int]] = (25, 50, 100, 250)
    #: Whether commands reach all records that match, beyond the page.
    offers_all: ClassVar[bool] = False
    #: The view that opens the list, where it is not the first.
    opening_view: ClassVar[str] = ""
    default_sort: ClassVar[str] = ""

    def __init__(
        self, state: QueryDict, queryset: QuerySet[M], *, url: str, columns: Collection[str] = ()
    ) -> None:
        """Read what is asked for out of the address; `columns` names those that the reader has chosen."""
        self.url = url
        self._chosen = columns
        self.query = " ".join(state.get("q", "").replace("\0", "").split())[:LONGEST_QUERY]
        views = {view.name: view for view in self.views}
        self.opening = views.get(self.opening_view) or (self.views[0] if self.views else None)
        self.view = views.get(state.get("view", ""), self.opening)
        self.facet = next((facet for facet in self.facets if facet.name == state.get("facet")), None)
        self.size = next(
            (size for size in self.page_sizes if str(size) == state.get("size")), self.page_sizes[0]
        )
        self.sort = self._known_sort(state.get("sort", "")) or self._known_sort(self.default_sort)
        #: Whether all records that match are chosen for a command, on all pages.
        self.everything = self.offers_all and state.get("all") == "1"
        self._asked_page = state.get("page", "")
        self._queryset = queryset
        #: Whether a search finds so few that they are asked for by key.
        self._finds_few = False
        #: The filters set, with their values.
        self.filtered = [(each, self._known_value(each, state.get(each.name, ""))) for each in self.filters]
        self.filtered = [(each, value) for each, value in self.filtered if value]

    def _known_sort(self, sort: str) -> str:
        return (
            sort
            if any(column.sort and column.name == sort.removeprefix("-") for column in self.columns)
            else ""
        )

    @cached_property
    def filters(self) -> Sequence[Filter]:
        """Return the filters; some lists offer what their environment has."""
        return ()

    @staticmethod
    def _known_value(each: Filter, value: str) -> str:
        value = value.replace("\0", "").strip()[:LONGEST_QUERY]
        return value if not each.choices or value in dict(each.choices) else ""

    # What is shown

    @cached_property
    def matching(self) -> QuerySet[M]:
        """Return the records of the view that match the search and the filters, before any facet."""
        found = self._queryset
        if self.view:
            found = found.filter(self.view.condition)
        for each, value in self.filtered:
            found = found.filter(each.condition(value))
        for word in self.search_words:
            found = found.filter(self.says(word))
        return self._narrowed(found) if self.query else found

    def _narrowed(self, found: QuerySet[M]) -> QuerySet[M]:
        """Return what is rare by its keys: the counts and the rows would look for it again and again."""
        keys = list(found.order_by().values_list("pk", flat=True)[: FEW + 1])
        self._finds_few = len(keys) <= FEW
        return self._queryset.filter(Among(F("pk"), keys)) if self._finds_few else found

    @property
    def search_words(self) -> list[str]:
        """Return the words that are searched for."""
        return self.query.split()[:MOST_WORDS]

    def says(self, word: str) -> Q:
        """Return the condition for records that say a word of the search."""
        anywhere = Q()
        for name in self.search:
            anywhere |= Q(**{f"{name}__icontains": word})
        return anywhere

    @cached_property
    def selected(self) -> QuerySet[M]:
        """Return every record that the state of the list selects, on all pages."""
        return self.matching.filter(self.facet.condition) if self.facet else self.matching

    @cached_property
    def _asked(self) -> int:
        page = self._asked_page
        is_number = page.isascii() and page.isdecimal() and len(page) < 19
        return min(max(int(page), 1), LAST_PAGE) if is_number else 1

    @property
    def _limit(self) -> int:
        return max(COUNTED, self._asked * self.size)

    @cached_property
    def _counts(self) -> dict[str, int]:
        found = self.matching
        known = {each.name: self._known_count(each) for each in self.facets}
        facets = {f"facet_{each.name}": each.condition for each in self.facets if known[each.name] is None}
        if self._finds_few:
            counted = {name: Count("pk", filter=condition) for name, condition in facets.items()}
            counts = found.aggregate(all_records=Count("pk"), **counted)
        else:
            whole = f"facet_{self.facet.name}" if self.facet else ""
            whole = whole if whole in facets else "all_records"
            parts = {name: found.filter(condition) for name, condition in facets.items()}
            limits = {
                name: (part, (self._limit if name == whole else COUNTED_BY_FACET) + 1)
                for name, part in {"all_records": found, **parts}.items()
            }
            counts = {}
            if self._few_keys is not None:
                counts[whole] = len(self._few_keys)
                del limits[whole]
            counts |= counted_together(limits)
        return counts | {
            f"facet_{name}": counts["all_records"] if is_all else 0
            for name, is_all in known.items()
            if is_all is not None
        }

    def _known_count(self, facet: Facet) -> bool | None:
        """Tell whether all records of the view are in a facet, or none; nothing when they must be counted."""
        if self.view is None:
            return None
        if facet.name == self.view.name:
            return True
        return False if facet.name in self.view.rules_out else None

    @property
    def _counted(self) -> int:
        return self._counts[f"facet_{self.facet.name}"] if self.facet else self._counts["all_records"]

    @cached_property
    def total(self) -> int:
        """Return how many records there are on all pages, as far as they were counted."""
        return min(self._counted, self._limit)

    @cached_property
    def is_more(self) -> bool:
        """Tell whether there are more records than were counted."""
        return self._counted > self._limit

    @cached_property
    def exact_total(self) -> int:
        """Return how many records there are on all pages, however many."""
        return self.selected.count() if self.is_more else self.total

    @cached_property
    def pages(self) -> int:
        """Return how many pages there are, as far as they were counted; an empty list has one."""
        return max(1, -(-self.total // self.size))

    @cached_property
    def page(self) -> int:
        """Return the number of the page shown; one that does not exist becomes the nearest that does."""
        return min(self._asked, self.pages)

    @cached_property
    def rows(self) -> list[M]:
        """Return the records of this page."""
        start = (self.page - 1) * self.size
        stop = min(start + self.size, self.total)
        if self.total and (keys := self._few_keys) is not None:
            # With a limit PostgreSQL would go through all records by name until it meets these.
            return self.fetch(self._sorted(self._queryset.filter(Among(F("pk"), keys[start:stop]))))
        if start > self.total // 2 and not self.is_more:
            # The shorter way to the last pages is from the end.
            return self.fetch(self._sorted(self.selected).reverse()[self.total - stop : self.total - start])[
                ::-1
            ]
        return self.fetch(self._sorted(self.selected)[start:stop]) if self.total else []

    @cached_property
    def _few_keys(self) -> list[Any] | None:
        """Return the keys of a few that lie scattered, in order; what is rare is counted by them too.

        None when they are not few.
        """
        is_rare = self._finds_few or any(part.is_rare for part in (self.view, self.facet) if part)
        is_nothing = self.facet is not None and self._known_count(self.facet) is False
        if is_nothing or not is_rare:
            return None
        keys = list(self._sorted(self.selected).values_list("pk", flat=True)[: RARE + 1])
        return keys if len(keys) <= RARE else None

    def fetch(self, page: QuerySet[M]) -> list[M]:
        """Return the records of a page; a list that shows much looks only now for what it shows."""
        return list(page)

    @property
    def _sort_column(self) -> Column | None:
        return next((column for column in self.columns if column.name == self.sort.removeprefix("-")), None)

    def _sorted(self, records: QuerySet[M]) -> QuerySet[M]:
        column = self._sort_column
        rows = records.filter(column.requires) if column else records
        return rows.order_by(*self._ordering())

    def _ordering(self) -> list[Any]:
        """Return the order: empty values last either way, and the key decides between equals."""
        column = self._sort_column
        if column is None:
            return [*(self._queryset.query.order_by or self._queryset.model._meta.ordering or ()), "pk"]
        terms: list[Any] = [F(term) if isinstance(term, str) else term for term in column.sort]
        last = None if column.is_filled else True
        if self.sort.startswith("-"):
            return [*(term.desc(nulls_last=last) for term in terms), f"-{column.key}"]
        return [*(term.asc(nulls_last=last) for term in terms), column.key]
