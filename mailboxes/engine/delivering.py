"""Send a mailbox's waiting mail, each message at most once.

The life of a message: PENDING_SEND while it waits and while it is announced, for announcing commits to
nothing; SENDING with `data_started_at`, committed under the fence of the attempt after the server said 354
and before the first byte of the body; then SENT, or PENDING_SEND again for a later attempt, or FAILED. The
same commit tells what came of the message before, so that a message costs one.

An attempt that died is judged by that time stamp. Without it the server cannot have accepted anything: the
message waits still. With it nobody can know: UNCERTAIN, and no machine sends it again. An attempt that was
stopped past its lease and wakes up with the server's answer still reports it, because the message, not the
lease, remembers whose attempt it is (`attempt_fence`).
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from emailsync.mail.envelope import Letter, SendResult
from emailsync.mail.errors import (
    BREAKING,
    ConnectionLost,
    MailError,
    OutcomeUnknown,
    ServerBusy,
    TimedOut,
)
from emailsync.mail.grouping import grouped
from emailsync.mail.smtp import SmtpClient
from mailboxes.choices import Direction, OutgoingStatus, ResultStatus
from mailboxes.engine import braking, connecting, outcomes, parking, recording, recovering, scheduling
from mailboxes.models import Correspondent, Mailbox, OutgoingMessage, WorkerState

log = logging.getLogger(__name__)

#: Messages sent over one connection before it is opened anew; servers limit it, commonly at 100.
MESSAGES_PER_CONNECTION = 50
#: So many messages, of so many bytes together, are read from the database at once.
READ_TOGETHER = 10
BYTES_TOGETHER = 512 * 1024
#: Seconds: an answer that comes so soon is written together with what it leads to.
AT_ONCE = 0.02
#: So many messages may break the conversation in a run that sends nothing before the server is to blame.
MOST_TO_BLAME = 3
#: How a server ends a conversation of which it has had enough.
ENOUGH = (ServerBusy, ConnectionLost, TimedOut)


def run(state_pk: int) -> None:
    """Do the due outgoing work of one worker state, if it is still there to be done."""
    lease = scheduling.claim_running(WorkerState, state_pk, now=timezone.now())
    if lease is None:
        return
    with scheduling.working(lease):
        _run(lease)


def _run(lease: scheduling.Lease) -> None:
    state = WorkerState.objects.get(pk=lease.pk)
    mailbox = parking.mailbox_of(state)
    settle_dead_attempts(lease, mailbox, now=timezone.now())
    is_asked = next_attempt(mailbox) is not None
    was_interrupted = state.status == ResultStatus.FAILURE and not is_asked
    if not state.is_enabled or was_interrupted:
        recovering.run(lease, mailbox, state)
        return
    if not parking.may_run(lease, mailbox, state):
        return
    if scheduling.must_wait_for_place(connecting.profile_of(mailbox), lease):
        return
    if is_asked and braking.must_wait(mailbox, Direction.OUTGOING, lease, now=timezone.now()):
        return
    ends = time.monotonic() + settings.RUN_DEADLINE.total_seconds() / 2
    sending = Sending(lease, mailbox, ends=ends)
    try:
        # A slow server is no failure; what still waits when the time is up makes the direction due at once.
        while time.monotonic() < ends and (waiting := _due(mailbox)):
            with connecting.open_outgoing(mailbox, seconds=connecting.patience(state)) as client:
                sending.send(client, waiting)
            if sending.is_in_doubt:
                with connecting.open_outgoing(mailbox, seconds=connecting.patience(state)) as client:
                    sending.compare(client)
    except MailError as error:
        outcomes.failed(lease, mailbox, state, error)
        return
    outcomes.succeeded(lease, mailbox, state, items=sending.sent, due_at=next_attempt(mailbox))
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
            recording.doubtful(message, mailbox, fence=message.attempt_fence, now=now)


class _TakenBack(Exception):
    """A message is not to go out after it was announced and before its body."""


class Sending:
    """One run's sending, over one connection after the other."""

    def __init__(self, lease: scheduling.Lease, mailbox: Mailbox, *, ends: float) -> None:
        """Begin; no message is taken up after the monotonic time `ends`."""
        self._lease, self._mailbox, self._ends = lease, mailbox, ends
        self._begun: int | None = None
        self._unwritten: tuple[OutgoingMessage, SendResult] | None = None
        #: Of whom it is remembered that they were written to.
        self._known: set[str] = set()
        self._ahead = True
        #: The first message of a connection that broke it, and how: it may be to blame, and not the server.
        self._suspect: tuple[OutgoingMessage, MailError] | None = None
        self._blamed = 0
        self.sent = 0

    @property
    def is_in_doubt(self) -> bool:
        """Say whether the next connection is to show if the server fails at one message or at all."""
        return self._suspect is not None

    def send(self, client: SmtpClient, waiting: Sequence[OutgoingMessage]) -> None:
        """Send these over one connection, as far as it lasts.

        Raises MailError when the connection, not a message, is at fault, and LeaseLost.
        """
        messages = {message.pk: message for message in waiting}
        people = [address for message in waiting for address in message.recipients]
        self._known = Correspondent.objects.among(self._mailbox.environment_id, people)
        before = self.sent
        announced = client.send_all(
            self._letters(waiting),
            before_body=lambda letter: self._begin(messages[letter.key]),
            ahead=self._ahead,
        )
        try:
            with closing(announced):
                for outcome in announced:
                    message = messages.pop(outcome.letter.key)
                    if outcome.error is not None:
                        self._write()
                        self._fail(message, outcome.error, is_first=self.sent == before)
                    elif outcome.result is not None:
                        self.sent += 1
                        self._unwritten = message, outcome.result
                        if not messages or not client.has_more_to_hear(within=AT_ONCE):
                            # While the server thinks about the next one.
                            self._write()
        except _TakenBack:
            log.info("A message was canceled at the last moment; its connection ends without it")
        finally:
            self._write()

    def _letters(self, waiting: Sequence[OutgoingMessage]) -> Iterator[Letter]:
        for group in grouped(waiting, most=READ_TOGETHER, octets=BYTES_TOGETHER):
            still = OutgoingMessage.objects.waiting().filter(pk__in=[message.pk for message in group])
            contents = dict(still.values_list("pk", "content"))
            for message in group:
                if time.monotonic() > self._ends:
                    return
                content = contents.pop(message.pk, None)
                if content is not None:
                    yield Letter(self._mailbox.address, message.recipients, bytes(content), key=message.pk)

    def _begin(self, message: OutgoingMessage) -> None:
        """Commit what came of the message before and that the body of this one goes out now."""
        with scheduling.fenced(self._lease):
            self._record()
            if not recording.begin(message, fence=self._lease.fence):
                raise _TakenBack
        self._is_written()
        self._begun = message.pk

    def _write(self) -> None:
        """Write what the server said last, with or without the lease: nobody else knows it."""
        if self._unwritten is not None:
            scheduling.insist(transaction.atomic(self._record))
            self._is_written()

    def _record(self) -> None:
        if self._unwritten is not None:
            message, result = self._unwritten
            recording.taken(message, self._mailbox, result, fence=self._lease.fence, known=self._known)

    def _is_written(self) -> None:
        """Forget what is committed, and only then: what is rolled back is written again."""
        if self._unwritten is not None:
            _message, result = self._unwritten
            self._known |= Correspondent.objects.folded(result.accepted)
            self._unwritten = None

    def _fail(self, message: OutgoingMessage, error: MailError, *, is_first: bool) -> None:
        if isinstance(error, OutcomeUnknown):
            with scheduling.fenced(self._lease):
                recording.doubtful(message, self._mailbox, fence=self._lease.fence, now=timezone.now())
            # The next message must not meet the same end at once: the direction pauses like after any loss.
            raise ConnectionLost(str(error), server_reply=error.server_reply) from error
        if isinstance(error, ENOUGH) and not is_first:
            # The server ends a conversation that went well so far: the next connection goes on.
            self._ahead = self._ahead and not isinstance(error, TimedOut)
            log.info("The server ended the connection after some messages: %s", error)
            if self._begun == message.pk:
                recording.not_taken(self._lease, message, self._mailbox, error)
            return
        is_to_blame = recording.concerns_message(error)
        recording.not_taken(self._lease, message, self._mailbox, error, is_to_blame=is_to_blame)
        if is_to_blame:
            return
        if not isinstance(error, BREAKING) or (self._blamed == MOST_TO_BLAME and not self.sent):
            raise error
        self._suspect = message, error

    def compare(self, client: SmtpClient) -> None:
        """Blame the message that broke a connection, if a message to the mailbox itself breaks none.

        That one is announced and never sent: a connection that ends before the body's last line commits the
        server to nothing (RFC 5321, section 4.1.1.4). Raises MailError when the server is at fault.
        """
        if self._suspect is None:
            return

        def take_back(_letter: Letter) -> None:
            raise _TakenBack

        (message, reason), self._suspect = self._suspect, None
        letter = Letter(self._mailbox.address, [self._mailbox.address], b"")
        with suppress(_TakenBack):
            for outcome in client.send_all([letter], before_body=take_back):
                if outcome.error is not None and not recording.concerns_message(outcome.error):
                    raise outcome.error
        self._blamed += 1
        recording.not_taken(self._lease, message, self._mailbox, reason, is_to_blame=True)
