"""Test & Enable jobs: live progress, whole results, and what to do about failures."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from mailboxes.models import Diagnosis, DiagnosisStep, Job, Mailbox
from mailboxes.services import diagnosis
from profiles.models import Environment, ServerProfile
from tests.mailboxes.console.conftest import NewMailbox

HTMX = {"HX-Request": "true"}
# Session, person, environment, job, counts of mailboxes and of the filter, rows, steps, the bell.
QUERIES = 9
StartJob = Callable[..., Job]


@pytest.fixture
def start_job(environment: Environment, person: User) -> StartJob:
    """Give a function that starts a job for all mailboxes, `ago` before now."""

    def start(*, ago: timedelta = timedelta(0)) -> Job:
        everything = Mailbox.objects.filter(environment=environment)
        return diagnosis.start(everything, environment=environment, by=person, now=timezone.now() - ago)

    return start


def finish(job: Job, name: str, *, incoming: str, outgoing: str) -> Diagnosis:
    """Finish the test of one mailbox."""
    now = timezone.now()
    found = job.diagnoses.filter(mailbox__name=name)
    found.update(state="done", incoming=incoming, outgoing=outgoing, started_on=now, finished_on=now)
    return found.get()


def add_step(tested: Diagnosis, title: str, outcome: str, **fields: Any) -> None:
    """Save one step of a test."""
    values = {"direction": "incoming", "name": "connect", "started_on": timezone.now(), **fields}
    position = tested.steps.count()
    DiagnosisStep.objects.create(diagnosis=tested, title=title, outcome=outcome, position=position, **values)


def progress_url(job: Job) -> str:
    """Return the address of the part that changes."""
    return reverse("mailboxes:job_progress", args=[job.environment.slug, job.pk])


def test_an_unfinished_job_asks_for_itself_again(
    client: Client, mailbox: Mailbox, start_job: StartJob
) -> None:
    job = start_job()
    page = client.get(job.get_absolute_url()).content.decode()
    assert 'hx-trigger="every 2s"' in page
    assert progress_url(job) in page
    assert "Waiting to start" in page


def test_a_finished_job_asks_no_more(client: Client, mailbox: Mailbox, start_job: StartJob) -> None:
    job = start_job()
    finish(job, "Support", incoming="success", outgoing="success")
    fragment = client.get(progress_url(job), headers=HTMX).content.decode()
    assert "hx-trigger" not in fragment
    assert "1 enabled" in fragment


def test_a_reload_shows_what_the_fragment_shows(
    client: Client, new_mailbox: NewMailbox, start_job: StartJob
) -> None:
    new_mailbox("Ana")
    new_mailbox("Ben")
    job = start_job()
    finish(job, "Ana", incoming="failure", outgoing="success")
    page = client.get(job.get_absolute_url()).content.decode()
    fragment = client.get(progress_url(job), headers=HTMX).content.decode()
    assert "Testing 2 mailboxes: 1 done" in page
    assert "Testing 2 mailboxes: 1 done" in fragment


def test_the_counts_are_announced_outside_the_changing_part(
    client: Client, new_mailbox: NewMailbox, start_job: StartJob
) -> None:
    new_mailbox("Ana")
    new_mailbox("Ben")
    job = start_job()
    finish(job, "Ana", incoming="failure", outgoing="success")
    page = client.get(job.get_absolute_url()).content.decode()
    fragment = client.get(progress_url(job), headers=HTMX).content.decode()
    before, _, _ = page.partition('<div id="job"')
    assert "1 of 2 mailboxes tested, 1 failed." in before
    assert 'id="job-status" hx-swap-oob="innerHTML"' in fragment


def test_one_mailbox_shows_every_step(client: Client, mailbox: Mailbox, start_job: StartJob) -> None:
    job = start_job()
    tested = finish(job, "Support", incoming="failure", outgoing="skipped")
    add_step(tested, "Connected to imap.contoso.example:993", "success", seen="TLS 1.3", duration_ms=40)
    add_step(
        tested,
        "Sign in as support",
        "failure",
        seen="The server refused the password.",
        remedy="Enter the right one.",
        error_code="login_refused",
        duration_ms=1100,
    )
    add_step(tested, "Open the Inbox", "skipped")
    page = client.get(job.get_absolute_url()).content.decode()
    assert "Connected to imap.contoso.example:993" in page
    assert "40 ms" in page
    assert "The server refused the password." in page
    assert "Enter the right one." in page
    assert f'href="{mailbox.get_absolute_url()}#id_user_name">Update credentials' in page
    assert "Open the Inbox" in page


def test_in_a_long_job_failures_show_and_the_rest_opens_on_demand(
    client: Client, new_mailbox: NewMailbox, start_job: StartJob
) -> None:
    new_mailbox("Ana")
    new_mailbox("Ben")
    job = start_job()
    tested = finish(job, "Ana", incoming="failure", outgoing="success")
    add_step(tested, "Connected to the server", "success")
    add_step(tested, "Sign in as ana", "failure", seen="Refused.", error_code="login_refused")
    closed = client.get(job.get_absolute_url()).content.decode()
    opened = client.get(f"{job.get_absolute_url()}?open={tested.pk}").content.decode()
    assert "Sign in as ana" in closed
    assert "Connected to the server" not in closed
    assert "Connected to the server" in opened
    assert f"open={tested.pk}" in opened.partition('hx-trigger="every 2s"')[0].rpartition("hx-get")[2]


def test_a_mailbox_that_waits_for_approval_says_so(
    client: Client, new_mailbox: NewMailbox, start_job: StartJob
) -> None:
    new_mailbox("Ana", approved=False)
    job = start_job()
    tested = finish(job, "Ana", incoming="failure", outgoing="failure")
    add_step(tested, "Checked", "failure", error_code="not_approved", seen="Not approved.")
    page = client.get(job.get_absolute_url()).content.decode()
    assert "Waiting for approval" in page
    assert "Approve ana@contoso.example" in page


def test_a_running_mailbox_shows_its_steps_as_they_come(
    client: Client, new_mailbox: NewMailbox, start_job: StartJob
) -> None:
    new_mailbox("Ana")
    new_mailbox("Ben")
    job = start_job()
    later = timezone.now() + timedelta(minutes=1)
    running = job.diagnoses.get(mailbox__name="Ana")
    Diagnosis.objects.filter(pk=running.pk).update(
        state="running", started_on=timezone.now(), leased_until=later
    )
    add_step(running, "Connected to the server", "success")
    fragment = client.get(progress_url(job), headers=HTMX).content.decode()
    assert "Connected to the server" in fragment
    assert "1 testing" in fragment
    assert "1 waiting" in fragment


def test_a_job_that_nobody_takes_up_says_so(client: Client, mailbox: Mailbox, start_job: StartJob) -> None:
    job = start_job(ago=timedelta(seconds=21))
    assert "No worker has taken this up yet." in client.get(job.get_absolute_url()).content.decode()


def test_a_fresh_job_does_not_complain(client: Client, mailbox: Mailbox, start_job: StartJob) -> None:
    job = start_job(ago=timedelta(seconds=5))
    assert "No worker has taken this up yet." not in client.get(job.get_absolute_url()).content.decode()


def test_a_job_whose_worker_died_says_that_nobody_works_on_it(
    client: Client, mailbox: Mailbox, start_job: StartJob
) -> None:
    job = start_job(ago=timedelta(minutes=5))
    died = timezone.now() - timedelta(minutes=2)
    job.diagnoses.update(state="running", started_on=died, leased_until=died)
    assert "No worker has taken this up yet." in client.get(job.get_absolute_url()).content.decode()


def test_testing_failures_again_starts_a_job_for_them_alone(
    client: Client, new_mailbox: NewMailbox, start_job: StartJob
) -> None:
    new_mailbox("Ana")
    new_mailbox("Ben")
    job = start_job()
    finish(job, "Ana", incoming="failure", outgoing="success")
    finish(job, "Ben", incoming="success", outgoing="success")
    response = client.post(reverse("mailboxes:job_again", args=[job.environment.slug, job.pk]))
    again = Job.objects.exclude(pk=job.pk).get()
    assert response.headers["Location"] == again.get_absolute_url()
    assert [tested.mailbox.name for tested in again.diagnoses.all()] == ["Ana"]


def test_a_profile_is_tested_as_one_job(
    client: Client, profile: ServerProfile, new_mailbox: NewMailbox
) -> None:
    new_mailbox("Ana")
    new_mailbox("Elsewhere", server_profile=None)
    new_mailbox("Asleep", is_active=False)
    url = reverse("mailboxes:profile_diagnose", args=[profile.environment.slug, profile.pk])
    assert "Test 1 mailbox of" in client.get(url, headers=HTMX).content.decode()
    response = client.post(url, headers=HTMX)
    job = Job.objects.get()
    assert response.headers["HX-Redirect"] == job.get_absolute_url()
    assert job.server_profile == profile
    assert job.diagnoses.count() == 1


def test_a_profile_without_mailboxes_starts_nothing(client: Client, profile: ServerProfile) -> None:
    url = reverse("mailboxes:profile_diagnose", args=[profile.environment.slug, profile.pk])
    response = client.post(url, headers=HTMX)
    assert "No active mailbox uses" in response.headers["HX-Trigger"]
    assert not Job.objects.exists()


def test_the_list_of_jobs_names_the_mailbox_of_a_small_one(
    client: Client, mailbox: Mailbox, start_job: StartJob
) -> None:
    start_job()
    page = client.get(reverse("mailboxes:job_list", args=["contoso"])).content.decode()
    assert "Support" in page
    assert "Rosa Keller" in page


def test_an_empty_list_of_jobs_leads_to_the_mailboxes(client: Client, environment: Environment) -> None:
    page = client.get(reverse("mailboxes:job_list", args=["contoso"])).content.decode()
    assert "No jobs yet" in page


def test_a_job_is_not_found_under_another_environment(
    client: Client, elsewhere: Environment, mailbox: Mailbox, start_job: StartJob
) -> None:
    job = start_job()
    assert client.get(reverse("mailboxes:job_detail", args=[elsewhere.slug, job.pk])).status_code == 404


@pytest.mark.parametrize(
    "words", ["open=x&page=0", "open=99999999999999999999999", "facet=no&page=-3", "open=²"]
)
def test_nonsense_in_the_address_is_ignored(
    client: Client, mailbox: Mailbox, start_job: StartJob, words: str
) -> None:
    assert client.get(f"{start_job().get_absolute_url()}?{words}").status_code == 200


@pytest.mark.parametrize("number", [2, 50])
def test_the_number_of_queries_does_not_grow_with_the_mailboxes(
    client: Client,
    new_mailbox: NewMailbox,
    start_job: StartJob,
    django_assert_num_queries: DjangoAssertNumQueries,
    number: int,
) -> None:
    job = job_of(number, new_mailbox=new_mailbox, start_job=start_job)
    with django_assert_num_queries(QUERIES):
        client.get(job.get_absolute_url())


@pytest.mark.parametrize("number", [1, 50])
def test_the_list_of_jobs_asks_a_fixed_number_of_questions(
    client: Client,
    mailbox: Mailbox,
    start_job: StartJob,
    django_assert_num_queries: DjangoAssertNumQueries,
    number: int,
) -> None:
    start_many(start_job, number=number)
    with django_assert_num_queries(6):
        client.get(reverse("mailboxes:job_list", args=["contoso"]), {"size": "50"})


def start_many(start_job: StartJob, *, number: int) -> None:
    """Start `number` jobs."""
    for _ in range(number):
        start_job()


def job_of(number: int, *, new_mailbox: NewMailbox, start_job: StartJob) -> Job:
    """Return a job of `number` mailboxes that all failed."""
    for position in range(number):
        new_mailbox(f"Person {position}")
    job = start_job()
    for tested in job.diagnoses.select_related("mailbox"):
        finish(job, tested.mailbox.name, incoming="failure", outgoing="success")
        add_step(tested, "Sign in", "failure", seen="Refused.", error_code="login_refused")
    return job
