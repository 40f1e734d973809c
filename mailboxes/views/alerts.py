"""The alerts walls: of a mailbox, of a server profile, and of the person signed in.

What a wall shows is in its address: whose it is, level, search, page. A deletion names the same words, so
that "delete all" means what was seen: the filter on every page, and nothing that came after.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, ClassVar, cast
from uuid import UUID

from django.contrib.auth.models import User
from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_POST, require_safe

from emailsync.web.listing import MOST_WORDS, Choice, Column, Facet, Listing, View
from emailsync.web.responses import dialog_response, is_fragment, page_response, saved_response
from emailsync.web.templatetags.console import day
from mailboxes import access
from mailboxes.access import everywhere
from mailboxes.alerts.kinds import KINDS, Presented, present
from mailboxes.choices import AlertLevel
from mailboxes.models import Alert, Mailbox
from mailboxes.services import wall
from mailboxes.views.email_listing import inside_json
from mailboxes.views.head import mailbox_head
from profiles import access as profiles_access
from profiles.access import Permission
from profiles.models import ServerProfile


class AlertListing(Listing[Alert]):
    """The alerts of one wall."""

    columns: ClassVar = (Column("seen", "Last seen", sort=("last_seen_on",)),)
    views: ClassVar = (View("all", "All alerts"), View("open", "Open alerts", Q(resolved_on__isnull=True)))
    facets: ClassVar = (
        Facet("error", "Errors", Q(level=AlertLevel.ERROR)),
        Facet("warning", "Warnings", Q(level=AlertLevel.WARNING)),
        Facet("information", "Information", Q(level=AlertLevel.INFORMATION)),
    )
    default_sort: ClassVar[str] = "-seen"
    noun: ClassVar[tuple[str, str]] = ("alert", "alerts")

    def __init__(self, state: QueryDict, queryset: QuerySet[Alert], *, url: str, whose: str = "") -> None:
        """Read what is asked for out of the address; `whose` belongs to the wall of a person."""
        super().__init__(state, queryset, url=url)
        self.whose = whose

    @property
    def matching(self) -> QuerySet[Alert]:
        """Return the alerts that the search finds: in their words, their cause or the server's answer."""
        found = self._queryset.filter(self.view.condition if self.view else Q())
        words = self.query.split()[:MOST_WORDS]
        if words:
            found = found.annotate(words=Cast("parameters", TextField()))
        for word in words:
            found = found.filter(
                inside_json("words", word)
                | Q(error_code__icontains=word)
                | Q(details__icontains=word)
                | Q(kind__in=_kinds_saying(word))
            )
        return found

    @property
    def state(self) -> dict[str, str]:
        """Return the state of the wall as it stands in the address, without the page."""
        return {**({"whose": self.whose} if self.whose else {}), **super().state}

    @property
    def hides_resolved(self) -> bool:
        """Tell whether only open alerts are shown."""
        return self.view is not None and self.view.name == "open"

    @property
    def resolved_url(self) -> str:
        """Return the address that shows resolved alerts, or hides them."""
        return self.link(view="" if self.hides_resolved else "open")

    @property
    def whose_choices(self) -> list[Choice]:
        """Return the walls of a person: their own, and everybody's."""
        return [
            Choice("My alerts", self.link(whose=""), not self.whose),
            Choice("Alerts of everybody", self.link(whose="everybody"), bool(self.whose)),
        ]


def _kinds_saying(word: str) -> list[str]:
    """Return the kinds whose own words, not their parameters, hold `word`."""
    sought = word.casefold()
    return [
        kind.code for kind in KINDS.values() if sought in f"{kind.title} {kind.text} {kind.remedy}".casefold()
    ]


@dataclass(frozen=True)
class Card:
    """An alert with its words."""

    alert: Alert
    words: Presented


@dataclass(frozen=True)
class Wall:
    """One wall: its alerts, its address and its page."""

    listing: AlertListing
    #: What a deletion sends along to find this wall again.
    scope: Mapping[str, str]
    template: str
    head: Mapping[str, Any]
    #: Whether cards name the environment.
    spans_environments: bool = False

    @property
    def context(self) -> dict[str, Any]:
        """Return the context of the page and of its changing part."""
        cards = [Card(alert, present(alert)) for alert in self.listing.rows]
        return {
            **self.head,
            "listing": self.listing,
            "days": [
                (name, list(group)) for name, group in groupby(cards, key=lambda c: day(c.alert.last_seen_on))
            ],
            "scope": self.scope,
            "spans_environments": self.spans_environments,
            "delete_url": reverse("mailboxes:alert_delete"),
            "ask_url": self.listing.link(ask="delete", page=str(self.listing.page)),
        }


def _loaded(alerts: QuerySet[Alert]) -> QuerySet[Alert]:
    return alerts.select_related("environment").defer("environment__version")


def _mailbox_wall(state: QueryDict, mailbox: Mailbox, head: Mapping[str, Any]) -> Wall:
    url = reverse("mailboxes:mailbox_alerts", args=[mailbox.environment.slug, mailbox.pk])
    return Wall(
        listing=AlertListing(state, _loaded(wall.of_mailbox(mailbox)), url=url),
        scope={"mailbox": str(mailbox.pk)},
        template="mailboxes/mailbox_alerts.html",
        head=head,
    )


