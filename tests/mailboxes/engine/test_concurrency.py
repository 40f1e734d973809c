"""Workers, tickers and people at the same row at the same time, in real threads."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from emailsync.mail.composing import Draft
from emailsync.mail.parsing import Address
from emailsync.management.selftest.scripted_smtp import ScriptedSmtp
from mailboxes.alerts import wall
from mailboxes.choices import Direction, OutgoingStatus, RunState
from mailboxes.engine import changing, delivering, diagnosing, scheduling
from mailboxes.models import Alert, Diagnosis, Mailbox, OutgoingMessage, WorkerState
from mailboxes.services import approval, diagnosis, editing, outgoing
from mailboxes.services import wall as services_wall
from profiles.choices import AuthenticationType
from profiles.models import Environment, ServerProfile, StaleRecord

pytestmark = [
    pytest.mark.django_db(transaction=True),
]
ROUNDS = 25
T = TypeVar("T")


def together(*works: Callable[[], T]) -> list[T]:
    """Do all of it at once and return what each returned; raises what any raised."""
    start = threading.Barrier(len(works))
    found: list[T] = []
    problems: list[BaseException] = []

    def run(work: Callable[[], T]) -> None:
        try:
            start.wait()
            found.append(work())
        except BaseException as problem:  # noqa: BLE001  (raised again below, in the thread of the test)
            problems.append(problem)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    if problems:
        raise problems[0]
    return found


@pytest.fixture
def profile(environment: Environment) -> ServerProfile:
    """Give a profile whose one account opens all mailboxes, by two connections at most."""
    return ServerProfile.objects.create(
        environment=environment,
        name="Shared account",
        incoming_location="localhost",
        incoming_port=993,
        outgoing_location="localhost",
        outgoing_port=465,
        authentication_type=AuthenticationType.IN_PROFILE,
        user_name="service",
        maximum_concurrent_connections=2,
    )


@pytest.fixture
def states(profile: ServerProfile, now: datetime) -> list[WorkerState]:
    """Give eight due directions of that profile."""
    found = []
    for number in range(8):
        mailbox = Mailbox.objects.create(
            environment=profile.environment,
            name=f"Box {number}",
            address=f"box{number}@example.org",
            server_profile=profile,
        )
        found.append(
            WorkerState.objects.create(
                mailbox=mailbox,
                direction=Direction.INCOMING,
                is_enabled=True,
                due_at=now - timedelta(minutes=1),
            )
        )
    return found


def test_of_many_claimers_one_wins_every_time(states: list[WorkerState]) -> None:
    state = states[0]

    def claim() -> scheduling.Lease | None:
        return scheduling.claim_running(WorkerState, state.pk, now=timezone.now())

    for number in range(1, ROUNDS + 1):
        winners = [lease for lease in together(claim, claim, claim, claim) if lease]
        assert [lease.fence for lease in winners] == [number]
        scheduling.release(winners[0])


def test_two_tickers_hand_out_every_row_once(states: list[WorkerState]) -> None:
    def tick() -> list[int]:
        return [row.pk for row in scheduling.claim_due(WorkerState, now=timezone.now())]

    for _ in range(ROUNDS):
        first, second, third = together(tick, tick, tick)
        assert sorted(first + second + third) == sorted(state.pk for state in states)
        WorkerState.objects.update(queued_until=None)


def test_an_account_for_all_never_has_more_connections_than_allowed(
    profile: ServerProfile, states: list[WorkerState]
) -> None:
    lock = threading.Lock()
    open_now = peak = served = 0

    @contextmanager
    def connected() -> Iterator[None]:
        nonlocal open_now, peak, served
        with lock:
            open_now += 1
            served += 1
            peak = max(peak, open_now)
        time.sleep(0.05)
        with lock:
            open_now -= 1
        yield

    def work(pk: int) -> None:
        end = time.monotonic() + 120
        while time.monotonic() < end:
            lease = scheduling.claim_running(WorkerState, pk, now=timezone.now() + timedelta(seconds=3))
            assert lease is not None
            if not scheduling.must_wait_for_place(profile, lease):
                with connected():
                    scheduling.release(lease, due_at=None)
                return
            time.sleep(0.02)

    together(*[partial(work, state.pk) for state in states])
    assert served == len(states)
    assert peak <= 2


def test_whoever_comes_together_does_not_send_everybody_away(
    profile: ServerProfile, states: list[WorkerState]
) -> None:
    leases = [scheduling.claim_running(WorkerState, state.pk, now=timezone.now()) for state in states]

    waiting = together(
        *[partial(scheduling.must_wait_for_place, profile, lease) for lease in leases if lease is not None]
    )
    assert sorted(waiting) == [False] * 2 + [True] * 6


def test_a_test_takes_one_of_the_connections_and_waits_for_one_without_counting_as_an_attempt(
    profile: ServerProfile, states: list[WorkerState], now: datetime
) -> None:
    mailboxes = Mailbox.objects.filter(pk__in=[state.mailbox_id for state in states[:3]])
    job = diagnosis.start(mailboxes, environment=profile.environment, by=None, now=now)
    first, second, third = job.diagnoses.order_by("pk")
    testing = scheduling.claim_running(Diagnosis, first.pk, now=timezone.now())
    assert testing is not None
    assert not scheduling.must_wait_for_place(profile, testing)
    lease = scheduling.claim_running(WorkerState, states[5].pk, now=timezone.now())
    assert lease is not None
    assert not scheduling.must_wait_for_place(profile, lease)
    for _ in range(diagnosing.ATTEMPTS + 1):
        diagnosing.run(second.pk)
    second.refresh_from_db()
    assert (second.state, second.attempts, second.leased_until) == (RunState.QUEUED, 0, None)
    assert not Diagnosis.objects.due(timezone.now()).filter(pk=second.pk).exists()
    late = scheduling.claim_running(WorkerState, states[6].pk, now=timezone.now())
    assert late is not None
    assert scheduling.must_wait_for_place(profile, late)
    scheduling.release(lease)
    diagnosing.run(third.pk)
    third.refresh_from_db()
    assert third.state == RunState.DONE


def test_an_alert_raised_by_many_at_once_is_one_with_a_count(states: list[WorkerState]) -> None:
    mailbox = Mailbox.objects.select_related("server_profile").get(pk=states[0].mailbox_id)

    def tell() -> bool:
        return wall.raise_alert("not_approved", now=timezone.now(), mailbox=mailbox)

    for number in range(1, ROUNDS + 1):
        told = together(tell, tell, tell, tell)
        assert told.count(True) == 1
        assert Alert.objects.open().get().count == 4
        wall.resolve("not_approved", mailbox=mailbox, now=timezone.now())
        assert Alert.objects.count() == number


def test_mailboxes_that_fail_at_once_are_gathered_and_let_go_at_once(states: list[WorkerState]) -> None:
    chosen = list({state.mailbox_id for state in states})[:4]
    mailboxes = list(Mailbox.objects.select_related("server_profile").filter(pk__in=chosen))
    cause = wall.Cause("It does not answer.", code="timed_out")
    for _ in range(ROUNDS // 5):
        now = timezone.now()
        together(
            *(
                partial(wall.raise_alert, "incoming_stopped", now=now, mailbox=each, cause=cause)
                for each in mailboxes
            )
        )
        shown = Alert.objects.open().filter(is_folded=False)
        assert [(alert.kind, alert.members.open().count()) for alert in shown] == [
            ("incoming_failing_together", len(mailboxes))
        ]
        together(*(partial(wall.resolve_direction, each, "incoming", now=now) for each in mailboxes))
        assert not Alert.objects.open().exists()


def test_of_two_who_save_the_same_mailbox_one_is_told(states: list[WorkerState]) -> None:
    def save(notes: str, read: threading.Barrier) -> str:
        mailbox = Mailbox.objects.get(pk=states[0].mailbox_id)
        read.wait()
        mailbox.notes = notes
        try:
            editing.update(mailbox, by=None)
        except StaleRecord:
            return "told"
        return notes

    for number in range(ROUNDS):
        read = threading.Barrier(2)
        results = together(partial(save, "one", read), partial(save, "two", read))
        assert results.count("told") == 1
        mailbox = Mailbox.objects.get(pk=states[0].mailbox_id)
        assert mailbox.notes in results
        assert mailbox.version == number + 2


def test_mail_queued_while_a_worker_gives_back_its_row_is_not_forgotten(
    box: Mailbox, smtp: ScriptedSmtp
) -> None:
    state = WorkerState.objects.get(mailbox=box, direction=Direction.OUTGOING)

    def ask() -> None:
        draft = Draft(
            sender=Address(box.name, box.address),
            to=(Address("", "ben@example.org"),),
            subject="Hello",
            text="How are you?",
        )
        outgoing.queue(box, draft, by=None, now=timezone.now())

    def work() -> None:
        delivering.run(state.pk)

    for _ in range(ROUNDS):
        ask()
        together(work, ask)
        state.refresh_from_db()
        waiting = OutgoingMessage.objects.filter(status=OutgoingStatus.PENDING_SEND)
        assert not waiting.exists() or (state.due_at is not None and state.due_at <= timezone.now())
        delivering.run(state.pk)
        assert not waiting.exists()
    assert len(smtp.bodies) == 2 * ROUNDS


def test_commands_on_the_same_mailboxes_wait_for_one_another_in_one_order(states: list[WorkerState]) -> None:
    everyone = Mailbox.objects.all()
    pks = list(everyone.order_by("pk").values_list("pk", flat=True))
    change = changing.Change({"process_email_from": None, "track_incoming": "none"})
    back = changing.Change({"track_incoming": "all"})

    def run(command: Callable[..., object], **words: Any) -> Callable[[], object]:
        return partial(command, by=None, now=timezone.now(), **words)

    for _ in range(ROUNDS):
        together(
            run(partial(approval.approve, everyone.order_by("-pk"))),
            run(partial(approval.withdraw, everyone.order_by("name"))),
            run(partial(editing.set_active, everyone.order_by("-name")), active=False),
            run(partial(editing.set_active, everyone), active=True),
            run(partial(changing.apply, pks, change)),
            run(partial(changing.apply, pks, back)),
        )


def test_a_mailbox_is_deleted_while_workers_write_of_it(
    profile: ServerProfile, states: list[WorkerState]
) -> None:
    for state in states:
        mailbox = state.mailbox
        lease = scheduling.claim_running(WorkerState, state.pk, now=timezone.now())
        assert lease is not None
        held = lease

        def write(mailbox: Mailbox = mailbox, lease: scheduling.Lease = held) -> None:
            for number in range(20):
                try:
                    with scheduling.fenced(lease):
                        wall.raise_alert(
                            "message_quarantined", mailbox=mailbox, now=timezone.now(), about=str(number)
                        )
                except scheduling.LeaseLost:
                    return

        together(write, partial(editing.delete, mailbox, by=None, now=timezone.now()))
    assert not Alert.objects.exists()
    assert not Mailbox.objects.exists()


def test_a_mailbox_that_two_delete_at_once_is_gone(states: list[WorkerState]) -> None:
    for state in states:
        delete = partial(editing.delete, state.mailbox, by=None, now=timezone.now())
        together(delete, delete, delete)
    assert not Mailbox.objects.exists()


def test_alerts_are_deleted_while_somebody_marks_them_as_read(
    states: list[WorkerState], django_user_model: type[User]
) -> None:
    person = django_user_model.objects.create_user("rosa")
    for number in range(ROUNDS):
        for state in states:
            wall.raise_alert("not_approved", mailbox=state.mailbox, now=timezone.now(), about=str(number))
        together(
            partial(services_wall.delete, Alert.objects.all(), by=None, now=timezone.now()),
            partial(services_wall.mark_read, Alert.objects.all(), by=person),
            partial(services_wall.mark_read, Alert.objects.order_by("-pk"), by=person),
        )
    assert not Alert.objects.exists()


def test_a_test_begins_while_one_of_its_mailboxes_is_deleted(
    environment: Environment, states: list[WorkerState]
) -> None:
    for state in states[:-1]:
        test = partial(
            diagnosis.start, Mailbox.objects.all(), environment=environment, by=None, now=timezone.now()
        )
        together(test, test, partial(editing.delete, state.mailbox, by=None, now=timezone.now()))
    assert set(Diagnosis.objects.values_list("mailbox", flat=True)) == {states[-1].mailbox_id}
