"""Connecting a mailbox in the console: to the provider, back with a code, and what its page says."""

from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailboxes.alerts import wall
from mailboxes.models import Mailbox, OAuthToken, OAuthVisit
from profiles.choices import IncomingMethod, Role
from profiles.models import Environment, Membership, ServerProfile
from profiles.oauth import client_key

HTMX = {"HX-Request": "true"}


@pytest.fixture
def box(environment: Environment) -> Mailbox:
    """Give a mailbox whose profile signs in at Google."""
    profile = ServerProfile.objects.create(
        environment=environment,
        name="Gmail",
        server_type="gmail",
        authentication_type="oauth",
        oauth_provider="google",
        oauth_client_id="the-application",
        incoming_location="imap.gmail.com",
        outgoing_location="smtp.gmail.com",
    )
    return Mailbox.objects.create(
        environment=environment, name="Ana", address="ana@contoso.example", server_profile=profile
    )


def url(name: str, box: Mailbox) -> str:
    return reverse(f"mailboxes:{name}", args=[box.environment.slug, box.pk])


def go(client: Client, box: Mailbox) -> dict[str, list[str]]:
    """Press Connect and return what the provider is told."""
    answer = client.post(url("mailbox_connect", box), headers=HTMX)
    return parse_qs(urlsplit(answer.headers["HX-Redirect"]).query)


def come_back(client: Client, **words: str) -> str:
    """Come back from the provider; return where that leads, or nothing when it is refused."""
    answer = client.get(reverse("oauth_callback"), words)
    return answer.headers["Location"] if answer.status_code == 302 else ""


def test_connect_leads_to_the_provider_with_a_proof(client: Client, box: Mailbox) -> None:
    told = go(client, box)
    assert told["code_challenge_method"] == ["S256"]
    assert told["redirect_uri"] == ["http://localhost/oauth/callback/"]
    assert told["login_hint"] == ["ana@contoso.example"]
    assert told["access_type"] == ["offline"]
    assert OAuthVisit.objects.get().verifier.reveal() not in str(told)


def test_without_script_a_link_leads_there(client: Client, box: Mailbox) -> None:
    page = client.post(url("mailbox_connect", box)).content.decode()
    assert 'href="https://accounts.google.com/' in page
    assert "belongs to the provider, accounts.google.com." in page
    assert f'href="{box.get_absolute_url()}">Cancel' in page


def test_whoever_comes_back_leaves_the_code_behind(client: Client, box: Mailbox) -> None:
    state = go(client, box)["state"][0]
    leads = come_back(client, state=state, code="the-code")
    assert leads == f"{box.get_absolute_url()}#connection"
    visit = OAuthVisit.objects.get()
    assert visit.code.reveal() == "the-code"
    assert OAuthVisit.objects.due(timezone.now()).get() == visit


def test_the_card_asks_for_itself_until_a_worker_is_done(client: Client, box: Mailbox) -> None:
    state = go(client, box)["state"][0]
    come_back(client, state=state, code="the-code")
    page = client.get(url("mailbox_connection", box), headers=HTMX).content.decode()
    assert 'hx-trigger="every 2s"' in page
    OAuthVisit.objects.update(finished_on=timezone.now())
    page = client.get(url("mailbox_connection", box), headers=HTMX).content.decode()
    assert "hx-trigger" not in page


def test_a_state_serves_once(client: Client, box: Mailbox) -> None:
    state = go(client, box)["state"][0]
    assert come_back(client, state=state, code="the-code")
    assert not come_back(client, state=state, code="another-code")
    assert OAuthVisit.objects.get().code.reveal() == "the-code"


def test_a_state_of_another_session_is_refused(client: Client, person: User, box: Mailbox) -> None:
    state = go(client, box)["state"][0]
    elsewhere = Client(SERVER_NAME="localhost")
    elsewhere.force_login(person)
    assert not come_back(elsewhere, state=state, code="the-code")
    assert OAuthVisit.objects.get().returned_on is None


def test_a_visit_ends_after_a_quarter_of_an_hour(client: Client, box: Mailbox) -> None:
    state = go(client, box)["state"][0]
    OAuthVisit.objects.update(started_on=timezone.now() - timedelta(minutes=16))
    assert not come_back(client, state=state, code="the-code")


def test_a_permission_that_was_not_given_is_said_on_the_page(client: Client, box: Mailbox) -> None:
    state = go(client, box)["state"][0]
    come_back(client, state=state, error="access_denied")
    page = client.get(box.get_absolute_url()).content.decode()
    assert "The permission was not given." in page


@pytest.mark.parametrize(
    ("changes", "word", "button"),
    [
        ({}, "Connected", "Reconnect"),
        ({"refusal": "Gone."}, "Reconnect needed", "Reconnect"),
        ({"client_key": "of another application"}, "Reconnect needed", "Reconnect"),
    ],
)
def test_the_page_says_how_it_stands(
    client: Client, box: Mailbox, changes: dict[str, str], word: str, button: str
) -> None:
    assert box.server_profile is not None
    row = {"client_key": client_key(box.server_profile), "subject": "ana@gmail.example", **changes}
    OAuthToken.objects.create(mailbox=box, access_token="secret-a", refresh_token="secret-r", **row)
    page = client.get(box.get_absolute_url()).content.decode()
    assert f"{word}<" in page
    assert f"{button}<" in page
    assert "ana@gmail.example" in page
    assert "secret-" not in page


