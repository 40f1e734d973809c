import json

from django.test import Client
from django.urls import reverse

from profiles.models import Environment, ServerProfile
from tests.profiles.conftest import HTMX, NewMailbox, NewProfile, command_url, edit_url, list_url


def toast(answer: object) -> dict[str, str]:
    return dict(json.loads(answer.headers["HX-Trigger"])["toast"])  # type: ignore[attr-defined]


def test_edit_leads_to_the_panel(client: Client, profile: ServerProfile) -> None:
    answer = client.post(command_url(profile.environment), {"action": "edit", "ids": [str(profile.pk)]})
    assert answer.headers["Location"] == edit_url(profile)


def test_a_test_of_all_mailboxes_leads_to_its_question(client: Client, profile: ServerProfile) -> None:
    answer = client.post(command_url(profile.environment), {"action": f"diagnose:{profile.pk}"})
    assert answer.headers["Location"] == reverse("mailboxes:profile_diagnose", args=["contoso", profile.pk])


def test_edit_needs_exactly_one(client: Client, environment: Environment, new_profile: NewProfile) -> None:
    ids = [str(new_profile("A").pk), str(new_profile("B").pk)]
    answer = client.post(command_url(environment), {"action": "edit", "ids": ids}, headers=HTMX)
    assert toast(answer)["title"] == "Select one server profile"


def test_set_as_default_moves_the_default(
    client: Client, environment: Environment, profile: ServerProfile, new_profile: NewProfile
) -> None:
    new_profile("Old", is_default=True)
    answer = client.post(
        command_url(environment), {"action": "default", "ids": [str(profile.pk)]}, headers=HTMX
    )
    assert toast(answer)["title"] == "Contoso IMAP is the default now"
    assert list(ServerProfile.objects.filter(is_default=True)) == [profile]


def test_an_inactive_profile_as_default_is_refused_with_the_way_out(
    client: Client, environment: Environment, new_profile: NewProfile
) -> None:
    retired = new_profile("Retired", is_active=False)
    answer = client.post(command_url(environment), {"action": f"default:{retired.pk}"}, headers=HTMX)
    assert toast(answer)["text"] == "Retired is inactive. Activate it first, then set it as default."


def test_deactivation_asks_first_and_counts_the_mailboxes(
    client: Client, profile: ServerProfile, new_mailbox: NewMailbox
) -> None:
    new_mailbox("anna", server_profile=profile)
    page = client.post(
        command_url(profile.environment), {"action": "deactivate", "ids": [str(profile.pk)]}
    ).content.decode()
    profile.refresh_from_db()
    assert profile.is_active
    assert "1 mailbox will stop." in page


def test_a_confirmed_deactivation_happens(client: Client, profile: ServerProfile) -> None:
    client.post(
        command_url(profile.environment), {"action": "deactivate", "ids": [str(profile.pk)], "confirm": "1"}
    )
    profile.refresh_from_db()
    assert not profile.is_active


def test_the_default_is_left_out_of_a_deactivation_and_named(
    client: Client, environment: Environment, profile: ServerProfile, new_profile: NewProfile
) -> None:
    main = new_profile("Main", is_default=True)
    page = client.post(
        command_url(environment),
        {"action": "deactivate", "ids": [str(profile.pk), str(main.pk)]},
        headers=HTMX,
    ).content.decode()
    assert "<b>Main stays as it is.</b> It is the default for new mailboxes." in page
    assert f'name="ids" value="{profile.pk}"' in page
    assert f'name="ids" value="{main.pk}"' not in page


def test_the_default_alone_cannot_be_deactivated(
    client: Client, environment: Environment, new_profile: NewProfile
) -> None:
    main = new_profile("Main", is_default=True)
    page = client.post(command_url(environment), {"action": f"deactivate:{main.pk}"}, headers=HTMX)
    assert 'name="confirm"' not in page.content.decode()


