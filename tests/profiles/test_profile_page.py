"""The full form of a server profile, and what both of its forms ask first."""

import re

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from profiles.models import Environment, ServerProfile
from tests.profiles.conftest import HTMX, NewMailbox, NewProfile, create_url, edit_url, list_url, typed_from

Typed = dict[str, str]
PAST = "2020-01-01T00:00"


def page_url(profile: ServerProfile) -> str:
    return reverse("profiles:profile_detail", args=[profile.environment.slug, profile.pk])


def test_the_full_form_has_every_section_with_its_own_labels(client: Client, profile: ServerProfile) -> None:
    page = client.get(page_url(profile)).content.decode()
    sections = re.findall(r'<section class="card" id="([a-z-]+)" data-section', page)
    assert sections == [
        "general",
        "credentials",
        "advanced",
        "email-notifications",
        "error-handling",
        "notes",
    ]
    assert "Authenticate Using" in page
    assert "Minimum Polling Interval in Minutes" in page


def test_both_forms_have_the_same_fields(client: Client, profile: ServerProfile) -> None:
    names = re.compile(r'<(?:input|select|textarea)[^>]* name="([a-z_]+)"')
    panel = set(names.findall(client.get(edit_url(profile), headers=HTMX).content.decode()))
    full = set(names.findall(client.get(page_url(profile), headers=HTMX).content.decode()))
    assert panel == full


def test_the_full_form_saves_and_stays(client: Client, profile: ServerProfile, typed: Typed) -> None:
    answer = client.post(page_url(profile), typed_from(profile, typed, name="Contoso Mail"))
    profile.refresh_from_db()
    assert (profile.name, answer.headers["Location"]) == ("Contoso Mail", page_url(profile))


def test_the_full_form_creates(client: Client, environment: Environment, typed: Typed) -> None:
    client.post(reverse("profiles:profile_create_full", args=[environment.slug]), typed)
    assert ServerProfile.objects.get().incoming_port == 993


def test_a_refused_full_form_answers_htmx_with_itself_alone(
    client: Client, profile: ServerProfile, typed: Typed
) -> None:
    answer = client.post(page_url(profile), typed_from(profile, typed, name=""), headers=HTMX)
    assert answer.status_code == 422
    assert answer.content.decode().lstrip().startswith('<form id="profile-form"')


@pytest.mark.parametrize("ids", [0, 1])
def test_legacy_leads_to_the_full_form(client: Client, profile: ServerProfile, ids: int) -> None:
    url = reverse("profiles:profile_command", args=["contoso"])
    answer = client.post(url, {"action": "legacy", "ids": [str(profile.pk)] * ids}, headers=HTMX)
    new = reverse("profiles:profile_create_full", args=["contoso"])
    assert answer.headers["HX-Redirect"] == (page_url(profile) if ids else new)


def test_deleting_from_the_page_leads_to_the_list(client: Client, profile: ServerProfile) -> None:
    url = reverse("profiles:profile_command", args=["contoso"]) + "?from=profile"
    asked = {"action": "delete", "ids": [str(profile.pk)], "confirm": "1"}
    assert client.post(url, asked, headers=HTMX).headers["HX-Redirect"] == list_url(profile.environment)


# A start date in the past


def test_a_start_date_in_the_past_is_asked_about_with_the_number_of_mailboxes(
    client: Client, profile: ServerProfile, new_mailbox: NewMailbox, typed: Typed
) -> None:
    new_mailbox("anna", server_profile=profile)
    answer = client.post(edit_url(profile), typed_from(profile, typed, process_email_from=PAST))
    page = answer.content.decode()
    profile.refresh_from_db()
    assert (answer.status_code, profile.process_email_from) == (422, None)
    assert "1 mailbox uses this profile. 1 of them has received nothing yet" in page
    assert "Save anyway" in page


def test_saving_anyway_agrees_to_that_date(client: Client, environment: Environment, typed: Typed) -> None:
    old = {**typed, "process_email_from": PAST}
    page = client.post(create_url(environment), old).content.decode()
    agreed = re.search(r'name="agreed" value="([^"]+)"', page)
    assert agreed
    client.post(create_url(environment), {**old, "agreed": agreed[1]})
    assert ServerProfile.objects.get().process_email_from


