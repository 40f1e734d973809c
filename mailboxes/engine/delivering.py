"""Send a mailbox's waiting mail, each message at most once.

The life of a message: PENDING_SEND, then SENDING under the fence of the attempt; `data_started_at` is
committed after the server said 354 and before the first byte of the body; then SENT, or PENDING_SEND
again for a later attempt, or FAILED.

An attempt that died is judged by that time stamp. Without it the server cannot have accepted anything:
the message waits again. With it nobody can know: UNCERTAIN, and no machine sends it again. An attempt
that was stopped past its lease and wakes up with the server's answer still reports it, because the
message, not the lease, remembers whose attempt it is (`attempt_fence`).
"""

import logging
import time
from datetime import datetime

from django.conf import settings
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_noop

from emailsync.mail.errors import (
    ConnectionLost,
    MailError,
    MessageRefused,
    OutcomeUnknown,
    QuotaExceeded,
    RecipientsRefused,
    Scope,
)
from emailsync.mail.smtp import SendResult, SmtpClient
from mailboxes.alerts import wall
from mailboxes.choices import Direction, OutgoingStatus
from mailboxes.engine import connecting, eligibility, outcomes, policy, scheduling
from mailboxes.models import Correspondent, Mailbox, OutgoingMessage, WorkerState

log = logging.getLogger(__name__)

#: Messages sent over one connection before it is opened anew; servers limit it, commonly at 100.
MESSAGES_PER_CONNECTION = 50


def run(state_pk: int) -> None:
    """Do the due outgoing work of one worker state, if it is still there to be done."""
    lease = scheduling.claim_running(WorkerState, state_pk, now=timezone.now())
    if lease is None:
        return
    with scheduling.working(lease):
        _run(lease)


def _run(lease: scheduling.Lease) -> None:
    state = WorkerState.objects.get(pk=lease.pk)
    mailbox = Mailbox.objects.select_related("server_profile", "environment").get(pk=state.mailbox_id)
    settle_dead_attempts(lease, mailbox, now=timezone.now())
    if eligibility.blockers(mailbox, Direction.OUTGOING):
        outcomes.parked(lease)
        return
    if scheduling.must_wait_for_place(connecting.profile_of(mailbox), lease):
        return
    sent = 0
    ends = time.monotonic() + settings.RUN_DEADLINE.total_seconds() / 2
    try:
        while time.monotonic() < ends and (waiting := _due(mailbox)):
            with connecting.open_outgoing(mailbox) as client:
                for message in waiting:
                    sent += deliver(lease, mailbox, message, client)
                    if time.monotonic() > ends:
                        # A slow server is no failure; what still waits makes the direction due at once.
                        break
    except MailError as error:
        outcomes.failed(lease, mailbox, state, error)
        return
    outcomes.succeeded(lease, mailbox, state, items=sent, due_at=next_attempt(mailbox))
    # Mail queued while the row was being given back: see services.outgoing.
    if waiting_since := next_attempt(mailbox):
        late = WorkerState.objects.filter(Q(due_at__isnull=True) | Q(due_at__gt=waiting_since), pk=lease.pk)
        late.filter(is_enabled=True, transient_failures=0).update(due_at=waiting_since)


def _due(mailbox: Mailbox) -> list[OutgoingMessage]:
    due = OutgoingMessage.objects.due(timezone.now()).filter(mailbox=mailbox)
    # The bytes of each are read when its turn comes: together they could fill the memory.
    return list(due.defer("content")[:MESSAGES_PER_CONNECTION])


def next_attempt(mailbox: Mailbox) -> datetime | None:
    """Return when this mailbox has something to send, or None when nothing waits."""
    waiting = OutgoingMessage.objects.waiting().filter(mailbox=mailbox).order_by("next_attempt_at")
    return waiting.values_list("next_attempt_at", flat=True).first()


def settle_dead_attempts(lease: scheduling.Lease, mailbox: Mailbox, *, now: datetime) -> None:
    """Decide about attempts whose worker is gone: this lease is newer, so none of them can go on."""
    with scheduling.fenced(lease):
        dead = OutgoingMessage.objects.filter(
            mailbox=mailbox, status=OutgoingStatus.SENDING, attempt_fence__lt=lease.fence
        )
        dead.filter(data_started_at__isnull=True).update(
            status=OutgoingStatus.PENDING_SEND, next_attempt_at=now
        )
        for message in dead.filter(data_started_at__isnull=False).defer("content"):
            _mark_uncertain(message, mailbox, fence=message.attempt_fence, now=now)


def _mark_uncertain(message: OutgoingMessage, mailbox: Mailbox, *, fence: int | None, now: datetime) -> None:
    # Its worker may have woken up this very moment and reported what the server said.
    unknown = OutgoingMessage.objects.filter(
        pk=message.pk, status=OutgoingStatus.SENDING, attempt_fence=fence
    )
    if unknown.update(
        status=OutgoingStatus.UNCERTAIN,
        error_code="outcome_unknown",
        error=gettext_noop(
            "The connection ended after the message was handed over and before the server answered."
        ),
    ):
        _alert("email_uncertain", message, mailbox, now=now)


