"""Receiving over POP3, on a server that does what servers should not do."""

import hashlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from emailsync.mail.errors import SpoolFailed
from emailsync.management.selftest.certificates import Authority
from emailsync.management.selftest.scripted import Peer
from emailsync.management.selftest.scripted_pop3 import Letter, ScriptedPop3, answer, hang_up
from mailboxes.choices import LedgerOutcome, MailboxKind
from mailboxes.engine import clearing, preparing, reading, storing, syncing
from mailboxes.models import Alert, FolderCursor, LedgerEntry, Mailbox, Message, WorkerState
from mailboxes.services import received
from profiles.choices import IncomingProtocol
from profiles.models import ServerProfile

pytestmark = pytest.mark.django_db(transaction=True)
Receive = Callable[[Mailbox], WorkerState]


@pytest.fixture
def pop(certificates: Authority) -> Iterator[ScriptedPop3]:
    """Give a POP3 server that behaves until it is told not to."""
    with ScriptedPop3(certificate=certificates.server, implicit_tls=True) as server:
        yield server


@pytest.fixture
def box(box: Mailbox, pop: ScriptedPop3) -> Mailbox:
    """Give the mailbox on the scripted servers, read over POP3."""
    ServerProfile.objects.update(incoming_protocol=IncomingProtocol.POP3, incoming_port=pop.port)
    return Mailbox.objects.get(pk=box.pk)


def letter(number: int, uidl: str = "") -> Letter:
    """Return a message unlike its neighbours."""
    content = b"From: ben@example.org\r\nSubject: Letter %d\r\n\r\nHello.\r\n" % number
    return Letter((uidl or f"name{number}").encode(), content)


def stored() -> list[str]:
    """Return the subjects of what is stored."""
    return sorted(Message.objects.values_list("subject", flat=True))


def outcomes() -> list[str]:
    """Return what became of the messages that the server lists."""
    return sorted(LedgerEntry.objects.filter(is_listed=True).values_list("outcome", flat=True))


def deleting(box: Mailbox) -> Mailbox:
    """Have the mailbox delete what it has processed."""
    Mailbox.objects.update(kind=MailboxKind.QUEUE, delete_after_processing=True)
    return Mailbox.objects.get(pk=box.pk)


def open_alerts() -> list[str]:
    """Return the kinds of the open alerts."""
    return list(Alert.objects.open().values_list("kind", flat=True))


# Names


def test_a_missing_uidl_is_told_once_and_loses_nothing(
    box: Mailbox, pop: ScriptedPop3, receive: Receive
) -> None:
    pop.capabilities.remove(b"UIDL")
    pop.letters = [letter(1), letter(2)]
    receive(box)
    pop.letters = [letter(3), letter(1), letter(2)]
    receive(box)
    assert stored() == ["Letter 1", "Letter 2", "Letter 3"]
    assert pop.heard.count(b"RETR 1") + pop.heard.count(b"RETR 2") + pop.heard.count(b"RETR 3") == 3
    alert = Alert.objects.open().get()
    assert (alert.kind, alert.count) == ("uidl_missing", 1)
    pop.capabilities.append(b"UIDL")
    pop.letters.append(letter(4))
    receive(box)
    assert open_alerts() == []
    assert Message.objects.count() == 4


def test_messages_that_share_a_uidl_are_all_stored(box: Mailbox, pop: ScriptedPop3, receive: Receive) -> None:
    pop.letters = [letter(1, "same")]
    receive(box)
    pop.letters += [letter(2, "same"), letter(3, "same"), letter(3, "same")]
    receive(box)
    assert stored() == ["Letter 1", "Letter 2", "Letter 3"]
    assert outcomes() == ["duplicate", "duplicate", "stored", "stored"]
    assert receive(box).last_items == 0


