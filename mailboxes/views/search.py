"""One search over everything an administrator looks for by name."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from mailboxes.access import everywhere
from mailboxes.models import Mailbox
from profiles import access
from profiles.access import Permission, Person
from profiles.models import Environment, ServerProfile

LONGEST_QUERY = 200
MOST_WORDS = 8
SHOWN = 20


@dataclass(frozen=True)
class Hit:
    """One record found: its name, what tells it apart, and its page."""

    name: str
    about: str
    environment: str
    url: str


@dataclass(frozen=True)
class Group:
    """What was found of one kind. There may be more than is shown."""

    title: str
    icon: str
    hits: Sequence[Hit]
    has_more: bool


@require_safe
def search(request: HttpRequest) -> HttpResponse:
    """Find environments, server profiles and mailboxes by name, address or location."""
    query = " ".join(request.GET.get("q", "").replace("\0", "").split())[:LONGEST_QUERY]
    groups = find(query, user=request.user) if query else []
    context = {
        "search_query": query,
        "groups": groups,
        "total": sum(len(group.hits) for group in groups),
        "has_more": any(group.has_more for group in groups),
    }
    return render(request, "mailboxes/search.html", context)


def find(query: str, *, user: Person) -> list[Group]:
    """Return what matches every word of `query` and `user` may see; kinds without a match are left out."""
    visible = Mailbox.objects.filter(everywhere(user, Permission.READ_MAILBOXES))
    mailboxes = visible.select_related("environment").only("name", "address", "kind", "environment")
    environments = access.environments_of(user)
    profiles = ServerProfile.objects.select_related("environment").only(
        "name", "incoming_location", "outgoing_location", "environment"
    )
    if not user.is_superuser:
        profiles = profiles.filter(environment__in=access.where(user, Permission.READ_SETTINGS))
    groups = [
        _group("Mailboxes", "inbox", _matching(mailboxes, query, "name", "address"), _mailbox),
        _group(
            "Server profiles",
            "server",
            _matching(profiles, query, "name", "incoming_location", "outgoing_location"),
            _profile,
        ),
        _group("Environments", "globe", _matching(environments, query, "name", "slug"), _environment),
    ]
    return [group for group in groups if group.hits]


def _matching(records: QuerySet[Any], query: str, *fields: str) -> QuerySet[Any]:
    for word in query.split()[:MOST_WORDS]:
        anywhere = Q()
        for field in fields:
            anywhere |= Q(**{f"{field}__icontains": word})
        records = records.filter(anywhere)
    return records.order_by("name", "pk")


def _group(title: str, icon: str, records: QuerySet[Any], describe: Any) -> Group:
    found: list[Model] = list(records[: SHOWN + 1])
    return Group(title, icon, [describe(record) for record in found[:SHOWN]], has_more=len(found) > SHOWN)


def _mailbox(mailbox: Mailbox) -> Hit:
    about = f"{mailbox.get_kind_display()} mailbox · {mailbox.address}"
    return Hit(mailbox.name, about, mailbox.environment.name, mailbox.get_absolute_url())


def _profile(profile: ServerProfile) -> Hit:
    url = reverse("profiles:profile_edit", args=[profile.environment.slug, profile.pk])
    about = f"{profile.incoming_location} · {profile.outgoing_location}"
    return Hit(profile.name, about, profile.environment.name, url)


def _environment(environment: Environment) -> Hit:
    return Hit(environment.name, environment.get_kind_display(), "", environment.get_absolute_url())
