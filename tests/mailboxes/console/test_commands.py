"""Commands on selected mailboxes: what is asked, what is done, what is refused."""

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from mailboxes.choices import AddressStatus
from mailboxes.models import Job, Mailbox
from mailboxes.services import editing
from profiles.models import Environment, ServerProfile
from tests.mailboxes.console.conftest import NewMailbox

HTMX = {"HX-Request": "true"}


def toast(response: Any) -> dict[str, Any]:
    """Return what the console says by htmx."""
    said: dict[str, Any] = json.loads(response.headers["HX-Trigger"])["toast"]
    return said


def test_approving_asks_first_and_counts_the_addresses(
    client: Client, commands_url: str, new_mailbox: NewMailbox
) -> None:
    ids = [new_mailbox(name, approved=False).pk for name in ("Ana", "Ben")]
    page = client.post(commands_url, {"action": "approve", "ids": ids}, headers=HTMX).content.decode()
    assert "Approve 2 email addresses?" in page
    assert "ana@contoso.example" in page
    assert Mailbox.objects.filter(address_status=AddressStatus.PENDING).count() == 2


def test_a_confirmed_approval_stamps_who_and_when(
    client: Client, person: User, commands_url: str, new_mailbox: NewMailbox
) -> None:
    mailbox = new_mailbox("Ana", approved=False)
    data = {"action": "approve", "ids": [mailbox.pk], "confirm": "1"}
    response = client.post(commands_url, data, headers=HTMX)
    mailbox.refresh_from_db()
    assert mailbox.address_status == AddressStatus.APPROVED
    assert mailbox.approved_by == person
    assert mailbox.approved_on is not None
    assert toast(response)["title"] == "1 email address approved"


def test_an_address_that_was_changed_after_the_question_is_not_approved(
    client: Client, person: User, commands_url: str, new_mailbox: NewMailbox
) -> None:
    mailbox = new_mailbox("Ana", approved=False)
    data = {"action": "approve", "ids": [mailbox.pk]}
    seen = client.post(commands_url, data, headers=HTMX).context["seen"]
    mailbox.address = "director@contoso.example"
    editing.update(mailbox, by=person)
    response = client.post(commands_url, {**data, "seen": seen, "confirm": "1"}, headers=HTMX)
    mailbox.refresh_from_db()
    assert mailbox.address_status == AddressStatus.PENDING
    assert toast(response)["title"] == "Nothing was approved"


def test_an_address_that_was_not_changed_after_the_question_is_approved(
    client: Client, commands_url: str, new_mailbox: NewMailbox
) -> None:
    data = {"action": "approve", "ids": [new_mailbox("Ana", approved=False).pk]}
    page = client.post(commands_url, data, headers=HTMX)
    assert f'name="seen" value="{page.context["seen"]}"' in page.content.decode()
    client.post(commands_url, {**data, "seen": page.context["seen"], "confirm": "1"}, headers=HTMX)
    assert Mailbox.objects.get().address_status == AddressStatus.APPROVED


def test_approving_twice_says_that_nothing_changed(
    client: Client, commands_url: str, mailbox: Mailbox
) -> None:
    data = {"action": "approve", "ids": [mailbox.pk], "confirm": "1"}
    response = client.post(commands_url, data, headers=HTMX)
    assert toast(response)["title"] == "Nothing to approve: 1 email address is already approved"


def test_the_count_names_what_needed_no_change(
    client: Client, commands_url: str, mailbox: Mailbox, new_mailbox: NewMailbox
) -> None:
    data = {"action": "approve", "ids": [mailbox.pk, new_mailbox("Ana", approved=False).pk], "confirm": "1"}
    response = client.post(commands_url, data, headers=HTMX)
    assert toast(response)["title"] == "1 email address approved"
    assert "1 email address needed no change." in toast(response)["text"]


def test_rejecting_clears_the_stamp(client: Client, commands_url: str, mailbox: Mailbox) -> None:
    client.post(commands_url, {"action": "reject", "ids": [mailbox.pk], "confirm": "1"})
    mailbox.refresh_from_db()
    assert mailbox.address_status == AddressStatus.REJECTED
    assert mailbox.approved_on is None


def test_without_script_the_question_stands_on_the_list(
    client: Client, commands_url: str, mailbox: Mailbox
) -> None:
    page = client.post(commands_url, {"action": "reject", "ids": [mailbox.pk]}).content.decode()
    assert "<html" in page
    assert "Reject 1 email address?" in page
    assert "data-modal open" in page


