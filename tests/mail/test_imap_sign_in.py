"""Reaching an IMAP server and signing in."""

import base64
import ssl
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from emailsync.mail.auth import Password, Plain
from emailsync.mail.endpoint import NetworkPolicy, Security, parse_networks
from emailsync.mail.errors import (
    AccountLocked,
    AddressForbidden,
    AuthorizationRefused,
    CertificateInvalid,
    CertificateWrongHost,
    ConnectionLost,
    ConnectionRefused,
    DeadlineExceeded,
    EncryptionRequired,
    LoginMechanismMissing,
    LoginRefused,
    LoginThrottled,
    MailboxLocked,
    MailError,
    PasswordExpired,
    PlainNotAllowed,
    PlainTextAnswered,
    PortNotAllowed,
    ProtocolViolation,
    ServerBusy,
    StartTlsMissing,
    TimedOut,
    TooManyConnections,
)
from emailsync.mail.imap import ImapClient, open_imap
from emailsync.mail.wire import Deadline, Wire
from emailsync.management.selftest.certificates import Authority
from emailsync.management.selftest.scripted import Peer
from emailsync.management.selftest.scripted_imap import (
    ScriptedImap,
    never_answer,
    refuse,
    say,
    say_and_hang_up,
    say_for_ever,
)
from tests.mail.conftest import LOOPBACK, PASSWORD, endpoint_of
from tests.servers.ports import free_port

SignIn = Callable[[ScriptedImap], ImapClient]


def test_a_password_is_sent_by_sasl_plain(sign_in: SignIn) -> None:
    with ScriptedImap() as server, sign_in(server):
        line = next(line for line in server.heard if b"AUTHENTICATE" in line)
    assert base64.b64decode(line.split()[-1]) == "\0ann\0pass word ü".encode()


def test_without_an_initial_response_the_server_is_waited_for(sign_in: SignIn) -> None:
    with ScriptedImap() as server:
        server.capabilities = b"IMAP4rev1 AUTH=PLAIN"
        answers: list[bytes] = []

        def authenticate(peer: Peer, tag: bytes, rest: bytes) -> None:
            peer.send(b"+ \r\n")
            answers.append(peer.line())
            peer.send(tag + b" OK done\r\n")

        server.on("AUTHENTICATE", authenticate)
        with sign_in(server):
            pass
    assert base64.b64decode(answers[0]) == "\0ann\0pass word ü".encode()


def test_login_quotes_what_needs_quoting(wire: Wire) -> None:
    with ScriptedImap() as server:
        server.capabilities = b"IMAP4rev1"
        with open_imap(endpoint_of(server), Password('a"b', "c\\d e"), wire):
            pass
    assert server.heard[1].endswith(rb'LOGIN "a\"b" "c\\d e"')


def test_login_counts_what_is_not_ascii(sign_in: SignIn) -> None:
    with ScriptedImap() as server:
        server.capabilities = b"IMAP4rev1"
        passwords: list[bytes] = []

        def login(peer: Peer, tag: bytes, rest: bytes) -> None:
            peer.send(b"+ go on\r\n")
            passwords.append(peer.line())
            peer.send(tag + b" OK done\r\n")

        server.on("LOGIN", login)
        with sign_in(server):
            pass
    assert passwords == ["pass word ü".encode()]


@pytest.mark.parametrize(
    ("capability", "is_waited_for"), [(b"LITERAL+", False), (b"LITERAL-", False), (b"X", True)]
)
def test_counted_words_are_sent_at_once_where_the_server_allows_it(
    sign_in: SignIn, capability: bytes, *, is_waited_for: bool
) -> None:
    with ScriptedImap() as server:
        server.capabilities = b"IMAP4rev1 " + capability
        passwords: list[bytes] = []

        def login(peer: Peer, tag: bytes, rest: bytes) -> None:
            if not rest.endswith(b"+}"):
                peer.send(b"+ go on\r\n")
            passwords.append(peer.line())
            peer.send(tag + b" OK done\r\n")

        server.on("LOGIN", login)
        with sign_in(server):
            pass
    assert passwords == ["pass word ü".encode()]
    assert server.heard[1].endswith(b"+}") is not is_waited_for


def test_a_long_literal_waits_where_only_short_ones_may_come_unasked(wire: Wire) -> None:
    with ScriptedImap() as server:
        server.capabilities = b"IMAP4rev1 LITERAL-"

        def login(peer: Peer, tag: bytes, rest: bytes) -> None:
            peer.send(b"+ go on\r\n")
            peer.line()
            peer.send(tag + b" OK done\r\n")

        server.on("LOGIN", login)
        with open_imap(endpoint_of(server), Password("ann", "ü" * 2049), wire):
            pass
    assert server.heard[1].endswith(b"{4098}")


