"""What a wall shows: the filters of its address, the open alerts by day, the resolved ones folded away."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import Any, ClassVar

from django.contrib.auth.models import User
from django.db.models import Count, Exists, F, Max, OuterRef, Q, QuerySet, TextField
from django.db.models.functions import Cast
from django.http import QueryDict
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from emailsync.web.listing import Choice, Column, Facet, Listing, View
from emailsync.web.templatetags.console import day
from mailboxes import access as mailbox_access
from mailboxes.alerts.kinds import KINDS, READY, SPEAKS_OF_EMAIL, Link
from mailboxes.alerts.presenting import Presented, Presenter
from mailboxes.choices import AlertLevel, Direction
from mailboxes.models import Alert, AlertReading, AlertTranscript, Mailbox
from mailboxes.models.alert import AlertQuerySet
from mailboxes.services import progress, wall
from mailboxes.views.alert_cards import Card, CardDrawing
from mailboxes.views.email_listing import inside_json
from profiles import access
from profiles.access import Permission, Person
from profiles.models import ServerProfile

OPEN = Q(resolved_on__isnull=True)
#: How many resolved alerts stand below the open ones; the others have a page of their own.
FOLDED = 10
#: Resolved alerts are counted up to here; a wall that was kept for years has many.
MOST_COUNTED = 1000
#: What the kinds are called in the filter.
CAUSES: Mapping[str, tuple[Any, tuple[str, ...]]] = {
    "incoming": (
        gettext_lazy("Incoming email"),
        tuple(kind for kind in KINDS if kind.startswith("incoming_")),
    ),
    "outgoing": (
        gettext_lazy("Outgoing email"),
        tuple(kind for kind in KINDS if kind.startswith("outgoing_")),
    ),
    "profile": (
        gettext_lazy("Server profiles"),
        tuple(kind for kind in KINDS if kind.startswith("profile_") or kind.endswith("_together")),
    ),
    "approval": (gettext_lazy("Email approval"), ("not_approved",)),
    "message": (
        gettext_lazy("Received messages"),
        tuple(kind for kind in KINDS if kind.startswith(("message_", "folder_"))),
    ),
    "email": (gettext_lazy("Sent messages"), tuple(kind for kind in KINDS if kind.startswith("email_"))),
    "success": (gettext_lazy("Successful tests"), (READY,)),
}


class AlertListing(Listing[Alert]):
    """The alerts of one wall, the open ones unless the address says otherwise."""

    columns: ClassVar = (Column("seen", gettext_lazy("Last seen"), sort=("last_seen_on",)),)
    views: ClassVar = (
        View("open", gettext_lazy("Open alerts"), OPEN),
        View("resolved", gettext_lazy("Resolved alerts"), ~OPEN),
    )
    facets: ClassVar = (
        Facet("error", gettext_lazy("Errors"), Q(level=AlertLevel.ERROR)),
        Facet("warning", gettext_lazy("Warnings"), Q(level=AlertLevel.WARNING)),
        Facet("information", gettext_lazy("Information"), Q(level=AlertLevel.INFORMATION)),
    )
    default_sort: ClassVar[str] = "-seen"
    noun: ClassVar[tuple[Any, Any]] = (gettext_lazy("alert"), gettext_lazy("alerts"))

    def __init__(self, state: QueryDict, alerts: AlertQuerySet, *, url: str, user: User) -> None:
        """Read what is asked for out of the address."""
        super().__init__(state, alerts, url=url)
        self.alerts = alerts
        self.user = user
        #: "everybody" on the wall of all environments.
        self.whose = "everybody" if state.get("whose") == "everybody" else ""
        self.cause = state.get("cause", "") if state.get("cause", "") in CAUSES else ""
        self.profile = state.get("of", "")[:40]

    @cached_property
    def _found(self) -> QuerySet[Alert]:
        """Return the alerts that search and filters find, open and resolved."""
        found: QuerySet[Alert] = self.alerts
        if self.cause:
            found = found.filter(kind__in=CAUSES[self.cause][1])
        if self.profile:
            found = found.filter(server_profile__pk__in=[self.profile] if _is_uuid(self.profile) else [])
        words = self.search_words
        if words:
            readable = Mailbox.objects.filter(mailbox_access.everywhere(self.user, Permission.READ_EMAIL))
            # Who may not read a subject does not learn by searching whether a word is in it.
            may_search = ~Q(kind__in=SPEAKS_OF_EMAIL) | Q(mailbox__in=readable)
            found = found.annotate(words=Cast("parameters", TextField()))
            for word in words:
                found = found.filter(
                    (inside_json("words", word) & may_search)
                    | Q(mailbox__name__icontains=word)
                    | Q(error_code__icontains=word)
                    | (Q(details__icontains=word) & may_search)
                    | Q(kind__in=_kinds_saying(word))
                )
        return found

    @cached_property
    def matching(self) -> QuerySet[Alert]:
        """Return the alerts of the view that search and filters find."""
        return self._found.filter(self.view.condition if self.view else Q())

    @cached_property
    def _counts(self) -> dict[str, Any]:
        facets = {f"facet_{facet.name}": Count("pk", filter=facet.condition) for facet in self.facets}
        return self.matching.order_by().aggregate(
            all_records=Count("pk"), latest=Max("last_seen_on"), newest=Max("pk"), **facets
        )

    @cached_property
    def resolved_count(self) -> int:
        """Count the resolved alerts that the same search, filters and level find, up to a limit."""
        found = self._found.filter(~OPEN)
        return (found.filter(self.facet.condition) if self.facet else found)[:MOST_COUNTED].count()

    def _ordering(self) -> list[Any]:
        """Return the order of the indexes."""
        return ["-last_seen_on", "-pk"]

    @cached_property
    def rows(self) -> list[Alert]:
        """Return the alerts of this page, told apart by whether their reader has read them."""
        start = (self.page - 1) * self.size
        return list(self._shown(self.selected)[start : start + self.size]) if self.total else []

    @cached_property
    def folded(self) -> list[Alert]:
        """Return the latest resolved alerts."""
        if self.shows_resolved or not self.resolved_count:
            return []
        found = self._found.filter(~OPEN)
        return list(self._shown(found.filter(self.facet.condition) if self.facet else found)[:FOLDED])

    def _shown(self, alerts: QuerySet[Alert]) -> QuerySet[Alert]:
        read = AlertReading.objects.filter(alert=OuterRef("pk"), user=self.user)
        loaded = with_places(alerts)
        spoken = AlertTranscript.objects.filter(alert=OuterRef("pk"))
        annotated = loaded.annotate(
            is_read=Exists(read),
            has_transcript=Exists(spoken),
            mailbox_owner=F("mailbox__owner"),
            profile_owner=F("server_profile__owner"),
        )
        return annotated.order_by(*self._ordering())

    @property
    def shows_resolved(self) -> bool:
        """Tell whether the resolved alerts are the page."""
        return self.view is not None and self.view.name == "resolved"

    @property
    def mark(self) -> str:
        """Return a word that changes whenever this wall does."""
        counts = self._counts
        parts = f"{counts['all_records']} {counts['latest']} {counts['newest']} {self.resolved_count}"
        return f"{counts['newest'] or 0}-{hashlib.sha256(parts.encode()).hexdigest()[:16]}"

    def newer_than(self, mark: str) -> int:
        """Count the alerts that came after a wall was given `mark`."""
        newest = mark.partition("-")[0]
        known = int(newest) if newest.isascii() and newest.isdecimal() and len(newest) < 19 else 0
        return self.selected.filter(pk__gt=known).count()

    @property
    def state(self) -> dict[str, str]:
        """Return the state of the wall as it stands in the address, without the page."""
        own = {"whose": self.whose, "cause": self.cause, "of": self.profile}
        return {**{name: value for name, value in own.items() if value}, **super().state}

    @property
    def is_filtered(self) -> bool:
        """Tell whether a search or a filter hides alerts."""
        return bool(self.query or self.facet or self.cause or self.profile)

    @property
    def clear_url(self) -> str:
        """Return the address of the same view without search and filters."""
        return self.link(q="", facet="", cause="", of="")

    @property
    def resolved_url(self) -> str:
        """Return the address of the resolved alerts, or from there that of the open ones."""
        return self.link(view="" if self.shows_resolved else "resolved")

    @property
    def cause_choices(self) -> list[Choice]:
        """Return what alerts are about."""
        known = [
            Choice(str(title), self.link(cause=name), name == self.cause)
            for name, (title, _kinds) in CAUSES.items()
        ]
        return [Choice(_("Every cause"), self.link(cause=""), not self.cause), *known]

    def profile_choices(self, profiles: Iterable[ServerProfile]) -> list[Choice]:
        """Return the server profiles that alerts can be narrowed down to."""
        known = [
            Choice(each.name, self.link(of=str(each.pk)), str(each.pk) == self.profile) for each in profiles
        ]
        is_known = any(choice.is_current for choice in known)
        return [Choice(_("Every server profile"), self.link(of=""), not is_known), *known]

    @property
    def whose_choices(self) -> list[Choice]:
        """Return the walls of a person: their own, and everybody's where they may see some."""
        own = Choice(_("My alerts"), self.link(whose=""), not self.whose)
        if not wall.reads_everybody(self.user):
            return [own]
        return [own, Choice(_("Alerts of everybody"), self.link(whose="everybody"), bool(self.whose))]


