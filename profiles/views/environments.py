"""Environments: the list, the panel that names one, and the settings page of one."""

from collections.abc import Callable
from typing import Any, ClassVar, cast

from django.contrib.auth.models import User
from django.db.models.functions import Lower
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from emailsync.web.listing import Column, Listing
from emailsync.web.responses import Page, dialog_response, page_response, saved_response
from profiles import access, services
from profiles.access import Permission, Person
from profiles.forms.environment import EnvironmentForm
from profiles.models import Environment, StaleRecord
from profiles.views.figures import pending_approval, with_figures


class EnvironmentListing(Listing[Environment]):
    """Every environment, with what its mailboxes are doing."""

    columns: ClassVar = (
        Column("name", "Environment", sort=(Lower("name"),)),
        Column("kind", "Type", sort=("kind",)),
        Column("mailboxes", "Mailboxes", sort=("mailbox_count",), classes="end"),
        Column("result", "Test result", sort=("failing", "working")),
        Column("alerts", "Alerts", sort=("open_alerts",)),
    )
    search: ClassVar = ("name", "slug")
    default_sort: ClassVar[str] = "name"
    noun: ClassVar[tuple[str, str]] = ("environment", "environments")


def list_page(user: Person, state: QueryDict) -> tuple[str, dict[str, Any]]:
    """Return the template and context of the list; dialogs stand on it when there is no script."""
    environments = with_figures(access.environments_of(user))
    listing = EnvironmentListing(state, environments, url=reverse("profiles:environment_list"))
    for environment in listing.rows:
        environment.may = access.permissions(user, environment)
    return "profiles/environment_list.html", {"listing": listing}


def settings_page(entered: Environment) -> tuple[str, dict[str, Any]]:
    """Return the template and context of the settings of an environment that was entered."""
    environment = pending_approval(with_figures(Environment.objects.all())).get(pk=entered.pk)
    environment.may = entered.may
    profiles = list(environment.server_profiles.only("name", "is_active", "is_default"))
    context = {
        "environment": environment,
        "profiles": len([profile for profile in profiles if profile.is_active]),
        "default_profile": next((profile for profile in profiles if profile.is_default), None),
        "has_profiles": bool(profiles),
    }
    return "profiles/environment_settings.html", context


@require_safe
def environment_list(request: HttpRequest) -> HttpResponse:
    """Show all environments."""
    template, context = list_page(request.user, request.GET)
    return page_response(request, template, "profiles/_environment_rows.html", context)


@require_safe
def environment_settings(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the categories of settings of an environment."""
    template, context = settings_page(access.enter(request.user, slug))
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
            title=f"{environment.name} was created",
            text="Next: add a server profile, which says where its mail servers are.",
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
            request, back, title="Environment saved", text=form.instance.name, leave=is_from_settings
        )
    context = {
        "form": form,
        "back_url": back,
        "edited_name": saved_name,
        "dialog_url": request.get_full_path(),
    }
    page: Callable[[], tuple[str, dict[str, Any]]] = (
        (lambda: settings_page(access.enter(request.user, slug)))
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
