"""Creating and editing a mailbox: nothing typed is lost, nobody overwritten, no password shown."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models.signals import pre_save
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries, Settings

from mailboxes.choices import AddressStatus, MailboxKind, ResultStatus
from mailboxes.models import Mailbox, WorkerState
from profiles.choices import IncomingMethod
from profiles.models import EmailSettings, Environment, ServerProfile

HTMX = {"HX-Request": "true"}
SERVER_SIDE = "server_side_synchronization"


@pytest.fixture
def create_url(environment: Environment) -> str:
    """Give the address of the panel for a new mailbox."""
    return reverse("mailboxes:mailbox_create", args=[environment.slug])


@pytest.fixture
def far_away(person: User) -> Client:
    """Give a browser on another machine, without HTTPS."""
    browser = Client(SERVER_NAME="localhost", REMOTE_ADDR="203.0.113.9")
    browser.force_login(person)
    return browser


@pytest.fixture
def typed(profile: ServerProfile) -> dict[str, Any]:
    """Give what somebody types into the panel."""
    return {
        "kind": "queue",
        "name": "Billing",
        "address": "billing@contoso.example",
        "server_profile": str(profile.pk),
        "incoming": SERVER_SIDE,
        "outgoing": SERVER_SIDE,
        "act": "none",
        "track_incoming": "all",
        "allow_credentials": "on",
        "user_name": "billing",
        "password": "s3cret pass",
    }


def edited(mailbox: Mailbox, **changes: Any) -> dict[str, Any]:
    """Return the fields of the mailbox's page with `changes` typed into them."""
    fields = {
        "version": mailbox.version,
        "name": mailbox.name,
        "address": mailbox.address,
        "server_profile": str(mailbox.server_profile_id),
        "incoming": mailbox.incoming,
        "outgoing": mailbox.outgoing,
        "act": "none",
        "track_incoming": "all",
        "allow_credentials": "on",
        "user_name": mailbox.user_name,
        "password": "",
        "process_email_from": "",
        "notes": "",
    }
    return fields | changes


@pytest.mark.parametrize(
    ("way", "times"),
    [
        ({}, 0),
        ({"authentication_type": "credentials_in_profile"}, 1),
        ({"authentication_type": "oauth"}, 1),
        ({"authentication_type": "oauth", "use_same_settings_for_outgoing": False}, 0),
    ],
)
def test_credentials_that_the_profile_does_not_use_are_said_to_be_unused(
    client: Client, mailbox: Mailbox, way: dict[str, Any], times: int
) -> None:
    ServerProfile.objects.update(**way)
    page = client.get(mailbox.get_absolute_url()).content.decode()
    assert page.count("It does not use what is entered here.") == times


def test_the_panel_starts_with_the_environments_defaults(
    client: Client, person: User, create_url: str, environment: Environment, profile: ServerProfile
) -> None:
    EmailSettings.objects.filter(environment=environment).update(incoming=IncomingMethod.NONE)
    form = client.get(create_url, headers=HTMX).context["form"]
    assert form["server_profile"].value() == profile.pk
    assert form["incoming"].value() == IncomingMethod.NONE
    assert form["owner"].value() == person.pk


def test_a_created_mailbox_waits_for_approval_and_opens(
    client: Client, person: User, create_url: str, typed: dict[str, Any]
) -> None:
    response = client.post(create_url, typed, headers=HTMX)
    mailbox = Mailbox.objects.get()
    assert response.headers["HX-Redirect"] == mailbox.get_absolute_url()
    assert mailbox.address_status == AddressStatus.PENDING
    assert mailbox.kind == MailboxKind.QUEUE
    assert mailbox.password.reveal() == "s3cret pass"
    assert mailbox.modified_by == person
    assert mailbox.states.count() == 2


@pytest.fixture
def rival(environment: Environment) -> Iterator[Callable[[str], None]]:
    """Give a function that has somebody else take an address just before the next mailbox is written."""
    taken: list[str] = []

    def take(**_sent: Any) -> None:
        if taken:
            Mailbox.objects.create(environment=environment, name="Quicker", address=taken.pop())

    pre_save.connect(take, sender=Mailbox)
    yield taken.append
    pre_save.disconnect(take, sender=Mailbox)


def test_of_two_who_create_the_same_mailbox_the_second_is_told(
    client: Client, create_url: str, typed: dict[str, Any], rival: Callable[[str], None]
) -> None:
    rival(typed["address"].upper())
    response = client.post(create_url, typed)
    assert (response.status_code, list(response.context["form"].errors)) == (422, ["address"])


