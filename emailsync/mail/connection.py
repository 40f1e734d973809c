"""One bounded connection: a checked address, one receive buffer, a timeout on every call.

Both libraries read through this buffer instead of their own, so that bodies can be taken in large
pieces, that no line or literal grows without bound, and that bytes which somebody slipped in before
STARTTLS completed are noticed: they would be in the buffer, and then the connection is closed.
"""

import select
import socket
import ssl
import time
from collections.abc import Callable

from emailsync.mail import certificates
from emailsync.mail.endpoint import Endpoint, ResolvedAddress, resolve
from emailsync.mail.errors import (
    CertificateNotPinned,
    ConnectionLost,
    GreetingStrange,
    MailError,
    ProtocolViolation,
    TlsExpected,
    Unreachable,
)
from emailsync.mail.translating import translated
from emailsync.mail.vocabulary import stranger
from emailsync.mail.wire import Wire, redact, tls_context
from emailsync.mail.words import gettext_noop

BUFFER = 256 * 1024
LINE_LIMIT = 64 * 1024
TLS_ALERT = b"\x15\x03"
GREETING_LIMIT = 512
# A host with many dead addresses must not use up the whole run.
TIMEOUT_WITH_MORE_ADDRESSES = 10.0


class Connection:
    """Read and write one socket, within the wire's limits."""

    def __init__(
        self, sock: socket.socket, *, host: str, wire: Wire, address: ResolvedAddress, protocol: str
    ) -> None:
        self.sock = sock
        self.protocol = protocol.upper()
        self.host = host
        self.wire = wire
        self.address = address
        self.received = 0
        self.sent = 0
        self.closed = False
        self._patience = wire.timeout
        self._allowed = 0.0
        #: Until then (`time.monotonic`) the next calls may take as long as the last one.
        self._unchanged_until = 0.0
        self._secrets: tuple[str, ...] = ()
        self._buffer = bytearray(BUFFER)
        self._view = memoryview(self._buffer)
        self._start = 0
        self._end = 0
        self._receive_into: Callable[[memoryview], int] = sock.recv_into

    def hide(self, secrets: tuple[str, ...]) -> None:
        """Take these out of every reply and transcript from now on."""
        self._secrets = (*self._secrets, *secrets)
        if self.wire.transcript is not None:
            self.wire.transcript.hide(secrets)

    def clean(self, reply: bytes | str) -> str:
        """Turn what the server said into text that may be shown."""
        text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
        if not text.isprintable():
            text = "".join(mark if mark.isprintable() else " " for mark in text)
        return redact(text, self._secrets).strip()

    def note_client(self, line: str) -> None:
        """Record a line of ours."""
        if self.wire.transcript is not None:
            self.wire.transcript.client(line)

    def note_server(self, line: bytes) -> None:
        """Record a line of the server."""
        if self.wire.transcript is not None:
            self.wire.transcript.server(line.decode("utf-8", "replace"))

    def wait_at_most(self, seconds: float, *, longer: bool = False) -> None:
        """Set the time that each further call may take; it may grow only when that is asked for."""
        self._patience = seconds if longer else min(self._patience, seconds)
        self._unchanged_until = 0.0
        self._allow(self._patience)

    @property
    def is_encrypted(self) -> bool:
        """Return whether TLS is in use."""
        return isinstance(self.sock, ssl.SSLSocket)

    @property
    def buffered(self) -> int:
        """Return how many received bytes wait to be read."""
        return self._end - self._start

    def has_more(self, *, within: float) -> bool:
        """Return whether received bytes wait to be read, or come within so many seconds."""
        if self.buffered or (isinstance(self.sock, ssl.SSLSocket) and self.sock.pending()):
            return True
        if self.closed:
            return False
        # Not select(), which takes no more than 1,024 open files.
        waiting = select.poll()
        waiting.register(self.sock, select.POLLIN)
        return bool(waiting.poll(within * 1000))

    def send(self, data: bytes | memoryview) -> None:
        """Send all of it; `sent` tells how much the network has taken when that fails."""
        self._limit_wait()
        rest = memoryview(data)
        try:
            while rest:
                count = self.sock.send(rest)
                self.sent += count
                rest = rest[count:]
        except TimeoutError:
            self._blame_deadline()
            raise

    def expect_text(self) -> None:
        """Wait for the first line and raise when it is no greeting of the protocol that was expected.

        It may be TLS's (RFC 8446, section 5.1), or another server's whose port was taken by mistake.
        """
        while not (self._buffer.startswith(TLS_ALERT) or b"\n" in self._buffer[: self._end]):
            if self.buffered >= GREETING_LIMIT or not self._receive_more():
                break
        if self._buffer.startswith(TLS_ALERT):
            raise TlsExpected(f"The server expects TLS from the first byte on port {self.address.port}.")
        line = bytes(self._view[: min(self._end, GREETING_LIMIT)])
        name = stranger(line)
        if name == self.protocol or not line:
            return
        self.close()
        port, expected = self.address.port, self.protocol
        raise GreetingStrange(
            f"A server for {name} answers on port {port}, where one for {expected} was expected."
            if name
            else f"What the server says first on port {port} is no greeting of {expected}.",
            server_reply=self.clean(line.partition(b"\n")[0]),
            permanent=bool(name),
        )

    def read_line(self, limit: int = LINE_LIMIT) -> bytes:
        """Return the next line with its end; an empty one means that the server closed."""
        searched = self._start
        while True:
            found = self._buffer.find(b"\n", searched, self._end)
            if found >= 0:
                line = bytes(self._view[self._start : found + 1])
                self._start = found + 1
                if len(line) > limit:
                    raise self.broken(f"The server sent a line of more than {limit} bytes.")
                return line
            have = self.buffered
            if have > limit:
                raise self.broken(f"The server sent a line of more than {limit} bytes.")
            if not self._receive_more():
                line = bytes(self._view[self._start : self._end])
                self._start = self._end
                return line
            searched = self._start + have

    def read(self, size: int) -> bytes:
        """Return exactly so many bytes."""
        if size <= len(self._buffer):
            while self._end - self._start < size:
                self._receive_or_lose()
            start = self._start
            self._start = start + size
            return bytes(self._view[start : start + size])
        have = self.buffered
        whole = bytearray(size)
        whole[:have] = self._view[self._start : self._end]
        self._start = self._end = 0
        rest = memoryview(whole)[have:]
        while rest:
            count = self._receive(rest)
            if not count:
                raise ConnectionLost("The server closed the connection in the middle of a message.")
            rest = rest[count:]
        return bytes(whole)

    def read_some(self, target: memoryview) -> int:
        """Read what has come into `target` and return how many bytes; 0 means that the server closed."""
        if not self.buffered and not self._receive_more():
            return 0
        piece = min(len(target), self.buffered)
        target[:piece] = self._view[self._start : self._start + piece]
        self._start += piece
        return piece

    def read_pieces(self, size: int, write: Callable[[memoryview], None]) -> None:
        """Hand so many bytes to a writer, as they come."""
        while size:
            if not self.buffered:
                self._receive_or_lose()
            piece = min(size, self.buffered)
            write(self._view[self._start : self._start + piece])
            self._start += piece
            size -= piece

    def read_until(self, mark: bytes, write: Callable[[memoryview], None], *, again: int = 0) -> None:
        """Hand what comes before a mark to a writer, as it comes, and take the mark itself away.

        The last `again` bytes of the line that was just read are looked at once more.
        """
        self._start -= again
        while True:
            found = self._buffer.find(mark, self._start, self._end)
            # Without the mark, an end that may be its beginning waits.
            until = found if found >= 0 else max(self._start, self._end - len(mark) + 1)
            write(self._view[self._start : until])
            self._start = until
            if found >= 0:
                self._start += len(mark)
                return
            self._receive_or_lose()

    def start_tls(self) -> None:
        """Begin TLS and verify the certificate: by its pin, or against the host's name (RFC 9525)."""
        if self.buffered:
            self.close()
            raise ProtocolViolation(
                "The server sent bytes before the encryption began; they are not trusted."
            )
        self._limit_wait()
        context = tls_context(self.wire.ca_certificates, is_pinned=bool(self.wire.pins))
        with translated(self.clean):
            sock = context.wrap_socket(self.sock, server_hostname=self.host)
            self._use(sock)
        try:
            self._check_agreement(sock)
        except MailError:
            self.close()
            raise

    def _check_agreement(self, sock: ssl.SSLSocket) -> None:
        if self.wire.pins:
            certificate = sock.getpeercert(binary_form=True) or b""
            if not certificates.is_pinned(certificate, self.wire.pins):
                raise CertificateNotPinned(
                    gettext_noop("The server shows another certificate than the pinned one."),
                    server_reply=certificates.describe(certificate),
                )

    def _use(self, sock: ssl.SSLSocket) -> None:
        self.sock = sock
        self._allowed = self._unchanged_until = 0.0
        self._receive_into = sock.recv_into

    def describe_tls(self) -> str:
        """Say in words which encryption was agreed upon."""
        if not isinstance(self.sock, ssl.SSLSocket):
            return "No encryption"
        cipher = self.sock.cipher()
        day = certificates.expiry(self.sock.getpeercert(binary_form=True) or b"").date()
        version = (self.sock.version() or "TLS").replace("TLSv", "TLS ")
        trust = "pinned certificate" if self.wire.pins else "certificate"
        suite = cipher[0] if cipher else "unknown cipher"
        return f"{version}, {suite}, {trust} for {self.host} valid until {day.isoformat()}"

    def broken(self, sentence: str) -> ProtocolViolation:
        """Close the connection, because what comes next cannot be understood."""
        self.close()
        return ProtocolViolation(sentence)

    def close(self) -> None:
        """Close the socket at once."""
        if not self.closed:
            self.closed = True
            self._unchanged_until = 0.0
            self.sock.close()

    def _receive_or_lose(self) -> None:
        if not self._receive_more():
            raise ConnectionLost("The server closed the connection in the middle of a message.")

    def _receive_more(self) -> int:
        if self._start == self._end:
            self._start = self._end = 0
        elif self._end == len(self._buffer):
            self._make_room()
        count = self._receive(self._view[self._end :])
        self._end += count
        return count

    def _receive(self, target: memoryview) -> int:
        # Small pieces come by the thousand.
        if time.monotonic() >= self._unchanged_until:
            self._limit_wait()
        try:
            count = self._receive_into(target)
        except TimeoutError:
            self._blame_deadline()
            raise
        self.received += count
        return count

    def _blame_deadline(self) -> None:
        """Tell a server that is slow from a run whose time is over."""
        if self.wire.deadline is not None:
            self.wire.deadline.check()

    def _make_room(self) -> None:
        waiting = self.buffered
        if self._start == 0:
            # Only a line may be longer than the buffer, and its own limit stops it.
            larger = bytearray(2 * len(self._buffer))
            larger[:waiting] = self._view
            self._view.release()
            self._buffer, self._view = larger, memoryview(larger)
        else:
            self._view[:waiting] = bytes(self._view[self._start : self._end])
        self._start, self._end = 0, waiting

    def _limit_wait(self) -> None:
        if self.closed:
            raise ConnectionLost("The connection is closed.")
        deadline = self.wire.deadline
        if deadline is not None:
            remaining = deadline.remaining()
            if not remaining:
                deadline.check()
            self._allow(min(self._patience, remaining))
            self._unchanged_until = deadline.until_left(self._patience)

    def _allow(self, seconds: float) -> None:
        """Set how long the next call may take; setting it anew costs as much as a small read."""
        if seconds != self._allowed:
            self._allowed = seconds
            self.sock.settimeout(seconds)


def connect(endpoint: Endpoint, wire: Wire) -> Connection:
    """Resolve, check and connect."""
    addresses = resolve(endpoint, wire.policy, deadline=wire.deadline, look_up=wire.look_up)
    return connect_to(addresses, endpoint, wire)


def connect_to(addresses: tuple[ResolvedAddress, ...], endpoint: Endpoint, wire: Wire) -> Connection:
    """Connect to the first of the checked addresses that answers."""
    problem: MailError = Unreachable(f"{endpoint.host} has no address.")
    for position, address in enumerate(addresses):
        timeout = wire.timeout
        if position + 1 < len(addresses):
            timeout = min(timeout, TIMEOUT_WITH_MORE_ADDRESSES)
        if wire.deadline is not None:
            wire.deadline.check()
            timeout = min(timeout, max(wire.deadline.remaining(), 0.001))
        try:
            with translated(str):
                sock = socket.create_connection((str(address.ip), address.port), timeout)
        except MailError as failure:
            problem = type(failure)(f"{endpoint} ({address.ip}): {failure}")
            continue
        sock.settimeout(wire.timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Connection(sock, host=endpoint.host, wire=wire, address=address, protocol=endpoint.protocol)
    raise problem
