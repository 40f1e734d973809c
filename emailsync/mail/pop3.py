"""Read a mailbox over POP3 (RFC 1939), with its extensions (RFC 2449), STLS (RFC 2595) and AUTH (RFC 5034).

Messages have numbers for one conversation only. Their lasting names are what UIDL tells. A server may know no
UIDL, tell names that are too long, or give several messages one name; those names are made here: no two
messages of a conversation ever share one, so that none can hide another.

Whatever was marked by DELE is removed when the server has heard QUIT, and some servers then also remove
what was only read (RFC 2449, section 6.7, EXPIRE 0). So once a message was fetched, QUIT is said only by
`delete` and by `finish`, when all is stored; otherwise the connection just ends, and nothing is removed.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import chain

from emailsync.mail.auth import BearerToken, Credential, Password, find, missing
from emailsync.mail.closing import Closing, closed_on_failure
from emailsync.mail.connection import Connection, connect
from emailsync.mail.endpoint import Endpoint, Security
from emailsync.mail.errors import (
    CommandRefused,
    EncryptionRequired,
    MailError,
    MessageUnreadable,
    ProtocolViolation,
    ServerBusy,
    StartTlsMissing,
)
from emailsync.mail.headers import parse_date
from emailsync.mail.incoming import (
    LONGEST_HEADER,
    MADE_UP,
    PIECE,
    FetchedMessage,
    FolderStatus,
    RawBody,
    RemoteMessage,
)
from emailsync.mail.pop3_dialogue import WINDOW, Pop3Dialogue, Reply
from emailsync.mail.replies import pop3_login_failure, token_failure
from emailsync.mail.translating import translated
from emailsync.mail.wire import Wire

FAREWELL = 2.0
CAPABILITIES_LIMIT = 64 * 1024

TWO_NUMBERS = re.compile(rb"(\d{1,10}) +(\d{1,18})\b")
NUMBER_AND_NAME = re.compile(rb"(\d{1,10}) +(\S.*?) *")
#: RFC 1939, section 7.
ORDINARY_NAME = re.compile(rb"[!-~]{1,70}")
END_OF_HEADER = re.compile(rb"\r?\n\r?\n")
RECEIVED = re.compile(rb"^Received:([^\r\n]*(?:\r?\n[ \t][^\r\n]*)*)", re.IGNORECASE | re.MULTILINE)
DATE = re.compile(rb"^Date:([^\r\n]*(?:\r?\n[ \t][^\r\n]*)*)", re.IGNORECASE | re.MULTILINE)


class Pop3Client(Closing):
    """Read one mailbox; see `IncomingClient` for what each method promises."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._dialogue = Pop3Dialogue(connection)
        self._offers: dict[str, str] | None = None
        self._user = ""
        self._count: int | None = None
        self._sizes: dict[int, int] = {}
        self._names: dict[int, str] | None = None
        self._has_fetched = False
        with translated(connection.clean):
            connection.expect_text()
            self._dialogue.waiting = 1
            greeting = self._dialogue.reply()
            self.greeting = connection.clean(greeting.text)
            if not greeting.ok:
                raise self._dialogue.refusal(greeting)

    @property
    def capabilities(self) -> frozenset[str]:
        """Return what the server says it can do; nothing where it knows no CAPA."""
        with translated(self.connection.clean):
            return frozenset(f"{name} {rest}".strip() for name, rest in self._offered().items())

    @property
    def folders(self) -> None:
        """Return nobody: POP3 knows no folders."""

    def _offered(self) -> dict[str, str]:
        if self._offers is None:
            reply = self._dialogue.ask(b"CAPA")
            lines = self._dialogue.lines(limit=CAPABILITIES_LIMIT) if reply.ok else []
            words = (line.decode("ascii", "replace").upper().partition(" ") for line in lines)
            self._offers = {name: rest for name, _, rest in words}
        return self._offers

    def begin_tls(self) -> None:
        """Switch to TLS by STLS and forget everything said before (RFC 2595, section 4)."""
        with translated(self.connection.clean):
            if "STLS" not in self._offered():
                raise StartTlsMissing("The server does not offer STLS, the STARTTLS of POP3.")
            reply = self._dialogue.ask(b"STLS")
            if not reply.ok:
                said = self.connection.clean(reply.text)
                raise StartTlsMissing("The server refused STLS.", server_reply=said)
            self.connection.start_tls()
            self._offers = None

    def sign_in(self, credential: Credential) -> None:
        """Prove who we are: by the best SASL mechanism that is offered, else by USER and PASS."""
        self.connection.hide(credential.secrets())
        self._user = credential.authorization_identity or credential.user_name
        with translated(self.connection.clean):
            offers = self._offered()
            mechanism = find(credential, offers.get("SASL", "").upper().split())
            if mechanism is not None:
                reply = self._dialogue.authenticate(mechanism)
            else:
                reply = self._give_password(credential, offers)
            if reply.ok:
                return
            text = self.connection.clean(reply.text)
            if mechanism is not None and isinstance(credential, BearerToken):
                raise token_failure(mechanism.refusal, text)
            raise pop3_login_failure(text)

    def _give_password(self, credential: Credential, offers: Mapping[str, str]) -> Reply:
        if not isinstance(credential, Password) or credential.authorization_identity:
            raise missing(credential, offers.get("SASL", "").split())
        if "USER" not in offers and offers:
            if not self.connection.is_encrypted:
                raise EncryptionRequired("The server takes no password without encryption.")
            raise missing(credential, offers.get("SASL", "").split())
        reply = self._dialogue.ask(b"USER " + credential.user_name.encode())
        if not reply.ok:
            return reply
        return self._dialogue.ask(b"PASS " + credential.password.encode(), shown="PASS •••")

    def status(self) -> FolderStatus:
        """Ask for the number and size of all messages.

        POP3 has no UIDVALIDITY: names are unique within one maildrop (RFC 1939, section 7), so a number made
        of server and user stands for it.
        """
        with translated(self.connection.clean):
            found = TWO_NUMBERS.match(self._dialogue.checked(b"STAT").text)
            if found is None:
                raise ProtocolViolation("The server does not tell how many messages there are.")
        self._count = int(found.group(1))
        maildrop = hashlib.sha256(f"{self.connection.host}\0{self._user}".encode()).digest()
        return FolderStatus(
            uidvalidity=int.from_bytes(maildrop[:4], "big"),
            uidnext=self._count + 1,
            messages=self._count,
            octets=int(found.group(2)),
        )

    @property
    def uidls(self) -> Mapping[int, str]:
        """Return the lasting names of the messages by their numbers."""
        if self._names is None:
            with translated(self.connection.clean):
                self._names = self._list()
        return self._names

    def _list(self) -> dict[int, str]:
        if self._count is None:
            self.status()
        if not self._count:
            return {}
        if self._offers and "PIPELINING" not in self._offers:
            # Some servers tell it only after the sign-in (RFC 2449, section 4).
            self._offers = None
        told: dict[int, bytes] = {}
        for command, reply in zip(commands := (b"LIST", b"UIDL"), self._each(commands), strict=True):
            if reply.ok and command == b"LIST":
                found = (TWO_NUMBERS.match(line) for line in self._dialogue.lines())
                self._sizes = {int(pair.group(1)): int(pair.group(2)) for pair in found if pair}
            elif reply.ok:
                named = (NUMBER_AND_NAME.fullmatch(line) for line in self._dialogue.lines())
                told = {int(pair.group(1)): pair.group(2) for pair in named if pair}
            elif command == b"LIST":
                raise self._dialogue.refusal(reply)
        if not self._sizes:
            raise ProtocolViolation(f"The server counts {self._count} messages but lists none.")
        # Of what has a name and no size only fetching it can tell more.
        self._sizes = dict.fromkeys(told, 1) | self._sizes
        return self._named(told)

    def _named(self, told: dict[int, bytes]) -> dict[int, str]:
        """Give every message a name that no other has: the server's own, where it is one."""
        times = Counter(told.values())
        names = {number: _fitting(name) for number, name in told.items() if times[name] == 1}
        nameless = [number for number in self._sizes if number not in names]
        given = Counter[str]()
        heads = self._heads(nameless, or_whole=True)
        # What is refused for now has a name for now: it is listed, and so it is accounted for.
        refused = ((number, b"") for number in nameless if number not in names)
        for number, head in chain(heads, refused):
            name = MADE_UP + hashlib.sha256(b"%d\0%s" % (self._sizes[number], head)).hexdigest()[:48]
            given[name] += 1
            names[number] = name if given[name] == 1 else f"{name} {given[name]}"
        return {number: names[number] for number in sorted(names) if number in self._sizes}

    def _heads(self, numbers: Sequence[int], *, or_whole: bool = False) -> Iterator[tuple[int, bytes]]:
        """Yield the headers of messages, if need be by fetching them whole; those refused are left out."""
        refused: list[int] = []
        for number, reply in zip(numbers, self._each([b"TOP %d 0" % each for each in numbers]), strict=True):
            if reply.ok:
                yield number, _head(self._dialogue.body())
            else:
                refused.append(number)
        if not or_whole:
            return
        self._has_fetched |= bool(refused)
        for number, reply in zip(refused, self._each([b"RETR %d" % each for each in refused]), strict=True):
            if reply.ok:
                yield number, _head(self._dialogue.body())

    def _each(self, commands: Sequence[bytes]) -> Iterator[Reply]:
        return self._dialogue.each(commands, window=WINDOW if "PIPELINING" in self._offered() else 1)

    def ids_after(self, uid: int) -> list[int]:
        """List the numbers above this one, sorted."""
        return [number for number in self.uidls if number > uid]

    def describe(self, uids: Sequence[int], *, dates: bool = True) -> list[RemoteMessage]:
        """Tell sizes, and the dates from the headers; without one a message came now.

        So that no start date excludes it. The header of a large message is always worth asking for.
        """
        names, now = self.uidls, datetime.now(UTC)
        known = [number for number in uids if number in names]
        dated = known if dates else [number for number in known if self._sizes[number] > PIECE]
        with translated(self.connection.clean):
            received = {number: received_at(head, now=now) for number, head in self._heads(dated)}
        return [
            RemoteMessage(number, self._sizes[number], received.get(number, now), names[number])
            for number in known
        ]

    def fetch(self, messages: Sequence[RemoteMessage]) -> Iterator[FetchedMessage]:
        """Yield the messages, the next ones already on their way.

        Those that the server refuses are named by MessageUnreadable, raised after all others were yielded.
        """
        withheld: list[int] = []
        refusal = ""
        commands = [b"RETR %d" % message.uid for message in messages]
        with translated(self.connection.clean):
            self._has_fetched |= bool(commands)
            for message, reply in zip(messages, self._each(commands), strict=True):
                body = self._dialogue.body() if reply.ok else None
                if body is not None and (body.size or not message.size):
                    yield _fetched(message, body)
                    continue
                if body is not None:
                    # Nothing, where the server's list says that there is something, is no message.
                    withheld.append(message.uid)
                    continue
                problem = self._dialogue.refusal(reply)
                if isinstance(problem, ServerBusy):
                    raise problem
                withheld.append(message.uid)
                refusal = problem.server_reply
        if withheld:
            raise MessageUnreadable(
                uids=withheld,
                server_reply=refusal,
            )

    def fetch_headers(self, messages: Sequence[RemoteMessage]) -> Iterator[FetchedMessage]:
        """Yield the headers of messages, and nothing of their bodies; what is not handed out is left out."""
        by_number = {message.uid: message for message in messages}
        with translated(self.connection.clean):
            for number, head in self._heads(list(by_number)):
                yield _fetched(by_number[number], RawBody(head))

    def delete(self, uids: Sequence[int]) -> None:
        """Remove messages from the server for good, which ends the conversation.

        Raises CommandRefused when the server did not remove all of them; it may have removed some.
        """
        with translated(self.connection.clean):
            replies = list(self._each([b"DELE %d" % number for number in uids]))
            replies.append(self._dialogue.ask(b"QUIT"))
        self.connection.close()
        refused = next((reply for reply in replies if not reply.ok), None)
        if refused is not None:
            raise CommandRefused(
                "The server did not remove a message.", server_reply=self.connection.clean(refused.text)
            )

    def finish(self) -> None:
        """Say goodbye, unless answers are still on their way, and close."""
        if not self.connection.closed and not self._dialogue.waiting:
            with suppress(MailError, OSError):
                self.connection.wait_at_most(FAREWELL)
                self._dialogue.ask(b"QUIT")
        self.connection.close()

    def close(self) -> None:
        """End the conversation; see above why not always by saying so."""
        if self._has_fetched:
            self.connection.close()
        self.finish()