def test_of_two_who_give_the_same_address_the_second_is_told(
    client: Client, mailbox: Mailbox, rival: Callable[[str], None]
) -> None:
    rival("new@contoso.example")
    response = client.post(mailbox.get_absolute_url(), edited(mailbox, address="new@contoso.example"))
    assert (response.status_code, list(response.context["form"].errors)) == (422, ["address"])


def test_without_script_the_panel_stands_on_the_list(client: Client, create_url: str) -> None:
    page = client.get(create_url).content.decode()
    assert "<html" in page
    assert "New mailbox" in page


def test_only_the_environments_active_profiles_are_offered(
    client: Client, create_url: str, elsewhere: Environment, profile: ServerProfile
) -> None:
    where = {"incoming_location": "a.example", "outgoing_location": "a.example"}
    ServerProfile.objects.create(environment=elsewhere, name="Foreign", **where)
    ServerProfile.objects.create(environment=profile.environment, name="Asleep", is_active=False, **where)
    form = client.get(create_url, headers=HTMX).context["form"]
    assert [str(offered) for offered in form.fields["server_profile"].queryset] == ["Contoso IMAP"]


def test_a_duplicate_address_is_told_at_its_field(
    client: Client, create_url: str, typed: dict[str, Any], mailbox: Mailbox
) -> None:
    response = client.post(create_url, typed | {"address": "SUPPORT@contoso.example"}, headers=HTMX)
    assert response.status_code == 422
    assert "Another mailbox of this environment has the address" in response.content.decode()
    assert response.context["form"]["name"].value() == "Billing"


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("name", "", "Enter a name"),
        ("address", "", "Enter the address"),
        ("address", "not an address", "This is not an email address"),
        ("server_profile", "2d1f8f0e-7a4e-4b39-8f0a-111111111111", "Choose an active server profile"),
        ("user_name", "", "Enter the user name"),
        ("password", "", "Enter the password"),
        ("process_email_from", "yesterday", "valid date"),
        ("incoming", "carrier pigeon", "valid choice"),
        ("act", "server_side_synchronization", "valid choice"),
    ],
)
def test_a_wrong_field_is_told_and_the_rest_is_kept(
    client: Client, create_url: str, typed: dict[str, Any], field: str, value: str, sentence: str
) -> None:
    response = client.post(create_url, typed | {field: value}, headers=HTMX)
    form = response.context["form"]
    assert response.status_code == 422
    assert sentence in " ".join(form.errors[field])
    assert form["kind"].value() == "queue"
    assert not Mailbox.objects.exists()


@pytest.mark.parametrize("field", ["name", "user_name"])
@pytest.mark.parametrize("forged", ["a\r\nb", "a\x00b"])
def test_line_breaks_and_nul_are_refused(
    client: Client, create_url: str, typed: dict[str, Any], field: str, forged: str
) -> None:
    response = client.post(create_url, typed | {field: forged}, headers=HTMX)
    assert response.status_code == 422
    assert field in response.context["form"].errors


def test_the_page_shows_the_saved_values_and_no_password(client: Client, mailbox: Mailbox) -> None:
    page = client.get(mailbox.get_absolute_url()).content.decode()
    assert "support@contoso.example" in page
    assert "type to replace" in page
    assert "old secret" not in page


def test_saving_changes_the_mailbox_and_stamps_who(client: Client, person: User, mailbox: Mailbox) -> None:
    response = client.post(mailbox.get_absolute_url(), edited(mailbox, name="Helpdesk"))
    mailbox.refresh_from_db()
    assert response.status_code == 302
    assert mailbox.name == "Helpdesk"
    assert mailbox.modified_by == person
    assert mailbox.version == 2


def test_an_empty_password_keeps_the_saved_one(client: Client, mailbox: Mailbox) -> None:
    client.post(mailbox.get_absolute_url(), edited(mailbox, name="Helpdesk"))
    assert Mailbox.objects.get().password.reveal() == "old secret"


def test_a_typed_password_replaces_it_and_resets_the_tests(client: Client, mailbox: Mailbox) -> None:
    WorkerState.objects.filter(mailbox=mailbox).update(status=ResultStatus.SUCCESS, is_enabled=True)
    client.post(mailbox.get_absolute_url(), edited(mailbox, password=" new secret "))
    assert Mailbox.objects.get().password.reveal() == " new secret "
    assert not WorkerState.objects.filter(is_enabled=True).exists()