def _is_uuid(text: str) -> bool:
    digits = text.replace("-", "")
    return len(digits) == 32 and all(digit in "0123456789abcdefABCDEF" for digit in digits)


def _kinds_saying(word: str) -> list[str]:
    """Return the kinds whose own words, not their parameters, hold `word`."""
    sought = word.casefold()
    return [
        kind.code
        for kind in KINDS.values()
        if sought in f"{_(kind.title)} {_(kind.text)} {_(kind.remedy)}".casefold()
    ]


@dataclass(frozen=True)
class Wall:
    """One wall: its alerts, its address and its page."""

    listing: AlertListing
    #: What a command sends along to find this wall again.
    scope: Mapping[str, str]
    template: str
    #: Whether its reader may delete all of its alerts; if not, those of their own mailboxes.
    may_delete: bool
    head: Mapping[str, Any] = field(default_factory=dict)
    #: The server profiles that it can be narrowed down to.
    profiles: Sequence[ServerProfile] = ()
    #: Whether cards name the environment.
    spans_environments: bool = False

    def context(self, *, focus: int = 0) -> dict[str, Any]:
        """Return the context of the page and of its changing part; the card of the alert `focus` takes it."""
        listing = self.listing
        drawing = CardDrawing(focus=focus, spans_environments=self.spans_environments)
        rows, folded = listing.rows, listing.folded
        cards = {card.alert.pk: card for card in self.cards([*rows, *folded])}
        days = groupby((cards[alert.pk] for alert in rows), key=lambda card: day(card.alert.last_seen_on))
        return {
            **self.head,
            "listing": listing,
            "days": [(name, drawing.draw(group)) for name, group in days],
            "folded": drawing.draw(cards[alert.pk] for alert in folded),
            "causes": listing.cause_choices,
            "profile_choices": listing.profile_choices(self.profiles) if self.profiles else (),
            "whose_choices": listing.whose_choices if self.spans_environments else (),
            "scope": self.scope,
            "may_delete": self.may_delete or any(card.may_delete for card in cards.values()),
            "has_unread": not all(getattr(alert, "is_read", True) for alert in rows),
            "read_url": reverse("mailboxes:alert_read"),
            "delete_url": reverse("mailboxes:alert_delete"),
            "ask_url": listing.link(ask="delete", page=str(listing.page)),
            "news_url": listing.link(page=str(listing.page), mark=listing.mark),
        }

    def cards(self, alerts: list[Alert]) -> list[Card]:
        """Return `alerts` as they are shown, in at most two queries."""
        members = wall.members_of(alerts)
        speaking = [alert for alert in alerts if alert.kind in SPEAKS_OF_EMAIL]
        readable = wall.with_readable_email(self.listing.user, speaking)
        user, presenter = self.listing.user, Presenter()
        return [
            Card(
                alert,
                words_of(
                    alert,
                    members.get(alert.pk),
                    user=user,
                    owner_id=_owners_of(alert)[0],
                    shows_email=alert.mailbox_id in readable,
                    presenter=presenter,
                ),
                members.get(alert.pk),
                self.may_delete or self._owns(alert),
                self._may_diagnose(alert),
            )
            for alert in alerts
        ]

    def _owns(self, alert: Alert) -> bool:
        return self.listing.user.pk in _owners_of(alert)

    def _may_diagnose(self, alert: Alert) -> bool:
        of_mailbox, of_profile = _owners_of(alert)
        owner = of_mailbox if alert.mailbox_id else of_profile
        return access.may(self.listing.user, Permission.DIAGNOSE, alert.environment_id, owner_id=owner)


