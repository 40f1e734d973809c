"""Messages above the limit, on a real Dovecot: their header is kept, and the rest fetched when asked for."""

import hashlib
from collections.abc import Callable

import pytest
from pytest_django import Settings

from emailsync.management.selftest.scripted import Peer
from emailsync.management.selftest.scripted_imap import ScriptedImap, refuse
from mailboxes.choices import LedgerOutcome
from mailboxes.models import Alert, LedgerEntry, Mailbox, Message, WorkerState
from mailboxes.services import received
from tests.conftest import Account
from tests.servers.dovecot import Dovecot

pytestmark = [pytest.mark.servers, pytest.mark.django_db(transaction=True)]
Receive = Callable[[Mailbox], WorkerState]

LARGE = (
    b"From: Ben <ben@example.org>\r\nTo: Ana <ana@example.org>\r\nSubject: Plans\r\n"
    b"Date: Mon, 02 Nov 2026 10:00:00 +0100\r\nMessage-ID: <plans@example.org>\r\n"
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nSee the file.\r\n--b\r\n"
    b"Content-Type: application/zip\r\nContent-Disposition: attachment; filename=plans.zip\r\n\r\n"
    + b"zip" * 1000
    + b"\r\n--b--\r\n"
)
SMALL = LARGE.replace(b"zip" * 1000, b"zip").replace(b"plans@", b"small@")


@pytest.fixture(autouse=True)
def limit(settings: Settings) -> None:
    """Have a limit that one of the two messages is above."""
    settings.MAXIMUM_MESSAGE_SIZE = 2000


@pytest.fixture
def header(mailbox: Mailbox, account: Account, dovecot: Dovecot, receive: Receive) -> Message:
    """Give the header of a large message that was left on the server."""
    dovecot.deliver(account.user_name, LARGE)
    receive(mailbox)
    return Message.objects.get()


def outcomes() -> list[str]:
    """Return what became of the messages, in the order in which they were accounted for."""
    return list(LedgerEntry.objects.order_by("pk").values_list("outcome", flat=True))


def ask_for(message: Message) -> None:
    """Ask for a message as a person does on its page."""
    received.fetch_anyway(message, by=None, now=message.stored_on)


def test_of_a_message_over_the_limit_the_header_is_kept(header: Message) -> None:
    assert (header.subject, header.from_address) == ("Plans", "ben@example.org")
    assert header.is_header_only
    assert header.size == len(LARGE)
    assert bytes(header.raw.content or b"") == LARGE.partition(b"\r\n--b")[0] + b"\r\n"
    assert outcomes() == [LedgerOutcome.OVERSIZE]


def test_it_is_told_with_a_way_to_its_page(header: Message) -> None:
    alert = Alert.objects.get()
    assert alert.kind == "message_oversize"
    assert alert.parameters["received_id"] == header.pk


def test_smaller_messages_beside_it_are_stored(
    header: Message, mailbox: Mailbox, account: Account, dovecot: Dovecot, receive: Receive
) -> None:
    dovecot.deliver(account.user_name, SMALL)
    receive(mailbox)
    assert outcomes() == [LedgerOutcome.OVERSIZE, LedgerOutcome.STORED]


def test_it_is_fetched_whole_when_asked_for_and_keeps_its_place(
    header: Message, mailbox: Mailbox, receive: Receive
) -> None:
    ask_for(header)
    receive(mailbox)
    message = Message.objects.get()
    assert (message.pk, message.is_header_only) == (header.pk, False)
    assert message.sha256 == hashlib.sha256(LARGE).hexdigest()
    assert bytes(message.raw.content or b"") == LARGE
    assert message.attachments.get().filename == "plans.zip"
    assert outcomes() == [LedgerOutcome.STORED]


def test_fetching_it_resolves_its_alert(header: Message, mailbox: Mailbox, receive: Receive) -> None:
    ask_for(header)
    receive(mailbox)
    assert not Alert.objects.open().filter(kind="message_oversize").exists()


def test_it_is_fetched_once(header: Message, mailbox: Mailbox, receive: Receive) -> None:
    ask_for(header)
    receive(mailbox)
    receive(mailbox)
    assert outcomes() == [LedgerOutcome.STORED]
    with pytest.raises(received.NotNow):
        ask_for(Message.objects.get())


def test_one_that_was_removed_meanwhile_is_accounted_for_as_gone(
    header: Message, mailbox: Mailbox, account: Account, dovecot: Dovecot, receive: Receive
) -> None:
    ask_for(header)
    dovecot.doveadm("expunge", "-u", account.user_name, "mailbox", "INBOX", "all")
    receive(mailbox)
    assert outcomes() == [LedgerOutcome.GONE]
    assert not Alert.objects.open().filter(kind="message_oversize").exists()
    assert Message.objects.get().is_header_only
    with pytest.raises(received.NotNow):
        ask_for(Message.objects.get())


def test_after_a_renumbering_it_is_still_one_message(
    header: Message, mailbox: Mailbox, account: Account, dovecot: Dovecot, receive: Receive
) -> None:
    ask_for(header)
    receive(mailbox)
    dovecot.change_uidvalidity(account.user_name)
    receive(mailbox)
    assert Message.objects.get().sha256 == hashlib.sha256(LARGE).hexdigest()


