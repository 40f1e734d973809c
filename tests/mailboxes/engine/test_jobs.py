"""Jobs that go through their targets in chunks: exactly once, whoever dies, whoever cancels."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import F
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from mailboxes.choices import JobKind, RunState
from mailboxes.engine import jobs as engine
from mailboxes.engine import orders, scheduling
from mailboxes.engine.orders import payload
from mailboxes.engine.works import WORKS, ChunkResult, Remark, Work
from mailboxes.models import Diagnosis, Job, JobOrder, Mailbox
from mailboxes.services import diagnosis, editing, jobs
from profiles.choices import Role
from profiles.models import Environment, Membership

pytestmark = pytest.mark.django_db


class Killed(BaseException):
    """What a worker that is killed in the middle of a chunk leaves: nothing of it."""


def use(monkeypatch: pytest.MonkeyPatch, work: Work) -> None:
    """Have jobs of the tests do this."""
    monkeypatch.setitem(WORKS, JobKind.CHANGE, lambda _job: work)


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give the list of targets that the work has seen; the target "bad" gets a remark."""
    seen: list[str] = []

    def work(targets: Sequence[str], now: datetime) -> ChunkResult:
        seen.extend(targets)
        bad = [Remark("It is inactive.", label=target) for target in targets if target == "bad"]
        return ChunkResult(len(targets) - len(bad), bad)

    use(monkeypatch, work)
    monkeypatch.setattr(engine, "CHUNK", 2)
    return seen


def start(environment: Environment, *targets: str) -> Job:
    """Start a job of a kind whose work is known."""
    return jobs.start(
        JobKind.CHANGE,
        environment=environment,
        targets=targets,
        payload={"password": "secret"},
        by=None,
        now=timezone.now(),
    )


def end_lease(job: Job) -> None:
    """Let time pass until others may take up the job."""
    Job.objects.filter(pk=job.pk).update(leased_until=timezone.now() - scheduling.WAKE_UP_PATIENCE)


def test_a_job_goes_through_all_its_targets(environment: Environment, done: list[str]) -> None:
    job = start(environment, "a", "b", "c")
    engine.run(job.pk)
    job.refresh_from_db()
    assert done == ["a", "b", "c"]
    assert (job.state, job.done, job.changed, job.failed) == (RunState.DONE, 3, 3, 0)
    assert job.finished_on is not None


def test_the_clock_hands_out_a_job_once(environment: Environment, done: list[str]) -> None:
    job = start(environment, "a")
    assert [found.pk for found in scheduling.claim_due(Job, now=timezone.now())] == [job.pk]
    assert not scheduling.claim_due(Job, now=timezone.now())


def test_what_was_left_out_has_a_remark(environment: Environment, done: list[str]) -> None:
    job = start(environment, "a", "bad", "c")
    engine.run(job.pk)
    job.refresh_from_db()
    remark = job.remarks.get()
    assert (remark.label, remark.sentence) == ("bad", "It is inactive.")
    assert (job.changed, job.failed) == (2, 1)


