"""One search over mailboxes, server profiles and environments."""

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from mailboxes.models import Mailbox
from profiles.models import Environment, ServerProfile
from tests.mailboxes.console.conftest import NewMailbox


def titles(client: Client, query: str) -> list[str]:
    """Return the kinds of what was found."""
    return [group.title for group in client.get(reverse("search"), {"q": query}).context["groups"]]


def test_a_word_is_looked_for_in_everything(client: Client, mailbox: Mailbox) -> None:
    assert titles(client, "contoso") == ["Mailboxes", "Server profiles", "Environments"]


def test_a_mailbox_is_found_by_its_address(client: Client, mailbox: Mailbox) -> None:
    page = client.get(reverse("search"), {"q": "support@"}).content.decode()
    assert mailbox.get_absolute_url() in page


def test_a_profile_is_found_by_its_location(client: Client, profile: ServerProfile) -> None:
    assert titles(client, "smtp.contoso") == ["Server profiles"]


def test_every_word_must_match(client: Client, mailbox: Mailbox) -> None:
    assert titles(client, "support fabrikam") == []


def test_nothing_found_says_so(client: Client, mailbox: Mailbox) -> None:
    page = client.get(reverse("search"), {"q": "<zzz>"}).content.decode()
    assert "Nothing matches “&lt;zzz&gt;”" in page


@pytest.mark.parametrize("query", ["", "   ", "\x00"])
def test_an_empty_search_finds_nothing(client: Client, mailbox: Mailbox, query: str) -> None:
    assert titles(client, query) == []


def test_many_results_are_cut_and_say_so(client: Client, new_mailbox: NewMailbox) -> None:
    fill(new_mailbox, number=21)
    page = client.get(reverse("search"), {"q": "person"}).content.decode()
    assert "More than 20 results" in page


@pytest.mark.parametrize("number", [1, 20])
def test_the_number_of_queries_does_not_grow_with_the_results(
    client: Client,
    environment: Environment,
    new_mailbox: NewMailbox,
    django_assert_num_queries: DjangoAssertNumQueries,
    number: int,
) -> None:
    fill(new_mailbox, number=number)
    with django_assert_num_queries(6):
        client.get(reverse("search"), {"q": "person"})


def fill(new_mailbox: NewMailbox, *, number: int) -> None:
    """Make `number` mailboxes."""
    for position in range(number):
        new_mailbox(f"Person {position}")