def test_after_a_renumbering_its_header_can_still_be_completed(
    header: Message, mailbox: Mailbox, account: Account, dovecot: Dovecot, receive: Receive
) -> None:
    dovecot.change_uidvalidity(account.user_name)
    receive(mailbox)
    ask_for(Message.objects.get())
    receive(mailbox)
    assert Message.objects.get().sha256 == hashlib.sha256(LARGE).hexdigest()


def test_what_comes_twice_is_one_message_when_it_is_fetched(
    header: Message, mailbox: Mailbox, account: Account, dovecot: Dovecot, receive: Receive
) -> None:
    dovecot.deliver(account.user_name, LARGE)
    receive(mailbox)
    assert outcomes() == [LedgerOutcome.OVERSIZE, LedgerOutcome.OVERSIZE]
    ask_for(header)
    receive(mailbox)
    assert sorted(outcomes()) == [LedgerOutcome.DUPLICATE, LedgerOutcome.STORED]
    assert Message.objects.get().sha256 == hashlib.sha256(LARGE).hexdigest()


def test_a_small_copy_that_came_in_the_same_second_does_not_hide_it(
    box: Mailbox, imap: ScriptedImap, receive: Receive
) -> None:
    imap.messages[1] = LARGE.replace(b"zip" * 1000, b"(the attachment was removed)")
    receive(box)
    imap.messages[2] = LARGE
    receive(box)
    assert outcomes() == [LedgerOutcome.STORED, LedgerOutcome.OVERSIZE]
    header = Message.objects.get(is_header_only=True)
    assert Alert.objects.open().get(kind="message_oversize").parameters["received_id"] == header.pk
    ask_for(header)
    receive(box)
    assert Message.objects.filter(sha256=hashlib.sha256(LARGE).hexdigest()).exists()
    assert outcomes() == [LedgerOutcome.STORED, LedgerOutcome.STORED]


def test_two_with_the_same_header_and_different_sizes_are_two(
    box: Mailbox, imap: ScriptedImap, receive: Receive
) -> None:
    other = LARGE.replace(b"zip" * 1000, b"zip" * 900)
    imap.messages.update({1: LARGE, 2: other})
    receive(box)
    for header in Message.objects.all():
        ask_for(header)
    receive(box)
    hashes = {hashlib.sha256(content).hexdigest() for content in (LARGE, other)}
    assert set(Message.objects.values_list("sha256", flat=True)) == hashes


def test_a_message_that_is_nothing_but_its_header_is_not_hidden_by_it(
    box: Mailbox, imap: ScriptedImap, receive: Receive
) -> None:
    imap.messages[1] = LARGE
    receive(box)
    imap.messages[2] = LARGE.partition(b"--b\r\n")[0]
    receive(box)
    assert outcomes() == [LedgerOutcome.OVERSIZE, LedgerOutcome.STORED]


def test_it_stays_on_the_server_where_stored_mail_is_deleted(
    mailbox: Mailbox, account: Account, dovecot: Dovecot, receive: Receive
) -> None:
    Mailbox.objects.update(kind="queue", delete_after_processing=True)
    dovecot.deliver(account.user_name, LARGE)
    receive(mailbox)
    assert not LedgerEntry.objects.filter(is_to_delete=True).exists()
    ask_for(Message.objects.get())
    receive(mailbox)
    assert LedgerEntry.objects.get().is_to_delete


def test_a_message_that_answers_nothing_is_not_kept_by_its_header_either(
    mailbox: Mailbox, account: Account, dovecot: Dovecot, receive: Receive
) -> None:
    Mailbox.objects.update(track_incoming="in_response")
    dovecot.deliver(account.user_name, LARGE)
    receive(mailbox)
    assert outcomes() == [LedgerOutcome.NOT_WANTED]
    assert not Alert.objects.exists()


def test_one_that_cannot_be_fetched_stops_nothing_and_is_told(
    box: Mailbox, imap: ScriptedImap, receive: Receive
) -> None:
    imap.messages[1] = LARGE
    receive(box)
    ask_for(Message.objects.get())
    imap.on("UID FETCH", refuse(b"not today"))
    state = receive(box)
    assert (state.is_enabled, state.transient_failures) == (True, 0)
    assert Alert.objects.open().filter(kind="oversize_not_fetched").exists()
    assert not LedgerEntry.objects.asked_for().exists()


def test_one_whose_header_is_withheld_is_noted_and_told(
    box: Mailbox, imap: ScriptedImap, receive: Receive
) -> None:
    def withhold(peer: Peer, tag: bytes, rest: bytes) -> None:
        (refuse(b"not today") if b"HEADER" in rest else imap._do_uid_fetch)(peer, tag, rest)

    imap.messages[1] = LARGE
    imap.on("UID FETCH", withhold)
    receive(box)
    assert outcomes() == [LedgerOutcome.OVERSIZE]
    assert not Message.objects.exists()
    assert Alert.objects.get().kind == "message_oversize"


def test_nothing_is_asked_for_while_the_mailbox_does_not_receive(header: Message) -> None:
    WorkerState.objects.update(is_enabled=False)
    with pytest.raises(received.NotNow, match="not enabled"):
        ask_for(header)
