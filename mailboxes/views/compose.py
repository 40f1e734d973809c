"""Writing an email, and following it on its way out."""

import re
import secrets
from collections.abc import Mapping
from typing import Any, cast
from uuid import UUID

from django.contrib.auth.models import User
from django.core.cache import cache
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from emailsync.mail.composing import Draft, DraftAttachment
from emailsync.mail.errors import MailError
from emailsync.mail.parsing import Address, parse
from emailsync.web.responses import dialog_response, is_fragment, saved_response
from mailboxes import access
from mailboxes.choices import Direction, OutgoingStatus
from mailboxes.forms.compose import ComposeForm, answer_to
from mailboxes.models import Mailbox, Message, OutgoingMessage
from mailboxes.services import outgoing, reading
from mailboxes.views.condition import Condition, conditions
from mailboxes.views.head import mailbox_head
from profiles.access import Permission, Person
from profiles.models import EmailSettings

#: For how many seconds a form that was sent is known.
REMEMBERED = 24 * 3600
#: Identifiers that can be sent on; other people's may be anything (RFC 5322, 3.6.4).
MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,900}>")
LONGEST_THREAD = 50
UNFINISHED = frozenset({OutgoingStatus.PENDING_SEND, OutgoingStatus.SENDING})


@require_http_methods(["GET", "HEAD", "POST"])
def email_create(request: HttpRequest, slug: str, pk: UUID) -> HttpResponse:
    """Show the form of a new email, or queue what was written."""
    return _compose(request, slug, pk, answers=None)


@require_http_methods(["GET", "HEAD", "POST"])
def email_reply(request: HttpRequest, slug: str, pk: UUID, number: int) -> HttpResponse:
    """Show the form of an answer to a received message, or queue what was written."""
    _, mailbox = access.enter(request.user, slug, pk, Permission.READ_EMAIL)
    return _compose(request, slug, pk, answers=get_object_or_404(Message, mailbox=mailbox, pk=number))


def _compose(request: HttpRequest, slug: str, pk: UUID, *, answers: Message | None) -> HttpResponse:
    mailbox, head = mailbox_head(request.user, slug, pk, Permission.SEND_EMAIL, tab="emails")
    limits = EmailSettings.objects.filter(environment_id=mailbox.environment_id).first() or EmailSettings()
    is_sent = request.method == "POST"
    form = ComposeForm(
        request.POST if is_sent else None,
        request.FILES if is_sent else None,
        limits=limits,
        initial=None if is_sent or answers is None else answer_to(answers, text=_quotable(answers)),
    )
    if is_sent and form.is_valid() and (response := _hand_over(request, mailbox, form, answers=answers)):
        return response
    if not is_sent:
        form.fields["text" if answers else "to"].widget.attrs["autofocus"] = True
    context = {
        **head,
        "form": form,
        "answers": answers,
        "condition": _outgoing_condition(mailbox),
        "once": request.POST.get("once") or secrets.token_urlsafe(16),
        "files_lost": bool(request.FILES) and not is_fragment(request),
        "back_url": _url("message_detail", mailbox, answers.pk)
        if answers
        else _url("mailbox_emails", mailbox),
    }
    template = (
        "mailboxes/_email_form.html" if is_sent and is_fragment(request) else "mailboxes/email_form.html"
    )
    return render(request, template, context, status=422 if is_sent else 200)


def _hand_over(
    request: HttpRequest, mailbox: Mailbox, form: ComposeForm, *, answers: Message | None
) -> HttpResponse | None:
    """Queue what was written and go to its page; nothing, when the form has to say why not.

    One form makes one email: sent twice, by a double click or a reload, it leads to the first.
    """
    once = f"compose:{request.user.pk}:{request.POST.get('once', '')[:40]}"
    if not cache.add(once, 0, timeout=REMEMBERED):
        return _answer(
            request, mailbox, number=cache.get(once) or 0, title="This email was handed over before"
        )
    number = 0
    try:
        if message := _queue(request, mailbox, form, answers=answers):
            number = message.pk
            cache.set(once, number, timeout=REMEMBERED)
    finally:
        if not number:
            cache.delete(once)
    return _answer(request, mailbox, number=number, title="Email handed over") if number else None


def _answer(request: HttpRequest, mailbox: Mailbox, *, number: int, title: str) -> HttpResponse:
    text = "This page shows how it gets on." if number else "Look for it in this list."
    url = _url("outgoing_detail", mailbox, number) if number else _url("mailbox_emails", mailbox)
    return saved_response(request, url, title=title, text=text, leave=True)


def _quotable(message: Message) -> str:
    if message.is_quarantined:
        return message.preview
    try:
        return reading.parsed(message).text
    except reading.RawMissing:
        return message.preview


def _queue(
    request: HttpRequest, mailbox: Mailbox, form: ComposeForm, *, answers: Message | None
) -> OutgoingMessage | None:
    """Queue what was written; a header that cannot be sent is named on the form."""
    written = form.cleaned_data
    draft = Draft(
        sender=Address(name=mailbox.name, address=mailbox.address),
        to=written["to"],
        cc=written["cc"],
        bcc=written["bcc"],
        subject=written["subject"],
        text=written["text"].replace("\r\n", "\n"),
        in_reply_to=answers.message_id if answers and MESSAGE_ID.fullmatch(answers.message_id) else "",
        references=tuple(_references(answers)) if answers else (),
        attachments=tuple(
            DraftAttachment(
                filename=reading.safe_filename(file.name or "", fallback="attachment"),
                content_type=reading.safe_content_type(file.content_type or ""),
                content=file.read(),
            )
            for file in written["attachments"]
        ),
    )
    user = cast("User", request.user)
    try:
        return outgoing.queue(mailbox, draft, by=user, now=timezone.now(), answers=answers)
    except ValueError as error:
        form.add_error(None, str(error))
        return None


