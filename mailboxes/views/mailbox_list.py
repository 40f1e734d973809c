"""The list of an environment's mailboxes: views, facets, search, sort and pages."""

from typing import Any, ClassVar, cast

from django.contrib.auth.models import User
from django.db.models import Q, QuerySet
from django.db.models.functions import Coalesce, Greatest, Lower
from django.http import HttpRequest, HttpResponse, QueryDict
from django.urls import reverse
from django.views.decorators.http import require_safe

from emailsync.web.listing import Column, Facet, Listing, View
from emailsync.web.responses import page_response
from mailboxes import access
from mailboxes.choices import AddressStatus, ResultStatus
from mailboxes.models import Mailbox
from profiles.access import Permission, enter
from profiles.models import Environment

FAILING = Q(incoming_status=ResultStatus.FAILURE) | Q(outgoing_status=ResultStatus.FAILURE)
UNTRIED = (Q(incoming_status__isnull=True) | Q(incoming_status=ResultStatus.NOT_RUN)) & (
    Q(outgoing_status__isnull=True) | Q(outgoing_status=ResultStatus.NOT_RUN)
)
WORKING = (Q(incoming_enabled=True) | Q(outgoing_enabled=True)) & ~Q(FAILING)
PENDING = Q(address_status=AddressStatus.PENDING)


class MailboxListing(Listing[Mailbox]):
    """The mailboxes of one environment, with the states of both directions."""

    columns: ClassVar = (
        Column("name", "Name", sort=(Lower("name"),)),
        Column("regarding", "Regarding", sort=("kind",)),
        Column("profile", "Server profile", sort=(Lower("server_profile__name"),)),
        Column("approval", "Email approval", sort=("address_status",)),
        Column("incoming", "Incoming", sort=("incoming_status",)),
        Column("outgoing", "Outgoing", sort=("outgoing_status",)),
        Column("act", "Appointments", classes="lg xl"),
        Column("tested", "Last tested", sort=("tested_on",), classes="lg"),
    )
    search: ClassVar = ("name", "address")
    views: ClassVar = (
        View("active", "Active Mailboxes", Q(is_active=True)),
        View("my", "My Active Mailboxes", Q(is_active=True, is_mine=True)),
        View("inactive", "Inactive Mailboxes", Q(is_active=False)),
        View("all", "All Mailboxes"),
        View("pending", "Mailboxes Pending Email Approval", Q(is_active=True) & PENDING),
        View("untested", "Mailboxes Not Tested", Q(is_active=True) & UNTRIED),
        View("failing", "Failing Mailboxes", Q(is_active=True) & FAILING),
    )
    facets: ClassVar = (
        Facet("working", "Working", WORKING),
        Facet("failing", "Failing", FAILING),
        Facet("untested", "Not tested", UNTRIED),
        Facet("pending", "Pending approval", PENDING),
    )
    default_sort: ClassVar[str] = "name"
    noun: ClassVar[tuple[str, str]] = ("mailbox", "mailboxes")
    offers_all: ClassVar[bool] = True


def rows_of(environment: Environment, *, user: User) -> QuerySet[Mailbox]:
    """Return the environment's mailboxes with everything a row of the list shows."""
    both = Greatest("incoming_tested_on", "outgoing_tested_on")
    visible = access.within(
        Mailbox.objects.with_states(), user, Permission.READ_MAILBOXES, environment=environment
    )
    return (
        visible.select_related("server_profile")
        .defer("password", "notes", "server_profile__password", "server_profile__outgoing_password")
        .annotate(
            # SQLite's greatest of a value and nothing is nothing.
            tested_on=Coalesce(both, "incoming_tested_on", "outgoing_tested_on"),
            is_mine=Q(owner=user),
        )
    )


def listing_of(environment: Environment, *, user: User, state: QueryDict) -> MailboxListing:
    """Return the list that `state` asks for, of the mailboxes that `user` may see."""
    url = reverse("mailboxes:mailbox_list", args=[environment.slug])
    return MailboxListing(state, rows_of(environment, user=user), url=url)


def list_page(
    request: HttpRequest, environment: Environment, *, state: QueryDict
) -> tuple[str, dict[str, Any]]:
    """Return the template and context of the list; dialogs stand on it when there is no script."""
    listing = listing_of(environment, user=cast("User", request.user), state=state)
    is_new = not listing.total and not Mailbox.objects.filter(environment=environment).exists()
    context = {
        "environment": environment,
        "listing": listing,
        "is_new": is_new,
        "has_profiles": is_new and environment.server_profiles.active().exists(),
        "commands_url": reverse("mailboxes:mailbox_command", args=[environment.slug]),
    }
    return "mailboxes/mailbox_list.html", context


@require_safe
def mailbox_list(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the mailboxes of an environment."""
    environment = enter(cast("User", request.user), slug)
    template, context = list_page(request, environment, state=request.GET)
    return page_response(request, template, "mailboxes/_mailbox_rows.html", context)
