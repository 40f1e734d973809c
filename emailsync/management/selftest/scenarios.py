"""The table of all that can go wrong with a mail server, each with a server that does it.

A scenario names the failure, how the server behaves, and the code that the probe must find. The words are
those of real servers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from emailsync.mail.endpoint import Protocol, Security
from emailsync.management.selftest.scripted import (
    ImapBehaviour,
    Peer,
    ScriptedImap,
    ScriptedSmtp,
    never_answer,
    refuse,
    say_and_hang_up,
)

HOST = "mail.example.com"
#: Names that the name service of the selftest answers in a special way.
UNKNOWN, UNANSWERED, UNROUTED = "unknown.example.com", "unanswered.example.com", "unrouted.example.com"
FORBIDDEN = "forbidden.example.com"

Server = ScriptedImap | ScriptedSmtp
Arrange = Callable[[Server], None]
#: TLS alerts (RFC 8446, section 6): fatal, protocol_version and handshake_failure.
PROTOCOL_VERSION, HANDSHAKE_FAILURE = b"\x15\x03\x01\x00\x02\x02\x46", b"\x15\x03\x03\x00\x02\x02\x28"
DOVECOT_LIMIT = (
    b"[UNAVAILABLE] Maximum number of connections from user+IP exceeded (mail_max_userip_connections=10)"
)


@dataclass(frozen=True)
class Scenario:
    """One failure and how it comes about."""

    failure: str
    protocol: Protocol
    #: The code that must be found, and the step at which.
    code: str
    step: str
    security: Security = Security.TLS
    #: Which certificate the server shows, by its name in `proving.Certificates`.
    certificate: str = "server"
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
    #: Look for the test message in a mailbox that it never reaches.
    seeks_arrival: bool = False


def _imap(failure: str, code: str, step: str, **more: object) -> Scenario:
    return Scenario(failure, Protocol.IMAP, code, step, **more)  # type: ignore[arg-type]  # fields by name


def _smtp(failure: str, code: str, step: str, **more: object) -> Scenario:
    return Scenario(failure, Protocol.SMTP, code, step, **more)  # type: ignore[arg-type]  # fields by name


def _no(text: bytes) -> dict[str, ImapBehaviour]:
    """Refuse the sign-in over IMAP with these words."""
    return {"AUTHENTICATE": refuse(text)}


def _silent(server: Server) -> None:
    server.serve = Peer.keep_silent  # type: ignore[method-assign,assignment]  # keeping silent is all it does


def _says_only(data: bytes) -> Arrange:
    def arrange(server: Server) -> None:
        def serve(peer: Peer) -> None:
            peer.send(data)
            peer.keep_silent()

        server.serve = serve  # type: ignore[method-assign]  # that is all it does

    return arrange


def _alerts(alert: bytes) -> Arrange:
    """Answer the client's first TLS message with an alert."""

    def arrange(server: Server) -> None:
        def serve(peer: Peer) -> None:
            peer.exactly(5)
            peer.send(alert)
            peer.keep_silent()

        server.implicit_tls = False
        server.serve = serve  # type: ignore[method-assign]  # that is all it does

    return arrange


def _hangs_up(server: Server) -> None:
    def serve(peer: Peer) -> None:
        peer.hang_up()

    server.serve = serve  # type: ignore[method-assign]  # that is all it does


def _offers(*words: bytes) -> Arrange:
    def arrange(server: Server) -> None:
        if isinstance(server, ScriptedImap):
            server.capabilities = b" ".join((b"IMAP4rev1", *words))
        else:
            server.extensions = list(words)

    return arrange


def _without_starttls(server: Server) -> None:
    server.certificate = None


def _plain_text(server: Server) -> None:
    server.implicit_tls = False


def _implicit(server: Server) -> None:
    server.implicit_tls = True


STARTTLS, NONE = Security.STARTTLS, Security.NONE

