"""The page that lists the mailboxes of an environment, and which of its columns somebody sees."""

from typing import Any, cast

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, QueryDict
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from emailsync.web.responses import list_response, saved_response
from mailboxes.models import Mailbox
from mailboxes.views.command_bar import commands_for
from mailboxes.views.mailbox_listing import MailboxListing, listing_of
from mailboxes.views.mailbox_rows import RowDrawing
from profiles.access import enter
from profiles.models import Environment

#: Which columns somebody chose, in their browser: a wide screen and a narrow one want different ones, and a
#: table would be more than it is worth. Signed for the person, so that the next one at the same browser
#: starts with the usual columns.
COLUMNS_COOKIE = "mailbox_columns"
COLUMNS_KEPT = 365 * 24 * 60 * 60


def chosen_columns(request: HttpRequest) -> list[str]:
    """Return the columns that the reader chose, or none for the usual ones."""
    kept = request.get_signed_cookie(COLUMNS_COOKIE, default="", salt=str(request.user.pk)) or ""
    return _known(kept.split("."))


def _known(names: list[str]) -> list[str]:
    return [column.name for column in MailboxListing.columns if column.name in names]


def list_page(
    request: HttpRequest, environment: Environment, *, state: QueryDict
) -> tuple[str, dict[str, Any]]:
    """Return the template and context of the list; dialogs stand on it when there is no script."""
    user = cast("User", request.user)
    listing = listing_of(environment, user=user, state=state, columns=chosen_columns(request))
    is_new = not listing.total and not Mailbox.objects.filter(environment=environment).exists()
    context = {
        "environment": environment,
        "listing": listing,
        "rows": RowDrawing(listing).draw(listing.rows),
        "is_new": is_new,
        "has_profiles": is_new and environment.server_profiles.active().exists(),
        "commands": commands_for(environment, user=user),
        "commands_url": reverse("mailboxes:mailbox_command", args=[environment.slug]),
        "columns_url": reverse("mailboxes:mailbox_columns", args=[environment.slug]),
    }
    return "mailboxes/mailbox_list.html", context


@require_safe
def mailbox_list(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the mailboxes of an environment."""
    environment = enter(cast("User", request.user), slug)
    template, context = list_page(request, environment, state=request.GET)
    here = context["listing"].here
    return list_response(request, template, "mailboxes/_mailbox_rows.html", context, here=here)


@require_POST
def mailbox_columns(request: HttpRequest, slug: str) -> HttpResponse:
    """Keep which columns the reader wants to see, or go back to the usual ones."""
    environment = enter(cast("User", request.user), slug)
    url = reverse("mailboxes:mailbox_list", args=[environment.slug])
    state = QueryDict(request.POST.get("list", ""))
    response = saved_response(
        request, f"{url}?{state.urlencode()}" if state else url, title=_("Columns changed")
    )
    if "usual" in request.POST:
        response.delete_cookie(COLUMNS_COOKIE)
        return response
    fixed = [column.name for column in MailboxListing.columns if not column.is_optional]
    names = _known([*fixed, *request.POST.getlist("columns")])
    response.set_signed_cookie(
        COLUMNS_COOKIE,
        ".".join(names),
        salt=str(request.user.pk),
        max_age=COLUMNS_KEPT,
        secure=request.is_secure(),
        httponly=True,
        samesite="Lax",
    )
    return response
