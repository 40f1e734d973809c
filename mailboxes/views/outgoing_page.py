"""An outgoing email on its way: its page, its state while it changes, and the commands on it."""

from collections.abc import Mapping
from typing import Any, cast
from uuid import UUID

from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_safe

from emailsync.mail.errors import MailError
from emailsync.mail.parsing import parse
from emailsync.web.responses import dialog_response, is_fragment, saved_response
from mailboxes import access
from mailboxes.choices import Direction, OutgoingStatus
from mailboxes.models import Mailbox, OutgoingMessage
from mailboxes.services import drafts, outgoing
from mailboxes.views.condition import Condition, conditions
from mailboxes.views.conversation import in_conversation
from mailboxes.views.head import mailbox_head
from mailboxes.views.reports import reports_on
from profiles.access import Permission, Person

UNFINISHED = frozenset({OutgoingStatus.PENDING_SEND, OutgoingStatus.SENDING})


def outgoing_condition(mailbox: Mailbox) -> Condition:
    """Return how sending from `mailbox` is doing."""
    return next(
        found for found in conditions(mailbox, now=timezone.now()) if found.direction == Direction.OUTGOING
    )


def mail_url(name: str, mailbox: Mailbox, *numbers: int) -> str:
    """Return the address of a page about the mail of `mailbox`."""
    return reverse(f"mailboxes:{name}", args=[mailbox.environment.slug, mailbox.pk, *numbers])


@require_safe
def outgoing_detail(request: HttpRequest, slug: str, pk: UUID, number: int) -> HttpResponse:
    """Show an outgoing email; while it is on its way, the page asks how it gets on."""
    template, context = _outgoing_page(request.user, slug, pk, number)
    message, mailbox = context["message"], context["mailbox"]
    if message.status == OutgoingStatus.DRAFT and Permission.SEND_EMAIL in mailbox.may:
        return redirect(mail_url("email_draft", mailbox, message.pk))
    if is_fragment(request):
        if request.GET.get("seen") == context["seen"]:
            return HttpResponse(status=204)
        return render(request, "mailboxes/_delivery.html", context)
    return render(request, template, context)


def _outgoing_page(user: Person, slug: str, pk: UUID, number: int) -> tuple[str, dict[str, Any]]:
    mailbox, head = mailbox_head(user, slug, pk, Permission.READ_EMAIL, tab="emails")
    found = OutgoingMessage.objects.select_related("created_by", "answers")
    message = get_object_or_404(found, mailbox=mailbox, pk=number)
    is_waiting = message.status == OutgoingStatus.PENDING_SEND
    condition = outgoing_condition(mailbox) if is_waiting else None
    content = parse(bytes(message.content))
    context = {
        **head,
        "message": message,
        "recipients": [
            (label, people)
            for label, people in ((_("To"), message.to), (_("Cc"), message.cc), (_("Bcc"), message.bcc))
            if people
        ],
        "content": content,
        "in_conversation": in_conversation(user, mailbox, message.conversation),
        "text": content.text or message.text,
        "condition": condition,
        "reports": reports_on(message),
        "is_unfinished": message.status in UNFINISHED,
        "remedy": remedy_of(message.error_code),
        "seen": _signature(message, condition),
        "page_url": mail_url("outgoing_detail", mailbox, message.pk),
        "command_url": mail_url("outgoing_command", mailbox, message.pk),
    }
    return "mailboxes/outgoing_detail.html", context


def _signature(message: OutgoingMessage, condition: Condition | None) -> str:
    blocked = condition.word if condition else ""
    course = f"{message.status}.{message.attempts}.{message.error_code}.{message.next_attempt_at or ''}"
    return f"{course}.{blocked}.{message.sent_copy}.{len(message.reports)}"


def remedy_of(code: str) -> str:
    """Return what can be done about a mail error, by its code."""
    return _(_remedies().get(code, ""))


def _remedies() -> Mapping[str, str]:
    kinds: list[type[MailError]] = [MailError]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
    return {kind.code: kind.remedy for kind in kinds}


