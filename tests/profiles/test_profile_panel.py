import re

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from emailsync.mail.endpoint import NetworkPolicy, parse_ports
from profiles.choices import Role
from profiles.models import Environment, Membership, ServerProfile
from tests.profiles.conftest import HTMX, NewMailbox, NewProfile, create_url, edit_url, typed_from

Typed = dict[str, str]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("exchange_server", "not reached over IMAP and SMTP here"),
        ("windows_integrated", "Exchange servers only"),
        ("anonymous", "never valid"),
        ("ntlm", "SMTP only"),
    ],
)
def test_what_does_not_work_here_is_listed_with_its_reason(
    client: Client, environment: Environment, value: str, reason: str
) -> None:
    page = client.get(create_url(environment)).content.decode()
    assert re.search(rf'<option value="{value}" disabled>[^<]*\({reason}\)', page)


@pytest.mark.parametrize(
    ("page", "name"),
    [
        ("profile_create", "Credential Specified by user or queue"),
        ("profile_create_full", "Credentials Specified by a User or Queue"),
    ],
)
def test_panel_and_full_form_each_call_a_way_to_sign_in_as_the_one_they_stand_for(
    client: Client, environment: Environment, page: str, name: str
) -> None:
    shown = client.get(reverse(f"profiles:{page}", args=[environment.slug])).content.decode()
    assert f'<option value="credentials_by_user_or_queue" selected>{name}</option>' in shown


def test_a_profile_is_created(client: Client, environment: Environment, typed: Typed, person: User) -> None:
    answer = client.post(create_url(environment), typed)
    made = ServerProfile.objects.get(name="Northwind")
    assert answer.status_code == 302
    assert (made.environment, made.modified_by) == (environment, person)


def test_htmx_hears_that_it_was_created(client: Client, environment: Environment, typed: Typed) -> None:
    answer = client.post(create_url(environment), typed, headers=HTMX)
    assert "Northwind was created" in answer.headers["HX-Trigger"]
    assert "records:changed" in answer.headers["HX-Trigger"]


@pytest.mark.parametrize(
    ("protocol", "security", "port"),
    [("imap", "tls", 993), ("imap", "starttls", 143), ("pop3", "tls", 995), ("pop3", "starttls", 110)],
)
def test_empty_ports_are_filled_by_protocol_and_security(
    client: Client, environment: Environment, typed: Typed, protocol: str, security: str, port: int
) -> None:
    chosen = {"incoming_protocol": protocol, "incoming_security": security, "outgoing_security": "starttls"}
    client.post(create_url(environment), {**typed, **chosen})
    made = ServerProfile.objects.get()
    assert (made.incoming_protocol, made.incoming_port, made.outgoing_port) == (protocol, port, 587)


def test_the_panel_names_the_ports_that_are_open(
    client: Client, environment: Environment, settings: object
) -> None:
    settings.NETWORK_POLICY = NetworkPolicy(allowed_ports=parse_ports("465,993,8000-8002"))  # type: ignore[attr-defined]
    page = client.get(create_url(environment)).content.decode()
    assert "Open for outbound connections: 465, 993, 8000 to 8002." in page


def test_a_port_outside_the_policy_is_refused_in_its_field(
    client: Client, environment: Environment, typed: Typed, settings: object
) -> None:
    settings.NETWORK_POLICY = NetworkPolicy(allowed_ports=parse_ports("465,993"))  # type: ignore[attr-defined]
    answer = client.post(create_url(environment), {**typed, "incoming_port": "143"})
    page = answer.content.decode()
    assert answer.status_code == 422
    assert re.search(r'id="id_incoming_port_error".*143', page, re.DOTALL)
    assert 'value="imap.northwind.example"' in page


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("name", "", "Enter a name that people will recognise"),
        ("name", "a\x00b", "Null characters are not allowed"),
        ("name", "a\rb", "must not contain a line break"),
        ("incoming_location", "", "Enter the host that mail is read from"),
        ("incoming_location", "imap://a.example", "without a scheme"),
        ("outgoing_location", "two words", "name"),
        ("incoming_port", "0", "A port is a number from 1 to 65535"),
        ("incoming_port", "70000", "A port is a number from 1 to 65535"),
        ("incoming_port", "imap", "A port is a number from 1 to 65535"),
        ("minimum_polling_interval", "1441", "at most 1440 minutes"),
        ("maximum_concurrent_connections", "301", "at most 300 connections"),
        ("timeout_seconds", "101", "at most 100 seconds"),
        ("ca_certificates", "not a certificate", "BEGIN CERTIFICATE"),
        ("pinned_certificates", "3A:5F", "64 hexadecimal digits"),
        ("authentication_type", "anonymous", "never read or sent without credentials"),
        ("authentication_type", "windows_integrated", "Exchange servers only"),
        ("authentication_type", "gopher", "Select a valid choice"),
        ("server_type", "exchange_server", "Choose Other"),
        ("incoming_authentication_protocol", "ntlm", "Choose Auto Detect or Basic"),
        ("incoming_protocol", "gopher", "Select a valid choice"),
        ("owner", "999999", "Select a valid choice"),
    ],
)
def test_what_is_wrong_is_said_in_its_field(
    client: Client, environment: Environment, typed: Typed, field: str, value: str, sentence: str
) -> None:
    answer = client.post(create_url(environment), {**typed, field: value}, headers=HTMX)
    page = answer.content.decode()
    assert answer.status_code == 422
    assert re.search(rf'id="id_{field}_error">.*?{sentence}', page, re.DOTALL)
    assert f'href="#id_{field}"' in page


