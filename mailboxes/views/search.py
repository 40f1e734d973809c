"""One search over everything an administrator looks for by name.

The first look shows a few of each kind and costs one question a kind; "Show all" leads to one kind alone,
page by page. Nobody finds what they may not see.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from mailboxes.access import everywhere
from mailboxes.models import Mailbox
from mailboxes.models.mailbox import says
from profiles import access
from profiles.access import Permission, Person
from profiles.models import ServerProfile
from profiles.views.settings_index import entries_for

LONGEST_QUERY = 200
MOST_WORDS = 8
#: How many of each kind the first look shows, and how many a page of one kind.
SHOWN = 6
PAGE = 50
#: In how many environments settings are looked for: the same rows stand in each of them.
SETTINGS_IN = 20


@dataclass(frozen=True)
class Hit:
    """One thing found: its name, what tells it apart, and its page."""

    name: str
    about: str
    environment: str
    url: str
    icon: str = ""


@dataclass(frozen=True)
class Kind:
    """A kind of things: how they are found for a query, from a position on, and a few more than asked for."""

    title: Any
    icon: str
    find: Callable[[str, Person, slice], Sequence[Hit]]


@dataclass(frozen=True)
class Group:
    """What was found of one kind. There may be more than is shown."""

    kind: str
    title: str
    icon: str
    hits: Sequence[Hit]
    has_more: bool
    url: str


@require_safe
def search(request: HttpRequest) -> HttpResponse:
    """Find mailboxes, server profiles, environments and settings by name, address, location or label."""
    query = " ".join(request.GET.get("q", "").replace("\0", "").split()[:MOST_WORDS])[:LONGEST_QUERY]
    kind = request.GET.get("kind", "")
    kind = kind if kind in KINDS else ""
    asked = request.GET.get("page", "")
    page = max(int(asked), 1) if asked.isascii() and asked.isdecimal() and len(asked) < 6 else 1
    if kind:
        groups = [_group(query, kind, user=request.user, first=(page - 1) * PAGE, number=PAGE)]
    else:
        groups = [_group(query, name, user=request.user, first=0, number=SHOWN) for name in KINDS]
    groups = [group for group in groups if group.hits] if query else []
    context = {
        "search_query": query,
        "kind": kind,
        "groups": groups,
        "total": sum(len(group.hits) for group in groups),
        "has_more": any(group.has_more for group in groups),
        "everything_url": _url(query),
        "previous_url": _url(query, kind, page - 1) if kind and page > 1 else "",
        "next_url": _url(query, kind, page + 1) if kind and any(group.has_more for group in groups) else "",
    }
    return render(request, "mailboxes/search.html", context)


def _group(query: str, kind: str, *, user: Person, first: int, number: int) -> Group:
    known = KINDS[kind]
    found = known.find(query, user, slice(first, first + number + 1)) if query else []
    has_more = len(found) > number
    return Group(kind, str(known.title), known.icon, found[:number], has_more, _url(query, kind))


def _url(query: str, kind: str = "", page: int = 1) -> str:
    words = QueryDict(mutable=True)
    words["q"] = query
    if kind:
        words["kind"] = kind
    if page > 1:
        words["page"] = str(page)
    return f"{reverse('search')}?{words.urlencode()}"


def _matching(records: QuerySet[Any], query: str, *fields: str) -> QuerySet[Any]:
    for word in query.split():
        anywhere = Q()
        for field in fields:
            anywhere |= Q(**{f"{field}__icontains": word})
        records = records.filter(anywhere)
    return records.order_by("name", "pk")


def _mailboxes(query: str, user: Person, part: slice) -> list[Hit]:
    visible = Mailbox.objects.filter(everywhere(user, Permission.READ_MAILBOXES))
    found = visible.select_related("environment").only("name", "address", "kind", "environment")
    return [
        Hit(
            mailbox.name,
            f"{mailbox.get_kind_display()} · {mailbox.address}",
            mailbox.environment.name,
            mailbox.get_absolute_url(),
        )
        for mailbox in found.filter(*map(says, query.split())).order_by("name", "pk")[part]
    ]


def _profiles(query: str, user: Person, part: slice) -> list[Hit]:
    found = ServerProfile.objects.select_related("environment").only(
        "name", "incoming_location", "outgoing_location", "environment"
    )
    if not user.is_superuser:
        found = found.filter(environment__in=access.where(user, Permission.READ_SETTINGS))
    return [
        Hit(
            profile.name,
            f"{profile.incoming_location} · {profile.outgoing_location}",
            profile.environment.name,
            reverse("profiles:profile_detail", args=[profile.environment.slug, profile.pk]),
        )
        for profile in _matching(found, query, "name", "incoming_location", "outgoing_location")[part]
    ]


def _environments(query: str, user: Person, part: slice) -> list[Hit]:
    found = _matching(access.environments_of(user), query, "name", "slug")[part]
    return [
        Hit(environment.name, str(environment.get_kind_display()), "", environment.get_absolute_url())
        for environment in found
    ]


def _settings(query: str, user: Person, part: slice) -> list[Hit]:
    hits = []
    for environment in access.environments_of(user).order_by("name", "pk")[:SETTINGS_IN]:
        environment.may = access.permissions(user, environment)
        hits += [
            Hit(
                entry.title,
                entry.about if entry.is_row else _("Page of the settings"),
                environment.name,
                entry.url,
                entry.icon,
            )
            for entry in entries_for(environment)
            if entry.matches(query)
        ]
    return hits[part]


KINDS = {
    "mailboxes": Kind(gettext_lazy("Mailboxes"), "inbox", _mailboxes),
    "profiles": Kind(gettext_lazy("Server profiles"), "server", _profiles),
    "environments": Kind(gettext_lazy("Environments"), "globe", _environments),
    "settings": Kind(gettext_lazy("Settings"), "settings", _settings),
}
