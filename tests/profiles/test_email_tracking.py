import re

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from profiles.choices import Role
from profiles.models import EmailSettings, Environment, Membership, ServerProfile
from tests.profiles.conftest import HTMX, NewProfile

TYPED = {
    "version": "1",
    "use_correlation": "on",
    "tracking_prefix": "ACME",
    "tracking_base_number": "7",
    "tracking_user_digits": "4",
    "tracking_message_digits": "2",
}


def url(environment: Environment) -> str:
    return reverse("profiles:email_tracking", args=[environment.slug])


def preview_url(environment: Environment) -> str:
    return reverse("profiles:email_tracking_preview", args=[environment.slug])


def test_the_page_shows_the_token_that_is_in_force(client: Client, environment: Environment) -> None:
    assert "CRM:0001001" in client.get(url(environment)).content.decode()


def test_the_preview_follows_what_is_typed_and_saves_nothing(
    client: Client, environment: Environment, settings_row: EmailSettings
) -> None:
    assert "ACME:7000101" in client.post(preview_url(environment), TYPED, headers=HTMX).content.decode()
    settings_row.refresh_from_db()
    assert settings_row.tracking_prefix == "CRM"


def test_the_preview_of_something_wrong_says_so(client: Client, environment: Environment) -> None:
    wrong = {**TYPED, "tracking_prefix": "A B"}
    assert "Correct the fields above" in client.post(preview_url(environment), wrong).content.decode()


def test_tracking_is_saved_and_the_default_profile_stays(
    client: Client, environment: Environment, settings_row: EmailSettings, new_profile: NewProfile
) -> None:
    new_profile("Main", is_default=True)
    client.post(url(environment), TYPED)
    settings_row.refresh_from_db()
    assert (settings_row.tracking_prefix, settings_row.use_tracking_token) == ("ACME", False)
    assert ServerProfile.objects.filter(is_default=True).exists()


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("tracking_prefix", "", "Enter a prefix of 1 to 20 characters"),
        ("tracking_prefix", "A:B", "Leave out blanks and colons"),
        ("tracking_user_digits", "11", "Use at most 10 digits"),
        ("tracking_message_digits", "0", "Use at least 1 digit"),
    ],
)
def test_what_is_wrong_is_said_in_its_field(
    client: Client, environment: Environment, field: str, value: str, sentence: str
) -> None:
    answer = client.post(url(environment), {**TYPED, field: value}, headers=HTMX)
    assert answer.status_code == 422
    assert re.search(rf'id="id_{field}_error">.*?{sentence}', answer.content.decode(), re.DOTALL)


def test_who_may_only_read_finds_no_save(environment: Environment) -> None:
    auditor = User.objects.create_user("ada")
    Membership.objects.create(environment=environment, user=auditor, role=Role.AUDITOR)
    browser = Client()
    browser.force_login(auditor)
    page = browser.get(url(environment)).content.decode()
    assert "You can look, but not change." in page
    assert ">Save</button>" not in page
    assert browser.post(url(environment), TYPED).status_code == 403
