"""Hand over outgoing mail: compose it once, give it its Message-ID, and let the workers send it."""

from dataclasses import replace
from datetime import datetime

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Case, F, Value, When
from django.utils.translation import gettext as _

from emailsync.mail.composing import Draft, compose, new_message_id
from mailboxes import access, searching
from mailboxes.alerts import wall
from mailboxes.choices import Direction, OutgoingStatus
from mailboxes.engine import marking
from mailboxes.models import (
    Correspondent,
    DraftFile,
    Mailbox,
    Message,
    OutgoingMessage,
    OutgoingWords,
    WorkerState,
)
from profiles.access import Permission

PREVIEW_CHARACTERS = 200
CANCELABLE = (OutgoingStatus.PENDING_SEND, OutgoingStatus.FAILED)
#: What is certainly not under way nor sent, so that sending it again makes no second copy.
UNSENT = (OutgoingStatus.FAILED, OutgoingStatus.CANCELED)
#: States in which a command on many emails may find them.
COMMANDABLE = frozenset({*CANCELABLE, *UNSENT})


class NotNow(Exception):
    """The message is no longer in a state in which this can be done; the sentence says which."""


@transaction.atomic
def queue(
    mailbox: Mailbox,
    draft: Draft,
    *,
    by: User | None,
    now: datetime,
    answers: Message | None = None,
    saved: OutgoingMessage | None = None,
    once: str = "",
) -> OutgoingMessage:
    """Save `draft` as a message waiting to be sent from `mailbox`; it takes the place of the draft `saved`.

    Raises ValueError, naming the field, when a header of the draft holds a line break or a NUL, and NotNow
    when `saved` is no draft any more, or the form `once` made a message meanwhile.
    """
    access.require(by, Permission.SEND_EMAIL, mailbox)
    message_id = new_message_id(mailbox.address.rpartition("@")[2])
    code_page = mailbox.server_profile.encoding_code_page if mailbox.server_profile else ""
    if code_page:
        draft = replace(draft, charset=code_page)
    answers = answers or (saved.answers if saved else None)
    marks = marking.mark(mailbox, draft, message_id=message_id, answers=answers)
    draft = replace(draft, subject=marks.subject)
    content = compose(draft, message_id=message_id, date=now)
    envelope = dict.fromkeys(address.address for address in (*draft.to, *draft.cc, *draft.bcc))
    message = OutgoingMessage(
        mailbox=mailbox,
        environment_id=mailbox.environment_id,
        message_id=message_id,
        subject=draft.subject,
        to=[str(address) for address in draft.to],
        cc=[str(address) for address in draft.cc],
        bcc=[str(address) for address in draft.bcc],
        recipients=list(envelope),
        preview=" ".join(draft.text.split())[:PREVIEW_CHARACTERS],
        content=content,
        size=len(content),
        attachment_count=len(draft.attachments),
        answers=answers,
        conversation=marks.conversation,
        tracking_token=marks.tracking_token,
        smart_key=marks.smart_key,
        created_by=by,
        created_on=now,
        next_attempt_at=now,
        once=once,
    )
    if saved is not None:
        if not OutgoingMessage.objects.filter(pk=saved.pk, status=OutgoingStatus.DRAFT).update(
            status=OutgoingStatus.PENDING_SEND
        ):
            raise NotNow(_("It was sent or discarded meanwhile."))
        message.pk = saved.pk
        DraftFile.objects.filter(draft=saved).delete()
    try:
        with transaction.atomic():
            message.save(force_update=saved is not None)
    except IntegrityError as error:
        if not OutgoingMessage.objects.filter(mailbox=mailbox, once=once).exclude(once="").exists():
            raise
        raise NotNow(_("It was saved at the same moment. Send it again.")) from error
    note_words(message, draft.text)
    _wake(mailbox, now=now)
    return message


def note_words(message: OutgoingMessage, text: str) -> None:
    """Let `message` be found by its words."""
    people = [*message.to, *message.cc, *message.bcc]
    found = {"words": searching.words(message.subject, people, text), "vector": None}
    OutgoingWords.objects.update_or_create(message=message, defaults=found)


def _wake(mailbox: Mailbox, *, now: datetime) -> None:
    """Make the outgoing direction due, unless it pauses after a failure.

    The row is written either way: a worker that is just giving it back then waits for this transaction,
    and looks for waiting mail again afterwards.
    """
    WorkerState.objects.filter(mailbox=mailbox, direction=Direction.OUTGOING).update(
        due_at=Case(When(is_enabled=True, transient_failures=0, then=Value(now)), default=F("due_at"))
    )


@transaction.atomic
def retry(message: OutgoingMessage, *, by: User | None, now: datetime, is_certain: bool = False) -> None:
    """Send a failed, canceled or uncertain message again, to those who have not accepted it. Raises NotNow.

    With `is_certain` an uncertain one is left: somebody has to decide about it alone.
    """
    access.require(by, Permission.SEND_EMAIL, message.mailbox)
    _move(
        message,
        UNSENT if is_certain else (*UNSENT, OutgoingStatus.UNCERTAIN),
        status=OutgoingStatus.PENDING_SEND,
        next_attempt_at=now,
        attempts=0,
        data_started_at=None,
        attempt_fence=None,
        error_code="",
        error="",
        refused={},
    )
    resolve_alerts(message, now=now)
    _wake(message.mailbox, now=now)


def cancel(message: OutgoingMessage, *, by: User | None, now: datetime) -> None:
    """Take back a message that still waits or has failed. Raises NotNow."""
    access.require(by, Permission.SEND_EMAIL, message.mailbox)
    _move(message, CANCELABLE, status=OutgoingStatus.CANCELED, next_attempt_at=None)
    resolve_alerts(message, now=now)


def settle(message: OutgoingMessage, *, sent: bool, by: User | None, now: datetime) -> None:
    """Decide about an uncertain message: it was sent, or it is to be sent again. Raises NotNow."""
    if not sent:
        retry(message, by=by, now=now)
        return
    access.require(by, Permission.SEND_EMAIL, message.mailbox)
    _move(
        message,
        (OutgoingStatus.UNCERTAIN,),
        status=OutgoingStatus.SENT,
        sent_at=message.data_started_at or now,
        next_attempt_at=None,
        accepted=[*message.accepted, *message.recipients],
        recipients=[],
        error_code="",
        error="",
    )
    Correspondent.objects.note(message.mailbox.environment_id, message.accepted, now=now)
    resolve_alerts(message, now=now)


def _move(message: OutgoingMessage, allowed: tuple[OutgoingStatus, ...], **changes: object) -> None:
    if not OutgoingMessage.objects.filter(pk=message.pk, status__in=allowed).update(**changes):
        message.refresh_from_db(fields=["status"])
        label = OutgoingStatus(message.status).label
        raise NotNow(_("The email is now “%(status)s”, so this can no longer be done.") % {"status": label})
    message.refresh_from_db(fields=list(changes))


def resolve_alerts(message: OutgoingMessage, *, now: datetime) -> None:
    """Resolve what is told of `message`: somebody has decided about it."""
    for kind in ("email_failed", "email_uncertain", "email_retrying", "email_refused_in_part"):
        wall.resolve(kind, mailbox=message.mailbox, now=now, about=str(message.pk))
