"""What a command is for: the ticked rows, or all that match the list, looked up again on the server."""

import json
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.test import Client

from mailboxes.models import Mailbox
from profiles.models import Environment, Membership
from tests.mailboxes.console.conftest import NewMailbox

HTMX = {"HX-Request": "true"}


@pytest.fixture
def people(new_mailbox: NewMailbox) -> None:
    """Make thirty people, of whom three wait for approval, and an inactive one."""
    for number in range(30):
        new_mailbox(f"Person {number:02}", approved=number >= 3)
    new_mailbox("Gone", approved=False, is_active=False)


def test_a_page_of_many_offers_all_that_match(client: Client, list_url: str, people: None) -> None:
    page = client.get(list_url).content.decode()
    assert "Select all 30 that match" in page


def test_a_list_on_one_page_offers_no_more(client: Client, list_url: str, mailbox: Mailbox) -> None:
    assert "that match" not in client.get(list_url).content.decode()


def test_choosing_all_ticks_the_page_and_sends_no_ids(client: Client, list_url: str, people: None) -> None:
    page = client.get(f"{list_url}?q=person&all=1").content.decode()
    assert page.count("checked disabled") == 25
    assert '<input type="hidden" name="all" value="1" data-total="30">' in page
    assert '<input type="hidden" form="grid" name="list" value="q=person">' in page


def test_the_question_counts_all_that_match_and_repeats_the_state(
    client: Client, commands_url: str, people: None
) -> None:
    data = {"action": "approve", "all": "1", "list": urlencode({"view": "pending", "q": "person"})}
    page = client.post(commands_url, data, headers=HTMX).content.decode()
    assert "Approve 3 email addresses?" in page
    assert '<input type="hidden" name="list" value="view=pending&amp;q=person">' in page
    assert 'name="ids"' not in page


def test_the_command_reaches_all_pages_and_nothing_else(
    client: Client, commands_url: str, people: None
) -> None:
    data = {"action": "deactivate", "all": "1", "list": "q=person", "confirm": "1"}
    said = json.loads(client.post(commands_url, data, headers=HTMX).headers["HX-Trigger"])["toast"]
    assert said["title"] == "30 mailboxes deactivated"
    assert not Mailbox.objects.filter(is_active=True).exists()


def test_a_rows_own_command_is_for_that_row_even_when_all_are_chosen(
    client: Client, commands_url: str, people: None
) -> None:
    own = Mailbox.objects.get(name="Person 01")
    page = client.post(commands_url, {"action": f"approve:{own.pk}", "all": "1"}, headers=HTMX)
    assert "Approve 1 email address?" in page.content.decode()


def test_a_member_chooses_all_of_their_own_mailboxes_alone(
    client: Client, commands_url: str, environment: Environment, people: None
) -> None:
    member = User.objects.create_user("mia")
    Membership.objects.create(user=member, environment=environment, role="member")
    Mailbox.objects.filter(name="Person 07").update(owner=member)
    client.force_login(member)
    page = client.post(
        commands_url, {"action": "diagnose", "all": "1"}, headers=HTMX, follow=True
    ).content.decode()
    assert "Test Person 07?" in page


def test_a_command_that_one_may_not_give_is_refused(
    client: Client, commands_url: str, environment: Environment, people: None
) -> None:
    member = User.objects.create_user("mia")
    Membership.objects.create(user=member, environment=environment, role="auditor")
    client.force_login(member)
    data = {"action": "approve", "all": "1", "confirm": "1"}
    assert client.post(commands_url, data).status_code == 403
