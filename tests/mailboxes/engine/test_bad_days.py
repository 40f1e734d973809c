"""Disks fill up, keys are lost, databases refuse, people change what is being worked on."""

import errno
import hashlib
import logging
import os
import signal
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.core.files.storage import default_storage, storages
from django.db import OperationalError, connection
from django.utils import timezone
from kombu import Connection
from pytest_django import Settings

from emailsync import ticker
from emailsync.celery import FolderChannel
from emailsync.mail import parsing
from emailsync.mail.composing import Draft
from emailsync.mail.incoming import Spool
from emailsync.mail.parsing import Address, ParsedMessage
from emailsync.management.selftest.scripted import Peer
from emailsync.management.selftest.scripted_imap import ScriptedImap, refuse
from emailsync.management.selftest.scripted_smtp import ScriptedSmtp
from emailsync.web.upgrading import MIGRATE
from mailboxes import tasks
from mailboxes.choices import Direction, LedgerOutcome, ResultStatus, RunState
from mailboxes.engine import delivering, diagnosing, preparing, rows, scheduling, syncing
from mailboxes.models import Alert, Diagnosis, LedgerEntry, Mailbox, Message, RawMessage, WorkerState
from mailboxes.services import approval, diagnosis, editing, outgoing
from profiles.choices import IncomingMethod
from profiles.models import ServerProfile

pytestmark = pytest.mark.django_db(transaction=True)
Receive = Callable[[Mailbox], WorkerState]

