"""A received message: its page, its HTML, source and attachments, and how it came here."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import (
    FileResponse,
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    StreamingHttpResponse,
)
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.http import content_disposition_header
from django.utils.safestring import mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from emailsync.mail.parsing import AttachmentInfo, ParsedMessage, attachment_content
from emailsync.web.responses import is_fragment
from emailsync.web.security import content_security
from mailboxes import access
from mailboxes.choices import OPTION_OF, Reason, RecipientKind
from mailboxes.models import Mailbox, Message, OutgoingMessage, Recipient
from mailboxes.services import reading, received
from mailboxes.views.conversation import in_conversation
from mailboxes.views.head import mailbox_head
from mailboxes.views.outgoing_page import mail_url
from profiles.access import Permission, Person

#: The ways to look at a message.
FACES = {
    "html": gettext_lazy("Message"),
    "text": gettext_lazy("Text"),
    "headers": gettext_lazy("Headers"),
    "source": gettext_lazy("Source"),
}
LONGEST_SOURCE = 256 * 1024
LONGEST_TEXT = 500_000
#: How many places on the server a message is listed with.
MOST_PLACES = 20


@require_safe
@content_security(frame_src="'self'")
def message_detail(request: HttpRequest, slug: str, pk: UUID, number: int) -> HttpResponse:
    """Show a received message: who wrote to whom, what, and what came with it."""
    mailbox, head = mailbox_head(request.user, slug, pk, Permission.READ_EMAIL, tab="emails")
    found = Message.objects.select_related(
        "accepted_by",
        "correlated_with__mailbox",
        "correlated_with_outgoing__mailbox",
        "forwarded_in__mailbox",
    ).defer("correlated_with_outgoing__content")
    message = get_object_or_404(found, mailbox=mailbox, pk=number)
    is_being_fetched = message.is_header_only and received.is_being_fetched(message)
    if is_fragment(request):  # asks whether it is there
        return HttpResponse(status=204, headers={} if is_being_fetched else {"HX-Refresh": "true"})
    faces = _faces(message)
    asked = request.GET.get("show", "")
    face = asked if asked in faces else next(iter(faces))
    context: dict[str, Any] = {
        **head,
        "message": message,
        "recipients": _recipients(message),
        "attachments": message.attachments.all(),
        "faces": faces.items(),
        "face": face,
        "defects": [str(defect).replace("_", " ").capitalize() for defect in message.defects],
        "answers": message.answered_by.only("pk", "subject", "status", "created_on").order_by("-created_on"),
        "earlier": _earlier(request.user, message),
        "accepting": _accepting(request.user, mailbox, message),
        "came": message.ledger.order_by("seen_on", "pk")[:MOST_PLACES],
        "neighbours": [
            (_neighbour(message, newer=True), _("Next newer email"), "arrow-up"),
            (_neighbour(message, newer=False), _("Next older email"), "arrow-down"),
        ],
        "images": bool(request.GET.get("images")),
        "is_being_fetched": is_being_fetched,
        "limit": settings.MAXIMUM_MESSAGE_SIZE,
        "in_conversation": in_conversation(request.user, mailbox, message.conversation),
    }
    try:
        context |= _content(message, face)
    except reading.RawMissing as missing:
        context["trouble"] = str(missing)
    return render(request, "mailboxes/message_detail.html", context)


@dataclass(frozen=True)
class Accepting:
    """The mailbox whose option kept a message; without an address to those who may not see it."""

    name: str
    option: str
    url: str = ""


def _accepting(user: Person, mailbox: Mailbox, message: Message) -> Accepting | None:
    """Return whose option kept a message of `mailbox`; nothing when it was not for an option to say."""
    if message.kept_because not in OPTION_OF:
        return None
    option = str(OPTION_OF[Reason(message.kept_because)].label)
    acceptor = cast("Mailbox | None", message.accepted_by) if message.accepted_by_id else mailbox
    if acceptor is None:
        return Accepting(_("a mailbox that has been deleted"), option)
    if not access.may(user, Permission.READ_MAILBOXES, acceptor):
        return Accepting(_("the mailbox of another recipient, which you may not see"), option)
    url = reverse("mailboxes:mailbox_detail", args=[mailbox.environment.slug, acceptor.pk])
    return Accepting(acceptor.name, option, url)


@dataclass(frozen=True)
class Earlier:
    """The email that a message answers; without an address to those who may not read it."""

    subject: str
    url: str


def _earlier(user: Person, message: Message) -> Earlier | None:
    """Return what the message was correlated with, or what it came in."""
    sent = cast("OutgoingMessage | None", message.correlated_with_outgoing)
    found = sent or cast("Message | None", message.correlated_with)
    if found is None:
        return None
    if not access.may(user, Permission.READ_EMAIL, found.mailbox):
        return Earlier(_("an email of a mailbox that you may not read"), "")
    name = "message_detail" if isinstance(found, Message) else "outgoing_detail"
    return Earlier(str(found), mail_url(name, found.mailbox, found.pk))


def _neighbour(message: Message, *, newer: bool) -> Message | None:
    """Return the message received next, or before, in the same mailbox."""
    word, sign = ("gt", "") if newer else ("lt", "-")
    beyond = Q(**{f"received_at__{word}": message.received_at}) | Q(
        received_at=message.received_at, **{f"pk__{word}": message.pk}
    )
    found = Message.objects.filter(
        beyond, mailbox=message.mailbox_id, **{f"received_at__{word}e": message.received_at}
    )
    return found.only("pk", "subject").order_by(f"{sign}received_at", f"{sign}pk").first()


def _faces(message: Message) -> dict[str, Any]:
    """Return the ways in which this message can be looked at; what cannot be read has a source only."""
    if message.is_quarantined:
        return {"source": FACES["source"]}
    if message.is_header_only:
        return {"headers": FACES["headers"], "source": FACES["source"]}
    return {name: title for name, title in FACES.items() if name != "html" or message.has_html}


def _recipients(message: Message) -> dict[str, list[Recipient]]:
    found: dict[str, list[Recipient]] = defaultdict(list)
    for recipient in message.recipients.order_by("kind", "position"):
        found[recipient.kind].append(recipient)
    order = (RecipientKind.TO, RecipientKind.CC, RecipientKind.BCC, RecipientKind.REPLY_TO)
    return {str(kind.label): found[kind] for kind in order if kind in found}


def _content(message: Message, face: str) -> dict[str, Any]:
    """Return what a face shows; the HTML is fetched by its frame."""
    if face == "source":
        with reading.open_raw(message) as stream:
            start = stream.read(LONGEST_SOURCE)
        return {
            "source": start.decode("utf-8", "replace"),
            "is_cut": message.size > len(start) == LONGEST_SOURCE,
        }
    if face == "html":
        return {"is_restricted": reading.is_restricted(message)}
    parsed: ParsedMessage = reading.parsed(message)
    if face == "headers":
        return {"headers": parsed.headers}
    return {"text": parsed.text[:LONGEST_TEXT], "is_cut": len(parsed.text) > LONGEST_TEXT}


def _message(user: Person, slug: str, pk: UUID, number: int) -> Message:
    _environment, mailbox = access.enter(user, slug, pk, Permission.READ_EMAIL)
    return get_object_or_404(Message, mailbox=mailbox, pk=number)


def _in_frame(**changes: str) -> dict[str, str]:
    """Return the policy of a message's HTML."""
    return {
        "script_src": "'none'",
        "connect_src": "'none'",
        "form_action": "'none'",
        "img_src": "data:",
        # Mail is formatted with style attributes; the sanitizer leaves none that loads or overlays anything.
        "style_src": "'unsafe-inline'",
        "frame_ancestors": "'self'",
        "sandbox": "allow-popups allow-popups-to-escape-sandbox",
        **changes,
    }