def test_the_page_warns_of_a_permission_that_could_not_be_renewed(client: Client, box: Mailbox) -> None:
    assert box.server_profile is not None
    OAuthToken.objects.create(mailbox=box, refresh_token="r", client_key=client_key(box.server_profile))
    wall.raise_alert("oauth_expiring", now=timezone.now(), mailbox=box, words={"date": "2026-11-20"})
    page = client.get(box.get_absolute_url()).content.decode()
    assert "Ends soon<" in page
    assert "could not be renewed" in page


def test_while_a_mailbox_is_being_connected_its_readiness_says_so(client: Client, box: Mailbox) -> None:
    ServerProfile.objects.update(incoming_port=993, outgoing_port=465)
    Mailbox.objects.update(address_status="approved")
    state = go(client, box)["state"][0]
    come_back(client, state=state, code="the-code")
    course = client.get(url("mailbox_course", box), headers=HTMX).content.decode()
    assert course.count("The mailbox is being connected") == 4  # for each direction, in brief and among all
    assert "nobody has given the permission" not in course
    assert "Not running<" in course


def test_once_a_mailbox_is_connected_the_card_about_its_readiness_comes_anew(
    client: Client, box: Mailbox
) -> None:
    state = go(client, box)["state"][0]
    come_back(client, state=state, code="the-code")
    assert "HX-Trigger" not in client.get(url("mailbox_connection", box), headers=HTMX).headers
    OAuthVisit.objects.update(finished_on=timezone.now())
    answer = client.get(url("mailbox_connection", box), headers=HTMX)
    assert answer.headers["HX-Trigger"] == "connection:made"
    page = client.get(box.get_absolute_url()).content.decode()
    assert "connection:made from:body" in page


@pytest.mark.parametrize(
    ("row", "word", "says"),
    [
        ({"refresh_token": "", "access": 1}, "Ends soon", "gave no refresh token"),
        ({"refresh_token": "", "access": -1}, "Reconnect needed", "The permission has ended."),
        ({"refresh_token": "r", "access": -1, "refresh": -1}, "Reconnect needed", "permission has ended."),
        ({"refresh_token": "r", "access": -1, "refresh": 1}, "Connected", "unless it is renewed before"),
    ],
)
def test_a_permission_that_ends_or_has_ended_is_not_shown_as_one_that_lasts(
    client: Client, box: Mailbox, row: dict[str, Any], word: str, says: str
) -> None:
    assert box.server_profile is not None
    now = timezone.now()
    OAuthToken.objects.create(
        mailbox=box,
        client_key=client_key(box.server_profile),
        refresh_token=row["refresh_token"],
        access_expires_on=now + timedelta(hours=row["access"]),
        refresh_expires_on=now + timedelta(days=row["refresh"]) if "refresh" in row else None,
    )
    ServerProfile.objects.update(incoming_port=993)
    Mailbox.objects.update(incoming=IncomingMethod.SERVER_SIDE, address_status="approved")
    page = client.get(box.get_absolute_url()).content.decode()
    assert f"{word}<" in page
    assert says in page
    has_ended = word == "Reconnect needed"
    assert ("The permission to open this mailbox with OAuth has ended." in page) is has_ended
    assert ("and the permission is there" in page) is not has_ended


def test_whoever_may_not_connect_a_mailbox_is_told_who_does(
    client: Client, box: Mailbox, environment: Environment
) -> None:
    told, offered = "Its owner, or a Mailbox Administrator, connects it.", '#connection">Connect the mailbox'
    ServerProfile.objects.update(incoming_port=993)
    Mailbox.objects.update(incoming=IncomingMethod.SERVER_SIDE)
    page = client.get(box.get_absolute_url()).content.decode()
    assert told not in page
    assert offered in page
    auditor = User.objects.create_user("mo")
    Membership.objects.create(environment=environment, user=auditor, role=Role.AUDITOR)
    reader = Client(SERVER_NAME="localhost")
    reader.force_login(auditor)
    page = reader.get(box.get_absolute_url()).content.decode()
    assert told in page
    assert offered not in page


def test_disconnect_forgets_the_tokens(client: Client, box: Mailbox) -> None:
    OAuthToken.objects.create(mailbox=box, access_token="a", refresh_token="r", client_key="k")
    client.post(url("mailbox_disconnect", box))
    assert not OAuthToken.objects.exists()


def test_a_mailbox_with_a_password_has_no_such_card(client: Client, box: Mailbox) -> None:
    ServerProfile.objects.update(authentication_type="credentials_by_user_or_queue")
    assert 'id="connection"' not in client.get(box.get_absolute_url()).content.decode()
    answer = client.post(url("mailbox_connect", box), headers=HTMX)
    assert "cannot be connected" in answer.headers["HX-Trigger"]


def test_who_comes_back_without_a_session_carries_no_code_to_the_sign_in() -> None:
    stranger = Client(SERVER_NAME="localhost")
    answer = stranger.get(reverse("oauth_callback"), {"code": "worth a mailbox", "state": "known"})
    assert answer.headers["Location"] == "/sign-in/?next=/oauth/callback/"
    assert "worth" not in str(answer.headers)
