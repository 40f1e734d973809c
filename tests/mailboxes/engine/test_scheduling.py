"""Claims, leases and fences."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from types import ModuleType

import pytest
from django.conf import settings as django_settings
from django.utils import timezone

from mailboxes import tasks
from mailboxes.choices import Direction, RunState
from mailboxes.engine import delivering, diagnosing, scheduling, syncing
from mailboxes.models import Diagnosis, Job, Mailbox, WorkerState
from profiles.models import Environment

pytestmark = pytest.mark.django_db


@pytest.fixture
def state(environment: Environment, now: datetime) -> WorkerState:
    """Give a due direction."""
    mailbox = Mailbox.objects.create(environment=environment, name="Ana", address="ana@example.org")
    return WorkerState.objects.create(
        mailbox=mailbox, direction=Direction.INCOMING, is_enabled=True, due_at=now - timedelta(seconds=1)
    )


def test_a_due_row_is_handed_out_once(state: WorkerState, now: datetime) -> None:
    first = scheduling.claim_due(WorkerState, now=now)
    second = scheduling.claim_due(WorkerState, now=now)
    assert (len(first), len(second)) == (1, 0)


def test_a_tick_learns_at_once_which_kinds_are_due(state: WorkerState, now: datetime) -> None:
    before_and_after = (now - timedelta(seconds=5), now, now + timedelta(seconds=5))
    assert list(map(scheduling.kinds_due, before_and_after)) == [[], [WorkerState], [WorkerState]]


def test_what_was_handed_out_is_no_longer_due(state: WorkerState, now: datetime) -> None:
    scheduling.claim_due(WorkerState, now=now)
    assert scheduling.kinds_due(now) == []


def test_a_wake_up_that_got_lost_is_sent_again(state: WorkerState, now: datetime) -> None:
    scheduling.claim_due(WorkerState, now=now)
    assert scheduling.claim_due(WorkerState, now=now + scheduling.WAKE_UP_PATIENCE)


def test_nobody_runs_twice(state: WorkerState, now: datetime) -> None:
    assert scheduling.claim_running(WorkerState, state.pk, now=now) is not None
    assert scheduling.claim_running(WorkerState, state.pk, now=now) is None


def test_a_lapsed_lease_can_be_taken_over(
    state: WorkerState, now: datetime, settings: pytest.FixtureRequest
) -> None:
    first = scheduling.claim_running(WorkerState, state.pk, now=now)
    second = scheduling.claim_running(WorkerState, state.pk, now=now + timedelta(hours=1))
    assert first is not None
    assert second is not None
    assert second.fence == first.fence + 1


def test_whoever_lost_the_lease_commits_nothing(state: WorkerState, now: datetime) -> None:
    first = scheduling.claim_running(WorkerState, state.pk, now=now)
    scheduling.claim_running(WorkerState, state.pk, now=now + timedelta(hours=1))
    assert first is not None
    with pytest.raises(scheduling.LeaseLost), scheduling.fenced(first, last_items=7):
        pytest.fail("the block of a lost lease must not run")
    state.refresh_from_db()
    assert state.last_items == 0


def test_a_direction_without_a_due_time_is_never_due(state: WorkerState, now: datetime) -> None:
    WorkerState.objects.update(is_enabled=False, due_at=None)
    assert scheduling.claim_due(WorkerState, now=now) == []
    assert scheduling.claim_running(WorkerState, state.pk, now=now) is None


def test_whoever_had_a_turn_goes_behind_those_who_wait(state: WorkerState, now: datetime) -> None:
    environment = state.mailbox.environment
    for number in range(3):
        mailbox = Mailbox.objects.create(
            environment=environment, name=f"Box {number}", address=f"box{number}@example.org"
        )
        WorkerState.objects.create(mailbox=mailbox, direction=Direction.INCOMING, is_enabled=True, due_at=now)
    turns = []
    for _ in range(8):
        [turn] = scheduling.claim_due(WorkerState, now=now, limit=1)
        lease = scheduling.claim_running(WorkerState, turn.pk, now=now)
        assert lease is not None
        turns.append(turn.pk)
        # It was not done in its time and wants to go on at once.
        now += timedelta(seconds=1)
        scheduling.release(lease, due_at=now)
    assert len(set(turns[:4])) == 4
    assert turns[4:] == turns[:4]


@pytest.mark.parametrize(
    ("task", "engine", "room"),
    [
        (tasks.deliver, delivering, django_settings.WORKER_CONCURRENCY),
        (tasks.sync_mailbox, syncing, django_settings.WORKER_CONCURRENCY - tasks.KEPT_FREE),
    ],
)
def test_servers_that_hang_leave_half_of_the_threads_to_the_others(
    environment: Environment,
    monkeypatch: pytest.MonkeyPatch,
    task: Callable[[int], None],
    engine: ModuleType,
    room: int,
) -> None:
    def directions(word: str, **fields: object) -> list[int]:
        found = []
        for number in range(8):
            mailbox = Mailbox.objects.create(
                environment=environment, name=word, address=f"{word}{number}@example.org"
            )
            found.append(WorkerState.objects.create(mailbox=mailbox, direction="outgoing", **fields).pk)
        return found

    hanging, stopped = directions("hanging", is_enabled=True, transient_failures=1), directions("stopped")
    working = directions("working", is_enabled=True)
    waiting, begun = [*hanging, *stopped, *working], list[int]()

    def hang(pk: int) -> None:
        begun.append(pk)
        while waiting and len(begun) < room:
            # While this one hangs, the next wake-up comes.
            task(waiting.pop(0))

    monkeypatch.setattr(engine, "run", hang)
    monkeypatch.setattr(tasks, "_receiving", tasks.Places())
    task(waiting.pop(0))
    half = django_settings.WORKER_CONCURRENCY // 2
    assert begun == hanging[:half] + working[: room - half]


def test_tests_leave_threads_to_others_and_half_of_them_where_a_test_of_the_job_failed(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tests(word: str, *, has_failed: bool) -> list[int]:
        job = Job.objects.create(environment=environment, created_on=timezone.now(), total=9)
        found = []
        for number in range(9):
            mailbox = Mailbox.objects.create(
                environment=environment, name=word, address=f"{word}{number}@example.org"
            )
            found.append(Diagnosis.objects.create(job=job, mailbox=mailbox, position=number).pk)
        if has_failed:
            Diagnosis.objects.filter(pk=found.pop()).update(state=RunState.DONE, outgoing="failure")
        return found

    hanging, fresh = tests("hanging", has_failed=True), tests("fresh", has_failed=False)
    waiting, begun = [*hanging, *fresh], list[int]()
    room = django_settings.WORKER_CONCURRENCY - tasks.KEPT_FREE

    def hang(pk: int) -> None:
        begun.append(pk)
        while waiting and len(begun) < room:
            tasks.diagnose(waiting.pop(0))

    monkeypatch.setattr(diagnosing, "run", hang)
    monkeypatch.setattr(tasks, "_testing", tasks.Places())
    tasks.diagnose(waiting.pop(0))
    half = django_settings.WORKER_CONCURRENCY // 2
    assert begun[:room] == hanging[:half] + fresh[: room - half]


@pytest.mark.django_db(transaction=True)
def test_receiving_and_tests_together_leave_a_thread_to_sending(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job.objects.create(environment=environment, created_on=timezone.now(), total=9)
    waiting, running, most = list[Callable[[], None]](), list[int](), list[int]()
    for number in range(9):
        mailbox = Mailbox.objects.create(
            environment=environment, name="busy", address=f"busy{number}@example.org"
        )
        state = WorkerState.objects.create(mailbox=mailbox, direction="incoming", is_enabled=True)
        test = Diagnosis.objects.create(job=job, mailbox=mailbox, position=number)
        waiting += [partial(tasks.sync_mailbox, state.pk), partial(tasks.diagnose, test.pk)]

    def hang(pk: int) -> None:
        running.append(pk)
        most.append(len(running))
        if waiting:
            # While this one hangs, the next wake-up comes.
            waiting.pop(0)()
        running.pop()

    monkeypatch.setattr(syncing, "run", hang)
    monkeypatch.setattr(diagnosing, "run", hang)
    monkeypatch.setattr(tasks, "_receiving", tasks.Places())
    monkeypatch.setattr(tasks, "_testing", tasks.Places())
    waiting.pop(0)()
    assert max(most) == django_settings.WORKER_CONCURRENCY - 1


@pytest.mark.django_db(transaction=True)
def test_in_a_busy_worker_a_run_that_ends_goes_on_with_those_who_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    room = django_settings.WORKER_CONCURRENCY - tasks.KEPT_FREE
    coming, begun = list(range(1, 40)), list[int]()

    def work(pk: int) -> None:
        begun.append(pk)
        while coming:
            # While this one is busy, the next wake-up comes; one that waits may come twice.
            times = 1 if len(begun) < room else 2
            following = coming.pop(0)
            for _ in range(times):
                tasks.sync_mailbox(following)

    monkeypatch.setattr(syncing, "run", work)
    tasks.sync_mailbox(coming.pop(0))
    assert begun == list(range(1, 40))
