"""Asking an IMAP server about a folder and changing it."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from emailsync.mail.dialogue import uid_sets
from emailsync.mail.errors import (
    CommandRefused,
    FolderForbidden,
    FolderMissing,
    ProtocolViolation,
    ServerBusy,
)
from emailsync.mail.imap import ImapClient
from emailsync.management.selftest.scripted import Peer
from emailsync.management.selftest.scripted_imap import ScriptedImap, refuse, say

Opened = Callable[[ScriptedImap], ImapClient]
SMALL = {1: b"one", 2: b"two", 5: b"five"}


def test_opening_tells_the_state_of_the_folder(sign_in: Opened) -> None:
    with ScriptedImap(SMALL) as server, sign_in(server) as client:
        status = client.open_folder()
    assert (status.uidvalidity, status.uidnext, status.messages) == (7, 6, 3)


def test_a_missing_folder_is_missing(sign_in: Opened) -> None:
    with ScriptedImap() as server, sign_in(server) as client:
        server.on("EXAMINE", refuse(b"[NONEXISTENT] no such folder"))
        with pytest.raises(FolderMissing, match="Archive"):
            client.open_folder("Archive")


def test_a_forbidden_folder_is_forbidden(sign_in: Opened) -> None:
    with ScriptedImap() as server, sign_in(server) as client:
        server.on("EXAMINE", refuse(b"[NOPERM] not yours"))
        with pytest.raises(FolderForbidden):
            client.open_folder()


def test_a_folder_that_is_busy_is_not_missing(sign_in: Opened) -> None:
    with ScriptedImap() as server, sign_in(server) as client:
        server.on("EXAMINE", refuse(b"[UNAVAILABLE] storage is down"))
        with pytest.raises(ServerBusy):
            client.open_folder()


@pytest.mark.parametrize(
    "answer",
    [b"User is authenticated but not connected.", b"Request is throttled. Suggested Backoff Time: 9"],
)
def test_a_server_that_takes_a_sign_in_and_then_nothing_is_tried_again(
    sign_in: Opened, answer: bytes
) -> None:
    with ScriptedImap() as server, sign_in(server) as client:
        server.on("STATUS", refuse(answer, status=b"BAD"))
        with pytest.raises(ServerBusy):
            client.status()


def test_a_folder_without_uidvalidity_cannot_be_followed(sign_in: Opened) -> None:
    with ScriptedImap() as server, sign_in(server) as client:
        server.on("EXAMINE", say(b"* 3 EXISTS\r\n"))
        with pytest.raises(ProtocolViolation, match="UID"):
            client.open_folder()


def test_without_uidnext_the_highest_uid_is_asked_for(sign_in: Opened) -> None:
    with ScriptedImap() as server, sign_in(server) as client:
        server.on("EXAMINE", say(b"* 3 EXISTS\r\n* OK [UIDVALIDITY 9] x\r\n"))
        server.on("FETCH", say(b"* 3 FETCH (UID 41)\r\n"))
        assert client.open_folder().uidnext == 42


def test_a_folder_that_may_only_be_read_is_refused_for_writing(sign_in: Opened) -> None:
    with ScriptedImap() as server, sign_in(server) as client:
        server.on("SELECT", server._do_examine)
        with pytest.raises(FolderForbidden):
            client.open_folder(read_only=False)


def test_folder_names_travel_in_modified_utf7(sign_in: Opened) -> None:
    with ScriptedImap() as server, sign_in(server) as client:
        client.open_folder('Entwürfe & "so"')
    assert rb'EXAMINE "Entw&APw-rfe &- \"so\""' in server.heard[-2]


def test_a_line_break_in_a_folder_name_is_refused(sign_in: Opened) -> None:
    with ScriptedImap() as server, sign_in(server) as client, pytest.raises(ValueError, match="folder"):
        client.open_folder("INBOX\r\nA1 DELETE INBOX")


def test_status_asks_without_opening(sign_in: Opened) -> None:
    with ScriptedImap(SMALL) as server, sign_in(server) as client:
        status = client.status()
    assert (status.uidvalidity, status.uidnext, status.messages) == (7, 6, 3)
    assert not any(b"EXAMINE" in line for line in server.heard)


@pytest.mark.parametrize(
    "answer", [b"", b"* STATUS INBOX (MESSAGES 3)\r\n", b"* STATUS INBOX (UIDNEXT 0 UIDVALIDITY 7)\r\n"]
)
def test_what_status_keeps_to_itself_opening_tells(sign_in: Opened, answer: bytes) -> None:
    with ScriptedImap(SMALL) as server, sign_in(server) as client:
        server.on("STATUS", say(answer))
        status = client.status()
    assert (status.uidvalidity, status.uidnext, status.messages) == (7, 6, 3)


def test_status_asks_for_the_modification_sequence_where_there_is_one(sign_in: Opened) -> None:
    with ScriptedImap(SMALL) as server:
        server.capabilities += b" CONDSTORE"
        server.on(
            "STATUS",
            say(b"* STATUS INBOX (UIDVALIDITY 7 HIGHESTMODSEQ 9223372036854775807 UIDNEXT 6 MESSAGES 3)\r\n"),
        )
        with sign_in(server) as client:
            assert client.status().modseq == 9223372036854775807
    assert server.heard[-2].endswith(b"(MESSAGES UIDNEXT UIDVALIDITY HIGHESTMODSEQ)")


def test_only_uids_above_the_cursor_are_listed(opened: Opened) -> None:
    with ScriptedImap(SMALL) as server, opened(server) as client:
        assert list(client.ids_after(1)) == [2, 5]


def test_the_last_message_that_every_search_names_is_dropped(opened: Opened) -> None:
    with ScriptedImap(SMALL) as server, opened(server) as client:
        assert list(client.ids_after(5)) == []


def test_a_lie_about_uidnext_hides_nothing(opened: Opened) -> None:
    with ScriptedImap(SMALL) as server:
        server.uidnext = 2
        with opened(server) as client:
            assert list(client.ids_after(0)) == [1, 2, 5]


def test_extended_search_answers_are_understood(opened: Opened) -> None:
    with ScriptedImap(SMALL) as server, opened(server) as client:
        server.on("UID SEARCH", say(b'* ESEARCH (TAG "E3") UID ALL 2:4,9\r\n'))
        assert list(client.ids_after(0)) == [2, 3, 4, 9]


@pytest.mark.parametrize(
    "answer",
    [
        b'* ESEARCH (TAG "E3") UID ALL 1:4294967295\r\n',
        b'* ESEARCH (TAG "E3") UID ALL ' + b",".join([b"1:900000"] * 50) + b"\r\n",
        b'* ESEARCH (TAG "E3") UID ALL 99999999999999999999\r\n',
        b"* SEARCH" + b" 1" * 300_000 + b"\r\n* SEARCH" + b" 2" * 400_000 + b"\r\n* SEARCH" + b" 3" * 400_000,
        b"* SEARCH 1 99999999999999999999\r\n",
        b"* SEARCH 1 4294967296\r\n",
    ],
    ids=["a long range", "many ranges", "a range too high", "many numbers", "a number too high", "33 bits"],
)
def test_a_list_that_no_folder_can_have_is_a_violation(opened: Opened, answer: bytes) -> None:
    with ScriptedImap(SMALL) as server, opened(server) as client:
        server.on("UID SEARCH", say(answer.removesuffix(b"\r\n") + b"\r\n"))
        with pytest.raises(ProtocolViolation):
            client.ids_after(0)


def test_numbers_that_no_database_holds_are_a_violation(sign_in: Opened) -> None:
    with ScriptedImap(SMALL) as server, sign_in(server) as client:
        server.on("STATUS", say(b"* STATUS INBOX (MESSAGES 1 UIDNEXT 9999999999999999999 UIDVALIDITY 7)\r\n"))
        with pytest.raises(ProtocolViolation):
            client.status()


def test_an_answer_of_literals_without_end_is_cut_off(opened: Opened) -> None:
    with ScriptedImap(SMALL) as server, opened(server) as client:
        server.on("UID SEARCH", say(b"* X {999999}\r\n" + (b"x" * 999_999 + b" {999999}\r\n") * 17))
        with pytest.raises(ProtocolViolation):
            client.ids_after(0)


def test_a_search_that_is_refused_says_so(opened: Opened) -> None:
    with ScriptedImap(SMALL) as server, opened(server) as client:
        server.on("UID SEARCH", refuse(b"I do not search", status=b"BAD"))
        with pytest.raises(CommandRefused) as caught:
            client.ids_after(0)
    assert "I do not search" in caught.value.server_reply


def test_sizes_and_dates_are_described_in_utc(opened: Opened) -> None:
    with ScriptedImap(SMALL) as server, opened(server) as client:
        described = client.describe([5, 1])
    assert [(message.uid, message.size) for message in described] == [(5, 4), (1, 3)]
    assert described[0].received_at == datetime(2024, 2, 5, 9, 20, 30, tzinfo=UTC)


def test_vanished_messages_are_not_described(opened: Opened) -> None:
    with ScriptedImap(SMALL) as server, opened(server) as client:
        assert [message.uid for message in client.describe([1, 3, 5])] == [1, 5]


def test_a_message_that_is_listed_but_not_described_is_not_forgotten(opened: Opened) -> None:
    with ScriptedImap(SMALL) as server, opened(server) as client:

        def overlook(peer: Peer, tag: bytes, rest: bytes) -> None:
            server._do_uid_fetch(peer, tag, b"1 (RFC822.SIZE)")

        server.on("UID FETCH", overlook)
        described = client.describe([1, 2, 9])
    assert [(message.uid, message.size) for message in described] == [(1, 3), (2, 1)]


def test_attributes_may_come_in_any_order_and_with_others(opened: Opened) -> None:
    answer = (
        b"* 9 EXISTS\r\n* 1 FETCH (FLAGS (\\Seen $x))\r\n"
        b'* 1 FETCH (FLAGS () INTERNALDATE "15-Feb-2024 00:00:00 +0000" rfc822.size 44 MODSEQ (7) UID 1)\r\n'
        b"* 1 FETCH (UID 1 RFC822.SIZE 99)\r\n* 77 EXPUNGE\r\n* 8 FETCH (UID 800 RFC822.SIZE 1)\r\n"
    )
    with ScriptedImap(SMALL) as server, opened(server) as client:
        server.on("UID FETCH", say(answer))
        described = client.describe([1])
    assert [(message.uid, message.size) for message in described] == [(1, 44)]


@pytest.mark.parametrize("date", [b"", b' INTERNALDATE "99-Foo-2024 99:99:99 +9999"', b" INTERNALDATE NIL"])
def test_a_message_without_a_date_came_now(opened: Opened, date: bytes) -> None:
    with ScriptedImap(SMALL) as server, opened(server) as client:
        server.on("UID FETCH", say(b"* 1 FETCH (UID 1 RFC822.SIZE 3%s)\r\n" % date))
        (message,) = client.describe([1])
    assert abs((datetime.now(UTC) - message.received_at).total_seconds()) < 60


def test_deleting_expunges_these_messages_alone(opened: Opened) -> None:
    with ScriptedImap(SMALL) as server, opened(server) as client:
        client.delete([1, 2, 5])
    assert server.heard[-3].endswith(rb"UID STORE 1:2,5 +FLAGS.SILENT (\Deleted)")
    assert server.heard[-2].endswith(b"UID EXPUNGE 1:2,5")


def test_without_uidplus_messages_are_only_marked(opened: Opened) -> None:
    with ScriptedImap(SMALL) as server:
        server.capabilities = b"IMAP4rev1 AUTH=PLAIN SASL-IR"
        with opened(server) as client:
            client.delete([1])
    assert not any(b"EXPUNGE" in line for line in server.heard)


def test_moving_uses_move(opened: Opened) -> None:
    with ScriptedImap(SMALL) as server, opened(server) as client:
        client.move([1], "Done")
    assert server.heard[-2].endswith(b'UID MOVE 1 "Done"')


def test_without_move_messages_are_copied_and_deleted(opened: Opened) -> None:
    with ScriptedImap(SMALL) as server:
        server.capabilities = b"IMAP4rev1 AUTH=PLAIN SASL-IR UIDPLUS"
        with opened(server) as client:
            client.move([1], "Done")
    commands = [b" ".join(line.split()[1:3]) for line in server.heard[-4:-1]]
    assert commands == [b"UID COPY", b"UID STORE", b"UID EXPUNGE"]


def test_moving_into_a_missing_folder_says_so(opened: Opened) -> None:
    with ScriptedImap(SMALL) as server, opened(server) as client:
        server.on("UID MOVE", refuse(b"[TRYCREATE] no such folder"))
        with pytest.raises(FolderMissing, match="Done"):
            client.move([1], "Done")


def announcing(*lines: bytes) -> Callable[[Peer, bytes, bytes], None]:
    """Announce what others did, and then agree."""
    return say(b"".join(line + b"\r\n" for line in lines))


def missing_until_created(server: ScriptedImap) -> None:
    """Have the folder of a move missing until it is created."""
    created: list[bytes] = []

    def move(peer: Peer, tag: bytes, rest: bytes) -> None:
        behaviour = say(b"") if created else refuse(b"[TRYCREATE] no such folder")
        behaviour(peer, tag, rest)

    def create(peer: Peer, tag: bytes, rest: bytes) -> None:
        created.append(rest)
        say(b"")(peer, tag, rest)

    server.on("UID MOVE", move)
    server.on("CREATE", create)


@pytest.mark.parametrize(
    ("namespace", "name"),
    [
        (b'(("" "/")) NIL NIL', b'"Undeliverable"'),
        (b'(("INBOX." ".")) NIL (("shared." "."))', b'"INBOX.Undeliverable"'),
        (b'(("INBOX/" "/") ("#mh/" "/")) NIL NIL', b'"INBOX/Undeliverable"'),
        (b'NIL NIL (("" "."))', b'"Undeliverable"'),
    ],
    ids=["Dovecot", "Courier", "two", "none"],
)
def test_a_new_folder_stands_where_the_server_keeps_the_mailbox_s_own(
    opened: Opened, namespace: bytes, name: bytes
) -> None:
    with ScriptedImap(SMALL) as server:
        server.capabilities += b" NAMESPACE"
        server.on("NAMESPACE", say(b"* NAMESPACE %s\r\n" % namespace))
        missing_until_created(server)
        with opened(server) as client:
            client.move([1], "Undeliverable")
    spoken = [line.partition(b" ")[2] for line in server.heard[-5:-1]]
    move = b"UID MOVE 1 " + name
    assert spoken == [move, b"CREATE " + name, b"SUBSCRIBE " + name, move]


@pytest.mark.parametrize("answer", [b"", b"* NAMESPACE 5 5 5\r\n", b"* NAMESPACE " + b"(" * 30_000 + b"\r\n"])
def test_namespaces_of_no_form_are_a_violation(opened: Opened, answer: bytes) -> None:
    with ScriptedImap(SMALL) as server:
        server.capabilities += b" NAMESPACE"
        server.on("NAMESPACE", say(answer))
        with opened(server) as client, pytest.raises(ProtocolViolation):
            client.move([1], "Undeliverable")


def test_what_others_do_meanwhile_confuses_no_command(opened: Opened) -> None:
    with ScriptedImap(SMALL) as server:
        noise = (b"* 4 EXISTS", b"* 1 RECENT", b"* 1 EXPUNGE", b"* 1 FETCH (FLAGS (\\Seen))", b"* OK [X] hm")
        with opened(server) as client:
            server.on("UID SEARCH", announcing(*noise[:2], b"* SEARCH 2 5", *noise[2:]))
            server.on("STATUS", announcing(*noise, b"* STATUS INBOX (MESSAGES 2 UIDNEXT 6 UIDVALIDITY 7)"))
            server.on("UID MOVE", announcing(*noise))
            assert list(client.ids_after(0)) == [2, 5]
            assert client.status().messages == 2
            client.move([2], "Done")


def test_a_message_is_found_by_its_message_id(opened: Opened) -> None:
    with ScriptedImap({1: b"Message-ID: <a@b>\r\n\r\n"}) as server, opened(server) as client:
        assert client.find_by_message_id("<a@b>", folders=["Sent"]) == "Sent"
    assert b'UID SEARCH HEADER Message-ID "<a@b>"' in server.heard[-3]


def test_a_folder_that_is_missing_holds_no_message(opened: Opened) -> None:
    with ScriptedImap(SMALL) as server, opened(server) as client:
        opened_before = server._do_examine

        def examine(peer: Peer, tag: bytes, rest: bytes) -> None:
            behaviour = refuse(b"[NONEXISTENT]") if rest == b'"Gone"' else opened_before
            behaviour(peer, tag, rest)

        server.on("EXAMINE", examine)
        assert client.find_by_message_id("<a@b>", folders=["Gone"]) is None
        assert list(client.ids_after(0)) == [1, 2, 5]


def test_the_sent_folder_is_the_one_the_server_marks(sign_in: Opened) -> None:
    with ScriptedImap() as server, sign_in(server) as client:
        server.on(
            "LIST", say(b'* LIST (\\HasNoChildren) "/" "INBOX"\r\n* LIST (\\Sent) "/" "Envoy&AOk-s"\r\n')
        )
        assert client.sent_folder() == "Envoyés"


@pytest.mark.parametrize("folder", [b"5 5 5", b"NIL NIL NIL", b"(" * 30_000, b'(\\Sent) "/" "&2AA-"'])
def test_a_list_of_folders_that_cannot_be_used_is_a_violation(sign_in: Opened, folder: bytes) -> None:
    with ScriptedImap() as server, sign_in(server) as client:
        server.on("LIST", say(b"* LIST %s\r\n" % folder))
        with pytest.raises(ProtocolViolation):
            client.sent_folder()


def test_goodbye_is_said_once(sign_in: Opened) -> None:
    with ScriptedImap() as server:
        client = sign_in(server)
        client.close()
        client.close()
    assert sum(line.endswith(b"LOGOUT") for line in server.heard) == 1


def test_sets_join_neighbours_and_stay_short() -> None:
    sets = list(uid_sets([9, 1, 2, 3, 3, 7, *range(100, 10_000, 2)], limit=100))
    assert sets[0][0].startswith(b"1:3,7,9,100,102,")
    assert max(len(uids) for uids, _ in sets) <= 100
    assert sum(len(members) for _, members in sets) == 5 + 4950
