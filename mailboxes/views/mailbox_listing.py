"""What the list of mailboxes can show: views, facets, filters, columns, and how each is asked for cheaply.

A list of a hundred thousand mailboxes is found by indexes and counted no further than people look: states are
asked for by EXISTS, and only the rows of the page are fetched with all that they show.
"""

from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from typing import Any, ClassVar
from uuid import UUID

from django.contrib.auth.models import User
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce, Greatest, Lower
from django.http import QueryDict
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from emailsync.web.listing import Column, Facet, Filter, Listing, View
from mailboxes import access
from mailboxes.choices import AddressStatus, Direction, MailboxKind, ResultStatus
from mailboxes.models import Diagnosis, Mailbox, WorkerState
from mailboxes.models.mailbox import MailboxQuerySet, says
from mailboxes.models.state import moment_tested
from profiles.access import Permission
from profiles.models import Environment


def _states(**conditions: Any) -> QuerySet[WorkerState]:
    """Return the directions that are so; both are named, so that the index is used."""
    return WorkerState.objects.filter(**{"direction__in": Direction.values, **conditions})


def _has_state(**conditions: Any) -> Q:
    """Return the condition for mailboxes with such a direction, looked for beside each mailbox."""
    return Q(Exists(_states(mailbox=OuterRef("pk"), **conditions)))


def _has_rare_state(**conditions: Any) -> Q:
    """Return the condition for mailboxes with such a direction, found by the few directions that are so.

    PostgreSQL finds that way by itself; SQLite does as it is told.
    """
    return Q(pk__in=_states(**conditions).values("mailbox"))


FAILING = _has_rare_state(status=ResultStatus.FAILURE)
UNTRIED = _has_rare_state(direction=Direction.INCOMING, status=ResultStatus.NOT_RUN) & _has_rare_state(
    direction=Direction.OUTGOING, status=ResultStatus.NOT_RUN
)
WORKING = _has_state(is_enabled=True) & ~_has_state(status=ResultStatus.FAILURE)
PENDING = Q(address_status=AddressStatus.PENDING)
#: Rows of an export fetched at once.
FETCHED = 1_000
#: What every row is drawn with.
ALWAYS = (
    *("pk", "name", "address", "kind", "is_active", "incoming", "outgoing", "act", "address_status"),
    "owner_id",
)
PERSON = ("username", "first_name", "last_name")
#: What only some columns show, by the name of the column.
FURTHER = {
    "owner": [f"owner__{name}" for name in PERSON],
    "start": ["process_email_from"],
    "approved_by": [f"approved_by__{name}" for name in PERSON],
    "approved_on": ["approved_on"],
}
#: When the later direction was tested; SQLite's greatest of a value and nothing is nothing.
TESTED_ON = Coalesce(
    Greatest("incoming_state__tested_on", "outgoing_state__tested_on"),
    "incoming_state__tested_on",
    "outgoing_state__tested_on",
)
#: Of the two directions the one that was tested later; of two that were tested at once, or never, either.
TESTED_LAST = Q(a_state__isnull=False) & ~Q(
    Exists(
        WorkerState.objects.alias(moment=moment_tested(), other=moment_tested(OuterRef("a_state__tested_on")))
        .filter(mailbox=OuterRef("pk"))
        .filter(Q(moment__gt=F("other")) | Q(moment=F("other"), direction__gt=OuterRef("a_state__direction")))
    )
)


