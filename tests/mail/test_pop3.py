"""Reading a maildrop over POP3, on a server that does what it is told."""

import base64
import hashlib
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from emailsync.mail.auth import Password
from emailsync.mail.endpoint import Security
from emailsync.mail.errors import (
    CommandRefused,
    ConnectionLost,
    EncryptionRequired,
    GreetingStrange,
    LoginMechanismMissing,
    LoginRefused,
    LoginThrottled,
    MailboxLocked,
    MailError,
    MessageUnreadable,
    ProtocolViolation,
    ServerBusy,
    StartTlsMissing,
)
from emailsync.mail.incoming import MADE_UP, PIECE, FetchedMessage
from emailsync.mail.pop3 import Pop3Client, open_pop3, received_at
from emailsync.mail.wire import Wire
from emailsync.management.selftest.certificates import Authority
from emailsync.management.selftest.scripted import Peer
from emailsync.management.selftest.scripted_pop3 import Letter, ScriptedPop3, answer, hang_up
from tests.mail.conftest import PASSWORD, endpoint_of

Enter = Callable[[ScriptedPop3], Pop3Client]
NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)


@pytest.fixture
def enter(wire: Wire) -> Enter:
    """Give a function that signs in at a scripted POP3 server, without encryption."""
    return lambda server: open_pop3(endpoint_of(server), PASSWORD, wire)


def fetched(client: Pop3Client) -> list[FetchedMessage]:
    """Fetch all there is."""
    return list(client.fetch(client.describe(client.ids_after(0), dates=False)))


def contents(client: Pop3Client) -> list[bytes]:
    """Return the bytes of all messages."""
    found = []
    for message in fetched(client):
        with message.body.open() as stream:
            found.append(stream.read())
    return found


# Signing in


def test_a_password_is_sent_by_sasl_plain_for_whom_it_is(wire: Wire) -> None:
    master = Password("master", "pass", authorization_identity="ann")
    with ScriptedPop3() as server, open_pop3(endpoint_of(server), master, wire):
        line = next(line for line in server.heard if line.startswith(b"AUTH"))
    assert line.startswith(b"AUTH PLAIN ")
    assert base64.b64decode(line.split()[2]) == b"ann\0master\0pass"


def test_a_long_password_travels_in_a_line_of_its_own(wire: Wire) -> None:
    with ScriptedPop3() as server, open_pop3(endpoint_of(server), Password("ann", "x" * 300), wire):
        pass
    assert server.heard[1] == b"AUTH PLAIN"
    assert base64.b64decode(server.heard[2]) == b"\0ann\0" + b"x" * 300


@pytest.mark.parametrize(
    ("capabilities", "heard"),
    [
        ([b"USER"], [b"USER ann", "PASS pass word ü".encode()]),
        (
            [b"SASL LOGIN"],
            [b"AUTH LOGIN", base64.b64encode(b"ann"), base64.b64encode("pass word ü".encode())],
        ),
    ],
)
def test_other_ways_to_sign_in_are_taken_as_offered(
    enter: Enter, capabilities: list[bytes], heard: list[bytes]
) -> None:
    with ScriptedPop3() as server:
        server.capabilities = capabilities
        enter(server).close()
    assert server.heard[1 : 1 + len(heard)] == heard


def test_a_server_without_capa_is_signed_in_to_by_user_and_pass(enter: Enter) -> None:
    with ScriptedPop3({b"a": b"x\r\n"}) as server:
        server.on("CAPA", answer(b"-ERR what?\r\n"))
        with enter(server) as client:
            assert contents(client) == [b"x\r\n"]


@pytest.mark.parametrize(
    ("identity", "capabilities", "kind"),
    [("bob", [b"USER"], LoginMechanismMissing), ("", [b"SASL GSSAPI"], EncryptionRequired)],
)
def test_what_cannot_be_done_is_not_tried(
    wire: Wire, identity: str, capabilities: list[bytes], kind: type[MailError]
) -> None:
    with ScriptedPop3() as server:
        server.capabilities = capabilities
        with pytest.raises(kind):
            open_pop3(endpoint_of(server), Password("ann", "pass", identity), wire)
    assert server.heard == [b"CAPA"]