def test_a_job_goes_on_after_the_last_whole_chunk(
    environment: Environment, done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = start(environment, "a", "b", "c", "d", "e")
    work = WORKS[JobKind.CHANGE](job)

    def killed(targets: Sequence[str], now: datetime) -> ChunkResult:
        if "c" in targets:
            raise Killed
        return work(targets, now)

    use(monkeypatch, killed)
    with pytest.raises(Killed):
        engine.run(job.pk)
    use(monkeypatch, work)
    engine.run(job.pk)
    assert done == ["a", "b"], "the lease of the dead still holds"
    end_lease(job)
    engine.run(job.pk)
    assert done == ["a", "b", "c", "d", "e"]
    assert Job.objects.get().changed == 5


def test_whoever_lost_the_lease_commits_no_chunk(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = start(environment, "a", "b")

    def overtaken(targets: Sequence[str], now: datetime) -> ChunkResult:
        Job.objects.filter(pk=job.pk).update(fence=F("fence") + 1)
        return ChunkResult(len(targets))

    use(monkeypatch, overtaken)
    monkeypatch.setattr(engine, "CHUNK", 1)
    engine.run(job.pk)
    job.refresh_from_db()
    assert (job.position, job.state) == (0, RunState.RUNNING)


def test_cancelling_a_waiting_job_ends_it(environment: Environment, done: list[str], owner: User) -> None:
    job = start(environment, "a", "b")
    assert jobs.cancel(job, by=None, now=timezone.now())
    engine.run(job.pk)
    job.refresh_from_db()
    assert done == []
    assert job.state == RunState.CANCELED


def test_cancelling_a_running_job_lets_the_chunk_end(
    environment: Environment, done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = start(environment, "a", "b", "c")
    work = WORKS[JobKind.CHANGE](job)

    def canceled(targets: Sequence[str], now: datetime) -> ChunkResult:
        jobs.cancel(job, by=None, now=now)
        return work(targets, now)

    use(monkeypatch, canceled)
    engine.run(job.pk)
    job.refresh_from_db()
    assert done == ["a", "b"]
    assert (job.state, job.done, job.total) == (RunState.CANCELED, 2, 3)


def test_what_was_typed_is_stored_sealed_and_forgotten_at_the_end(
    environment: Environment, done: list[str]
) -> None:
    job = start(environment, "a")
    stored = JobOrder.objects.values_list("payload", flat=True).get()
    assert "secret" not in str.__str__(stored)
    assert payload(job) == {"password": "secret"}
    engine.run(job.pk)
    assert not JobOrder.objects.exists()


def test_a_job_that_never_comes_to_its_end_is_given_up(environment: Environment, done: list[str]) -> None:
    job = start(environment, "a")
    Job.objects.update(fence=engine.ATTEMPTS)
    engine.run(job.pk)
    job.refresh_from_db()
    assert job.state == RunState.FAILED
    assert "never came to its end" in job.remarks.get().sentence


def test_a_job_without_targets_is_finished_at_once(environment: Environment) -> None:
    assert start(environment).state == RunState.DONE


def test_strangers_start_and_cancel_nothing(environment: Environment, done: list[str], owner: User) -> None:
    job = start(environment, "a")
    with pytest.raises(PermissionDenied):
        jobs.cancel(job, by=owner, now=timezone.now())


@pytest.fixture
def many(environment: Environment) -> int:
    """Give ten thousand mailboxes."""
    number = 10_000
    Mailbox.objects.bulk_create(
        [
            Mailbox(environment=environment, name=f"Box {each}", address=f"{each}@example.org")
            for each in range(number)
        ]
    )
    return number


def test_ten_thousand_tests_are_asked_for_in_a_few_statements(
    environment: Environment, many: int, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_max_num_queries(10):
        job = diagnosis.start(Mailbox.objects.all(), environment=environment, by=None, now=timezone.now())
    assert (job.total, job.position) == (many, 0)
    engine.run(job.pk)
    job.refresh_from_db()
    assert (job.position, job.done, job.state) == (many, 0, RunState.RUNNING)
    assert Diagnosis.objects.get(mailbox__name="Box 0").position == 0
    assert Diagnosis.objects.filter(job=job).count() == many


@pytest.fixture
def large(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> Job:
    """Give a test of five mailboxes that is written by two."""
    monkeypatch.setattr(orders, "DIRECTLY", 1)
    monkeypatch.setattr(engine, "CHUNK", 2)
    for name in "abcde":
        Mailbox.objects.create(environment=environment, name=name, address=f"{name}@example.org")
    return diagnosis.start(Mailbox.objects.all(), environment=environment, by=None, now=timezone.now())


def begin(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a worker die after the first diagnoses of a large test are written."""
    write = WORKS[JobKind.DIAGNOSE](Job.objects.select_related("order").get(pk=job.pk))

    def killed(targets: Sequence[str], now: datetime) -> ChunkResult:
        if job.diagnoses.exists():
            raise Killed
        return write(targets, now)

    with monkeypatch.context() as patch:
        patch.setitem(WORKS, JobKind.DIAGNOSE, lambda _job: killed)
        with pytest.raises(Killed):
            engine.run(job.pk)
    end_lease(job)


def test_writing_tests_goes_on_after_the_last_whole_chunk(
    large: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(large, monkeypatch)
    assert large.diagnoses.count() == 2
    engine.run(large.pk)
    assert list(large.diagnoses.order_by("position").values_list("position", flat=True)) == [0, 1, 2, 3, 4]
    assert not JobOrder.objects.exists()
    assert not scheduling.claim_due(Job, now=timezone.now()), "there is nothing more to write"


def test_a_test_is_not_over_while_some_are_to_be_written(large: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(large, monkeypatch)
    large.diagnoses.update(state=RunState.DONE)
    engine.settle(large.pk, now=timezone.now())
    large.refresh_from_db()
    assert not large.is_finished
    engine.run(large.pk)
    large.diagnoses.update(state=RunState.DONE)
    engine.settle(large.pk, now=timezone.now())
    large.refresh_from_db()
    assert large.state == RunState.DONE


def test_cancelling_a_test_leaves_the_rest_unwritten(large: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(large, monkeypatch)
    jobs.cancel(large, by=None, now=timezone.now())
    large.refresh_from_db()
    assert (large.state, large.diagnoses.count()) == (RunState.CANCELED, 2)
    assert not JobOrder.objects.exists()


def test_who_started_a_job_and_lost_the_role_for_it_does_not_cancel_it(
    environment: Environment, done: list[str], owner: User
) -> None:
    membership = Membership.objects.create(
        environment=environment, user=owner, role=Role.MAILBOX_ADMINISTRATOR
    )
    job = jobs.start(JobKind.CHANGE, environment=environment, targets=["a"], by=owner, now=timezone.now())
    membership.delete()
    with pytest.raises(PermissionDenied):
        jobs.cancel(job, by=User.objects.get(pk=owner.pk), now=timezone.now())


def test_a_job_takes_its_targets_from_a_query_in_their_order(environment: Environment) -> None:
    for name in "bca":
        Mailbox.objects.create(environment=environment, name=name, address=f"{name}@example.org")
    keys = Mailbox.objects.order_by("-name").values_list("pk", flat=True)
    job = jobs.start(JobKind.CHANGE, environment=environment, targets=keys, by=None, now=timezone.now())
    assert [UUID(target) for target in job.order.targets] == list(keys)
    assert (Job.objects.get().total, job.state) == (3, RunState.QUEUED)


@pytest.mark.parametrize("condition", [{"name": "nobody"}, {"pk__in": []}], ids=str)
def test_a_job_whose_query_finds_nothing_is_finished_at_once(
    environment: Environment, condition: dict[str, object]
) -> None:
    keys = Mailbox.objects.filter(**condition).values_list("pk", flat=True)
    jobs.start(JobKind.CHANGE, environment=environment, targets=keys, by=None, now=timezone.now())
    job = Job.objects.get()
    assert (job.total, job.state, JobOrder.objects.exists()) == (0, RunState.DONE, False)
    assert job.finished_on is not None


def test_a_small_job_overtakes_a_large_one(environment: Environment) -> None:
    for name in "abc":
        Mailbox.objects.create(environment=environment, name=name, address=f"{name}@example.org")
    everything = Mailbox.objects.all()
    diagnosis.start(everything.exclude(name="c"), environment=environment, by=None, now=timezone.now())
    diagnosis.start(everything.filter(name="c"), environment=environment, by=None, now=timezone.now())
    handed_out = scheduling.claim_due(Diagnosis, now=timezone.now())
    assert [Mailbox.objects.get(diagnoses=row).name for row in handed_out] == ["a", "c", "b"]


def test_of_two_tests_of_a_mailbox_the_newer_waits(environment: Environment) -> None:
    Mailbox.objects.create(environment=environment, name="a", address="a@example.org")
    older, newer = (
        diagnosis.start(Mailbox.objects.all(), environment=environment, by=None, now=timezone.now())
        for _ in range(2)
    )
    second = newer.diagnoses.get()
    assert scheduling.claim_running(Diagnosis, second.pk, now=timezone.now()) is None
    older.diagnoses.update(state=RunState.DONE)
    assert scheduling.claim_running(Diagnosis, second.pk, now=timezone.now()) is not None


def test_cancelling_tests_leaves_those_that_run(environment: Environment) -> None:
    for name in "ab":
        Mailbox.objects.create(environment=environment, name=name, address=f"{name}@example.org")
    job = diagnosis.start(Mailbox.objects.all(), environment=environment, by=None, now=timezone.now())
    running = job.diagnoses.get(mailbox__name="a")
    scheduling.claim_running(Diagnosis, running.pk, now=timezone.now())
    jobs.cancel(job, by=None, now=timezone.now())
    job.refresh_from_db()
    states = job.diagnoses.order_by("position").values_list("state", flat=True)
    assert list(states) == [RunState.RUNNING, RunState.CANCELED]
    assert not job.is_finished


def test_a_job_does_not_wait_for_a_deleted_mailbox(environment: Environment, now: datetime) -> None:
    mailbox = Mailbox.objects.create(environment=environment, name="a", address="a@example.org")
    job = diagnosis.start(Mailbox.objects.all(), environment=environment, by=None, now=now)
    editing.delete(mailbox, by=None, now=now)
    job.refresh_from_db()
    assert job.state == RunState.DONE