@require_safe
@never_cache
@content_security(**_in_frame())
def message_html(request: HttpRequest, slug: str, pk: UUID, number: int) -> HttpResponse:
    """Send the harmless HTML of a message, as a document for its frame."""
    return _html(request, _message(request.user, slug, pk, number), remote_images=False)


@require_safe
@never_cache
@content_security(**_in_frame(img_src="data: https: http:"))
def message_html_with_images(request: HttpRequest, slug: str, pk: UUID, number: int) -> HttpResponse:
    """Send the same with its pictures on other servers, because the reader asked for them."""
    return _html(request, _message(request.user, slug, pk, number), remote_images=True)


def _html(request: HttpRequest, message: Message, *, remote_images: bool) -> HttpResponse:
    if message.is_quarantined or not message.has_html:
        raise Http404("This message has no HTML.")
    context: dict[str, Any] = {}
    try:
        shown = reading.html_of(message, remote_images=remote_images)
    except reading.RawMissing as missing:
        context = {"trouble": str(missing)}
    else:
        # The sanitizer's own output, in a document without script.
        context = {"shown": shown, "html": mark_safe(shown.html)}  # noqa: S308
    response = render(request, "mailboxes/message_html.html", context)
    response.headers["Referrer-Policy"] = "no-referrer"
    # A sandboxed document may not isolate itself: opened in a tab of its own, it would be refused.
    response.headers["Cross-Origin-Opener-Policy"] = "unsafe-none"
    return response