def test_without_script_an_answer_returns_to_the_list_as_it_was(
    client: Client, commands_url: str, list_url: str, mailbox: Mailbox
) -> None:
    data = {"action": "reject", "ids": [mailbox.pk], "list": "view=all&q=sup", "confirm": "1"}
    response = client.post(commands_url, data)
    assert response.status_code == 302
    assert response.headers["Location"] == f"{list_url}?view=all&q=sup"
    assert "1 email address rejected" in client.get(response.headers["Location"]).content.decode()


def test_a_command_from_a_mailbox_page_returns_to_it(
    client: Client, commands_url: str, mailbox: Mailbox
) -> None:
    data = {"action": "deactivate", "ids": [mailbox.pk], "confirm": "1", "from": "mailbox"}
    response = client.post(commands_url, data)
    assert response.headers["Location"] == mailbox.get_absolute_url()


def test_a_question_from_a_mailbox_page_stands_on_that_page(
    client: Client, commands_url: str, mailbox: Mailbox
) -> None:
    data = {"action": "deactivate", "ids": [mailbox.pk], "from": "mailbox"}
    page = client.post(commands_url, data).content.decode()
    assert "Deactivate 1 mailbox?" in page
    assert "Configuration Test Results" in page


def test_approving_says_how_many_addresses_are_approved_already(
    client: Client, commands_url: str, mailbox: Mailbox, new_mailbox: NewMailbox
) -> None:
    ids = [mailbox.pk, new_mailbox("Ana", approved=False).pk]
    page = client.post(commands_url, {"action": "approve", "ids": ids}, headers=HTMX).content.decode()
    assert "Approve 2 email addresses?" in page
    assert "1 is so already and stays as it is." in page
    page = client.post(commands_url, {"action": "approve", "ids": ids[1:]}, headers=HTMX).content.decode()
    assert "already" not in page


def test_testing_starts_a_job_and_goes_to_its_page(
    client: Client, person: User, commands_url: str, new_mailbox: NewMailbox
) -> None:
    ids = [new_mailbox(name).pk for name in ("Ana", "Ben")]
    response = client.post(
        commands_url, {"action": "diagnose", "ids": ids, "confirm": "1"}, headers=HTMX, follow=True
    )
    job = Job.objects.get()
    assert response.headers["HX-Redirect"] == job.get_absolute_url()
    assert job.created_by == person
    assert job.diagnoses.count() == 2


def test_testing_warns_of_addresses_that_wait_for_approval(
    client: Client, commands_url: str, mailbox: Mailbox, new_mailbox: NewMailbox
) -> None:
    ids = [mailbox.pk, new_mailbox("Ana", approved=False).pk]
    page = client.post(
        commands_url, {"action": "diagnose", "ids": ids}, headers=HTMX, follow=True
    ).content.decode()
    assert "Test 2 mailboxes?" in page
    assert "1 address is not approved. Approve it first." in page


@pytest.mark.parametrize(
    ("way", "told"),
    [
        ({}, 1),
        ({"authentication_type": "credentials_in_profile"}, 0),
        (
            {"authentication_type": "credentials_in_profile", "use_same_settings_for_outgoing": False},
            1,
        ),
    ],
)
def test_testing_warns_of_mailboxes_without_the_credentials_that_their_profile_needs(
    client: Client,
    commands_url: str,
    mailbox: Mailbox,
    new_mailbox: NewMailbox,
    way: dict[str, Any],
    told: int,
) -> None:
    ServerProfile.objects.update(**way)
    Mailbox.objects.filter(pk=mailbox.pk).update(allow_credentials=True)
    ids = [mailbox.pk, new_mailbox("Ana").pk]
    page = client.post(
        commands_url, {"action": "diagnose", "ids": ids}, headers=HTMX, follow=True
    ).content.decode()
    assert page.count("1 has no credentials that may be used. Enter them in the mailbox.") == told


def test_a_long_selection_names_some_and_counts_the_rest(
    client: Client, commands_url: str, new_mailbox: NewMailbox
) -> None:
    ids = [new_mailbox(f"Person {number}").pk for number in range(11)]
    page = client.post(
        commands_url, {"action": "diagnose", "ids": ids}, headers=HTMX, follow=True
    ).content.decode()
    assert "and 6 more" in page
    assert page.count('name="ids"') == 11


def test_deactivating_and_activating_need_one_command_each(
    client: Client, commands_url: str, mailbox: Mailbox
) -> None:
    client.post(commands_url, {"action": "deactivate", "ids": [mailbox.pk], "confirm": "1"})
    mailbox.refresh_from_db()
    assert not mailbox.is_active
    client.post(commands_url, {"action": "activate", "ids": [mailbox.pk]})
    mailbox.refresh_from_db()
    assert mailbox.is_active