REACHING = (
    _imap("Name not found", "host_not_found", "resolve", host=UNKNOWN),
    _imap("Name service silent", "lookup_failed", "resolve", host=UNANSWERED),
    _imap("Port not allowed by the deployment", "port_not_allowed", "resolve", forbids="ports"),
    _imap("Address not allowed by the deployment", "address_forbidden", "resolve", host=FORBIDDEN),
    _imap("No encryption, not allowed", "plain_not_allowed", "resolve", security=NONE, forbids="plain"),
    _imap("No route", "unreachable", "connect", host=UNROUTED),
    _imap("Connection refused", "connection_refused", "connect", port="refusing"),
    _imap("Time-out: connecting", "timed_out", "connect", port="full", is_slow=True),
    _imap("Time-out: beginning TLS", "timed_out", "secure", arrange=_alerts(b""), is_slow=True),
    _imap("Time-out: greeting", "timed_out", "greet", security=STARTTLS, arrange=_silent, is_slow=True),
    _imap(
        "Time-out: signing in",
        "timed_out",
        "authenticate",
        answers={"AUTHENTICATE": never_answer},
        is_slow=True,
    ),
    _imap(
        "Time-out: opening INBOX", "timed_out", "open_inbox", answers={"EXAMINE": never_answer}, is_slow=True
    ),
    _smtp("Time-out: sending", "timed_out", "send", answers={"MAIL": b""}, is_slow=True),
    _imap("Dropped without a greeting", "connection_lost", "greet", arrange=_hangs_up),
    _imap(
        "Dropped mid-way: opening INBOX",
        "connection_lost",
        "open_inbox",
        answers={"EXAMINE": say_and_hang_up(b"* 3 EXI")},
    ),
    _smtp("Dropped mid-way: sending", "connection_lost", "send", answers={"MAIL": None}),
    _smtp("Dropped after the whole message", "outcome_unknown", "send", answers={"body": None}),
)
SECURING = (
    _imap(
        "TLS port, STARTTLS chosen",
        "tls_expected",
        "greet",
        security=STARTTLS,
        arrange=_implicit,
        is_slow=True,
    ),
    _smtp(
        "TLS port, no encryption chosen",
        "tls_expected",
        "greet",
        security=NONE,
        arrange=_implicit,
        is_slow=True,
    ),
    _imap("STARTTLS port, TLS chosen", "plain_text_answered", "secure", arrange=_plain_text),
    _smtp("STARTTLS port, TLS chosen", "plain_text_answered", "secure", arrange=_plain_text),
    _imap("STARTTLS not offered", "starttls_missing", "secure", security=STARTTLS, arrange=_without_starttls),
    _smtp("STARTTLS not offered", "starttls_missing", "secure", security=STARTTLS, arrange=_without_starttls),
    _imap("TLS too old", "tls_too_old", "secure", arrange=_alerts(PROTOCOL_VERSION)),
    _imap("No common cipher suite", "tls_suite_missing", "secure", arrange=_alerts(HANDSHAKE_FAILURE)),
    _imap("Certificate expired", "certificate_expired", "secure", certificate="expired"),
    _imap("Certificate self-signed", "certificate_self_signed", "secure", certificate="self_signed"),
    _imap("Certificate of another host", "certificate_wrong_host", "secure", certificate="other"),
    _imap(
        "Certificate of an unknown authority",
        "certificate_unknown_authority",
        "secure",
        certificate="stranger",
    ),
    _smtp(
        "Certificate self-signed, STARTTLS",
        "certificate_self_signed",
        "secure",
        certificate="self_signed",
        security=STARTTLS,
    ),
    _imap("Certificate not the pinned one", "certificate_not_pinned", "secure", pins=("f" * 64,)),
)
GREETING = (
    _imap("Another server's greeting", "greeting_strange", "greet", arrange=_says_only(b"220 mx ESMTP\r\n")),
    _imap("Strange greeting", "greeting_strange", "greet", arrange=_says_only(b"Welcome, stranger\r\n")),
    _smtp("Strange greeting", "greeting_strange", "greet", arrange=_says_only(b"* OK IMAP4rev1 ready\r\n")),
    _imap(
        "Too many connections, at the greeting",
        "too_many_connections",
        "greet",
        arrange=_says_only(b"* BYE Maximum connection limit reached from ::ffff:192.0.2.10\r\n"),
    ),
    _smtp(
        "Too many connections, at the greeting",
        "too_many_connections",
        "greet",
        answers={"greeting": b"421 4.7.0 mx.example.com Error: too many connections from 192.0.2.10"},
    ),
    _smtp(
        "Address of this installation blocked",
        "host_refused",
        "greet",
        answers={"greeting": b"554 5.7.1 Client host [192.0.2.10] blocked using zen.example.org"},
    ),
)
SIGNING_IN = (
    _imap(
        "Wrong password",
        "login_refused",
        "authenticate",
        answers=_no(b"[AUTHENTICATIONFAILED] Authentication failed."),
    ),
    _smtp(
        "Wrong password",
        "login_refused",
        "authenticate",
        answers={"AUTH": b"535 5.7.8 Error: authentication failed: UGFzc3dvcmQ6"},
    ),
    _imap(
        "App password needed",
        "app_password_needed",
        "authenticate",
        answers=_no(b"[ALERT] Application-specific password required (Failure)"),
    ),
    _smtp(
        "App password needed",
        "app_password_needed",
        "authenticate",
        answers={"AUTH": b"534 5.7.9 Application-specific password required."},
    ),
    _imap("OAuth needed", "oauth_needed", "authenticate", answers=_no(b"LOGIN failed. BasicAuthBlocked")),
    _smtp(
        "OAuth needed",
        "oauth_needed",
        "authenticate",
        answers={"AUTH": b"535 5.7.139 Authentication unsuccessful, basic authentication is disabled."},
    ),
    _smtp(
        "Sign-in by password switched off",
        "login_disabled",
        "authenticate",
        answers={
            "AUTH": b"535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for "
            b"the Tenant."
        },
    ),
    _imap(
        "Plain sign-in disabled without encryption",
        "encryption_required",
        "authenticate",
        security=NONE,
        arrange=_offers(b"LOGINDISABLED"),
    ),
    _smtp(
        "Sign-in disabled without encryption",
        "encryption_required",
        "authenticate",
        security=NONE,
        answers={"AUTH": b"538 5.7.11 Encryption required for requested authentication mechanism"},
    ),
    _imap(
        "No common way to sign in",
        "login_mechanism_missing",
        "authenticate",
        arrange=_offers(b"AUTH=GSSAPI", b"LOGINDISABLED"),
    ),
    _smtp(
        "No common way to sign in",
        "login_mechanism_missing",
        "authenticate",
        arrange=_offers(b"AUTH GSSAPI CRAM-MD5"),
    ),
    _imap(
        "Web login required",
        "web_login_required",
        "authenticate",
        answers=_no(b"[WEBALERT https://accounts.example.com/] Web login required. (Failure)"),
    ),
    _imap("Account locked", "account_locked", "authenticate", answers=_no(b"Your account has been locked")),
    _smtp(
        "Account locked",
        "account_locked",
        "authenticate",
        answers={"AUTH": b"535 5.7.139 Authentication unsuccessful, the user account is temporarily locked"},
    ),
    _imap(
        "IMAP switched off for the account",
        "access_disabled",
        "authenticate",
        answers=_no(b"[ALERT] Your account is not enabled for IMAP use. (Failure)"),
    ),
    _imap("Password expired", "password_expired", "authenticate", answers=_no(b"[EXPIRED] Password expired")),
    _imap(
        "Not entitled to the mailbox",
        "authorization_refused",
        "authenticate",
        answers=_no(b"[AUTHORIZATIONFAILED] Not authorized to act for this user"),
    ),
    _imap(
        "Too many connections of the account",
        "too_many_connections",
        "authenticate",
        answers=_no(DOVECOT_LIMIT),
    ),
    _imap(
        "Too many failed sign-ins",
        "login_throttled",
        "authenticate",
        answers=_no(b"[LIMIT] Too many login attempts, please try again later"),
    ),
    _smtp(
        "Sign-in required", "login_required", "send", answers={"MAIL": b"530 5.7.0 Authentication Required"}
    ),
)
USING = (
    _imap(
        "INBOX missing",
        "folder_missing",
        "open_inbox",
        answers={"EXAMINE": refuse(b"[NONEXISTENT] Unknown Mailbox")},
    ),
    _imap(
        "INBOX not accessible",
        "folder_forbidden",
        "open_inbox",
        answers={"EXAMINE": refuse(b"[NOPERM] Denied")},
    ),
    _imap(
        "Mailbox in use",
        "mailbox_locked",
        "open_inbox",
        answers={"EXAMINE": refuse(b"[INUSE] Mailbox in use")},
    ),
    _imap(
        "Temporary failure of the server",
        "server_busy",
        "open_inbox",
        answers={"EXAMINE": refuse(b"[UNAVAILABLE] Service is temporarily not available")},
    ),
    _imap(
        "Access limited for now",
        "rate_limited",
        "open_inbox",
        answers={"EXAMINE": refuse(b"[THROTTLED] Account exceeded command or bandwidth limits. (Failure)")},
    ),
)
SENDING = (
    _smtp(
        "Sender refused",
        "sender_refused",
        "send",
        answers={"MAIL": b"550 5.7.60 SMTP; Client does not have permissions to send as this sender"},
    ),
    _smtp(
        "Relaying denied",
        "relay_denied",
        "send",
        answers={"RCPT": b"554 5.7.1 <ann@example.com>: Relay access denied"},
    ),
    _smtp(
        "Recipient refused",
        "recipients_refused",
        "send",
        answers={"RCPT": b"550 5.1.1 <ann@example.com>: Recipient address rejected: User unknown"},
    ),
    _smtp(
        "Greylisted",
        "greylisted",
        "send",
        answers={"RCPT": b"450 4.2.0 <ann@example.com>: Recipient address rejected: Greylisted"},
    ),
    _smtp(
        "Size refused, announced",
        "message_too_large",
        "send",
        arrange=_offers(b"SIZE 10", b"AUTH PLAIN"),
    ),
    _smtp(
        "Size refused",
        "message_too_large",
        "send",
        answers={"body": b"552 5.3.4 Message size exceeds fixed maximum message size"},
    ),
    _smtp(
        "Rate limited",
        "rate_limited",
        "send",
        answers={"body": b"550 5.4.5 Daily user sending quota exceeded."},
    ),
    _smtp("Mailbox full", "quota_exceeded", "send", answers={"body": b"552 5.2.2 The mailbox is full"}),
    _smtp(
        "Temporary failure of the server",
        "server_busy",
        "send",
        answers={"MAIL": b"451 4.3.0 Error: queue file write error"},
    ),
    _smtp(
        "Message refused",
        "message_refused",
        "send",
        answers={"body": b"554 5.7.1 Message rejected due to its content"},
    ),
    _smtp("Accepted, but not seen arriving", "not_seen_arriving", "arrive", seeks_arrival=True),
)
SCENARIOS: tuple[Scenario, ...] = (*REACHING, *SECURING, *GREETING, *SIGNING_IN, *USING, *SENDING)
