"""Sending over SMTP servers that behave and that do not."""

import base64
from collections.abc import Callable
from dataclasses import replace

import pytest

from emailsync.mail.auth import Password
from emailsync.mail.endpoint import Security
from emailsync.mail.envelope import SendResult
from emailsync.mail.errors import (
    AppPasswordNeeded,
    ConnectionLost,
    EncryptionRequired,
    GreetingStrange,
    HostRefused,
    LoginMechanismMissing,
    LoginRefused,
    LoginRequired,
    LoginThrottled,
    MailError,
    MessageRefused,
    MessageTooLarge,
    OutcomeUnknown,
    PasswordExpired,
    PlainTextAnswered,
    ProtocolViolation,
    QuotaExceeded,
    RecipientsRefused,
    SenderRefused,
    ServerBusy,
    StartTlsMissing,
    TimedOut,
    TlsExpected,
    TooManyConnections,
)
from emailsync.mail.smtp import SmtpClient, open_smtp
from emailsync.mail.wire import Wire
from emailsync.management.selftest.certificates import Authority
from emailsync.management.selftest.scripted_smtp import ScriptedSmtp
from tests.mail.conftest import PASSWORD, endpoint_of

Sender = Callable[[ScriptedSmtp], SmtpClient]
MESSAGE = b"Subject: hello\r\n\r\nHello\r\n"


class Moment:
    """Note whether the body was about to go out."""

    def __init__(self) -> None:
        self.came = 0

    def __call__(self) -> None:
        self.came += 1


def send(
    client: SmtpClient,
    *recipients: str,
    content: bytes = MESSAGE,
    sender: str = "ann@example.com",
    before_body: Callable[[], None] | None = None,
) -> SendResult:
    """Send one message."""
    return client.send(
        sender=sender,
        recipients=recipients or ("bob@example.org",),
        content=content,
        before_body=before_body or Moment(),
    )


def test_a_message_is_handed_over(sender: Sender) -> None:
    with ScriptedSmtp() as server, sender(server) as client:
        result = send(client, "bob@example.org", "cy@example.org")
    assert result == SendResult(("bob@example.org", "cy@example.org"), {}, "250 2.0.0 taken")
    assert server.bodies == [MESSAGE]


def test_without_pipelining_commands_go_one_by_one(sender: Sender) -> None:
    with ScriptedSmtp() as server:
        server.extensions = [b"AUTH PLAIN"]
        with sender(server) as client:
            assert send(client, "a@b.example", "c@d.example").accepted == ("a@b.example", "c@d.example")


def test_many_recipients_go_in_flights(sender: Sender) -> None:
    addresses = tuple(f"p{number}@example.org" for number in range(180))
    with ScriptedSmtp() as server, sender(server) as client:
        assert send(client, *addresses).accepted == addresses


def test_one_connection_takes_many_messages(sender: Sender) -> None:
    with ScriptedSmtp() as server, sender(server) as client:
        send(client)
        client.reset()
        send(client)
    assert (server.connections, len(server.bodies)) == (1, 2)


def test_the_moment_before_the_body_is_told_once(sender: Sender) -> None:
    moment = Moment()
    with ScriptedSmtp() as server, sender(server) as client:
        send(client, before_body=moment)
    assert moment.came == 1


def test_giving_up_at_the_last_moment_sends_nothing(sender: Sender) -> None:
    def fail() -> None:
        raise KeyError("the lease is lost")

    with ScriptedSmtp() as server, sender(server) as client, pytest.raises(KeyError):
        send(client, before_body=fail)
    assert server.bodies == []


def test_lines_with_leading_dots_are_doubled(sender: Sender) -> None:
    content = b".first\r\n..\r\n.\r\nlast\r\n"
    with ScriptedSmtp() as server, sender(server) as client:
        send(client, content=content)
    assert [body.replace(b"\r\n.", b"\r\n") for body in server.bodies] == [
        b".." + content[1:].replace(b"", b"")
    ]


@pytest.mark.parametrize("end", [b"\n.\n", b"\r.\r", b"\r\n.\r", b"\n.\r\n", b"\r.\r\n", b"\r\n\x00.\r\n"])
def test_no_second_message_can_be_smuggled_in(sender: Sender, end: bytes) -> None:
    content = b"Subject: a\r\n\r\nbody" + end + b"MAIL FROM:<evil@example.com>\r\n"
    with ScriptedSmtp() as server, sender(server) as client:
        send(client, content=content)
        send(client)
    assert len(server.bodies) == 2
    assert sum(line.startswith(b"MAIL") for line in server.heard) == 2


def test_a_message_without_a_last_line_end_gets_one(sender: Sender) -> None:
    with ScriptedSmtp() as server, sender(server) as client:
        send(client, content=b"no end")
    assert server.bodies == [b"no end\r\n"]