def test_a_rows_own_menu_reaches_that_row_alone(
    client: Client, commands_url: str, mailbox: Mailbox, new_mailbox: NewMailbox
) -> None:
    ticked = new_mailbox("Ana", approved=False)
    own = new_mailbox("Ben", approved=False)
    data = {"action": f"approve:{own.pk}", "ids": [ticked.pk]}
    page = client.post(commands_url, data, headers=HTMX).content.decode()
    assert "Approve 1 email address?" in page
    assert str(own.pk) in page
    assert str(ticked.pk) not in page


def test_editing_one_opens_its_page(client: Client, commands_url: str, mailbox: Mailbox) -> None:
    response = client.post(commands_url, {"action": "edit", "ids": [mailbox.pk]}, headers=HTMX)
    assert response.headers["HX-Redirect"] == mailbox.get_absolute_url()


def test_editing_several_opens_change_multiple_records(
    client: Client, commands_url: str, mailbox: Mailbox, new_mailbox: NewMailbox
) -> None:
    data = {"action": "edit", "ids": [mailbox.pk, new_mailbox("Ana").pk]}
    page = client.post(commands_url, data, headers=HTMX, follow=True).content.decode()
    assert "Change Multiple Records" in page


def test_mailboxes_of_another_environment_are_not_reached(
    client: Client, commands_url: str, elsewhere: Environment, new_mailbox: NewMailbox
) -> None:
    stranger = new_mailbox("Stranger", environment=elsewhere, server_profile=None, approved=False)
    data = {"action": "approve", "ids": [stranger.pk], "confirm": "1"}
    response = client.post(commands_url, data, headers=HTMX)
    stranger.refresh_from_db()
    assert stranger.address_status == AddressStatus.PENDING
    assert toast(response)["title"] == "These mailboxes are gone"


def test_an_empty_selection_is_told(client: Client, commands_url: str, mailbox: Mailbox) -> None:
    response = client.post(commands_url, {"action": "approve"}, headers=HTMX)
    assert toast(response)["title"] == "Select a mailbox first"


@pytest.mark.parametrize("forged", ["", "1", "no-uuid", "864bf746-0e71-499c-aa11-962c07ebf03b", "\x00"])
def test_an_id_that_names_nothing_changes_nothing(
    client: Client, commands_url: str, mailbox: Mailbox, forged: str
) -> None:
    response = client.post(commands_url, {"action": "reject", "ids": [forged], "confirm": "1"}, headers=HTMX)
    mailbox.refresh_from_db()
    assert toast(response)["intent"] == "error"
    assert mailbox.address_status == AddressStatus.APPROVED


def test_an_unknown_command_is_not_found(client: Client, commands_url: str, mailbox: Mailbox) -> None:
    assert client.post(commands_url, {"action": "explode", "ids": [mailbox.pk]}).status_code == 404


def test_a_link_gives_no_command_and_leads_back_to_the_list(
    client: Client, commands_url: str, list_url: str, mailbox: Mailbox
) -> None:
    assert client.get(commands_url).headers["Location"] == list_url


def test_what_was_deactivated_is_activated_again_by_undo(
    client: Client, commands_url: str, mailbox: Mailbox, new_mailbox: NewMailbox
) -> None:
    off_before = new_mailbox("Off", is_active=False)
    data = {"action": "deactivate", "all": "1", "confirm": "1"}
    undo = toast(client.post(commands_url, data, headers=HTMX))["undo"]
    client.post(undo["url"], undo["fields"], headers=HTMX)
    mailbox.refresh_from_db()
    off_before.refresh_from_db()
    assert (mailbox.is_active, off_before.is_active) == (True, False)


def test_undo_leaves_alone_what_somebody_changed_since(
    client: Client, commands_url: str, new_mailbox: NewMailbox
) -> None:
    ana = new_mailbox("Ana", approved=False)
    data = {"action": "approve", "ids": [ana.pk], "confirm": "1"}
    undo = toast(client.post(commands_url, data, headers=HTMX))["undo"]
    ana.refresh_from_db()
    ana.save()
    client.post(undo["url"], undo["fields"], headers=HTMX)
    ana.refresh_from_db()
    assert ana.address_status == AddressStatus.APPROVED


def test_an_approval_taken_back_waits_for_a_decision_again(
    client: Client, commands_url: str, new_mailbox: NewMailbox
) -> None:
    ana = new_mailbox("Ana", approved=False)
    data = {"action": "approve", "ids": [ana.pk], "confirm": "1"}
    undo = toast(client.post(commands_url, data, headers=HTMX))["undo"]
    client.post(undo["url"], undo["fields"], headers=HTMX)
    ana.refresh_from_db()
    assert (ana.address_status, ana.approved_on) == (AddressStatus.PENDING, None)
