"""Make IMAPClient speak on a connection of ours: bounded, recorded, with TLS begun by our own rules."""

import imaplib
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from imapclient import IMAPClient

from emailsync.mail.connection import Connection
from emailsync.mail.errors import ProtocolViolation, StartTlsMissing

LITERAL_LIMIT = 1024 * 1024
ANSWER_LIMIT = 8 * 1024 * 1024


class Imap4(imaplib.IMAP4):
    """Make imaplib read through our connection, with bounds it does not have itself."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._answer_begins = 0
        super().__init__(connection.host, connection.address.port)

    def _get_capabilities(self) -> None:
        """Take the capabilities that came with the greeting, or ask for them."""
        told = self.untagged_responses.get("CAPABILITY")
        if told and isinstance(told[-1], bytes):
            self.capabilities = tuple(told[-1].decode("ascii", "replace").upper().split())
        else:
            super()._get_capabilities()  # type: ignore[misc]  # it has no public name

    def open(self, host: str = "", port: int = 143, timeout: float | None = None) -> None:
        """Use the connection that is already made."""
        self.host = host
        self.port = port
        self.sock = self._connection.sock

    def read(self, size: int) -> bytes:
        """Read a literal, bounded."""
        if size > LITERAL_LIMIT:
            raise self._connection.broken(f"The server sent {size} bytes where a short answer belongs.")
        return self._connection.read(size)

    def readline(self) -> bytes:
        """Read a line, bounded, and bound the whole answer."""
        if self._connection.received - self._answer_begins > ANSWER_LIMIT:
            raise self._connection.broken("The server does not end its answer.")
        line = self._connection.read_line()
        self._connection.note_server(line)
        # imaplib insists on CRLF, some servers do not.
        return line if line.endswith(b"\r\n") or not line.endswith(b"\n") else line[:-1] + b"\r\n"

    def send(self, data: bytes) -> None:  # type: ignore[override]  # imaplib takes any buffer
        """Send a command."""
        self._answer_begins = self._connection.received
        self._connection.note_client(data.decode("utf-8", "replace"))
        self._connection.send(data)

    def shutdown(self) -> None:
        """Close the connection."""
        self._connection.close()

    def socket(self) -> socket.socket:
        """Return the socket for IMAPClient to set its timeout."""
        return self._connection.sock


class Session(IMAPClient):  # type: ignore[misc]  # IMAPClient has no annotations
    """Be an IMAPClient on a connection of ours."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        super().__init__(
            connection.host, port=connection.address.port, ssl=False, timeout=connection.wire.timeout
        )
        # IMAPClient switches on a log that formats every message with repr(), for half of its run time.
        self._imap.debug = 0

    def _create_IMAP4(self) -> Imap4:  # noqa: N802 - IMAPClient's name
        return Imap4(self._connection)

    @property
    def greeting(self) -> bytes:
        """Return the server's first line."""
        return bytes(self._imap.welcome)

    @property
    def is_signed_in(self) -> bool:
        """Return whether the server has taken us for somebody already."""
        return str(self._imap.state) in {"AUTH", "SELECTED"}

    def offers(self) -> frozenset[str]:
        """Return what the server said it can do before the sign-in."""
        return frozenset(str(word).upper() for word in self._imap.capabilities)

    def begin_tls(self) -> None:
        """Switch to TLS and forget everything said before (RFC 9051, section 6.2.1)."""
        if self.is_signed_in:
            # Whoever stands between could make us skip the encryption with such a greeting.
            raise self._connection.broken("The server signed us in before the encryption began.")
        if "STARTTLS" not in self.offers():
            raise StartTlsMissing("The server does not offer STARTTLS.")
        kind, data = self._imap._simple_command("STARTTLS")  # noqa: SLF001 - the public one wraps the socket
        if kind != "OK":
            reply = self._connection.clean(data[0] or b"")
            raise StartTlsMissing("The server refused STARTTLS.", server_reply=reply)
        self._connection.start_tls()
        self._imap.sock = self._connection.sock
        self._imap.untagged_responses.clear()
        self._starttls_done = True
        self._imap._get_capabilities()  # noqa: SLF001 - it has no public name

    def signed_in(self, offers: frozenset[str]) -> None:
        """Note a sign-in that was made on the connection without IMAPClient."""
        self._imap.state = "AUTH"
        self._cached_capabilities = tuple(sorted(word.encode() for word in offers))

    def sent_folder(self) -> str | None:
        """Return the folder that the server marks as, or commonly names, the one for sent mail (RFC 6154)."""
        with _understood():
            name = self.find_special_folder(b"\\Sent")
        return None if name is None else str(name)

    def prefix(self) -> str:
        """Return what the names of the mailbox's own folders begin with, such as "INBOX." (RFC 2342)."""
        with _understood():
            personal = self.namespace().personal
            return str(personal[0][0]) if personal else ""


@contextmanager
def _understood() -> Iterator[None]:
    """Say that an answer has not the form in which IMAPClient takes it apart without looking."""
    try:
        yield
    except (TypeError, RecursionError) as problem:
        raise ProtocolViolation("The server's answer could not be understood.") from problem
