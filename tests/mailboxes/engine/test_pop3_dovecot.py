"""Receiving over POP3, on a real Dovecot."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from bench.corpus import large_message
from mailboxes.choices import LedgerOutcome, MailboxKind
from mailboxes.models import Alert, FolderCursor, LedgerEntry, Mailbox, Message, WorkerState
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
