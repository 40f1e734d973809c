"""Environments: the list, the panel that names one, and the settings page of one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

from django.contrib.auth.models import User
from django.db.models.functions import Lower
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_safe

from emailsync.web.listing import LONGEST_QUERY, Column
from emailsync.web.responses import Page, dialog_response, page_response, saved_response
from profiles import access, services
from profiles.access import Permission, Person
from profiles.forms.environment import EnvironmentForm
from profiles.models import Environment, ServerProfile, StaleRecord
from profiles.views.figures import ListingWithFigures, add_figures, mail_since
from profiles.views.settings_index import Entry, entries_for


class EnvironmentListing(ListingWithFigures[Environment]):
    """Every environment, with what its mailboxes are doing."""

    columns: ClassVar[Sequence[Column]] = (
        Column("name", gettext_lazy("Environment"), sort=(Lower("name"),)),
        Column("kind", gettext_lazy("Type"), sort=("kind",), classes="md"),
        Column("mailboxes", gettext_lazy("Mailboxes"), sort=("mailbox_count",), classes="end"),
        Column("result", gettext_lazy("Health"), sort=("failing", "working")),
        Column("today", gettext_lazy("Mail today")),
        Column("alerts", gettext_lazy("Alerts"), sort=("open_alerts",)),
    )
    search: ClassVar = ("name", "slug")
    default_sort: ClassVar[str] = "name"
    noun: ClassVar[tuple[Any, Any]] = (gettext_lazy("environment"), gettext_lazy("environments"))


class GuardedEnvironmentListing(EnvironmentListing):
    """The same for who may not see the figures of each: sorted by them, the order would tell."""

    columns: ClassVar = tuple(
        column if column.name in {"name", "kind"} else replace(column, sort=())
        for column in EnvironmentListing.columns
    )


def _sees_every_figure(user: Person) -> bool:
    figures = {Permission.READ_MAILBOXES, Permission.READ_ALERTS}
    is_administrator = user.is_superuser and user.is_active
    return is_administrator or all(figures <= given for given in access.memberships(user).values())


def list_page(user: Person, state: QueryDict) -> tuple[str, dict[str, Any]]:
    """Return the template and context of the list; dialogs stand on it when there is no script."""
    environments = access.environments_of(user)
    kind = EnvironmentListing if _sees_every_figure(user) else GuardedEnvironmentListing
    listing = kind(state, environments, url=reverse("profiles:environment_list"))
    for environment in listing.rows:
        environment.may = access.permissions(user, environment)
    shown = [row for row in listing.rows if Permission.READ_MAILBOXES in row.may]
    midnight = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    mail_since(shown, midnight)
    return "profiles/environment_list.html", {"listing": listing}


@dataclass(frozen=True)
class Category:
    """A group of pages under Settings."""

    title: str
    about: str
    icon: str
    entries: Sequence[Entry]


def settings_page(user: Person, entered: Environment, *, query: str = "") -> tuple[str, dict[str, Any]]:
    """Return the template and context of the settings of an environment that was entered."""
    (environment,) = add_figures([Environment.objects.get(pk=entered.pk)])
    environment.may = access.permissions(user, environment)
    profiles = list(environment.server_profiles.only("name", "is_active", "is_default"))
    known = entries_for(environment)
    about = _abouts(environment, profiles)
    categories = [
        Category(
            _("Email"),
            _("Connect mailboxes to IMAP and SMTP servers"),
            "mail",
            _pages(known, "email", about),
        ),
        Category(
            _("Users + permissions"),
            _("Who may do what in this environment"),
            "users",
            _pages(known, "people", about),
        ),
        Category(
            _("Activity"),
            _("What happened, and what is under way"),
            "activity",
            _pages(known, "activity", about),
        ),
    ]
    context = {
        "environment": environment,
        "has_profiles": bool(profiles),
        "categories": [category for category in categories if category.entries],
        "query": query,
        "found": [entry for entry in known if entry.matches(query)] if query else [],
    }
    return "profiles/environment_settings.html", context


def _pages(known: Sequence[Entry], category: str, about: Mapping[str, str]) -> list[Entry]:
    """Return the pages of a category, with what they say at the moment."""
    pages = [entry for entry in known if entry.category == category and not entry.is_row]
    return [replace(page, about=about.get(page.name, page.about)) for page in pages]


def _abouts(environment: Environment, profiles: Sequence[ServerProfile]) -> dict[str, str]:
    """Return what the numbers of an environment say about its pages."""
    active = len([profile for profile in profiles if profile.is_active])
    default = next((profile.name for profile in profiles if profile.is_default), "")
    words = [_("%(count)s active") % {"count": active}]
    if profiles:
        words.append(_("default %(name)s") % {"name": default} if default else _("no default"))
    if Permission.READ_MAILBOXES not in environment.may:
        mailboxes = [_("The mailboxes that you own")]
    else:
        mailboxes = [
            sentence % {"count": f"{number:,}"}
            for sentence, number, is_said in (
                (_("%(count)s active"), environment.active, True),  # type: ignore[attr-defined]
                (_("%(count)s failing"), environment.failing, False),  # type: ignore[attr-defined]
                (_("%(count)s waiting for approval"), environment.pending, False),  # type: ignore[attr-defined]
            )
            if number or is_said
        ]
    return {"profiles:profile_list": " · ".join(words), "mailboxes:mailbox_list": " · ".join(mailboxes)}


@require_safe
def environment_list(request: HttpRequest) -> HttpResponse:
    """Show all environments."""
    template, context = list_page(request.user, request.GET)
    return page_response(request, template, "profiles/_environment_rows.html", context)


@require_safe
def environment_settings(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the categories of settings of an environment."""
    query = " ".join(request.GET.get("q", "").replace("\0", "").split())[:LONGEST_QUERY]
    template, context = settings_page(request.user, access.enter(request.user, slug), query=query)
    return render(request, template, context)