#: What is asked before a person decides: title, text, button.
QUESTIONS = {
    "mark_sent": (
        gettext_lazy("Mark as sent"),
        gettext_lazy(
            "Do this if you found the email in the recipient's mailbox or the Sent folder. "
            "It is not sent again."
        ),
        gettext_lazy("Mark as sent"),
    ),
    "send_again": (
        gettext_lazy("Send again"),
        gettext_lazy(
            "Do this if the email did not arrive. If it did arrive after all, its recipients get it twice."
        ),
        gettext_lazy("Send again"),
    ),
    "discard": (
        gettext_lazy("Discard this draft?"),
        gettext_lazy("What was written and its attachments are deleted."),
        gettext_lazy("Discard draft"),
    ),
}
SAID = {
    "retry": (
        gettext_lazy("Waiting to be sent again"),
        gettext_lazy("A worker takes it up within seconds."),
    ),
    "cancel": (gettext_lazy("Email canceled"), gettext_lazy("It is not sent.")),
    "mark_sent": (gettext_lazy("Marked as sent"), gettext_lazy("It is not sent again.")),
    "send_again": (
        gettext_lazy("Waiting to be sent again"),
        gettext_lazy("A worker takes it up within seconds."),
    ),
    "edit": (
        gettext_lazy("The email is a draft again"),
        gettext_lazy("It goes out when you select Send."),
    ),
    "write_again": (
        gettext_lazy("This draft is for those who were refused"),
        gettext_lazy("It goes out when you select Send."),
    ),
    "discard": (gettext_lazy("Draft discarded"), ""),
}


LEADS_TO_A_DRAFT = frozenset({"edit", "write_again"})


@require_http_methods(["GET", "HEAD", "POST"])
def outgoing_command(request: HttpRequest, slug: str, pk: UUID, number: int) -> HttpResponse:
    """Retry, cancel or decide about an outgoing email; a decision that cannot be undone is asked first."""
    _environment, mailbox = access.enter(request.user, slug, pk, Permission.SEND_EMAIL)
    message = get_object_or_404(OutgoingMessage, mailbox=mailbox, pk=number)
    message.mailbox = mailbox
    action = (request.POST if request.method == "POST" else request.GET).get("action", "")
    if action not in SAID or (request.method != "POST" and action not in QUESTIONS):
        raise Http404("There is no such command.")
    back = mail_url("outgoing_detail", message.mailbox, message.pk)
    if action in QUESTIONS and "confirmed" not in request.POST:
        return _ask(request, slug, message, action, back=back)
    by, now = cast("User", request.user), timezone.now()
    try:
        if action == "retry":
            outgoing.retry(message, by=by, now=now)
        elif action == "cancel":
            outgoing.cancel(message, by=by, now=now)
        elif action == "edit":
            drafts.take_back(message, by=by, now=now)
            back = mail_url("email_draft", mailbox, message.pk)
        elif action == "write_again":
            back = mail_url("email_draft", mailbox, drafts.write_again(message, by=by, now=now).pk)
        elif action == "discard":
            return _discard(request, message, by=by)
        else:
            outgoing.settle(message, sent=action == "mark_sent", by=by, now=now)
    except outgoing.NotNow as error:
        return saved_response(
            request, back, title=_("Nothing was changed"), text=str(error), intent="warning"
        )
    title, text = (str(words) for words in SAID[action])
    if is_fragment(request) and action not in {*QUESTIONS, *LEADS_TO_A_DRAFT}:
        # The button is gone with the old state: the new state takes the focus.
        _template, context = _outgoing_page(request.user, slug, message.mailbox_id, message.pk)
        return render(request, "mailboxes/_delivery.html", {**context, "focus": True})
    return saved_response(request, back, title=title, text=text, leave=action in LEADS_TO_A_DRAFT)


def _discard(request: HttpRequest, message: OutgoingMessage, *, by: User) -> HttpResponse:
    """Delete a draft, and leave its page."""
    if not drafts.discard(message, by=by):
        raise outgoing.NotNow(_("It was sent or discarded meanwhile."))
    url = mail_url("mailbox_emails", message.mailbox)
    return saved_response(request, url, title=str(SAID["discard"][0]), leave=True)


def _ask(
    request: HttpRequest, slug: str, message: OutgoingMessage, action: str, *, back: str
) -> HttpResponse:
    title, text, button = QUESTIONS[action]
    context = {
        "action": action,
        "title": title,
        "text": text,
        "button": button,
        "message": message,
        "dialog_url": request.path,
        "back_url": back,
    }
    return dialog_response(
        request,
        "mailboxes/_outgoing_dialog.html",
        context,
        page=lambda: _outgoing_page(request.user, slug, message.mailbox_id, message.pk),
    )