@require_safe
@never_cache
@content_security(script_src="'none'", style_src="'none'", sandbox="")
def message_raw(request: HttpRequest, slug: str, pk: UUID, number: int) -> HttpResponseBase:
    """Send the bytes of a message as they came, as a file; with `?show=1` as plain text in the browser."""
    message = _message(request.user, slug, pk, number)
    try:
        stream = reading.open_raw(message)
    except reading.RawMissing as missing:
        raise Http404(str(missing)) from missing
    if request.GET.get("show"):
        return FileResponse(stream, content_type="text/plain; charset=utf-8")
    return FileResponse(
        stream,
        as_attachment=True,
        filename=reading.eml_name(message),
        content_type="application/octet-stream",
    )


@require_safe
@never_cache
@content_security(script_src="'none'", style_src="'none'", sandbox="")
def message_attachment(
    request: HttpRequest,
    slug: str,
    pk: UUID,
    number: int,
    position: int,
) -> HttpResponseBase:
    """Send one attachment as a file to be saved, whatever it claims to be."""
    message = _message(request.user, slug, pk, number)
    if message.attachments.filter(position=position, is_blocked=True).exists():
        raise PermissionDenied(_("This attachment is blocked by the email settings of the environment."))
    try:
        info, chunks = reading.attachment(message, position)
    except (reading.RawMissing, LookupError) as missing:
        raise Http404("This message has no such attachment.") from missing
    return _file(info, chunks)


@require_safe
@never_cache
@content_security(script_src="'none'", style_src="'none'", sandbox="")
def outgoing_attachment(
    request: HttpRequest,
    slug: str,
    pk: UUID,
    number: int,
    position: int,
) -> HttpResponseBase:
    """Send one attachment of an outgoing email as a file to be saved."""
    _environment, mailbox = access.enter(request.user, slug, pk, Permission.READ_EMAIL)
    message = get_object_or_404(OutgoingMessage, mailbox=mailbox, pk=number)
    try:
        info, content = attachment_content(bytes(message.content), position)
    except LookupError as missing:
        raise Http404("This email has no such attachment.") from missing
    return _file(info, iter((content,)))


def _file(info: AttachmentInfo, chunks: Iterator[bytes]) -> HttpResponseBase:
    """Answer with a file that no browser shows or runs."""
    response = StreamingHttpResponse(chunks, content_type=reading.safe_content_type(info.content_type))
    fallback = f"attachment-{info.position + 1}"
    name = reading.safe_filename(info.filename, fallback=fallback, content_type=info.content_type)
    response.headers["Content-Disposition"] = content_disposition_header(True, name) or "attachment"
    response.headers["Content-Length"] = str(info.size)
    return response