def test_an_owner_who_lost_their_role_is_refused_since_they_would_be_told_nothing(
    client: Client, profile: ServerProfile, typed: Typed
) -> None:
    left = User.objects.create_user("lena")
    ServerProfile.objects.filter(pk=profile.pk).update(owner=left)
    profile.refresh_from_db()
    owned = typed_from(profile, typed, owner=str(left.pk))
    page = client.post(edit_url(profile), owned, headers=HTMX).content.decode()
    assert re.search(r'id="id_owner_error">.*?would not see the alerts', page, re.DOTALL)
    Membership.objects.create(user=left, environment=profile.environment, role=Role.MEMBER)
    page = client.post(edit_url(profile), owned, headers=HTMX).content.decode()
    assert "would not see the alerts" not in page


@pytest.mark.parametrize("wrong", [{"incoming_location": ""}, {"incoming_port": "70000"}])
def test_a_field_says_one_thing_only(
    client: Client, environment: Environment, typed: Typed, wrong: Typed
) -> None:
    page = client.post(create_url(environment), {**typed, **wrong}).content.decode()
    assert "One field needs your attention" in page


def test_nothing_typed_is_lost(client: Client, environment: Environment, typed: Typed) -> None:
    wrong = {
        **typed,
        "name": "",
        "description": "For the branch",
        "notes": "Ask Anna",
        "timeout_seconds": "12",
    }
    page = client.post(create_url(environment), wrong).content.decode()
    assert "For the branch" in page
    assert "Ask Anna" in page
    assert 'value="12"' in page


def test_the_name_of_another_profile_is_refused(
    client: Client, environment: Environment, profile: ServerProfile, typed: Typed
) -> None:
    answer = client.post(create_url(environment), {**typed, "name": "CONTOSO imap"})
    assert answer.status_code == 422
    assert "Another server profile is named CONTOSO imap" in answer.content.decode()


def test_the_same_name_is_free_in_another_environment(
    client: Client, profile: ServerProfile, typed: Typed
) -> None:
    Environment.objects.create(slug="fabrikam", name="Fabrikam")
    client.post("/environments/fabrikam/server-profiles/new/", {**typed, "name": profile.name})
    assert ServerProfile.objects.filter(name=profile.name).count() == 2


def test_creating_a_default_moves_it(
    client: Client, environment: Environment, new_profile: NewProfile, typed: Typed
) -> None:
    new_profile("Old", is_default=True)
    client.post(create_url(environment), {**typed, "is_default": "on"})
    assert [profile.name for profile in ServerProfile.objects.filter(is_default=True)] == ["Northwind"]


def test_credentials_of_the_profile_are_kept(
    client: Client, environment: Environment, in_profile: Typed
) -> None:
    client.post(create_url(environment), in_profile)
    made = ServerProfile.objects.get()
    assert (made.user_name, made.password.reveal()) == ("relay", "open sesame")


def test_credentials_of_the_profile_are_needed_then(
    client: Client, environment: Environment, in_profile: Typed
) -> None:
    page = client.post(
        create_url(environment), {**in_profile, "user_name": "", "password": ""}
    ).content.decode()
    assert "Enter the user name that signs in for all mailboxes" in page
    assert "Enter the password of that user" in page


def test_a_password_is_never_sent_back_and_asked_for_again(
    client: Client, environment: Environment, in_profile: Typed
) -> None:
    page = client.post(create_url(environment), {**in_profile, "name": ""}).content.decode()
    assert "open sesame" not in page
    assert "Type the password again" in page


def test_a_line_break_in_a_password_is_refused(
    client: Client, environment: Environment, in_profile: Typed
) -> None:
    page = client.post(create_url(environment), {**in_profile, "password": "a\r\nRCPT"}).content.decode()
    assert "The password must not contain a line break" in page


def test_an_empty_password_leaves_the_saved_one(
    client: Client, environment: Environment, in_profile: Typed
) -> None:
    client.post(create_url(environment), in_profile)
    made = ServerProfile.objects.get()
    client.post(edit_url(made), {**in_profile, "password": "", "user_name": "other"})
    made.refresh_from_db()
    assert (made.user_name, made.password.reveal()) == ("other", "open sesame")


def test_credentials_that_nothing_uses_any_more_are_forgotten(
    client: Client, environment: Environment, in_profile: Typed
) -> None:
    client.post(create_url(environment), in_profile)
    made = ServerProfile.objects.get()
    client.post(edit_url(made), {**in_profile, "authentication_type": "credentials_by_user_or_queue"})
    made.refresh_from_db()
    assert not made.password
    assert not made.user_name


