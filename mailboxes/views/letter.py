"""What is being written, and what becomes of it: a draft with its files, and in the end an email."""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from django.contrib.auth.models import User
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _

from emailsync.mail.composing import Draft, DraftAttachment
from emailsync.mail.parsing import Address
from mailboxes.forms.compose import ComposeForm
from mailboxes.models import Mailbox, Message, OutgoingMessage
from mailboxes.services import drafts, outgoing, reading

#: Identifiers that can be sent on; other people's may be anything (RFC 5322, 3.6.4).
MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,900}>")
LONGEST_THREAD = 50


@dataclass(frozen=True)
class Original:
    """A part of the message that is forwarded: an attachment, or the whole as one."""

    value: str
    filename: str
    size: int
    is_chosen: bool = True


@dataclass
class Letter:
    """What is being written, on which occasion, and the draft it is kept in so far."""

    mailbox: Mailbox
    title: str
    form: ComposeForm
    answers: Message | None = None
    forwards: Message | None = None
    originals: Sequence[Original] = ()
    draft: OutgoingMessage | None = None
    #: What the form is known by: all that it posts makes one email.
    once: str = ""


def new_form() -> str:
    """Return what another form is known by."""
    return secrets.token_urlsafe(16)


def save(letter: Letter, request: HttpRequest) -> list[str]:
    """Save the draft with every file that may be sent; return what is wrong with the others."""
    good, complaints = letter.form.sift(request.FILES.getlist("attachments"), held=_held_count(letter))
    drop = request.POST.get("drop", "")
    try:
        letter.draft = drafts.save(
            letter.mailbox,
            drafts.Written(**letter.form.as_typed()),
            by=cast("User", request.user),
            now=timezone.now(),
            draft=letter.draft,
            answers=letter.answers,
            once=letter.once,
            add=[*_originals(letter), *map(_attachment, good)],
            drop=[int(drop)] if drop.isascii() and drop.isdecimal() and len(drop) <= 18 else [],
        )
    except outgoing.NotNow:
        letter.draft, letter.once = None, new_form()
        complaints.append(_("This draft was sent or discarded meanwhile. Save again to keep a new one."))
    else:
        letter.originals = ()
    return complaints


def queue(letter: Letter, request: HttpRequest) -> OutgoingMessage | None:
    """Queue what was written; a header that cannot be sent is named on the form."""
    written, answers, mailbox = letter.form.cleaned_data, letter.answers, letter.mailbox
    held = drafts.files_of(letter.draft) if letter.draft else ()
    originals = _originals(letter)
    # What was saved as it was chosen may still stand in the form.
    chosen = [file for file in map(_attachment, written["attachments"]) if file not in held]
    if letter.form.errors:
        return None
    draft = Draft(
        sender=Address(name=mailbox.name, address=mailbox.address),
        to=written["to"],
        cc=written["cc"],
        bcc=written["bcc"],
        subject=written["subject"],
        text=written["text"].replace("\r\n", "\n"),
        in_reply_to=answers.message_id if answers and MESSAGE_ID.fullmatch(answers.message_id) else "",
        references=tuple(_references(answers)) if answers else (),
        attachments=(*held, *originals, *chosen),
    )
    try:
        return outgoing.queue(
            mailbox,
            draft,
            by=cast("User", request.user),
            now=timezone.now(),
            answers=answers,
            saved=letter.draft,
            once=letter.once,
        )
    except ValueError as error:
        letter.form.add_error(None, str(error))
    except outgoing.NotNow as error:
        letter.draft = None
        letter.form.add_error(None, str(error))
    return None


def _held_count(letter: Letter) -> int:
    return letter.draft.attachment_count if letter.draft else sum(p.is_chosen for p in letter.originals)


def _attachment(file: Any) -> DraftAttachment:
    file.seek(0)
    return DraftAttachment(
        filename=reading.safe_filename(file.name or "", fallback="attachment"),
        content_type=reading.safe_content_type(file.content_type or ""),
        content=file.read(),
    )


def _originals(letter: Letter) -> list[DraftAttachment]:
    """Return the chosen parts of the message that is forwarded; what is lost is left out."""
    found: list[DraftAttachment] = []
    for part in letter.originals:
        if part.is_chosen and letter.forwards:
            try:
                found.append(_original(letter.forwards, part))
            except (reading.RawMissing, LookupError):
                letter.form.add_error(
                    None, _("“%(file)s” is no longer there and was left out.") % {"file": part.filename}
                )
    return found


def _original(message: Message, part: Original) -> DraftAttachment:
    if part.value == "whole":
        with reading.open_raw(message) as stream:
            return DraftAttachment(reading.eml_name(message), "message/rfc822", stream.read())
    info, chunks = reading.attachment(message, int(part.value))
    name = reading.safe_filename(part.filename, fallback="attachment", content_type=info.content_type)
    return DraftAttachment(name, reading.safe_content_type(info.content_type), b"".join(chunks))


def _references(message: Message) -> list[str]:
    """Return the thread that an answer continues: what the message refers to, then it (RFC 5322, 3.6.4)."""
    thread = [*(message.references.split() or message.in_reply_to.split()), message.message_id]
    known = list(dict.fromkeys(filter(MESSAGE_ID.fullmatch, thread)))
    # A thread of years keeps its first message, which others join by, and its latest.
    return known if len(known) <= LONGEST_THREAD else [known[0], *known[1 - LONGEST_THREAD :]]