def test_refused_recipients_are_named_and_the_others_served(sender: Sender) -> None:
    with ScriptedSmtp() as server, sender(server) as client:
        server.replies["RCPT gone@example.org"] = b"550 5.1.1 no such user"
        result = send(client, "bob@example.org", "gone@example.org")
    assert result.accepted == ("bob@example.org",)
    assert result.refused == {"gone@example.org": "550 5.1.1 no such user"}


def test_when_everybody_is_refused_no_body_is_sent(sender: Sender) -> None:
    moment = Moment()
    with ScriptedSmtp() as server, sender(server) as client:
        server.replies["RCPT"] = b"550 5.1.1 no such user"
        with pytest.raises(RecipientsRefused) as caught:
            send(client, "a@b.example", "c@d.example", before_body=moment)
        server.replies.clear()
        send(client)
    assert list(caught.value.refused) == ["a@b.example", "c@d.example"]
    assert caught.value.permanent
    assert (moment.came, len(server.bodies)) == (0, 1)


def test_recipients_refused_for_now_are_tried_again(sender: Sender) -> None:
    with ScriptedSmtp() as server, sender(server) as client:
        server.replies["RCPT"] = b"451 4.3.0 try later"
        with pytest.raises(RecipientsRefused) as caught:
            send(client)
    assert not caught.value.permanent


@pytest.mark.parametrize(
    ("stage", "reply", "kind", "permanent"),
    [
        ("MAIL", b"550 5.7.1 not you", SenderRefused, True),
        ("MAIL", b"451 4.7.1 not now", SenderRefused, False),
        ("MAIL", b"530 5.7.0 Authentication required", LoginRequired, True),
        ("MAIL", b"530 5.7.0 Must issue a STARTTLS command first", EncryptionRequired, True),
        ("MAIL", b"552 5.3.4 too big", MessageTooLarge, True),
        ("MAIL", b"421 4.3.2 shutting down", ServerBusy, False),
        ("DATA", b"554 5.7.1 no thanks", MessageRefused, True),
        ("DATA", b"451 4.3.0 not now", MessageRefused, False),
        ("body", b"550 5.7.1 spam", MessageRefused, True),
        ("body", b"451 4.3.0 disk trouble", MessageRefused, False),
        ("body", b"552 5.2.2 mailbox full", QuotaExceeded, True),
        ("body", b"452 4.2.2 mailbox full", QuotaExceeded, False),
        ("body", b"552 too big", MessageTooLarge, True),
    ],
)
def test_a_refusal_is_permanent_or_not_by_its_code(
    sender: Sender, stage: str, reply: bytes, kind: type[MailError], *, permanent: bool
) -> None:
    with ScriptedSmtp() as server, sender(server) as client:
        server.replies[stage] = reply
        with pytest.raises(kind) as caught:
            send(client)
    assert type(caught.value) is kind
    assert caught.value.permanent is permanent
    assert caught.value.server_reply == reply.decode()


@pytest.mark.parametrize("stage", ["MAIL", "DATA", "body"])
def test_after_a_refusal_the_connection_serves_the_next_message(sender: Sender, stage: str) -> None:
    with ScriptedSmtp() as server, sender(server) as client:
        server.replies[stage] = b"550 5.0.0 no"
        with pytest.raises(MailError):
            send(client)
        server.replies.clear()
        assert send(client).accepted == ("bob@example.org",)


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA"])
def test_a_connection_lost_before_the_body_is_merely_lost(sender: Sender, stage: str) -> None:
    moment = Moment()
    with ScriptedSmtp() as server, sender(server) as client:
        server.replies[stage] = None
        with pytest.raises(ConnectionLost):
            send(client, before_body=moment)
    assert moment.came == 0


def test_a_connection_lost_after_the_body_leaves_the_outcome_unknown(sender: Sender) -> None:
    with ScriptedSmtp() as server, sender(server) as client:
        server.replies["body"] = None
        with pytest.raises(OutcomeUnknown):
            send(client)
    assert server.bodies == [MESSAGE]


@pytest.mark.parametrize("answer", [b"what?", b"999 odd", b"\xff\xfe"])
def test_an_answer_that_is_not_smtp_after_the_body_leaves_the_outcome_unknown(
    sender: Sender, answer: bytes
) -> None:
    with ScriptedSmtp() as server, sender(server) as client:
        server.replies["body"] = answer
        with pytest.raises(OutcomeUnknown):
            send(client)


