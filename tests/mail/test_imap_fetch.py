"""Fetching messages from IMAP servers that behave and that do not."""

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from emailsync.mail import fetching
from emailsync.mail.errors import (
    ConnectionLost,
    DeadlineExceeded,
    MailError,
    MessageUnreadable,
    ProtocolViolation,
    ServerBusy,
    TimedOut,
)
from emailsync.mail.grouping import grouped
from emailsync.mail.imap import ImapClient, open_imap
from emailsync.mail.incoming import PIECE, FetchedMessage, RemoteMessage
from emailsync.mail.wire import Deadline, Wire
from emailsync.management.selftest.scripted import Peer
from emailsync.management.selftest.scripted_imap import (
    ScriptedImap,
    never_answer,
    refuse,
    say,
    say_and_hang_up,
    say_for_ever,
)
from tests.mail.conftest import PASSWORD, endpoint_of

Opened = Callable[[ScriptedImap], ImapClient]
NOW = datetime(2024, 2, 5, tzinfo=UTC)
SMALL = {1: b"one", 2: b"two\r\n* 9 FETCH (UID 9 BODY[] {3}\r\n", 5: b"five)\r\nE4 OK done\r\n"}


def remote(uid: int, size: int = 3) -> RemoteMessage:
    """Describe a message without asking a server."""
    return RemoteMessage(uid=uid, size=size, received_at=NOW)


def contents(messages: Iterator[FetchedMessage]) -> dict[int, bytes]:
    """Read the bodies of messages and give their files back."""
    found = {}
    for message in messages:
        with message.body.open() as stream:
            found[message.uid] = stream.read()
        assert len(found[message.uid]) == message.body.size
        assert hashlib.sha256(found[message.uid]).digest() == message.body.sha256
    return found


def test_headers_come_without_bodies(opened: Opened) -> None:
    letters = {4: b"Subject: Four\r\n\r\n" + b"x" * 3000, 7: b"Subject: Seven\r\n\r\nbody"}
    with ScriptedImap(letters) as server, opened(server) as client:
        found = contents(client.fetch_headers([remote(4, 3017), remote(7, 20)]))
    assert found == {4: b"Subject: Four\r\n\r\n", 7: b"Subject: Seven\r\n\r\n"}


def test_a_header_that_is_withheld_is_left_out(opened: Opened) -> None:
    with ScriptedImap(SMALL) as server, opened(server) as client:
        server.on("UID FETCH", refuse(b"not today"))
        assert contents(client.fetch_headers([remote(1)])) == {}


def test_bodies_arrive_as_they_are(opened: Opened) -> None:
    with ScriptedImap(SMALL) as server, opened(server) as client:
        assert contents(client.fetch(client.describe([1, 2, 5]))) == SMALL


def test_the_next_chunk_is_asked_for_before_this_one_is_read(opened: Opened) -> None:
    messages = dict.fromkeys(range(1, 501), b"x")
    with ScriptedImap(messages) as server, opened(server) as client:
        arriving = client.fetch([remote(uid, 1) for uid in messages])
        next(arriving)
        deadline = time.monotonic() + 30
        while sum(b"UID FETCH" in line for line in server.heard) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        commands = [line for line in server.heard if b"UID FETCH" in line]
        assert [line.split()[3] for line in commands] == [b"1:200", b"201:400"]
        assert len(list(arriving)) == 499


def test_chunks_are_bounded_in_bytes() -> None:
    messages = [remote(uid, 3 * 1024 * 1024) for uid in range(1, 6)]
    chunks = grouped(messages, most=fetching.CHUNK_MESSAGES, octets=fetching.CHUNK_BYTES)
    assert [len(chunk) for chunk in chunks] == [2, 2, 1]


def test_what_is_larger_than_a_chunk_comes_alone_and_nothing_is_left_out() -> None:
    messages = [remote(uid, size) for uid, size in enumerate((9, 1, 1, 1, 9, 1), start=1)]
    chunks = [[message.uid for message in chunk] for chunk in grouped(messages, most=2, octets=5)]
    assert chunks == [[1], [2, 3], [4], [5], [6]]


