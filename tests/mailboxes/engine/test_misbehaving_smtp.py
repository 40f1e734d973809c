"""Sending, through a server that does what servers should not do."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from emailsync.mail.composing import Draft
from emailsync.mail.envelope import Envelope
from emailsync.mail.parsing import Address
from emailsync.mail.smtp import SmtpClient
from emailsync.mail.transmission import Flight, Transmission
from emailsync.management.selftest.scripted import Peer
from emailsync.management.selftest.scripted_smtp import ScriptedSmtp
from mailboxes.choices import Direction, OutgoingStatus
from mailboxes.engine import delivering, recording, scheduling
from mailboxes.models import Alert, Mailbox, OutgoingMessage, WorkerState
from mailboxes.services import approval, outgoing
from profiles.models import ServerProfile

pytestmark = pytest.mark.django_db(transaction=True)
Hurry = Callable[[timedelta], None]
Send = Callable[[Mailbox], WorkerState]


def queue(box: Mailbox, subject: str = "Hello", to: str = "ben@example.org") -> OutgoingMessage:
    """Queue a short message."""
    draft = Draft(
        sender=Address(box.name, box.address), to=(Address("", to),), subject=subject, text="How are you?"
    )
    return outgoing.queue(box, draft, by=None, now=timezone.now())


@pytest.fixture
def message(box: Mailbox) -> OutgoingMessage:
    """Give a message that waits."""
    return queue(box)


def open_alerts() -> set[str]:
    """Return the kinds of the open alerts."""
    return set(Alert.objects.open().exclude(kind__endswith="_together").values_list("kind", flat=True))


def status_after(message: OutgoingMessage) -> str:
    """Return what has become of a message."""
    message.refresh_from_db()
    return message.status


@pytest.mark.parametrize(
    ("stage", "reply"),
    [
        ("greeting", b"421 busy"),
        ("greeting", b"450 later"),
        ("EHLO", b"421 busy"),
        ("AUTH", b"454 4.7.0 later"),
        ("MAIL", b"451 4.3.0 later"),
        ("MAIL", b"421 busy"),
        ("RCPT", b"421 busy"),
        ("DATA", b"421 busy"),
        ("body", b"421 busy"),
        ("MAIL", None),
        ("RCPT", None),
        ("DATA", None),
    ],
)
def test_a_server_that_has_no_time_pauses_the_direction_and_keeps_the_message(
    box: Mailbox, smtp: ScriptedSmtp, send: Send, message: OutgoingMessage, stage: str, reply: bytes | None
) -> None:
    smtp.replies[stage] = reply
    state = send(box)
    assert status_after(message) == OutgoingStatus.PENDING_SEND
    assert (message.attempts, message.data_started_at) == (0, None)
    assert (state.is_enabled, state.transient_failures) == (True, 1)
    assert open_alerts() == {"outgoing_retrying"}


@pytest.mark.parametrize(
    ("stage", "reply"),
    [
        ("greeting", b"554 no"),
        ("AUTH", b"535 5.7.8 wrong"),
        ("MAIL", b"550 5.7.1 not you"),
    ],
)
def test_a_server_that_refuses_the_account_stops_the_direction_and_keeps_the_message(
    box: Mailbox, smtp: ScriptedSmtp, send: Send, message: OutgoingMessage, stage: str, reply: bytes
) -> None:
    smtp.replies[stage] = reply
    state = send(box)
    assert status_after(message) == OutgoingStatus.PENDING_SEND
    assert not state.is_enabled
    assert "outgoing_stopped" in open_alerts()


@pytest.mark.parametrize("stage", ["RCPT", "DATA", "body"])
def test_a_temporary_refusal_of_a_message_delays_it_alone(
    box: Mailbox, smtp: ScriptedSmtp, send: Send, message: OutgoingMessage, stage: str
) -> None:
    smtp.replies[stage] = b"452 4.2.2 The mailbox is full"
    state = send(box)
    assert status_after(message) == OutgoingStatus.PENDING_SEND
    assert message.attempts == 1
    assert (state.is_enabled, state.transient_failures) == (True, 0)
    assert open_alerts() == {"email_retrying"}


@pytest.mark.parametrize(
    ("stage", "reply"),
    [
        ("RCPT", b"550 5.1.1 nobody"),
        ("DATA", b"554 5.6.0 not this"),
        ("body", b"554 5.7.1 spam"),
        ("body", b"552 5.2.2 The mailbox is full"),
    ],
)
def test_a_lasting_refusal_of_a_message_fails_it_alone(
    box: Mailbox, smtp: ScriptedSmtp, send: Send, message: OutgoingMessage, stage: str, reply: bytes
) -> None:
    smtp.replies[stage] = reply
    state = send(box)
    assert status_after(message) == OutgoingStatus.FAILED
    assert (state.is_enabled, state.transient_failures) == (True, 0)
    assert open_alerts() == {"email_failed"}


@pytest.mark.parametrize("reply", [None, b"", b"garbage"])
def test_no_answer_after_the_body_is_uncertain_and_never_sent_again(
    box: Mailbox,
    smtp: ScriptedSmtp,
    send: Send,
    message: OutgoingMessage,
    reply: bytes | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ServerProfile.objects.update(timeout_ms=2000)
    monkeypatch.setattr("emailsync.mail.transmission.END_OF_BODY_PATIENCE", 1.0)
    smtp.replies["body"] = reply
    state = send(box)
    assert status_after(message) == OutgoingStatus.UNCERTAIN
    assert (state.is_enabled, state.transient_failures) == (True, 1)
    del smtp.replies["body"]
    send(box)
    assert status_after(message) == OutgoingStatus.UNCERTAIN
    assert len(smtp.bodies) == 1


def test_the_next_message_does_not_follow_an_uncertain_one_at_once(
    box: Mailbox, smtp: ScriptedSmtp, send: Send, message: OutgoingMessage
) -> None:
    second = queue(box, "Second")
    smtp.replies["body"] = None
    state = send(box)
    assert status_after(second) == OutgoingStatus.PENDING_SEND
    assert len(smtp.bodies) == 1
    assert state.due_at is not None
    assert state.due_at > timezone.now() + timedelta(minutes=4)


def test_a_lease_lost_when_the_server_waits_for_the_body_sends_no_body(
    box: Mailbox, smtp: ScriptedSmtp, send: Send, message: OutgoingMessage, monkeypatch: pytest.MonkeyPatch
) -> None:
    announce = Transmission._announce

    def reject_meanwhile(transmission: Transmission, flight: Flight) -> Envelope:
        envelope = announce(transmission, flight)
        approval.reject(Mailbox.objects.all(), by=None, now=timezone.now())
        return envelope

    monkeypatch.setattr(Transmission, "_announce", reject_meanwhile)
    send(box)
    assert smtp.bodies == []
    assert status_after(message) == OutgoingStatus.PENDING_SEND
    monkeypatch.undo()
    approval.approve(Mailbox.objects.all(), by=None, now=timezone.now())
    send(box)
    assert status_after(message) == OutgoingStatus.SENT
    assert len(smtp.bodies) == 1


def test_a_slow_server_is_no_failure(
    box: Mailbox,
    smtp: ScriptedSmtp,
    send: Send,
    settings: Settings,
    hurry: Hurry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waiting = [queue(box, f"Number {number}") for number in range(6)]
    announce = Transmission._announce

    def slowly(transmission: Transmission, flight: Flight) -> Envelope:
        hurry(settings.RUN_DEADLINE / 5)
        return announce(transmission, flight)

    monkeypatch.setattr(Transmission, "_announce", slowly)
    state = send(box)
    assert 0 < len(smtp.bodies) < 6
    assert (state.transient_failures, state.last_error_code) == (0, "")
    assert state.due_at is not None
    assert state.due_at <= timezone.now()
    send(box)
    send(box)
    assert {status_after(message) for message in waiting} == {OutgoingStatus.SENT}


def test_a_message_that_takes_longer_than_a_run_is_sent_when_the_next_ones_are_given_more_time(
    box: Mailbox,
    message: OutgoingMessage,
    smtp: ScriptedSmtp,
    send: Send,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.RUN_DEADLINE = timedelta(seconds=1)
    announce = Transmission._announce

    def slowly(transmission: Transmission, flight: Flight) -> Envelope:
        time.sleep(1.5)
        return announce(transmission, flight)

    monkeypatch.setattr(Transmission, "_announce", slowly)
    assert send(box).last_error_code == "deadline_exceeded"
    runs = [send(box) for _ in range(4)]
    assert status_after(message) == OutgoingStatus.SENT
    assert (runs[-1].transient_failures, runs[-1].last_error_code) == (0, "")
    assert len(smtp.bodies) == 1


def test_the_bytes_of_large_messages_are_read_one_by_one(
    box: Mailbox, smtp: ScriptedSmtp, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivering, "BYTES_TOGETHER", 1)
    queue(box, "First")
    queue(box, "Second")
    with CaptureQueriesContext(connection) as queries:
        send(box)
    contents = [query["sql"] for query in queries if '"content"' in query["sql"]]
    assert len(contents) == 2
    assert len(smtp.bodies) == 2


def test_one_more_message_to_people_known_costs_three_statements_and_a_commit(
    box: Mailbox, smtp: ScriptedSmtp, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However slow this machine is: the server's answers are always there already.
    monkeypatch.setattr(SmtpClient, "has_more_to_hear", lambda *_, **_options: True)
    costs = []
    for count in (1, 2, 7):
        for number in range(count):
            queue(box, f"Message {number}")
        with CaptureQueriesContext(connection) as queries:
            send(box)
        costs.append(len([query for query in queries if not query["sql"].startswith(("BEGIN", "COMMIT"))]))
    assert len(smtp.bodies) == 10
    assert costs[2] - costs[1] == 5 * 3


def test_an_address_that_no_command_may_carry_fails_its_message_alone(
    box: Mailbox, smtp: ScriptedSmtp, send: Send, message: OutgoingMessage
) -> None:
    OutgoingMessage.objects.update(recipients=["a@example.org\r\nRCPT TO:<b@example.org>"])
    second = queue(box, "Second")
    send(box)
    assert status_after(message) == OutgoingStatus.FAILED
    assert status_after(second) == OutgoingStatus.SENT


def test_an_answer_that_came_late_is_not_overwritten_by_doubt(
    box: Mailbox, message: OutgoingMessage, now: datetime
) -> None:
    OutgoingMessage.objects.update(
        status=OutgoingStatus.SENDING, attempt_fence=0, data_started_at=now, next_attempt_at=None
    )
    message.refresh_from_db()
    OutgoingMessage.objects.update(status=OutgoingStatus.SENT, sent_at=now)
    state = WorkerState.objects.get(mailbox=box, direction=Direction.OUTGOING)
    lease = scheduling.claim_running(WorkerState, state.pk, now=timezone.now())
    assert lease is not None
    recording.doubtful(message, box, fence=0, now=now)
    assert status_after(message) == OutgoingStatus.SENT
    assert not open_alerts()


@pytest.mark.parametrize("manner", ["", "in one segment", "byte by byte"])
@pytest.mark.parametrize("extensions", [[b"PIPELINING", b"AUTH PLAIN"], [b"AUTH PLAIN"]])
def test_a_batch_is_sent_over_one_connection(
    box: Mailbox, smtp: ScriptedSmtp, send: Send, manner: str, extensions: list[bytes]
) -> None:
    smtp.manner, smtp.extensions = manner, extensions
    waiting = [queue(box, f"Number {number}") for number in range(8)]
    state = send(box)
    assert {status_after(message) for message in waiting} == {OutgoingStatus.SENT}
    assert (smtp.connections, len(smtp.bodies), state.last_items) == (1, 8, 8)


def test_a_server_that_limits_a_connection_gets_another(box: Mailbox, smtp: ScriptedSmtp, send: Send) -> None:
    smtp.messages_per_connection = 2
    waiting = [queue(box, f"Number {number}") for number in range(5)]
    state = send(box)
    assert {status_after(message) for message in waiting} == {OutgoingStatus.SENT}
    assert (smtp.connections, len(smtp.bodies), state.transient_failures) == (3, 5, 0)


def test_a_message_that_breaks_every_conversation_holds_up_no_other_and_fails_alone(
    box: Mailbox, smtp: ScriptedSmtp, send: Send, settings: Settings
) -> None:
    settings.RETRY_LIMIT = 1
    smtp.replies["RCPT bad@example.org"] = None
    bad, *others = [queue(box, to=f"{name}@example.org") for name in ("bad", "ann", "ben", "carl")]
    state = send(box)
    assert {status_after(message) for message in others} == {OutgoingStatus.SENT}
    assert (state.is_enabled, state.transient_failures, state.last_error_code) == (True, 0, "")
    assert (status_after(bad), bad.attempts, open_alerts()) == (
        OutgoingStatus.PENDING_SEND,
        1,
        {"email_retrying"},
    )
    OutgoingMessage.objects.update(next_attempt_at=timezone.now())
    state = send(box)
    assert (status_after(bad), open_alerts()) == (OutgoingStatus.FAILED, {"email_failed"})
    assert (state.is_enabled, state.transient_failures, len(smtp.bodies)) == (True, 0, 3)


def test_several_messages_that_break_every_conversation_hold_up_no_other(
    box: Mailbox, smtp: ScriptedSmtp, send: Send
) -> None:
    smtp.replies["RCPT bad@example.org"] = None
    bad = [queue(box, to="bad@example.org") for _ in range(3)]
    good = queue(box)
    state = send(box)
    assert status_after(good) == OutgoingStatus.SENT
    assert [(status_after(message), message.attempts) for message in bad] == [("pending_send", 1)] * 3
    assert (state.transient_failures, len(smtp.bodies)) == (0, 1)


@pytest.mark.parametrize("stage", ["DATA", "body"])
def test_a_message_that_breaks_the_conversation_late_is_told_from_a_server_that_fails_at_all(
    box: Mailbox, smtp: ScriptedSmtp, send: Send, stage: str
) -> None:
    smtp.extensions, serve = [b"AUTH PLAIN"], smtp._data
    bad = queue(box, to="bad@example.org")
    bad.content = b"Subject: large\r\n\r\n" + b"y" * 4_000_000
    bad.save()

    def fail(peer: Peer, *, usual: bytes) -> bool:
        if not smtp.heard[-2].startswith(b"RCPT TO:<bad@"):
            return serve(peer, usual=usual)
        if stage == "body":
            peer.send(usual + b"\r\n")
            peer.exactly(10)
        raise ConnectionResetError

    smtp._data = fail  # type: ignore[method-assign]
    state = send(box)
    assert (status_after(bad), bad.attempts, bad.data_started_at) == (OutgoingStatus.PENDING_SEND, 1, None)
    assert (state.transient_failures, open_alerts()) == (0, {"email_retrying"})
    assert smtp.bodies == []


def test_a_server_that_takes_nothing_but_messages_to_the_mailbox_itself_pauses_the_direction(
    box: Mailbox, smtp: ScriptedSmtp, send: Send
) -> None:
    smtp.replies["RCPT ben@example.org"] = None
    waiting = [queue(box, f"Number {number}") for number in range(6)]
    state = send(box)
    assert (state.transient_failures, state.last_error_code) == (1, "connection_lost")
    assert sum(message.attempts for message in waiting if status_after(message)) == delivering.MOST_TO_BLAME


def test_a_server_that_breaks_off_at_every_message_pauses_the_direction_and_costs_none_an_attempt(
    box: Mailbox, smtp: ScriptedSmtp, send: Send
) -> None:
    smtp.replies["RCPT"] = None
    waiting = [queue(box, f"Number {number}") for number in range(4)]
    state = send(box)
    assert (state.transient_failures, state.last_error_code) == (1, "connection_lost")
    assert {status_after(message) for message in waiting} == {OutgoingStatus.PENDING_SEND}
    assert {message.attempts for message in waiting} == {0}
    assert smtp.connections == 2


def test_a_server_that_has_had_enough_after_some_messages_costs_the_others_no_attempt(
    box: Mailbox, smtp: ScriptedSmtp, send: Send
) -> None:
    smtp.after_body = lambda: smtp.replies.update(MAIL=None)
    waiting = [queue(box, f"Number {number}") for number in range(5)]
    state = send(box)
    assert (state.transient_failures, state.last_error_code) == (1, "connection_lost")
    assert sorted(status_after(message) for message in waiting) == ["pending_send"] * 4 + ["sent"]
    assert sum(message.attempts for message in waiting if message.status == "pending_send") == 0
    assert smtp.connections == 3


def test_a_recipient_put_off_is_tried_again_alone(box: Mailbox, smtp: ScriptedSmtp, send: Send) -> None:
    smtp.replies["RCPT full@example.org"] = b"452 4.2.2 The mailbox is full"
    draft = Draft(
        sender=Address("", box.address),
        to=(Address("", "ben@example.org"), Address("", "full@example.org")),
        subject="Hello",
        text="How are you?",
    )
    message = outgoing.queue(box, draft, by=None, now=timezone.now())
    send(box)
    assert status_after(message) == OutgoingStatus.PENDING_SEND
    assert (message.accepted, message.recipients) == (["ben@example.org"], ["full@example.org"])
    assert message.data_started_at is None
    assert open_alerts() == {"email_retrying"}
    smtp.replies.clear()
    OutgoingMessage.objects.update(next_attempt_at=timezone.now())
    send(box)
    assert status_after(message) == OutgoingStatus.SENT
    assert message.accepted == ["ben@example.org", "full@example.org"]
    assert [line for line in smtp.heard if line.startswith(b"RCPT TO:<ben")] == [b"RCPT TO:<ben@example.org>"]
    assert open_alerts() == set()


def test_a_recipient_put_off_too_often_is_refused(
    box: Mailbox, smtp: ScriptedSmtp, send: Send, settings: Settings
) -> None:
    settings.RETRY_LIMIT = 1
    smtp.replies["RCPT full@example.org"] = b"452 4.2.2 The mailbox is full"
    draft = Draft(
        sender=Address("", box.address),
        to=(Address("", "ben@example.org"), Address("", "full@example.org")),
        subject="Hello",
        text="How are you?",
    )
    message = outgoing.queue(box, draft, by=None, now=timezone.now())
    send(box)
    OutgoingMessage.objects.update(next_attempt_at=timezone.now())
    send(box)
    assert status_after(message) == OutgoingStatus.SENT
    assert message.refused == {"full@example.org": "452 4.2.2 The mailbox is full"}
    assert open_alerts() == {"email_refused_in_part"}


def test_a_message_put_off_too_often_fails_and_is_tried_no_more(
    box: Mailbox, smtp: ScriptedSmtp, send: Send, message: OutgoingMessage, settings: Settings
) -> None:
    settings.RETRY_LIMIT = 2
    smtp.replies["body"] = b"451 4.7.1 Try again later"
    for _ in range(5):
        OutgoingMessage.objects.waiting().update(next_attempt_at=timezone.now())
        send(box)
    assert status_after(message) == OutgoingStatus.FAILED
    assert (message.attempts, len(smtp.bodies)) == (3, 3)
    assert open_alerts() == {"email_failed"}


def test_more_recipients_than_the_server_takes_at_once_get_a_second_turn(
    box: Mailbox, smtp: ScriptedSmtp, send: Send
) -> None:
    smtp.replies["RCPT two@example.org"] = b"452 4.5.3 Too many recipients"
    draft = Draft(
        sender=Address("", box.address),
        to=(Address("", "one@example.org"), Address("", "two@example.org")),
        subject="Hello",
        text="How are you?",
    )
    message = outgoing.queue(box, draft, by=None, now=timezone.now())

    def behave(stage: str = "RCPT two@example.org") -> None:
        smtp.replies.pop(stage, None)

    smtp.after_body = behave
    send(box)
    assert status_after(message) == OutgoingStatus.SENT
    assert message.accepted == ["one@example.org", "two@example.org"]
    assert open_alerts() == set()


def test_a_message_canceled_at_the_last_moment_is_not_sent(
    box: Mailbox, smtp: ScriptedSmtp, send: Send, message: OutgoingMessage, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = queue(box, "Second")
    announce = Transmission._announce

    def cancel_meanwhile(transmission: Transmission, flight: Flight) -> Envelope:
        envelope = announce(transmission, flight)
        if flight.letter.key == second.pk:
            outgoing.cancel(second, by=None, now=timezone.now())
        return envelope

    monkeypatch.setattr(Transmission, "_announce", cancel_meanwhile)
    third = queue(box, "Third")
    send(box)
    assert [status_after(each) for each in (message, second, third)] == [
        OutgoingStatus.SENT,
        OutgoingStatus.CANCELED,
        OutgoingStatus.SENT,
    ]
    assert len(smtp.bodies) == 2


def test_an_answer_is_stored_though_the_database_is_away_for_a_moment(
    box: Mailbox, smtp: ScriptedSmtp, send: Send, message: OutgoingMessage, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, failures = recording.taken, [OperationalError("No space left on device")] * 3

    def fail_at_first(*arguments: Any, **named: Any) -> None:
        if failures:
            raise failures.pop()
        taken(*arguments, **named)

    monkeypatch.setattr(recording, "taken", fail_at_first)
    monkeypatch.setattr(scheduling, "INSIST_PAUSE", 0.01)
    send(box)
    assert (status_after(message), len(smtp.bodies)) == (OutgoingStatus.SENT, 1)


def test_the_moment_before_a_body_is_committed_with_what_came_before(
    box: Mailbox, smtp: ScriptedSmtp, send: Send, message: OutgoingMessage
) -> None:
    second = queue(box, "Second")
    seen: list[tuple[str, str]] = []

    def look() -> None:
        seen.append((status_after(message), status_after(second)))
        connection.close()

    smtp.after_body = look
    send(box)
    assert seen == [
        (OutgoingStatus.SENDING, OutgoingStatus.PENDING_SEND),
        (OutgoingStatus.SENT, OutgoingStatus.SENDING),
    ]