def test_a_refused_form_never_shows_the_typed_password(client: Client, mailbox: Mailbox) -> None:
    response = client.post(mailbox.get_absolute_url(), edited(mailbox, name="", password="t0psecret"))
    assert response.status_code == 422
    assert "t0psecret" not in response.content.decode()
    assert Mailbox.objects.get().password.reveal() == "old secret"


def test_a_new_address_waits_for_approval_again(client: Client, mailbox: Mailbox) -> None:
    client.post(mailbox.get_absolute_url(), edited(mailbox, address="help@contoso.example"))
    mailbox.refresh_from_db()
    assert mailbox.address_status == AddressStatus.PENDING
    assert mailbox.approved_on is None


def test_a_refused_form_keeps_what_was_typed_and_the_head_what_is_saved(
    client: Client, mailbox: Mailbox
) -> None:
    response = client.post(mailbox.get_absolute_url(), edited(mailbox, name="Helpdesk", address="nonsense"))
    page = response.content.decode()
    assert response.status_code == 422
    assert "<h1>Support</h1>" in page
    assert 'value="Helpdesk"' in page


def test_the_second_of_two_editors_is_told_and_overwrites_nothing(
    client: Client, mailbox: Mailbox, person: User
) -> None:
    ben = User.objects.create_user(username="ben", first_name="Ben", last_name="Okafor")
    Mailbox.objects.filter(pk=mailbox.pk).update(name="Service desk", version=2, modified_by=ben)
    response = client.post(mailbox.get_absolute_url(), edited(mailbox, name="Helpdesk"))
    page = response.content.decode()
    mailbox.refresh_from_db()
    assert response.status_code == 422
    assert mailbox.name == "Service desk"
    assert "Ben Okafor saved this record while you were editing it" in page
    assert "Saved meanwhile: <b>Service desk</b>" in page
    assert 'value="Helpdesk"' in page


def test_saving_again_after_being_told_is_a_decision(client: Client, mailbox: Mailbox) -> None:
    Mailbox.objects.filter(pk=mailbox.pk).update(name="Service desk", version=2)
    told = client.post(mailbox.get_absolute_url(), edited(mailbox, name="Helpdesk"))
    version = told.context["form"]["version"].value()
    client.post(mailbox.get_absolute_url(), edited(mailbox, name="Helpdesk", version=version))
    mailbox.refresh_from_db()
    assert mailbox.name == "Helpdesk"


def test_whose_mailbox_it_is_stays_as_created(client: Client, mailbox: Mailbox) -> None:
    client.post(mailbox.get_absolute_url(), edited(mailbox, kind="user"))
    mailbox.refresh_from_db()
    assert mailbox.kind == MailboxKind.QUEUE


def test_credentials_are_locked_on_an_unprotected_connection(far_away: Client, mailbox: Mailbox) -> None:
    page = far_away.get(mailbox.get_absolute_url()).content.decode()
    assert "The connection to this console is not encrypted." in page


def test_locked_credentials_cannot_be_sent(far_away: Client, mailbox: Mailbox) -> None:
    data = edited(mailbox, password="stolen", user_name="other")
    far_away.post(mailbox.get_absolute_url(), data)
    stored = Mailbox.objects.get()
    assert stored.password.reveal() == "old secret"
    assert stored.user_name == "support@contoso.example"


def test_the_operator_may_allow_credentials_on_plain_http(
    far_away: Client, mailbox: Mailbox, settings: Settings
) -> None:
    settings.ALLOW_CREDENTIALS_ENTRY_VIA_NON_SECURE_CHANNELS = True
    page = far_away.get(mailbox.get_absolute_url()).content.decode()
    assert "The connection to this console is not encrypted." not in page


def test_a_mailbox_that_is_gone_is_not_found(client: Client, mailbox: Mailbox) -> None:
    url = mailbox.get_absolute_url()
    mailbox.delete()
    assert client.get(url).status_code == 404


def test_a_mailbox_is_not_found_under_another_environment(
    client: Client, mailbox: Mailbox, elsewhere: Environment
) -> None:
    url = reverse("mailboxes:mailbox_detail", args=[elsewhere.slug, mailbox.pk])
    assert client.get(url).status_code == 404


def test_the_page_asks_a_fixed_number_of_questions(
    client: Client, mailbox: Mailbox, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_max_num_queries(24):
        client.get(mailbox.get_absolute_url())
