"""A failure and the server that produces it: what the table in `failures` is written with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from emailsync.mail.auth import BearerToken, Credential, Password
from emailsync.mail.endpoint import Protocol, Security
from emailsync.management.selftest.scripted import Peer
from emailsync.management.selftest.scripted_imap import ImapBehaviour, ScriptedImap, ok, refuse
from emailsync.management.selftest.scripted_pop3 import ScriptedPop3
from emailsync.management.selftest.scripted_smtp import ScriptedSmtp
from emailsync.management.selftest.scripted_web import ScriptedWeb

HOST = "mail.example.com"
#: Names that the name service of the selftest answers in a special way.
UNKNOWN, UNANSWERED, UNROUTED = "unknown.example.com", "unanswered.example.com", "unrouted.example.com"
FORBIDDEN = "forbidden.example.com"

PASSWORD = Password("ann", "correct horse")
TOKEN = BearerToken("ann@example.com", "an access token")

Server = ScriptedImap | ScriptedPop3 | ScriptedSmtp | ScriptedWeb
Arrange = Callable[[Server], None]
#: TLS alerts (RFC 8446, section 6): fatal, and one of protocol_version, handshake_failure, internal_error.
PROTOCOL_VERSION, HANDSHAKE_FAILURE = b"\x15\x03\x01\x00\x02\x02\x46", b"\x15\x03\x03\x00\x02\x02\x28"
INTERNAL_ERROR = b"\x15\x03\x03\x00\x02\x02\x50"
DOVECOT_LIMIT = (
    b"[UNAVAILABLE] Maximum number of connections from user+IP exceeded (mail_max_userip_connections=10)"
)


@dataclass(frozen=True)
class Scenario:
    """One failure and how it comes about."""

    failure: str
    protocol: Protocol
    #: The code that must be found, and the step at which: one of a test, "fetch" or "token".
    code: str
    step: str
    security: Security = Security.TLS
    #: Which certificate the server shows, by its name in `proving.Certificates`.
    certificate: str = "server"
    credential: Credential = PASSWORD
    #: What the server does otherwise than it should.
    answers: Mapping[str, ImapBehaviour | bytes | None] = field(default_factory=dict)
    arrange: Arrange | None = None
    #: listening, refusing or full.
    port: str = "listening"
    host: str = HOST
    #: What the deployment forbids: ports, addresses or plain.
    forbids: str = ""
    pins: tuple[str, ...] = ()
    #: The server is silent, so nobody should wait long.
    is_slow: bool = False
    #: The whole run has little time.
    is_short: bool = False
    #: Look for the test message in a mailbox that it never reaches.
    seeks_arrival: bool = False


def imap(failure: str, code: str, step: str, **more: object) -> Scenario:
    """Name a failure of a server for IMAP."""
    return Scenario(failure, Protocol.IMAP, code, step, **more)  # type: ignore[arg-type]  # fields by name


def pop3(failure: str, code: str, step: str, **more: object) -> Scenario:
    """Name a failure of a server for POP3."""
    return Scenario(failure, Protocol.POP3, code, step, **more)  # type: ignore[arg-type]  # fields by name


def smtp(failure: str, code: str, step: str, **more: object) -> Scenario:
    """Name a failure of a server for SMTP."""
    return Scenario(failure, Protocol.SMTP, code, step, **more)  # type: ignore[arg-type]  # fields by name


def oauth(failure: str, code: str, **more: object) -> Scenario:
    """Name a failure of the token endpoint of an OAuth provider."""
    return Scenario(failure, Protocol.HTTPS, code, "token", **more)  # type: ignore[arg-type]  # fields by name


def no(text: bytes) -> dict[str, ImapBehaviour]:
    """Refuse the sign-in over IMAP with these words."""
    return {"AUTHENTICATE": refuse(text)}


def silent(server: Server) -> None:
    """Say nothing at all."""
    server.serve = Peer.keep_silent  # type: ignore[method-assign,assignment]  # keeping silent is all it does


def says_only(data: bytes) -> Arrange:
    """Say this at the beginning, and then nothing."""

    def arrange(server: Server) -> None:
        def serve(peer: Peer) -> None:
            peer.send(data)
            peer.keep_silent()

        server.serve = serve  # type: ignore[method-assign]  # that is all it does

    return arrange


def alerts(alert: bytes) -> Arrange:
    """Answer the client's first TLS message with an alert."""

    def arrange(server: Server) -> None:
        def serve(peer: Peer) -> None:
            peer.exactly(5)
            peer.send(alert)
            peer.keep_silent()

        server.implicit_tls = False
        server.serve = serve  # type: ignore[method-assign]  # that is all it does

    return arrange


def hangs_up(server: Server) -> None:
    """Close every connection at once."""

    def serve(peer: Peer) -> None:
        peer.hang_up()

    server.serve = serve  # type: ignore[method-assign]  # that is all it does


def says(status: int, body: bytes) -> Arrange:
    """Answer over HTTP with this status and body."""

    def arrange(server: Server) -> None:
        assert isinstance(server, ScriptedWeb)
        server.status, server.body = status, body

    return arrange


def withholds(server: Server) -> None:
    """List a message, tell its size, and do not hand it out."""
    assert isinstance(server, ScriptedImap)
    server.messages[1] = b"Subject: Withheld\r\n\r\n"
    usual = server._do_uid_fetch  # noqa: SLF001  (it goes on as it does otherwise)

    def behave(peer: Peer, tag: bytes, rest: bytes) -> None:
        (ok if b"BODY" in rest else usual)(peer, tag, rest)

    server.on("UID FETCH", behave)


def offers(*words: bytes) -> Arrange:
    """Offer only these capabilities."""

    def arrange(server: Server) -> None:
        if isinstance(server, ScriptedImap):
            server.capabilities = b" ".join((b"IMAP4rev1", *words))
        elif isinstance(server, ScriptedPop3):
            server.capabilities = list(words)
        elif isinstance(server, ScriptedSmtp):
            server.extensions = list(words)

    return arrange


def without_starttls(server: Server) -> None:
    """Know no STARTTLS."""
    server.certificate = None


def plain_text(server: Server) -> None:
    """Speak plain text where TLS is expected."""
    server.implicit_tls = False


def implicit(server: Server) -> None:
    """Speak TLS at once."""
    server.implicit_tls = True
