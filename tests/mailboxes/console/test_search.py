"""One search over mailboxes, server profiles and environments."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from mailboxes.models import Mailbox
from profiles.choices import Role
from profiles.models import Environment, Membership, ServerProfile
from tests.mailboxes.console.conftest import NewMailbox


def titles(client: Client, query: str) -> list[str]:
    """Return the kinds of what was found."""
    return [group.title for group in client.get(reverse("search"), {"q": query}).context["groups"]]


def test_a_word_is_looked_for_in_everything(client: Client, mailbox: Mailbox) -> None:
    assert titles(client, "contoso") == ["Mailboxes", "Server profiles", "Environments"]


def test_a_setting_is_found_by_its_label_and_leads_to_its_row(
    client: Client, environment: Environment
) -> None:
    page = client.get(reverse("search"), {"q": "secure frames"}).content.decode()
    assert f"/environments/{environment.slug}/email-settings/#id_use_secure_frames" in page


def test_settings_are_found_only_by_those_who_may_read_them(environment: Environment) -> None:
    member = User.objects.create_user("mia")
    Membership.objects.create(environment=environment, user=member, role=Role.MEMBER)
    browser = Client()
    browser.force_login(member)
    assert titles(browser, "secure frames") == []
    assert titles(browser, "contoso") == ["Environments"]


def test_nobody_finds_anything_of_an_environment_they_do_not_belong_to(
    mailbox: Mailbox, environment: Environment
) -> None:
    browser = Client()
    browser.force_login(User.objects.create_user("stranger"))
    assert titles(browser, "contoso") == []


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
    fill(new_mailbox, number=7)
    page = client.get(reverse("search"), {"q": "person"}).content.decode()
    assert "More than 7 results" in page  # one is a setting about personal numbers
    assert "/search/?q=person&amp;kind=mailboxes" in page


def test_all_of_one_kind_are_shown_page_by_page(client: Client, new_mailbox: NewMailbox) -> None:
    fill(new_mailbox, number=51)
    first = client.get(reverse("search"), {"q": "person", "kind": "mailboxes"})
    assert len(first.context["groups"][0].hits) == 50
    second = client.get(first.context["next_url"])
    assert (len(second.context["groups"][0].hits), second.context["next_url"]) == (1, "")


@pytest.mark.parametrize("number", [1, 20])
def test_the_number_of_queries_does_not_grow_with_the_results(
    client: Client,
    environment: Environment,
    new_mailbox: NewMailbox,
    django_assert_num_queries: DjangoAssertNumQueries,
    number: int,
) -> None:
    fill(new_mailbox, number=number)
    with django_assert_num_queries(7):
        client.get(reverse("search"), {"q": "person"})


def fill(new_mailbox: NewMailbox, *, number: int) -> None:
    """Make `number` mailboxes."""
    for position in range(number):
        new_mailbox(f"Person {position}")
