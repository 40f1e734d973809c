"""The list of mailboxes: views, facets, search, empty states, and a constant number of queries."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from mailboxes.models import Mailbox
from profiles.models import Environment, ServerProfile
from tests.mailboxes.console.conftest import NOW, NewMailbox

WORKING = {"status": "success", "is_enabled": True, "tested_on": NOW}
FAILED = {"status": "failure", "tested_on": NOW}
# Session, person, environment, counts, the page, its rows, the profiles to filter by and the bell's number.
QUERIES = 8


def names(client: Client, url: str) -> list[str]:
    """Return the names of the rows shown at `url`."""
    return [row.name for row in client.get(url).context["listing"].rows]


def test_the_list_opens_with_active_mailboxes(client: Client, list_url: str, new_mailbox: NewMailbox) -> None:
    new_mailbox("Ana")
    new_mailbox("Ben", is_active=False)
    assert names(client, list_url) == ["Ana"]


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        ("inactive", ["Inactive"]),
        ("all", ["Failing", "Inactive", "Mine", "Pending", "Working"]),
        ("my", ["Mine"]),
        ("pending", ["Pending"]),
        ("untested", ["Mine", "Pending"]),
        ("failing", ["Failing"]),
    ],
)
def test_each_view_shows_its_mailboxes(
    client: Client, person: User, list_url: str, new_mailbox: NewMailbox, view: str, expected: list[str]
) -> None:
    new_mailbox("Mine", owner=person)
    new_mailbox("Inactive", is_active=False)
    new_mailbox("Pending", approved=False)
    new_mailbox("Failing", outgoing_state=FAILED)
    new_mailbox("Working", incoming_state=WORKING)
    assert names(client, f"{list_url}?view={view}") == expected


def test_facets_count_within_the_view(client: Client, list_url: str, new_mailbox: NewMailbox) -> None:
    new_mailbox("Working", incoming_state=WORKING, outgoing_state=WORKING)
    new_mailbox("Failing", incoming_state=FAILED, outgoing_state=WORKING)
    new_mailbox("Untried", approved=False)
    new_mailbox("Inactive", is_active=False)
    choices = client.get(list_url).context["listing"].facet_choices
    assert {choice.title: choice.count for choice in choices} == {
        "All": 3,
        "Working": 1,
        "Failing": 1,
        "Not tested": 1,
        "Pending approval": 1,
    }


@pytest.mark.parametrize("state", ["view=failing", "view=failing&q=ana"])
def test_facets_of_a_view_count_what_can_be_in_it(
    client: Client, list_url: str, new_mailbox: NewMailbox, state: str
) -> None:
    new_mailbox("Ana", incoming_state=FAILED, outgoing_state=WORKING, approved=False)
    new_mailbox("Working", incoming_state=WORKING, outgoing_state=WORKING)
    choices = client.get(f"{list_url}?{state}").context["listing"].facet_choices
    assert {choice.title: choice.count for choice in choices} == {
        "All": 1,
        "Working": 0,
        "Failing": 1,
        "Not tested": 0,
        "Pending approval": 1,
    }


def test_a_row_escapes_what_people_typed(client: Client, list_url: str, new_mailbox: NewMailbox) -> None:
    new_mailbox('<b title="x">{0} %s', address="a@contoso.example")
    page = client.get(list_url).content.decode()
    assert page.count("&lt;b title=&quot;x&quot;&gt;{0} %s") == 3  # its name, and the labels of two controls
    assert "<b title" not in page


def test_a_row_offers_approval_only_while_it_waits(
    client: Client, list_url: str, new_mailbox: NewMailbox
) -> None:
    approved, waiting = new_mailbox("Ana"), new_mailbox("Ben", approved=False)
    page = client.get(list_url).content.decode()
    assert f'value="approve:{waiting.pk}"' in page
    assert f'value="approve:{approved.pk}"' not in page


@pytest.mark.parametrize("chosen", ["name.address", "name.owner.approved_by.attempted_by"])
def test_a_row_shows_the_chosen_columns_alone(
    client: Client, list_url: str, new_mailbox: NewMailbox, chosen: str
) -> None:
    new_mailbox("Ana")
    client.post(f"{list_url}columns/", {"columns": chosen.split(".")})
    page = client.get(list_url).content.decode()
    row = page.split('<tbody role="rowgroup">')[1].split("</tbody>")[0]
    assert row.count("<td") == 2 + len(chosen.split("."))
    assert "Contoso IMAP" not in row


def test_two_letters_are_searched_for_everywhere(
    client: Client, list_url: str, new_mailbox: NewMailbox
) -> None:
    new_mailbox("Ana", address="ana@contoso.example")
    new_mailbox("Ben", address="quebec@contoso.example")
    assert names(client, f"{list_url}?q=EB") == ["Ben"]


def test_search_looks_at_names_and_addresses(client: Client, list_url: str, new_mailbox: NewMailbox) -> None:
    new_mailbox("Billing", address="rechnung@contoso.example")
    new_mailbox("Ana")
    assert names(client, f"{list_url}?q=RECHNUNG") == ["Billing"]


@pytest.mark.parametrize("words", ["ärzte", "ÄRZTE", "rzt%C3%A4", "m%C3%BCller"])
def test_a_search_knows_other_letters_than_ascii_in_either_case(
    client: Client, list_url: str, new_mailbox: NewMailbox, words: str
) -> None:
    new_mailbox("Ärzte MÜLLER ÄRZTÄ", address="aerzte@contoso.example")
    new_mailbox("Ana")
    assert names(client, f"{list_url}?q={words}") == ["Ärzte MÜLLER ÄRZTÄ"]


def test_rows_are_sorted_by_the_later_test(client: Client, list_url: str, new_mailbox: NewMailbox) -> None:
    new_mailbox("Half", outgoing_state={"tested_on": NOW.replace(hour=8)})
    new_mailbox("Both", incoming_state={"tested_on": NOW}, outgoing_state={"tested_on": NOW.replace(hour=1)})
    new_mailbox("Never")
    assert names(client, f"{list_url}?sort=-tested") == ["Both", "Half", "Never"]


def test_a_row_tells_both_directions_in_words(client: Client, list_url: str, new_mailbox: NewMailbox) -> None:
    new_mailbox("Ana", incoming_state=FAILED, outgoing="none")
    page = client.get(list_url).content.decode()
    row = page.split('<tbody role="rowgroup">')[1]
    assert "Failure" in row
    assert "Contoso IMAP" in row


def test_an_environment_without_profiles_is_led_to_them(client: Client, elsewhere: Environment) -> None:
    page = client.get("/environments/fabrikam/mailboxes/").content.decode()
    assert "No mailboxes yet" in page
    assert "Go to server profiles" in page


def test_an_empty_list_offers_a_new_mailbox(client: Client, list_url: str, profile: ServerProfile) -> None:
    page = client.get(list_url).content.decode()
    assert "It starts with the environment" in page


def test_a_search_without_match_offers_to_clear_it(
    client: Client, list_url: str, new_mailbox: NewMailbox
) -> None:
    new_mailbox("Ana")
    page = client.get(f"{list_url}?q=kepler").content.decode()
    assert "No mailbox matches “kepler”" in page
    assert "Clear filters" in page


def test_htmx_gets_the_rows_alone(client: Client, list_url: str, new_mailbox: NewMailbox) -> None:
    new_mailbox("Ana")
    page = client.get(list_url, headers={"HX-Request": "true"}).content.decode()
    assert "Ana" in page
    assert "<html" not in page


def test_mailboxes_of_other_environments_stay_out(
    client: Client, list_url: str, elsewhere: Environment, new_mailbox: NewMailbox
) -> None:
    new_mailbox("Stranger", environment=elsewhere, server_profile=None)
    new_mailbox("Ana")
    assert names(client, list_url) == ["Ana"]


def test_an_unknown_environment_is_not_found(client: Client) -> None:
    assert client.get("/environments/nowhere/mailboxes/").status_code == 404


def test_the_list_needs_a_sign_in(list_url: str) -> None:
    response = Client().get(list_url)
    assert response.status_code == 302
    assert response.headers["Location"].startswith("/sign-in/")


@pytest.mark.parametrize("number", [1, 50])
def test_the_number_of_queries_does_not_grow_with_the_rows(
    client: Client,
    list_url: str,
    new_mailbox: NewMailbox,
    django_assert_num_queries: DjangoAssertNumQueries,
    number: int,
) -> None:
    fill(new_mailbox, number=number)
    with django_assert_num_queries(QUERIES):
        response = client.get(f"{list_url}?size=50")
    assert len(response.context["listing"].rows) == number


def fill(new_mailbox: Callable[..., Mailbox], *, number: int) -> None:
    """Make `number` mailboxes."""
    for position in range(number):
        new_mailbox(f"Person {position}")
