"""Apply Default Email Settings: shown for verification, then applied, tested and enabled."""

import pytest
from django.test import Client
from django.urls import reverse

from mailboxes.choices import JobKind, ResultStatus
from mailboxes.engine import jobs, orders
from mailboxes.models import Job, Mailbox, WorkerState
from profiles.models import EmailSettings, Environment, ServerProfile
from tests.mailboxes.console.conftest import NOW, NewMailbox

HTMX = {"HX-Request": "true"}
UNSET = {"server_profile": None, "incoming": "none", "outgoing": "none"}
TESTED = {"status": ResultStatus.SUCCESS, "is_enabled": True, "tested_on": NOW, "due_at": NOW}


@pytest.fixture
def url(environment: Environment) -> str:
    """Give the address of the dialog."""
    return reverse("mailboxes:mailbox_apply_default", args=[environment.slug])


def test_the_defaults_are_shown_for_verification(
    client: Client, url: str, new_mailbox: NewMailbox, environment: Environment, profile: ServerProfile
) -> None:
    EmailSettings.objects.filter(environment=environment).update(outgoing="none")
    ids = [new_mailbox("Ana", **UNSET).pk, new_mailbox("Ben", outgoing="none").pk]
    page = client.post(url, {"ids": ids}, headers=HTMX).content.decode()
    assert "Contoso IMAP" in page
    assert f'Incoming location</dt><dd class="mono">{profile.incoming_location}<' in page
    assert "Server-Side Synchronization or Email Router" in page
    assert "Neither receives nor sends" in page
    assert "1 of 2" in page
    assert 'name="test" value="1" checked' in page
    assert Mailbox.objects.get(name="Ana").server_profile is None


def test_ok_applies_them_and_tests_and_enables(
    client: Client, url: str, new_mailbox: NewMailbox, profile: ServerProfile
) -> None:
    ana = new_mailbox("Ana", **UNSET)
    ben = new_mailbox("Ben", incoming_state=TESTED)
    answer = {"ids": [ana.pk, ben.pk], "confirm": "1", "test": "1"}
    response = client.post(url, answer, headers=HTMX)
    job = Job.objects.get(kind=JobKind.DIAGNOSE)
    ana.refresh_from_db()
    assert response.headers["HX-Redirect"] == job.get_absolute_url()
    assert (ana.server_profile, ana.incoming, ana.outgoing) == (profile, ana.outgoing, ana.outgoing)
    assert {diagnosis.mailbox_id for diagnosis in job.diagnoses.all()} == {ana.pk, ben.pk}
    assert WorkerState.objects.get(mailbox=ben, direction="incoming").is_enabled


def test_without_the_tick_nothing_is_tested(client: Client, url: str, new_mailbox: NewMailbox) -> None:
    ana = new_mailbox("Ana", **UNSET)
    client.post(url, {"ids": [ana.pk], "confirm": "1"}, headers=HTMX)
    ana.refresh_from_db()
    assert ana.server_profile is not None
    assert not Job.objects.exists()


def test_without_a_default_profile_the_way_to_set_it_is_shown(
    client: Client, url: str, mailbox: Mailbox, profile: ServerProfile, environment: Environment
) -> None:
    ServerProfile.objects.update(is_default=False)
    answer = {"ids": [mailbox.pk], "confirm": "1", "test": "1"}
    page = client.post(url, answer, headers=HTMX).content.decode()
    assert "There are no defaults to apply yet." in page
    assert reverse("profiles:email_settings", args=[environment.slug]) in page
    assert 'name="confirm"' not in page
    assert not Job.objects.exists()


def test_a_forward_mailbox_is_given_no_way_to_send(
    client: Client, url: str, new_mailbox: NewMailbox, profile: ServerProfile
) -> None:
    forward = new_mailbox("Forward", kind="forward", **UNSET)
    client.post(url, {"ids": [forward.pk], "confirm": "1"}, headers=HTMX)
    forward.refresh_from_db()
    assert (forward.server_profile, forward.outgoing) == (profile, "none")


def test_what_was_left_out_is_named_on_the_page_of_the_job(
    client: Client, url: str, new_mailbox: NewMailbox, profile: ServerProfile
) -> None:
    early = new_mailbox("Early", process_email_from=NOW, **UNSET)
    ana = new_mailbox("Ana", **UNSET)
    ServerProfile.objects.filter(pk=profile.pk).update(process_email_from="2027-01-01T00:00Z")
    answer = {"ids": [early.pk, ana.pk], "confirm": "1", "test": "1"}
    page = client.post(url, answer, follow=True).content.decode()
    assert "1 mailbox changed, 1 skipped" in page
    assert "Early (The profile starts at 2027-01-01 00:00 UTC." in page
    assert Job.objects.get().diagnoses.get().mailbox == ana


def test_a_large_selection_is_applied_by_a_job_that_tests_afterwards(
    client: Client,
    url: str,
    new_mailbox: NewMailbox,
    profile: ServerProfile,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(orders, "DIRECTLY", 1)
    ids = [new_mailbox(name, **UNSET).pk for name in ("Ana", "Ben", "Carla")]
    response = client.post(url, {"ids": ids, "confirm": "1", "test": "1"}, headers=HTMX)
    job = Job.objects.get(kind=JobKind.APPLY_DEFAULT)
    assert response.headers["HX-Redirect"] == job.get_absolute_url()
    jobs.run(job.pk)
    assert Mailbox.objects.filter(server_profile=profile).count() == 3
    test = Job.objects.get(kind=JobKind.DIAGNOSE)
    jobs.run(test.pk)
    assert test.diagnoses.count() == 3
    assert test.get_absolute_url() in client.get(job.get_absolute_url()).content.decode()


def test_from_a_mailbox_page_the_dialog_stands_on_it(client: Client, url: str, mailbox: Mailbox) -> None:
    page = client.post(url, {"ids": [mailbox.pk], "from": "mailbox"}).content.decode()
    assert "Apply Default Email Settings" in page
    assert "Configuration Test Results" in page
    response = client.post(url, {"ids": [mailbox.pk], "from": "mailbox", "confirm": "1"})
    assert response.headers["Location"] == mailbox.get_absolute_url()
