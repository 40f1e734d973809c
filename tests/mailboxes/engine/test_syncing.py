"""Receiving, on a real Dovecot."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from bench.corpus import large_message, messages
from emailsync.mail.parsing import ParsedMessage, parse
from mailboxes.choices import AddressStatus, LedgerOutcome, MailboxKind
from mailboxes.engine import filing, preparing
from mailboxes.models import Alert, FolderCursor, LedgerEntry, Mailbox, Message, RawMessage, WorkerState
from mailboxes.services import editing
from profiles.choices import IncomingMethod
from profiles.models import ServerProfile
from tests.conftest import Account
from tests.mailboxes.keeping.conftest import forwarded
from tests.servers.dovecot import Dovecot

pytestmark = [pytest.mark.servers, pytest.mark.django_db(transaction=True)]
Receive = Callable[[Mailbox], WorkerState]

SIMPLE = (
    b"From: Ben <ben@example.org>\r\nTo: Ana <ana@example.org>, carla@example.org\r\nSubject: Hello\r\n"
    b"Date: Mon, 02 Nov 2026 10:00:00 +0100\r\nMessage-ID: <one@example.org>\r\n\r\nHow are you?\r\n"
)


def numbered(number: int) -> bytes:
    """Return a message unlike its neighbours."""
    return SIMPLE.replace(b"Hello", b"Hello %d" % number)


def test_a_new_message_is_stored_with_its_raw_bytes(
    mailbox: Mailbox, account: Account, dovecot: Dovecot, receive: Receive
) -> None:
    dovecot.deliver(account.user_name, SIMPLE)
    receive(mailbox)
    message = Message.objects.get()
    assert message.sha256 == hashlib.sha256(SIMPLE).hexdigest()
    assert bytes(message.raw.content or b"") == SIMPLE
    assert (message.subject, message.from_address) == ("Hello", "ben@example.org")
    assert message.date == datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
    assert [str(r) for r in message.recipients.all()] == ["Ana <ana@example.org>", "carla@example.org"]


def test_a_second_run_stores_nothing_again(
    mailbox: Mailbox, account: Account, dovecot: Dovecot, receive: Receive
) -> None:
    dovecot.deliver(account.user_name, SIMPLE)
    receive(mailbox)
    receive(mailbox)
    assert Message.objects.count() == 1
    assert LedgerEntry.objects.count() == 1


def test_only_what_came_after_the_cursor_is_fetched(
    mailbox: Mailbox, account: Account, dovecot: Dovecot, receive: Receive
) -> None:
    dovecot.deliver(account.user_name, numbered(1))
    receive(mailbox)
    dovecot.deliver(account.user_name, numbered(2))
    state = receive(mailbox)
    assert state.last_items == 1
    assert Message.objects.count() == 2


def test_a_changed_uidvalidity_neither_loses_nor_doubles(
    mailbox: Mailbox, account: Account, dovecot: Dovecot, receive: Receive
) -> None:
    dovecot.deliver(account.user_name, numbered(1))
    receive(mailbox)
    before = FolderCursor.objects.get().uidvalidity
    dovecot.change_uidvalidity(account.user_name)
    dovecot.deliver(account.user_name, numbered(2))
    receive(mailbox)
    cursor = FolderCursor.objects.get()
    assert cursor.uidvalidity != before
    assert Message.objects.filter(uidvalidity=cursor.uidvalidity).count() == 2
    assert Message.objects.count() == 2
    assert Alert.objects.filter(kind="folder_renumbered").count() == 1


def test_a_uidnext_that_fell_is_a_renumbering_not_nothing_new(
    mailbox: Mailbox, account: Account, dovecot: Dovecot, receive: Receive
) -> None:
    dovecot.deliver(account.user_name, numbered(1))
    receive(mailbox)
    FolderCursor.objects.update(last_uid=500, uidnext=501)
    dovecot.deliver(account.user_name, numbered(2))
    receive(mailbox)
    assert Message.objects.count() == 2
    assert FolderCursor.objects.get().last_uid == 2


def test_the_same_bytes_twice_are_one_message_with_two_entries(
    mailbox: Mailbox, account: Account, dovecot: Dovecot, receive: Receive
) -> None:
    dovecot.deliver(account.user_name, SIMPLE)
    dovecot.deliver(account.user_name, SIMPLE)
    receive(mailbox)
    assert Message.objects.count() == 1
    assert list(LedgerEntry.objects.order_by("uid").values_list("outcome", flat=True)) == [
        "stored",
        "duplicate",
    ]


def test_mail_from_before_the_start_date_is_accounted_for_and_not_fetched(
    mailbox: Mailbox, account: Account, dovecot: Dovecot, receive: Receive, now: datetime
) -> None:
    Mailbox.objects.update(process_email_from=now - timedelta(days=1))
    dovecot.deliver(account.user_name, numbered(1), received_at=now - timedelta(days=3))
    dovecot.deliver(account.user_name, numbered(2))
    receive(mailbox)
    assert list(LedgerEntry.objects.order_by("uid").values_list("outcome", flat=True)) == [
        "before_start",
        "stored",
    ]


def test_a_large_message_is_kept_as_a_file(
    mailbox: Mailbox, account: Account, dovecot: Dovecot, receive: Receive
) -> None:
    content = large_message(6 * 1024 * 1024)
    dovecot.deliver(account.user_name, content)
    receive(mailbox)
    raw = RawMessage.objects.get()
    assert raw.content is None
    assert raw.message.sha256 == hashlib.sha256(content).hexdigest()
    assert raw.message.attachments.get().filename == "large.zip"


def test_many_mixed_messages_are_each_stored_once(
    mailbox: Mailbox, account: Account, dovecot: Dovecot, receive: Receive
) -> None:
    contents = list(messages(600, seed=5))
    for content in contents:
        dovecot.deliver(account.user_name, content)
    receive(mailbox)
    expected = {hashlib.sha256(content).hexdigest() for content in contents}
    assert set(Message.objects.values_list("sha256", flat=True)) == expected
    assert LedgerEntry.objects.filter(outcome=LedgerOutcome.STORED).count() == 600


def test_an_unapproved_mailbox_receives_nothing(
    mailbox: Mailbox, account: Account, dovecot: Dovecot, receive: Receive
) -> None:
    Mailbox.objects.update(address_status=AddressStatus.PENDING, approved_on=None)
    dovecot.deliver(account.user_name, SIMPLE)
    receive(mailbox)
    assert not Message.objects.exists()


def test_a_wrong_password_stops_the_direction_at_once(mailbox: Mailbox, receive: Receive) -> None:
    mailbox.password = "not the password"
    mailbox.save()
    state = receive(mailbox)
    alert = Alert.objects.get(mailbox=mailbox)
    assert (state.is_enabled, state.status, state.last_error_code) == (False, "failure", "login_refused")
    assert (alert.kind, alert.level) == ("incoming_stopped", "error")


def test_a_server_that_is_away_is_tried_again_later(mailbox: Mailbox, receive: Receive) -> None:
    ServerProfile.objects.update(incoming_port=1)
    state = receive(mailbox)
    assert state.is_enabled
    assert state.transient_failures == 1
    assert state.due_at is not None
    assert state.due_at > timezone.now() + timedelta(minutes=4)
    assert Alert.objects.get(mailbox=mailbox).kind == "incoming_retrying"


def test_the_eleventh_failure_in_a_row_stops_under_the_same_code(mailbox: Mailbox, receive: Receive) -> None:
    ServerProfile.objects.update(incoming_port=1)
    an_hour_ago = timezone.now() - timedelta(hours=1)
    WorkerState.objects.update(transient_failures=10, failing_since=an_hour_ago)
    state = receive(mailbox)
    assert (state.is_enabled, state.last_error_code) == (False, "connection_refused")


def test_success_forgets_the_failures_and_resolves_the_alert(
    mailbox: Mailbox, receive: Receive, dovecot: Dovecot
) -> None:
    ServerProfile.objects.update(incoming_port=1)
    receive(mailbox)
    ServerProfile.objects.update(incoming_port=dovecot.ports.imaps)
    state = receive(mailbox)
    assert state.transient_failures == 0
    assert not Alert.objects.open().exists()


def test_who_asks_while_a_run_is_under_way_gets_one_after_it(
    mailbox: Mailbox, receive: Receive, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[datetime] = []

    def ask(*_: object) -> None:
        asked.append(timezone.now())
        editing.sync_now(mailbox, by=None, now=asked[-1])

    monkeypatch.setattr(filing, "run", ask)
    assert receive(mailbox).due_at == asked[0]


def test_a_queue_that_deletes_after_processing_empties_its_inbox(
    mailbox: Mailbox, account: Account, dovecot: Dovecot, receive: Receive
) -> None:
    Mailbox.objects.update(kind=MailboxKind.QUEUE, delete_after_processing=True)
    dovecot.deliver(account.user_name, SIMPLE)
    receive(mailbox)
    assert Message.objects.count() == 1
    assert dovecot.messages(account.user_name) == []


def test_mail_stays_on_the_server_by_default(
    mailbox: Mailbox, account: Account, dovecot: Dovecot, receive: Receive
) -> None:
    dovecot.deliver(account.user_name, SIMPLE)
    receive(mailbox)
    assert len(dovecot.messages(account.user_name)) == 1


def test_a_start_date_that_moves_back_brings_what_it_kept_out(
    mailbox: Mailbox, account: Account, dovecot: Dovecot, receive: Receive, now: datetime
) -> None:
    Mailbox.objects.update(process_email_from=now - timedelta(days=1))
    for number, days in ((1, 10), (2, 3), (3, 2)):
        dovecot.deliver(account.user_name, numbered(number), received_at=now - timedelta(days=days))
    receive(mailbox)
    Mailbox.objects.update(process_email_from=now - timedelta(days=5))
    dovecot.doveadm("expunge", "-u", account.user_name, "mailbox", "INBOX", "uid", "3")
    receive(mailbox)
    assert list(LedgerEntry.objects.order_by("uid").values_list("outcome", "reason")) == [
        ("before_start", "before_start_date"),
        ("stored", "all_wanted"),
        ("gone", "vanished"),
    ]
    assert Message.objects.get().subject == "Hello 2"


def test_a_mailbox_that_wants_nothing_fetches_nothing_and_accounts_for_it(
    mailbox: Mailbox, account: Account, dovecot: Dovecot, receive: Receive
) -> None:
    Mailbox.objects.update(track_incoming="none", kind=MailboxKind.QUEUE, delete_after_processing=True)
    dovecot.deliver(account.user_name, SIMPLE)
    receive(mailbox)
    assert LedgerEntry.objects.get().reason == "nothing_wanted"
    assert not Message.objects.exists()
    assert len(dovecot.messages(account.user_name)) == 1


def test_a_mailbox_that_wants_nothing_is_read_for_what_names_others_that_want_more(
    mailbox: Mailbox, account: Account, dovecot: Dovecot, receive: Receive
) -> None:
    other = Mailbox.objects.get(pk=mailbox.pk)
    other.pk, other.name, other.address, other.user_name = uuid4(), "Other", "other@mail.test", "other"
    other.save(force_insert=True)
    Mailbox.objects.filter(pk=mailbox.pk).update(track_incoming="none")
    dovecot.deliver(account.user_name, SIMPLE)
    dovecot.deliver(account.user_name, SIMPLE.replace(b"To: ", b"To: Other@mail.test, "))
    receive(mailbox)
    assert list(LedgerEntry.objects.order_by("uid").values_list("outcome", "reason")) == [
        ("not_wanted", "nothing_wanted"),
        ("stored", "all_wanted"),
    ]
    assert Message.objects.get().accepted_by == other


@pytest.fixture
def unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the parser fail on one message."""

    def fail(raw: bytes) -> ParsedMessage:
        if b"Hello 1" in raw:
            raise ValueError("a defect")
        return parse(raw)

    monkeypatch.setattr(preparing, "parse", fail)


