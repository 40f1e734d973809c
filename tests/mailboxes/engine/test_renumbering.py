"""A server that gives the messages of the Inbox new numbers, and one that does not say what is new."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from emailsync.management.selftest.scripted import Peer
from emailsync.management.selftest.scripted_imap import ScriptedImap
from mailboxes.choices import LedgerOutcome, TrackIncoming
from mailboxes.engine import numbering, reading, syncing
from mailboxes.models import Alert, FolderCursor, LedgerEntry, Mailbox, Message, WorkerState

pytestmark = pytest.mark.django_db(transaction=True)
Receive = Callable[[Mailbox], WorkerState]
Behaviour = Callable[[Peer, bytes, bytes], None]


def letter(number: int, *, body: bytes = b"Hello.") -> bytes:
    """Return a message with a Message-ID of its own, and a body that is much longer than its header."""
    head = b"From: ben@example.org\r\nMessage-ID: <%d@example.org>\r\nSubject: Letter\r\n\r\n" % number
    return head + body + b"x" * 5000 + b"\r\n"


def letters(*numbers: int) -> dict[int, bytes]:
    """Return messages by UID."""
    return {number: letter(number) for number in numbers}


def bodies_asked_for(imap: ScriptedImap) -> list[bytes]:
    """Return the commands that asked for whole messages."""
    return [line for line in imap.heard if b"BODY.PEEK[]" in line]


def renumber(imap: ScriptedImap, *, by: int) -> None:
    """Give every message another UID, and the folder another UIDVALIDITY."""
    imap.uidvalidity += 1
    renumbered = {uid + by: content for uid, content in imap.messages.items()}
    imap.messages.clear()
    imap.messages.update(renumbered)


def at_every_connection(imap: ScriptedImap) -> Behaviour:
    """Give another UIDVALIDITY whenever the folder's status is asked for."""

    def behave(peer: Peer, tag: bytes, rest: bytes) -> None:
        imap.uidvalidity += 1
        imap._do_status(peer, tag, rest)

    return behave


def pass_time(**fields: timedelta) -> None:
    """Put moments that the cursor remembers back."""
    cursor = FolderCursor.objects.get()
    for name, span in fields.items():
        setattr(cursor, name, getattr(cursor, name) - span)
    cursor.save()


def told() -> dict[str, int]:
    """Return how often each open alert was raised."""
    return dict(Alert.objects.open().values_list("kind", "count"))


def test_known_messages_are_recognised_without_loading_their_bodies(
    box: Mailbox, imap: ScriptedImap, receive: Receive
) -> None:
    imap.messages.update(letters(*range(1, 51)))
    receive(box)
    stored = set(Message.objects.values_list("pk", "sha256"))
    renumber(imap, by=100)
    imap.messages[200] = letter(200)
    imap.heard.clear()
    state = receive(box)
    assert [line.split()[3] for line in bodies_asked_for(imap)] == [b"200"]
    assert stored < set(Message.objects.values_list("pk", "sha256"))
    assert set(Message.objects.values_list("uid", "uidvalidity")) == {
        *((uid, 8) for uid in range(101, 151)),
        (200, 8),
    }
    assert LedgerEntry.objects.filter(uidvalidity=8, outcome=LedgerOutcome.STORED).count() == 51
    assert (state.last_error_code, state.last_items) == ("", 1)
    assert told() == {"folder_renumbered": 1}


def test_what_was_stored_before_fingerprints_is_recognised_by_its_bytes(
    box: Mailbox, imap: ScriptedImap, receive: Receive
) -> None:
    imap.messages.update(letters(1, 2, 3))
    receive(box)
    LedgerEntry.objects.update(fingerprint="")
    renumber(imap, by=10)
    imap.heard.clear()
    receive(box)
    assert bodies_asked_for(imap) == []
    assert set(Message.objects.values_list("uid", flat=True)) == {11, 12, 13}


def test_a_large_message_kept_as_a_file_is_recognised(
    box: Mailbox, imap: ScriptedImap, receive: Receive
) -> None:
    imap.messages[1] = letter(1, body=b"y" * (5 * 1024 * 1024))
    receive(box)
    LedgerEntry.objects.update(fingerprint="")
    renumber(imap, by=10)
    imap.heard.clear()
    receive(box)
    assert not [line for line in imap.heard if b"BODY.PEEK[]" in line]
    assert Message.objects.get().uid == 11


