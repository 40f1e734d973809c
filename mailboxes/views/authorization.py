"""Connect a mailbox with OAuth: to the provider, back again, and how it stands."""

from datetime import datetime
from typing import Any, cast
from urllib.parse import urlsplit
from uuid import UUID

from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.models import User
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from emailsync.web.channel import callback_url
from emailsync.web.responses import is_fragment, redirect_response, saved_response
from mailboxes import access
from mailboxes.models import Mailbox
from mailboxes.services import authorization
from profiles.access import Permission

#: Where the session keeps the states of visits that are under way, and how many.
STATES = "oauth_states"
MANY = 10


def connection_context(mailbox: Mailbox, *, now: datetime) -> dict[str, Any]:
    """Return what the card about the connection is drawn from."""
    return {"connection": authorization.connection(mailbox, now=now)}


@require_safe
def mailbox_connection(request: HttpRequest, slug: str, pk: UUID) -> HttpResponse:
    """Show the card alone; it asks for itself while a code is exchanged."""
    environment, mailbox = _enter(request, slug, pk, Permission.READ_MAILBOXES)
    found = connection_context(mailbox, now=timezone.now())
    context = {**found, "mailbox": mailbox, "environment": environment}
    if not is_fragment(request) or context["connection"] is None:
        return redirect_response(request, mailbox.get_absolute_url())
    response = render(request, "mailboxes/_connection.html", context)
    if not context["connection"].is_being_made:
        response.headers["HX-Trigger"] = "connection:made"
    return response


@require_POST
def mailbox_connect(request: HttpRequest, slug: str, pk: UUID) -> HttpResponse:
    """Send somebody to the provider, to give the permission for this mailbox."""
    _environment, mailbox = _enter(request, slug, pk, Permission.GIVE_CREDENTIALS)
    try:
        url, state = authorization.begin(
            mailbox, by=cast("User", request.user), redirect_uri=callback_url(request), now=timezone.now()
        )
    except authorization.NotConnectable as error:
        title = _("The mailbox cannot be connected")
        return saved_response(
            request, mailbox.get_absolute_url(), title=title, text=str(error), intent="error"
        )
    request.session[STATES] = [*request.session.get(STATES, [])[1 - MANY :], state]
    if not is_fragment(request):
        # Browsers let no form lead to another site (form-action), but a link may.
        words = {"provider_url": url, "provider": urlsplit(url).hostname, "mailbox": mailbox}
        return render(request, "mailboxes/oauth_leave.html", words)
    return redirect_response(request, url)


@require_POST
def mailbox_disconnect(request: HttpRequest, slug: str, pk: UUID) -> HttpResponse:
    """Forget the permission for this mailbox."""
    _environment, mailbox = _enter(request, slug, pk, Permission.GIVE_CREDENTIALS)
    authorization.disconnect(mailbox, by=cast("User", request.user))
    title = _("%(name)s was disconnected") % {"name": mailbox.name}
    text = _("Withdraw the permission at the provider too, if it is no longer to be valid.")
    return saved_response(request, mailbox.get_absolute_url(), title=title, text=text, leave=True)


@login_not_required
@require_safe
def oauth_callback(request: HttpRequest) -> HttpResponse:
    """Take somebody back from the provider and show them the mailbox, without the code in the address."""
    if not request.user.is_authenticated:
        # The session that went to the provider is over, and nothing else may carry its code on.
        return redirect_to_login(request.path)
    state = request.GET.get("state", "")
    states = request.session.get(STATES, [])
    request.session[STATES] = [each for each in states if each != state]
    try:
        mailbox = authorization.come_back(
            state if state in states else "",
            by=request.user,
            code=request.GET.get("code", "")[:4096],
            error=request.GET.get("error", ""),
            now=timezone.now(),
        )
    except authorization.VisitUnknown:
        return render(request, "mailboxes/oauth_unknown.html", status=400)
    return redirect_response(request, f"{mailbox.get_absolute_url()}#connection")


def _enter(request: HttpRequest, slug: str, pk: UUID, permission: Permission) -> Any:
    found = Mailbox.objects.select_related("server_profile")
    return access.enter(request.user, slug, pk, permission, mailboxes=found)