def test_what_cannot_be_read_is_moved_to_undeliverable_when_the_profile_says_so(
    mailbox: Mailbox, account: Account, dovecot: Dovecot, receive: Receive, unreadable: None
) -> None:
    ServerProfile.objects.update(move_failed_to_undeliverable=True)
    dovecot.deliver(account.user_name, numbered(1))
    dovecot.deliver(account.user_name, numbered(2))
    receive(mailbox)
    assert [len(dovecot.messages(account.user_name, folder=name)) for name in ("INBOX", "Undeliverable")] == [
        1,
        1,
    ]
    assert list(LedgerEntry.objects.order_by("uid").values_list("outcome", "moved_to")) == [
        ("quarantined", "Undeliverable"),
        ("stored", ""),
    ]
    assert bytes(Message.objects.get(is_quarantined=True).raw.content or b"") == numbered(1)


def test_what_cannot_be_read_stays_where_it_is_by_default(
    mailbox: Mailbox, account: Account, dovecot: Dovecot, receive: Receive, unreadable: None
) -> None:
    dovecot.deliver(account.user_name, numbered(1))
    receive(mailbox)
    assert len(dovecot.messages(account.user_name)) == 1


def test_a_forward_mailbox_empties_itself_after_giving_its_mail_away(
    mailbox: Mailbox, account: Account, dovecot: Dovecot, receive: Receive, owner: User
) -> None:
    Mailbox.objects.update(kind=MailboxKind.FORWARD, outgoing="none", delete_after_processing=True)
    fed = Mailbox(environment=mailbox.environment, name="Fred", address="fred@contoso.example")
    fed.incoming = IncomingMethod.FORWARD_MAILBOX
    editing.create(fed, by=None)
    Mailbox.objects.filter(pk=fed.pk).update(
        address_status=AddressStatus.APPROVED, approved_on=timezone.now()
    )
    outer = forwarded(SIMPLE, sender="fred@contoso.example") + b"\r\n"
    dovecot.deliver(account.user_name, outer)
    dovecot.deliver(account.user_name, SIMPLE)
    receive(mailbox)
    assert bytes(Message.objects.get(mailbox=fed).raw.content or b"") == SIMPLE
    assert Alert.objects.open().get(mailbox=mailbox).kind == "forward_without_attachment"
    assert dovecot.messages(account.user_name) == []