def test_outgoing_may_have_credentials_of_its_own(
    client: Client, environment: Environment, typed: Typed
) -> None:
    own = {**typed, "outgoing_authentication_type": "credentials_in_profile", "outgoing_user_name": "sender"}
    del own["use_same_settings_for_outgoing"]
    client.post(create_url(environment), {**own, "outgoing_password": "secret"})
    made = ServerProfile.objects.get()
    assert made.authentication_type == "credentials_by_user_or_queue"
    assert made.outgoing_password.reveal() == "secret"


def test_over_plain_http_from_afar_credentials_are_locked_with_the_reason(
    client: Client, environment: Environment, settings: object
) -> None:
    settings.ALLOWED_HOSTS = ["console.example"]  # type: ignore[attr-defined]
    page = client.get(create_url(environment), SERVER_NAME="console.example").content.decode()
    assert "The connection to this console is not encrypted." in page
    assert re.search(r'name="user_name"[^>]*disabled', page)
    assert re.search(r'name="password"[^>]*disabled', page)


def test_locked_credentials_are_not_accepted_either(
    client: Client, environment: Environment, in_profile: Typed, settings: object
) -> None:
    settings.ALLOWED_HOSTS = ["console.example"]  # type: ignore[attr-defined]
    answer = client.post(create_url(environment), in_profile, SERVER_NAME="console.example")
    assert answer.status_code == 422


def test_over_https_credentials_are_open(client: Client, environment: Environment, settings: object) -> None:
    settings.ALLOWED_HOSTS = ["console.example"]  # type: ignore[attr-defined]
    page = client.get(create_url(environment), SERVER_NAME="console.example", secure=True).content.decode()
    assert "is not encrypted" not in page


def test_the_timeout_is_shown_in_seconds_and_stored_in_milliseconds(
    client: Client, environment: Environment, typed: Typed
) -> None:
    client.post(create_url(environment), {**typed, "timeout_seconds": "2.5"})
    made = ServerProfile.objects.get()
    assert made.timeout_ms == 2500
    assert 'value="2.5"' in client.get(edit_url(made)).content.decode()


def test_type_and_protocol_are_fixed_once_a_profile_exists(client: Client, profile: ServerProfile) -> None:
    page = client.get(edit_url(profile)).content.decode()
    assert re.search(r'name="server_type"[^>]*disabled', page)
    assert re.search(r'name="incoming_protocol"[^>]*disabled', page)


def test_a_profile_is_edited(client: Client, profile: ServerProfile, typed: Typed) -> None:
    client.post(edit_url(profile), typed_from(profile, typed, name="Contoso Mail", incoming_port="143"))
    profile.refresh_from_db()
    assert (profile.name, profile.incoming_port, profile.version) == ("Contoso Mail", 143, 2)


def test_a_changed_connection_asks_for_a_test(
    client: Client, profile: ServerProfile, typed: Typed, new_mailbox: NewMailbox
) -> None:
    new_mailbox("anna", server_profile=profile)
    answer = client.post(edit_url(profile), typed_from(profile, typed, incoming_port="143"), headers=HTMX)
    assert "1 mailbox uses it and connects otherwise now" in answer.headers["HX-Trigger"]


def test_save_and_test_leads_to_the_test(
    client: Client, profile: ServerProfile, typed: Typed, new_mailbox: NewMailbox
) -> None:
    new_mailbox("anna", server_profile=profile)
    answer = client.post(edit_url(profile), typed_from(profile, typed, then="test"))
    assert answer.headers["Location"].endswith("/diagnose/")


def test_the_second_editor_is_told_and_keeps_what_was_typed(
    client: Client, profile: ServerProfile, typed: Typed
) -> None:
    client.post(edit_url(profile), typed_from(profile, typed, name="First", timeout_seconds="20"))
    second = typed_from(profile, typed, description="Mine")
    answer = client.post(edit_url(profile), second)
    page = answer.content.decode()
    assert answer.status_code == 422
    assert "Rosa Keller saved this record while you were editing it" in page
    assert "Mine" in page
    assert "Saved meanwhile: <b>First</b>" in page
    assert "Saved meanwhile: <b>20</b>" in page


def test_saving_again_is_a_decision(client: Client, profile: ServerProfile, typed: Typed) -> None:
    client.post(edit_url(profile), typed_from(profile, typed, name="First"))
    page = client.post(edit_url(profile), typed_from(profile, typed, name="Second")).content.decode()
    shown = re.search(r'name="version" value="(\d+)"', page)
    assert shown
    client.post(edit_url(profile), typed_from(profile, typed, name="Second", version=shown[1]))
    profile.refresh_from_db()
    assert profile.name == "Second"


def test_a_profile_that_was_deleted_meanwhile_is_a_404(
    client: Client, profile: ServerProfile, typed: Typed
) -> None:
    url = edit_url(profile)
    profile.delete()
    assert client.post(url, typed).status_code == 404


def test_the_panel_stands_open_on_its_page_without_script(client: Client, profile: ServerProfile) -> None:
    page = client.get(edit_url(profile)).content.decode()
    assert re.search(r'<dialog class="panel"[^>]* open>', page)
    assert "<h1>" in page
