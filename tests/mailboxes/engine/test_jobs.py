"""Jobs that go through their targets in chunks: exactly once, whoever dies, whoever cancels."""

import time
from collections.abc import Sequence
from datetime import datetime

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import F
from django.utils import timezone

from mailboxes.choices import JobKind, RunState
from mailboxes.engine import jobs as engine
from mailboxes.engine import scheduling
from mailboxes.engine.works import WORKS, ChunkResult, Remark, payload
from mailboxes.models import Diagnosis, Job, JobOrder, Mailbox
from mailboxes.services import diagnosis, editing, jobs
from profiles.models import Environment

pytestmark = pytest.mark.django_db


class Killed(BaseException):
    """What a worker that is killed in the middle of a chunk leaves: nothing of it."""


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give the list of targets that the work has seen; the target "bad" gets a remark."""
    seen: list[str] = []

    def work(job: Job, targets: Sequence[str], now: datetime) -> ChunkResult:
        seen.extend(targets)
        bad = [Remark("It is inactive.", label=target) for target in targets if target == "bad"]
        return ChunkResult(len(targets) - len(bad), bad)

    monkeypatch.setitem(WORKS, JobKind.CHANGE, work)
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
    work = WORKS[JobKind.CHANGE]

    def killed(job: Job, targets: Sequence[str], now: datetime) -> ChunkResult:
        if "c" in targets:
            raise Killed
        return work(job, targets, now)

    monkeypatch.setitem(WORKS, JobKind.CHANGE, killed)
    with pytest.raises(Killed):
        engine.run(job.pk)
    monkeypatch.setitem(WORKS, JobKind.CHANGE, work)
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

    def overtaken(job: Job, targets: Sequence[str], now: datetime) -> ChunkResult:
        Job.objects.filter(pk=job.pk).update(fence=F("fence") + 1)
        return ChunkResult(len(targets))

    monkeypatch.setitem(WORKS, JobKind.CHANGE, overtaken)
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
    work = WORKS[JobKind.CHANGE]

    def canceled(job: Job, targets: Sequence[str], now: datetime) -> ChunkResult:
        jobs.cancel(job, by=None, now=now)
        return work(job, targets, now)

    monkeypatch.setitem(WORKS, JobKind.CHANGE, canceled)
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


def test_ten_thousand_tests_are_written_in_a_blink(environment: Environment, many: int) -> None:
    begun = time.perf_counter()
    job = diagnosis.start(Mailbox.objects.all(), environment=environment, by=None, now=timezone.now())
    assert time.perf_counter() - begun < 2
    assert job.total == many
    assert Diagnosis.objects.get(mailbox__name="Box 0").position == 0


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
