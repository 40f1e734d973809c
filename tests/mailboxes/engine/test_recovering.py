"""Directions that stopped are tested again by themselves, and told to be when something changes."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from emailsync.management.selftest.scripted_imap import ScriptedImap, refuse, say_and_hang_up
from emailsync.management.selftest.scripted_smtp import ScriptedSmtp
from mailboxes.choices import Direction
from mailboxes.engine import diagnosing
from mailboxes.models import Alert, AlertTranscript, Diagnosis, Mailbox, WorkerState
from mailboxes.services import diagnosis, editing

Run = Callable[[Mailbox], WorkerState]
WRONG = b"[AUTHENTICATIONFAILED] Authentication failed."

# The scripted servers are in this process; the fixtures of the real ones are not asked for.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stopped(box: Mailbox, imap: ScriptedImap, receive: Run) -> WorkerState:
    """Give an incoming direction that a wrong password stopped."""
    imap.on("AUTHENTICATE", refuse(WRONG))
    return receive(box)


def run_test(box: Mailbox) -> None:
    """Run Test & Enable to its end."""
    job = diagnosis.start(Mailbox.objects.all(), environment=box.environment, by=None, now=timezone.now())
    diagnosing.run(Diagnosis.objects.get(job=job).pk)


def test_a_stopped_direction_is_due_for_a_test(stopped: WorkerState) -> None:
    assert not stopped.is_enabled
    assert stopped.stopped_on is not None
    assert stopped.due_at is not None
    assert timedelta(minutes=14) < stopped.due_at - timezone.now() < timedelta(minutes=19)


def test_what_was_mended_elsewhere_recovers_by_itself(
    stopped: WorkerState, box: Mailbox, imap: ScriptedImap, receive: Run
) -> None:
    imap._behaviours.clear()
    state = receive(box)
    assert (state.is_enabled, state.status, state.stopped_on) == (True, "success", None)
    assert state.last_error_code == ""
    assert not Alert.objects.open().filter(mailbox=box).exists()


def test_what_still_fails_is_tested_later_each_time(stopped: WorkerState, box: Mailbox, receive: Run) -> None:
    receive(box)
    state = receive(box)
    assert (state.is_enabled, state.tests_since) == (False, 2)
    assert state.due_at is not None
    assert state.due_at - timezone.now() > timedelta(minutes=59)


def test_repeated_failures_count_on_one_alert(stopped: WorkerState, box: Mailbox, receive: Run) -> None:
    receive(box)
    (alert,) = Alert.objects.open().filter(mailbox=box)
    assert (alert.kind, alert.count) == ("incoming_stopped", 2)


def test_another_cause_resolves_the_alert_of_the_first(
    stopped: WorkerState, box: Mailbox, imap: ScriptedImap, receive: Run
) -> None:
    imap.on("AUTHENTICATE", refuse(b"[ALERT] Web login required"))
    receive(box)
    (alert,) = Alert.objects.open().filter(mailbox=box)
    assert alert.error_code == "web_login_required"


def test_a_new_password_is_tried_at_once(stopped: WorkerState, box: Mailbox) -> None:
    box.refresh_from_db()
    box.password = "the right one"
    editing.update(box, by=None)
    state = WorkerState.objects.get(pk=stopped.pk)
    assert state in WorkerState.objects.due(timezone.now())
    assert not state.is_enabled


def test_a_new_password_is_tried_at_once_after_a_test_that_never_succeeded(
    box: Mailbox, imap: ScriptedImap, smtp: ScriptedSmtp
) -> None:
    WorkerState.objects.update(is_enabled=False, due_at=None)
    imap.on("AUTHENTICATE", refuse(WRONG))
    run_test(box)
    box.refresh_from_db()
    box.password = "the right one"
    editing.update(box, by=None)
    box.password = "on second thoughts"
    editing.update(box, by=None)
    assert WorkerState.objects.due(timezone.now()).filter(direction=Direction.INCOMING).exists()


def test_a_test_that_meets_another_cause_leaves_one_alert(
    stopped: WorkerState, box: Mailbox, imap: ScriptedImap, smtp: ScriptedSmtp
) -> None:
    imap.on("AUTHENTICATE", refuse(b"Application-specific password required"))
    run_test(box)
    told = Alert.objects.open().filter(mailbox=box, kind__startswith="incoming")
    assert [(alert.kind, alert.error_code) for alert in told] == [
        ("incoming_untested", "app_password_needed")
    ]


def test_a_run_that_works_answers_a_test_that_was_interrupted(
    box: Mailbox, imap: ScriptedImap, smtp: ScriptedSmtp, receive: Run
) -> None:
    imap.on("EXAMINE", refuse(b"[UNAVAILABLE] Later"))
    run_test(box)
    state = WorkerState.objects.get(mailbox=box, direction=Direction.INCOMING)
    assert (state.is_enabled, state.status) == (True, "failure")
    imap.forget("EXAMINE")
    assert receive(box).status == "success"
    assert not Alert.objects.open().filter(mailbox=box, kind__startswith="incoming").exists()


def test_sending_that_was_interrupted_in_a_test_is_tested_again_when_nothing_waits(
    box: Mailbox, imap: ScriptedImap, smtp: ScriptedSmtp, send: Run
) -> None:
    WorkerState.objects.update(due_at=None)
    smtp.replies["MAIL"] = b"451 4.3.0 Later"
    run_test(box)
    state = WorkerState.objects.get(mailbox=box, direction=Direction.OUTGOING)
    assert (state.is_enabled, state.status) == (True, "failure")
    assert state.due_at is not None
    smtp.replies.clear()
    assert send(box).status == "success"
    assert len(smtp.bodies) == 1


def test_an_interrupted_test_of_what_is_stopped_leaves_its_one_alert(
    stopped: WorkerState, box: Mailbox, imap: ScriptedImap, smtp: ScriptedSmtp
) -> None:
    imap.on("AUTHENTICATE", refuse(b"[UNAVAILABLE] busy"))
    run_test(box)
    told = Alert.objects.open().filter(mailbox=box, kind__startswith="incoming")
    assert [(alert.kind, alert.error_code) for alert in told] == [("incoming_stopped", "login_throttled")]


def test_a_change_starts_no_test_of_what_nothing_had_stopped(box: Mailbox) -> None:
    box.password = "another one"
    editing.update(box, by=None)
    assert WorkerState.objects.get(mailbox=box, direction=Direction.INCOMING).due_at is None


def test_sending_recovers_only_with_a_message_that_was_taken(
    box: Mailbox, smtp: ScriptedSmtp, imap: ScriptedImap, send: Run
) -> None:
    WorkerState.objects.filter(mailbox=box, direction=Direction.OUTGOING).update(
        is_enabled=False, stopped_on=timezone.now(), last_error_code="sender_refused"
    )
    smtp.replies["MAIL"] = b"550 5.7.60 not allowed to send as this sender"
    assert not send(box).is_enabled
    del smtp.replies["MAIL"]
    assert send(box).is_enabled
    assert len(smtp.bodies) == 1


def test_a_passing_failure_that_lasts_stops_and_recovers(
    box: Mailbox, imap: ScriptedImap, receive: Run
) -> None:
    imap.on("STATUS", say_and_hang_up(b""))
    WorkerState.objects.filter(mailbox=box).update(
        transient_failures=10, failing_since=timezone.now() - timedelta(hours=2)
    )
    assert receive(box).last_error_code == "connection_lost"
    assert not WorkerState.objects.get(mailbox=box, direction=Direction.INCOMING).is_enabled
    imap._behaviours.clear()
    assert receive(box).is_enabled


def test_a_success_that_does_not_last_counts_on(box: Mailbox, imap: ScriptedImap, receive: Run) -> None:
    imap.on("STATUS", refuse(b"[UNAVAILABLE] busy"))
    receive(box)
    receive(box)
    imap._behaviours.clear()
    assert receive(box).transient_failures == 0
    imap.on("STATUS", refuse(b"[UNAVAILABLE] busy"))
    assert receive(box).transient_failures == 3


def test_a_failure_keeps_what_was_said_without_the_password(stopped: WorkerState, box: Mailbox) -> None:
    transcript = AlertTranscript.objects.get(alert__mailbox=box)
    assert "S: E1 NO [AUTHENTICATIONFAILED]" in transcript.text
    assert "a password" not in transcript.text
    assert "AUTHENTICATE PLAIN •••" in transcript.text
