"""Receiving over POP3, on a real Dovecot."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from bench.corpus import large_message
from mailboxes.choices import LedgerOutcome, MailboxKind
from mailboxes.engine import reconciling
from mailboxes.models import Alert, FolderCursor, LedgerEntry, Mailbox, Message, Reconciliation, WorkerState
from mailboxes.services import completeness, received
from profiles.choices import ConnectionSecurity, IncomingProtocol
from profiles.models import ServerProfile
from tests.conftest import Account
from tests.servers.dovecot import Dovecot

pytestmark = [pytest.mark.servers, pytest.mark.django_db(transaction=True)]
Receive = Callable[[Mailbox], WorkerState]


def letter(number: int, *, received: datetime | None = None) -> bytes:
    """Return a message unlike its neighbours, with dots where POP3 doubles them."""
    trace = f"Received: from a by b; {received:%a, %d %b %Y %H:%M:%S} +0000\r\n" if received else ""
    return (
        trace.encode() + b"From: ben@example.org\r\nSubject: Letter %d\r\n\r\n.\r\n..dots\r\n.x\r\n" % number
    )


@pytest.fixture
def pop_mailbox(mailbox: Mailbox, dovecot: Dovecot) -> Mailbox:
    """Give the mailbox on a profile that reads over POP3."""
    ServerProfile.objects.update(incoming_protocol=IncomingProtocol.POP3, incoming_port=dovecot.ports.pop3s)
    return Mailbox.objects.get(pk=mailbox.pk)


def deleting(mailbox: Mailbox) -> Mailbox:
    """Have the mailbox delete what it has processed."""
    Mailbox.objects.update(kind=MailboxKind.QUEUE, delete_after_processing=True)
    return Mailbox.objects.get(pk=mailbox.pk)


@pytest.mark.parametrize("security", [ConnectionSecurity.TLS, ConnectionSecurity.STARTTLS])
def test_mail_arrives_once_byte_for_byte_and_stays(
    pop_mailbox: Mailbox, account: Account, dovecot: Dovecot, receive: Receive, security: ConnectionSecurity
) -> None:
    if security == ConnectionSecurity.STARTTLS:
        ServerProfile.objects.update(incoming_security=security, incoming_port=dovecot.ports.pop3)
    dovecot.deliver(account.user_name, letter(1))
    assert receive(pop_mailbox).last_items == 1
    dovecot.deliver(account.user_name, letter(2))
    assert receive(pop_mailbox).last_items == 1
    assert receive(pop_mailbox).last_items == 0
    hashes = set(Message.objects.values_list("sha256", flat=True))
    assert hashes == {hashlib.sha256(letter(number)).hexdigest() for number in (1, 2)}
    entries = LedgerEntry.objects.filter(is_listed=True, uid=None, uidl__isnull=False)
    assert [entry.outcome for entry in entries] == ["stored", "stored"]
    assert dovecot.messages(account.user_name) == [letter(1), letter(2)]


def test_an_unchanged_mailbox_is_asked_for_no_names(
    pop_mailbox: Mailbox, account: Account, dovecot: Dovecot, receive: Receive
) -> None:
    dovecot.deliver(account.user_name, letter(1))
    receive(pop_mailbox)
    listed_on = FolderCursor.objects.get().listed_on
    receive(pop_mailbox)
    assert FolderCursor.objects.get().listed_on == listed_on


def test_a_large_message_comes_whole(
    pop_mailbox: Mailbox, account: Account, dovecot: Dovecot, receive: Receive
) -> None:
    content = large_message(6 * 1024 * 1024)
    dovecot.deliver(account.user_name, content)
    receive(pop_mailbox)
    assert Message.objects.get().sha256 == hashlib.sha256(content).hexdigest()


def test_the_start_date_goes_by_the_received_field(
    pop_mailbox: Mailbox, account: Account, dovecot: Dovecot, receive: Receive
) -> None:
    now = timezone.now().astimezone(UTC)
    Mailbox.objects.update(process_email_from=now - timedelta(days=1))
    dovecot.deliver(account.user_name, letter(1, received=now - timedelta(days=3)))
    dovecot.deliver(account.user_name, letter(2, received=now - timedelta(hours=1)))
    receive(pop_mailbox)
    outcomes = LedgerEntry.objects.order_by("received_at").values_list("outcome", flat=True)
    assert list(outcomes) == [LedgerOutcome.BEFORE_START, LedgerOutcome.STORED]
    Mailbox.objects.update(process_email_from=now - timedelta(days=5))
    receive(pop_mailbox)
    assert Message.objects.count() == 2


def test_processed_mail_is_deleted_where_that_is_asked_for(
    pop_mailbox: Mailbox, account: Account, dovecot: Dovecot, receive: Receive
) -> None:
    dovecot.deliver(account.user_name, letter(1))
    receive(deleting(pop_mailbox))
    assert dovecot.messages(account.user_name) == []
    dovecot.deliver(account.user_name, letter(2))
    receive(deleting(pop_mailbox))
    assert dovecot.messages(account.user_name) == []
    assert Message.objects.count() == 2
    assert not LedgerEntry.objects.filter(is_to_delete=True).exists()


def test_a_mailbox_that_moves_from_imap_to_pop3_stores_nothing_twice(
    mailbox: Mailbox, account: Account, dovecot: Dovecot, receive: Receive
) -> None:
    dovecot.deliver(account.user_name, letter(1))
    receive(mailbox)
    ServerProfile.objects.update(incoming_protocol=IncomingProtocol.POP3, incoming_port=dovecot.ports.pop3s)
    dovecot.deliver(account.user_name, letter(2))
    receive(Mailbox.objects.get(pk=mailbox.pk))
    assert Message.objects.count() == 2
    assert sorted(LedgerEntry.objects.filter(is_listed=True).values_list("outcome", flat=True)) == [
        "duplicate",
        "stored",
    ]
    assert not Alert.objects.filter(level="error").exists()


@pytest.fixture
def header(
    pop_mailbox: Mailbox, account: Account, dovecot: Dovecot, receive: Receive, settings: Settings
) -> Message:
    """Give the header of a message above the limit, which was left on the server beside a small one."""
    settings.MAXIMUM_MESSAGE_SIZE = 2000
    dovecot.deliver(account.user_name, letter(1))
    dovecot.deliver(account.user_name, letter(2) + b"large " * 1000)
    receive(pop_mailbox)
    return Message.objects.get(is_header_only=True)


def test_a_message_over_the_limit_is_fetched_when_asked_for_and_keeps_its_place(
    pop_mailbox: Mailbox, header: Message, receive: Receive
) -> None:
    assert header.subject == "Letter 2"
    received.fetch_anyway(header, by=None, now=timezone.now())
    receive(pop_mailbox)
    whole = letter(2) + b"large " * 1000 + b"\r\n"
    message = Message.objects.get(pk=header.pk)
    assert (message.is_header_only, message.sha256) == (False, hashlib.sha256(whole).hexdigest())
    assert not LedgerEntry.objects.exclude(outcome=LedgerOutcome.STORED).exists()
    assert not Alert.objects.open().filter(kind="message_oversize").exists()


def test_one_that_was_removed_before_it_was_fetched_is_accounted_for_as_gone(
    pop_mailbox: Mailbox, header: Message, account: Account, dovecot: Dovecot, receive: Receive
) -> None:
    received.fetch_anyway(header, by=None, now=timezone.now())
    dovecot.doveadm("expunge", "-u", account.user_name, "mailbox", "INBOX", "larger", "2000")
    receive(pop_mailbox)
    assert LedgerEntry.objects.get(message=header).outcome == LedgerOutcome.GONE
    assert Message.objects.get(pk=header.pk).is_header_only


def count(mailbox: Mailbox, receive: Receive) -> Reconciliation:
    """Have the maildrop counted."""
    completeness.ask(Mailbox.objects.all(), by=None, now=timezone.now())
    receive(mailbox)
    return Reconciliation.objects.get()


def test_a_maildrop_is_counted_against_the_ledger(
    pop_mailbox: Mailbox, header: Message, account: Account, dovecot: Dovecot, receive: Receive
) -> None:
    dovecot.deliver(account.user_name, letter(1))
    dovecot.deliver(account.user_name, letter(3))
    receive(pop_mailbox)
    dovecot.doveadm("expunge", "-u", account.user_name, "mailbox", "INBOX", "subject", "Letter 3")
    report = count(pop_mailbox, receive)
    assert report.outcomes == {"stored": 1, "oversize": 1, "duplicate": 1}
    assert (report.on_server, report.waiting, report.missed) == (3, 0, 0)
    assert report.is_balanced


def test_a_gap_in_the_ledger_of_a_maildrop_is_filled(
    pop_mailbox: Mailbox, account: Account, dovecot: Dovecot, receive: Receive
) -> None:
    dovecot.deliver(account.user_name, letter(1))
    dovecot.deliver(account.user_name, letter(2))
    receive(pop_mailbox)
    Message.objects.filter(subject="Letter 1").delete()
    LedgerEntry.objects.filter(message=None).delete()
    assert count(pop_mailbox, receive).missed == 1
    assert Alert.objects.open().get().kind == "ledger_gap"
    receive(pop_mailbox)
    assert set(Message.objects.values_list("subject", flat=True)) == {"Letter 1", "Letter 2"}
    assert Reconciliation.objects.get().is_balanced
    assert not Alert.objects.open().exists()


def test_what_came_to_a_maildrop_after_it_was_read_is_no_gap(
    pop_mailbox: Mailbox,
    account: Account,
    dovecot: Dovecot,
    receive: Receive,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    receive(pop_mailbox)
    counting = reconciling.count_if_due

    def arrive_first(*of: Any) -> None:
        dovecot.deliver(account.user_name, letter(1))
        counting(*of)

    monkeypatch.setattr(reconciling, "count_if_due", arrive_first)
    report = count(pop_mailbox, receive)
    assert (report.waiting, report.missed) == (1, 0)


def test_one_that_vanished_long_before_it_is_asked_for_is_accounted_for_as_gone(
    pop_mailbox: Mailbox, header: Message, account: Account, dovecot: Dovecot, receive: Receive
) -> None:
    dovecot.doveadm("expunge", "-u", account.user_name, "mailbox", "INBOX", "larger", "2000")
    receive(pop_mailbox)
    received.fetch_anyway(header, by=None, now=timezone.now())
    receive(pop_mailbox)
    with pytest.raises(received.NotNow, match="no longer on the server"):
        received.fetch_anyway(header, by=None, now=timezone.now())
