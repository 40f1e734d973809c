"""Commands on many mailboxes go on in the background, with the same result as at once."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from mailboxes.choices import AddressStatus, JobKind
from mailboxes.engine import jobs, orders
from mailboxes.models import Job, Mailbox, SyncClaim, WorkerState
from profiles.models import Environment, ServerProfile
from tests.mailboxes.console.conftest import NOW, NewMailbox

HTMX = {"HX-Request": "true"}
Command = Callable[[str], Any]


@pytest.fixture(autouse=True)
def many(monkeypatch: pytest.MonkeyPatch, new_mailbox: NewMailbox) -> list[Mailbox]:
    """Give three mailboxes, and have more than one count as many."""
    monkeypatch.setattr(orders, "DIRECTLY", 1)
    return [new_mailbox(name, approved=False) for name in ("Ana", "Ben", "Cara")]


@pytest.fixture
def command(client: Client, commands_url: str, many: list[Mailbox]) -> Command:
    """Give a function that confirms a command for all mailboxes and has its job done; it is returned."""

    def send(action: str) -> Job:
        words = {"action": action, "all": "1", "list": "view=all", "confirm": "1"}
        response = client.post(commands_url, words, headers=HTMX)
        job = Job.objects.latest("pk")
        assert response.headers["HX-Redirect"] == job.get_absolute_url()
        jobs.run(job.pk)
        job.refresh_from_db()
        return job

    return send


def test_many_addresses_are_approved_by_a_job(command: Command, person: User) -> None:
    job = command("approve")
    assert (job.kind, job.changed, job.total) == (JobKind.APPROVE, 3, 3)
    approved = Mailbox.objects.filter(address_status=AddressStatus.APPROVED, approved_by=person)
    assert approved.count() == 3


def test_many_addresses_are_rejected_by_a_job(command: Command) -> None:
    command("reject")
    assert Mailbox.objects.filter(address_status=AddressStatus.REJECTED).count() == 3


def test_many_mailboxes_are_deactivated_and_activated_by_jobs(command: Command) -> None:
    command("deactivate")
    assert not Mailbox.objects.active().exists()
    command("activate")
    assert Mailbox.objects.active().count() == 3


@pytest.fixture
def spare(environment: Environment) -> ServerProfile:
    """Give another profile of the environment."""
    return ServerProfile.objects.create(
        environment=environment, name="Spare", incoming_port=993, outgoing_port=465
    )


def move(client: Client, profile: ServerProfile, to: ServerProfile, confirm: str) -> Job:
    """Answer the question where the mailboxes of a profile move, and have the job done."""
    url = reverse("mailboxes:profile_move", args=[profile.environment.slug, profile.pk])
    response = client.post(url, {"target": to.pk, "confirm": confirm}, headers=HTMX)
    job = Job.objects.latest("pk")
    assert response.headers["HX-Redirect"] == job.get_absolute_url()
    return job


def test_many_mailboxes_are_moved_by_a_job(
    client: Client, profile: ServerProfile, spare: ServerProfile
) -> None:
    WorkerState.objects.update(is_enabled=True)
    jobs.run(move(client, profile, spare, "move").pk)
    assert spare.mailboxes.count() == 3
    assert not WorkerState.objects.filter(is_enabled=True).exists()
    assert Job.objects.count() == 1


def test_moved_mailboxes_are_tested_when_that_was_asked(
    client: Client, profile: ServerProfile, spare: ServerProfile
) -> None:
    job = move(client, profile, spare, "test")
    jobs.run(job.pk)
    assert job.followers.get().total == 3


def test_a_profile_that_was_switched_off_meanwhile_takes_no_mailbox(
    client: Client, profile: ServerProfile, spare: ServerProfile
) -> None:
    job = move(client, profile, spare, "test")
    ServerProfile.objects.filter(pk=spare.pk).update(is_active=False)
    jobs.run(job.pk)
    assert profile.mailboxes.count() == 3
    assert "Activate it first" in job.remarks.all()[0].sentence
    assert not job.followers.exists()


def test_many_tests_are_written_by_the_job_itself(client: Client, commands_url: str) -> None:
    answer = {"action": "diagnose", "all": "1", "confirm": "1"}
    client.post(commands_url, answer, headers=HTMX, follow=True)
    job = Job.objects.get()
    page = client.get(job.get_absolute_url()).content.decode()
    assert "3 waiting" in page
    assert not job.diagnoses.exists()
    jobs.run(job.pk)
    places = job.diagnoses.order_by("position").values_list("mailbox__name", "position")
    assert list(places) == [("Ana", 0), ("Ben", 1), ("Cara", 2)]


def test_many_that_get_the_defaults_are_tested_as_few_are(
    client: Client, environment: Environment, elsewhere: Environment, person: User, new_mailbox: NewMailbox
) -> None:
    own = new_mailbox("Rosa", owner=person, approved=False)
    User.objects.filter(pk=person.pk).update(email=own.address)
    held = Mailbox.objects.create(environment=elsewhere, name="Ana", address="ana@contoso.example")
    SyncClaim.objects.create(
        address=held.address, environment=elsewhere, mailbox=held, claimed_on=NOW, claimed_by=person
    )
    url = reverse("mailboxes:mailbox_apply_default", args=[environment.slug])
    words = {"all": "1", "list": "view=all"}
    assert "Take 1 address over" in client.post(url, words, headers=HTMX).content.decode()
    client.post(url, {**words, "confirm": "1", "test": "1", "takes_over": "1"}, headers=HTMX)
    job = Job.objects.get()
    jobs.run(job.pk)
    assert job.followers.get().takes_over
    own.refresh_from_db()
    assert own.address_status == AddressStatus.APPROVED
