"""Writing an email: new, as an answer, forwarded, or taken up again as a draft.

What is half written is a row: saved by the button, by the clock, and with every file as it is chosen. So a
form that is refused, or left, loses neither words nor files.
"""

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from emailsync.web.responses import is_fragment, saved_response
from mailboxes import access
from mailboxes.choices import OutgoingStatus
from mailboxes.forms.compose import ComposeForm
from mailboxes.forms.quoting import forward_of, reply_all_to, reply_to
from mailboxes.models import Message, OutgoingMessage
from mailboxes.services import drafts, reading
from mailboxes.views.head import mailbox_head
from mailboxes.views.letter import Letter, Original, new_form, queue, save
from mailboxes.views.outgoing_page import mail_url, outgoing_condition
from profiles.access import Permission
from profiles.models import EmailSettings

METHODS = ["GET", "HEAD", "POST"]


@require_http_methods(METHODS)
def email_create(request: HttpRequest, slug: str, pk: UUID) -> HttpResponse:
    """Write a new email."""
    return _compose(request, slug, pk, _("New email"))


@require_http_methods(METHODS)
def email_reply(request: HttpRequest, slug: str, pk: UUID, number: int) -> HttpResponse:
    """Answer the sender of a received message."""
    source = _source(request, slug, pk, number)
    return _compose(
        request, slug, pk, _("Reply"), answers=source, initial=reply_to(source, text=_quotable(source))
    )


@require_http_methods(METHODS)
def email_reply_all(request: HttpRequest, slug: str, pk: UUID, number: int) -> HttpResponse:
    """Answer the sender of a received message and everybody it went to."""
    source = _source(request, slug, pk, number)
    initial = reply_all_to(source, text=_quotable(source), myself=source.mailbox.address)
    return _compose(request, slug, pk, _("Reply all"), answers=source, initial=initial)


@require_http_methods(METHODS)
def email_forward(request: HttpRequest, slug: str, pk: UUID, number: int) -> HttpResponse:
    """Send a received message on: quoted with its attachments, or whole as an attachment."""
    source = _source(request, slug, pk, number)
    is_whole = request.GET.get("as") == "attachment" or source.is_quarantined
    initial = forward_of(source, text=None if is_whole else _quotable(source))
    whole = [Original("whole", reading.eml_name(source), source.size)]
    parts = [
        Original(str(part.position), str(part), part.size)
        for part in source.attachments.filter(is_blocked=False, is_inline=False)
    ]
    return _compose(
        request,
        slug,
        pk,
        _("Forward"),
        forwards=source,
        originals=whole if is_whole else parts,
        initial=initial,
    )


@require_http_methods(METHODS)
def email_draft(request: HttpRequest, slug: str, pk: UUID, number: int) -> HttpResponse:
    """Take up a draft again."""
    environment, mailbox = access.enter(request.user, slug, pk, Permission.SEND_EMAIL)
    draft = drafts.of(mailbox).filter(pk=number).select_related("answers").first()
    if draft is None:
        get_object_or_404(OutgoingMessage, mailbox=mailbox, pk=number)
        return redirect("mailboxes:outgoing_detail", environment.slug, mailbox.pk, number)
    initial = {"to": "".join(draft.to), "cc": "".join(draft.cc), "bcc": "".join(draft.bcc)}
    initial |= {"subject": draft.subject, "text": draft.text}
    return _compose(request, slug, pk, _("Draft"), answers=draft.answers, draft=draft, initial=initial)


def _source(request: HttpRequest, slug: str, pk: UUID, number: int) -> Message:
    _environment, mailbox = access.enter(request.user, slug, pk, Permission.READ_EMAIL)
    message = get_object_or_404(Message, mailbox=mailbox, pk=number)
    message.mailbox = mailbox
    return message


def _quotable(message: Message) -> str:
    if message.is_quarantined:
        return message.preview
    try:
        return reading.parsed(message).text
    except reading.RawMissing:
        return message.preview


def _compose(
    request: HttpRequest,
    slug: str,
    pk: UUID,
    title: str,
    *,
    answers: Message | None = None,
    forwards: Message | None = None,
    originals: Sequence[Original] = (),
    draft: OutgoingMessage | None = None,
    initial: dict[str, str] | None = None,
) -> HttpResponse:
    mailbox, head = mailbox_head(request.user, slug, pk, Permission.SEND_EMAIL, tab="emails")
    limits = EmailSettings.objects.filter(environment_id=mailbox.environment_id).first() or EmailSettings()
    is_sent = request.method == "POST"
    form = ComposeForm(
        request.POST if is_sent else None,
        request.FILES if is_sent else None,
        limits=limits,
        initial=None if is_sent else initial,
    )
    letter = Letter(mailbox, title, form, answers, forwards, originals, draft)
    letter.once = request.POST.get("once", "")[:40] or (draft and draft.once) or new_form()
    if not is_sent:
        form.fields["text" if answers else "to"].widget.attrs["autofocus"] = True
        return _page(request, letter, head)
    _find_draft(request, letter)
    action = request.POST.get("action", "send")
    if action != "send" or "drop" in request.POST:
        return _keep(request, letter, head)
    if form.is_valid() and (response := _hand_over(request, letter)):
        return response
    complaints: list[str] = []
    if letter.draft or form.sift(request.FILES.getlist("attachments"), held=0)[0]:
        complaints = save(letter, request)
    if "attachments" in form.errors:
        # The field says it already.
        complaints = []
    return _page(request, letter, head, complaints=complaints, status=422)