def _references(message: Message) -> list[str]:
    """Return the thread that an answer continues: what the message refers to, then it (RFC 5322, 3.6.4)."""
    thread = [*(message.references.split() or message.in_reply_to.split()), message.message_id]
    known = list(dict.fromkeys(filter(MESSAGE_ID.fullmatch, thread)))
    # A thread of years keeps its first message, which others join by, and its latest.
    return known if len(known) <= LONGEST_THREAD else [known[0], *known[1 - LONGEST_THREAD :]]


def _outgoing_condition(mailbox: Mailbox) -> Condition:
    return next(found for found in conditions(mailbox) if found.direction == Direction.OUTGOING)


def _url(name: str, mailbox: Mailbox, *numbers: int) -> str:
    return reverse(f"mailboxes:{name}", args=[mailbox.environment.slug, mailbox.pk, *numbers])


# On its way out


@require_safe
def outgoing_detail(request: HttpRequest, slug: str, pk: UUID, number: int) -> HttpResponse:
    """Show an outgoing email; while it is on its way, the page asks how it gets on."""
    template, context = _outgoing_page(request.user, slug, pk, number)
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
    condition = _outgoing_condition(mailbox) if is_waiting else None
    content = parse(bytes(message.content))
    context = {
        **head,
        "message": message,
        "recipients": [
            (label, people)
            for label, people in (("To", message.to), ("Cc", message.cc), ("Bcc", message.bcc))
            if people
        ],
        "content": content,
        "text": content.text,
        "condition": condition,
        "is_unfinished": message.status in UNFINISHED,
        "remedy": remedy_of(message.error_code),
        "seen": _signature(message, condition),
        "page_url": _url("outgoing_detail", mailbox, message.pk),
        "command_url": _url("outgoing_command", mailbox, message.pk),
    }
    return "mailboxes/outgoing_detail.html", context


def _signature(message: OutgoingMessage, condition: Condition | None) -> str:
    blocked = condition.word if condition else ""
    return (
        f"{message.status}.{message.attempts}.{message.error_code}.{blocked}.{message.next_attempt_at or ''}"
    )


def remedy_of(code: str) -> str:
    """Return what can be done about a mail error, by its code."""
    return _remedies().get(code, "")


def _remedies() -> Mapping[str, str]:
    kinds: list[type[MailError]] = [MailError]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
    return {kind.code: kind.remedy for kind in kinds}


#: What is asked before a person decides about an uncertain email: title, text, button.
QUESTIONS = {
    "mark_sent": (
        "Mark as sent",
        "Do this if you found the email in the recipient's mailbox or the Sent folder. It is not sent again.",
        "Mark as sent",
    ),
    "send_again": (
        "Send again",
        "Do this if the email did not arrive. If it did arrive after all, its recipients get it twice.",
        "Send again",
    ),
}
SAID = {
    "retry": ("Waiting to be sent again", "A worker takes it up within seconds."),
    "cancel": ("Email canceled", "It is not sent."),
    "mark_sent": ("Marked as sent", "It is not sent again."),
    "send_again": ("Waiting to be sent again", "A worker takes it up within seconds."),
}


@require_http_methods(["GET", "HEAD", "POST"])
def outgoing_command(request: HttpRequest, slug: str, pk: UUID, number: int) -> HttpResponse:
    """Retry, cancel or decide about an outgoing email; a decision that cannot be undone is asked first."""
    _, mailbox = access.enter(request.user, slug, pk, Permission.SEND_EMAIL)
    message = get_object_or_404(OutgoingMessage, mailbox=mailbox, pk=number)
    message.mailbox = mailbox
    action = (request.POST if request.method == "POST" else request.GET).get("action", "")
    if action not in SAID or (request.method != "POST" and action not in QUESTIONS):
        raise Http404("There is no such command.")
    back = _url("outgoing_detail", message.mailbox, message.pk)
    if action in QUESTIONS and "confirmed" not in request.POST:
        return _ask(request, slug, message, action, back=back)
    by, now = cast("User", request.user), timezone.now()
    try:
        if action == "retry":
            outgoing.retry(message, by=by, now=now)
        elif action == "cancel":
            outgoing.cancel(message, by=by, now=now)
        else:
            outgoing.settle(message, sent=action == "mark_sent", by=by, now=now)
    except outgoing.NotNow as error:
        return saved_response(request, back, title="Nothing was changed", text=str(error), intent="warning")
    title, text = SAID[action]
    if is_fragment(request) and action not in QUESTIONS:
        # The button is gone with the old state: the new state takes the focus.
        _, context = _outgoing_page(request.user, slug, message.mailbox_id, message.pk)
        return render(request, "mailboxes/_delivery.html", {**context, "focus": True})
    return saved_response(request, back, title=title, text=text)


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
