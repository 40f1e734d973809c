"""Fetch message bodies as fast as the server sends them, in bounded memory.

Two commands are always on their way: while the answers to one chunk are handed out, the server already
works on the next. A chunk is bounded in messages and in bytes. Messages above one piece are fetched in
pieces into a temporary file. The size a server claims plans the chunks and nothing else: what comes is
measured, because servers estimate.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from emailsync.mail.closing import closed_on_failure
from emailsync.mail.describing import UID
from emailsync.mail.dialogue import LITERAL_LIMIT, PATIENCE, Dialogue, literal_behind, uid_sets
from emailsync.mail.errors import ConnectionLost, MailError, MessageUnreadable, ServerBusy
from emailsync.mail.grouping import grouped
from emailsync.mail.incoming import (
    LARGEST_MESSAGE,
    LONGEST_HEADER,
    PIECE,
    FetchedMessage,
    RawBody,
    RemoteMessage,
    Spool,
)

CHUNK_MESSAGES = 200
CHUNK_BYTES = 8 * 1024 * 1024
IN_FLIGHT = 2
# What came before its turn waits for it, up to so many bytes.
HELD_BYTES = 8 * CHUNK_BYTES

# So many numbers are in one answer at most; they are asked for in windows that hold far fewer.
LONGEST_LIST = 1_000_000
HIGHEST_UID = 2**32 - 1

ESEARCH_ALL = re.compile(rb"\bALL ([\d:,]+)", re.IGNORECASE)
HEADER = b"HEADER"
# By section: what to ask for, what stands before its literal, and the section as a quoted string.
ASKED = {b"": b"BODY.PEEK[]", HEADER: b"BODY.PEEK[HEADER]<0.%d>" % LONGEST_HEADER}
BODY_NAME = {
    b"": re.compile(rb"(?:BODY\[\](?:<(\d{1,12})>)?|RFC822) ?$", re.IGNORECASE),
    HEADER: re.compile(rb"(?:BODY\[HEADER\](?:<(\d{1,12})>)?|RFC822\.HEADER) ?$", re.IGNORECASE),
}
SHORT_BODY = {
    b"": re.compile(rb'[( ](?:BODY\[\](?:<\d{1,12}>)?|RFC822) "((?:[^"\\]|\\.)*)"', re.IGNORECASE),
    HEADER: re.compile(
        rb'[( ](?:BODY\[HEADER\](?:<\d{1,12}>)?|RFC822\.HEADER) "((?:[^"\\]|\\.)*)"', re.IGNORECASE
    ),
}
FETCH = re.compile(rb"\* \d{1,10} FETCH \(", re.IGNORECASE)


@dataclass
class Arrival:
    """Hold one FETCH answer that carried a body."""

    uid: int
    body: RawBody
    #: Where in the message it begins; None when it is all of it.
    origin: int | None


@dataclass
class Progress:
    """Keep the order: servers answer commands on their way in any order, and callers move a cursor."""

    order: deque[RemoteMessage] = field(default_factory=deque)
    waiting: dict[int, RemoteMessage] = field(default_factory=dict)
    arrived: dict[int, RawBody] = field(default_factory=dict)
    missing: list[RemoteMessage] = field(default_factory=list)

    def expect(self, chunk: Sequence[RemoteMessage]) -> None:
        """Note that these were asked for."""
        self.order.extend(chunk)
        self.waiting.update((message.uid, message) for message in chunk)

    def take(self, arrival: Arrival) -> None:
        """Keep a body that was asked for; anything else is thrown away."""
        message = self.waiting.pop(arrival.uid, None)
        if message is None:
            arrival.body.close()
        elif arrival.body.size == 0 and message.size > 0:
            self.missing.append(message)
        else:
            self.arrived[message.uid] = arrival.body

    def end(self, chunk: Sequence[RemoteMessage]) -> None:
        """Note that the answer to a chunk is complete."""
        self.missing.extend(self.waiting.pop(message.uid) for message in chunk if message.uid in self.waiting)

    def give_up(self) -> None:
        """Stop waiting for what is missing."""
        gone = {message.uid for message in self.missing}
        self.order = deque(message for message in self.order if message.uid not in gone)
        self.missing = []

    def ready(self) -> Iterator[FetchedMessage]:
        """Yield what is next in the order, as far as it has arrived."""
        while self.order and self.order[0].uid in self.arrived:
            message = self.order.popleft()
            body = self.arrived.pop(message.uid)
            yield _fetched(message, body)

    @property
    def held(self) -> int:
        """Return the bytes of what came before its turn."""
        return sum(body.size for body in self.arrived.values())

    def close(self) -> None:
        """Give back the files of what nobody will take."""
        for body in self.arrived.values():
            body.close()


class Fetcher:
    """Hand out some messages of the open folder in the order they are asked for: whole, or their headers."""

    def __init__(self, dialogue: Dialogue, *, section: bytes = b"") -> None:
        self._dialogue = dialogue
        self._section = section
        self._connection = dialogue.connection
        self._unreadable: list[int] = []
        self._refusal: MailError | None = None

    def fetch(self, messages: Sequence[RemoteMessage]) -> Iterator[FetchedMessage]:
        """Yield what arrives; what the server lists but withholds is named at the end."""
        run: list[RemoteMessage] = []
        for message in {message.uid: message for message in messages}.values():
            if message.size <= PIECE:
                run.append(message)
                continue
            yield from self._fetch_chunks(run)
            run = []
            yield from self._fetch_large(message)
        yield from self._fetch_chunks(run)
        if self._unreadable:
            raise MessageUnreadable(
                uids=self._unreadable,
                server_reply=self._refusal.server_reply if self._refusal is not None else "",
            )

    def _fetch_chunks(self, messages: Sequence[RemoteMessage]) -> Iterator[FetchedMessage]:
        self._dialogue.settle()
        progress = Progress()
        flying: dict[bytes, list[RemoteMessage]] = {}
        chunks = deque(grouped(messages, most=CHUNK_MESSAGES, octets=CHUNK_BYTES))
        try:
            while chunks or flying or progress.missing:
                if progress.missing and not flying:
                    yield from self._ask_again(progress)
                # What is missing is asked for first, or the order could not be kept.
                while chunks and len(flying) < IN_FLIGHT and not progress.missing:
                    chunk = chunks.popleft()
                    progress.expect(chunk)
                    flying[self._start(chunk)] = chunk
                if not flying:
                    continue
                for arrival in self._arrivals(flying):
                    progress.take(arrival)
                    yield from progress.ready()
                    if progress.arrived and progress.held > HELD_BYTES:
                        raise self._connection.broken("The server sends more than it announced, in disorder.")
                for tag in [tag for tag in flying if not self._dialogue.is_pending(tag)]:
                    progress.end(flying.pop(tag))
        finally:
            progress.close()

    def _ask_again(self, progress: Progress) -> Iterator[FetchedMessage]:
        """Tell vanished messages from withheld ones, and ask for the latter one by one, in their order."""
        listed = still_listed(self._dialogue, [message.uid for message in progress.missing])
        again = [
            message for message in progress.order if message in progress.missing and message.uid in listed
        ]
        progress.missing = [message for message in progress.missing if message.uid not in listed]
        progress.give_up()
        yield from progress.ready()
        for message in again:
            tag = self._start([message])
            progress.waiting[message.uid] = message
            for arrival in self._arrivals({tag: [message]}):
                progress.take(arrival)
            progress.end([message])
            if progress.missing:
                self._unreadable.append(message.uid)
                progress.give_up()
            yield from progress.ready()

    def _start(self, chunk: Sequence[RemoteMessage]) -> bytes:
        (uids, _), *_ = uid_sets((message.uid for message in chunk), limit=2**16)
        return self._dialogue.start(b"UID FETCH " + uids + b" (UID " + ASKED[self._section] + b")")

    def _arrivals(self, flying: dict[bytes, list[RemoteMessage]]) -> Iterator[Arrival]:
        """Yield bodies until one of the commands on their way is answered."""
        ignored = 0
        while ignored < PATIENCE:
            line = self._dialogue.read_line()
            if line.startswith(b"* "):
                arrival = self._read_untagged(line)
                if arrival is not None:
                    yield arrival
                else:
                    ignored += 1
                continue
            tag, _, rest = line.partition(b" ")
            if tag not in flying:
                raise self._connection.broken("The server answered a command that was not given.")
            self._dialogue.finish(tag)
            self._connection.note_server(line)
            if rest[:2].upper() != b"OK":
                self._note_refusal(rest)
            return
        raise self._connection.broken("The server does not end its answer.")

    def _note_refusal(self, rest: bytes) -> None:
        status, _, text = rest.strip().partition(b" ")
        self._refusal = self._dialogue.refusal_of(status, text)
        if b"[SERVERBUG]" in text.upper():
            # It fails at a message, as if it hung up there; it is not busy (RFC 5530, section 3).
            raise ConnectionLost(str(self._refusal), server_reply=self._refusal.server_reply)
        if isinstance(self._refusal, ServerBusy):
            raise self._refusal

    def _read_untagged(self, line: bytes, *, into: Spool | None = None) -> Arrival | None:
        """Read one untagged answer to its end; return it if it is a FETCH with a body."""
        is_fetch = FETCH.match(line) is not None
        body: RawBody | None = None
        origin: int | None = None
        texts = line
        while (found := literal_behind(line)) is not None:
            size = int(found.group(1))
            name = BODY_NAME[self._section].search(line, 0, found.start()) if is_fetch else None
            if name is None:
                self._dialogue.skip_literal(size)
            elif body is not None:
                raise self._told_wrong(body)
            else:
                origin = None if name.group(1) is None else int(name.group(1))
                body = self._read_body(size)
            line = self._dialogue.read_line()
            texts += line
            if len(texts) > LITERAL_LIMIT:
                raise self._connection.broken("The server does not end its answer.")
        if not is_fetch:
            return None
        if body is not None and not line.rstrip().endswith(b")"):
            raise self._told_wrong(body)
        if body is None:
            body = _short_body(SHORT_BODY[self._section], texts)
        uid = UID.search(texts)
        if body is None or uid is None:
            return None
        return Arrival(int(uid.group(1)), body, origin)

    def _told_wrong(self, body: RawBody) -> MailError:
        """Give up on an answer that does not end behind its message, which was not all, or more than that."""
        body.close()
        return self._connection.broken("The server told the length of a message wrong.")

    def _read_body(self, size: int) -> RawBody:
        if size <= PIECE:
            return RawBody(self._connection.read(size))
        if size > LARGEST_MESSAGE:
            raise self._connection.broken(f"The server announced a message of {size} bytes.")
        spool = Spool()
        with closed_on_failure(spool):
            self._connection.read_pieces(size, spool.write)
        return spool.finish()

    def _fetch_large(self, message: RemoteMessage) -> Iterator[FetchedMessage]:
        """Collect a message piece by piece (RFC 9051, section 6.4.5)."""
        self._dialogue.settle()
        spool = Spool()
        with closed_on_failure(spool):
            body = self._collect(message, spool)
        if body is None:
            spool.close()
            self._unreadable.extend(still_listed(self._dialogue, [message.uid]))
        else:
            yield _fetched(message, body)

    def _collect(self, message: RemoteMessage, spool: Spool) -> RawBody | None:
        flying: deque[tuple[bytes, int]] = deque()
        next_offset = 0
        is_short = False
        while True:
            while not flying or (len(flying) < IN_FLIGHT and next_offset <= message.size):
                flying.append((self._start_piece(message.uid, next_offset), next_offset))
                next_offset += PIECE
            tag, offset = flying.popleft()
            piece = self._piece(tag, message.uid, offset)
            if piece is None:
                # Refused, or gone, in the middle: what came so far must not be taken for all of it.
                return spool.finish() if spool.size and (is_short or spool.size >= message.size) else None
            if piece.origin is None and offset == 0 and piece.body.size not in {0, PIECE}:
                # This server does not know partial fetches and sent everything at once.
                spool.close()
                return piece.body
            with piece.body.open() as stream:
                spool.write(stream.read(PIECE))
            is_short = piece.body.size < PIECE
            if is_short and (not piece.body.size or spool.size >= message.size):
                return spool.finish() if spool.size else None
            if is_short:
                # The end, unless this server sends less at a time than it is asked for: what follows tells.
                self._dialogue.settle()
                flying.clear()
                next_offset = spool.size
            if spool.size > LARGEST_MESSAGE:
                raise self._connection.broken(f"The message does not end after {spool.size} bytes.")

    def _start_piece(self, uid: int, offset: int) -> bytes:
        return self._dialogue.start(b"UID FETCH %d (UID BODY.PEEK[]<%d.%d>)" % (uid, offset, PIECE))

    def _piece(self, tag: bytes, uid: int, offset: int) -> Arrival | None:
        """Return the piece that answers this command, or None when the server sends no more."""
        found: Arrival | None = None
        for arrival in self._arrivals({tag: []}):
            if arrival.uid == uid and arrival.origin in {None, offset} and found is None:
                found = arrival
            else:
                arrival.body.close()
        return found


def _fetched(message: RemoteMessage, body: RawBody) -> FetchedMessage:
    return FetchedMessage(message.uid, message.received_at, body.size, body, claimed=message.size)


def still_listed(dialogue: Dialogue, uids: Iterable[int]) -> set[int]:
    """Ask which of these messages the server still has."""
    listed: set[int] = set()
    for uid_set, _ in uid_sets(uids):
        listed.update(search_result(dialogue.checked(b"UID SEARCH UID " + uid_set).untagged))
    return listed


def search_result(untagged: Sequence[bytes]) -> list[int]:
    """Read the numbers of SEARCH and ESEARCH answers (RFC 9051, sections 7.3.4 and 7.2.8).

    Raises ValueError for numbers that no message can have, and for more of them than anybody asks for.
    """
    found: list[int] = []
    for line in untagged:
        kind, _, rest = line.partition(b" ")
        if kind.upper() == b"SEARCH":
            found.extend(int(word) for word in rest.split() if word.isdigit())
        elif kind.upper() == b"ESEARCH" and (sets := ESEARCH_ALL.search(rest)) is not None:
            for low, high in _ranges(sets.group(1)):
                if high - low > LONGEST_LIST - len(found):
                    raise ValueError("a range of impossible length")
                found.extend(range(low, high + 1))
        if len(found) > LONGEST_LIST:
            raise ValueError("a list of impossible length")
    if max(found, default=0) > HIGHEST_UID:
        raise ValueError("a number that no message can have")
    return found


def _ranges(text: bytes) -> Iterator[list[int]]:
    for piece in text.split(b","):
        first, colon, last = piece.partition(b":")
        yield sorted((int(first), int(last if colon else first)))


def _short_body(pattern: re.Pattern[bytes], texts: bytes) -> RawBody | None:
    found = pattern.search(texts)
    return None if found is None else RawBody(re.sub(rb"\\(.)", rb"\1", found.group(1)))