@pytest.mark.parametrize(
    ("reply", "kind", "permanent"),
    [
        (b"[IN-USE] Do you have another POP session running?", MailboxLocked, False),
        (b"maildrop already locked", MailboxLocked, False),
        (b"[SYS/TEMP] try later", LoginThrottled, False),
        (b"[SYS/PERM] no such maildrop", CommandRefused, True),
        (b"[AUTH] wrong, please try again", LoginRefused, True),
        (b"invalid login", LoginRefused, True),
    ],
)
@pytest.mark.parametrize("capability", [b"SASL PLAIN", b"USER"])
def test_a_refused_sign_in_is_told_by_its_code(
    enter: Enter, reply: bytes, kind: type[MailError], *, permanent: bool, capability: bytes
) -> None:
    with ScriptedPop3() as server:
        server.capabilities = [capability]
        for command in ("AUTH", "PASS"):
            server.on(command, answer(b"-ERR " + reply + b"\r\n"))
        with pytest.raises(kind) as caught:
            enter(server)
    assert caught.value.permanent is permanent
    assert caught.value.server_reply == reply.decode()


def test_a_password_is_in_no_reply_and_no_transcript(wire: Wire) -> None:
    with ScriptedPop3() as server:
        server.capabilities = [b"USER"]
        server.on("PASS", lambda peer, rest: peer.send(b"-ERR wrong: " + rest + b"\r\n"))
        with pytest.raises(LoginRefused) as caught:
            open_pop3(endpoint_of(server), PASSWORD, wire)
    assert "pass word" not in caught.value.server_reply
    assert wire.transcript is not None
    assert "pass word" not in wire.transcript.text()


@pytest.mark.parametrize(
    ("greeting", "kind"),
    [
        (b"* OK IMAP4rev1 ready", ProtocolViolation),
        (b"-ERR [SYS/TEMP] too busy", ServerBusy),
        (b"x" * 10_000, ProtocolViolation),
    ],
)
def test_a_strange_greeting_is_named(enter: Enter, greeting: bytes, kind: type[MailError]) -> None:
    with ScriptedPop3() as server:
        server.greeting = greeting
        with pytest.raises(kind):
            enter(server)


# Encryption


@pytest.mark.parametrize("security", [Security.TLS, Security.STARTTLS])
def test_the_sign_in_waits_for_the_encryption(
    wire: Wire, certificates: Authority, security: Security
) -> None:
    with ScriptedPop3(
        {b"a": b"x\r\n"}, certificate=certificates.server, implicit_tls=security is Security.TLS
    ) as server:
        with open_pop3(endpoint_of(server, security), PASSWORD, wire) as client:
            assert client.connection.is_encrypted
            assert contents(client) == [b"x\r\n"]
        heard = [line.split()[0] for line in server.heard]
    # What the server could do before is asked for anew.
    assert heard[:5] == (
        [b"CAPA", b"STLS", b"CAPA", b"AUTH", b"STAT"]
        if security is Security.STARTTLS
        else [b"CAPA", b"AUTH", b"STAT", b"LIST", b"UIDL"]
    )


def test_bytes_before_the_encryption_are_not_trusted(wire: Wire, certificates: Authority) -> None:
    with ScriptedPop3(certificate=certificates.server) as server:
        server.after_stls = b"+OK you are signed in\r\n"
        with pytest.raises(ProtocolViolation, match="before the encryption"):
            open_pop3(endpoint_of(server, Security.STARTTLS), PASSWORD, wire)
    assert server.heard == [b"CAPA", b"STLS"]


@pytest.mark.parametrize("reply", [b"", b"-ERR not now\r\n"])
def test_a_server_without_stls_hears_no_password(wire: Wire, certificates: Authority, reply: bytes) -> None:
    with ScriptedPop3(certificate=certificates.server if reply else None) as server:
        server.on("STLS", answer(reply))
        with pytest.raises(StartTlsMissing):
            open_pop3(endpoint_of(server, Security.STARTTLS), PASSWORD, wire)
    assert all(line in {b"CAPA", b"STLS"} for line in server.heard)


# Names