def _profile_wall(state: QueryDict, profile: ServerProfile) -> Wall:
    url = reverse("mailboxes:profile_alerts", args=[profile.environment.slug, profile.pk])
    return Wall(
        listing=AlertListing(state, _loaded(wall.of_profile(profile)), url=url),
        scope={"profile": str(profile.pk)},
        template="mailboxes/profile_alerts.html",
        head={
            "environment": profile.environment,
            "profile": profile,
            "crumb": f"{profile.name}: alerts",
        },
    )


def _personal_wall(request: HttpRequest, state: QueryDict) -> Wall:
    whose = "everybody" if state.get("whose") == "everybody" else ""
    user = cast("User", request.user)
    alerts = wall.of_everybody(user) if whose else wall.of_person(user)
    return Wall(
        listing=AlertListing(state, _loaded(alerts), url=reverse("mailboxes:alert_list"), whose=whose),
        scope={},
        template="mailboxes/alert_list.html",
        head={},
        spans_environments=True,
    )


@require_safe
def mailbox_alerts(request: HttpRequest, slug: str, pk: UUID) -> HttpResponse:
    """Show the alerts about a mailbox."""
    mailbox, head = mailbox_head(request.user, slug, pk, Permission.READ_ALERTS, tab="alerts")
    return _show(request, _mailbox_wall(request.GET, mailbox, head))


@require_safe
def profile_alerts(request: HttpRequest, slug: str, pk: UUID) -> HttpResponse:
    """Show the alerts about a server profile and the errors of its mailboxes."""
    environment = profiles_access.enter(request.user, slug)
    found = ServerProfile.objects.defer("password", "outgoing_password")
    profile = get_object_or_404(found, environment=environment, pk=pk)
    profiles_access.require(request.user, Permission.READ_ALERTS, environment, owner_id=profile.owner_id)
    profile.environment = environment
    return _show(request, _profile_wall(request.GET, profile))


@require_safe
def alert_list(request: HttpRequest) -> HttpResponse:
    """Show the wall of the person signed in, or everybody's."""
    return _show(request, _personal_wall(request, request.GET))


def _show(request: HttpRequest, shown: Wall) -> HttpResponse:
    if request.GET.get("ask") == "delete":
        return _ask(request, shown)
    context = {**shown.context, "is_fragment": is_fragment(request)}
    return page_response(request, shown.template, "mailboxes/_wall_part.html", context)


def _ask(request: HttpRequest, shown: Wall) -> HttpResponse:
    listing = shown.listing
    context = {
        "listing": listing,
        "scope": shown.scope,
        "until": timezone.now().isoformat(),
        "dialog_url": reverse("mailboxes:alert_delete"),
        "back_url": listing.here,
    }
    return dialog_response(
        request, "mailboxes/_alerts_delete.html", context, page=lambda: (shown.template, shown.context)
    )


@require_POST
def alert_delete(request: HttpRequest) -> HttpResponse:
    """Delete one alert of a wall, or all that its filter shows."""
    shown = _wall_of(request)
    if "all" in request.POST:
        return _delete_all(request, shown)
    rows = [alert.pk for alert in shown.listing.rows]
    asked = request.POST.get("alert", "")
    number = int(asked) if asked.isascii() and asked.isdecimal() else 0
    deleted = wall.delete(shown.listing.selected.filter(pk=number), by=cast("User", request.user))
    title = "Alert deleted" if deleted else "This alert is already gone"
    after = _wall_of(request)
    if not is_fragment(request):
        return saved_response(request, after.listing.here, title=title)
    position = rows.index(number) if number in rows else 0
    left = [alert.pk for alert in after.listing.rows]
    context = {
        **after.context,
        "is_fragment": True,
        "said": title,
        "focus": left[min(position, len(left) - 1)] if left else 0,
    }
    return render(request, "mailboxes/_wall_part.html", context)


def _delete_all(request: HttpRequest, shown: Wall) -> HttpResponse:
    until: datetime | None = parse_datetime(request.POST.get("until", ""))
    deleted = wall.delete(shown.listing.selected, by=cast("User", request.user), until=until)
    back = shown.listing.link(facet="", q="")
    words = f"{deleted:,} alert{'' if deleted == 1 else 's'} deleted"
    return saved_response(request, back, title=words)


def _wall_of(request: HttpRequest) -> Wall:
    """Return the wall that a deletion comes from."""
    state = request.POST
    if "mailbox" in state:
        visible = Mailbox.objects.filter(everywhere(request.user, Permission.READ_MAILBOXES))
        mailbox = get_object_or_404(visible.select_related("environment"), pk=_uuid(state["mailbox"]))
        access.require(request.user, Permission.DELETE_ALERTS, mailbox)
        return _mailbox_wall(state, mailbox, {"open_alerts": wall.open_count(wall.of_mailbox(mailbox))})
    if "profile" in state:
        environments = profiles_access.environments_of(request.user)
        profiles = ServerProfile.objects.filter(environment__in=environments).select_related("environment")
        found = profiles.defer("password", "outgoing_password")
        profile = get_object_or_404(found, pk=_uuid(state["profile"]))
        profiles_access.require(
            request.user, Permission.DELETE_ALERTS, profile.environment_id, owner_id=profile.owner_id
        )
        return _profile_wall(state, profile)
    return _personal_wall(request, state)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
