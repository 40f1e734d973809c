"""Signing in at SMTP by NTLM, with a server that really verifies the exchange."""

import base64
from pathlib import Path

import pytest
import spnego
import spnego.exceptions

from emailsync.mail.auth import Password
from emailsync.mail.errors import LoginMechanismMissing, LoginRefused, ProtocolViolation
from emailsync.mail.smtp import open_smtp
from emailsync.mail.wire import Wire
from emailsync.management.selftest.scripted import Peer
from emailsync.management.selftest.scripted_smtp import ScriptedSmtp
from tests.mail.conftest import endpoint_of

ANN = Password("CONTOSO\\ann", "pass word", mechanisms=("NTLM",))


class ExchangeLike(ScriptedSmtp):
    """Take AUTH NTLM as MS-SMTPNTLM describes it; who signed in is written down."""

    def __init__(self) -> None:
        super().__init__()
        self.extensions = [b"AUTH NTLM"]
        self.signed_in: list[str] = []
        self.challenge: bytes | None = None

    def _auth(self, peer: Peer, line: bytes) -> None:
        assert line == b"AUTH NTLM"
        context = spnego.server(protocol="ntlm", options=spnego.NegotiateOptions.use_ntlm)
        peer.send(b"334 ntlm supported\r\n")
        try:
            while not context.complete:
                token = context.step(base64.b64decode(peer.line()))
                if token:
                    peer.send(b"334 " + base64.b64encode(self.challenge or token) + b"\r\n")
        except spnego.exceptions.SpnegoError:
            peer.send(b"535 5.7.3 Authentication unsuccessful\r\n")
            return
        self.signed_in.append(str(context.client_principal))
        peer.send(b"235 2.7.0 Authentication successful\r\n")


@pytest.fixture(autouse=True)
def accounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the server know one account."""
    (tmp_path / "accounts").write_text("CONTOSO:ann:pass word\n")
    monkeypatch.setenv("NTLM_USER_FILE", str(tmp_path / "accounts"))


def test_the_exchange_is_verified_by_the_server(wire: Wire) -> None:
    with ExchangeLike() as server, open_smtp(endpoint_of(server), ANN, wire):
        assert server.signed_in == ["CONTOSO\\ann"]


def test_a_wrong_password_is_refused(wire: Wire) -> None:
    wrong = Password("CONTOSO\\ann", "pass world", mechanisms=("NTLM",))
    with ExchangeLike() as server, pytest.raises(LoginRefused):
        open_smtp(endpoint_of(server), wrong, wire)
    assert server.signed_in == []


def test_a_challenge_that_is_none_ends_the_sign_in(wire: Wire) -> None:
    with ExchangeLike() as server:
        server.challenge = b"NTLMSSP nonsense"
        with pytest.raises(ProtocolViolation):
            open_smtp(endpoint_of(server), ANN, wire)


def test_a_server_without_ntlm_is_named(wire: Wire) -> None:
    with ScriptedSmtp() as server, pytest.raises(LoginMechanismMissing):
        open_smtp(endpoint_of(server), ANN, wire)


def test_a_server_with_ntlm_alone_is_not_given_the_password(wire: Wire) -> None:
    with ExchangeLike() as server, pytest.raises(LoginMechanismMissing):
        open_smtp(endpoint_of(server), Password("ann", "pass word"), wire)


def test_the_transcript_holds_no_part_of_the_exchange(wire: Wire) -> None:
    with ExchangeLike() as server, open_smtp(endpoint_of(server), ANN, wire):
        pass
    assert wire.transcript is not None
    said = [line for line in wire.transcript.text().splitlines() if line.startswith("C: ")]
    assert not any("TlRMTVNTUA" in line for line in said)
