"""All email of one conversation in its order, across the mailboxes that the person may read."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from emailsync.mail.parsing import AttachmentInfo, ParsedMessage, parse
from mailboxes import access
from mailboxes.choices import Direction, OutgoingStatus
from mailboxes.models import Mailbox, Message, OutgoingMessage
from mailboxes.services import reading
from mailboxes.views.email_rows import Reader, first_of, received_status
from profiles import access as profiles_access
from profiles.access import Permission, Person
from profiles.models import Environment

#: How many emails of a conversation are shown, the newest, and how much of each.
MOST_EMAILS = 200
LONGEST_TEXT = 8_000


@dataclass(frozen=True)
class Turn:
    """One email of a conversation, folded."""

    key: str
    direction: Direction
    status: str
    who: str
    to: str
    at: datetime
    preview: str
    attachment_count: int
    mailbox: Mailbox
    url: str
    body_url: str
    reply_url: str


@dataclass(frozen=True)
class Body:
    """What an email says, unfolded."""

    text: str
    is_cut: bool
    files: Iterable[AttachmentInfo] = ()
    trouble: str = ""


def reader_of(user: Person, environment: Environment) -> Reader:
    """Return whose mail `user` may read in `environment`. Raises PermissionDenied when nobody's."""
    whole = Permission.READ_EMAIL in environment.may
    mailboxes = access.within(Mailbox.objects.all(), user, Permission.READ_EMAIL, environment=environment)
    return Reader(user.pk, environment, None if whole else mailboxes)


def in_conversation(user: Person, mailbox: Mailbox, conversation: UUID | None) -> int:
    """Return how many emails of a conversation `user` may read."""
    if conversation is None:
        return 1
    scope = reader_of(user, mailbox.environment).scope(conversation=conversation)
    return Message.objects.filter(scope).count() + OutgoingMessage.objects.filter(scope).count()


@require_safe
def conversation(request: HttpRequest, slug: str, number: UUID) -> HttpResponse:
    """Show a conversation: each email folded, the newest open."""
    environment = profiles_access.enter(request.user, slug)
    reader = reader_of(request.user, environment)
    turns = _turns(reader, reader.scope(conversation=number))
    if not turns:
        raise Http404("There is no such conversation.")
    shown = turns[-MOST_EMAILS:]
    newest = shown[-1]
    context: dict[str, Any] = {
        "environment": environment,
        "turns": shown,
        "newest": newest,
        "reply_url": next((turn.reply_url for turn in reversed(shown) if turn.reply_url), ""),
        "left_out": len(turns) - len(shown),
        "body": _body_of(newest),
        "subject": _subject(reader, number),
        "mailbox_count": len({turn.mailbox.pk for turn in turns}),
    }
    return render(request, "mailboxes/conversation.html", context)


def _turns(reader: Reader, scope: Q) -> list[Turn]:
    heads = "mailbox__name", "mailbox__owner", "mailbox__environment"
    came = Message.objects.filter(scope).select_related("mailbox").prefetch_related("recipients")
    received_fields = ("from_name", "from_address", "received_at", "preview", "attachment_count")
    went = OutgoingMessage.objects.filter(scope).select_related("mailbox")
    sent_fields = ("to", "cc", "bcc", "created_on", "preview", "attachment_count", "status")
    newest = [
        *came.only("mailbox", "is_quarantined", "is_header_only", *received_fields, *heads).order_by(
            "-received_at"
        )[: MOST_EMAILS + 1],
        *went.only("mailbox", *sent_fields, *heads).order_by("-created_on")[: MOST_EMAILS + 1],
    ]
    turns = [_received(reader, one) if isinstance(one, Message) else _sent(reader, one) for one in newest]
    return sorted(turns, key=lambda turn: (turn.at, turn.key))


def _received(reader: Reader, message: Message) -> Turn:
    to = [str(one) for one in message.recipients.all() if one.kind in {"to", "cc"}]
    words = (message.mailbox_id, message.pk)
    return Turn(
        key=f"in-{message.pk}",
        direction=Direction.INCOMING,
        status=received_status(message),
        who=message.from_name or message.from_address or _("(unknown sender)"),
        to=first_of(to),
        at=message.received_at,
        preview=message.preview,
        attachment_count=message.attachment_count,
        mailbox=message.mailbox,
        url=reader.address("message_detail", *words),
        body_url=f"{reader.address('message_body', *words)}",
        reply_url=reader.address("email_reply", *words) if reader.may_send(message.mailbox) else "",
    )


def _sent(reader: Reader, message: OutgoingMessage) -> Turn:
    words = (message.mailbox_id, message.pk)
    return Turn(
        key=f"out-{message.pk}",
        direction=Direction.OUTGOING,
        status=message.status,
        who=message.mailbox.name,
        to=first_of([*message.to, *message.cc, *message.bcc]),
        # Handed over, not sent: a quick server delivers a copy before it has answered.
        at=message.created_on,
        preview=message.preview,
        attachment_count=message.attachment_count,
        mailbox=message.mailbox,
        url=reader.address("outgoing_detail", *words),
        body_url=reader.address("outgoing_body", *words),
        reply_url="",
    )


def _subject(reader: Reader, number: UUID) -> str:
    """Return the subject under which the conversation began."""
    scope = reader.scope(conversation=number)
    first = [
        Message.objects.filter(scope).order_by("received_at").values_list("received_at", "subject").first(),
        OutgoingMessage.objects.filter(scope)
        .order_by("created_on")
        .values_list("created_on", "subject")
        .first(),
    ]
    begun = sorted(one for one in first if one)
    return begun[0][1] or _("(no subject)") if begun else ""


# What an email says, when it is unfolded


@require_safe
def message_body(request: HttpRequest, slug: str, pk: UUID, number: int) -> HttpResponse:
    """Send the text of a received message for its place in a conversation."""
    _environment, mailbox = access.enter(request.user, slug, pk, Permission.READ_EMAIL)
    message = get_object_or_404(Message, mailbox=mailbox, pk=number)
    url = reverse("mailboxes:message_detail", args=[slug, pk, number])
    return render(request, "mailboxes/_turn_body.html", {"body": _read(message), "url": url})


@require_safe
def outgoing_body(request: HttpRequest, slug: str, pk: UUID, number: int) -> HttpResponse:
    """Send the text of an outgoing email for its place in a conversation."""
    _environment, mailbox = access.enter(request.user, slug, pk, Permission.READ_EMAIL)
    message = get_object_or_404(OutgoingMessage, mailbox=mailbox, pk=number)
    url = reverse("mailboxes:outgoing_detail", args=[slug, pk, number])
    return render(request, "mailboxes/_turn_body.html", {"body": _read(message), "url": url})


def _body_of(turn: Turn) -> Body:
    way, pk = turn.key.split("-")
    return _read((Message if way == "in" else OutgoingMessage).objects.get(pk=int(pk)))


def _read(message: Message | OutgoingMessage) -> Body:
    try:
        found = _parsed(message)
    except reading.RawMissing as missing:
        return Body(message.preview, is_cut=False, trouble=str(missing))
    if found is None:
        return Body(message.preview, is_cut=False)
    files = [file for file in found.attachments if not file.inline]
    return Body(found.text[:LONGEST_TEXT], len(found.text) > LONGEST_TEXT, files)


def _parsed(message: Message | OutgoingMessage) -> ParsedMessage | None:
    if isinstance(message, Message):
        return None if message.is_quarantined or message.is_header_only else reading.parsed(message)
    return None if message.status == OutgoingStatus.DRAFT else parse(bytes(message.content))
