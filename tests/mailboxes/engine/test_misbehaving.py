"""Receiving and testing, on a server that does what servers should not do."""

import re
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from emailsync.mail.probing import Arrival
from emailsync.management.selftest.scripted import Peer
from emailsync.management.selftest.scripted_imap import (
    ScriptedImap,
    never_answer,
    refuse,
    say,
    say_and_hang_up,
)
from emailsync.management.selftest.scripted_smtp import ScriptedSmtp
from mailboxes.choices import LedgerOutcome, MailboxKind, Reason, ResultStatus, RunState
from mailboxes.engine import connecting, diagnosing, reading, syncing
from mailboxes.models import Alert, Diagnosis, FolderCursor, LedgerEntry, Mailbox, Message, WorkerState
from mailboxes.services import diagnosis
from profiles.models import ServerProfile

pytestmark = pytest.mark.django_db(transaction=True)
Hurry = Callable[[timedelta], None]
Receive = Callable[[Mailbox], WorkerState]


def letter(number: int) -> bytes:
    """Return a message unlike its neighbours."""
    return b"From: ben@example.org\r\nSubject: Letter %d\r\n\r\nHello.\r\n" % number


def letters(*numbers: int) -> dict[int, bytes]:
    """Return messages by UID."""
    return {number: letter(number) for number in numbers}


def open_alerts() -> set[str]:
    """Return the kinds of the open alerts that tell of trouble."""
    return set(
        Alert.objects.open()
        .exclude(kind__endswith="_together")
        .exclude(level="information")
        .values_list("kind", flat=True)
    )


def stored_uids() -> list[int | None]:
    """Return the UIDs of the stored messages in their order."""
    return list(Message.objects.order_by("uid").values_list("uid", flat=True))


def ask_again_now() -> None:
    """Let the hour pass after which a withheld message is asked for again."""
    LedgerEntry.objects.update(seen_on=timezone.now() - syncing.ASK_AGAIN - timedelta(minutes=1))


def bodies_hidden(imap: ScriptedImap, *hidden: int) -> Callable[[Peer, bytes, bytes], None]:
    """List all messages, and hand out the bodies of all but some."""

    def behave(peer: Peer, tag: bytes, rest: bytes) -> None:
        shown = {uid: body for uid, body in imap.messages.items() if uid not in hidden or b"BODY" not in rest}
        whole, imap.messages = imap.messages, shown
        try:
            imap._do_uid_fetch(peer, tag, rest)
        finally:
            imap.messages = whole

    return behave


def cut(peer: Peer) -> None:
    """End the conversation in the middle of a message."""
    peer.send(b"* 2 FETCH (UID 2 BODY[] {500}\r\nSubject: Le")
    raise ConnectionResetError


def tell_too_short(peer: Peer) -> None:
    """Announce fewer bytes than come."""
    peer.send(b"* 2 FETCH (UID 2 BODY[] {3}\r\n" + letter(2) + b")\r\n")


def tell_too_long(peer: Peer) -> None:
    """Announce more bytes than come, so that the next answer seems to belong to them."""
    peer.send(b"* 2 FETCH (UID 2 BODY[] {%d}\r\n" % (len(letter(2)) + 20) + letter(2) + b")\r\n")


def say_goodbye(peer: Peer) -> None:
    """Fail at a message and hang up, as Dovecot does."""
    peer.send(b"* BYE FETCH failed: Internal error occurred. Refer to server log.\r\n")
    raise ConnectionResetError


def silence(peer: Peer) -> None:
    """Say nothing more, longer than anybody waits."""
    never_answer(peer, b"", b"")


def trickle(peer: Peer) -> None:
    """Send a message so slowly that nobody waits for its end."""
    peer.send(b"* 2 FETCH (UID 2 BODY[] {100000}\r\n")
    while True:
        peer.send(b"x")
        time.sleep(0.1)


def poisoned(
    imap: ScriptedImap, number: int, fail: Callable[[Peer], None]
) -> Callable[[Peer, bytes, bytes], None]:
    """Hand out the messages in their order, and fail whenever it is the turn of one of them."""

    def behave(peer: Peer, tag: bytes, rest: bytes) -> None:
        uids = imap.chosen(rest.partition(b" ")[0])
        if b"BODY" not in rest or number not in uids:
            imap._do_uid_fetch(peer, tag, rest)
            return
        for uid in sorted(uids):
            if uid == number:
                fail(peer)
            peer.send(imap.fetched(uid, imap.messages[uid]))
        peer.send(tag + b" OK done\r\n")

    return behave


