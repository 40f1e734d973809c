"""Stored secrets go to no host that somebody merely wrote into a profile."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from mailboxes.models import Alert, Mailbox, OAuthToken
from profiles import services
from profiles.choices import AuthenticationType, OAuthGrant, Role
from profiles.models import Environment, Membership, ServerProfile
from tests.profiles.conftest import NOW, NewMailbox, NewProfile, edit_url, typed_from

IN_PROFILE, BY_USER = AuthenticationType.IN_PROFILE, AuthenticationType.BY_USER_OR_QUEUE
EVIL = "mail.evil.example"
Typed = dict[str, str]
OAUTH = {
    "authentication_type": AuthenticationType.OAUTH,
    "oauth_grant": OAuthGrant.CLIENT_CREDENTIALS,
    "oauth_client_id": "application",
    "oauth_client_secret": "a client secret",
    "oauth_authorization_url": "https://id.example.org/authorize",
    "oauth_token_url": "https://id.example.org/token",
    "oauth_scopes": "mail",
}


@pytest.fixture
def customizer(environment: Environment) -> User:
    """Give somebody who may change server profiles and handle no credentials."""
    user = User.objects.create_user("carl")
    Membership.objects.create(user=user, environment=environment, role=Role.SYSTEM_CUSTOMIZER)
    return user


@pytest.fixture
def keeping(new_profile: NewProfile) -> ServerProfile:
    """Give a profile that signs in with an account of its own."""
    return new_profile("Keeps", authentication_type=IN_PROFILE, user_name="relay", password="a secret")


@pytest.fixture
def with_password(profile: ServerProfile, new_mailbox: NewMailbox, colleague: User) -> Mailbox:
    """Give a mailbox with a password of its own."""
    return new_mailbox("anna", server_profile=profile, owner=colleague, password="hers")


def change(profile: ServerProfile, by: User | None, *entered: str, **changes: Any) -> None:
    """Save a profile with changes."""
    fresh = ServerProfile.objects.get(pk=profile.pk)
    for name, value in changes.items():
        setattr(fresh, name, value)
    services.save_profile(fresh, by=by, now=NOW, entered=entered)


def refused(profile: ServerProfile, by: User, *entered: str, **changes: Any) -> set[str]:
    """Return the fields at which saving the changes is refused."""
    with pytest.raises(services.SecretsHeldBack) as caught:
        change(profile, by, *entered, **changes)
    return set(caught.value.errors)


@pytest.mark.parametrize("side", ["incoming", "outgoing"])
def test_another_host_asks_for_the_password_again(keeping: ServerProfile, person: User, side: str) -> None:
    assert refused(keeping, person, **{f"{side}_location": EVIL}) == {"password"}
    keeping.refresh_from_db()
    assert keeping.incoming_location == "imap.contoso.example"


def test_a_password_that_was_entered_again_goes_to_another_host(keeping: ServerProfile, person: User) -> None:
    change(keeping, person, "password", incoming_location="new.contoso.example")
    keeping.refresh_from_db()
    assert keeping.incoming_location == "new.contoso.example"


@pytest.mark.parametrize(
    "changes",
    [
        {"incoming_port": 1993},
        {"incoming_location": "IMAP.contoso.example"},
        {"notes": "Ask Anna"},
        {"incoming_location": "smtp.contoso.example"},
    ],
    ids=["port", "case", "notes", "where it goes already"],
)
def test_what_leads_it_nowhere_new_asks_for_nothing(
    keeping: ServerProfile, person: User, changes: dict[str, Any]
) -> None:
    change(keeping, person, **changes)


def test_it_cannot_be_led_away_in_two_steps(new_profile: NewProfile, person: User) -> None:
    profile = new_profile(
        "Keeps",
        authentication_type=IN_PROFILE,
        user_name="relay",
        password="a secret",
        use_same_settings_for_outgoing=False,
        outgoing_authentication_type=BY_USER,
    )
    change(profile, person, outgoing_location=EVIL)
    assert refused(profile, person, use_same_settings_for_outgoing=True) == {"password"}


def test_the_outgoing_password_is_asked_for_by_its_own_host(new_profile: NewProfile, person: User) -> None:
    profile = new_profile(
        "Keeps",
        use_same_settings_for_outgoing=False,
        outgoing_authentication_type=IN_PROFILE,
        outgoing_user_name="relay",
        outgoing_password="a secret",
    )
    change(profile, person, incoming_location="new.contoso.example")
    assert refused(profile, person, outgoing_location=EVIL) == {"outgoing_password"}


@pytest.mark.parametrize("name", ["oauth_token_url", "incoming_location"])
def test_another_token_endpoint_or_mail_server_asks_for_the_client_secret(
    new_profile: NewProfile, person: User, name: str
) -> None:
    profile = new_profile("Application", **OAUTH)
    value = f"https://{EVIL}/token" if name == "oauth_token_url" else EVIL
    assert refused(profile, person, **{name: value}) == {"oauth_client_secret"}
    change(profile, person, "oauth_client_secret", **{name: value})


def test_an_access_token_follows_no_client_secret_that_somebody_made_up(
    new_profile: NewProfile, person: User
) -> None:
    profile = new_profile("Application", **OAUTH)
    token = OAuthToken.objects.create(
        server_profile=profile, access_token="opens all", access_expires_on=NOW + timedelta(hours=1), fence=3
    )
    change(profile, person, notes="Ask Anna")
    lives = OAuthToken.objects.filter(pk=token.pk, access_expires_on__isnull=False)
    assert lives.filter(fence=3).exists()
    change(profile, person, "oauth_client_secret", oauth_client_secret="made up", incoming_location=EVIL)
    assert not lives.exists()
    # Nor may who renews it just now write it down.
    assert OAuthToken.objects.get(pk=token.pk).fence == 4


def test_the_operator_is_asked_for_nothing(keeping: ServerProfile) -> None:
    change(keeping, None, incoming_location="new.contoso.example")


# Credentials that mailboxes keep


def test_a_customizer_leads_no_credentials_of_mailboxes_away(
    with_password: Mailbox, profile: ServerProfile, customizer: User
) -> None:
    assert refused(profile, customizer, incoming_location=EVIL) == {"incoming_location"}
    assert refused(profile, customizer, incoming_location=EVIL, outgoing_location=EVIL) == {
        "incoming_location",
        "outgoing_location",
    }


def test_nor_in_two_steps(keeping: ServerProfile, new_mailbox: NewMailbox, customizer: User) -> None:
    new_mailbox("anna", server_profile=keeping, password="hers")
    change(keeping, customizer, "password", incoming_location=EVIL)
    assert refused(keeping, customizer, authentication_type=BY_USER) == {
        "incoming_location",
        "outgoing_location",
    }


def test_nor_the_permission_that_somebody_gave_a_mailbox(
    new_profile: NewProfile, new_mailbox: NewMailbox, customizer: User
) -> None:
    granted = {**OAUTH, "oauth_grant": OAuthGrant.AUTHORIZATION_CODE, "oauth_client_secret": ""}
    profile = new_profile("Application", **granted)
    OAuthToken.objects.create(mailbox=new_mailbox("anna", server_profile=profile))
    assert refused(profile, customizer, outgoing_location=EVIL) == {"outgoing_location"}


def test_where_mailboxes_keep_none_a_customizer_changes_the_host(
    profile: ServerProfile, new_mailbox: NewMailbox, customizer: User
) -> None:
    new_mailbox("anna", server_profile=profile)
    change(profile, customizer, incoming_location="new.contoso.example")
    assert not Alert.objects.exists()


def test_who_leads_them_elsewhere_is_told_to_the_owners_of_the_mailboxes(
    with_password: Mailbox, profile: ServerProfile, person: User, colleague: User
) -> None:
    change(profile, person, incoming_location="new.contoso.example")
    alert = Alert.objects.for_person(colleague).get()
    assert alert.kind == "credentials_redirected"
    assert alert.parameters["person"] == "Rosa Keller"
    assert alert.parameters["hosts"] == "new.contoso.example"


def test_who_leads_email_elsewhere_with_another_password_is_told_to_the_owners(
    keeping: ServerProfile, new_mailbox: NewMailbox, customizer: User, colleague: User
) -> None:
    new_mailbox("anna", server_profile=keeping, owner=colleague)
    change(keeping, customizer, "password", outgoing_location=EVIL, password="another secret")
    alert = Alert.objects.for_person(colleague).get()
    assert alert.kind == "email_redirected"
    assert (alert.parameters["person"], alert.parameters["hosts"]) == ("carl", EVIL)


def test_another_password_for_the_same_hosts_is_told_to_nobody(
    keeping: ServerProfile, new_mailbox: NewMailbox, customizer: User
) -> None:
    new_mailbox("anna", server_profile=keeping)
    change(keeping, customizer, "password", password="another secret")
    assert not Alert.objects.exists()


# The form


def test_the_form_asks_at_the_field_and_loses_nothing(
    client: Client, keeping: ServerProfile, in_profile: Typed
) -> None:
    changes = {"incoming_location": EVIL, "password": "", "description": "typed just now"}
    answer = client.post(edit_url(keeping), typed_from(keeping, in_profile, **changes))
    page = answer.content.decode()
    assert answer.status_code == 422
    assert f"Enter it again: it will be sent to {EVIL}" in page
    assert "typed just now" in page or EVIL in page
    keeping.refresh_from_db()
    assert keeping.incoming_location != EVIL


def test_the_form_takes_the_password_that_was_entered_again(
    client: Client, keeping: ServerProfile, in_profile: Typed
) -> None:
    changes = {"incoming_location": "new.contoso.example", "password": "a secret"}
    client.post(edit_url(keeping), typed_from(keeping, in_profile, **changes))
    keeping.refresh_from_db()
    assert keeping.incoming_location == "new.contoso.example"


def test_the_form_tells_a_customizer_whom_to_ask(
    with_password: Mailbox, profile: ServerProfile, customizer: User, typed: Typed
) -> None:
    browser = Client(SERVER_NAME="localhost")
    browser.force_login(customizer)
    page = browser.post(edit_url(profile), typed_from(profile, typed, incoming_location=EVIL))
    assert "1 mailbox keeps credentials of its own" in page.content.decode()
    assert "Save anyway" not in page.content.decode()


def test_an_administrator_agrees_to_these_hosts_and_no_others(
    client: Client, with_password: Mailbox, profile: ServerProfile, typed: Typed
) -> None:
    moved = typed_from(profile, typed, incoming_location="new.contoso.example")
    page = client.post(edit_url(profile), moved).content.decode()
    assert "1 mailbox keeps credentials of its own, which will be sent to new.contoso.example." in page
    agreed = re.search(r'name="agreed" value="([^"]+)"', page)
    assert agreed
    other = {**moved, "incoming_location": EVIL, "agreed": agreed[1]}
    assert client.post(edit_url(profile), other).status_code == 422
    client.post(edit_url(profile), {**moved, "agreed": agreed[1]})
    profile.refresh_from_db()
    assert profile.incoming_location == "new.contoso.example"