class MailboxListing(Listing[Mailbox]):
    """The mailboxes of one environment, with the states of both directions."""

    columns: ClassVar = (
        Column("name", _("Name"), sort=(Lower("name"),), is_filled=True, is_optional=False),
        Column("address", _("Email Address"), sort=(Lower("address"),), classes="xl", is_filled=True),
        Column("regarding", _("Regarding"), sort=("kind",), is_filled=True, classes="md"),
        Column("owner", _("Owner"), sort=(Lower("owner__username"),), classes="xl"),
        Column("profile", _("Server Profile"), sort=(Lower("server_profile__name"),)),
        Column("approval", _("Email Address Status"), sort=("address_status",), is_filled=True),
        Column(
            "incoming",
            _("Incoming Email Status"),
            sort=("incoming_state__status",),
            requires=Q(incoming_state__isnull=False),
            key="incoming_state__mailbox_id",
            is_filled=True,
        ),
        Column(
            "outgoing",
            _("Outgoing Email Status"),
            sort=("outgoing_state__status",),
            requires=Q(outgoing_state__isnull=False),
            key="outgoing_state__mailbox_id",
            is_filled=True,
        ),
        Column("act", _("ACT Status"), classes="xl"),
        Column("run", _("Test Run Status"), classes="lg"),
        Column(
            "tested",
            _("Mailbox Test Completed On"),
            sort=(moment_tested("a_state__tested_on"),),
            requires=TESTED_LAST,
            key="a_state__mailbox_id",
            is_filled=True,
            classes="lg",
        ),
        Column("start", _("Process Email Received After"), sort=("process_email_from",), is_usual=False),
        Column("approved_by", _("Approved By"), sort=(Lower("approved_by__username"),), is_usual=False),
        Column("approved_on", _("Approved On"), sort=("approved_on",), is_usual=False),
        Column("attempted_by", _("Last Attempted By"), is_usual=False),
        Column("attempted_on", _("Last Attempted On"), is_usual=False),
        Column("status", _("Status"), sort=("is_active",), is_filled=True, is_usual=False),
    )
    views: ClassVar = (
        View("my", _("My Active Mailboxes"), Q(is_active=True, is_mine=True)),
        View("active", _("Active Mailboxes"), Q(is_active=True)),
        View("inactive", _("Inactive Mailboxes"), Q(is_active=False)),
        View("all", _("All Mailboxes")),
        View("pending", _("Mailboxes Pending Email Approval"), Q(is_active=True) & PENDING),
        View("untested", _("Mailboxes Not Tested"), Q(is_active=True) & UNTRIED),
        View(
            "failing",
            _("Failing Mailboxes"),
            Q(is_active=True) & FAILING,
            rules_out=frozenset({"working", "untested"}),
            is_rare=True,
        ),
        View("forward", _("Active Forward Mailboxes"), Q(is_active=True, kind=MailboxKind.FORWARD)),
    )
    facets: ClassVar = (
        Facet("working", _("Working"), WORKING),
        Facet("failing", _("Failing"), FAILING, is_rare=True),
        Facet("untested", _("Not tested"), UNTRIED),
        Facet("pending", _("Pending approval"), PENDING),
    )
    opening_view: ClassVar[str] = "active"
    default_sort: ClassVar[str] = "name"
    noun: ClassVar[tuple[Any, Any]] = (_("mailbox"), _("mailboxes"))
    offers_all: ClassVar[bool] = True

    def __init__(
        self,
        state: QueryDict,
        queryset: QuerySet[Mailbox],
        *,
        url: str,
        environment: Environment,
        user: User,
        columns: Collection[str] = (),
    ) -> None:
        """Remember whose list it is, for its filters."""
        self.environment, self.user = environment, user
        super().__init__(state, queryset, url=url, columns=columns)

    @property
    def fits(self) -> bool:
        """Tell whether columns give way on narrow screens; those that somebody chose do not."""
        return not self._chosen

    @cached_property
    def filters(self) -> Sequence[Filter]:
        """Return the filters, with the server profiles of the environment."""
        profiles = self.environment.server_profiles.order_by(Lower("name")).values_list("pk", "name")
        return (
            Filter(
                "profile",
                _("Server Profile"),
                [*((str(pk), name) for pk, name in profiles), ("none", _("Not set"))],
                lambda value: Q(server_profile=None if value == "none" else UUID(value)),
            ),
            Filter("owner", _("Owner"), (), self._owned_by, hint=_("User name, or “me”")),
            Filter("kind", _("Regarding"), MailboxKind.choices, lambda value: Q(kind=value)),
            Filter(
                "incoming",
                _("Incoming Email Status"),
                ResultStatus.choices,
                lambda value: _has_state(direction=Direction.INCOMING, status=value),
            ),
            Filter(
                "outgoing",
                _("Outgoing Email Status"),
                ResultStatus.choices,
                lambda value: _has_state(direction=Direction.OUTGOING, status=value),
            ),
            Filter(
                "address",
                _("Email Address Status"),
                AddressStatus.choices,
                lambda value: Q(address_status=value),
            ),
        )

    def _owned_by(self, name: str) -> Q:
        if name.lower() == "me":
            return Q(owner=self.user)
        return Q(owner__in=User.objects.filter(username__iexact=name).values("pk"))

    @cached_property
    def _owners(self) -> list[tuple[int, str]]:
        """Return who has any of the words in their names, and their names."""
        named = Q()
        for word in self.search_words:
            named |= (
                Q(username__icontains=word) | Q(first_name__icontains=word) | Q(last_name__icontains=word)
            )
        found = User.objects.filter(named).values_list("pk", "username", "first_name", "last_name")
        return [(pk, "\n".join(names).casefold()) for pk, *names in found]

    def says(self, word: str) -> Q:
        """Search in name and address, and in the names of owners: by key, which an index can be asked for."""
        owners = [pk for pk, names in self._owners if word.casefold() in names]
        return says(word) | Q(owner__in=owners) if owners else says(word)

    def fetch(self, page: QuerySet[Mailbox]) -> list[Any]:
        """Return the rows of a page with everything that they show, as `with_what_is_shown` does."""
        return self._with_all(list(page.values_list("pk", flat=True)))

    def every_row(self) -> Iterator[Any]:
        """Return the rows of all pages, in their order, without holding them all."""
        keys = list(self._sorted(self.selected).values_list("pk", flat=True))
        for start in range(0, len(keys), FETCHED):
            yield from self._with_all(keys[start : start + FETCHED])

    def _with_all(self, keys: list[UUID]) -> list[Any]:
        shown = with_what_is_shown(Mailbox.objects.filter(pk__among=keys), self.shown)
        found = {row.pk: row for row in shown}
        return [found[key] for key in keys if key in found]


