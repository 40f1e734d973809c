"""Bounds, trust and records of conversations."""

import errno
import imaplib
import socket
import ssl
from pathlib import Path

import pytest
from imapclient.exceptions import IMAPClientError, ProtocolError

from emailsync.mail import errors, translating
from emailsync.mail.errors import DeadlineExceeded, MailError, TlsFailed
from emailsync.mail.registry import INCOMING, OUTGOING
from emailsync.mail.session import Session
from emailsync.mail.wire import Deadline, Transcript, redact, tls_context


def kinds() -> list[type[MailError]]:
    """List every kind of failure."""
    found = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, MailError)]
    return sorted(found, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", kinds())
def test_each_kind_says_what_to_do(kind: type[MailError]) -> None:
    assert kind.remedy.endswith(".")
    assert len(kind.remedy) > 30


@pytest.mark.parametrize("kind", kinds())
def test_each_kind_is_drawn_in_the_tree(kind: type[MailError]) -> None:
    assert kind.__name__ in (errors.__doc__ or "")


def test_each_kind_has_a_code_of_its_own() -> None:
    assert len({kind.code for kind in kinds()}) == len(kinds())


@pytest.mark.parametrize(
    ("problem", "kind"),
    [
        (ssl.SSLCertVerificationError(1, "bad"), errors.CertificateInvalid),
        (ssl.SSLEOFError(8, "eof"), errors.ConnectionLost),
        (ssl.SSLZeroReturnError(6, "TLS/SSL connection has been closed (EOF)"), errors.ConnectionLost),
        (ssl.SSLSyscallError(5, "Some I/O error occurred"), errors.ConnectionLost),
        (ssl.SSLError(1, "bad"), errors.TlsFailed),
        (socket.gaierror(-2, "unknown"), errors.HostNotFound),
        (TimeoutError(), errors.TimedOut),
        (ConnectionRefusedError(), errors.ConnectionRefused),
        (ConnectionResetError(), errors.ConnectionLost),
        (OSError(errno.EPIPE, "pipe"), errors.ConnectionLost),
        (OSError(errno.EHOSTUNREACH, "no route"), errors.Unreachable),
        (ProtocolError("odd"), errors.ProtocolViolation),
        (imaplib.IMAP4.readonly("read only"), errors.FolderForbidden),
        (imaplib.IMAP4.abort("socket error: EOF"), errors.ConnectionLost),
        (imaplib.IMAP4.abort("unexpected response: b'x'"), errors.ProtocolViolation),
        (imaplib.IMAP4.abort("bye now"), errors.ServerBusy),
        (imaplib.IMAP4.error("b'* BYE busy'"), errors.ServerBusy),
        (IMAPClientError("select failed: [NONEXISTENT] no"), errors.FolderMissing),
        (IMAPClientError("no"), errors.CommandRefused),
        (UnicodeDecodeError("ascii", b"\xff", 0, 1, "no"), errors.ProtocolViolation),
    ],
)
def test_the_particular_is_translated_before_the_general(problem: Exception, kind: type[MailError]) -> None:
    assert type(translating.translate(problem, str)) is kind


def test_no_line_of_the_table_hides_a_later_one() -> None:
    table = [kind for kind, _ in translating.ERRORS]
    hidden = [
        (earlier, later)
        for position, later in enumerate(table)
        for earlier in table[:position]
        if issubclass(later, earlier)
    ]
    assert hidden == []


def test_failures_of_the_programmer_are_not_translated() -> None:
    with pytest.raises(ZeroDivisionError), translating.translated(str):
        raise ZeroDivisionError


def test_long_replies_are_cut() -> None:
    assert len(errors.MessageRefused("No.", server_reply="x" * 5000).server_reply) == 500


def test_a_deadline_that_is_over_says_so() -> None:
    deadline = Deadline.after(-1)
    assert deadline.remaining() == 0
    with pytest.raises(DeadlineExceeded):
        deadline.check()


def test_contexts_are_made_once_for_each_trust() -> None:
    assert tls_context("") is tls_context("")


def test_contexts_are_strict() -> None:
    context = tls_context("")
    names = {cipher["name"] for cipher in context.get_ciphers()}
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.check_hostname
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert not any(name.startswith("AES") or "RC4" in name for name in names)
    assert "ECDHE-RSA-AES256-GCM-SHA384" in names


def test_certificates_that_cannot_be_read_are_named() -> None:
    with pytest.raises(TlsFailed, match="PEM"):
        tls_context("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")


def test_a_transcript_keeps_the_beginning_and_the_end_and_says_so() -> None:
    transcript = Transcript(first=1, last=2)
    transcript.client("one")
    transcript.server("two")
    transcript.server("three " + "x" * 1000)
    transcript.server("four")
    lines = transcript.text().splitlines()
    assert lines[:2] == ["C: one", "(1 more lines)"]
    assert len(lines[2]) < 400
    assert lines[3] == "S: four"


def test_a_transcript_hides_secrets_and_control_characters() -> None:
    transcript = Transcript()
    transcript.hide(("secret",))
    transcript.server("your secret\x1b[31m is safe")
    assert transcript.text() == "S: your ••• [31m is safe"


def test_every_form_of_a_secret_is_taken_out() -> None:
    assert redact("a b a", ("a",)) == "••• b •••"


def test_every_protocol_has_its_client() -> None:
    assert set(INCOMING) == {"imap", "pop3"}
    assert set(OUTGOING) == {"smtp"}


def test_imapclients_costly_log_is_off() -> None:
    # It formats every message with repr() when this private number is not 0.
    source = Path(str(Session.__init__.__code__.co_filename)).read_text(encoding="utf-8")
    assert "self._imap.debug = 0" in source