def test_a_message_without_an_identifier_of_its_own_is_loaded_again(
    box: Mailbox, imap: ScriptedImap, receive: Receive
) -> None:
    imap.messages[1] = b"Subject: Report\r\n\r\nAll is well.\r\n"
    receive(box)
    imap.uidvalidity += 1
    imap.messages[1] = b"Subject: Report\r\n\r\nAll is lost.\r\n"
    receive(box)
    assert Message.objects.count() == 2


def test_a_new_message_that_looks_like_an_old_one_beside_it_is_not_lost(
    box: Mailbox, imap: ScriptedImap, receive: Receive
) -> None:
    imap.messages[1] = letter(1, body=b"a")
    receive(box)
    imap.uidvalidity += 1
    imap.messages[2] = letter(1, body=b"b")
    receive(box)
    assert Message.objects.count() == 2


def test_a_server_that_only_estimates_sizes_is_taken_at_its_word(
    box: Mailbox, imap: ScriptedImap, receive: Receive
) -> None:
    imap.messages.update(letters(1, 2))
    imap.claimed_sizes = {1: 9999, 2: 8888, 11: 9999, 12: 8888}
    receive(box)
    renumber(imap, by=10)
    imap.heard.clear()
    receive(box)
    assert bodies_asked_for(imap) == []


def test_mail_that_nobody_wanted_is_not_loaded_again_either(
    box: Mailbox, imap: ScriptedImap, receive: Receive
) -> None:
    Mailbox.objects.update(track_incoming=TrackIncoming.IN_RESPONSE)
    imap.messages.update(letters(1, 2))
    receive(Mailbox.objects.get())
    renumber(imap, by=10)
    imap.heard.clear()
    receive(Mailbox.objects.get())
    assert bodies_asked_for(imap) == []
    assert set(LedgerEntry.objects.filter(uidvalidity=8).values_list("outcome", "reason")) == {
        (LedgerOutcome.NOT_WANTED, "no_correlation_match")
    }


def test_a_stored_message_that_was_deleted_here_does_not_come_back(
    box: Mailbox, imap: ScriptedImap, receive: Receive
) -> None:
    imap.messages.update(letters(1, 2))
    receive(box)
    Message.objects.filter(uid=1).delete()
    renumber(imap, by=10)
    receive(box)
    assert list(Message.objects.values_list("uid", flat=True)) == [12]
    assert LedgerEntry.objects.filter(uidvalidity=8).count() == 2


def test_a_uidnext_below_the_cursor_is_one_reset_with_one_alert(
    box: Mailbox, imap: ScriptedImap, receive: Receive
) -> None:
    imap.messages.update(letters(101, 102, 103))
    receive(box)
    imap.messages.clear()
    imap.messages.update({1: letter(101), 2: letter(102), 3: letter(103), 4: letter(104)})
    imap.heard.clear()
    receive(box)
    receive(box)
    assert [line.split()[3] for line in bodies_asked_for(imap)] == [b"4"]
    assert set(Message.objects.values_list("uid", flat=True)) == {1, 2, 3, 4}
    assert told() == {"folder_renumbered": 1}


def test_a_server_that_always_renumbers_is_parked_and_told_of(
    box: Mailbox, imap: ScriptedImap, receive: Receive
) -> None:
    imap.messages.update(letters(1, 2, 3))
    imap.on("STATUS", at_every_connection(imap))
    for _ in range(12):
        state = receive(box)
    assert len(bodies_asked_for(imap)) == 1
    assert (Message.objects.count(), FolderCursor.objects.get().renumberings) == (3, numbering.RENUMBERINGS)
    assert set(told()) == {"folder_renumbered", "folder_renumbered_often"}
    assert (state.is_enabled, state.transient_failures) == (True, 0)
    assert state.due_at is not None
    assert timedelta(hours=5) < state.due_at - timezone.now() <= numbering.PARKED


def test_a_parked_mailbox_is_read_again_later(box: Mailbox, imap: ScriptedImap, receive: Receive) -> None:
    imap.messages.update(letters(1, 2, 3))
    imap.on("STATUS", at_every_connection(imap))
    for _ in range(8):
        receive(box)
    imap.messages.update(letters(4))
    pass_time(renumbered_on=numbering.PARKED)
    receive(box)
    assert Message.objects.count() == 4


