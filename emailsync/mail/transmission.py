"""Hand over letters by SMTP, one behind the other on one connection, and know at any time what is certain.

There is one moment after which nobody can know: when the server has been given the end of a body and has not
answered. What went wrong before that moment was not sent; a refusal after it was not sent either; silence
after it is OutcomeUnknown. The moment before the first byte of each body is told to the caller, who writes it
down; whatever is not written down was not sent.

Where the server offers PIPELINING (RFC 2920), MAIL, the RCPTs and DATA go in one flight, and that flight goes
behind the body of the letter before: one round trip a letter. Announcing a letter commits to nothing, so the
order of what is certain stays the same.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field

from emailsync.mail.closing import closed_on_failure
from emailsync.mail.connection import Connection
from emailsync.mail.envelope import Envelope, Letter, SendResult, wire_pieces
from emailsync.mail.errors import MailError, OutcomeUnknown, ProtocolViolation
from emailsync.mail.replies import smtp_failure
from emailsync.mail.smtp_dialogue import Reply, SmtpDialogue
from emailsync.mail.translating import translated

# RFC 5321, section 4.5.3.2.6, allows the server ten minutes after the body; the deadline allows less.
END_OF_BODY_PATIENCE = 100.0
FAREWELL = 2.0
#: Behind a body up to this size the next letter is announced; a larger one takes its time in any case.
SMALL = 256 * 1024
#: Lines in one flight; their answers must fit into the buffers of both sides.
FLIGHT = 50
END_OF_BODY = b".\r\n"


@dataclass(frozen=True)
class Outcome:
    """Say what came of one letter: a result, or the reason why it was not sent."""

    letter: Letter
    result: SendResult | None = None
    error: MailError | None = None


@dataclass
class Flight:
    """Follow one letter on its way: what is still to be said of it, and how many answers are to come."""

    letter: Letter
    envelope: Envelope | None
    problem: MailError | None = None
    unsaid: deque[str] = field(default_factory=deque)
    unanswered: int = 0
    begins_with_reset: bool = False

    def lines(self, count: int) -> list[str]:
        """Take the lines that are said next."""
        taken = [self.unsaid.popleft() for _ in range(min(count, len(self.unsaid)))]
        self.unanswered += len(taken)
        return taken


class Transmission:
    """Send letters over one connection."""

    def __init__(self, connection: Connection, dialogue: SmtpDialogue) -> None:
        self._connection = connection
        self._dialogue = dialogue
        #: Whether the server still holds an envelope that was given up.
        self._is_open = False
        self._is_ahead = True

    def send(
        self, letters: Iterable[Letter], *, before_body: Callable[[Letter], None], ahead: bool = True
    ) -> Generator[Outcome, None, None]:
        """Yield what comes of each letter, in their order; the last may be one that broke the connection.

        With `ahead` a letter is taken from `letters` and announced before the one before is answered. What
        `before_body` raises ends the connection and is passed on.
        """
        self._is_ahead = ahead
        waiting = iter(letters)
        flight = self._launch(waiting)
        # The server may wait for a body that will not come; only closing says so.
        with closed_on_failure(self._connection):
            while flight is not None:
                outcome, following = self._hand_over(flight, waiting, before_body)
                yield outcome
                if self._connection.closed:
                    return
                flight = following or self._launch(waiting)

    def _hand_over(
        self, flight: Flight, waiting: Iterator[Letter], before_body: Callable[[Letter], None]
    ) -> tuple[Outcome, Flight | None]:
        letter = flight.letter
        try:
            with translated(self._connection.clean):
                envelope = self._announce(flight)
        except MailError as problem:
            return Outcome(letter, error=problem), None
        is_followed = self._is_ahead and self._is_pipelined and len(letter.content) <= SMALL
        following = self._prepare(waiting) if is_followed else None
        before_body(letter)
        try:
            with translated(self._connection.clean):
                reply = self._transmit(letter.content, following)
        except MailError as problem:
            return Outcome(letter, error=problem), following
        return Outcome(letter, envelope.result(str(reply))), following

    @property
    def _is_pipelined(self) -> bool:
        return "PIPELINING" in self._dialogue.extensions

    @property
    def _at_once(self) -> int:
        return FLIGHT if self._is_pipelined else 1

    def _launch(self, waiting: Iterator[Letter]) -> Flight | None:
        """Take the next letter and say what can be said of it at once."""
        flight = self._prepare(waiting)
        if flight is not None and flight.unsaid:
            try:
                with translated(self._connection.clean):
                    self._dialogue.say(*flight.lines(self._at_once))
            except MailError as problem:
                self._connection.close()
                flight.problem = problem
        return flight

    def _prepare(self, waiting: Iterator[Letter]) -> Flight | None:
        letter = next(waiting, None)
        if letter is None:
            return None
        try:
            envelope = Envelope(letter, self._dialogue.extensions)
        except MailError as problem:
            return Flight(letter, None, problem)
        reset = ["RSET"] if self._is_open else []
        lines = deque([*reset, envelope.mail, *envelope.lines, "DATA"])
        self._is_open = False
        return Flight(letter, envelope, unsaid=lines, begins_with_reset=bool(reset))

    def _announce(self, flight: Flight) -> Envelope:
        """Hear the answers to the envelope until the server waits for the body. Raise why it does not."""
        if flight.problem is not None or flight.envelope is None:
            raise flight.problem or ProtocolViolation("There is no envelope.")
        envelope = flight.envelope
        if flight.begins_with_reset:
            self._next_reply(flight)
        mail = self._next_reply(flight)
        problem = None if mail.code == 250 else smtp_failure("sender", *mail)
        for address in envelope.targets:
            if problem is not None and not flight.unanswered:
                raise problem
            reply = self._next_reply(flight)
            envelope.note(address, reply.code, str(reply))
        if not envelope.accepted and problem is None:
            problem = envelope.all_refused()
        if problem is not None and not flight.unanswered:
            self._is_open = mail.code == 250
            raise problem
        data = self._next_reply(flight)
        if data.code == 354 and problem is None:
            return envelope
        if data.code == 354:
            # RFC 2920, section 3.1: a body for nobody is ended at once.
            self._end_for_nobody()
        else:
            self._is_open = mail.code == 250
        raise problem or smtp_failure("data", *data)

    def _end_for_nobody(self) -> None:
        try:
            self._connection.send(END_OF_BODY)
            self._dialogue.reply()
        except (MailError, OSError):
            # An answer that comes late would be taken for that to the next letter.
            self._connection.close()
            raise

    def _next_reply(self, flight: Flight) -> Reply:
        try:
            if not flight.unanswered:
                self._dialogue.say(*flight.lines(self._at_once))
            flight.unanswered -= 1
            reply = self._dialogue.reply()
        except (MailError, OSError):
            self._connection.close()
            raise
        if reply.code == 421 or not 200 <= reply.code < 600:
            self._connection.close()
            raise smtp_failure("command", *reply)
        return reply

    def _transmit(self, content: bytes, following: Flight | None) -> Reply:
        timeout = self._connection.wire.timeout
        self._send(content, following.lines(FLIGHT) if following is not None else [])
        try:
            self._connection.wait_at_most(max(END_OF_BODY_PATIENCE, timeout), longer=True)
            reply = self._dialogue.reply()
            self._connection.wait_at_most(timeout, longer=True)
        except (MailError, OSError) as problem:
            self._connection.close()
            raise _unknown(problem) from problem
        if 200 <= reply.code < 300:
            return reply
        if not reply.refuses:
            self._connection.close()
            raise _unknown(ProtocolViolation("The answer is not SMTP.", server_reply=str(reply)))
        if reply.code == 421:
            self._connection.close()
        raise smtp_failure("body", *reply)

    def _send(self, content: bytes, behind: list[str]) -> None:
        """Send a body with its end and the lines `behind`. Raise OutcomeUnknown when the end went out."""
        self._connection.note_client(f"({len(content)} bytes)")
        for line in behind:
            self._connection.note_client(line)
        end: int | None = None
        try:
            with translated(self._connection.clean):
                last = self._all_but_the_last(wire_pieces(content)) + END_OF_BODY
                end = self._connection.sent + len(last)
                self._connection.send(last + "".join(f"{line}\r\n" for line in behind).encode())
        except MailError as problem:
            if end is None or self._connection.sent < end:
                raise self._cut_short(problem) from problem
            self._connection.close()
            raise _unknown(problem) from problem

    def _all_but_the_last(self, pieces: Iterator[bytes]) -> bytes:
        held = next(pieces)
        for piece in pieces:
            self._connection.send(held)
            held = piece
        return held

    def _cut_short(self, problem: MailError) -> MailError:
        """Explain a body that did not go out whole: without its last dot it does not count as sent."""
        self._connection.wait_at_most(FAREWELL)
        try:
            with translated(self._connection.clean):
                reply = self._dialogue.reply()
        except MailError:
            return problem
        finally:
            self._connection.close()
        return smtp_failure("body", *reply) if reply.refuses else problem


def _unknown(problem: BaseException) -> OutcomeUnknown:
    reply = problem.server_reply if isinstance(problem, MailError) else ""
    reason = str(problem) if isinstance(problem, MailError) else "The connection broke."
    return OutcomeUnknown(
        f"The server was given the whole message but did not confirm it. {reason}", server_reply=reply
    )
