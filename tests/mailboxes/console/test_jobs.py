"""Test & Enable jobs: live progress, whole results, and what to do about failures."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from mailboxes.choices import JobKind
from mailboxes.engine import jobs as engine
from mailboxes.engine.works import WORKS, ChunkResult, Remark
from mailboxes.models import Diagnosis, DiagnosisStep, Job, Mailbox, SyncClaim
from mailboxes.services import diagnosis, jobs, progress
from profiles.access import EVERYTHING
from profiles.choices import Role
from profiles.models import Environment, Membership, ServerProfile
from tests.mailboxes.console.conftest import NewMailbox

HTMX = {"HX-Request": "true"}
# Session, person, environment, job, its numbers, the place, rows and profiles of the page, steps, the bell.
QUERIES = 10
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
    engine.begin(Job.objects.get(pk=job.pk), now=now)
    has_failed = "failure" in {incoming, outgoing}
    engine.count(job, changed="success" in {incoming, outgoing} and not has_failed, failed=has_failed)
    engine.settle(job.pk, now=now)
    return found.get()


def add_step(tested: Diagnosis, title: str, outcome: str, **fields: Any) -> None:
    """Save one step of a test."""
    values = {"direction": "incoming", "name": "connect", "started_on": timezone.now(), **fields}
    position = tested.steps.count()
    DiagnosisStep.objects.create(diagnosis=tested, title=title, outcome=outcome, position=position, **values)


def test_an_unfinished_job_asks_for_itself_again(
    client: Client, mailbox: Mailbox, start_job: StartJob
) -> None:
    job = start_job()
    page = client.get(job.get_absolute_url()).content.decode()
    assert 'hx-trigger="every 2s"' in page
    assert f'hx-get="{job.get_absolute_url()}?"' in page
    assert "Waiting to start" in page


def test_a_finished_job_asks_no_more(client: Client, mailbox: Mailbox, start_job: StartJob) -> None:
    job = start_job()
    finish(job, "Support", incoming="success", outgoing="success")
    fragment = client.get(job.get_absolute_url(), headers=HTMX).content.decode()
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
    fragment = client.get(job.get_absolute_url(), headers=HTMX).content.decode()
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
    fragment = client.get(job.get_absolute_url(), headers=HTMX).content.decode()
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


@pytest.mark.parametrize(
    ("code", "label"),
    [
        ("not_approved", "Approve the address"),
        ("claimed_elsewhere", "Open mailbox"),
        ("host_not_found", "Open server profile"),
        ("oauth_not_connected", "Connect the mailbox"),
        ("token_refused", "Reconnect the mailbox"),
    ],
)
def test_a_cause_leads_to_where_it_is_mended(mailbox: Mailbox, code: str, label: str) -> None:
    mailbox.may = mailbox.environment.may = EVERYTHING
    assert progress.where_to_mend(code, direction="incoming", mailbox=mailbox)[0] == label


def test_who_may_not_give_credentials_is_led_to_the_mailbox(
    environment: Environment, mailbox: Mailbox, start_job: StartJob
) -> None:
    job = start_job()
    tested = finish(job, "Support", incoming="failure", outgoing="skipped")
    add_step(tested, "Sign in as support", "failure", error_code="login_refused")
    auditor, owner = User.objects.create_user("mo"), User.objects.create_user("una")
    Membership.objects.create(environment=environment, user=auditor, role=Role.AUDITOR)
    Membership.objects.create(environment=environment, user=owner, role=Role.MEMBER)
    Mailbox.objects.update(owner=owner)

    def shown_to(person: User) -> str:
        browser = Client(SERVER_NAME="localhost")
        browser.force_login(person)
        return browser.get(job.get_absolute_url()).content.decode()

    assert f'href="{mailbox.get_absolute_url()}">Open mailbox' in shown_to(auditor)
    assert "Update credentials" not in shown_to(auditor)
    assert "Update credentials" in shown_to(owner)


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
    fragment = client.get(job.get_absolute_url(), headers=HTMX).content.decode()
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
    response = client.post(url, {"confirm": "1"}, headers=HTMX)
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


def test_cancelling_tells_who_did_it_and_what_was_left(
    client: Client, new_mailbox: NewMailbox, start_job: StartJob
) -> None:
    new_mailbox("Ana")
    new_mailbox("Ben")
    job = start_job()
    finish(job, "Ana", incoming="success", outgoing="success")
    client.post(reverse("mailboxes:job_cancel", args=[job.environment.slug, job.pk]))
    page = client.get(job.get_absolute_url()).content.decode()
    assert "Canceled: 1 of 2 done" in page
    assert "Canceled by Rosa Keller" in page
    assert "1 canceled" in page


def test_a_job_can_be_looked_at_by_part(client: Client, new_mailbox: NewMailbox, start_job: StartJob) -> None:
    new_mailbox("Ana")
    new_mailbox("Ben")
    job = start_job()
    finish(job, "Ana", incoming="failure", outgoing="success")
    page = client.get(job.get_absolute_url(), {"facet": "failed"}).content.decode()
    assert "ana@contoso.example" in page
    assert "ben@contoso.example" not in page


@pytest.fixture
def changed(environment: Environment, mailbox: Mailbox, person: User, monkeypatch: pytest.MonkeyPatch) -> Job:
    """Give a finished job of another kind that left out one mailbox."""

    def work(targets: Sequence[str], now: datetime) -> ChunkResult:
        return ChunkResult(1, [Remark("The profile is inactive.", mailbox=mailbox.pk, label=mailbox.name)])

    monkeypatch.setitem(WORKS, JobKind.CHANGE, lambda _job: work)
    job = jobs.start(
        JobKind.CHANGE,
        environment=environment,
        targets=["other", str(mailbox.pk)],
        payload={"password": "never shown"},
        by=person,
        now=timezone.now(),
    )
    engine.run(job.pk)
    return job


def test_the_page_of_another_job_names_what_was_skipped_and_why(
    client: Client, changed: Job, mailbox: Mailbox
) -> None:
    page = client.get(changed.get_absolute_url()).content.decode()
    assert "All 2 done" in page
    assert "1 changed" in page
    assert f'href="{mailbox.get_absolute_url()}">Support' in page
    assert "The profile is inactive." in page


def test_the_list_shows_jobs_of_every_kind(client: Client, changed: Job) -> None:
    page = client.get(reverse("mailboxes:job_list", args=["contoso"]), {"view": "change"}).content.decode()
    assert "Change Multiple Records" in page
    assert "1 skipped" in page


def test_who_belongs_without_reading_mailboxes_follows_their_own_jobs_only(
    changed: Job, environment: Environment, django_user_model: type[User]
) -> None:
    member = django_user_model.objects.create_user("mia")
    Membership.objects.create(environment=environment, user=member, role=Role.MEMBER)
    browser = Client(SERVER_NAME="localhost")
    browser.force_login(member)
    assert browser.get(changed.get_absolute_url()).status_code == 404
    Job.objects.update(created_by=member)
    assert browser.get(changed.get_absolute_url()).status_code == 200


def test_the_start_date_is_asked_for_on_the_mailboxs_own_page_only(
    client: Client, commands_url: str, mailbox: Mailbox
) -> None:
    asked = {"action": "diagnose", "ids": mailbox.pk}
    assert "Start date" not in client.post(commands_url, asked, headers=HTMX, follow=True).content.decode()
    page = client.post(commands_url, {**asked, "from": "mailbox"}, headers=HTMX, follow=True).content.decode()
    assert "Start date for incoming email" in page


def test_a_start_date_before_the_profiles_is_refused_where_it_stands(
    client: Client, commands_url: str, mailbox: Mailbox, profile: ServerProfile
) -> None:
    ServerProfile.objects.update(process_email_from=timezone.now())
    answer = {
        "action": "diagnose",
        "ids": mailbox.pk,
        "from": "mailbox",
        "confirm": "1",
        "start": "2020-01-01T00:00",
    }
    response = client.post(commands_url, answer, headers=HTMX, follow=True)
    assert response.status_code == 422
    assert "Choose a later moment" in response.content.decode()
    assert not Job.objects.exists()


def test_a_start_date_is_saved_with_the_test(client: Client, commands_url: str, mailbox: Mailbox) -> None:
    answer = {"action": "diagnose", "ids": mailbox.pk, "from": "mailbox", "confirm": "1"}
    client.post(
        commands_url, {**answer, "start": "2030-01-01T00:00", "takes_over": "on"}, headers=HTMX, follow=True
    )
    mailbox.refresh_from_db()
    assert mailbox.process_email_from is not None
    assert Job.objects.get().takes_over


def test_a_past_start_date_warns_of_the_backlog(client: Client, commands_url: str, mailbox: Mailbox) -> None:
    answer = {"action": "diagnose", "ids": mailbox.pk, "from": "mailbox", "look": "1"}
    response = client.post(commands_url, {**answer, "start": "2020-01-01T00:00"}, headers=HTMX, follow=True)
    assert "new email waits until that is done" in response.content.decode()


def test_addresses_of_another_environment_are_told_without_its_name(
    client: Client, commands_url: str, mailbox: Mailbox, elsewhere: Environment
) -> None:
    other = Mailbox.objects.create(environment=elsewhere, name="Support", address=mailbox.address)
    SyncClaim.objects.create(
        address=mailbox.address, environment=elsewhere, mailbox=other, claimed_on=timezone.now()
    )
    page = client.post(
        commands_url, {"action": "diagnose", "ids": mailbox.pk}, headers=HTMX, follow=True
    ).content.decode()
    assert "Another environment synchronizes this address." in page
    assert "Fabrikam" not in page