def test_silence_after_the_body_leaves_the_outcome_unknown(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emailsync.mail.transmission.END_OF_BODY_PATIENCE", 1.0)
    hasty = replace(wire, timeout=1.0)
    with ScriptedSmtp() as server, open_smtp(endpoint_of(server), PASSWORD, hasty) as client:
        server.replies["body"] = b""
        with pytest.raises(OutcomeUnknown):
            send(client)


def test_a_body_cut_short_was_not_sent(sender: Sender) -> None:
    with ScriptedSmtp() as server, sender(server) as client:
        server.extensions = []
        server.stop_reading_body_after = 1000
        server.replies["body"] = b"552 5.3.4 enough"
        with pytest.raises((MessageTooLarge, ConnectionLost)):
            send(client, content=b"x" * 900_000 + b"\r\n" * 1_000_000)
    assert server.bodies == []


def test_silence_before_the_body_times_out(wire: Wire) -> None:
    with ScriptedSmtp() as server:
        server.replies["DATA"] = b""
        client = open_smtp(endpoint_of(server), PASSWORD, replace(wire, timeout=1.0))
        with client, pytest.raises(TimedOut):
            send(client)


def test_a_message_above_the_servers_limit_is_not_offered(sender: Sender) -> None:
    with ScriptedSmtp() as server, sender(server) as client:
        with pytest.raises(MessageTooLarge, match="1000000"):
            send(client, content=b"x\r\n" * 400_000)
        assert not any(line.startswith(b"MAIL") for line in server.heard)


@pytest.mark.parametrize(
    "limit", ["0", "much", "²", "9" * 5000], ids=["0", "word", "superscript", "5000 digits"]
)
def test_a_limit_that_is_none_stops_nothing(sender: Sender, limit: str) -> None:
    with ScriptedSmtp() as server:
        server.extensions[1] = f"SIZE {limit}".encode()
        with sender(server) as client:
            send(client)
    assert len(server.bodies) == 1


def test_eight_bit_content_is_announced(sender: Sender) -> None:
    with ScriptedSmtp() as server, sender(server) as client:
        send(client, content="grüße\r\n".encode())
    assert any(line.endswith(b"BODY=8BITMIME") for line in server.heard)


def test_wide_addresses_are_announced_where_offered(sender: Sender) -> None:
    with ScriptedSmtp() as server:
        server.extensions.append(b"SMTPUTF8")
        with sender(server) as client:
            send(client, "jürgen@example.org")
    assert "RCPT TO:<jürgen@example.org>".encode() in server.heard
    assert any(line.endswith(b"SMTPUTF8") for line in server.heard)


def test_wide_addresses_are_refused_by_us_where_not_offered(sender: Sender) -> None:
    with ScriptedSmtp() as server, sender(server) as client:
        result = send(client, "jürgen@example.org", "bob@bücher.example")
    assert list(result.refused) == ["jürgen@example.org"]
    assert b"RCPT TO:<bob@xn--bcher-kva.example>" in server.heard


def test_a_wide_sender_needs_a_server_that_takes_it(sender: Sender) -> None:
    with ScriptedSmtp() as server, sender(server) as client, pytest.raises(SenderRefused):
        send(client, sender="jürgen@example.org")


@pytest.mark.parametrize("address", ["a@b\r\nRCPT TO:<evil@example.com>", "a@b\0"])
def test_line_breaks_in_addresses_are_refused(sender: Sender, address: str) -> None:
    with ScriptedSmtp() as server, sender(server) as client, pytest.raises(MessageRefused, match="recipient"):
        send(client, address)


def test_brackets_in_addresses_are_refused(sender: Sender) -> None:
    with ScriptedSmtp() as server, sender(server) as client, pytest.raises(MessageRefused):
        send(client, "a@b> NOTIFY=NEVER")


def test_the_password_is_sent_by_plain(sender: Sender) -> None:
    with ScriptedSmtp() as server, sender(server):
        line = next(line for line in server.heard if line.startswith(b"AUTH"))
    assert base64.b64decode(line.split()[-1]) == "\0ann\0pass word ü".encode()


def test_login_is_used_where_plain_is_not_offered(sender: Sender) -> None:
    with ScriptedSmtp() as server:
        server.extensions = [b"AUTH LOGIN"]
        with sender(server):
            answers = [base64.b64decode(line) for line in server.heard[-2:]]
    assert answers == [b"ann", "pass word ü".encode()]


def test_without_a_credential_nobody_signs_in(wire: Wire) -> None:
    with ScriptedSmtp() as server, open_smtp(endpoint_of(server), None, wire) as client:
        send(client)
    assert not any(line.startswith(b"AUTH") for line in server.heard)


def test_a_server_without_sign_in_says_so(sender: Sender) -> None:
    with ScriptedSmtp() as server:
        server.extensions = []
        with pytest.raises(LoginMechanismMissing):
            sender(server)


def test_signing_in_for_another_mailbox_needs_plain(wire: Wire) -> None:
    with ScriptedSmtp() as server:
        server.extensions = [b"AUTH LOGIN"]
        with pytest.raises(LoginMechanismMissing):
            open_smtp(endpoint_of(server), Password("m", "p", "box"), wire)


@pytest.mark.parametrize(
    ("reply", "kind", "permanent"),
    [
        (b"535 5.7.8 wrong", LoginRefused, True),
        (b"535 wrong", LoginRefused, True),
        (b"534 5.7.9 Application-specific password required", AppPasswordNeeded, True),
        (b"534 5.7.9 mechanism is too weak", LoginMechanismMissing, True),
        (b"504 5.5.4 unknown mechanism", LoginMechanismMissing, True),
        (b"538 5.7.11 Encryption required", EncryptionRequired, True),
        (b"530 5.7.0 Must issue a STARTTLS command first", EncryptionRequired, True),
        (b"454 4.7.0 Temporary authentication failure", LoginThrottled, False),
        (b"432 4.7.12 A password transition is needed", PasswordExpired, True),
        (b"421 4.7.0 Too many connections", TooManyConnections, False),
        (b"nonsense", ProtocolViolation, False),
    ],
)
def test_a_refused_sign_in_is_permanent_or_not_by_its_code(
    sender: Sender, reply: bytes, kind: type[MailError], *, permanent: bool
) -> None:
    with ScriptedSmtp() as server:
        server.replies["AUTH"] = reply
        with pytest.raises(kind) as caught:
            sender(server)
    assert type(caught.value) is kind
    assert caught.value.permanent is permanent


def test_the_transcript_has_no_password(sender: Sender, wire: Wire) -> None:
    with ScriptedSmtp() as server:
        server.extensions = [b"AUTH LOGIN"]
        with sender(server) as client:
            send(client)
    assert wire.transcript is not None
    text = wire.transcript.text()
    assert base64.b64encode("pass word ü".encode()).decode() not in text
    assert "C: MAIL FROM:<ann@example.com>" in text
    assert "Hello" not in text


@pytest.mark.parametrize(
    ("greeting", "kind"),
    [
        (b"554 5.7.1 blocked", HostRefused),
        (b"421 4.3.2 too busy", ServerBusy),
        (b"* OK IMAP4rev1 ready", GreetingStrange),
        (b"\xff\0\xfe", ProtocolViolation),
        (b"220 " + b"x" * 100_000, ProtocolViolation),
        (b"220-more\r\n" * 20_000, ProtocolViolation),
        (b"\x15\x03\x01\x00\x02\x02\x50", TlsExpected),
        (None, ConnectionLost),
    ],
)
def test_a_greeting_tells_what_is_wrong(
    sender: Sender, greeting: bytes | None, kind: type[MailError]
) -> None:
    with ScriptedSmtp() as server:
        server.replies["greeting"] = greeting
        with pytest.raises(kind):
            sender(server)


def test_starttls_forgets_what_was_said_before(wire: Wire, certificates: Authority) -> None:
    with (
        ScriptedSmtp(certificate=certificates.server) as server,
        open_smtp(endpoint_of(server, Security.STARTTLS), PASSWORD, wire) as client,
    ):
        send(client)
        assert "STARTTLS" not in client.capabilities
    hellos = [number for number, line in enumerate(server.heard) if line.upper().startswith(b"EHLO")]
    assert len(hellos) == 2


def test_bytes_slipped_in_before_tls_close_the_connection(wire: Wire, certificates: Authority) -> None:
    with ScriptedSmtp(certificate=certificates.server) as server:
        server.replies["STARTTLS"] = b"220 go ahead\r\n250 AUTH PLAIN"
        with pytest.raises(ProtocolViolation):
            open_smtp(endpoint_of(server, Security.STARTTLS), PASSWORD, wire)


def test_a_server_without_starttls_is_refused(wire: Wire) -> None:
    with ScriptedSmtp() as server, pytest.raises(StartTlsMissing):
        open_smtp(endpoint_of(server, Security.STARTTLS), PASSWORD, wire)


def test_a_server_that_refuses_starttls_for_now_is_tried_again(wire: Wire, certificates: Authority) -> None:
    with ScriptedSmtp(certificate=certificates.server) as server:
        server.replies["STARTTLS"] = b"454 4.7.0 TLS not available"
        with pytest.raises(StartTlsMissing) as caught:
            open_smtp(endpoint_of(server, Security.STARTTLS), PASSWORD, wire)
    assert not caught.value.permanent


def test_implicit_tls_works(wire: Wire, certificates: Authority) -> None:
    with (
        ScriptedSmtp(certificate=certificates.server, implicit_tls=True) as server,
        open_smtp(endpoint_of(server, Security.TLS), PASSWORD, wire) as client,
    ):
        assert send(client).accepted == ("bob@example.org",)


def test_plain_text_where_tls_is_expected_is_recognised(wire: Wire) -> None:
    with ScriptedSmtp() as server, pytest.raises(PlainTextAnswered):
        open_smtp(endpoint_of(server, Security.TLS), PASSWORD, wire)
