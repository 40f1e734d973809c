import re

import pytest
from django.test import Client
from django.urls import reverse

from profiles.models import EmailSettings, Environment, ServerProfile
from tests.profiles.conftest import HTMX, NewProfile

TYPED = {
    "version": "1",
    "server_profile": "",
    "incoming": "server_side_synchronization",
    "outgoing": "none",
    "process_only_approved_users": "on",
    "alert_errors": "on",
    "maximum_attachment_kb": "2048",
    "blocked_attachment_types": ".EXE, bat;bat\n js",
}


def url(environment: Environment) -> str:
    return reverse("profiles:email_settings", args=[environment.slug])


@pytest.mark.parametrize(
    "name",
    [
        "sync_rights_managed_email",
        "delete_appointments_on_ownership_change",
        "send_to_unresolved_recipients",
        "unresolve_ambiguous_recipients",
        "apply_manual_resolution_to_similar",
        "enhanced_timeline",
    ],
)
def test_a_row_without_an_effect_is_switched_off_and_says_why(
    client: Client, environment: Environment, name: str
) -> None:
    page = client.get(url(environment)).content.decode()
    assert re.search(rf'<input[^>]*name="{name}"[^>]* disabled', page)
    assert re.search(rf'id="id_{name}_helptext">(Without effect|Always)', page)


def test_a_row_without_an_effect_cannot_be_changed(
    client: Client, environment: Environment, settings_row: EmailSettings
) -> None:
    client.post(url(environment), {**TYPED, "sync_rights_managed_email": "on", "use_secure_frames": "on"})
    settings_row.refresh_from_db()
    assert (settings_row.sync_rights_managed_email, settings_row.use_secure_frames) == (False, True)


def test_appointments_are_none_and_the_page_says_why(client: Client, environment: Environment) -> None:
    page = client.get(url(environment)).content.decode()
    assert re.search(r'<select name="act"[^>]*disabled', page)
    assert "IMAP and POP3 servers hold no appointments" in page


def test_settings_are_saved(client: Client, environment: Environment, settings_row: EmailSettings) -> None:
    client.post(url(environment), TYPED)
    settings_row.refresh_from_db()
    assert settings_row.outgoing == "none"
    assert settings_row.process_only_approved_users
    assert not settings_row.process_only_approved_queues
    assert (settings_row.alert_errors, settings_row.alert_warnings) == (True, False)
    assert settings_row.maximum_attachment_kb == 2048


def test_file_endings_are_brought_into_one_form(
    client: Client, environment: Environment, settings_row: EmailSettings
) -> None:
    client.post(url(environment), TYPED)
    settings_row.refresh_from_db()
    assert settings_row.blocked_attachment_types == "exe;bat;js"


def test_what_is_no_file_ending_is_named(client: Client, environment: Environment) -> None:
    answer = client.post(url(environment), {**TYPED, "blocked_attachment_types": "exe;*.*"}, headers=HTMX)
    assert answer.status_code == 422
    assert "*.* is not a file ending" in answer.content.decode()


def test_a_size_over_the_cap_is_refused_and_nothing_typed_is_lost(
    client: Client, environment: Environment
) -> None:
    wrong = {**TYPED, "maximum_attachment_kb": "131073"}
    answer = client.post(url(environment), wrong, headers=HTMX)
    page = answer.content.decode()
    assert answer.status_code == 422
    assert "Enter at most 131,072 KB" in page
    assert 'value="131073"' in page
    assert "<title>" not in page


def test_choosing_a_server_profile_makes_it_the_default(
    client: Client, environment: Environment, profile: ServerProfile
) -> None:
    client.post(url(environment), {**TYPED, "server_profile": str(profile.pk)})
    profile.refresh_from_db()
    assert profile.is_default


def test_an_inactive_profile_is_not_offered(
    client: Client, environment: Environment, new_profile: NewProfile
) -> None:
    retired = new_profile("Retired", is_active=False)
    answer = client.post(url(environment), {**TYPED, "server_profile": str(retired.pk)})
    assert answer.status_code == 422
    assert "Choose an active server profile of this environment" in answer.content.decode()


def test_the_second_editor_is_told_and_sees_the_saved_values(
    client: Client, environment: Environment, profile: ServerProfile
) -> None:
    client.post(url(environment), {**TYPED, "server_profile": str(profile.pk)})
    answer = client.post(url(environment), {**TYPED, "maximum_attachment_kb": "1024"}, headers=HTMX)
    page = answer.content.decode()
    assert answer.status_code == 422
    assert "Rosa Keller saved this record while you were editing it" in page
    assert "Saved meanwhile: <b>2048</b>" in page
    assert "Saved meanwhile: <b>Contoso IMAP</b>" in page
    assert 'value="1024"' in page


def test_an_environment_without_a_row_shows_the_defaults_and_can_be_saved(client: Client, db: None) -> None:
    bare = Environment.objects.create(slug="bare", name="Bare")
    assert 'value="5120"' in client.get(url(bare)).content.decode()
    client.post(url(bare), TYPED)
    assert bare.email_settings.maximum_attachment_kb == 2048


def test_the_page_is_the_same_after_a_save_without_changes(
    client: Client, environment: Environment, settings_row: EmailSettings
) -> None:
    shown = {**TYPED, "blocked_attachment_types": settings_row.blocked_attachment_types.replace(";", "; ")}
    client.post(url(environment), shown)
    before = settings_row.blocked_attachment_types
    settings_row.refresh_from_db()
    assert settings_row.blocked_attachment_types == before