def test_names_sizes_and_numbers_are_told(enter: Enter) -> None:
    with ScriptedPop3({b"a": b"one\r\n", b"b": b"three\r\n"}) as server, enter(server) as client:
        status = client.status()
        assert (status.messages, status.octets, status.uidnext) == (2, 12, 3)
        assert dict(client.uidls) == {1: "a", 2: "b"}
        assert [(m.uid, m.size, m.key) for m in client.describe([1, 2, 7])] == [(1, 5, "a"), (2, 7, "b")]


def test_an_empty_maildrop_is_not_listed(enter: Enter) -> None:
    with ScriptedPop3() as server, enter(server) as client:
        assert client.ids_after(0) == []
    assert server.heard[-2:] == [b"STAT", b"QUIT"]


def test_a_name_that_is_too_long_is_known_by_its_digest(enter: Enter) -> None:
    long, other = b"n" * 200, b"n" * 199 + b"x"
    with ScriptedPop3({long: b"1", other: b"2", b"with space": b"3"}) as server, enter(server) as client:
        names = list(client.uidls.values())
    assert names[0] == f"sha256 {hashlib.sha256(long).hexdigest()[:56]}"
    assert len(set(names)) == 3
    assert max(map(len, names)) <= 70


def test_without_uidl_messages_are_known_by_header_and_size(enter: Enter) -> None:
    letters = {b"1": b"Subject: a\r\n\r\none\r\n", b"2": b"Subject: a\r\n\r\nlonger\r\n"}
    with ScriptedPop3(letters) as server:
        server.capabilities = [b"USER", b"TOP"]
        with enter(server) as client:
            before = client.uidls
        server.letters.insert(0, Letter(b"3", b"Subject: b\r\n\r\none\r\n"))
        with enter(server) as client:
            after = client.uidls
    assert all(name.startswith(MADE_UP) for name in after.values())
    assert (after[2], after[3]) == (before[1], before[2])
    assert len(set(after.values())) == 3


def test_without_uidl_and_top_messages_are_read_whole_to_be_known(enter: Enter) -> None:
    with ScriptedPop3({b"1": b"Subject: a\r\n\r\none\r\n"}) as server:
        server.capabilities = [b"USER", b"TOP"]
        with enter(server) as client:
            by_header = dict(client.uidls)
        server.capabilities = [b"USER"]
        with enter(server) as client:
            assert dict(client.uidls) == by_header
    assert b"RETR 1" in server.heard


def test_a_message_without_a_name_that_is_refused_is_listed_all_the_same(enter: Enter) -> None:
    with ScriptedPop3({b"a": b"A: 1\r\n\r\n", b"b": b"A: 2\r\n\r\n"}) as server, enter(server) as client:
        server.on("UIDL", answer(b"-ERR\r\n"))
        server.on("TOP", answer(b"-ERR\r\n"))
        server.on("RETR", answer(b"-ERR [SYS/TEMP] not now\r\n"))
        assert client.ids_after(0) == [1, 2]
        with pytest.raises(ServerBusy):
            fetched(client)


def test_a_message_that_has_a_name_and_no_size_is_not_overlooked(enter: Enter) -> None:
    with ScriptedPop3({b"a": b"A: 1\r\n\r\n", b"b": b"A: 2\r\n\r\n"}) as server, enter(server) as client:
        server.on("LIST", answer(b"+OK\r\n1 8\r\n.\r\n"))
        assert contents(client) == [b"A: 1\r\n\r\n", b"A: 2\r\n\r\n"]


def test_nothing_is_not_taken_for_a_message_that_has_a_size(enter: Enter) -> None:
    with ScriptedPop3({b"a": b"A: 1\r\n\r\n"}) as server, enter(server) as client:
        server.on("RETR", answer(b"+OK\r\n.\r\n"))
        with pytest.raises(MessageUnreadable):
            fetched(client)


def test_capabilities_without_end_are_cut_off(enter: Enter) -> None:
    with ScriptedPop3() as server:
        server.on("CAPA", answer(b"+OK\r\n" + b"X\r\n" * 50_000 + b".\r\n"))
        with pytest.raises(ProtocolViolation):
            enter(server)


def test_no_two_messages_share_a_name(enter: Enter) -> None:
    with ScriptedPop3() as server:
        same, other = b"Subject: a\r\n\r\none\r\n", b"Subject: b\r\n\r\none\r\n"
        server.letters = [Letter(b"x", same), Letter(b"x", other), Letter(b"x", same), Letter(b"y", same)]
        with enter(server) as client:
            names = list(client.uidls.values())
    assert len(set(names)) == 4
    assert names[3] == "y"