def test_announcements_and_repeated_answers_are_ignored(opened: Opened) -> None:
    answer = (
        b"* 12 EXISTS\r\n* 3 EXPUNGE\r\n* OK [HIGHESTMODSEQ 9] noted\r\n"
        b"* 2 FETCH (FLAGS (\\Seen) UID 2)\r\n"
        b"* 8 FETCH (UID 8 BODY[] {5}\r\nother)\r\n"
        b"* 1 FETCH (BODY[] {3}\r\none FLAGS (\\Seen) MODSEQ (4) UID 1)\r\n"
        b"* 1 FETCH (UID 1 BODY[] {5}\r\nagain)\r\n"
    )
    with ScriptedImap(SMALL) as server, opened(server) as client:
        server.on("UID FETCH", say(answer))
        assert contents(client.fetch([remote(1)])) == {1: b"one"}


@pytest.mark.parametrize(
    ("answer", "content"),
    [
        (b'* 1 FETCH (UID 1 BODY[] "a \\"quoted\\" one")\r\n', b'a "quoted" one'),
        (b"* 1 FETCH (UID 1 body[] {3+}\r\none)\r\n", b"one"),
        (b"* 1 FETCH (UID 1 BODY[] ~{4}\r\n\0\0\0\0)\r\n", b"\0\0\0\0"),
        (b"* 1 fetch (uid 1 RFC822 {3}\r\none)\r\n", b"one"),
        (b"* 1 FETCH (BODY[HEADER] {4}\r\nx: y BODY[] {3}\n" + b"one UID 1)\n", b"one"),
    ],
)
def test_bodies_are_found_in_every_form(opened: Opened, answer: bytes, content: bytes) -> None:
    with ScriptedImap(SMALL) as server, opened(server) as client:
        server.on("UID FETCH", say(answer))
        assert contents(client.fetch([remote(1)])) == {1: content}


def test_text_for_people_that_ends_like_a_literal_is_text(opened: Opened) -> None:
    def chat(peer: Peer, tag: bytes, rest: bytes) -> None:
        peer.send(b"* OK [ALERT] Still indexing {120}\r\n* no more than {3}\r\n")
        peer.send(server.fetched(1, b"one") + tag + b" OK Fetched {40}\r\n")

    with ScriptedImap(SMALL) as server, opened(server) as client:
        server.on("EXAMINE", say(b"* 3 EXISTS\r\n* OK [UIDVALIDITY 7] valid {99}\r\n"))
        client.open_folder()
        server.on("UID FETCH", chat)
        assert contents(client.fetch([remote(1)])) == {1: b"one"}
        next(client.fetch([remote(1)]))
        server.forget("UID FETCH")
        assert contents(client.fetch([remote(2)])) == {2: SMALL[2]}


def test_vanished_messages_are_left_out(opened: Opened) -> None:
    with ScriptedImap({1: b"one"}) as server, opened(server) as client:
        assert contents(client.fetch([remote(1), remote(3)])) == {1: b"one"}


def test_withheld_messages_are_named_after_the_others(opened: Opened) -> None:
    with ScriptedImap(SMALL) as server, opened(server) as client:

        def withhold(peer: Peer, tag: bytes, rest: bytes) -> None:
            peer.send(server.fetched(1, b"one") + tag + b" NO some could not be read\r\n")

        server.on("UID FETCH", withhold)
        arriving = client.fetch([remote(1), remote(2), remote(5)])
        assert next(arriving).uid == 1
        with pytest.raises(MessageUnreadable) as caught:
            next(arriving)
    assert caught.value.uids == (2, 5)
    assert "some could not be read" in caught.value.server_reply


def test_a_message_withheld_in_a_chunk_is_asked_for_alone(opened: Opened) -> None:
    with ScriptedImap(SMALL) as server, opened(server) as client:

        def stumble(peer: Peer, tag: bytes, rest: bytes) -> None:
            if rest.startswith(b"1:2"):
                peer.send(server.fetched(1, b"one") + tag + b" OK done\r\n")
            else:
                server._do_uid_fetch(peer, tag, rest)

        server.on("UID FETCH", stumble)
        assert contents(client.fetch([remote(1), remote(2)])) == {1: SMALL[1], 2: SMALL[2]}


