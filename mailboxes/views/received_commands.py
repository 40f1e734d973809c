"""Commands on received messages that are not all there: fetch what is too large."""

from typing import cast
from uuid import UUID

from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from emailsync.web.responses import saved_response
from mailboxes import access
from mailboxes.models import Message
from mailboxes.services import received
from mailboxes.views.outgoing_page import mail_url
from profiles.access import Permission


@require_POST
def message_command(request: HttpRequest, slug: str, pk: UUID, number: int) -> HttpResponse:
    """Have a message fetched whole that is larger than the limit."""
    _environment, mailbox = access.enter(request.user, slug, pk, Permission.READ_EMAIL)
    message = get_object_or_404(Message, mailbox=mailbox, pk=number)
    message.mailbox = mailbox
    if request.POST.get("action") != "fetch":
        raise Http404("There is no such command.")
    back = mail_url("message_detail", mailbox, message.pk)
    try:
        received.fetch_anyway(message, by=cast("User", request.user), now=timezone.now())
    except received.NotNow as error:
        title = _("Nothing was changed")
        return saved_response(request, back, title=title, text=str(error), intent="warning", leave=True)
    text = _("A worker takes it up within seconds. A large message takes a while.")
    return saved_response(request, back, title=_("The message is being fetched"), text=text, leave=True)
