"""What is written about attempts to send: the moment before a body, and whichever way the attempt ended."""

import re
from collections.abc import Collection
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_noop

from emailsync.mail.envelope import SendResult
from emailsync.mail.errors import MailError, RecipientsRefused, Scope
from mailboxes.alerts import wall
from mailboxes.choices import Direction, OutgoingStatus, SentCopy
from mailboxes.engine import policy, scheduling
from mailboxes.models import Correspondent, Mailbox, OutgoingMessage, WorkerState
from profiles.choices import AppendToSent, IncomingProtocol

#: The server takes no more recipients at once, which says nothing against them (RFC 5321, 4.5.3.1.10).
TOO_MANY = re.compile(r"452 (4\.5\.3|.*too many recipients)", re.IGNORECASE)


def begin(message: OutgoingMessage, *, fence: int) -> bool:
    """Note that the body of `message` is about to go out; false when somebody took the message back.

    Call it in a transaction that holds the lease, and let the first byte go only after its commit.
    """
    waiting = OutgoingMessage.objects.filter(pk=message.pk, status=OutgoingStatus.PENDING_SEND)
    return bool(
        waiting.update(status=OutgoingStatus.SENDING, attempt_fence=fence, data_started_at=timezone.now())
    )


def taken(
    message: OutgoingMessage, mailbox: Mailbox, result: SendResult, *, fence: int, known: Collection[str] = ()
) -> None:
    """Note that the server took `message`: for everybody, or the others wait or are refused.

    Whoever holds the lease now, only the attempt of this `fence` knows what the server said. Of the `known`
    it is remembered that they were written to.
    """
    now = timezone.now()
    later = _later(message, result)
    refused = message.refused | result.refused | (result.deferred if later is None else {})
    changes = {
        "attempts": F("attempts") + 1,
        "accepted": [*message.accepted, *result.accepted],
        "refused": refused,
        "server_reply": result.reply[:500],
        **(_sent(mailbox, now) if later is None else _waiting(result.deferred, later, now=now)),
    }
    mine = OutgoingMessage.objects.filter(pk=message.pk, attempt_fence=fence)
    if not mine.filter(status=OutgoingStatus.SENDING).update(**changes):
        if not mine.filter(status=OutgoingStatus.UNCERTAIN).update(**changes):
            return
        wall.resolve("email_uncertain", mailbox=mailbox, now=now, about=str(message.pk))
    strangers = Correspondent.objects.folded(result.accepted).difference(known)
    Correspondent.objects.note(mailbox.environment_id, strangers, now=now)
    if later is not None:
        _tell_deferred(message, mailbox, result.deferred, now=now)
        return
    if message.attempts:
        wall.resolve("email_retrying", mailbox=mailbox, now=now, about=str(message.pk))
    if refused:
        _tell_refused(message, mailbox, refused, now=now)


def _sent(mailbox: Mailbox, now: datetime) -> dict[str, object]:
    profile = mailbox.server_profile
    is_copied = (
        profile is not None
        and profile.append_to_sent != AppendToSent.NEVER
        and profile.incoming_protocol == IncomingProtocol.IMAP
        and mailbox.syncs(Direction.INCOMING)
    )
    return {
        "sent_copy": SentCopy.WANTED if is_copied else "",
        "sent_copy_attempts": 0,
        "status": OutgoingStatus.SENT,
        "sent_at": now,
        "next_attempt_at": None,
        "recipients": [],
        "error_code": "",
        "error": "",
    }


def _later(message: OutgoingMessage, result: SendResult) -> timedelta | None:
    """Return when those that the server put off are tried again, or None when nobody is."""
    if not result.deferred:
        return None
    if all(TOO_MANY.match(reply) for reply in result.deferred.values()):
        return timedelta(0)
    decision = policy.after_failure(
        _put_off(result.deferred),
        failures=message.attempts + 1,
        delay=settings.RETRY_DELAY,
        limit=settings.RETRY_LIMIT,
    )
    return decision.delay if isinstance(decision, policy.RetryIn) else None


def _put_off(deferred: dict[str, str]) -> RecipientsRefused:
    return RecipientsRefused(
        f"The server does not take it for {', '.join(deferred)} yet.",
        refused={},
        deferred=deferred,
        server_reply=next(iter(deferred.values())),
    )


def _waiting(deferred: dict[str, str], delay: timedelta, *, now: datetime) -> dict[str, object]:
    problem = _put_off(deferred)
    return {
        "status": OutgoingStatus.PENDING_SEND,
        "next_attempt_at": now + delay,
        "recipients": list(deferred),
        "data_started_at": None,
        "error_code": problem.code,
        "error": str(problem)[:2000],
    }


def _tell_deferred(
    message: OutgoingMessage, mailbox: Mailbox, deferred: dict[str, str], *, now: datetime
) -> None:
    if all(TOO_MANY.match(reply) for reply in deferred.values()):
        return
    cause = wall.Cause.of(_put_off(deferred))
    attempt = {"attempt": message.attempts + 1, "limit": settings.RETRY_LIMIT}
    alert("email_retrying", message, mailbox, now=now, cause=cause, **attempt)


def _tell_refused(
    message: OutgoingMessage, mailbox: Mailbox, refused: dict[str, str], *, now: datetime
) -> None:
    replies = "; ".join(f"{address}: {reply}" for address, reply in refused.items())
    cause = wall.Cause("", code="recipients_refused", server_reply=replies)
    alert("email_refused_in_part", message, mailbox, now=now, cause=cause, refused=", ".join(refused))


