"""Hand over outgoing mail: compose it once, give it its Message-ID, and let the workers send it."""

from dataclasses import replace
from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Case, F, Value, When

from emailsync.mail.composing import Draft, compose, new_message_id
from mailboxes import access
from mailboxes.alerts import wall
from mailboxes.choices import Direction, OutgoingStatus
from mailboxes.models import Mailbox, Message, OutgoingMessage, WorkerState
from profiles.access import Permission

PREVIEW_CHARACTERS = 200


class NotNow(Exception):
    """The message is no longer in a state in which this can be done; the sentence says which."""


@transaction.atomic
def queue(
    mailbox: Mailbox, draft: Draft, *, by: User | None, now: datetime, answers: Message | None = None
) -> OutgoingMessage:
    """Save `draft` as a message waiting to be sent from `mailbox`.

    Raises ValueError, naming the field, when a header of the draft holds a line break or a NUL.
    """
    access.require(by, Permission.SEND_EMAIL, mailbox)
    message_id = new_message_id(mailbox.address.rpartition("@")[2])
    code_page = mailbox.server_profile.encoding_code_page if mailbox.server_profile else ""
    if code_page:
        draft = replace(draft, charset=code_page)
    content = compose(draft, message_id=message_id, date=now)
    envelope = dict.fromkeys(address.address for address in (*draft.to, *draft.cc, *draft.bcc))
    message = OutgoingMessage.objects.create(
        mailbox=mailbox,
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
        created_by=by,
        created_on=now,
        next_attempt_at=now,
    )
    _wake(mailbox, now=now)
    return message


def _wake(mailbox: Mailbox, *, now: datetime) -> None:
    """Make the outgoing direction due, unless it pauses after a failure.

    The row is written either way: a worker that is just giving it back then waits for this transaction,
    and looks for waiting mail again afterwards.
    """
    WorkerState.objects.filter(mailbox=mailbox, direction=Direction.OUTGOING).update(
        due_at=Case(When(is_enabled=True, transient_failures=0, then=Value(now)), default=F("due_at"))
    )


@transaction.atomic
def retry(message: OutgoingMessage, *, by: User | None, now: datetime) -> None:
    """Send a failed or uncertain message again, to those who have not accepted it. Raises NotNow."""
    access.require(by, Permission.SEND_EMAIL, message.mailbox)
    _move(
        message,
        (OutgoingStatus.FAILED, OutgoingStatus.UNCERTAIN),
        status=OutgoingStatus.PENDING_SEND,
        next_attempt_at=now,
        attempts=0,
        data_started_at=None,
        attempt_fence=None,
        error_code="",
        error="",
        refused={},
    )
    _resolve(message, now=now)
    _wake(message.mailbox, now=now)


def cancel(message: OutgoingMessage, *, by: User | None, now: datetime) -> None:
    """Take back a message that still waits, has failed, or is uncertain. Raises NotNow."""
    access.require(by, Permission.SEND_EMAIL, message.mailbox)
    takeable = (OutgoingStatus.PENDING_SEND, OutgoingStatus.FAILED, OutgoingStatus.DRAFT)
    _move(message, takeable, status=OutgoingStatus.CANCELED, next_attempt_at=None)
    _resolve(message, now=now)


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
    _resolve(message, now=now)


def _move(message: OutgoingMessage, allowed: tuple[OutgoingStatus, ...], **changes: object) -> None:
    if not OutgoingMessage.objects.filter(pk=message.pk, status__in=allowed).update(**changes):
        message.refresh_from_db(fields=["status"])
        label = OutgoingStatus(message.status).label
        raise NotNow(f"The email is now “{label}”, so this can no longer be done.")
    message.refresh_from_db()


def _resolve(message: OutgoingMessage, *, now: datetime) -> None:
    for kind in ("email_failed", "email_uncertain", "email_retrying", "email_refused_in_part"):
        wall.resolve(kind, mailbox=message.mailbox, now=now, about=str(message.pk))