@require_http_methods(["GET", "HEAD", "POST"])
def environment_create(request: HttpRequest) -> HttpResponse:
    """Show the panel for a new environment, or create it and go to its settings."""
    access.require_superuser(request.user, to=services.CREATE_ENVIRONMENTS)
    form = EnvironmentForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        environment = services.save_environment(form.instance, by=cast("User", request.user))
        return saved_response(
            request,
            environment.get_absolute_url(),
            title=_("%(name)s was created") % {"name": environment.name},
            text=_("Next: add a server profile, which says where its mail servers are."),
            leave=True,
        )
    context = {"form": form, "back_url": reverse("profiles:environment_list")}
    return _panel(request, form, context, page=lambda: list_page(request.user, QueryDict()))


@require_http_methods(["GET", "HEAD", "POST"])
def environment_edit(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the panel that renames an environment, or save it. It stands on the page it was opened from."""
    environment = access.enter(request.user, slug, Permission.ADMINISTER)
    saved_name = environment.name
    is_from_settings = request.GET.get("from") == "settings"
    back = environment.get_absolute_url() if is_from_settings else reverse("profiles:environment_list")
    form = EnvironmentForm(request.POST or None, instance=environment)
    if request.method == "POST" and form.is_valid() and _save(request, form):
        return saved_response(
            request, back, title=_("Environment saved"), text=form.instance.name, leave=is_from_settings
        )
    context = {
        "form": form,
        "back_url": back,
        "edited_name": saved_name,
        "dialog_url": request.get_full_path(),
    }
    page: Callable[[], tuple[str, dict[str, Any]]] = (
        (lambda: settings_page(request.user, access.enter(request.user, slug)))
        if is_from_settings
        else (lambda: list_page(request.user, QueryDict()))
    )
    return _panel(request, form, context, page=page)


def _save(request: HttpRequest, form: EnvironmentForm) -> bool:
    """Save the environment; when somebody else did meanwhile, the form says so and keeps what was typed."""
    try:
        services.save_environment(form.instance, by=cast("User", request.user))
    except StaleRecord:
        form.meet(Environment.objects.select_related("modified_by").get(pk=form.instance.pk))
        return False
    return True


def _panel(
    request: HttpRequest, form: EnvironmentForm, context: dict[str, Any], *, page: Page
) -> HttpResponse:
    status = 422 if form.is_bound else 200
    return dialog_response(request, "profiles/_environment_panel.html", context, page=page, status=status)
