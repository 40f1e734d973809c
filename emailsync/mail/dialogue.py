"""Commands and answers of IMAP on one connection, read leniently.

IMAPClient runs one command at a time and keeps whole answers in memory. This module sends commands of
its own on the same socket, several at once where that saves a round trip, and reads the answers as they
come: attributes in any order, with announcements (EXISTS, EXPUNGE, FETCH of changed flags) at any place
(RFC 9051, section 7).
"""

import base64
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from emailsync.mail.auth import ROUNDS, Mechanism, decoded
from emailsync.mail.connection import LINE_LIMIT, Connection
from emailsync.mail.errors import ConnectionLost, MailError, ProtocolViolation
from emailsync.mail.replies import imap_bye, imap_failure

LITERAL = re.compile(rb"~?\{(\d{1,12})\+?\}\r?\n$")
# What ends like a literal is part of the text for people here (RFC 9051, section 7.1: resp-text).
STATUS = re.compile(rb"(?:\*|E\d{1,12}) (?:OK|NO|BAD|BYE|PREAUTH) ", re.IGNORECASE)
LITERAL_LIMIT = 1024 * 1024
SKIP_LIMIT = 512 * 1024 * 1024
# What is kept of all the untagged answers to one command.
ANSWER_LIMIT = 16 * LITERAL_LIMIT
# Answers that nobody asked for are skipped, but not for ever.
PATIENCE = 200_000
SET_LIMIT = 7_000


@dataclass(frozen=True)
class Literal:
    """Mark an argument that must travel as counted bytes."""

    content: bytes


@dataclass
class Answer:
    """Collect what the server said to one command."""

    status: bytes = b""
    text: bytes = b""
    untagged: list[bytes] = field(default_factory=list)
    #: What it asked for last, without the plus sign.
    challenge: bytes = b""


