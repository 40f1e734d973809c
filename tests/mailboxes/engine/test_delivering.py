"""Sending, through a real Postfix."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from emailsync.mail.composing import Draft
from emailsync.mail.parsing import Address
from mailboxes.choices import AddressStatus, Direction, OutgoingStatus, SentCopy
from mailboxes.engine import connecting, delivering, scheduling
from mailboxes.models import Alert, Mailbox, OutgoingMessage, WorkerState
from mailboxes.services import outgoing
from profiles.choices import AppendToSent
from profiles.models import ServerProfile
from tests.conftest import Account
from tests.servers.dovecot import Dovecot
from tests.servers.postfix import Postfix

pytestmark = [pytest.mark.servers, pytest.mark.django_db(transaction=True)]
Send = Callable[[Mailbox], WorkerState]


def draft(mailbox: Mailbox, *recipients: str) -> Draft:
    """Return a short message from the mailbox."""
    to = tuple(Address("", recipient) for recipient in recipients)
    return Draft(
        sender=Address(mailbox.name, mailbox.address), to=to, cc=(), bcc=(), subject="Hello", text="Hi."
    )


@pytest.fixture
def other(new_account: Callable[[], Account]) -> Account:
    """Give somebody to write to."""
    return new_account()


def test_a_queued_message_arrives(
    mailbox: Mailbox, other: Account, send: Send, dovecot: Dovecot, now: datetime
) -> None:
    message = outgoing.queue(mailbox, draft(mailbox, other.address), by=None, now=now)
    send(mailbox)
    message.refresh_from_db()
    assert message.status == OutgoingStatus.SENT
    arrived = dovecot.wait_for_message(other.user_name, containing=message.message_id.encode())
    assert b"Subject: Hello" in arrived


def test_queuing_makes_the_direction_due(mailbox: Mailbox, other: Account, now: datetime) -> None:
    WorkerState.objects.update(due_at=None)
    outgoing.queue(mailbox, draft(mailbox, other.address), by=None, now=now)
    assert WorkerState.objects.get(direction=Direction.OUTGOING).due_at == now


def test_a_direction_that_pauses_after_a_failure_keeps_its_pause(
    mailbox: Mailbox, other: Account, now: datetime
) -> None:
    later = now + timedelta(minutes=5)
    WorkerState.objects.update(due_at=later, transient_failures=1)
    outgoing.queue(mailbox, draft(mailbox, other.address), by=None, now=now)
    assert WorkerState.objects.get(direction=Direction.OUTGOING).due_at == later


def test_mail_of_an_unapproved_mailbox_waits(
    mailbox: Mailbox, other: Account, send: Send, now: datetime
) -> None:
    Mailbox.objects.update(address_status=AddressStatus.PENDING, approved_on=None)
    message = outgoing.queue(mailbox, draft(mailbox, other.address), by=None, now=now)
    send(mailbox)
    message.refresh_from_db()
    assert message.status == OutgoingStatus.PENDING_SEND


def test_a_refused_recipient_fails_the_message_and_names_it(
    mailbox: Mailbox, other: Account, send: Send, postfix: Postfix, now: datetime
) -> None:
    postfix.reply_to_recipient(other.address, "550 5.1.1 No such person")
    message = outgoing.queue(mailbox, draft(mailbox, other.address), by=None, now=now)
    state = send(mailbox)
    message.refresh_from_db()
    assert message.status == OutgoingStatus.FAILED
    assert "No such person" in message.refused[other.address]
    assert Alert.objects.get().kind == "email_failed"
    assert state.is_enabled


def test_a_temporary_refusal_is_tried_again(
    mailbox: Mailbox, other: Account, send: Send, postfix: Postfix, now: datetime
) -> None:
    postfix.reply_to_recipient(other.address, "450 4.2.1 Try again later")
    message = outgoing.queue(mailbox, draft(mailbox, other.address), by=None, now=now)
    state = send(mailbox)
    message.refresh_from_db()
    assert message.status == OutgoingStatus.PENDING_SEND
    assert message.next_attempt_at is not None
    assert message.next_attempt_at > now + timedelta(minutes=4)
    assert state.due_at == message.next_attempt_at


def test_one_refused_recipient_does_not_hold_up_the_others(
    mailbox: Mailbox,
    other: Account,
    new_account: Callable[[], Account],
    send: Send,
    postfix: Postfix,
    dovecot: Dovecot,
    now: datetime,
) -> None:
    gone = new_account().address
    postfix.reply_to_recipient(gone, "550 5.1.1 Gone")
    both = draft(mailbox, other.address, gone)
    message = outgoing.queue(mailbox, both, by=None, now=now)
    send(mailbox)
    message.refresh_from_db()
    assert message.status == OutgoingStatus.SENT
    assert list(message.refused) == [gone]
    assert Alert.objects.get().kind == "email_refused_in_part"
    dovecot.wait_for_message(other.user_name, containing=message.message_id.encode())


def test_a_wrong_password_stops_sending_and_keeps_the_message(
    mailbox: Mailbox, other: Account, send: Send, now: datetime
) -> None:
    mailbox.password = "not the password"
    mailbox.save()
    message = outgoing.queue(mailbox, draft(mailbox, other.address), by=None, now=now)
    state = send(mailbox)
    message.refresh_from_db()
    assert (state.is_enabled, state.last_error_code) == (False, "login_refused")
    assert message.status == OutgoingStatus.PENDING_SEND


def _claim(mailbox: Mailbox, now: datetime) -> scheduling.Lease:
    WorkerState.objects.filter(mailbox=mailbox).update(due_at=now)
    state = WorkerState.objects.get(mailbox=mailbox, direction=Direction.OUTGOING)
    lease = scheduling.claim_running(WorkerState, state.pk, now=now)
    assert lease is not None
    return lease


def test_an_attempt_that_died_before_the_body_is_made_again(
    mailbox: Mailbox, other: Account, now: datetime
) -> None:
    message = outgoing.queue(mailbox, draft(mailbox, other.address), by=None, now=now)
    OutgoingMessage.objects.update(status=OutgoingStatus.SENDING, attempt_fence=0)
    delivering.settle_dead_attempts(_claim(mailbox, now), mailbox, now=now)
    message.refresh_from_db()
    assert message.status == OutgoingStatus.PENDING_SEND


def test_an_attempt_that_died_after_the_body_began_is_uncertain(
    mailbox: Mailbox, other: Account, now: datetime
) -> None:
    message = outgoing.queue(mailbox, draft(mailbox, other.address), by=None, now=now)
    OutgoingMessage.objects.update(status=OutgoingStatus.SENDING, attempt_fence=0, data_started_at=now)
    delivering.settle_dead_attempts(_claim(mailbox, now), mailbox, now=now)
    message.refresh_from_db()
    assert message.status == OutgoingStatus.UNCERTAIN
    # People are asked when nothing is found in the mailbox.
    assert WorkerState.objects.get(direction=Direction.INCOMING).due_at == now


def test_an_uncertain_message_is_never_sent_again_by_itself(
    mailbox: Mailbox, other: Account, send: Send, now: datetime
) -> None:
    message = outgoing.queue(mailbox, draft(mailbox, other.address), by=None, now=now)
    OutgoingMessage.objects.update(status=OutgoingStatus.UNCERTAIN, data_started_at=now)
    send(mailbox)
    message.refresh_from_db()
    assert (message.status, message.attempts) == (OutgoingStatus.UNCERTAIN, 0)


def test_a_person_can_have_an_uncertain_message_sent_again(
    mailbox: Mailbox, other: Account, send: Send, now: datetime
) -> None:
    message = outgoing.queue(mailbox, draft(mailbox, other.address), by=None, now=now)
    OutgoingMessage.objects.update(status=OutgoingStatus.UNCERTAIN, data_started_at=now)
    message.refresh_from_db()
    outgoing.settle(message, sent=False, by=None, now=now)
    send(mailbox)
    message.refresh_from_db()
    assert message.status == OutgoingStatus.SENT


def test_a_batch_goes_over_one_connection_and_arrives_once(
    mailbox: Mailbox, other: Account, send: Send, dovecot: Dovecot, now: datetime
) -> None:
    queued = [outgoing.queue(mailbox, draft(mailbox, other.address), by=None, now=now) for _ in range(12)]
    assert send(mailbox).last_items == 12
    for message in queued:
        dovecot.wait_for_message(other.user_name, containing=message.message_id.encode())
    assert len(dovecot.messages(other.user_name)) == 12


def test_what_postfix_cannot_deliver_comes_back_to_its_message(
    mailbox: Mailbox, send: Send, receive: Send, dovecot: Dovecot, now: datetime
) -> None:
    lost = f"nobody@{Postfix.bouncing_domain}"
    message = outgoing.queue(mailbox, draft(mailbox, lost), by=None, now=now)
    send(mailbox)
    dovecot.wait_for_message(mailbox.user_name, containing=message.message_id.encode())
    receive(mailbox)
    message.refresh_from_db()
    assert (message.status, message.reports[lost]["action"]) == (OutgoingStatus.SENT, "failed")
    assert Alert.objects.filter(kind="email_bounced").exists()


def test_dovecot_gets_the_copy_of_a_sent_message_once(
    mailbox: Mailbox, other: Account, send: Send, receive: Send, now: datetime
) -> None:
    ServerProfile.objects.update(append_to_sent=AppendToSent.ALWAYS)
    message = outgoing.queue(mailbox, draft(mailbox, other.address), by=None, now=now)
    send(mailbox)
    receive(mailbox)
    # As if nobody had seen the end of that attempt.
    OutgoingMessage.objects.update(sent_copy=SentCopy.WANTED)
    receive(mailbox)
    message.refresh_from_db()
    assert message.sent_copy == SentCopy.APPENDED
    with connecting.open_incoming(mailbox, seconds=connecting.PROBE_SECONDS) as client:
        assert client.folders is not None
        assert client.folders.find_by_message_id(message.message_id, folders=["Sent"]) == "Sent"
        assert client.folders.status("Sent").messages == 1