def test_a_refused_sign_in_stops_the_direction(box: Mailbox, imap: ScriptedImap, receive: Receive) -> None:
    imap.on("AUTHENTICATE", refuse(b"[AUTHENTICATIONFAILED] Wrong"))
    state = receive(box)
    assert (state.is_enabled, state.last_error_code) == (False, "login_refused")
    assert state.stopped_on is not None
    assert open_alerts() == {"incoming_stopped"}


def test_a_look_without_news_commits_three_times(box: Mailbox, imap: ScriptedImap, receive: Receive) -> None:
    imap.messages.update(letters(1))
    receive(box)
    with CaptureQueriesContext(connection) as queries:
        receive(box)
    statements = [query["sql"] for query in queries]
    # Taking the row, what the server told, and giving the row back; the first change is the fixture's.
    changes = [sql for sql in statements if sql.startswith(("UPDATE", "INSERT", "DELETE"))]
    assert len(changes) == 1 + 1 + 2 + 3
    assert sum(sql.startswith("BEGIN") for sql in statements) == 3


def test_a_busy_server_is_tried_again(box: Mailbox, imap: ScriptedImap, receive: Receive) -> None:
    imap.on("AUTHENTICATE", refuse(b"[UNAVAILABLE] Too many connections, try again later"))
    state = receive(box)
    assert (state.is_enabled, state.transient_failures) == (True, 1)
    assert open_alerts() == {"incoming_retrying"}


def test_what_came_before_a_cut_is_kept_and_the_rest_follows(
    box: Mailbox, imap: ScriptedImap, receive: Receive
) -> None:
    imap.messages.update(letters(1, 2, 3))

    def cut(peer: Peer, tag: bytes, rest: bytes) -> None:
        if b"BODY" not in rest:
            imap._do_uid_fetch(peer, tag, rest)
            return
        peer.send(imap.fetched(1, letter(1)) + b"* 2 FETCH (UID 2 BODY[] {500}\r\nSubject: Le")
        raise ConnectionResetError

    imap.on("UID FETCH", cut)
    state = receive(box)
    assert stored_uids() == [1]
    # While mail comes, that is no failure.
    assert (state.transient_failures, state.last_error_code) == (0, "")
    assert state.due_at is not None
    assert state.due_at <= timezone.now()
    assert receive(box).last_error_code == "connection_lost"
    imap.on("UID FETCH", imap._do_uid_fetch)
    state = receive(box)
    assert (state.last_error_code, state.last_items) == ("", 2)
    assert stored_uids() == [1, 2, 3]
    assert not open_alerts()


def test_a_server_that_never_answers_holds_no_thread(
    box: Mailbox, imap: ScriptedImap, receive: Receive
) -> None:
    ServerProfile.objects.update(timeout_ms=1000)
    imap.on("STATUS", never_answer)
    started = time.monotonic()
    state = receive(box)
    assert time.monotonic() - started < 60
    assert state.last_error_code == "timed_out"
    assert state.leased_until is None


def test_a_server_that_trickles_ends_at_the_deadline(
    box: Mailbox, imap: ScriptedImap, receive: Receive, settings: Settings
) -> None:
    settings.RUN_DEADLINE = timedelta(seconds=2)

    def trickle(peer: Peer, tag: bytes, rest: bytes) -> None:
        while True:
            peer.send(b"* 1 EXISTS\r\n")
            time.sleep(0.2)

    imap.on("STATUS", trickle)
    started = time.monotonic()
    state = receive(box)
    assert time.monotonic() - started < 60
    assert state.last_error_code == "deadline_exceeded"


def test_a_slow_server_is_read_to_the_end_in_several_runs(
    box: Mailbox, imap: ScriptedImap, receive: Receive, settings: Settings, hurry: Hurry
) -> None:
    imap.messages.update(letters(*range(1, 13)))

    def slow(peer: Peer, tag: bytes, rest: bytes) -> None:
        if b"BODY" not in rest:
            imap._do_uid_fetch(peer, tag, rest)
            return
        for uid in imap.chosen(rest.partition(b" ")[0]):
            hurry(settings.RUN_DEADLINE / 5)
            peer.send(imap.fetched(uid, letter(uid)))
        peer.send(tag + b" OK done\r\n")

    imap.on("UID FETCH", slow)
    first = receive(box)
    assert 0 < Message.objects.count() < 12
    assert (first.transient_failures, first.last_error_code) == (0, "")
    assert first.due_at is not None
    assert first.due_at <= timezone.now()
    for _ in range(11):
        receive(box)
    assert Message.objects.count() == 12
    assert not open_alerts()