def _owners_of(alert: Alert) -> tuple[int | None, int | None]:
    """Return who owns the mailbox and the profile of an alert on a wall."""
    return vars(alert)["mailbox_owner"], vars(alert)["profile_owner"]


#: What one must be allowed for each place that an alert leads to.
PLACES = {
    Link.MAILBOX: Permission.READ_MAILBOXES,
    Link.EMAILS: Permission.READ_EMAIL,
    Link.EMAIL: Permission.READ_EMAIL,
    Link.PROFILE: Permission.READ_SETTINGS,
    Link.PEOPLE: Permission.READ_SETTINGS,
}


def with_places(alerts: QuerySet[Alert]) -> QuerySet[Alert]:
    """Load with `alerts` what decides where they lead to."""
    whose_credentials = (
        "authentication_type",
        "outgoing_authentication_type",
        "use_same_settings_for_outgoing",
    )
    return alerts.select_related("environment", "mailbox__server_profile").only(
        *(column.name for column in Alert._meta.concrete_fields),
        *("environment__slug", "environment__name"),
        *(f"mailbox__{name}" for name in ("name", "environment", "owner", "server_profile")),
        *(f"mailbox__server_profile__{name}" for name in whose_credentials),
    )


def where_to_mend(alert: Alert, user: Person) -> tuple[str, str] | None:
    """Return the label and address of the place on its mailbox's page where the cause of `alert` is mended.

    Returns nothing where no place there stands out.
    """
    mailbox = alert.mailbox
    if mailbox is None or alert.resolved_on is not None or not alert.error_code:
        return None
    mailbox.environment = alert.environment
    mailbox.may = mailbox_access.permissions(user, mailbox)
    kind = KINDS.get(alert.kind)
    direction = (kind and kind.mended_by) or Direction.INCOMING
    label, url = progress.where_to_mend(alert.error_code, direction=direction, mailbox=mailbox)
    return (label, url) if url.startswith(f"{mailbox.get_absolute_url()}#") else None


def words_of(
    alert: Alert,
    members: wall.Members | None,
    *,
    user: Person,
    owner_id: int | None,
    presenter: Presenter,
    shows_email: bool = False,
) -> Presented:
    """Return the words of `alert`, whose mailbox `owner_id` owns, with the links that `user` may follow."""
    counted = (members.all if alert.resolved_on else members.open) if members else 0
    return presenter.present(
        alert,
        members=counted,
        shows_email=shows_email or alert.kind not in SPEAKS_OF_EMAIL,
        leads_to=[
            place
            for place, needed in PLACES.items()
            if access.may(user, needed, alert.environment_id, owner_id=owner_id)
        ],
        mend=where_to_mend(alert, user),
    )