SMALL = b"From: ben@example.org\r\nSubject: Small\r\n\r\nHello.\r\n"
LARGE = b"From: ben@example.org\r\nSubject: Large\r\n\r\n" + b"0123456789abcdef\r\n" * 300_000
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an empty folder for large messages."""
    inner = storages["default"]
    monkeypatch.setitem(inner.__dict__, "base_location", tmp_path)
    monkeypatch.setitem(inner.__dict__, "location", str(tmp_path))
    return tmp_path


def files(folder: Path) -> list[Path]:
    """Return every file below a folder."""
    return [path for path in folder.rglob("*") if path.is_file()]


def start_test(box: Mailbox) -> Diagnosis:
    """Ask for Test & Enable."""
    chosen = Mailbox.objects.filter(pk=box.pk)
    return diagnosis.start(chosen, environment=box.environment, by=None, now=timezone.now()).diagnoses.get()


def test_a_full_disk_under_the_large_messages_is_told_and_passes(
    box: Mailbox, imap: ScriptedImap, receive: Receive, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imap.messages.update({1: SMALL, 2: LARGE})

    def full(*_: object) -> None:
        raise FULL

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        state = receive(box)
    assert (state.is_enabled, state.last_error_code) == (True, "spool_failed")
    assert "No space left on device" in state.last_error
    assert Alert.objects.open().get(mailbox__isnull=False).kind == "incoming_retrying"
    assert list(Message.objects.values_list("uid", flat=True)) == [1]
    assert files(storage) == []
    state = receive(box)
    assert state.last_error_code == ""
    assert not Alert.objects.open().exists()
    (kept,) = files(storage)
    assert kept.name == hashlib.sha256(LARGE).hexdigest()
    assert kept.read_bytes() == LARGE


def test_a_full_disk_never_stops_a_direction_for_good(
    box: Mailbox, imap: ScriptedImap, receive: Receive, monkeypatch: pytest.MonkeyPatch
) -> None:
    imap.messages.update({1: LARGE})

    def full(**_: object) -> None:
        raise FULL

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    WorkerState.objects.update(transient_failures=50)
    state = receive(box)
    assert (state.is_enabled, state.last_error_code) == (True, "spool_failed")


def test_half_a_file_left_by_a_crash_is_not_taken_for_the_message(
    box: Mailbox, imap: ScriptedImap, receive: Receive, storage: Path
) -> None:
    name = hashlib.sha256(LARGE).hexdigest()
    half = storage / name[:2] / name[2:4] / name
    half.parent.mkdir(parents=True)
    half.write_bytes(LARGE[:1000])
    imap.messages.update({1: LARGE})
    receive(box)
    assert RawMessage.objects.get().file == f"{name[:2]}/{name[2:4]}/{name}"
    assert half.read_bytes() == LARGE


def test_a_wake_up_that_a_full_disk_does_not_take_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(path: Path, _text: str) -> None:
        path.touch()
        raise FULL

    monkeypatch.setattr(Path, "write_text", fill)
    options = {f"data_folder_{way}": str(tmp_path) for way in ("in", "out")}
    with Connection("filesystem://", transport_options=options | {"control_folder": str(tmp_path)}) as broker:
        channel = broker.channel()
        assert isinstance(channel, FolderChannel)
        with pytest.raises(OSError, match="No space left"):
            channel._put("sync", {})
    assert not files(tmp_path)


def test_a_database_that_cannot_be_written_leaves_the_row_to_the_next_lease(
    box: Mailbox,
    imap: ScriptedImap,
    receive: Receive,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    imap.messages.update({1: SMALL})
    insert = rows.Rows.insert

    def full(_: rows.Rows) -> None:
        raise OperationalError("database or disk is full")

    monkeypatch.setattr(rows.Rows, "insert", full)
    with caplog.at_level(logging.ERROR):
        state = receive(box)
    assert "database or disk is full" in caplog.text
    assert "Traceback" not in caplog.text
    assert state.is_enabled
    monkeypatch.setattr(rows.Rows, "insert", insert)
    WorkerState.objects.update(leased_until=timezone.now())
    receive(box)
    assert Message.objects.count() == 1


def rename(column: str, *, to: str) -> None:
    """Give a column of the messages another name, as a database of another version has it."""
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE mailboxes_message RENAME COLUMN {column} TO {to}")


def test_a_database_that_was_not_migrated_is_told_in_one_line_and_mail_waits_for_it(
    box: Mailbox, imap: ScriptedImap, receive: Receive, caplog: pytest.LogCaptureFixture
) -> None:
    imap.messages.update({1: SMALL})
    rename("preview", to="of_another_version")
    try:
        with caplog.at_level(logging.ERROR):
            state = receive(box)
    finally:
        rename("of_another_version", to="preview")
    assert "manage.py migrate" in caplog.text
    assert "Traceback" not in caplog.text
    assert (state.is_enabled, Message.objects.count()) == (True, 0)
    WorkerState.objects.update(leased_until=timezone.now())
    receive(box)
    assert Message.objects.count() == 1


def test_a_task_says_in_one_line_that_the_database_was_not_migrated(
    box: Mailbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def run(_: int) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM of_another_version")

    monkeypatch.setattr(delivering, "run", run)
    tasks.deliver(WorkerState.objects.get(direction="outgoing").pk)
    assert [record.getMessage() for record in caplog.records] == [f"deliver is tried again: {MIGRATE}"]


def test_the_clock_waits_for_the_tables_of_this_version(
    box: Mailbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ticker.Ticker()
    ticks: list[str] = []

    def tick() -> None:
        ticks.append(caplog.text)
        clock.stop()

    def warned(*_: object) -> None:
        warn(*_)
        rename("of_another_version", to="preview")

    warn = ticker.log.warning
    monkeypatch.setattr(ticker, "tick", tick)
    monkeypatch.setattr(ticker.log, "warning", warned)
    rename("preview", to="of_another_version")
    clock.run()
    assert len(ticks) == 1
    assert ticks[0].count("manage.py migrate") == 1


def test_a_worker_whose_clock_fails_ends_with_it(monkeypatch: pytest.MonkeyPatch, db: None) -> None:
    ended: list[int] = []

    def tick() -> None:
        raise MemoryError

    monkeypatch.setattr(ticker, "tick", tick)
    monkeypatch.setattr("emailsync.ticker.os.kill", lambda _pid, number: ended.append(number))
    with pytest.raises(MemoryError):
        ticker.Ticker().run()
    assert ended == [signal.SIGTERM]


def test_mail_goes_on_after_a_clock_that_was_a_year_ahead_was_put_right(
    box: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = timezone.now() + timedelta(days=365)
    WorkerState.objects.update(due_at=ahead, queued_until=ahead)
    clock = ticker.Ticker()
    found: list[int] = []

    def tick() -> None:
        found.append(WorkerState.objects.due(timezone.now()).count())
        clock.stop()

    monkeypatch.setattr(ticker, "tick", tick)
    clock.run()
    assert found == [2]


def test_a_clock_that_is_put_back_while_a_worker_runs_holds_up_nothing(
    box: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, now = ticker.Ticker(), timezone.now()
    ahead = now + timedelta(days=365)
    times = iter([ahead, now])
    WorkerState.objects.update(due_at=ahead)
    found: list[int] = []

    def tick() -> None:
        found.append(WorkerState.objects.due(now).count())
        if len(found) == 2:
            clock.stop()

    monkeypatch.setattr(ticker, "tick", tick)
    monkeypatch.setattr("emailsync.ticker.timezone.now", lambda: next(times))
    clock.run()
    assert found == [0, 2]


def test_what_a_clock_an_hour_ahead_put_off_does_not_wait_for_that_hour(
    box: Mailbox, imap: ScriptedImap, receive: Receive, settings: Settings, now: datetime
) -> None:
    receive(box)
    hour = timedelta(hours=1)
    states = WorkerState.objects.filter(direction=Direction.INCOMING)
    # The clock was put forward while it ran.
    states.update(last_success_on=now + hour, due_at=now + hour + settings.POLL_INTERVAL)
    draft = Draft(
        Address("", box.address), to=(Address("", "ben@example.org"),), subject="Hello", text="Hello"
    )
    message = outgoing.queue(box, draft, by=None, now=now + hour)
    scheduling.forget_future(now)
    assert states.due(now).exists()
    message.refresh_from_db()
    assert message.next_attempt_at == now


def test_what_waits_for_nothing_is_not_made_due_by_a_clock_that_is_put_right(
    box: Mailbox, now: datetime
) -> None:
    WorkerState.objects.update(due_at=None, last_started_on=now + timedelta(hours=1), is_enabled=False)
    scheduling.forget_future(now)
    assert not WorkerState.objects.filter(due_at__isnull=False).exists()


def test_a_test_by_a_clock_ahead_of_time_puts_off_nothing(box: Mailbox, now: datetime) -> None:
    hour = timedelta(hours=1)
    WorkerState.objects.update(tested_on=now + hour, last_started_on=now - hour, due_at=now + hour)
    scheduling.forget_future(now)
    assert WorkerState.objects.due(now).count() == 2


def test_a_worker_that_starts_again_and_again_tries_no_refused_sign_in_again(
    box: Mailbox, now: datetime
) -> None:
    """A direction that was never enabled keeps the time of its next test: too many attempts lock accounts."""
    hour = timedelta(hours=1)
    WorkerState.objects.update(is_enabled=False, tested_on=now, last_started_on=None, due_at=now + hour)
    scheduling.forget_future(now)
    assert not WorkerState.objects.due(now).exists()


def test_a_lease_given_by_a_clock_ahead_of_time_lasts_no_longer_than_others(
    box: Mailbox, settings: Settings, now: datetime
) -> None:
    WorkerState.objects.update(leased_until=now + timedelta(hours=1))
    scheduling.forget_future(now)
    later = now + settings.LEASE + timedelta(seconds=1)
    assert (WorkerState.objects.workable(now).count(), WorkerState.objects.workable(later).count()) == (0, 2)


def test_a_database_that_refuses_one_message_quarantines_it_alone(
    box: Mailbox, imap: ScriptedImap, receive: Receive, monkeypatch: pytest.MonkeyPatch
) -> None:
    imap.messages.update(
        {1: SMALL, 2: SMALL.replace(b"Small", b"Poison"), 3: SMALL.replace(b"Small", b"Next")}
    )

    def parse(raw: bytes) -> ParsedMessage:
        found = parsing.parse(raw)
        if found.subject == "Poison":
            object.__setattr__(found, "subject", "nobody \0 stores \ud800 this")
        return found

    monkeypatch.setattr(preparing, "parse", parse)
    state = receive(box)
    assert state.last_error_code == ""
    assert LedgerEntry.objects.filter(outcome=LedgerOutcome.STORED).count() == 2
    quarantined = Message.objects.get(is_quarantined=True)
    assert quarantined.uid == 2
    assert b"Poison" in bytes(quarantined.raw.content or b"")
    assert Alert.objects.open().get().kind == "message_quarantined"


@pytest.fixture
def lost_key(box: Mailbox, settings: Settings) -> None:
    """Leave the installation with another key than the one that sealed the password."""
    settings.ENCRYPTION_KEYS = "other:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="


@pytest.mark.usefixtures("lost_key")
def test_a_lost_key_stops_a_direction_with_its_cause(box: Mailbox, receive: Receive) -> None:
    state = receive(box)
    assert (state.is_enabled, state.last_error_code) == (False, "credential_unreadable")
    assert Alert.objects.get(mailbox__isnull=False).kind == "incoming_stopped"


@pytest.mark.usefixtures("lost_key")
def test_a_lost_key_ends_a_test_with_its_cause(box: Mailbox) -> None:
    wanted = start_test(box)
    diagnosing.run(wanted.pk)
    wanted.refresh_from_db()
    assert (wanted.state, wanted.incoming, wanted.outgoing) == (RunState.DONE, "failure", "failure")
    assert set(wanted.steps.values_list("error_code", flat=True)) == {"credential_unreadable"}


@pytest.mark.usefixtures("lost_key")
def test_a_password_whose_key_is_lost_can_be_entered_again(box: Mailbox) -> None:
    box.password = "a new password"
    editing.update(box, by=None)
    assert Mailbox.objects.get().password.reveal() == "a new password"


def test_a_test_of_settings_that_were_changed_meanwhile_enables_nothing(
    box: Mailbox, imap: ScriptedImap, smtp: ScriptedSmtp
) -> None:
    wanted = start_test(box)

    def change(peer: Peer, tag: bytes, rest: bytes) -> None:
        edited = Mailbox.objects.get()
        edited.password = "another password"
        editing.update(edited, by=None)
        connection.close()
        peer.send(tag + b" OK done\r\n")

    imap.on("AUTHENTICATE", change)
    diagnosing.run(wanted.pk)
    wanted.refresh_from_db()
    assert (wanted.state, wanted.incoming) == (RunState.DONE, "failure")
    assert wanted.steps.filter(error_code="changed_meanwhile").exists()
    state = WorkerState.objects.get(direction="incoming")
    assert (state.is_enabled, state.status) == (False, ResultStatus.NOT_RUN)


def test_a_direction_that_is_switched_off_has_no_trouble_left(
    box: Mailbox, imap: ScriptedImap, receive: Receive
) -> None:
    imap.on("AUTHENTICATE", refuse(b"[AUTHENTICATIONFAILED] Wrong"))
    receive(box)
    edited = Mailbox.objects.get()
    edited.incoming = IncomingMethod.NONE
    editing.update(edited, by=None)
    diagnosing.run(start_test(box).pk)
    assert not Alert.objects.open().exclude(level="information").exists()


def test_an_address_rejected_during_its_test_is_not_enabled(box: Mailbox, imap: ScriptedImap) -> None:
    WorkerState.objects.update(is_enabled=False, due_at=None)
    wanted = start_test(box)

    def change(peer: Peer, tag: bytes, rest: bytes) -> None:
        approval.reject(Mailbox.objects.all(), by=None, now=timezone.now())
        connection.close()
        peer.send(tag + b" OK done\r\n")

    imap.on("AUTHENTICATE", change)
    diagnosing.run(wanted.pk)
    assert not WorkerState.objects.filter(is_enabled=True).exists()


def test_a_test_that_never_ends_is_given_up(box: Mailbox) -> None:
    wanted = start_test(box)
    Diagnosis.objects.update(attempts=diagnosing.ATTEMPTS)
    diagnosing.run(wanted.pk)
    wanted.refresh_from_db()
    assert (wanted.state, wanted.incoming, wanted.outgoing) == (RunState.DONE, "failure", "failure")
    assert wanted.job.finished_on is None or wanted.finished_on is not None
    assert set(wanted.steps.values_list("error_code", flat=True)) == {"broken_off"}


def test_a_stopped_direction_whose_test_never_ends_is_tested_again_by_itself(box: Mailbox) -> None:
    wanted = start_test(box)
    WorkerState.objects.update(is_enabled=False, due_at=timezone.now())
    Diagnosis.objects.update(attempts=diagnosing.ATTEMPTS)
    diagnosing.run(wanted.pk)
    assert not WorkerState.objects.filter(due_at=None).exists()


def test_a_mailbox_deleted_while_it_is_read_ends_the_run_quietly(
    box: Mailbox, imap: ScriptedImap, receive: Receive, caplog: pytest.LogCaptureFixture
) -> None:
    imap.messages.update({1: SMALL})
    state = WorkerState.objects.get(direction="incoming")

    def vanish(peer: Peer, tag: bytes, rest: bytes) -> None:
        editing.delete(Mailbox.objects.get(), by=None, now=timezone.now())
        connection.close()
        imap._do_examine(peer, tag, rest)

    imap.on("EXAMINE", vanish)
    syncing.run(state.pk)
    assert not Mailbox.objects.exists()
    assert not Message.objects.exists()
    assert not Alert.objects.exists()


def test_a_mailbox_deleted_while_it_is_tested_ends_the_test_quietly(box: Mailbox, imap: ScriptedImap) -> None:
    wanted = start_test(box)

    def vanish(peer: Peer, tag: bytes, rest: bytes) -> None:
        editing.delete(Mailbox.objects.get(), by=None, now=timezone.now())
        connection.close()
        imap._do_examine(peer, tag, rest)

    imap.on("EXAMINE", vanish)
    diagnosing.run(wanted.pk)
    assert not Diagnosis.objects.exists()


def test_mail_shared_by_two_mailboxes_survives_the_deletion_of_one(
    box: Mailbox, imap: ScriptedImap, receive: Receive, storage: Path, now: datetime
) -> None:
    imap.messages.update({1: LARGE})
    receive(box)
    other = Mailbox.objects.create(environment=box.environment, name="Ben", address="ben@example.org")
    message = Message.objects.get()
    copy = Message.objects.create(
        mailbox=other, received_at=now, stored_on=now, size=message.size, sha256=message.sha256
    )
    RawMessage.objects.create(message=copy, file=message.raw.file)
    editing.delete(box, by=None, now=timezone.now())
    with default_storage.open(copy.raw.file) as kept:
        assert kept.read() == LARGE


def test_alerts_of_a_level_that_is_off_are_not_written_and_stop_nothing(
    box: Mailbox, receive: Receive
) -> None:
    box.environment.email_settings.__class__.objects.update(
        alert_errors=False, alert_warnings=False, alert_information=False
    )
    ServerProfile.objects.update(incoming_port=1)
    state = receive(box)
    assert state.transient_failures == 1
    assert not Alert.objects.exists()


def test_a_spool_on_a_full_disk_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise FULL

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with pytest.raises(Exception, match="No space left on device"):
        Spool()
