"""The part of a server profile's form about OAuth: what it needs, fills in and never shows."""

import re

import pytest
from django.test import Client
from django.urls import reverse

from profiles.models import Environment, ServerProfile
from profiles.oauth import client_key, client_of
from tests.profiles.conftest import HTMX

Typed = dict[str, str]
BY_USER = "credentials_by_user_or_queue"
OTHER = {
    "authentication_type": "oauth",
    "oauth_provider": "other",
    "oauth_grant": "authorization_code",
    "oauth_client_id": "the-application",
    "oauth_client_secret": "the-secret",
    "oauth_authorization_url": "https://id.example.org/authorize",
    "oauth_token_url": "https://id.example.org/token",
    "oauth_scopes": "mail",
}


def url(environment: Environment) -> str:
    return reverse("profiles:profile_create", args=[environment.slug])


def test_a_profile_of_another_provider_is_saved_with_a_sealed_secret(
    client: Client, environment: Environment, typed: Typed
) -> None:
    assert client.post(url(environment), {**typed, **OTHER}).status_code == 302
    profile = ServerProfile.objects.get()
    assert profile.oauth_client_secret.reveal() == "the-secret"
    page = client.get(reverse("profiles:profile_edit", args=[environment.slug, profile.pk])).content.decode()
    assert "the-secret" not in page
    assert "/oauth/callback/" in page


@pytest.mark.parametrize(
    ("server_type", "incoming", "outgoing", "token_url"),
    [
        ("gmail", "imap.gmail.com", "smtp.gmail.com", "https://oauth2.googleapis.com/token"),
        (
            "exchange_online",
            "outlook.office365.com",
            "smtp.office365.com",
            "https://login.microsoftonline.com/contoso-id/oauth2/v2.0/token",
        ),
    ],
)
def test_what_is_known_of_a_type_of_server_is_filled_in(
    client: Client,
    environment: Environment,
    typed: Typed,
    server_type: str,
    incoming: str,
    outgoing: str,
    token_url: str,
) -> None:
    sent = {
        **typed,
        "server_type": server_type,
        "incoming_location": "",
        "incoming_port": "",
        "outgoing_location": "",
        "outgoing_port": "",
        "authentication_type": "oauth",
        "oauth_client_id": "the-application",
        "oauth_tenant_id": "contoso-id",
    }
    assert client.post(url(environment), sent).status_code == 302
    profile = ServerProfile.objects.get()
    assert (profile.incoming_location, profile.outgoing_location) == (incoming, outgoing)
    assert client_of(profile, secret="").token_url == token_url


@pytest.mark.parametrize(
    ("changes", "field", "sentence"),
    [
        ({"oauth_client_id": ""}, "oauth_client_id", "Enter the client id"),
        ({"oauth_token_url": "http://id.example.org/token"}, "oauth_token_url", "begin with https://"),
        ({"oauth_token_url": "https://169.254.169.254/"}, "oauth_token_url", "not a public one"),
        ({"oauth_authorization_url": ""}, "oauth_authorization_url", "begin with https://"),
        ({"oauth_scopes": " "}, "oauth_scopes", "Enter what is asked for"),
        (
            {"oauth_grant": "client_credentials", "oauth_client_secret": ""},
            "oauth_client_secret",
            "Enter the client secret",
        ),
        (
            {"oauth_provider": "google", "oauth_grant": "client_credentials"},
            "oauth_grant",
            "Google gives applications no permission",
        ),
        (
            {"oauth_provider": "microsoft", "oauth_grant": "client_credentials"},
            "oauth_tenant_id",
            "Enter the tenant id",
        ),
        (
            {"incoming_authentication_protocol": "basic"},
            "incoming_authentication_protocol",
            "carries no access token",
        ),
        (
            {
                "authentication_type": "credentials_by_user_or_queue",
                "outgoing_authentication_protocol": "oauth",
            },
            "outgoing_authentication_protocol",
            "carries no password",
        ),
    ],
)
def test_what_is_missing_is_said_in_its_field(
    client: Client, environment: Environment, typed: Typed, changes: Typed, field: str, sentence: str
) -> None:
    answer = client.post(url(environment), {**typed, **OTHER, **changes}, headers=HTMX)
    assert answer.status_code == 422
    assert re.search(rf'id="id_{field}_error">.*?{sentence}', answer.content.decode(), re.DOTALL)


def test_another_application_or_other_scopes_need_a_new_permission() -> None:
    profile = ServerProfile(authentication_type="oauth", oauth_provider="google", oauth_client_id="a")
    before = client_key(profile)
    profile.oauth_client_secret = "a new secret of the same application"
    assert client_key(profile) == before
    profile.oauth_client_id = "b"
    assert client_key(profile) != before


def test_a_change_of_the_application_stops_the_mailboxes() -> None:
    before = ServerProfile(authentication_type="oauth", oauth_client_id="a")
    after = ServerProfile(pk=before.pk, authentication_type="oauth", oauth_client_id="b")
    assert after.changed_directions(before) == {"incoming", "outgoing"}
