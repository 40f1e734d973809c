"""Where one can go from here: the links of the navigation, by the names of addresses alone."""

from dataclasses import dataclass
from typing import Any, Protocol

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _

#: Beginnings of address names and the entry they light up; the longest match wins.
AREAS = {
    "profiles:environment": "profiles:environment_list",
    "profiles:environment_settings": "profiles:environment_settings",
    "profiles:email_settings": "profiles:email_settings",
    "profiles:email_tracking": "profiles:email_tracking",
    "profiles:people": "profiles:people_list",
    "profiles:person": "profiles:people_list",
    "profiles:profile": "profiles:profile_list",
    "mailboxes:": "mailboxes:mailbox_list",
    "mailboxes:completeness": "mailboxes:completeness_list",
    "mailboxes:conversation": "mailboxes:environment_emails",
    "mailboxes:environment_email": "mailboxes:environment_emails",
    "mailboxes:job": "mailboxes:job_list",
    "mailboxes:profile": "profiles:profile_list",
    "mailboxes:alert": "mailboxes:alert_list",
    "mailboxes:environment_alerts": "mailboxes:environment_alerts",
    "help": "help",
}


class Place(Protocol):
    """An environment, as far as the navigation needs to know it."""

    slug: str
    name: str
    #: What the reader may do there, in words.
    may: frozenset[str]


@dataclass(frozen=True)
class Link:
    """One entry of the navigation."""

    name: str
    title: str
    icon: str
    url: str
    is_current: bool


@dataclass(frozen=True)
class Navigation:
    """The entries of the whole console and those of one environment. A link without target is absent."""

    console: tuple[Link, ...]
    environment: tuple[Link, ...]
    email: tuple[Link, ...]
    search_url: str


def address(*names: str, args: tuple[Any, ...] = ()) -> str:
    """Return the first of `names` that leads somewhere, or nothing."""
    for name in names:
        try:
            return reverse(name, args=args)
        except NoReverseMatch:
            continue
    return ""


def current_area(request: HttpRequest | None) -> str:
    """Return the name of the entry that the page at hand belongs to."""
    match = request.resolver_match if request is not None else None
    here = match.view_name if match else ""
    fitting = [start for start in AREAS if here.startswith(start)]
    return AREAS[max(fitting, key=len)] if fitting else ""


def build(request: HttpRequest | None, *, environment: Place | None) -> Navigation:
    """Return the navigation of a page; without an environment its group is empty."""
    area = current_area(request)

    def links(*entries: tuple[str, str, str], args: tuple[Any, ...] = ()) -> tuple[Link, ...]:
        made = [
            Link(name=name, title=title, icon=icon, url=address(name, args=args), is_current=name == area)
            for name, title, icon in entries
        ]
        return tuple(link for link in made if link.url)

    inside = (environment.slug,) if environment else ()
    reads_settings = environment is not None and "read_settings" in environment.may
    reads_alerts = environment is not None and "read_alerts" in environment.may
    alerts = ("mailboxes:environment_alerts", _("Alerts wall"), "flag")
    people = ("profiles:people_list", _("People and roles"), "users")
    settings = ("profiles:email_settings", _("Email settings"), "sliders")
    tracking = ("profiles:email_tracking", _("Email tracking"), "activity")
    mailboxes = ("mailboxes:mailbox_list", _("Mailboxes"), "inbox")
    completeness = ("mailboxes:completeness_list", _("Completeness"), "database")
    emails = ("mailboxes:environment_emails", _("Emails"), "mail")
    server_profiles = ("profiles:profile_list", _("Server profiles"), "server")
    return Navigation(
        console=links(
            ("profiles:environment_list", _("Environments"), "globe"),
            ("mailboxes:alert_list", _("Alerts"), "bell"),
        ),
        environment=links(
            ("profiles:environment_settings", _("All settings"), "settings"),
            ("mailboxes:job_list", _("Jobs"), "activity"),
            *((alerts,) if reads_alerts else ()),
            *((people,) if reads_settings else ()),
            args=inside,
        )
        if environment
        else (),
        email=links(
            *(
                (settings, tracking, mailboxes, completeness, emails, server_profiles)
                if reads_settings
                else (mailboxes, completeness, emails)
            ),
            args=inside,
        )
        if environment
        else (),
        search_url=address("search", "mailboxes:search"),
    )