def test_after_a_quiet_day_the_alert_is_resolved(box: Mailbox, imap: ScriptedImap, receive: Receive) -> None:
    imap.messages.update(letters(1, 2, 3))
    imap.on("STATUS", at_every_connection(imap))
    for _ in range(8):
        receive(box)
    imap.on("STATUS", imap._do_status)
    imap.uidvalidity = FolderCursor.objects.get().uidvalidity
    pass_time(renumbered_on=numbering.SPAN + timedelta(minutes=1))
    receive(box)
    assert "folder_renumbered_often" not in told()
    assert FolderCursor.objects.get().renumberings == 0


def test_a_folder_that_opens_under_other_numbers_than_it_told_is_no_failure(
    box: Mailbox, imap: ScriptedImap, receive: Receive
) -> None:
    imap.messages.update(letters(1, 2, 3))

    def another(peer: Peer, tag: bytes, rest: bytes) -> None:
        imap.uidvalidity += 1
        imap._do_examine(peer, tag, rest)

    imap.on("EXAMINE", another)
    for _ in range(12):
        state = receive(box)
    assert (state.is_enabled, state.transient_failures) == (True, 0)
    assert Message.objects.count() == 0
    imap.on("EXAMINE", imap._do_examine)
    pass_time(renumbered_on=numbering.PARKED)
    receive(box)
    assert Message.objects.count() == 3


def test_a_renumbered_folder_that_takes_several_runs_is_recognised_to_the_end(
    box: Mailbox, imap: ScriptedImap, receive: Receive, monkeypatch: pytest.MonkeyPatch
) -> None:
    imap.messages.update(letters(*range(1, 31)))
    receive(box)
    renumber(imap, by=100)
    imap.heard.clear()
    monkeypatch.setattr(reading, "WINDOW", 10)

    asked: list[bytes] = []

    def cut_after_a_window(peer: Peer, tag: bytes, rest: bytes) -> None:
        asked.append(rest)
        if len(asked) == 4:
            raise ConnectionResetError
        imap._do_uid_fetch(peer, tag, rest)

    imap.on("UID FETCH", cut_after_a_window)
    receive(box)
    assert 100 < FolderCursor.objects.get().last_uid < 130
    receive(box)
    assert bodies_asked_for(imap) == []
    assert LedgerEntry.objects.filter(uidvalidity=8, outcome=LedgerOutcome.STORED).count() == 30


@pytest.mark.parametrize(
    ("uidnext", "passed"),
    [
        (None, syncing.LIST_AGAIN + timedelta(seconds=1)),
        (99, syncing.LIST_AGAIN + timedelta(seconds=1)),
        (None, -timedelta(days=365)),
    ],
    ids=["lagging", "leading", "by a clock that was ahead"],
)
def test_a_server_that_calls_the_folder_unchanged_is_not_believed_for_long(
    box: Mailbox, imap: ScriptedImap, receive: Receive, uidnext: int | None, passed: timedelta
) -> None:
    imap.uidnext = uidnext
    imap.messages.update(letters(1, 2))
    stale = b"* STATUS INBOX (MESSAGES 2 UIDNEXT %d UIDVALIDITY 7)\r\n" % (uidnext or 3)
    imap.on("STATUS", lambda peer, tag, _: peer.send(stale + tag + b" OK done\r\n"))
    receive(box)
    imap.messages.update(letters(3))
    receive(box)
    assert Message.objects.count() == 2
    pass_time(listed_on=passed)
    receive(box)
    assert Message.objects.count() == 3


@pytest.mark.parametrize("modseq", [b"5", b"3"], ids=["rising", "falling"])
def test_a_modification_sequence_that_moves_is_a_reason_to_look(
    box: Mailbox, imap: ScriptedImap, receive: Receive, modseq: bytes
) -> None:
    imap.capabilities += b" CONDSTORE"
    imap.messages.update(letters(1, 2))

    def telling(number: bytes) -> Behaviour:
        line = b"* STATUS INBOX (MESSAGES 2 UIDNEXT 3 UIDVALIDITY 7 HIGHESTMODSEQ %s)\r\n" % number
        return lambda peer, tag, _: peer.send(line + tag + b" OK done\r\n")

    imap.on("STATUS", telling(b"4"))
    receive(box)
    imap.messages.update(letters(3))
    del imap.messages[1]
    receive(box)
    assert Message.objects.count() == 2
    imap.on("STATUS", telling(modseq))
    receive(box)
    assert Message.objects.count() == 3