def test_messages_come_in_the_order_they_were_asked_for(opened: Opened) -> None:
    messages = dict.fromkeys(range(1, 401), b"x")
    with ScriptedImap(messages) as server, opened(server) as client:
        waiting: list[bytes] = []

        def in_any_order(peer: Peer, tag: bytes, rest: bytes) -> None:
            waiting.append(tag)
            if len(waiting) == 2:
                for uid in (*range(400, 300, -1), *range(1, 301)):
                    peer.send(server.fetched(uid, b"x"))
                peer.send(b"%s OK done\r\n%s OK done\r\n" % (waiting[1], waiting[0]))

        server.on("UID FETCH", in_any_order)
        arrived = [message.uid for message in client.fetch([remote(uid, 1) for uid in messages])]
    assert arrived == list(messages)


def test_a_message_withheld_at_first_still_comes_in_its_place(opened: Opened) -> None:
    messages = dict.fromkeys(range(1, 601), b"x")
    with ScriptedImap(messages) as server, opened(server) as client:

        def stumble(peer: Peer, tag: bytes, rest: bytes) -> None:
            if rest.startswith(b"1:200 "):
                peer.send(
                    b"".join(server.fetched(uid, b"x") for uid in range(2, 201)) + tag + b" OK done\r\n"
                )
            else:
                server._do_uid_fetch(peer, tag, rest)

        server.on("UID FETCH", stumble)
        arrived = [message.uid for message in client.fetch([remote(uid, 1) for uid in messages])]
    assert arrived == list(messages)


def test_a_message_asked_for_twice_comes_once(opened: Opened) -> None:
    with ScriptedImap(SMALL) as server, opened(server) as client:
        assert [message.uid for message in client.fetch([remote(2), remote(1), remote(2)])] == [2, 1]


def test_an_empty_body_of_a_message_that_has_a_size_is_not_taken_for_it(opened: Opened) -> None:
    with ScriptedImap(SMALL) as server, opened(server) as client:
        server.on("UID FETCH", say(b'* 1 FETCH (UID 1 BODY[] "")\r\n'))
        with pytest.raises(MessageUnreadable):
            list(client.fetch([remote(1)]))


def test_a_message_of_no_bytes_is_a_message(opened: Opened) -> None:
    with ScriptedImap({1: b""}) as server, opened(server) as client:
        assert contents(client.fetch(client.describe([1]))) == {1: b""}


def test_a_busy_server_ends_the_fetch(opened: Opened) -> None:
    with ScriptedImap(SMALL) as server, opened(server) as client:
        server.on("UID FETCH", refuse(b"[UNAVAILABLE] Server error - try later"))
        with pytest.raises(ServerBusy):
            list(client.fetch([remote(1)]))