def deliver(lease: scheduling.Lease, mailbox: Mailbox, message: OutgoingMessage, client: SmtpClient) -> int:
    """Make one attempt at `message` and record how it ended; returns 1 when it was sent.

    Raises MailError when the connection, not the message, is at fault, and LeaseLost.
    """
    with scheduling.fenced(lease):
        claimed = OutgoingMessage.objects.filter(pk=message.pk, status=OutgoingStatus.PENDING_SEND).update(
            status=OutgoingStatus.SENDING,
            attempts=F("attempts") + 1,
            attempt_fence=lease.fence,
            data_started_at=None,
        )
    if not claimed:
        return 0
    message.attempts += 1

    def before_body() -> None:
        with scheduling.fenced(lease):
            OutgoingMessage.objects.filter(pk=message.pk).update(data_started_at=timezone.now())

    mine = OutgoingMessage.objects.filter(
        pk=message.pk,
        attempt_fence=lease.fence,
        status__in=(OutgoingStatus.SENDING, OutgoingStatus.UNCERTAIN),
    )
    try:
        result = client.send(
            sender=mailbox.address,
            recipients=message.recipients,
            content=bytes(OutgoingMessage.objects.values_list("content", flat=True).get(pk=message.pk)),
            before_body=before_body,
        )
    except OutcomeUnknown as error:
        with scheduling.fenced(lease):
            _mark_uncertain(message, mailbox, fence=lease.fence, now=timezone.now())
        # The next message must not meet the same end at once: the direction pauses like after any other loss.
        raise ConnectionLost(str(error), server_reply=error.server_reply) from error
    except ValueError as error:
        # An address that no command may carry: refused here, before anything was said.
        _not_sent(lease, mailbox, message, MessageRefused(str(error)))
        return 0
    except MailError as error:
        _not_sent(lease, mailbox, message, error)
        if not _concerns_message(error):
            raise
        return 0
    now = timezone.now()
    if mine.update(
        status=OutgoingStatus.SENT,
        sent_at=now,
        next_attempt_at=None,
        accepted=[*message.accepted, *result.accepted],
        recipients=[],
        refused={**message.refused, **result.refused},
        server_reply=result.reply[:500],
        error_code="",
        error="",
    ):
        Correspondent.objects.note(mailbox.environment_id, result.accepted, now=now)
        for kind in ("email_uncertain", "email_retrying"):
            wall.resolve(kind, mailbox=mailbox, now=now, about=str(message.pk))
        _tell_refused(message, mailbox, result, now=now)
    return 1


def _concerns_message(error: MailError) -> bool:
    """Say whether the next message may fare better. A full mailbox is a recipient's: ours only sends."""
    return error.scope is Scope.MESSAGE or isinstance(error, QuotaExceeded)


def _tell_refused(message: OutgoingMessage, mailbox: Mailbox, result: SendResult, *, now: datetime) -> None:
    if result.refused:
        replies = "; ".join(f"{address}: {reply}" for address, reply in result.refused.items())
        cause = wall.Cause("", code="recipients_refused", server_reply=replies)
        _alert(
            "email_refused_in_part", message, mailbox, now=now, cause=cause, refused=", ".join(result.refused)
        )


def _not_sent(lease: scheduling.Lease, mailbox: Mailbox, message: OutgoingMessage, error: MailError) -> None:
    """Put a message that was certainly not accepted back, or fail it; its alert says why."""
    now = timezone.now()
    noted: dict[str, object] = {
        "error_code": error.code,
        "error": str(error)[:2000],
        "server_reply": error.server_reply[:500],
        "data_started_at": None,
    }
    if isinstance(error, RecipientsRefused):
        noted["refused"] = {**message.refused, **error.refused}
    mine = OutgoingMessage.objects.filter(pk=message.pk, attempt_fence=lease.fence)
    if not _concerns_message(error):
        # The server or the account is at fault: the direction waits, the message loses no attempt.
        with scheduling.fenced(lease):
            mine.update(
                status=OutgoingStatus.PENDING_SEND, next_attempt_at=now, attempts=F("attempts") - 1, **noted
            )
        return
    decision = policy.after_failure(
        error, failures=message.attempts, delay=settings.RETRY_DELAY, limit=settings.RETRY_LIMIT
    )
    cause = wall.Cause.of(error)
    with scheduling.fenced(lease):
        if isinstance(decision, policy.Disable):
            mine.update(status=OutgoingStatus.FAILED, next_attempt_at=None, **noted)
            wall.resolve("email_retrying", mailbox=mailbox, now=now, about=str(message.pk))
            _alert("email_failed", message, mailbox, now=now, cause=cause)
        else:
            mine.update(status=OutgoingStatus.PENDING_SEND, next_attempt_at=now + decision.delay, **noted)
            _alert(
                "email_retrying",
                message,
                mailbox,
                now=now,
                cause=cause,
                attempt=decision.attempt,
                limit=settings.RETRY_LIMIT,
            )


def _alert(
    kind: str,
    message: OutgoingMessage,
    mailbox: Mailbox,
    *,
    now: datetime,
    cause: wall.Cause | None = None,
    **parameters: object,
) -> None:
    words = {"subject": message.subject or "(no subject)", "outgoing_id": message.pk, **parameters}
    wall.raise_alert(kind, now=now, mailbox=mailbox, cause=cause, about=str(message.pk), words=words)
