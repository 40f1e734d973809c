"""The list of an environment's server profiles: views, search, sort and pages."""

from typing import Any, ClassVar

from django.db.models import Q, QuerySet
from django.db.models.functions import Lower
from django.http import HttpRequest, HttpResponse, QueryDict
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from emailsync.web.listing import Column, View
from emailsync.web.responses import page_response
from profiles import access
from profiles.access import Permission
from profiles.models import Environment, ServerProfile
from profiles.views.figures import ListingWithFigures
from profiles.views.profile_rows import RowDrawing


class ServerProfileListing(ListingWithFigures[ServerProfile]):
    """The server profiles of one environment, with what their mailboxes are doing."""

    columns: ClassVar = (
        Column("name", _("Name"), sort=(Lower("name"),)),
        Column("incoming", _("Incoming server"), sort=("incoming_location",)),
        Column("outgoing", _("Outgoing server"), sort=("outgoing_location",), classes="md"),
        Column("credentials", _("Credentials from"), sort=("authentication_type",), classes="lg"),
        Column("mailboxes", _("Mailboxes"), sort=("mailbox_count",), classes="end"),
        Column("result", _("Test result"), sort=("failing", "working")),
    )
    search: ClassVar = ("name", "description", "incoming_location", "outgoing_location")
    views: ClassVar = (
        View("active", _("Active Email Server Profiles"), Q(is_active=True)),
        View("inactive", _("Inactive Email Server Profiles"), Q(is_active=False)),
        View("all", _("All Email Server Profiles")),
    )
    default_sort: ClassVar[str] = "name"
    noun: ClassVar[tuple[Any, Any]] = (_("server profile"), _("server profiles"))


def rows_of(environment: Environment) -> QuerySet[ServerProfile]:
    """Return the environment's profiles with everything a row of the list shows."""
    return environment.server_profiles.defer(
        "password", "outgoing_password", "oauth_client_secret", "notes", "ca_certificates"
    )


def list_page(environment: Environment, *, state: QueryDict) -> tuple[str, dict[str, Any]]:
    """Return the template and context of the list; dialogs stand on it when there is no script."""
    url = reverse("profiles:profile_list", args=[environment.slug])
    listing = ServerProfileListing(state, rows_of(environment), url=url)
    words = urlencode(listing.state)
    commands_url = reverse("profiles:profile_command", args=[environment.slug])
    context = {
        "environment": environment,
        "listing": listing,
        "is_new": not listing.total and not environment.server_profiles.exists(),
        # The way back: a command without script returns to the list as it was.
        "commands_url": f"{commands_url}?{words}" if words else commands_url,
        "rows": RowDrawing(environment).draw(listing.rows),
    }
    return "profiles/profile_list.html", context


@require_safe
def profile_list(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the server profiles of an environment."""
    environment = access.enter(request.user, slug, Permission.READ_SETTINGS)
    template, context = list_page(environment, state=request.GET)
    return page_response(request, template, "profiles/_profile_rows.html", context)