# Fetching


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
def test_messages_come_byte_for_byte(enter: Enter, *, pipelining: bool, line_end: bytes) -> None:
    mails = [
        b"",
        b"\r\n",
        b".\r\n",
        b"..\r\n.\r\n...\r\n",
        b"a\nb\n.\nc\n\r\n",
        b"\0\xff\r\rx\r\n",
        b"." * 300_000 + b"\r\n.\r\n",
        b".\r\n" * 600_000,
        b"x" * (3 * PIECE) + b"\r\n..\r\n",
    ]
    if line_end == b"\n":
        mails = [mail.replace(b"\r", b"") for mail in mails if b"\n.\nc" not in mail]
    with ScriptedPop3({b"%d" % number: mail for number, mail in enumerate(mails)}) as server:
        if not pipelining:
            server.capabilities.remove(b"PIPELINING")
        server.line_end = line_end
        with enter(server) as client:
            assert contents(client) == mails


def test_a_message_cannot_end_itself(enter: Enter) -> None:
    forged = b"Subject: x\r\n\r\n\n.\n+OK\nSubject: forged\n\n.\r\n"
    with ScriptedPop3({b"a": forged, b"b": b"true\r\n"}) as server, enter(server) as client:
        assert contents(client) == [forged, b"true\r\n"]


def test_one_command_at_a_time_where_no_more_are_allowed(enter: Enter) -> None:
    together: list[bool] = []
    with ScriptedPop3({b"%d" % number: b"x\r\n" for number in range(5)}) as server:
        server.capabilities.remove(b"PIPELINING")

        def note(peer: Peer, rest: bytes) -> None:
            together.append(bool(peer._waiting))
            peer.send(b"+OK\r\nx\r\n.\r\n")

        server.on("RETR", note)
        with enter(server) as client:
            assert len(fetched(client)) == 5
    assert together == [False] * 5


def test_no_more_commands_are_on_their_way_than_the_window_holds(enter: Enter) -> None:
    mails = {b"%d" % number: b"x\r\n" for number in range(500)}
    with ScriptedPop3(mails) as server, enter(server) as client:
        messages = client.fetch(client.describe(client.ids_after(0), dates=False))
        next(messages)
        assert client._dialogue.waiting < 64
        assert len(list(messages)) == 499