def with_what_is_shown(mailboxes: MailboxQuerySet, columns: Collection[str]) -> QuerySet[Mailbox, Any]:
    """Return what `columns` show of `mailboxes`, and nothing else, in tuples that name it.

    A page draws many of them, and to make records of them and of their owners takes twice as long.
    """
    further = [name for column, names in FURTHER.items() if column in columns for name in names]
    last = Diagnosis.objects.filter(mailbox=OuterRef("pk")).order_by("-pk")
    values: dict[str, tuple[str, Any]] = {
        "profile": ("profile_name", F("server_profile__name")),
        "incoming": ("incoming_status", F("incoming_state__status")),
        "outgoing": ("outgoing_status", F("outgoing_state__status")),
        "tested": ("tested_on", TESTED_ON),
        "run": ("run_state", Subquery(last.values("state")[:1])),
        "attempted_by": ("attempted_by", Subquery(last.values("job__created_by__username")[:1])),
        "attempted_on": ("attempted_on", Subquery(last.values("job__created_on")[:1])),
    }
    annotations = dict(value for column, value in values.items() if column in columns)
    return (
        mailboxes.beside_states()
        .annotate(**annotations)
        .values_list(*ALWAYS, *further, *annotations, named=True)
    )


def listing_of(
    environment: Environment, *, user: User, state: QueryDict, columns: Collection[str] = ()
) -> MailboxListing:
    """Return the list that `state` asks for, of the mailboxes that `user` may see."""
    visible = access.within(
        Mailbox.objects.beside_states(), user, Permission.READ_MAILBOXES, environment=environment
    )
    return MailboxListing(
        state,
        visible.alias(is_mine=Q(owner=user)),
        url=reverse("mailboxes:mailbox_list", args=[environment.slug]),
        environment=environment,
        user=user,
        columns=columns,
    )