def test_even_a_forged_confirmation_leaves_the_default_active(
    client: Client, environment: Environment, new_profile: NewProfile
) -> None:
    main = new_profile("Main", is_default=True)
    answer = client.post(
        command_url(environment), {"action": f"deactivate:{main.pk}", "confirm": "1"}, headers=HTMX
    )
    main.refresh_from_db()
    assert main.is_active
    assert toast(answer)["intent"] == "error"


def test_cancel_comes_first_before_something_is_destroyed(client: Client, profile: ServerProfile) -> None:
    page = client.post(command_url(profile.environment), {"action": f"delete:{profile.pk}"}, headers=HTMX)
    assert "data-close autofocus>Cancel" in page.content.decode()


def test_activation_needs_no_question(
    client: Client, environment: Environment, new_profile: NewProfile
) -> None:
    retired = new_profile("Retired", is_active=False)
    client.post(command_url(environment), {"action": f"activate:{retired.pk}"})
    retired.refresh_from_db()
    assert retired.is_active


def test_deletion_asks_first(client: Client, profile: ServerProfile) -> None:
    page = client.post(command_url(profile.environment), {"action": f"delete:{profile.pk}"}).content.decode()
    assert "Delete Contoso IMAP with its alerts? This cannot be undone." in page
    assert ServerProfile.objects.exists()


def test_a_confirmed_deletion_happens(client: Client, profile: ServerProfile) -> None:
    client.post(command_url(profile.environment), {"action": f"delete:{profile.pk}", "confirm": "1"})
    assert not ServerProfile.objects.exists()


def test_a_default_profile_in_use_says_both_before_it_can_be_deleted(
    client: Client, environment: Environment, new_profile: NewProfile, new_mailbox: NewMailbox
) -> None:
    main = new_profile("Main", is_default=True)
    new_mailbox("anna", server_profile=main)
    page = client.post(command_url(environment), {"action": f"delete:{main.pk}"}).content.decode()
    assert "Set another profile as default first. 1 mailbox uses it. Move it" in page


def test_a_profile_in_use_stays_and_its_mailboxes_are_named(
    client: Client, profile: ServerProfile, new_mailbox: NewMailbox
) -> None:
    mailbox = new_mailbox("anna", server_profile=profile)
    page = client.post(
        command_url(profile.environment), {"action": f"delete:{profile.pk}"}, headers=HTMX
    ).content.decode()
    assert "1 mailbox uses it." in page
    assert mailbox.get_absolute_url() in page
    assert 'name="confirm"' not in page


def test_a_mailbox_added_after_the_question_keeps_its_profile(
    client: Client, profile: ServerProfile, new_mailbox: NewMailbox
) -> None:
    new_mailbox("anna", server_profile=profile)
    answer = client.post(
        command_url(profile.environment), {"action": f"delete:{profile.pk}", "confirm": "1"}, headers=HTMX
    )
    assert ServerProfile.objects.exists()
    assert "1 mailbox uses it" in toast(answer)["text"]


def test_profiles_of_another_environment_are_out_of_reach(client: Client, profile: ServerProfile) -> None:
    other = Environment.objects.create(slug="fabrikam", name="Fabrikam")
    client.post(command_url(other), {"action": f"delete:{profile.pk}", "confirm": "1"})
    assert ServerProfile.objects.exists()


def test_an_unknown_command_is_a_404(client: Client, environment: Environment) -> None:
    assert client.post(command_url(environment), {"action": "explode"}).status_code == 404


def test_nothing_selected_is_said(client: Client, environment: Environment) -> None:
    answer = client.post(command_url(environment), {"action": "delete"}, headers=HTMX)
    assert toast(answer)["title"] == "Select a server profile first"


def test_a_question_that_was_reloaded_leads_back_to_the_list(
    client: Client, environment: Environment
) -> None:
    assert client.get(command_url(environment)).headers["Location"] == list_url(environment)
