"""Keep half-written email: what was typed, as it was typed, and the files that came with it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet, Sum
from django.utils.translation import gettext as _

from emailsync.mail.composing import DraftAttachment, new_message_id
from emailsync.mail.parsing import ParsedMessage, attachment_content, parse
from mailboxes import access
from mailboxes.choices import OutgoingStatus
from mailboxes.models import DraftFile, Mailbox, Message, OutgoingMessage
from mailboxes.services import outgoing
from profiles.access import Permission


@dataclass(frozen=True)
class Written:
    """What stands in the form; nothing of it has to be right."""

    to: str
    cc: str
    bcc: str
    subject: str
    text: str


@transaction.atomic
def save(
    mailbox: Mailbox,
    written: Written,
    *,
    by: User | None,
    now: datetime,
    draft: OutgoingMessage | None = None,
    answers: Message | None = None,
    once: str = "",
    add: Iterable[DraftAttachment] = (),
    drop: Iterable[int] = (),
) -> OutgoingMessage:
    """Write the draft down, with the files in `add` and without those named by `drop`.

    A form that was saved before, known by `once`, finds its draft. Raises NotNow when the draft was sent or
    discarded meanwhile.
    """
    access.require(by, Permission.SEND_EMAIL, mailbox)
    values = {
        "subject": written.subject,
        "to": [written.to] if written.to else [],
        "cc": [written.cc] if written.cc else [],
        "bcc": [written.bcc] if written.bcc else [],
        "text": written.text,
        "preview": " ".join(written.text.split())[: outgoing.PREVIEW_CHARACTERS],
        "edited_on": now,
    }
    is_new = False
    if draft is None:
        first = values | {
            "message_id": new_message_id(mailbox.address.rpartition("@")[2]),
            "status": OutgoingStatus.DRAFT,
            "answers": answers,
            "content": b"",
            "size": 0,
            "created_by": by,
            "created_on": now,
        }
        if once:
            draft, is_new = OutgoingMessage.objects.get_or_create(mailbox=mailbox, once=once, defaults=first)
        else:
            draft, is_new = OutgoingMessage.objects.create(mailbox=mailbox, **first), True
    if not is_new and not of(mailbox).filter(pk=draft.pk).update(created_on=now, **values):
        raise outgoing.NotNow("")
    DraftFile.objects.filter(draft=draft, pk__in=list(drop)).delete()
    # A file that is being saved as it was chosen may come once more, with the form that is sent meanwhile.
    add = tuple(add)
    held = files_of(draft) if add and not is_new else ()
    _hold(draft, (file for file in add if file not in held))
    _measure(draft)
    draft.refresh_from_db()
    outgoing.note_words(draft, written.text)
    return draft


def _hold(draft: OutgoingMessage, files: Iterable[DraftAttachment]) -> None:
    DraftFile.objects.bulk_create(
        DraftFile(
            draft=draft,
            filename=file.filename,
            content_type=file.content_type,
            size=len(file.content),
            content=file.content,
        )
        for file in files
    )


def _attached_to(content: bytes, parsed: ParsedMessage) -> Iterator[DraftAttachment]:
    """Return the files of an email that was composed already."""
    for part in parsed.attachments:
        yield DraftAttachment(
            filename=part.filename,
            content_type=part.content_type,
            content=attachment_content(content, part.position)[1],
        )


def _measure(draft: OutgoingMessage) -> None:
    files = DraftFile.objects.filter(draft=draft)
    size = files.aggregate(size=Sum("size"))["size"] or 0
    OutgoingMessage.objects.filter(pk=draft.pk).update(size=size, attachment_count=files.count())


def of(mailbox: Mailbox) -> QuerySet[OutgoingMessage]:
    """Return the drafts of a mailbox."""
    return OutgoingMessage.objects.filter(mailbox=mailbox, status=OutgoingStatus.DRAFT)


def files_of(draft: OutgoingMessage) -> tuple[DraftAttachment, ...]:
    """Return the files of a draft as they are sent."""
    return tuple(
        DraftAttachment(filename=file.filename, content_type=file.content_type, content=bytes(file.content))
        for file in draft.files.all()
    )


@transaction.atomic
def take_back(message: OutgoingMessage, *, by: User | None, now: datetime) -> None:
    """Make a draft again of an email that reached nobody, so that it is corrected before it is sent again.

    Raises NotNow.
    """
    access.require(by, Permission.SEND_EMAIL, message.mailbox)
    content = bytes(message.content)
    parsed = parse(content)
    # Of two at once only the first finds it: whoever comes second waits here and is refused.
    unsent = OutgoingMessage.objects.filter(pk=message.pk, status__in=outgoing.UNSENT, accepted=[])
    if not unsent.update(
        status=OutgoingStatus.DRAFT,
        to=[", ".join(message.to)],
        cc=[", ".join(message.cc)],
        bcc=[", ".join(message.bcc)],
        text=parsed.text,
        edited_on=now,
        content=b"",
        recipients=[],
        refused={},
        error="",
        error_code="",
        next_attempt_at=None,
    ):
        raise outgoing.NotNow(_("Only an email that reached nobody can be edited."))
    _hold(message, _attached_to(content, parsed))
    _measure(message)
    outgoing.resolve_alerts(message, now=now)


@transaction.atomic
def write_again(message: OutgoingMessage, *, by: User | None, now: datetime) -> OutgoingMessage:
    """Draft an email once more, for those recipients alone that were refused while others took it.

    Raises NotNow.
    """
    access.require(by, Permission.SEND_EMAIL, message.mailbox)
    if message.status != OutgoingStatus.SENT or not message.refused:
        raise outgoing.NotNow(_("Nobody refused this email while others accepted it."))
    content = bytes(message.content)
    parsed = parse(content)
    written = Written(to=", ".join(message.refused), cc="", bcc="", subject=message.subject, text=parsed.text)
    files = _attached_to(content, parsed)
    draft = save(message.mailbox, written, by=by, now=now, answers=message.answers, add=files)
    outgoing.resolve_alerts(message, now=now)
    return draft


def discard(draft: OutgoingMessage, *, by: User | None) -> bool:
    """Delete a draft and its files; says whether it was still there."""
    access.require(by, Permission.SEND_EMAIL, draft.mailbox)
    deleted, _by_model = OutgoingMessage.objects.filter(pk=draft.pk, status=OutgoingStatus.DRAFT).delete()
    return deleted > 0