def open_pop3(endpoint: Endpoint, credential: Credential, wire: Wire) -> Pop3Client:
    """Connect, secure the connection and sign in."""
    connection = connect(endpoint, wire)
    with closed_on_failure(connection):
        client = greet(connection, endpoint)
        client.sign_in(credential)
    return client


def greet(connection: Connection, endpoint: Endpoint) -> Pop3Client:
    """Secure a new connection as the endpoint says and hear the greeting."""
    if endpoint.security is Security.TLS:
        connection.start_tls()
    client = Pop3Client(connection)
    if endpoint.security is Security.STARTTLS:
        client.begin_tls()
    return client


def received_at(head: bytes, *, now: datetime) -> datetime:
    """Say when a message came, by its topmost Received field, else by its date; never later than `now`.

    Whoever delivered the message wrote that field (RFC 5321, section 4.4). Without any date it came now.
    """
    end = END_OF_HEADER.search(head, 0, LONGEST_HEADER)
    until = end.start() if end else LONGEST_HEADER
    for pattern, mark in ((RECEIVED, b";"), (DATE, b"")):
        if (found := pattern.search(head, 0, until)) is not None:
            text = found.group(1).rpartition(mark)[2] if mark else found.group(1)
            date = parse_date(b" ".join(text.split()).decode("ascii", "replace"))
            if date is not None:
                return min(date, now)
    return now


def _fetched(message: RemoteMessage, body: RawBody) -> FetchedMessage:
    head = body.content if body.content is not None else body.open().read(LONGEST_HEADER)
    received = received_at(head, now=datetime.now(UTC))
    return FetchedMessage(message.uid, received, body.size, body, message.uidl)


def _head(body: RawBody) -> bytes:
    """Return the header of what a server sent, which may be all of a message, and give its file back."""
    with body.open() as stream:
        content = stream.read(LONGEST_HEADER)
    end = END_OF_HEADER.search(content)
    return content[: end.end()] if end else content


def _fitting(name: bytes) -> str:
    """Return a name as the ledger can hold it: one that is too long or strange by its digest."""
    if ORDINARY_NAME.fullmatch(name):
        return name.decode("ascii")
    return f"sha256 {hashlib.sha256(name).hexdigest()[:56]}"
