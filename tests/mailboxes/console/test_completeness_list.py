"""The page Completeness of an environment: what the last counts prove, gaps first."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from mailboxes.choices import JobKind
from mailboxes.engine import jobs, orders
from mailboxes.models import Job, Mailbox, Reconciliation, WorkerState
from profiles.choices import Role
from profiles.models import Environment, Membership
from tests.mailboxes.console.conftest import NOW, NewMailbox

RECEIVES = {"status": "success", "is_enabled": True}
URL = "/environments/contoso/completeness/"
COUNT = f"{URL}count/"
HTMX = {"HX-Request": "true"}
# Session, person, environment, counts, the page, its rows, and the bell's number.
QUERIES = 7


@pytest.fixture
def counted(new_mailbox: NewMailbox) -> Any:
    """Give a function that makes a mailbox which receives, with its last count."""

    def make(name: str, **count: Any) -> Mailbox:
        mailbox = new_mailbox(name, incoming_state=RECEIVES)
        values = {"due_on": timezone.now() + timedelta(days=1), "counted_on": NOW, **count}
        Reconciliation.objects.filter(mailbox=mailbox).update(**values)
        return mailbox

    return make


def names(client: Client, words: str = "") -> list[str]:
    """Return the names of the rows shown."""
    return [row.mailbox.name for row in client.get(URL + words).context["listing"].rows]


def page(client: Client) -> str:
    """Return the rows, without the head of the page."""
    return str(client.get(URL, headers=HTMX).content.decode())


def test_gaps_come_first_then_what_was_not_counted_then_the_oldest_proof(
    client: Client, counted: Any, new_mailbox: NewMailbox
) -> None:
    counted("Fresh")
    counted("Old", counted_on=NOW - timedelta(days=3))
    counted("Refused", trouble="The server was away.")
    new_mailbox("Never")
    counted("Small gap", missed=1)
    counted("Large gap", missed=9)
    assert names(client) == ["Large gap", "Small gap", "Never", "Refused", "Old", "Fresh"]
    assert names(client, "?size=50&page=9") == names(client)


def test_facets_part_what_is_proved(client: Client, counted: Any, new_mailbox: NewMailbox) -> None:
    counted("Gap", missed=2)
    counted("Whole")
    new_mailbox("Never")
    choices = client.get(URL).context["listing"].facet_choices
    assert [(str(each.title), each.count) for each in choices] == [
        ("All", 3),
        ("With gaps", 1),
        ("Complete", 1),
        ("Not counted", 1),
    ]
    assert names(client, "?facet=complete") == ["Whole"]


def test_a_row_adds_up(client: Client, counted: Any) -> None:
    outcomes = {"stored": 1207, "duplicate": 3, "before_start": 41}
    counted("Ana", on_server=1256, outcomes=outcomes, waiting=2, missed=3)
    text = page(client)
    for shown in ("1,256", "1,207", "Before the start date", "Duplicate of a stored message", "<b>3</b>"):
        assert shown in text


def test_a_row_leads_to_the_tab_of_its_mailbox(client: Client, counted: Any) -> None:
    ana = counted("Ana")
    assert f'href="/environments/contoso/mailboxes/{ana.pk}/completeness/"' in page(client)


@pytest.mark.parametrize(
    ("fields", "state", "why"),
    [
        ({"is_active": False}, RECEIVES, "The mailbox is inactive."),
        ({"incoming": "none"}, {}, "It does not receive email."),
        ({"incoming": "forward_mailbox"}, RECEIVES, "through the forward mailbox"),
        ({}, {"is_enabled": False}, "Incoming email is not enabled."),
        ({}, {"is_enabled": False, "stopped_on": NOW}, "A failure stopped incoming email."),
        ({}, RECEIVES, "The Inbox has not been read yet."),
    ],
)
def test_a_mailbox_that_is_not_counted_says_why(
    client: Client, new_mailbox: NewMailbox, fields: dict[str, Any], state: dict[str, Any], why: str
) -> None:
    new_mailbox("Ana", incoming_state={"last_items": 0, **state}, **fields)
    assert why in page(client)


def test_a_count_that_failed_says_why(client: Client, counted: Any) -> None:
    counted("Ana", counted_on=None, trouble="The server said: come back later.")
    assert "come back later" in page(client)


def test_search_looks_at_names_and_addresses(client: Client, counted: Any) -> None:
    counted("Ana")
    counted("Billing")
    assert names(client, "?q=BILL") == ["Billing"]


def test_mailboxes_can_be_sorted_by_name(client: Client, counted: Any) -> None:
    counted("Ana")
    counted("ben", missed=1)
    counted("Cara")
    assert names(client, "?sort=-name") == ["Cara", "ben", "Ana"]


def test_mailboxes_of_other_environments_stay_out(
    client: Client, elsewhere: Environment, new_mailbox: NewMailbox
) -> None:
    new_mailbox("Stranger", environment=elsewhere, server_profile=None)
    assert names(client) == []


def test_an_owner_sees_only_their_own(environment: Environment, new_mailbox: NewMailbox) -> None:
    owner = User.objects.create_user("olga")
    Membership.objects.create(user=owner, environment=environment, role=Role.MEMBER)
    new_mailbox("Hers", owner=owner)
    new_mailbox("Other")
    browser = Client(SERVER_NAME="localhost")
    browser.force_login(owner)
    assert names(browser) == ["Hers"]


def test_count_now_makes_the_count_and_the_run_of_the_chosen_due(client: Client, counted: Any) -> None:
    ana, ben = counted("Ana"), counted("Ben")
    answer = client.post(COUNT, {"ids": [str(ana.pk)]}, headers=HTMX)
    assert "1 Inbox is counted in a moment" in answer.headers["HX-Trigger"]
    now = timezone.now()
    assert [each.mailbox_id for each in Reconciliation.objects.filter(due_on__lte=now)] == [ana.pk]
    due = WorkerState.objects.filter(due_at__lte=now, direction="incoming")
    assert [each.mailbox_id for each in due] == [ana.pk]
    assert ben.pk
    assert "Being counted" in page(client)


def test_count_now_without_a_choice_asks_for_one(client: Client, counted: Any) -> None:
    assert "Select a mailbox first" in client.post(COUNT, headers=HTMX).headers["HX-Trigger"]


def test_without_script_the_list_comes_back_as_it_was(client: Client, counted: Any) -> None:
    ana = counted("Ana")
    answer = client.post(COUNT, {"ids": [str(ana.pk)], "list": "facet=complete"})
    assert answer.headers["Location"] == f"{URL}?facet=complete"


def test_many_inboxes_are_counted_by_a_job_that_names_those_that_do_not_receive(
    client: Client, counted: Any, new_mailbox: NewMailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orders, "DIRECTLY", 1)
    counted("Ana")
    counted("Ben", missed=1)
    new_mailbox("Never")
    answer = client.post(COUNT, {"all": "1", "list": ""}, headers=HTMX)
    job = Job.objects.get()
    assert (job.kind, answer.headers["HX-Redirect"]) == (JobKind.COUNT, job.get_absolute_url())
    jobs.run(job.pk)
    job.refresh_from_db()
    assert (job.changed, job.failed) == (2, 1)
    assert Reconciliation.objects.filter(due_on__lte=timezone.now()).count() == 2


@pytest.mark.parametrize("number", [1, 50])
def test_the_number_of_queries_does_not_grow_with_the_rows(
    client: Client, counted: Any, django_assert_num_queries: DjangoAssertNumQueries, number: int
) -> None:
    for position in range(number):
        counted(f"Person {position}")
    with django_assert_num_queries(QUERIES):
        response = client.get(f"{URL}?size=50")
    assert len(response.context["listing"].rows) == number