def test_a_uidl_that_names_another_message_later_hides_none(
    box: Mailbox, pop: ScriptedPop3, receive: Receive
) -> None:
    pop.letters = [letter(1, "1"), letter(2, "2")]
    receive(box)
    pop.letters = [letter(2, "1")]
    receive(box)
    pop.letters = [letter(2, "1"), letter(3, "2")]
    receive(box)
    assert stored() == ["Letter 1", "Letter 2", "Letter 3"]


def test_new_names_for_the_same_messages_store_nothing_twice(
    box: Mailbox, pop: ScriptedPop3, receive: Receive
) -> None:
    pop.letters = [letter(1), letter(2)]
    receive(box)
    pop.letters = [letter(1, "x"), letter(2, "y"), letter(3, "z" * 90)]
    receive(box)
    assert stored() == ["Letter 1", "Letter 2", "Letter 3"]
    assert outcomes() == ["duplicate", "duplicate", "stored"]


def test_new_names_for_a_large_message_that_was_fetched_store_nothing_twice(
    box: Mailbox, pop: ScriptedPop3, receive: Receive, settings: Settings
) -> None:
    settings.MAXIMUM_MESSAGE_SIZE = 1000
    content = letter(1).content.replace(b"From:", b"Message-ID: <large@example.org>\r\nFrom:") + b"." * 2000
    pop.letters = [Letter(b"old", content + b"\r\n")]
    receive(box)
    received.fetch_anyway(Message.objects.get(), by=None, now=timezone.now())
    receive(box)
    pop.letters = [Letter(b"new", content + b"\r\n")]
    receive(box)
    assert not Message.objects.get().is_header_only


def test_another_maildrop_under_the_same_names_is_read_from_the_start(
    box: Mailbox, pop: ScriptedPop3, receive: Receive
) -> None:
    pop.letters = [letter(1, "1")]
    receive(box)
    Mailbox.objects.update(user_name="moved")
    pop.letters = [letter(2, "1")]
    receive(Mailbox.objects.get(pk=box.pk))
    assert stored() == ["Letter 1", "Letter 2"]


def test_another_message_of_the_same_size_is_found_within_the_hour(
    box: Mailbox, pop: ScriptedPop3, receive: Receive
) -> None:
    pop.letters = [letter(1)]
    receive(box)
    pop.letters = [letter(2)]
    receive(box)
    assert stored() == ["Letter 1"]
    FolderCursor.objects.update(listed_on=timezone.now() - syncing.LIST_AGAIN - timedelta(minutes=1))
    receive(box)
    assert stored() == ["Letter 1", "Letter 2"]


# Failures


def test_only_a_complete_run_says_goodbye(
    box: Mailbox, pop: ScriptedPop3, receive: Receive, monkeypatch: pytest.MonkeyPatch
) -> None:
    pop.letters = [letter(1)]

    def full(*_: Any, **__: Any) -> None:
        raise SpoolFailed("The disk is full.")

    with monkeypatch.context() as broken:
        broken.setattr(storing, "save", full)
        receive(box)
    assert b"QUIT" not in pop.heard
    receive(box)
    assert (stored(), pop.heard[-1]) == (["Letter 1"], b"QUIT")


def test_a_locked_maildrop_is_told_as_such_and_tried_again(
    box: Mailbox, pop: ScriptedPop3, receive: Receive
) -> None:
    pop.on("AUTH", answer(b"-ERR [IN-USE] Another session is open\r\n"))
    state = receive(box)
    assert (state.is_enabled, state.last_error_code) == (True, "mailbox_locked")
    assert "incoming_retrying" in open_alerts()