def test_a_message_that_takes_longer_than_a_run_comes_when_the_next_ones_are_given_more_time(
    box: Mailbox, imap: ScriptedImap, receive: Receive, settings: Settings
) -> None:
    settings.RUN_DEADLINE = timedelta(seconds=1)
    imap.messages.update(letters(1, 2))

    def slow(peer: Peer, tag: bytes, rest: bytes) -> None:
        if b"BODY" in rest:
            for piece in imap.fetched(1, letter(1)).splitlines(keepends=True):
                time.sleep(0.3)
                peer.send(piece)
            peer.send(imap.fetched(2, letter(2)) + tag + b" OK done\r\n")
        else:
            imap._do_uid_fetch(peer, tag, rest)

    imap.on("UID FETCH", slow)
    assert receive(box).last_error_code == "deadline_exceeded"
    runs = [receive(box) for _ in range(4)]
    assert stored_uids() == [1, 2]
    assert (runs[-1].transient_failures, runs[-1].last_error_code) == (0, "")
    assert not open_alerts()


def test_a_message_that_takes_longer_than_the_longest_run_is_told_of_and_what_is_behind_it_comes(
    box: Mailbox, imap: ScriptedImap, receive: Receive, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.RUN_DEADLINE = timedelta(seconds=1)
    monkeypatch.setattr(connecting, "LONGEST", 2.0)
    monkeypatch.setattr(reading, "LONG_ENOUGH", 1.0)
    imap.messages.update(letters(1, 2, 3))
    imap.on("UID FETCH", poisoned(imap, 2, trickle))
    for _ in range(syncing.CAREFUL_AFTER + 3):
        state = receive(box)
    assert stored_uids() == [1, 3]
    assert (state.is_enabled, state.transient_failures, state.last_error_code) == (True, 0, "")
    alert = Alert.objects.open().get(kind="message_quarantined")
    assert "EMAILSYNC_RUN_DEADLINE" in alert.parameters["cause"]
    ask_again_now()
    imap.messages.update(letters(4))
    state = receive(box)
    assert stored_uids() == [1, 3, 4]
    assert (state.transient_failures, state.last_error_code) == (0, "")
    assert LedgerEntry.objects.get(uid=2).seen_on > timezone.now() - timedelta(minutes=1)
    settings.RUN_DEADLINE = timedelta(seconds=60)
    imap.on("UID FETCH", imap._do_uid_fetch)
    ask_again_now()
    receive(box)
    assert stored_uids() == [1, 2, 3, 4]
    assert not open_alerts()


def test_a_withheld_message_is_told_and_holds_nobody_up(
    box: Mailbox, imap: ScriptedImap, receive: Receive
) -> None:
    imap.messages.update(letters(1, 2, 3))
    imap.on("UID FETCH", bodies_hidden(imap, 2))
    state = receive(box)
    assert stored_uids() == [1, 3]
    assert LedgerEntry.objects.get(uid=2).outcome == LedgerOutcome.QUARANTINED
    assert open_alerts() == {"message_quarantined"}
    assert (state.is_enabled, state.last_error_code) == (True, "")


@pytest.mark.parametrize("fail", [cut, say_goodbye, silence, tell_too_short, tell_too_long])
def test_a_message_that_breaks_every_conversation_is_found_out_and_holds_up_nobody_for_long(
    box: Mailbox, imap: ScriptedImap, receive: Receive, fail: Callable[[Peer], None]
) -> None:
    ServerProfile.objects.update(timeout_ms=2000)
    imap.messages.update(letters(1, 2, 3, 4))
    imap.on("UID FETCH", poisoned(imap, 2, fail))
    states = [receive(box) for _ in range(syncing.CAREFUL_AFTER + 3)]
    assert states[-2].last_error_code
    assert (states[-1].is_enabled, states[-1].transient_failures) == (True, 0)
    assert stored_uids() == [1, 3, 4]
    assert LedgerEntry.objects.get(uid=2).outcome == LedgerOutcome.QUARANTINED
    assert open_alerts() == {"message_quarantined"}


def test_a_message_at_which_the_server_finds_a_bug_of_its_own_holds_up_nobody_for_long(
    box: Mailbox, imap: ScriptedImap, receive: Receive
) -> None:
    imap.messages.update(letters(1, 2, 3, 4))

    def fail(peer: Peer, tag: bytes, rest: bytes) -> None:
        if b"BODY" in rest and 2 in imap.chosen(rest.partition(b" ")[0]):
            peer.send(tag + b" NO [SERVERBUG] Internal error occurred. Refer to server log.\r\n")
        else:
            imap._do_uid_fetch(peer, tag, rest)

    imap.on("UID FETCH", fail)
    for _ in range(syncing.CAREFUL_AFTER + 2):
        receive(box)
    assert stored_uids() == [1, 3, 4]
    assert LedgerEntry.objects.get(uid=2).outcome == LedgerOutcome.QUARANTINED
    assert open_alerts() == {"message_quarantined"}


def test_what_came_before_a_message_that_breaks_the_conversation_is_stored_in_the_same_run(
    box: Mailbox, imap: ScriptedImap, receive: Receive
) -> None:
    imap.messages.update(letters(1, 2, 3))
    imap.on("UID FETCH", poisoned(imap, 2, cut))
    WorkerState.objects.update(transient_failures=syncing.CAREFUL_AFTER)
    receive(box)
    assert stored_uids() == [1]
    assert LedgerEntry.objects.get(uid=2).outcome == LedgerOutcome.QUARANTINED


def test_a_message_that_breaks_every_conversation_is_asked_for_again_after_all_others(
    box: Mailbox, imap: ScriptedImap, receive: Receive
) -> None:
    imap.messages.update(letters(1, 2, 3))
    imap.on("UID FETCH", poisoned(imap, 2, cut))
    for _ in range(syncing.CAREFUL_AFTER + 3):
        receive(box)
    imap.messages.update(letters(4))
    ask_again_now()
    state = receive(box)
    assert stored_uids() == [1, 3, 4]
    assert (state.transient_failures, state.last_error_code) == (0, "")
    assert state.due_at is not None
    assert state.due_at <= timezone.now()
    state = receive(box)
    assert (state.transient_failures, open_alerts()) == (0, {"message_quarantined"})
    imap.on("UID FETCH", imap._do_uid_fetch)
    ask_again_now()
    receive(box)
    assert stored_uids() == [1, 2, 3, 4]
    assert not open_alerts()


def test_a_withheld_message_that_comes_later_is_stored_and_its_alert_resolved(
    box: Mailbox, imap: ScriptedImap, receive: Receive
) -> None:
    imap.messages.update(letters(1, 2, 3))
    imap.on("UID FETCH", bodies_hidden(imap, 2))
    receive(box)
    imap.on("UID FETCH", imap._do_uid_fetch)
    ask_again_now()
    receive(box)
    assert stored_uids() == [1, 2, 3]
    assert LedgerEntry.objects.get(uid=2).outcome == LedgerOutcome.STORED
    assert not open_alerts()


def test_a_withheld_message_that_vanished_is_not_asked_for_at_every_turn(
    box: Mailbox, imap: ScriptedImap, receive: Receive
) -> None:
    imap.messages.update(letters(1, 2, 3))
    imap.on("UID FETCH", bodies_hidden(imap, 2))
    receive(box)
    del imap.messages[2]
    ask_again_now()
    receive(box)
    imap.heard.clear()
    receive(box)
    assert not [line for line in imap.heard if b"FETCH" in line]


def test_the_alert_of_a_withheld_message_is_resolved_when_the_message_vanishes(
    box: Mailbox, imap: ScriptedImap, receive: Receive
) -> None:
    imap.messages.update(letters(1, 2, 3))
    imap.on("UID FETCH", bodies_hidden(imap, 2))
    receive(box)
    del imap.messages[2]
    ask_again_now()
    receive(box)
    assert not open_alerts()
    entry = LedgerEntry.objects.get(uid=2)
    assert (entry.outcome, entry.reason) == (LedgerOutcome.GONE, Reason.VANISHED)


def test_a_message_that_is_listed_but_not_even_described_is_not_taken_for_gone(
    box: Mailbox, imap: ScriptedImap, receive: Receive
) -> None:
    imap.messages.update(letters(1, 2, 3))
    imap.on("UID FETCH", bodies_hidden(imap, 2))
    receive(box)
    imap.on("UID FETCH", lambda peer, tag, _rest: peer.send(tag + b" OK done\r\n"))
    ask_again_now()
    receive(box)
    assert open_alerts() == {"message_quarantined"}
    assert LedgerEntry.objects.get(uid=2).outcome == LedgerOutcome.QUARANTINED


def test_the_alert_of_a_withheld_message_is_resolved_when_the_folder_is_renumbered_without_it(
    box: Mailbox, imap: ScriptedImap, receive: Receive
) -> None:
    imap.messages.update(letters(1, 2, 3))
    imap.on("UID FETCH", bodies_hidden(imap, 2))
    receive(box)
    del imap.messages[2]
    imap.uidvalidity += 1
    receive(box)
    assert not open_alerts()


def test_uidnext_that_never_moves_hides_no_new_message(
    box: Mailbox, imap: ScriptedImap, receive: Receive
) -> None:
    imap.uidnext = 4_294_967_295
    imap.messages.update(letters(1))
    receive(box)
    imap.messages.update(letters(2))
    receive(box)
    assert Message.objects.count() == 2


def test_uidnext_that_is_always_too_low_is_no_renumbering(
    box: Mailbox, imap: ScriptedImap, receive: Receive
) -> None:
    imap.uidnext = 1
    imap.messages.update(letters(1, 2, 3))
    receive(box)
    imap.heard.clear()
    imap.messages.update(letters(4))
    receive(box)
    assert Message.objects.count() == 4
    assert not Alert.objects.filter(kind="folder_renumbered").exists()
    assert not [line for line in imap.heard if re.search(rb"FETCH [1:,]*1[:,]", line)]


def test_doubled_fetch_lines_store_a_message_once(box: Mailbox, imap: ScriptedImap, receive: Receive) -> None:
    imap.messages.update(letters(1, 2))

    def twice(peer: Peer, tag: bytes, rest: bytes) -> None:
        imap._do_uid_fetch(peer, b"*", rest)
        imap._do_uid_fetch(peer, tag, rest)

    imap.on("UID FETCH", twice)
    receive(box)
    assert stored_uids() == [1, 2]
    assert LedgerEntry.objects.count() == 2


def test_garbage_is_a_failure_with_words(box: Mailbox, imap: ScriptedImap, receive: Receive) -> None:
    imap.on("STATUS", say_and_hang_up(b"\x00\xff\xfe{{{ no mail server \x1b[31m\r\n"))
    state = receive(box)
    assert (state.is_enabled, state.last_error_code) == (True, "protocol_violation")
    assert open_alerts() == {"incoming_retrying"}


def test_control_characters_in_capabilities_do_not_stop_a_test(
    box: Mailbox, imap: ScriptedImap, smtp: ScriptedSmtp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnosing, "Arrival", partial(Arrival, patience=0.1))
    imap.capabilities += b" X\x00Y\x1b"
    smtp.extensions.append(b"X\x00Y")
    job = diagnosis.start(Mailbox.objects.all(), environment=box.environment, by=None, now=timezone.now())
    diagnosing.run(job.diagnoses.get().pk)
    assert job.diagnoses.get().state == RunState.DONE


def test_a_folder_that_shrinks_loses_nothing_stored(
    box: Mailbox, imap: ScriptedImap, receive: Receive
) -> None:
    imap.uidnext = 4
    imap.messages.update(letters(1, 2, 3))
    receive(box)
    imap.messages.clear()
    receive(box)
    imap.messages[4] = letter(4)
    imap.uidnext = 5
    receive(box)
    assert Message.objects.count() == 4
    assert not Alert.objects.filter(kind="folder_renumbered").exists()


def test_a_message_that_vanishes_between_listing_and_fetching_is_left_out(
    box: Mailbox, imap: ScriptedImap, receive: Receive
) -> None:
    imap.messages.update(letters(1, 2, 3))

    def vanish(peer: Peer, tag: bytes, rest: bytes) -> None:
        if b"BODY" in rest:
            imap.messages.pop(2, None)
        imap._do_uid_fetch(peer, tag, rest)

    imap.on("UID FETCH", vanish)
    state = receive(box)
    assert stored_uids() == [1, 3]
    assert (state.last_error_code, FolderCursor.objects.get().last_uid) == ("", 3)


def writable(imap: ScriptedImap) -> Callable[[Peer, bytes, bytes], None]:
    """Open the folder for changes."""

    def behave(peer: Peer, tag: bytes, rest: bytes) -> None:
        peer.send(b"* %d EXISTS\r\n* OK [UIDVALIDITY %d] valid\r\n" % (len(imap.messages), imap.uidvalidity))
        peer.send(tag + b" OK [READ-WRITE] done\r\n")

    return behave


def test_a_renumbering_between_asking_and_opening_stores_nothing_under_wrong_numbers(
    box: Mailbox, imap: ScriptedImap, receive: Receive
) -> None:
    imap.messages.update(letters(1, 2))

    def late(peer: Peer, tag: bytes, rest: bytes) -> None:
        imap.uidvalidity = 99
        imap._do_examine(peer, tag, rest)

    imap.on("EXAMINE", late)
    receive(box)
    receive(box)
    assert set(LedgerEntry.objects.values_list("uidvalidity", flat=True)) == {99}
    assert Message.objects.count() == 2


def test_a_renumbering_before_deleting_deletes_nothing(
    box: Mailbox, imap: ScriptedImap, receive: Receive
) -> None:
    Mailbox.objects.update(kind=MailboxKind.QUEUE, delete_after_processing=True)
    imap.messages.update(letters(1, 2))

    def late(peer: Peer, tag: bytes, rest: bytes) -> None:
        imap.uidvalidity = 99
        writable(imap)(peer, tag, rest)

    imap.on("SELECT", late)
    receive(box)
    assert Message.objects.count() == 2
    assert not [line for line in imap.heard if b"STORE" in line or b"EXPUNGE" in line]


def test_a_stale_uid_cannot_be_deleted_after_a_crash_and_a_renumbering(
    box: Mailbox, imap: ScriptedImap, receive: Receive
) -> None:
    """The crash came between the commit and the deletion; the new UID 1 is somebody else."""
    Mailbox.objects.update(kind=MailboxKind.QUEUE, delete_after_processing=True)
    imap.messages.update(letters(1))
    imap.on("SELECT", say_and_hang_up(b""))
    receive(box)
    assert LedgerEntry.objects.get().is_to_delete
    imap.on("SELECT", writable(imap))
    imap.uidvalidity += 1
    imap.messages.clear()
    imap.messages.update({1: letter(7), 2: letter(1)})
    receive(box)
    assert sorted(Message.objects.values_list("subject", flat=True)) == ["Letter 1", "Letter 7"]


def test_deletion_that_was_cut_off_is_made_up_for(box: Mailbox, imap: ScriptedImap, receive: Receive) -> None:
    Mailbox.objects.update(kind=MailboxKind.QUEUE, delete_after_processing=True)
    imap.messages.update(letters(1, 2))
    imap.on("SELECT", writable(imap))
    imap.on("UID STORE", say_and_hang_up(b""))
    receive(box)
    assert LedgerEntry.objects.filter(is_to_delete=True).count() == 2
    imap.on("UID STORE", say(b""))
    state = receive(box)
    assert not LedgerEntry.objects.filter(is_to_delete=True).exists()
    assert [line for line in imap.heard if b"UID EXPUNGE 1:2" in line]
    assert state.last_error_code == ""


def test_a_test_on_a_silent_server_ends_with_its_cause(
    box: Mailbox, imap: ScriptedImap, smtp: ScriptedSmtp
) -> None:
    ServerProfile.objects.update(timeout_ms=1000)
    imap.on("AUTHENTICATE", never_answer)
    job = diagnosis.start(Mailbox.objects.all(), environment=box.environment, by=None, now=timezone.now())
    started = time.monotonic()
    diagnosing.run(job.diagnoses.get().pk)
    assert time.monotonic() - started < 60
    done = Diagnosis.objects.get()
    assert (done.state, done.incoming, done.outgoing) == (RunState.DONE, "failure", "success")
    assert done.steps.get(outcome="failure").error_code == "timed_out"
    assert WorkerState.objects.get(direction="incoming").status == ResultStatus.FAILURE