def large(size: int) -> bytes:
    """Make content in which every place is different."""
    return b"".join(b"%09d\n" % number for number in range(size // 10 + 1))[:size]


@pytest.mark.parametrize("size", [PIECE + 1, 2 * PIECE, 2 * PIECE + 12345, 5 * PIECE - 1])
def test_a_large_message_is_put_together_from_pieces(opened: Opened, size: int) -> None:
    content = large(size)
    with ScriptedImap({1: b"small", 2: content, 3: b"after"}) as server, opened(server) as client:
        assert contents(client.fetch(client.describe([1, 2, 3]))) == {1: b"small", 2: content, 3: b"after"}


def test_a_large_message_rests_in_a_file(opened: Opened) -> None:
    with ScriptedImap({2: large(2 * PIECE)}) as server, opened(server) as client:
        (message,) = client.fetch(client.describe([2]))
        assert message.body.content is None
        message.body.close()


@pytest.mark.parametrize("claimed", [1, PIECE, PIECE + 1, 9 * PIECE])
def test_the_claimed_size_is_not_believed(opened: Opened, claimed: int) -> None:
    content = large(3 * PIECE + 5)
    with ScriptedImap({1: content}) as server, opened(server) as client:
        server.claimed_sizes[1] = claimed
        assert contents(client.fetch(client.describe([1]))) == {1: content}


def test_a_small_message_that_was_claimed_to_be_large_stays_in_memory(opened: Opened) -> None:
    with ScriptedImap({1: b"tiny"}) as server, opened(server) as client:
        server.claimed_sizes[1] = 50 * PIECE
        (message,) = client.fetch(client.describe([1]))
    assert (message.claimed, message.body.content) == (50 * PIECE, b"tiny")


def test_a_server_without_partial_fetches_may_send_everything(opened: Opened) -> None:
    content = large(2 * PIECE + 3)
    with ScriptedImap({1: content}) as server, opened(server) as client:
        server.on("UID FETCH", say(server.fetched(1, content)))
        assert contents(client.fetch([remote(1, 2 * PIECE)])) == {1: content}


def test_a_large_message_that_vanished_is_left_out(opened: Opened) -> None:
    with ScriptedImap({1: b"one"}) as server, opened(server) as client:
        assert contents(client.fetch([remote(9, 3 * PIECE), remote(1)])) == {1: b"one"}


def test_a_large_message_that_is_refused_half_way_is_not_taken_for_whole(opened: Opened) -> None:
    with ScriptedImap({1: large(3 * PIECE)}) as server, opened(server) as client:
        usual = server._do_uid_fetch

        def refuse_the_rest(peer: Peer, tag: bytes, rest: bytes) -> None:
            if b"<%d." % PIECE in rest:
                peer.send(tag + b" NO not now\r\n")
            else:
                usual(peer, tag, rest)

        server.on("UID FETCH", refuse_the_rest)
        with pytest.raises(MessageUnreadable):
            list(client.fetch([remote(1, 3 * PIECE)]))


@pytest.mark.parametrize("claimed", [2 * PIECE + 100, 5 * PIECE])
def test_a_server_that_sends_less_at_a_time_than_it_is_asked_for_is_asked_for_the_rest(
    opened: Opened, claimed: int
) -> None:
    content = bytes(range(256)) * (PIECE // 128) + b"the end"

    def in_halves(peer: Peer, tag: bytes, rest: bytes) -> None:
        start = int(rest.rpartition(b"<")[2].partition(b".")[0])
        piece = content[start : start + PIECE // 2]
        peer.send(server.fetched(1, piece, name=b"BODY[]<%d>" % start) + tag + b" OK done\r\n")

    with ScriptedImap({1: content}) as server, opened(server) as client:
        server.on("UID FETCH", in_halves)
        assert contents(client.fetch([remote(1, claimed)])) == {1: content}


def test_a_piece_from_another_place_is_not_taken_for_the_one_asked_for(opened: Opened) -> None:
    piece = b"* 1 FETCH (UID 1 BODY[]<0> {%d}\r\n%s)\r\n" % (PIECE, b"x" * PIECE)
    with ScriptedImap({1: b"one"}) as server, opened(server) as client:
        server.on("UID FETCH", say(piece))
        with pytest.raises(MessageUnreadable):
            contents(client.fetch([remote(1, 3 * PIECE)]))


def test_an_empty_answer_for_a_large_message_is_not_taken_for_it(opened: Opened) -> None:
    with ScriptedImap({1: b"one"}) as server, opened(server) as client:
        server.on("UID FETCH", say(b'* 1 FETCH (UID 1 BODY[]<0> "")\r\n'))
        with pytest.raises(MessageUnreadable):
            contents(client.fetch([remote(1, 3 * PIECE)]))


def test_a_fetch_given_up_half_way_leaves_the_connection_usable(opened: Opened) -> None:
    messages = dict.fromkeys(range(1, 501), b"x" * 5000)
    with ScriptedImap(messages) as server, opened(server) as client:
        arriving = client.fetch([remote(uid, 5000) for uid in messages])
        next(arriving)
        arriving.close()  # type: ignore[attr-defined]  # it is a generator
        assert list(client.ids_after(498)) == [499, 500]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"* 1 FETCH (UID 1 BODY[] {100}\r\nhalf", ConnectionLost),
        (b"* 1 FETCH (UID 1 BODY[] {10", ConnectionLost),
        (b"", ConnectionLost),
        (b"\xff\xfe\0garbage\r\n", ProtocolViolation),
        (b"* 1 FETCH (UID 1 BODY[] {99999999999}\r\n", ProtocolViolation),
        (b"* 1 FETCH (UID 1 BODY[HEADER] {99999999999}\r\n", ProtocolViolation),
        (b"* 1 FETCH (UID 1 " + b"X" * 100_000, ProtocolViolation),
        (b"Z9 OK somebody else's command\r\n", ProtocolViolation),
        (b"* BYE out of memory\r\n", ServerBusy),
    ],
)
def test_a_fetch_that_breaks_says_how(opened: Opened, answer: bytes, kind: type[MailError]) -> None:
    with ScriptedImap(SMALL) as server, opened(server) as client:
        server.on("UID FETCH", say_and_hang_up(answer))
        with pytest.raises(kind):
            list(client.fetch([remote(1)]))


def test_a_connection_lost_in_the_middle_of_a_large_message_leaves_no_file(opened: Opened) -> None:
    with ScriptedImap(SMALL) as server, opened(server) as client:
        server.on("UID FETCH", say_and_hang_up(b"* 1 FETCH (UID 1 BODY[]<0> {1048576}\r\n" + b"x" * 70_000))
        with pytest.raises(ConnectionLost):
            list(client.fetch([remote(1, 5 * PIECE)]))


def test_a_broken_connection_stays_broken(opened: Opened) -> None:
    with ScriptedImap(SMALL) as server, opened(server) as client:
        server.on("UID FETCH", say(b"\0\0\0\r\n"))
        with pytest.raises(ProtocolViolation):
            list(client.fetch([remote(1)]))
        with pytest.raises(ConnectionLost):
            client.status()


def test_a_silent_fetch_times_out(wire: Wire) -> None:
    with ScriptedImap(SMALL) as server:
        server.on("UID FETCH", never_answer)
        with open_imap(endpoint_of(server), PASSWORD, replace(wire, timeout=1.0)) as client:
            client.open_folder()
            with pytest.raises(TimedOut):
                list(client.fetch([remote(1)]))


def test_the_deadline_ends_a_fetch_that_never_ends(wire: Wire) -> None:
    with ScriptedImap(SMALL) as server:
        server.on("UID FETCH", say_for_ever(b"* 1 FETCH (UID 8 BODY[] {2}\r\nxx)\r\n"))
        deadline = Deadline.after(60)
        with open_imap(endpoint_of(server), PASSWORD, replace(wire, deadline=deadline)) as client:
            client.open_folder()
            deadline._at = time.monotonic() + 0.5
            with pytest.raises(DeadlineExceeded):
                list(client.fetch([remote(1)]))


def test_chatter_without_end_is_cut_off(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "PATIENCE", 1000)
    with ScriptedImap(SMALL) as server:
        server.on("UID FETCH", say_for_ever(b"* OK still working\r\n" * 100))
        with open_imap(endpoint_of(server), PASSWORD, wire) as client:
            client.open_folder()
            with pytest.raises(ProtocolViolation):
                list(client.fetch([remote(1)]))


def test_large_messages_announced_as_small_are_not_hoarded_until_the_first_of_them_comes(
    opened: Opened,
) -> None:
    def from_the_end(peer: Peer, tag: bytes, rest: bytes) -> None:
        for uid in range(80, 0, -1):
            peer.send(server.fetched(uid, b"x" * PIECE))
        peer.send(tag + b" OK done\r\n")

    with ScriptedImap(SMALL) as server, opened(server) as client:
        server.on("UID FETCH", from_the_end)
        with pytest.raises(ProtocolViolation):
            list(client.fetch([remote(uid) for uid in range(1, 81)]))


def test_literals_without_end_in_one_answer_are_cut_off(opened: Opened) -> None:
    with ScriptedImap(SMALL) as server, opened(server) as client:
        server.on("UID FETCH", say(b"* 1 FETCH (" + (b"X" * 60_000 + b" {0}\r\n") * 20 + b")\r\n"))
        with pytest.raises(ProtocolViolation):
            list(client.fetch([remote(1)]))


@pytest.mark.parametrize(
    "answer",
    [
        b'* 1 FETCH (UID 1 BODY[HEADER]<0> "Subject: \\"a\\"")\r\n',
        b'* 1 FETCH (RFC822.HEADER {12}\r\nSubject: "a" UID 1)\r\n',
    ],
)
def test_headers_are_found_in_every_form(opened: Opened, answer: bytes) -> None:
    with ScriptedImap({1: b"x"}) as server, opened(server) as client:
        server.on("UID FETCH", say(answer))
        assert contents(client.fetch_headers([remote(1)])) == {1: b'Subject: "a"'}


def test_many_headers_are_on_their_way_at_once(opened: Opened) -> None:
    with ScriptedImap(dict.fromkeys(range(1, 401), b"A: 1\r\n\r\nx")) as server, opened(server) as client:
        found = contents(client.fetch_headers([remote(uid) for uid in range(1, 401)]))
        asked = [line for line in server.heard if b"HEADER" in line]
    assert set(found.values()) == {b"A: 1\r\n\r\n"}
    assert len(asked) == 2
