"""The tab Completeness: what the server holds, and what became of each message of it."""

from typing import cast
from uuid import UUID

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from emailsync.web.responses import is_fragment, page_response, saved_response
from mailboxes.models import Mailbox
from mailboxes.services import completeness
from mailboxes.views.head import mailbox_head
from profiles.access import Permission


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
    is_enabled = head["mailbox"].incoming_enabled
    context = {
        **head,
        "report": report,
        "is_waiting": report is not None and report.due_on <= now and is_enabled,
        "completeness_url": reverse("mailboxes:mailbox_completeness", args=[slug, pk]),
    }
    return page_response(
        request, "mailboxes/mailbox_completeness.html", "mailboxes/_completeness.html", context
    )