def not_taken(
    lease: scheduling.Lease,
    message: OutgoingMessage,
    mailbox: Mailbox,
    error: MailError,
    *,
    is_to_blame: bool = False,
) -> None:
    """Put a message that was certainly not taken back, or fail it; its alert says why. Raises LeaseLost.

    One that is not to blame loses no attempt: the server or the account is at fault, and the direction waits.
    """
    now = timezone.now()
    noted: dict[str, object] = {
        "error_code": error.code,
        "error": str(error)[:2000],
        "server_reply": error.server_reply[:500],
        "data_started_at": None,
    }
    begun = Q(status=OutgoingStatus.SENDING, attempt_fence=lease.fence)
    mine = OutgoingMessage.objects.filter(begun | Q(status=OutgoingStatus.PENDING_SEND), pk=message.pk)
    if not is_to_blame:
        with scheduling.fenced(lease):
            mine.update(status=OutgoingStatus.PENDING_SEND, next_attempt_at=now, **noted)
        return
    failures = message.attempts + 1
    noted["attempts"] = failures
    decision = policy.after_failure(
        error, failures=failures, delay=settings.RETRY_DELAY, limit=settings.RETRY_LIMIT
    )
    refused = dict(message.refused)
    if isinstance(error, RecipientsRefused):
        refused |= error.refused
        noted["recipients"] = list(error.deferred or message.recipients)
    with scheduling.fenced(lease):
        if isinstance(decision, policy.RetryIn):
            delayed = {"status": OutgoingStatus.PENDING_SEND, "next_attempt_at": now + decision.delay}
            if mine.update(refused=refused, **delayed, **noted):
                words = {"attempt": decision.attempt, "limit": settings.RETRY_LIMIT}
                alert("email_retrying", message, mailbox, now=now, cause=wall.Cause.of(error), **words)
        else:
            _end(message, mailbox, error, refused, noted, now=now)


def _end(
    message: OutgoingMessage,
    mailbox: Mailbox,
    error: MailError,
    refused: dict[str, str],
    noted: dict[str, object],
    *,
    now: datetime,
) -> None:
    """Give up a message: it has failed, or it was sent to those who took it in earlier attempts."""
    wall.resolve("email_retrying", mailbox=mailbox, now=now, about=str(message.pk))
    deferred = error.deferred if isinstance(error, RecipientsRefused) else {}
    refused |= deferred
    mine = OutgoingMessage.objects.filter(
        pk=message.pk, status__in=(OutgoingStatus.PENDING_SEND, OutgoingStatus.SENDING)
    )
    if not message.accepted:
        noted["recipients"] = list(dict.fromkeys([*message.refused, *message.recipients]))
        if mine.update(status=OutgoingStatus.FAILED, next_attempt_at=None, refused=refused, **noted):
            alert("email_failed", message, mailbox, now=now, cause=wall.Cause.of(error))
        return
    refused |= {name: error.server_reply or str(error) for name in message.recipients if name not in refused}
    mine.update(refused=refused, **(noted | _sent(mailbox, now)))
    _tell_refused(message, mailbox, refused, now=now)


def concerns_message(error: MailError) -> bool:
    """Say whether the next message may fare better."""
    return error.scope is Scope.MESSAGE


def found_sent(message: OutgoingMessage, *, now: datetime) -> None:
    """Settle the doubt about an uncertain message: something proves that the server took it."""
    uncertain = OutgoingMessage.objects.filter(pk=message.pk, status=OutgoingStatus.UNCERTAIN)
    accepted = [*message.accepted, *message.recipients]
    known = {"sent_at": message.data_started_at or now, "accepted": accepted}
    if uncertain.update(**(_sent(message.mailbox, now) | known)):
        message.refresh_from_db(fields=["status", "accepted", "recipients"])
        Correspondent.objects.note(message.environment_id, accepted, now=now)
        wall.resolve("email_uncertain", mailbox=message.mailbox, now=now, about=str(message.pk))


def doubtful(message: OutgoingMessage, mailbox: Mailbox, *, fence: int | None, now: datetime) -> None:
    """Note that nobody can know whether `message` was taken, unless its worker has just told."""
    unknown = OutgoingMessage.objects.filter(
        pk=message.pk, status=OutgoingStatus.SENDING, attempt_fence=fence
    )
    if unknown.update(
        status=OutgoingStatus.UNCERTAIN,
        attempts=F("attempts") + 1,
        sent_copy_attempts=0,
        error_code="outcome_unknown",
        error=gettext_noop(
            "The connection ended after the message was handed over and before the server answered."
        ),
    ):
        # Looked for where it may have left a trace, before people are asked: see `filing`.
        incoming = WorkerState.objects.filter(mailbox=mailbox, direction=Direction.INCOMING)
        works = incoming.filter(is_enabled=True, transient_failures=0)
        if not mailbox.syncs(Direction.INCOMING) or not works.update(due_at=now):
            alert("email_uncertain", message, mailbox, now=now)


def alert(
    kind: str,
    message: OutgoingMessage,
    mailbox: Mailbox,
    *,
    now: datetime,
    cause: wall.Cause | None = None,
    **parameters: object,
) -> None:
    """Raise an alert about an outgoing message."""
    words = {"subject": message.subject or "(no subject)", "outgoing_id": message.pk, **parameters}
    wall.raise_alert(kind, now=now, mailbox=mailbox, cause=cause, about=str(message.pk), words=words)