def test_a_withheld_message_is_told_and_asked_for_again(
    box: Mailbox, pop: ScriptedPop3, receive: Receive
) -> None:
    pop.letters = [letter(1), letter(2)]

    def withhold(peer: Peer, rest: bytes) -> None:
        peer.send(b"-ERR cannot read it\r\n" if rest == b"1" else b"+OK\r\n%s.\r\n" % letter(2).content)

    pop.on("RETR", withhold)
    receive(box)
    assert outcomes() == ["quarantined", "stored"]
    assert open_alerts() == ["message_quarantined"]
    pop.on("RETR", lambda peer, _: peer.send(b"+OK\r\n%s.\r\n" % letter(1).content))
    LedgerEntry.objects.update(seen_on=timezone.now() - syncing.ASK_AGAIN - timedelta(minutes=1))
    receive(box)
    assert stored() == ["Letter 1", "Letter 2"]
    assert open_alerts() == []


def test_a_message_that_breaks_every_conversation_is_found_out_and_holds_up_nobody_for_long(
    box: Mailbox, pop: ScriptedPop3, receive: Receive
) -> None:
    pop.letters = [letter(1), letter(2), letter(3)]

    def break_at_two(peer: Peer, rest: bytes) -> None:
        if rest == b"2":
            hang_up(peer, rest)
        peer.send(b"+OK\r\n%s.\r\n" % letter(int(rest)).content)

    pop.on("RETR", break_at_two)
    states = [receive(box) for _ in range(syncing.CAREFUL_AFTER + 3)]
    assert (states[-2].last_error_code, states[-1].last_error_code) == ("connection_lost", "")
    assert outcomes() == ["quarantined", "stored", "stored"]
    assert open_alerts() == ["message_quarantined"]


@pytest.mark.parametrize("passed", [timedelta(), syncing.ASK_AGAIN + timedelta(minutes=1)])
def test_the_alert_of_a_withheld_message_is_resolved_when_the_message_vanishes(
    box: Mailbox, pop: ScriptedPop3, receive: Receive, passed: timedelta
) -> None:
    pop.letters = [letter(1), letter(2)]
    pop.on("RETR", answer(b"-ERR cannot read it\r\n"))
    receive(box)
    pop.letters = []
    LedgerEntry.objects.update(seen_on=timezone.now() - passed)
    receive(box)
    assert open_alerts() == []
    assert set(LedgerEntry.objects.values_list("outcome", flat=True)) == {LedgerOutcome.GONE}


def test_a_run_cut_at_any_place_loses_nothing_and_stores_nothing_twice(
    box: Mailbox, pop: ScriptedPop3, receive: Receive
) -> None:
    pop.capabilities = [b"SASL PLAIN", b"UIDL", b"PIPELINING"]
    box = deleting(box)
    kept: set[bytes] = set()
    counts: set[int] = set()
    for turn, cut in enumerate(range(40, 1900, 100)):
        pop.letters += [letter(2 * turn), letter(2 * turn + 1)]
        kept |= {each.content for each in pop.letters}
        pop.cut_after = cut
        WorkerState.objects.update(is_enabled=True, transient_failures=0)
        receive(box)
        # Only what is stored may have gone.
        counts.add(Message.objects.count())
        hashes = set(Message.objects.values_list("sha256", flat=True))
        there = {hashlib.sha256(each.content).hexdigest() for each in pop.letters}
        assert {hashlib.sha256(content).hexdigest() for content in kept} == hashes | there
    assert len(counts) > 5
    pop.cut_after = None
    receive(box)
    assert Message.objects.count() == len(kept)
    assert pop.letters == []


# Deleting


