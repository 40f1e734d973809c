"""What a list is declared of: columns, views, facets and filters; and the links they become."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.db.models import Q
from django.db.models.expressions import Combinable
from django.utils.translation import gettext as _

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise


@dataclass(frozen=True)
class Column:
    """A column; sortable when it says by what, each a field name or an expression."""

    name: str
    title: "_StrOrPromise"
    sort: tuple[str | Combinable, ...] = ()
    classes: str = ""
    #: What a record needs to be sorted by it, for joins that every record has.
    requires: Q = field(default_factory=Q)
    #: Which field decides between equals, as the key of the record does: one of the index that is read.
    key: str = "pk"
    #: Never empty, so that an index can be read in either direction.
    is_filled: bool = False
    #: Shown until somebody chooses otherwise.
    is_usual: bool = True
    #: Whether it can be left out.
    is_optional: bool = True


@dataclass(frozen=True)
class View:
    """A named part of the records, chosen in the title. A facet of the same name has the same condition."""

    name: str
    title: "_StrOrPromise"
    condition: Q = field(default_factory=Q)
    #: The facets that none of its records can be in: they need not be looked for.
    rules_out: frozenset[str] = frozenset()
    #: Whether its records are few and lie scattered in any order: they are found first and sorted then.
    is_rare: bool = False


@dataclass(frozen=True)
class Facet:
    """A filter within the view, shown with the number of records it would leave."""

    name: str
    title: "_StrOrPromise"
    condition: Q
    #: As of a view.
    is_rare: bool = False


@dataclass(frozen=True)
class Filter:
    """A filter by one of many values, beside the view and the facet; several narrow each other."""

    name: str
    title: "_StrOrPromise"
    #: Value and words. A filter without choices takes what is typed.
    choices: Sequence[tuple[str, "_StrOrPromise"]]
    condition: Callable[[str], Q]
    #: What a typed value may look like.
    hint: "_StrOrPromise" = ""

    def says(self, value: str) -> "_StrOrPromise":
        """Return the words for a value."""
        return next((words for choice, words in self.choices if choice == value), value)

    def chip(self, value: str) -> str:
        """Return the words for the filter and its value."""
        return _("%(filter)s: %(value)s") % {"filter": self.title, "value": self.says(value)}


@dataclass(frozen=True)
class Choice:
    """A view, a facet, a page size or a filter as a link."""

    title: "_StrOrPromise"
    url: str
    is_current: bool
    count: int = 0
    #: Whether there are more than `count`.
    is_more: bool = False


@dataclass(frozen=True)
class Header:
    """A column's head. `direction` is "ascending", "descending" or nothing."""

    title: "_StrOrPromise"
    classes: str
    url: str
    direction: str