def test_a_large_message_takes_little_memory(enter: Enter) -> None:
    mail = b"Subject: large\r\n\r\n" + b"0123456789abcdef.\r\n" * (50 * PIECE // 19)
    with ScriptedPop3({b"a": mail}) as server:
        server.on("RETR", _in_pieces(mail))
        with enter(server) as client:
            described = client.describe([1], dates=False)
            tracemalloc.start()
            (message,) = client.fetch(described)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert message.size == len(mail)
            assert message.body.sha256 == hashlib.sha256(mail).digest()
            message.body.close()
    assert peak < 10 * PIECE


def _in_pieces(mail: bytes) -> Callable[[Peer, bytes], None]:
    """Send a message without copying all of it."""

    def behave(peer: Peer, rest: bytes) -> None:
        peer.send(b"+OK\r\n")
        for at in range(0, len(mail), PIECE):
            peer.send(mail[at : at + PIECE])
        peer.send(b".\r\n")

    return behave


def test_withheld_messages_are_named_after_all_others_came(enter: Enter) -> None:
    with ScriptedPop3({b"a": b"1\r\n", b"b": b"2\r\n", b"c": b"3\r\n"}) as server:
        server.on(
            "RETR",
            lambda peer, rest: peer.send(b"-ERR gone\r\n" if rest == b"2" else b"+OK\r\n%s\r\n.\r\n" % rest),
        )
        with enter(server) as client:
            messages = client.fetch(client.describe([1, 2, 3], dates=False))
            assert [next(messages).uid, next(messages).uid] == [1, 3]
            with pytest.raises(MessageUnreadable) as caught:
                next(messages)
    assert (caught.value.uids, caught.value.server_reply) == ((2,), "gone")


def test_headers_come_alone(enter: Enter) -> None:
    with ScriptedPop3({b"a": b"Subject: x\r\n\r\nbody\r\n"}) as server, enter(server) as client:
        (head,) = client.fetch_headers(client.describe([1], dates=False))
    assert head.body.content == b"Subject: x\r\n\r\n"


def test_a_conversation_cut_at_any_byte_yields_whole_messages_only(wire: Wire) -> None:
    mails = {b"a": b"X: 1\r\n\r\n.\r\none\r\n", b"b": b"X: 2\r\n\r\ntwo\r\n"}
    with ScriptedPop3(mails) as server:
        server.capabilities = [b"SASL PLAIN", b"UIDL", b"PIPELINING"]
        for cut in range(600):
            server.cut_after = cut
            came: list[bytes] = []
            try:
                with open_pop3(endpoint_of(server), PASSWORD, wire) as client:
                    messages = client.fetch(client.describe(client.ids_after(0), dates=False))
                    came.extend(message.body.content or b"" for message in messages)
            except (ConnectionLost, GreetingStrange):
                assert came == list(mails.values())[: len(came)]
            else:
                assert came == list(mails.values())
                return
    pytest.fail("The conversation was cut every time.")


# Dates


@pytest.mark.parametrize(
    ("head", "date"),
    [
        (
            b"Received: b;\r\n\tMon, 2 Nov 2026 10:00 +0100\r\nReceived: a; Sun, 1 Nov 2026 9:00 GMT\r\n\r\n",
            datetime(2026, 11, 2, 9, tzinfo=UTC),
        ),
        (
            b"Received: by b\r\nDate: Mon, 02 Nov 2026 10:00:00 GMT\r\n\r\n",
            datetime(2026, 11, 2, 10, tzinfo=UTC),
        ),
        (b"Date: Mon, 02 Nov 2099 10:00:00 GMT\r\n\r\n", NOW),
        (b"Subject: x\r\n\r\nDate: Mon, 02 Nov 2020 10:00:00 GMT\r\n", NOW),
        (b"Date: yesterday\r\n\r\n", NOW),
    ],
)
def test_a_message_came_when_its_last_server_says(head: bytes, date: datetime) -> None:
    assert received_at(head, now=NOW) == date


def test_dates_are_asked_for_only_where_they_are_wanted_or_cheap_beside_the_message(enter: Enter) -> None:
    with ScriptedPop3({b"a": b"x\r\n", b"b": b"Date: Mon, 02 Nov 2020 10:00:00 GMT\r\n\r\n"}) as server:
        server.claimed_sizes = {b"b": 2 * PIECE}
        with enter(server) as client:
            described = client.describe([1, 2], dates=False)
    assert described[1].received_at == datetime(2020, 11, 2, 10, tzinfo=UTC)
    assert [line for line in server.heard if line.startswith(b"TOP")] == [b"TOP 2 0"]


# Removing


def test_deletion_is_made_effective(enter: Enter) -> None:
    with ScriptedPop3({b"a": b"1\r\n", b"b": b"2\r\n"}) as server, enter(server) as client:
        client.delete([1])
        assert [letter.uidl for letter in server.letters] == [b"b"]


@pytest.mark.parametrize("command", ["DELE", "QUIT"])
def test_deletion_that_was_refused_or_cut_off_is_a_failure(enter: Enter, command: str) -> None:
    with ScriptedPop3({b"a": b"1\r\n"}) as server:
        server.on(command, answer(b"-ERR no\r\n"))
        with enter(server) as client, pytest.raises(CommandRefused):
            client.delete([1])
        server.on(command, hang_up)
        with enter(server) as client, pytest.raises(ConnectionLost):
            client.delete([1])


def test_a_server_that_removes_what_was_read_hears_a_farewell_only_when_that_is_stored(enter: Enter) -> None:
    with ScriptedPop3({b"a": b"1\r\n"}) as server:
        with enter(server) as client:
            fetched(client)
        assert b"QUIT" not in server.heard
        with enter(server) as client:
            fetched(client)
            client.finish()
        assert server.heard[-1] == b"QUIT"


def test_whoever_only_asked_says_goodbye(enter: Enter) -> None:
    with ScriptedPop3({b"a": b"1\r\n"}) as server:
        enter(server).close()
    assert server.heard[-1] == b"QUIT"
