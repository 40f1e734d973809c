"""Commands and answers of POP3 on one bounded connection (RFC 1939 and 2449).

An answer is a line that begins with +OK or -ERR. After some commands lines follow it, the last one a dot
alone, with every dot at the beginning of a line doubled. They are taken as bytes, in pieces as large as they
come. Only what ended the line of the answer (CRLF) ends a line: a message that holds a dot between two bare
line feeds would otherwise end itself, and what follows in it would be taken for the server's own words.
"""

import base64
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from emailsync.mail.auth import ROUNDS, Mechanism, decoded
from emailsync.mail.closing import closed_on_failure
from emailsync.mail.connection import Connection
from emailsync.mail.errors import ConnectionLost, MailError, ProtocolViolation
from emailsync.mail.incoming import LARGEST_MESSAGE, PIECE, RawBody, Spool
from emailsync.mail.replies import pop3_failure

REPLY_LINE = 8 * 1024
#: RFC 5034, section 4: a command with an initial response has at most 255 octets.
AUTH_LINE = 250
#: Lines are kept as such, which takes several times their length: as many as 300,000 long names fill it.
LISTING_LIMIT = 32 * 1024 * 1024
#: Commands on their way at once, where the server takes more than one.
WINDOW = 64


class Reply(NamedTuple):
    """Hold the line of an answer: its words, and whether it was +OK or asked to go on with a sign-in."""

    ok: bool
    text: bytes
    goes_on: bool = False


class Pop3Dialogue:
    """Give commands, several at once where that is allowed, and read the answers in their order."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        #: Answers that are still to come.
        self.waiting = 0
        self._line_end = b"\r\n"

    def ask(self, command: bytes, *, shown: str = "") -> Reply:
        """Give a command and return the answer; `shown` stands for it in the transcript."""
        if self.waiting:
            raise self.connection.broken("The answers to earlier commands were not read to their end.")
        self._say([command], shown=shown)
        return self.reply()

    def checked(self, command: bytes) -> Reply:
        """Give a command and raise unless the server says +OK."""
        reply = self.ask(command)
        if not reply.ok:
            raise self.refusal(reply)
        return reply

    def each(self, commands: Iterable[bytes], *, window: int) -> Iterator[Reply]:
        """Yield the answer to each command, up to `window` of them being on their way.

        Whoever takes an answer reads the lines that follow it before taking the next.
        """
        rest = iter(commands)
        while True:
            if self.waiting <= window // 2:
                self._say(list(islice(rest, window - self.waiting)))
            if not self.waiting:
                return
            yield self.reply()

    def authenticate(self, mechanism: Mechanism) -> Reply:
        """Run a SASL exchange (RFC 5034, section 4).

        What is said first, unless the server begins, travels in the command where the line has room.
        """
        command = b"AUTH " + mechanism.name.encode()
        waiting = mechanism.first
        message = b"" if waiting is None else base64.b64encode(waiting)
        if message and len(command) + len(message) < AUTH_LINE:
            reply = self.ask(command + b" " + message, shown=f"AUTH {mechanism.name} •••")
            waiting = None
        else:
            reply = self.ask(command)
        for _ in range(ROUNDS):
            if not reply.goes_on:
                return reply
            answer = mechanism.respond(decoded(reply.text)) if waiting is None else waiting
            waiting = None
            self._say([base64.b64encode(answer)], shown="•••")
            reply = self.reply()
        raise self.connection.broken("The server does not end the sign-in.")

    def reply(self) -> Reply:
        """Read the line of the next answer."""
        line = self.connection.read_line(REPLY_LINE)
        if not line.endswith(b"\n"):
            raise ConnectionLost("The server closed the connection.")
        self.connection.note_server(line)
        self.waiting -= 1
        self._line_end = b"\r\n" if line.endswith(b"\r\n") else b"\n"
        word, _, text = line.rstrip(b"\r\n").partition(b" ")
        if word.upper() not in {b"+OK", b"-ERR", b"+"}:
            self.connection.close()
            raise ProtocolViolation(
                "The server's answer is not POP3.", server_reply=self.connection.clean(line)
            )
        return Reply(word.upper() == b"+OK", text, goes_on=word == b"+")

    def lines(self, *, limit: int = LISTING_LIMIT) -> list[bytes]:
        """Return the lines that follow an answer, without their ends; `limit` is the bytes of all of them."""
        pieces: list[bytes] = []
        size = 0

        def keep(piece: memoryview) -> None:
            nonlocal size
            size += len(piece)
            if size > limit:
                raise self.connection.broken("The server does not end its answer.")
            pieces.append(bytes(piece))

        self._read(keep)
        lines = b"".join(pieces).split(self._line_end)
        return [line[1:] if line.startswith(b"..") else line for line in lines if line]

    def body(self) -> RawBody:
        """Return the message that follows an answer, byte for byte; a large one in a temporary file."""
        collected = Unstuffed(self._line_end)

        def keep(piece: memoryview) -> None:
            if collected.write(piece) > LARGEST_MESSAGE:
                raise self.connection.broken("The server sent a message that does not end.")

        with closed_on_failure(collected):
            self._read(keep)
            return collected.finish()

    def refusal(self, reply: Reply) -> MailError:
        """Translate an -ERR."""
        return pop3_failure(self.connection.clean(reply.text))

    def _read(self, write: Callable[[memoryview], None]) -> None:
        """Hand everything up to the dot to a writer, beginning with the end of the line of the answer."""
        end = self._line_end
        self.connection.read_until(end + b"." + end, write, again=len(end))

    def _say(self, commands: list[bytes], *, shown: str = "") -> None:
        if not commands:
            return
        for command in commands:
            self.connection.note_client(shown or command.decode("utf-8", "replace"))
        self.connection.send(b"".join(command + b"\r\n" for command in commands))
        self.waiting += len(commands)


class Unstuffed:
    """Collect a message with its doubled dots made single again, above one piece in a temporary file.

    What it is given begins with the end of the answer's line, which is not the message's, and lacks the end
    of the message's last line, because that stood before the dot.
    """

    def __init__(self, line_end: bytes) -> None:
        self._line_end = line_end
        self._doubled = line_end + b".."
        self._pieces: list[bytes] = []
        self._waiting = 0
        self._size = 0
        self._spool: Spool | None = None

    def write(self, piece: memoryview) -> int:
        """Add bytes and return how many there are."""
        self._pieces.append(bytes(piece))
        self._waiting += len(piece)
        self._size += len(piece)
        if self._waiting > PIECE:
            self._spill()
        return self._size

    def finish(self) -> RawBody:
        """Turn what was collected into a body."""
        if not self._size:
            return RawBody(b"")
        rest = self._single(b"".join(self._pieces)) + self._line_end
        if self._spool is None:
            return RawBody(rest)
        self._spool.write(rest)
        return self._spool.finish()

    def close(self) -> None:
        """Throw away what was collected."""
        if self._spool is not None:
            self._spool.close()

    def _spill(self) -> None:
        """Write to the file, and hold back an end that may be the beginning of a doubled dot."""
        raw = b"".join(self._pieces)
        held = next((n for n in range(len(self._doubled) - 1, 0, -1) if raw.endswith(self._doubled[:n])), 0)
        done = self._single(raw[: len(raw) - held])
        if self._spool is None:
            self._spool = Spool()
        self._spool.write(done)
        self._pieces, self._waiting = [raw[len(raw) - held :]], held

    def _single(self, raw: bytes) -> bytes:
        single = raw.replace(self._doubled, self._doubled[:-1])
        return single if self._spool is not None else single[len(self._line_end) :]