def test_signing_in_for_another_mailbox_names_it(wire: Wire) -> None:
    with ScriptedImap() as server, open_imap(endpoint_of(server), Password("m", "p", "box"), wire):
        line = next(line for line in server.heard if b"AUTHENTICATE" in line)
    assert base64.b64decode(line.split()[-1]) == b"box\0m\0p"


def test_signing_in_for_another_mailbox_needs_sasl(wire: Wire) -> None:
    with ScriptedImap() as server:
        server.capabilities = b"IMAP4rev1"
        with pytest.raises(LoginMechanismMissing):
            open_imap(endpoint_of(server), Password("m", "p", "box"), wire)


@pytest.mark.parametrize(
    ("answer", "kind", "permanent"),
    [
        (b"[AUTHENTICATIONFAILED] no", LoginRefused, True),
        (b"wrong password", LoginRefused, True),
        (b"[EXPIRED] too old", PasswordExpired, True),
        (b"[AUTHORIZATIONFAILED] not yours", AuthorizationRefused, True),
        (b"[PRIVACYREQUIRED] encrypt", EncryptionRequired, True),
        (b"[CONTACTADMIN] ask", AccountLocked, True),
        (b"[UNAVAILABLE] Temporary authentication failure.", LoginThrottled, False),
        (b"[INUSE] locked", MailboxLocked, False),
        (b"[LIMIT] enough", LoginThrottled, False),
        (b"[OVERQUOTA] Account exceeded command or bandwidth limits. (Failure)", LoginThrottled, False),
        (b"System Error (Failure)", LoginThrottled, False),
        (b"[ALERT] Too many simultaneous connections. (Failure)", TooManyConnections, False),
    ],
)
def test_a_refusal_is_permanent_or_not_by_its_code(
    sign_in: SignIn, answer: bytes, kind: type[MailError], *, permanent: bool
) -> None:
    with ScriptedImap() as server:
        server.on("AUTHENTICATE", refuse(answer))
        with pytest.raises(kind) as caught:
            sign_in(server)
    assert type(caught.value) is kind
    assert caught.value.permanent is permanent
    assert answer.decode() in caught.value.server_reply


def test_an_echoed_password_is_taken_out_of_the_reply(sign_in: SignIn) -> None:
    with ScriptedImap() as server:
        server.on("AUTHENTICATE", refuse("wrong: pass word ü".encode()))
        with pytest.raises(LoginRefused) as caught:
            sign_in(server)
    assert "pass word" not in caught.value.server_reply


def test_the_transcript_has_the_conversation_without_the_password(sign_in: SignIn, wire: Wire) -> None:
    with ScriptedImap() as server, sign_in(server):
        pass
    assert wire.transcript is not None
    text = wire.transcript.text()
    assert "AUTHENTICATE PLAIN •••" in text
    assert base64.b64encode(Plain(PASSWORD).first).decode() not in text


def test_the_transcript_has_nothing_of_a_password_that_travels_counted(sign_in: SignIn, wire: Wire) -> None:
    with ScriptedImap() as server:
        server.capabilities = b"IMAP4rev1"

        def login(peer: Peer, tag: bytes, _rest: bytes) -> None:
            peer.send(b"+ go on\r\n")
            server.heard.append(peer.line())
            peer.send(tag + b" OK done\r\n")

        server.on("LOGIN", login)
        with sign_in(server):
            pass
    assert "pass word ü".encode() in server.heard
    assert wire.transcript is not None
    assert "LOGIN •••" in wire.transcript.text()
    assert "word" not in wire.transcript.text()


def test_a_server_that_takes_no_password_unencrypted_says_so(sign_in: SignIn) -> None:
    with ScriptedImap() as server:
        server.capabilities = b"IMAP4rev1 LOGINDISABLED"
        with pytest.raises(EncryptionRequired):
            sign_in(server)


def test_a_greeting_with_capabilities_saves_the_question(sign_in: SignIn) -> None:
    with ScriptedImap() as server:
        server.greeting = b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] ready\r\n"
        with sign_in(server):
            assert server.heard[0].split()[1] == b"AUTHENTICATE"


def test_a_server_that_says_goodbye_is_busy(sign_in: SignIn) -> None:
    with ScriptedImap() as server:
        server.greeting = b"* BYE too many of you\r\n"
        with pytest.raises(ServerBusy) as caught:
            sign_in(server)
    assert "too many of you" in caught.value.server_reply


