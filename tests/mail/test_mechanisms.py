"""Signing in with access tokens, and choosing among mechanisms, on scripted servers."""

import base64
import json

import pytest

from emailsync.mail.auth import BearerToken, Credential, Password, choose
from emailsync.mail.errors import (
    AuthorizationRefused,
    LoginMechanismMissing,
    LoginThrottled,
    MailError,
    TokenRefused,
)
from emailsync.mail.imap import open_imap
from emailsync.mail.smtp import open_smtp
from emailsync.mail.wire import Wire
from emailsync.management.selftest.scripted import Peer
from emailsync.management.selftest.scripted_imap import ImapBehaviour, ScriptedImap
from emailsync.management.selftest.scripted_smtp import ScriptedSmtp
from tests.mail.conftest import endpoint_of

TOKEN = BearerToken("ann@example.com", "secret-token")


def refuse_with(told: object) -> ImapBehaviour:
    """Refuse a token as RFC 7628 says: first the reason as a challenge, then the end."""

    def authenticate(peer: Peer, tag: bytes, rest: bytes) -> None:
        peer.send(b"+ " + base64.b64encode(json.dumps(told).encode()) + b"\r\n")
        peer.line()
        peer.send(tag + b" NO [AUTHENTICATIONFAILED] no\r\n")

    return authenticate


@pytest.mark.parametrize(
    ("offers", "message"),
    [
        (b"AUTH=XOAUTH2", b"user=ann@example.com\x01auth=Bearer secret-token\x01\x01"),
        (b"AUTH=OAUTHBEARER", b"n,a=ann@example.com,\x01auth=Bearer secret-token\x01\x01"),
        (b"AUTH=XOAUTH2 AUTH=OAUTHBEARER", b"n,a=ann@example.com,\x01auth=Bearer secret-token\x01\x01"),
    ],
)
def test_a_token_travels_by_the_mechanism_that_imap_offers(wire: Wire, offers: bytes, message: bytes) -> None:
    with ScriptedImap() as server:
        server.capabilities = b"IMAP4rev1 SASL-IR AUTH=PLAIN " + offers
        with open_imap(endpoint_of(server), TOKEN, wire):
            line = next(line for line in server.heard if b"AUTHENTICATE" in line)
    assert base64.b64decode(line.split()[-1]) == message


def test_a_token_that_is_too_long_for_one_command_waits_for_smtp_to_ask(wire: Wire) -> None:
    answers: list[bytes] = []

    class Patient(ScriptedSmtp):
        def _auth(self, peer: Peer, line: bytes) -> None:
            answers.append(line)
            peer.send(b"334 \r\n")
            answers.append(peer.line())
            peer.send(b"235 welcome\r\n")

    with Patient() as server:
        server.extensions = [b"AUTH XOAUTH2"]
        with open_smtp(endpoint_of(server), BearerToken("ann", "t" * 2000), wire):
            pass
    assert answers[0] == b"AUTH XOAUTH2"
    assert base64.b64decode(answers[1]) == b"user=ann\x01auth=Bearer " + b"t" * 2000 + b"\x01\x01"


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ({"status": "401", "schemes": "bearer"}, TokenRefused),
        ({"status": "invalid_token"}, TokenRefused),
        ({"status": "403", "scope": "mail"}, AuthorizationRefused),
        ({"status": "insufficient_scope"}, AuthorizationRefused),
        ({"status": "503"}, LoginThrottled),
        (["not", "an", "object"], TokenRefused),
    ],
)
def test_the_reason_of_a_refused_token_is_read(wire: Wire, told: object, kind: type[MailError]) -> None:
    with ScriptedImap() as server:
        server.capabilities = b"IMAP4rev1 SASL-IR AUTH=XOAUTH2"
        server.on("AUTHENTICATE", refuse_with(told))
        with pytest.raises(kind) as caught:
            open_imap(endpoint_of(server), TOKEN, wire)
    assert type(caught.value) is kind


def test_smtp_reads_the_reason_too(wire: Wire) -> None:
    class Refusing(ScriptedSmtp):
        def _auth(self, peer: Peer, line: bytes) -> None:
            peer.send(b"334 " + base64.b64encode(b'{"status":"401"}') + b"\r\n")
            peer.line()
            peer.send(b"535 5.7.8 no\r\n")

    with Refusing() as server:
        server.extensions = [b"AUTH OAUTHBEARER"]
        with pytest.raises(TokenRefused) as caught:
            open_smtp(endpoint_of(server), TOKEN, wire)
    assert caught.value.permanent


@pytest.mark.parametrize("credential", [TOKEN, Password("master", "p", "box")])
def test_a_server_without_a_fitting_mechanism_says_what_it_has(credential: Credential) -> None:
    with pytest.raises(LoginMechanismMissing) as caught:
        choose(credential, ["LOGIN", "CRAM-MD5"])
    assert caught.value.server_reply == "AUTH CRAM-MD5 LOGIN"


def test_a_token_is_never_given_to_a_password_mechanism(wire: Wire) -> None:
    with ScriptedImap() as server:
        server.capabilities = b"IMAP4rev1 AUTH=PLAIN AUTH=LOGIN"
        with pytest.raises(LoginMechanismMissing):
            open_imap(endpoint_of(server), TOKEN, wire)
    assert not any(b"AUTHENTICATE" in line or b"LOGIN" in line for line in server.heard)


def test_the_sasl_mechanism_login_is_used_where_the_command_is_disabled(wire: Wire) -> None:
    answers: list[bytes] = []

    def authenticate(peer: Peer, tag: bytes, rest: bytes) -> None:
        for question in (b"+ VXNlcm5hbWU6\r\n", b"+ UGFzc3dvcmQ6\r\n"):
            peer.send(question)
            answers.append(base64.b64decode(peer.line()))
        peer.send(tag + b" OK done\r\n")

    with ScriptedImap() as server:
        server.capabilities = b"IMAP4rev1 LOGINDISABLED AUTH=LOGIN"
        server.on("AUTHENTICATE", authenticate)
        with open_imap(endpoint_of(server), Password("ann", "secret"), wire):
            pass
    assert answers == [b"ann", b"secret"]


def test_no_transcript_and_no_repr_holds_a_token(wire: Wire) -> None:
    with ScriptedImap() as server:
        server.capabilities = b"IMAP4rev1 SASL-IR AUTH=XOAUTH2"
        server.on("AUTHENTICATE", refuse_with({"status": "401", "error": "secret-token"}))
        with pytest.raises(TokenRefused):
            open_imap(endpoint_of(server), TOKEN, wire)
    assert wire.transcript is not None
    assert "secret-token" not in wire.transcript.text() + repr(TOKEN)
    assert base64.b64encode(b"user=ann@example.com\x01auth=Bearer secret-token\x01\x01").decode() not in (
        wire.transcript.text()
    )


def test_a_server_that_asks_for_ever_is_left(wire: Wire) -> None:
    def authenticate(peer: Peer, tag: bytes, rest: bytes) -> None:
        while True:
            peer.send(b"+ \r\n")
            peer.line()

    with ScriptedImap() as server:
        server.on("AUTHENTICATE", authenticate)
        with pytest.raises(MailError, match="does not end the sign-in"):
            open_imap(endpoint_of(server), Password("ann", "secret"), wire)