def test_a_crash_before_deletion_is_made_up_for(
    box: Mailbox, pop: ScriptedPop3, receive: Receive, monkeypatch: pytest.MonkeyPatch
) -> None:
    pop.letters = [letter(1)]

    def crash(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(clearing, "delete_processed", crash)
        with pytest.raises(KeyboardInterrupt):
            receive(deleting(box))
    assert (stored(), pop.letters) == (["Letter 1"], [letter(1)])
    WorkerState.objects.update(leased_until=None)
    receive(deleting(box))
    assert (stored(), pop.letters) == (["Letter 1"], [])
    assert not LedgerEntry.objects.filter(is_to_delete=True).exists()


def test_more_than_one_window_is_deleted_by_runs_one_after_the_other(
    box: Mailbox, pop: ScriptedPop3, receive: Receive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "WINDOW", 2)
    pop.letters = [letter(number) for number in range(1, 4)]
    state = receive(deleting(box))
    assert len(pop.letters) == 1
    assert state.due_at is not None
    assert state.due_at <= timezone.now()
    state = receive(box)
    assert pop.letters == []
    assert state.due_at is not None
    assert state.due_at > timezone.now()


@pytest.mark.parametrize("command", ["DELE", "QUIT"])
def test_deletion_that_was_cut_off_is_made_up_for(
    box: Mailbox, pop: ScriptedPop3, receive: Receive, command: str
) -> None:
    pop.letters = [letter(1), letter(2)]
    pop.on(command, hang_up)
    receive(deleting(box))
    assert len(pop.letters) == 2
    pop._behaviours.clear()
    receive(deleting(box))
    assert (stored(), pop.letters) == (["Letter 1", "Letter 2"], [])
    assert not LedgerEntry.objects.filter(is_to_delete=True).exists()


def test_deletion_whose_confirmation_was_lost_is_known_from_the_list(
    box: Mailbox, pop: ScriptedPop3, receive: Receive
) -> None:
    pop.letters = [letter(1)]

    def quit_silently(_peer: Peer, _rest: bytes) -> None:
        pop.letters = []
        raise ConnectionResetError

    pop.on("QUIT", quit_silently)
    receive(deleting(box))
    assert LedgerEntry.objects.filter(is_to_delete=True).count() == 1
    pop._behaviours.clear()
    pop.letters = [letter(2)]
    receive(deleting(box))
    assert (stored(), pop.letters) == (["Letter 1", "Letter 2"], [])
    assert not LedgerEntry.objects.filter(is_to_delete=True).exists()


def test_a_uidl_given_anew_right_after_deletion_hides_nothing(
    box: Mailbox, pop: ScriptedPop3, receive: Receive
) -> None:
    pop.letters = [letter(1, "1")]
    receive(deleting(box))
    pop.letters = [letter(2, "1")]
    receive(deleting(box))
    assert (stored(), pop.letters) == (["Letter 1", "Letter 2"], [])


def test_a_server_that_deletes_nothing_is_not_read_again_for_ever(
    box: Mailbox, pop: ScriptedPop3, receive: Receive
) -> None:
    pop.on("DELE", answer(b"+OK\r\n"))
    pop.letters = [letter(1), letter(2)]
    for _ in range(4):
        receive(deleting(box))
    assert stored() == ["Letter 1", "Letter 2"]
    assert sum(line.startswith(b"RETR") for line in pop.heard) == 4


def test_only_what_is_stored_is_deleted(box: Mailbox, pop: ScriptedPop3, receive: Receive) -> None:
    old = Letter(b"old", b"Date: Mon, 02 Nov 2020 10:00:00 GMT\r\n\r\nold\r\n")
    pop.letters = [old, letter(1)]
    Mailbox.objects.update(process_email_from=timezone.now() - timedelta(days=1))
    receive(deleting(box))
    assert pop.letters == [old]
    assert outcomes() == [LedgerOutcome.BEFORE_START]
    assert stored() == ["Letter 1"]


def test_what_cannot_be_read_stays_on_the_server_where_the_others_are_deleted(
    box: Mailbox, pop: ScriptedPop3, receive: Receive, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise ValueError("broken")

    monkeypatch.setattr(preparing, "parse", fail)
    pop.letters = [letter(1)]
    receive(deleting(box))
    assert pop.letters == [letter(1)]
    assert outcomes() == [LedgerOutcome.QUARANTINED]
    assert Message.objects.get().is_quarantined
    assert open_alerts() == ["message_quarantined"]