class Dialogue:
    """Send tagged commands and read the answers."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        #: How many bytes may be sent as counted ones without waiting to be asked for them (RFC 7888).
        self.unasked = 0
        self._number = 0
        self._pending: set[bytes] = set()

    def start(self, command: bytes) -> bytes:
        """Send a command without waiting and return its tag."""
        self._number += 1
        tag = b"E%d" % self._number
        self.connection.send(tag + b" " + command + b"\r\n")
        self.connection.note_client(f"{tag.decode()} {command.decode('utf-8', 'replace')}")
        self._pending.add(tag)
        return tag

    def finish(self, tag: bytes) -> None:
        """Note that the answer to a command has come."""
        self._pending.discard(tag)

    def is_pending(self, tag: bytes) -> bool:
        """Return whether the answer to a command is still to come."""
        return tag in self._pending

    @property
    def is_waiting(self) -> bool:
        """Return whether any answer is still to come."""
        return bool(self._pending)

    def wait(self, tag: bytes, *, only: re.Pattern[bytes]) -> Answer:
        """Read the answer to a started command, keeping only the untagged lines that match."""
        answer = Answer()
        self._read_answer(tag, answer, only=only)
        self.finish(tag)
        return answer

    def settle(self) -> None:
        """Read and forget the answers to commands that their caller gave up on."""
        for _ in range(PATIENCE):
            if not self._pending:
                return
            line = self.read_line()
            tag = line.partition(b" ")[0]
            while (found := literal_behind(line)) is not None:
                self.skip_literal(int(found.group(1)))
                line = self.read_line()
            self.finish(tag)
        raise self.connection.broken("The server does not end its answer.")

    def run(self, *arguments: bytes | Literal, line_limit: int = LINE_LIMIT, hide: bool = False) -> Answer:
        """Send a command, wait for its end and return the answer, whatever it says."""
        self.settle()
        self._number += 1
        tag = b"E%d" % self._number
        answer = Answer()
        line = tag
        for argument in arguments:
            if isinstance(argument, Literal) and len(argument.content) <= self.unasked:
                line += b" {%d+}\r\n" % len(argument.content) + argument.content
            elif isinstance(argument, Literal):
                self._send(line + b" {%d}\r\n" % len(argument.content), hide=hide)
                if not self._read_answer(tag, answer, line_limit=line_limit, wait_for_continuation=True):
                    return answer
                line = argument.content
            else:
                line += b" " + argument
        self._send(line + b"\r\n", hide=hide)
        self._read_answer(tag, answer, line_limit=line_limit)
        return answer

    def authenticate(self, mechanism: Mechanism, *, initial: bool) -> Answer:
        """Run a SASL exchange (RFC 9051, section 6.2.2; RFC 4959 for the initial response)."""
        self.settle()
        self._number += 1
        tag = b"E%d" % self._number
        answer = Answer()
        command = tag + b" AUTHENTICATE " + mechanism.name.encode()
        waiting = mechanism.first
        if initial and waiting is not None:
            self._send(command + b" " + base64.b64encode(waiting) + b"\r\n", hide=True)
            waiting = None
        else:
            self._send(command + b"\r\n")
        for _ in range(ROUNDS):
            if not self._read_answer(tag, answer, wait_for_continuation=True):
                return answer
            if waiting is None:
                waiting = mechanism.respond(decoded(answer.challenge))
            self._send(base64.b64encode(waiting) + b"\r\n", hide=True)
            waiting = None
        raise self.connection.broken("The server does not end the sign-in.")

    def checked(self, *arguments: bytes | Literal, line_limit: int = LINE_LIMIT) -> Answer:
        """Send a command and raise unless the server says OK."""
        answer = self.run(*arguments, line_limit=line_limit)
        if answer.status != b"OK":
            raise self.refusal(answer)
        return answer

    def refusal(self, answer: Answer) -> MailError:
        """Translate a NO or BAD."""
        return self.refusal_of(answer.status, answer.text)

    def refusal_of(self, status: bytes, text: bytes) -> MailError:
        """Translate a NO or BAD given by its parts."""
        return imap_failure(self.connection.clean(status + b" " + text))

    def read_line(self, limit: int = LINE_LIMIT) -> bytes:
        """Return the next line, and raise when the server said goodbye or closed."""
        line = self.connection.read_line(limit)
        if not line.endswith(b"\n"):
            raise ConnectionLost("The server closed the connection.")
        if line[:6].upper() == b"* BYE ":
            self.connection.note_server(line)
            reply = self.connection.clean(line[2:])
            self.connection.close()
            raise imap_bye(reply)
        return line

    def skip_literal(self, size: int) -> None:
        """Read counted bytes and forget them."""
        if size > SKIP_LIMIT:
            raise self.connection.broken(f"The server announced {size} bytes that nobody asked for.")
        self.connection.read_pieces(size, _forget)

    def _keep_literals(self, line: bytes, keep: Callable[[bytes], None]) -> None:
        """Read the rest of an answer whose first line is known."""
        room = ANSWER_LIMIT
        while (found := literal_behind(line)) is not None:
            size = int(found.group(1))
            room -= size + len(line)
            if size > LITERAL_LIMIT or room < 0:
                raise self.connection.broken(f"The server sent {size} bytes where a short answer belongs.")
            content = self.connection.read(size)
            line = self.read_line()
            keep(content + line)

    def _send(self, data: bytes, *, hide: bool = False) -> None:
        self.connection.send(data)
        # Of what follows a counted argument, or answers a question, nothing is shown.
        is_command = data.startswith(b"E%d " % self._number)
        words = 0 if not is_command else 3 if b" AUTHENTICATE " in data else 2
        shown = data.split(b" ")[:words] if hide else [data]
        self.connection.note_client(b" ".join(shown).decode("utf-8", "replace") + (" •••" if hide else ""))

    def _read_answer(
        self,
        tag: bytes,
        answer: Answer,
        *,
        line_limit: int = LINE_LIMIT,
        wait_for_continuation: bool = False,
        only: re.Pattern[bytes] | None = None,
    ) -> bool:
        """Read until the tagged end; return whether the server asked to go on instead."""
        start = tag + b" "
        kept = 0
        for _ in range(PATIENCE):
            line = self.read_line(line_limit)
            if line.startswith(b"* "):
                parts = [line]
                self._keep_literals(line, parts.append)
                whole = b"".join(parts)
                kept += len(whole)
                if kept > ANSWER_LIMIT:
                    break
                if only is None:
                    self.connection.note_server(whole)
                    answer.untagged.append(whole[2:].rstrip(b"\r\n"))
                elif only.match(whole):
                    answer.untagged.append(whole)
            elif line.startswith(start):
                self.connection.note_server(line)
                status, _, text = line[len(start) :].rstrip(b"\r\n").partition(b" ")
                answer.status, answer.text = status.upper(), text
                return False
            elif line.startswith(b"+") and wait_for_continuation:
                # Not the question itself: during a sign-in it may repeat what we said.
                self.connection.note_server(b"+")
                answer.challenge = line[1:].strip()
                return True
            else:
                raise self._not_imap(line)
        raise self.connection.broken("The server does not end its answer.")

    def _not_imap(self, line: bytes) -> ProtocolViolation:
        self.connection.close()
        return ProtocolViolation("The server's answer is not IMAP.", server_reply=self.connection.clean(line))


def literal_behind(line: bytes) -> re.Match[bytes] | None:
    """Return the announcement of counted bytes at the end of a line, with their number as its group."""
    found = LITERAL.search(line)
    return None if found is None or STATUS.match(line) else found


def _forget(piece: memoryview) -> None:
    """Take bytes that nobody wants."""


def quoted(text: str) -> bytes | Literal:
    """Return a string argument, counted when it cannot be quoted (RFC 9051, section 4.3)."""
    if text.isascii() and text.isprintable():
        return b'"' + text.replace("\\", "\\\\").replace('"', '\\"').encode() + b'"'
    return Literal(text.encode())


def uid_sets(uids: Iterable[int], *, limit: int = SET_LIMIT) -> Iterator[tuple[bytes, list[int]]]:
    """Write sorted UIDs as sets such as 1:5,8, cut so that no command line grows too long (RFC 7162, 4)."""
    text, members = "", list[int]()
    for low, high in _runs(sorted(set(uids))):
        piece = str(low) if low == high else f"{low}:{high}"
        if text and len(text) + len(piece) >= limit:
            yield text.encode(), members
            text, members = "", []
        text += f",{piece}" if text else piece
        members.extend(range(low, high + 1))
    if text:
        yield text.encode(), members


def _runs(uids: list[int]) -> Iterator[tuple[int, int]]:
    start = 0
    for position, uid in enumerate(uids):
        if position + 1 == len(uids) or uids[position + 1] != uid + 1:
            yield uids[start], uid
            start = position + 1
