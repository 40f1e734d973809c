"""Mail in lists: the Emails tab of a mailbox, the Emails of an environment, and commands on many at once."""

from typing import Any, cast
from uuid import UUID

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from emailsync.web.responses import (
    is_fragment,
    list_response,
    page_response,
    redirect_response,
    saved_response,
)
from mailboxes.models import Message, OutgoingMessage
from mailboxes.services import outgoing, received
from mailboxes.views.conversation import reader_of
from mailboxes.views.email_listing import EmailListing
from mailboxes.views.head import mailbox_head
from profiles import access as profiles_access
from profiles.access import Permission
from profiles.models import Environment

#: How many emails one command takes: what a page shows, and room.
MOST_AT_ONCE = 200
LONGEST_LIST_OF_REASONS = 3


@require_safe
def mailbox_emails(request: HttpRequest, slug: str, pk: UUID) -> HttpResponse:
    """Show the mail of a mailbox. A list that asks for news gets an answer only when there is some."""
    mailbox, head = mailbox_head(request.user, slug, pk, Permission.READ_EMAIL, tab="emails")
    reader = reader_of(request.user, head["environment"])
    listing = EmailListing(request.GET, reader, url=request.path, mailbox=mailbox)
    return _list(request, "mailboxes/mailbox_emails.html", listing, head)


@require_safe
def environment_emails(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the mail of all mailboxes of an environment that the person may read."""
    environment = profiles_access.enter(request.user, slug)
    reader = reader_of(request.user, environment)
    listing = EmailListing(request.GET, reader, url=request.path)
    sendable = Permission.SEND_EMAIL in environment.may or reader.readable is not None
    context = {"environment": environment, "may_send": sendable}
    return _list(request, "mailboxes/environment_emails.html", listing, context)


def _list(
    request: HttpRequest, template: str, listing: EmailListing, context: dict[str, Any]
) -> HttpResponse:
    if is_fragment(request) and request.GET.get("seen") == listing.signature:
        return HttpResponse(status=204)
    context |= {"listing": listing, "is_fragment": is_fragment(request)}
    if "seen" in request.GET:  # it asks for news by itself: the address stays
        return page_response(request, template, "mailboxes/_emails.html", context)
    return list_response(request, template, "mailboxes/_emails.html", context, here=listing.here)


@require_POST
def emails_command(request: HttpRequest, slug: str) -> HttpResponse:
    """Cancel or send again what is selected, and say what was left alone and why."""
    environment = profiles_access.enter(request.user, slug)
    action = request.POST.get("action", "")
    if action == "read_again":
        return _read_again(request, environment)
    if action not in {"cancel", "send_again"}:
        raise Http404("There is no such command.")
    words = [word.removeprefix("out-") for word in request.POST.getlist("ids")[:MOST_AT_ONCE]]
    chosen = [int(word) for word in words if word.isascii() and word.isdecimal() and len(word) <= 18]
    found = OutgoingMessage.objects.filter(environment=environment, pk__in=chosen)
    by, now = cast("User", request.user), timezone.now()
    done, left = 0, list[str]()
    for message in found.select_related("mailbox").defer("content").order_by("pk"):
        try:
            if action == "cancel":
                outgoing.cancel(message, by=by, now=now)
            else:
                outgoing.retry(message, by=by, now=now, is_certain=True)
        except outgoing.NotNow as error:
            left.append(f"“{message}”: {error}")
        except PermissionDenied:
            # Somebody else's mailbox: not even its subject is said.
            continue
        else:
            done += 1
    back = request.POST.get("back", "")
    here = reverse("mailboxes:environment_emails", args=[slug])
    return saved_response(
        request,
        back if url_has_allowed_host_and_scheme(back, allowed_hosts=None) else here,
        title=_said(action, done),
        text=" ".join(left[:LONGEST_LIST_OF_REASONS]),
        intent="success" if done and not left else "warning",
    )


def _read_again(request: HttpRequest, environment: Environment) -> HttpResponse:
    """Have those messages in quarantine read again that are selected, or all that the person may read."""
    here = reverse("mailboxes:environment_emails", args=[environment.slug])
    words = [word.removeprefix("in-") for word in request.POST.getlist("ids")[:MOST_AT_ONCE]]
    chosen = [int(word) for word in words if word.isascii() and word.isdecimal() and len(word) <= 18]
    found = Message.objects.filter(reader_of(request.user, environment).scope(pk__in=chosen))
    by, now = cast("User", request.user), timezone.now()
    job = received.read_again(found, environment=environment, by=by, now=now)
    if job is not None:
        return redirect_response(request, job.get_absolute_url())
    title = _("Nothing was changed")
    text = _("None of the selected emails is in quarantine.")
    return saved_response(request, here, title=title, text=text, intent="warning")


def _said(action: str, done: int) -> str:
    if not done:
        return _("Nothing was changed")
    if action == "cancel":
        return ngettext("%(number)d email canceled", "%(number)d emails canceled", done) % {"number": done}
    return ngettext(
        "%(number)d email waits to be sent again", "%(number)d emails wait to be sent again", done
    ) % {"number": done}
