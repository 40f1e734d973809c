"""Commands on received messages that are not all there: fetch what is too large, read what was unreadable."""

from typing import cast
from uuid import UUID

from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from emailsync.web.responses import redirect_response, saved_response
from mailboxes import access
from mailboxes.models import Message
from mailboxes.services import received
from mailboxes.views.outgoing_page import mail_url
from profiles.access import Permission


@require_POST
def message_command(request: HttpRequest, slug: str, pk: UUID, number: int) -> HttpResponse:
    """Have a message fetched whole that is larger than the limit, or read again that is in quarantine."""
    environment, mailbox = access.enter(request.user, slug, pk, Permission.READ_EMAIL)
    message = get_object_or_404(Message, mailbox=mailbox, pk=number)
    message.mailbox = mailbox
    back = mail_url("message_detail", mailbox, message.pk)
    by, now = cast("User", request.user), timezone.now()
    action = request.POST.get("action")
    if action == "read_again":
        one = Message.objects.filter(pk=message.pk)
        job = received.read_again(one, environment=environment, by=by, now=now)
        return redirect_response(request, job.get_absolute_url() if job else back)
    if action != "fetch":
        raise Http404("There is no such command.")
    try:
        received.fetch_anyway(message, by=by, now=now)
    except received.NotNow as error:
        title = _("Nothing was changed")
        return saved_response(request, back, title=title, text=str(error), intent="warning", leave=True)
    text = _("A worker takes it up within seconds. A large message takes a while.")
    return saved_response(request, back, title=_("The message is being fetched"), text=text, leave=True)
