"""Two screens over Django's own users: a list with commands, and a panel."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from django import forms
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import OperationalError, connection
from django.db.models import Q
from django.db.models.functions import Lower
from django.http import HttpRequest, HttpResponse
from django.urls import include, path

from emailsync.web.concurrency import VersionedForm
from emailsync.web.forms import ConsoleForm, SecretField
from emailsync.web.listing import Column, Facet, Listing, View
from emailsync.web.responses import dialog_response, list_response, saved_response
from emailsync.web.security import content_security

LIST_URL = "/environments/contoso/mailboxes/"

handler400 = "emailsync.web.errors.bad_request"
handler403 = "emailsync.web.errors.permission_denied"
handler404 = "emailsync.web.errors.page_not_found"
handler500 = "emailsync.web.errors.server_error"


@dataclass(frozen=True)
class Place:
    """An environment, as the navigation sees it."""

    slug: str = "contoso"
    name: str = "Contoso (demo)"
    may: frozenset[str] = frozenset({"read_settings"})


class PeopleListing(Listing[User]):
    """Users, as a list shows records."""

    columns: ClassVar = (
        Column("name", "Name", sort=(Lower("username"),)),
        Column("email", "Email"),
        Column("seen", "Last seen", sort=("last_login",)),
    )
    search: ClassVar = ("username", "email")
    views: ClassVar = (
        View("active", "Active People", Q(is_active=True)),
        View("inactive", "Inactive People", Q(is_active=False)),
    )
    facets: ClassVar = (
        Facet("staff", "Staff", Q(is_staff=True)),
        Facet("others", "Others", Q(is_staff=False)),
    )
    page_sizes: ClassVar = (5, 50)
    default_sort: ClassVar[str] = "name"
    noun: ClassVar[tuple[str, str]] = ("person", "people")


class ServerForm(VersionedForm, ConsoleForm, forms.Form):
    """Every kind of control."""

    tips: ClassVar[Mapping[str, str]] = {"name": "What people call it."}
    units: ClassVar[Mapping[str, str]] = {"pause": "min"}

    name = forms.CharField(help_text="Shown in lists.")
    kind = forms.ChoiceField(choices=[("o", "Other"), ("x", "Exchange")])
    is_default = forms.BooleanField(label="Set as default", required=False)
    password = SecretField(saved=True)
    since = forms.DateTimeField(required=False)
    pause = forms.IntegerField(required=False, max_value=60)
    details = forms.MultipleChoiceField(
        required=False, choices=[("e", "Errors"), ("w", "Warnings")], widget=forms.CheckboxSelectMultiple
    )


def list_page(request: HttpRequest) -> tuple[str, dict[str, Any]]:
    """Return the template and context of the list."""
    listing = PeopleListing(request.GET, User.objects.all(), url=LIST_URL)
    return "trial/list.html", {"environment": Place(), "listing": listing}


def people(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the list."""
    template, context = list_page(request)
    return list_response(request, template, "trial/_rows.html", context, here=context["listing"].here)


def panel(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the panel; a good form is saved."""
    form = ServerForm(request.POST or None)
    if form.is_valid():
        return saved_response(request, LIST_URL, title="Server saved", text="It can be used now.")
    context = {"form": form, "back_url": LIST_URL}
    status = 422 if form.is_bound else 200
    return dialog_response(
        request, "trial/_panel.html", context, page=lambda: list_page(request), status=status
    )


def crash(request: HttpRequest) -> HttpResponse:
    """Fail as a bug would."""
    raise RuntimeError("a bug")


def away(request: HttpRequest) -> HttpResponse:
    """Fail as a view does whose database does not answer."""
    raise OperationalError("connection refused")


def behind(request: HttpRequest) -> HttpResponse:
    """Ask for a table that only another version has."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM a_table_of_another_version")
    raise AssertionError("There is such a table.")


def forbidden(request: HttpRequest) -> HttpResponse:
    """Refuse with a sentence."""
    raise PermissionDenied("You may not change server profiles.")


@content_security(frame_src="'self'")
def framing(request: HttpRequest) -> HttpResponse:
    """Hold a frame."""
    return HttpResponse("frame")


profiles = [
    path("environments/", people, {"slug": "contoso"}, name="environment_list"),
    path("environments/<slug:slug>/settings/", people, name="environment_settings"),
    path("environments/<slug:slug>/server-profiles/", people, name="profile_list"),
    path("environments/<slug:slug>/server-profiles/new/", panel, name="profile_create"),
]
mailboxes = [
    path("environments/<slug:slug>/mailboxes/", people, name="mailbox_list"),
    path("alerts/", people, {"slug": "contoso"}, name="alert_list"),
]
urlpatterns = [
    path("", include("emailsync.web.urls")),
    path("", include((profiles, "profiles"))),
    path("", include((mailboxes, "mailboxes"))),
    path("crash/", crash),
    path("away/", away),
    path("behind/", behind),
    path("forbidden/", forbidden),
    path("framing/", framing),
]