def test_goodbye_instead_of_an_answer_is_busy(sign_in: SignIn) -> None:
    with ScriptedImap() as server:
        server.on("AUTHENTICATE", say_and_hang_up(b"* BYE shutting down\r\n"))
        with pytest.raises(ServerBusy):
            sign_in(server)


@pytest.mark.parametrize(
    "greeting",
    [
        b"220 mail.example ESMTP\r\n",
        b"\x00\xff\xfe garbage\r\n",
        b"HTTP/1.1 400 Bad Request\r\n",
        b"* NO\r\n",
    ],
)
def test_a_greeting_that_is_not_imap_is_strange(sign_in: SignIn, greeting: bytes) -> None:
    with ScriptedImap() as server:
        server.greeting = greeting
        with pytest.raises(MailError) as caught:
            sign_in(server)
    assert caught.value.code == "greeting_strange"


def test_an_endless_greeting_is_cut_off(sign_in: SignIn) -> None:
    with ScriptedImap() as server:
        server.greeting = b"* OK " + b"x" * 1_000_000
        with pytest.raises(ProtocolViolation):
            sign_in(server)


def test_an_endless_answer_is_cut_off(sign_in: SignIn) -> None:
    with ScriptedImap() as server:
        server.on("CAPABILITY", say_for_ever(b"* OK still here " + b"x" * 10_000 + b"\r\n"))
        with pytest.raises(ProtocolViolation):
            sign_in(server)


def test_a_huge_literal_among_short_answers_is_refused(sign_in: SignIn) -> None:
    with ScriptedImap() as server:
        server.on("AUTHENTICATE", say(b"* CAPABILITY {99999999999}\r\n"))
        with pytest.raises(ProtocolViolation):
            sign_in(server)


def test_a_closed_connection_is_lost(sign_in: SignIn) -> None:
    with ScriptedImap() as server:
        server.on("AUTHENTICATE", say_and_hang_up(b""))
        with pytest.raises(ConnectionLost):
            sign_in(server)


def test_a_connection_closed_before_the_greeting_is_lost(sign_in: SignIn) -> None:
    with ScriptedImap() as server:
        server.greeting = b""
        server.serve = Peer.hang_up  # type: ignore[assignment]  # hanging up is all it does
        with pytest.raises(ConnectionLost):
            sign_in(server)


def test_silence_times_out(wire: Wire) -> None:
    with ScriptedImap() as server:
        server.on("AUTHENTICATE", never_answer)
        with pytest.raises(TimedOut):
            open_imap(endpoint_of(server), PASSWORD, replace(wire, timeout=0.2))


def test_the_deadline_ends_a_conversation_that_drips(wire: Wire) -> None:
    def drip(peer: Peer, tag: bytes, rest: bytes) -> None:
        while True:
            peer.send(b"* OK wait\r\n")
            time.sleep(0.05)

    with ScriptedImap() as server:
        server.on("AUTHENTICATE", drip)
        with pytest.raises(DeadlineExceeded):
            open_imap(endpoint_of(server), PASSWORD, replace(wire, deadline=Deadline.after(0.4)))


def test_nobody_listening_is_a_refused_connection(wire: Wire) -> None:
    with ScriptedImap() as server, pytest.raises(ConnectionRefused):
        open_imap(replace(endpoint_of(server), port=free_port()), PASSWORD, wire)


@pytest.mark.parametrize("silent", ["::1", "127.0.0.2"])
def test_after_an_address_without_an_answer_the_next_is_tried(wire: Wire, silent: str) -> None:
    policy = replace(wire.policy, allowed_networks=parse_networks("127.0.0.0/8,::1/128"))
    wire = replace(wire, policy=policy, look_up=lambda _host: [silent, "127.0.0.1"])
    with ScriptedImap({1: b"Subject: Hello\r\n\r\n"}) as server:
        endpoint = replace(endpoint_of(server), host="mail.example.org")
        client = open_imap(endpoint, PASSWORD, wire)
        assert client.status().messages == 1
        client.close()


def test_a_forbidden_address_is_not_reached(wire: Wire) -> None:
    policy = NetworkPolicy(allowed_ports=(range(1, 65536),), allow_plain=True)
    with ScriptedImap() as server, pytest.raises(AddressForbidden):
        open_imap(endpoint_of(server), PASSWORD, replace(wire, policy=policy))
    assert server.connections == 0