def test_agreeing_to_one_date_agrees_to_no_other(
    client: Client, environment: Environment, typed: Typed
) -> None:
    old = {**typed, "process_email_from": "2010-01-01T00:00", "agreed": "2020-01-01T00:00:00+00:00"}
    assert client.post(create_url(environment), old).status_code == 422


# Credentials over the network


def test_the_page_names_the_setting_that_opens_credentials(
    client: Client, environment: Environment, settings: Settings
) -> None:
    settings.ALLOWED_HOSTS = ["console.example"]
    page = client.get(create_url(environment), SERVER_NAME="console.example").content.decode()
    assert "ALLOW_CREDENTIALS_ENTRY_VIA_NON_SECURE_CHANNELS" in page


def test_the_setting_opens_credentials(client: Client, environment: Environment, settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["console.example"]
    settings.ALLOW_CREDENTIALS_ENTRY_VIA_NON_SECURE_CHANNELS = True
    page = client.get(create_url(environment), SERVER_NAME="console.example").content.decode()
    assert "is not encrypted" not in page


def test_https_ended_by_a_trusted_proxy_opens_credentials(
    client: Client, environment: Environment, settings: Settings
) -> None:
    settings.ALLOWED_HOSTS = ["console.example"]
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    told = {"X-Forwarded-Proto": "https"}
    page = client.get(create_url(environment), SERVER_NAME="console.example", headers=told).content.decode()
    assert "is not encrypted" not in page


def test_a_proxy_that_is_not_trusted_opens_nothing(
    client: Client, environment: Environment, settings: Settings
) -> None:
    settings.ALLOWED_HOSTS = ["console.example"]
    told = {"X-Forwarded-Proto": "https"}
    page = client.get(create_url(environment), SERVER_NAME="console.example", headers=told).content.decode()
    assert "is not encrypted" in page


# Type and protocol


def test_a_pop3_profile_offers_a_new_one_and_is_never_turned_into_imap(
    client: Client, new_profile: NewProfile, typed: Typed
) -> None:
    old = new_profile("Old POP", incoming_protocol="pop3")
    page = client.get(page_url(old)).content.decode()
    assert "Create a new profile from this one" in page
    client.post(edit_url(old), typed_from(old, typed, incoming_protocol="imap"))
    old.refresh_from_db()
    assert old.incoming_protocol == "pop3"


def test_a_copy_starts_from_the_profile_without_its_password(
    client: Client, new_profile: NewProfile, environment: Environment
) -> None:
    old = new_profile("Old POP", incoming_protocol="pop3", description="Of the branch", password="secret")
    page = client.get(create_url(environment), {"from": str(old.pk)}).content.decode()
    assert 'value="Copy of Old POP"' in page
    assert "Of the branch" in page
    assert "Saved" not in page


# POP3 has no folders


@pytest.fixture
def over_pop3(typed: Typed) -> Typed:
    """Give what a browser sends that shows a switch which POP3 has no use for."""
    return {**typed, "incoming_protocol": "pop3", "move_failed_to_undeliverable": "on"}


def test_nothing_is_moved_to_folders_over_pop3(
    client: Client, environment: Environment, over_pop3: Typed
) -> None:
    assert client.post(create_url(environment), over_pop3).status_code == 302
    assert not ServerProfile.objects.get().move_failed_to_undeliverable


def test_the_form_says_why_it_is_switched_off_over_pop3(
    client: Client, new_profile: NewProfile, over_pop3: Typed
) -> None:
    profile = new_profile("Old", incoming_protocol="pop3", incoming_port=995)
    page = client.get(page_url(profile)).content.decode()
    assert 'class="switch" disabled aria-describedby="no-folders"' in page
    assert "POP3 has no folders: failed emails stay in the Inbox" in page


def test_a_profile_that_would_move_over_pop3_is_refused(new_profile: NewProfile) -> None:
    profile = new_profile("Old", incoming_protocol="pop3", move_failed_to_undeliverable=True)
    with pytest.raises(ValidationError) as caught:
        profile.full_clean()
    assert set(caught.value.message_dict) == {"move_failed_to_undeliverable"}
