"""Change Multiple Records: only what was touched changes, each row is judged, and everything is said."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from mailboxes.choices import JobKind, ResultStatus
from mailboxes.engine import changing, jobs, orders
from mailboxes.engine.changing import Change
from mailboxes.models import Job, Mailbox, WorkerState
from mailboxes.services import changing as service
from profiles.choices import IncomingMethod, OutgoingMethod, Role
from profiles.models import Environment, Membership, ServerProfile
from tests.mailboxes.console.conftest import NOW, NewMailbox

HTMX = {"HX-Request": "true"}
SERVER_SIDE = "server_side_synchronization"
TESTED = {"status": ResultStatus.SUCCESS, "is_enabled": True, "tested_on": NOW, "due_at": NOW}


@pytest.fixture
def url(environment: Environment) -> str:
    """Give the address of the dialog."""
    return reverse("mailboxes:mailbox_change_many", args=[environment.slug])


@pytest.fixture
def imap(environment: Environment) -> ServerProfile:
    """Give a profile that no mailbox has yet."""
    return ServerProfile.objects.create(
        environment=environment,
        name="Fabrikam IMAP",
        incoming_location="imap.fabrikam.example",
        outgoing_location="smtp.fabrikam.example",
        process_email_from=datetime(2026, 11, 1, tzinfo=UTC),
    )


def everything(mailbox: Mailbox) -> dict[str, Any]:
    """Return all stored columns of a mailbox but those that say that it was saved."""
    row = Mailbox.objects.filter(pk=mailbox.pk).values().get()
    return {
        name: value for name, value in row.items() if name not in {"version", "modified_on", "modified_by_id"}
    }


def test_the_path_of_the_founding_document_works_to_the_letter(
    client: Client,
    commands_url: str,
    new_mailbox: NewMailbox,
    imap: ServerProfile,
    person: User,
) -> None:
    none = {"server_profile": None, "incoming": "none", "outgoing": "none"}
    ids = [str(new_mailbox(name, **none).pk) for name in ("Ana", "Ben", "Carla")]
    data = {"action": "edit", "ids": ids}
    page = client.post(commands_url, data, headers=HTMX, follow=True).content.decode()
    assert "Change Multiple Records" in page
    assert "Synchronization Method" in page
    url = page.partition('hx-post="')[2].partition('"')[0]
    answer = {
        "ids": ids,
        "server_profile": str(imap.pk),
        "incoming": SERVER_SIDE,
        "outgoing": SERVER_SIDE,
        "act": "none",
        "confirm": "1",
    }
    response = client.post(url, answer, headers=HTMX)
    assert json.loads(response.headers["HX-Trigger"])["toast"]["title"] == "3 mailboxes changed"
    changed = Mailbox.objects.filter(
        pk__in=ids, server_profile=imap, incoming=SERVER_SIDE, outgoing=SERVER_SIDE, act="none"
    )
    assert changed.filter(version=2, modified_by=person).count() == 3


def test_what_stays_at_no_change_stays(client: Client, url: str, mailbox: Mailbox) -> None:
    before = everything(mailbox)
    client.post(url, {"ids": [mailbox.pk], "outgoing": "none", "confirm": "1"}, headers=HTMX)
    assert everything(mailbox) == before | {"outgoing": "none"}


def test_clearing_is_asked_for_by_name(
    client: Client, url: str, new_mailbox: NewMailbox, person: User
) -> None:
    mailbox = new_mailbox("Ana", owner=person, process_email_from=NOW)
    answer = {
        "ids": [mailbox.pk],
        "server_profile": "clear",
        "owner": "clear",
        "clear_process_email_from": "on",
        "confirm": "1",
    }
    client.post(url, answer, headers=HTMX)
    mailbox.refresh_from_db()
    assert (mailbox.server_profile, mailbox.owner, mailbox.process_email_from) == (None, None, None)


def test_a_form_that_changes_nothing_is_refused(client: Client, url: str, mailbox: Mailbox) -> None:
    response = client.post(url, {"ids": [mailbox.pk], "confirm": "1"}, headers=HTMX)
    assert response.status_code == 422
    assert "Nothing is chosen yet" in response.content.decode()


def test_a_date_that_is_also_to_be_cleared_is_refused(client: Client, url: str, mailbox: Mailbox) -> None:
    answer = {"process_email_from": "2026-11-20T08:00", "clear_process_email_from": "on", "confirm": "1"}
    response = client.post(url, {"ids": [mailbox.pk], **answer}, headers=HTMX)
    assert response.status_code == 422
    assert "Enter a date or tick Clear, not both." in response.content.decode()


def test_each_row_is_judged_and_those_left_out_are_named(
    client: Client, url: str, new_mailbox: NewMailbox
) -> None:
    support = new_mailbox("Support", kind="queue")
    ana = new_mailbox("Ana")
    answer = {"ids": [support.pk, ana.pk], "delete_after_processing": "yes", "confirm": "1"}
    response = client.post(url, answer, headers=HTMX)
    page = response.content.decode()
    support.refresh_from_db()
    ana.refresh_from_db()
    assert (support.delete_after_processing, ana.delete_after_processing) == (True, False)
    assert (support.version, ana.version) == (2, 1)
    assert "1 mailbox changed, 1 skipped" in page
    assert ana.get_absolute_url() in page
    assert "Email of a user&#x27;s mailbox stays on the server." in page
    assert response.headers["HX-Trigger"] == "records:changed"


def test_only_changed_connections_lose_their_test_results(
    new_mailbox: NewMailbox, imap: ServerProfile, person: User
) -> None:
    moved = new_mailbox("Ana", incoming_state=TESTED)
    stays = new_mailbox("Ben", server_profile=imap, incoming_state=TESTED)
    outcome = changing.apply([moved.pk, stays.pk], Change({"server_profile_id": imap.pk}), by=person, now=NOW)
    lost, kept = (WorkerState.objects.get(mailbox=each, direction="incoming") for each in (moved, stays))
    assert (outcome.changed, outcome.unchanged, outcome.reset) == (1, 1, 1)
    assert (lost.status, lost.is_enabled, lost.fence) == (ResultStatus.NOT_RUN, False, 1)
    assert (kept.status, kept.is_enabled, kept.fence) == (ResultStatus.SUCCESS, True, 0)
    stays.refresh_from_db()
    assert stays.version == 1


def test_a_new_owner_leaves_test_results_alone(new_mailbox: NewMailbox, person: User) -> None:
    mailbox = new_mailbox("Ana", incoming_state=TESTED)
    changing.apply([mailbox.pk], Change({"owner_id": person.pk}), by=person, now=NOW)
    assert WorkerState.objects.get(mailbox=mailbox, direction="incoming").is_enabled


def test_the_summary_says_what_changes_on_how_many(
    client: Client, url: str, new_mailbox: NewMailbox, imap: ServerProfile
) -> None:
    ids = [new_mailbox("Ana", incoming_state=TESTED).pk, new_mailbox("Ben").pk]
    ids += [new_mailbox("Carla", server_profile=imap).pk]
    ids += [new_mailbox("Old", process_email_from=datetime(2026, 10, 1, tzinfo=UTC)).pk]
    answer = {"ids": ids, "server_profile": str(imap.pk), "summary": "1"}
    page = client.post(url, answer, headers=HTMX).content.decode()
    assert "Changes 2 of 4 mailboxes." in page
    assert "Server Profile becomes Fabrikam IMAP on 2 of 4. 1 has it already." in page
    assert "Test results of 1 mailbox are reset to Not Run." in page
    assert "1 will be skipped." in page
    assert "Old: The profile starts at 2026-11-01 00:00 UTC." in page
    assert "<dialog" not in page


def test_without_script_the_summary_is_reviewed_in_the_dialog(
    client: Client, url: str, mailbox: Mailbox
) -> None:
    page = client.post(url, {"ids": [mailbox.pk], "outgoing": "none", "review": "1"}).content.decode()
    assert "<html" in page
    assert "Outgoing Email becomes None on 1 of 1." in page
    assert Mailbox.objects.get(pk=mailbox.pk).outgoing == OutgoingMethod.SERVER_SIDE


def test_a_summary_of_any_size_takes_the_same_few_queries(
    new_mailbox: NewMailbox, imap: ServerProfile, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(12):
        new_mailbox(f"Person {number}", kind="queue" if number % 2 else "user")
    change = Change({"delete_after_processing": True, "server_profile_id": imap.pk})
    with django_assert_num_queries(3):  # the kinds, the profiles, the names left out
        looked = changing.preview(Mailbox.objects.all(), change)
    assert (looked.total, looked.changed, looked.skipped) == (12, 6, 6)


def test_a_batch_of_any_size_takes_the_same_few_statements(
    new_mailbox: NewMailbox, imap: ServerProfile, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    pks = [new_mailbox(f"Person {number}").pk for number in range(30)]
    # The savepoint twice; the lock, the rows, the profiles, the change, the test results; and what is told of
    # mailboxes that waited: a savepoint twice, the alerts, their resolution.
    with django_assert_num_queries(11):
        outcome = changing.apply(pks, Change({"server_profile_id": imap.pk}), by=None, now=NOW)
    assert outcome.changed == 30


def test_default_settings_spare_a_forward_mailbox_the_sending(
    new_mailbox: NewMailbox, imap: ServerProfile
) -> None:
    forward = new_mailbox("Forward", kind="forward", outgoing="none", server_profile=None)
    user = new_mailbox("Ana", outgoing="none", server_profile=None)
    values = {"server_profile_id": imap.pk, "outgoing": OutgoingMethod.SERVER_SIDE}
    outcome = changing.apply([forward.pk, user.pk], Change(values, spares_forward=True), by=None, now=NOW)
    assert (outcome.changed, outcome.skipped) == (2, ())
    forward.refresh_from_db()
    user.refresh_from_db()
    assert (forward.outgoing, user.outgoing) == (OutgoingMethod.NONE, OutgoingMethod.SERVER_SIDE)


def test_a_profile_deleted_meanwhile_changes_nothing(new_mailbox: NewMailbox, imap: ServerProfile) -> None:
    mailbox = new_mailbox("Ana")
    change = Change({"server_profile_id": imap.pk})
    imap.delete()
    (skipped,) = changing.apply([mailbox.pk], change, by=None, now=NOW).skipped
    assert skipped.reason == "The server profile was deleted meanwhile."


def test_mailboxes_elsewhere_are_out_of_reach(
    client: Client, url: str, mailbox: Mailbox, new_mailbox: NewMailbox, elsewhere: Environment
) -> None:
    stranger = new_mailbox("Stranger", environment=elsewhere, server_profile=None)
    answer = {"ids": [stranger.pk, mailbox.pk], "incoming": "none", "confirm": "1"}
    client.post(url, answer, headers=HTMX)
    stranger.refresh_from_db()
    assert stranger.incoming == IncomingMethod.SERVER_SIDE


def test_who_may_only_read_mailboxes_may_not_change_them(
    environment: Environment, url: str, mailbox: Mailbox
) -> None:
    auditor = User.objects.create_user("ada")
    Membership.objects.create(user=auditor, environment=environment, role=Role.AUDITOR)
    browser = Client(SERVER_NAME="localhost")
    browser.force_login(auditor)
    answer = {"ids": [mailbox.pk], "incoming": "none", "confirm": "1"}
    assert browser.post(url, answer, headers=HTMX).status_code == 403
    change = Change({"incoming": "none"})
    with pytest.raises(PermissionDenied):
        service.change_many(Mailbox.objects.all(), change, environment=environment, by=auditor, now=NOW)


def test_a_large_selection_is_changed_by_a_job_that_names_what_it_left_out(
    client: Client,
    url: str,
    new_mailbox: NewMailbox,
    person: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(orders, "DIRECTLY", 1)
    support, ana = new_mailbox("Support", kind="queue"), new_mailbox("Ana")
    answer = {"delete_after_processing": "yes", "process_email_from": "2026-11-20T08:00", "confirm": "1"}
    response = client.post(url, {"ids": [support.pk, ana.pk], **answer}, headers=HTMX)
    job = Job.objects.get(kind=JobKind.CHANGE)
    assert response.headers["HX-Redirect"] == job.get_absolute_url()
    jobs.run(job.pk)
    support.refresh_from_db()
    job.refresh_from_db()
    assert support.delete_after_processing
    assert support.process_email_from == datetime(2026, 11, 20, 8, tzinfo=UTC)
    assert support.modified_by == person
    assert (job.changed, job.failed) == (1, 1)
    assert job.remarks.get().mailbox == ana