def test_a_port_outside_the_policy_is_not_reached(wire: Wire) -> None:
    policy = replace(LOOPBACK, allowed_ports=(range(993, 994),))
    with ScriptedImap() as server, pytest.raises(PortNotAllowed):
        open_imap(endpoint_of(server), PASSWORD, replace(wire, policy=policy))
    assert server.connections == 0


def test_no_encryption_needs_permission(wire: Wire) -> None:
    policy = NetworkPolicy(
        allowed_ports=(range(1, 65536),), allowed_networks=parse_networks("127.0.0.0/8"), allow_plain=False
    )
    with ScriptedImap() as server, pytest.raises(PlainNotAllowed):
        open_imap(endpoint_of(server), PASSWORD, replace(wire, policy=policy))
    assert server.connections == 0


def test_implicit_tls_is_verified_against_the_name(wire: Wire, certificates: Authority) -> None:
    with (
        ScriptedImap(certificate=certificates.server, implicit_tls=True) as server,
        open_imap(endpoint_of(server, Security.TLS), PASSWORD, wire) as client,
    ):
        assert "TLS 1.3" in client.connection.describe_tls()


def test_starttls_forgets_what_was_said_before(wire: Wire, certificates: Authority) -> None:
    with (
        ScriptedImap(certificate=certificates.server) as server,
        open_imap(endpoint_of(server, Security.STARTTLS), PASSWORD, wire) as client,
    ):
        assert "STARTTLS" not in client.session.offers()
        assert client.connection.is_encrypted


def test_a_server_without_starttls_is_refused(wire: Wire) -> None:
    with ScriptedImap() as server, pytest.raises(StartTlsMissing):
        open_imap(endpoint_of(server, Security.STARTTLS), PASSWORD, wire)
    assert not any(b"AUTHENTICATE" in line for line in server.heard)


def test_bytes_slipped_in_before_tls_close_the_connection(wire: Wire, certificates: Authority) -> None:
    with ScriptedImap(certificate=certificates.server) as server:

        def inject(peer: Peer, tag: bytes, rest: bytes) -> None:
            peer.send(tag + b" OK begin\r\n* CAPABILITY IMAP4rev1 AUTH=EVIL\r\n")
            peer.begin_tls(certificates.server)

        server.on("STARTTLS", inject)
        with pytest.raises(ProtocolViolation):
            open_imap(endpoint_of(server, Security.STARTTLS), PASSWORD, wire)


def test_being_signed_in_before_tls_is_refused(wire: Wire, certificates: Authority) -> None:
    with ScriptedImap(certificate=certificates.server) as server:
        server.greeting = b"* PREAUTH welcome\r\n"
        with pytest.raises(ProtocolViolation):
            open_imap(endpoint_of(server, Security.STARTTLS), PASSWORD, wire)


def test_plain_text_where_tls_is_expected_is_recognised(wire: Wire) -> None:
    with ScriptedImap() as server, pytest.raises(PlainTextAnswered) as caught:
        open_imap(endpoint_of(server, Security.TLS), PASSWORD, wire)
    assert "STARTTLS" in caught.value.remedy


def test_a_certificate_for_another_name_is_refused(wire: Wire, certificates: Authority) -> None:
    other = certificates.issue("other", names=("mail.example.com",))
    with (
        ScriptedImap(certificate=other, implicit_tls=True) as server,
        pytest.raises(CertificateWrongHost),
    ):
        open_imap(endpoint_of(server, Security.TLS), PASSWORD, wire)


def test_an_expired_certificate_is_refused(wire: Wire, certificates: Authority) -> None:
    expired = certificates.issue("expired", names=("localhost",), expired=True)
    with (
        ScriptedImap(certificate=expired, implicit_tls=True) as server,
        pytest.raises(CertificateInvalid, match="expired"),
    ):
        open_imap(endpoint_of(server, Security.TLS), PASSWORD, wire)


def test_an_unknown_authority_is_refused(wire: Wire, certificates: Authority) -> None:
    with (
        ScriptedImap(certificate=certificates.server, implicit_tls=True) as server,
        pytest.raises(CertificateInvalid),
    ):
        open_imap(endpoint_of(server, Security.TLS), PASSWORD, replace(wire, ca_certificates=""))


def test_a_server_may_prefer_any_suite_of_tls_1_3(
    certificates: Authority, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    agreed = ("TLS_CHACHA20_POLY1305_SHA256", "TLSv1.3", 256)
    monkeypatch.setattr(ssl.SSLSocket, "cipher", lambda _: agreed)
    server = ScriptedImap(certificate=certificates.server, implicit_tls=True)
    with server, open_imap(endpoint_of(server, Security.TLS), PASSWORD, wire) as client:
        assert client.status() is not None
