"""The tab Completeness and the page: what servers hold, and what became of each message of it."""

from typing import cast
from uuid import UUID

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from emailsync.web.addresses import pattern
from emailsync.web.responses import (
    is_fragment,
    list_response,
    page_response,
    redirect_response,
    saved_response,
)
from mailboxes.models import Job, Mailbox
from mailboxes.services import completeness
from mailboxes.views.command_bar import may_diagnose_some
from mailboxes.views.completeness_listing import completeness_of
from mailboxes.views.head import mailbox_head
from mailboxes.views.selection import chosen
from profiles.access import Permission, enter


@require_http_methods(["GET", "HEAD", "POST"])
def mailbox_completeness(request: HttpRequest, slug: str, pk: UUID) -> HttpResponse:
    """Show the last count of the Inbox; posted, have it counted now."""
    needed = Permission.DIAGNOSE if request.method == "POST" else Permission.READ_MAILBOXES
    mailbox, head = mailbox_head(request.user, slug, pk, needed, tab="completeness")
    now = timezone.now()
    if request.method == "POST":
        one = Mailbox.objects.filter(pk=mailbox.pk)
        if not completeness.ask(one, by=cast("User", request.user), now=now):
            return saved_response(
                request,
                request.path,
                title=_("The Inbox is not counted"),
                text=_("Incoming email is not enabled. Run Test & Enable first."),
                intent="error",
            )
        if not is_fragment(request):
            return saved_response(request, request.path, title=_("The Inbox is counted in a moment"))
    report = completeness.report(mailbox)
    context = {
        **head,
        "report": report,
        "is_waiting": bool(report.due_on and report.due_on <= now and head["mailbox"].incoming_enabled),
        "completeness_url": reverse("mailboxes:mailbox_completeness", args=[slug, pk]),
    }
    return page_response(
        request, "mailboxes/mailbox_completeness.html", "mailboxes/_completeness.html", context
    )


@require_safe
def completeness_list(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the last count of every mailbox of an environment, gaps first."""
    user = cast("User", request.user)
    environment = enter(user, slug)
    listing = completeness_of(environment, user=user, state=request.GET)
    context = {
        "environment": environment,
        "listing": listing,
        "may_count": may_diagnose_some(environment, user=user),
        "count_url": reverse("mailboxes:completeness_count", args=[slug]),
        "tab_url": pattern("mailboxes:mailbox_completeness", slug, UUID),
    }
    rows = "mailboxes/_completeness_rows.html"
    return list_response(request, "mailboxes/completeness_list.html", rows, context, here=listing.here)


@require_POST
def completeness_count(request: HttpRequest, slug: str) -> HttpResponse:
    """Have the chosen Inboxes counted now; many by a job."""
    user = cast("User", request.user)
    environment = enter(user, slug)
    selection = chosen(request, environment, Permission.DIAGNOSE, listing=completeness_of)
    url = reverse("mailboxes:completeness_list", args=[slug])
    back = f"{url}?{selection.state.urlencode()}" if selection.state else url
    if not selection.count:
        return saved_response(request, back, title=_("Select a mailbox first"), intent="error")
    asked = completeness.ask_all(selection.mailboxes, environment=environment, by=user, now=timezone.now())
    if isinstance(asked, Job):
        return redirect_response(request, asked.get_absolute_url())
    left = selection.count - asked
    text = ngettext(
        "%(number)s mailbox does not receive, so there is nothing to count.",
        "%(number)s mailboxes do not receive, so there is nothing to count.",
        left,
    ) % {"number": f"{left:,}"}
    title = ngettext(
        "%(number)s Inbox is counted in a moment", "%(number)s Inboxes are counted in a moment", asked
    ) % {"number": f"{asked:,}"}
    return saved_response(
        request,
        back,
        title=title if asked else _("Nothing is counted"),
        text=text if left else "",
        intent="success" if asked else "error",
    )
