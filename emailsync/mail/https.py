"""Ask a web server one question over the guarded connection, and read a short answer.

The standard library's HTTP speaks on a connection of ours, so that the address guard, the trusted
certificates, the timeouts and the deadline hold here as they do for mail. Redirects are not followed: what
was asked carries secrets for one address alone.
"""

import io
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from emailsync.mail.connection import Connection, connect
from emailsync.mail.endpoint import Endpoint, Protocol, Security, check_host, default_port
from emailsync.mail.errors import HostNotFound, ProtocolViolation
from emailsync.mail.translating import translated
from emailsync.mail.wire import Wire

ANSWER_LIMIT = 256 * 1024


@dataclass(frozen=True)
class Answer:
    """What a web server said: its status and its body."""

    status: int
    body: str


class _Stream(io.RawIOBase):
    """Be the file that the standard library reads answers from."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # io hands out a memoryview
        """Read what has come, within the limits of the connection."""
        if self._connection.received > ANSWER_LIMIT:
            raise self._connection.broken("The server does not end its answer.")
        return self._connection.read_some(buffer)


class _Socket:
    """Be the socket that the standard library speaks on."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def sendall(self, data: bytes) -> None:
        """Send all of it."""
        self._connection.send(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return the file to read from."""
        return io.BufferedReader(_Stream(self._connection))

    def close(self) -> None:
        """Leave the closing to whoever made the connection."""


def endpoint_of(url: str) -> Endpoint:
    """Return where `url` leads. Raises ValueError with a sentence unless it is a plain address of https."""
    parts = urlsplit(url.strip())
    if parts.scheme != "https":
        raise ValueError("The address must begin with https://.")
    if parts.username or parts.password:
        raise ValueError("The address must not hold a user name or a password.")
    if parts.fragment:
        raise ValueError("The address must not hold a fragment (#).")
    host = check_host(parts.hostname or "")
    port = parts.port or default_port(Protocol.HTTPS, Security.TLS)
    return Endpoint(Protocol.HTTPS, host, port, Security.TLS)


def post_form(url: str, form: str, wire: Wire) -> Answer:
    """Send `form` (application/x-www-form-urlencoded) and return the answer. Raises MailError."""
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    return _ask("POST", url, form.encode(), headers, wire)


def get(url: str, wire: Wire) -> Answer:
    """Return what is at `url`. Raises MailError."""
    return _ask("GET", url, None, {}, wire)


def _ask(method: str, url: str, content: bytes | None, headers: dict[str, str], wire: Wire) -> Answer:
    try:
        endpoint = endpoint_of(url)
    except ValueError as problem:
        raise HostNotFound(f"{url} cannot be asked. {problem}") from problem
    parts = urlsplit(url.strip())
    connection = connect(endpoint, wire)
    try:
        connection.start_tls()
        http = HTTPConnection(endpoint.host, endpoint.port)
        http.sock = _Socket(connection)  # as much of a socket as it uses
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        with translated(connection.clean):
            http.request(method, target, content, {**headers, "Connection": "close"})
            response = http.getresponse()
            body = response.read(ANSWER_LIMIT)
        return Answer(response.status, body.decode("utf-8", "replace"))
    except HTTPException as problem:
        raise ProtocolViolation("The server's answer is not HTTP.") from problem
    finally:
        connection.close()