def _find_draft(request: HttpRequest, letter: Letter) -> None:
    """Take up the draft that the form was saved as since it was opened, and what of the original is kept."""
    number = request.POST.get("draft", "")
    if letter.draft is None:
        is_number = number.isascii() and number.isdecimal() and len(number) <= 18
        named = Q(pk=int(number)) if is_number else Q(once=letter.once)
        letter.draft = drafts.of(letter.mailbox).filter(named).first()
    chosen = request.POST.getlist("original")
    letter.originals = [
        Original(part.value, part.filename, part.size, part.value in chosen) for part in letter.originals
    ]
    if letter.draft:
        letter.originals = ()


def _page(
    request: HttpRequest,
    letter: Letter,
    head: dict[str, Any],
    *,
    complaints: Sequence[str] = (),
    status: int = 200,
) -> HttpResponse:
    source = letter.answers or letter.forwards
    back = (
        mail_url("message_detail", letter.mailbox, source.pk)
        if source and source.mailbox_id == letter.mailbox.pk
        else mail_url("mailbox_emails", letter.mailbox)
    )
    context = {
        **head,
        **_state(letter, complaints),
        "form": letter.form,
        "title": letter.title,
        "source": source,
        "condition": outgoing_condition(letter.mailbox),
        "back_url": back,
    }
    letter.form.fields["attachments"].widget.attrs |= {
        # Chosen files are held, or refused with the reason, at once.
        "hx-post": request.get_full_path(),
        "hx-trigger": "change",
        "hx-encoding": "multipart/form-data",
        "hx-vals": '{"action": "save"}',
        "hx-target": "#draft-state",
        "hx-swap": "outerHTML",
    }
    whole = status == 200 or not is_fragment(request)
    template = "mailboxes/email_form.html" if whole else "mailboxes/_email_form.html"
    return render(request, template, context, status=status)


def _state(letter: Letter, complaints: Sequence[str] = ()) -> dict[str, Any]:
    draft = letter.draft
    return {
        "mailbox": letter.mailbox,
        "draft": draft,
        "once": letter.once,
        "held": draft.files.defer("content") if draft else (),
        "originals": letter.originals,
        "complaints": complaints,
    }


# Keeping it


def _keep(request: HttpRequest, letter: Letter, head: dict[str, Any]) -> HttpResponse:
    """Save what is written as a draft; with script only the part about files and saving is answered."""
    known, is_part = letter.draft, request.headers.get("HX-Target") == "draft-state"
    if is_part and not (known or letter.originals or request.FILES or any(letter.form.as_typed().values())):
        return HttpResponse(status=204)  # an empty form left standing is no draft
    complaints = save(letter, request)
    if is_part:
        context = {**_state(letter, complaints), "environment": head["environment"], "is_saved": True}
        response = render(request, "mailboxes/_draft_state.html", context)
        if letter.draft and known != letter.draft:
            response.headers["HX-Replace-Url"] = mail_url("email_draft", letter.mailbox, letter.draft.pk)
        response.headers["HX-Trigger"] = json.dumps({"draft:saved": {"taken": list(request.FILES)}})
        return response
    if complaints or letter.draft is None:
        return _page(request, letter, head, complaints=complaints, status=422)
    url = mail_url("email_draft", letter.mailbox, letter.draft.pk)
    return saved_response(request, url, title=_("Draft saved"), text=_("It is not sent yet."))


# Sending it


def _hand_over(request: HttpRequest, letter: Letter) -> HttpResponse | None:
    """Queue what was written and go to its page; nothing, when the form has to say why not.

    One form makes one email: sent twice, by a double click or a reload, it leads to the first.
    """
    message = None if _sent_before(letter) else queue(letter, request)
    if message:
        return _answer(request, message, title=_("Email handed over"))
    if before := _sent_before(letter):
        return _answer(request, before, title=_("This email was handed over before"))
    return None


def _sent_before(letter: Letter) -> OutgoingMessage | None:
    made = OutgoingMessage.objects.filter(mailbox=letter.mailbox, once=letter.once)
    return made.exclude(status=OutgoingStatus.DRAFT).first()


def _answer(request: HttpRequest, message: OutgoingMessage, *, title: str) -> HttpResponse:
    url = mail_url("outgoing_detail", message.mailbox, message.pk)
    return saved_response(request, url, title=title, text=_("This page shows how it gets on."), leave=True)
