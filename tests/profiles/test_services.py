import pytest
from django.contrib.auth.models import User

from profiles import services
from profiles.models import EmailSettings, Environment, ServerProfile, StaleRecord
from tests.profiles.conftest import NOW, NewMailbox, NewProfile


def defaults(environment: Environment) -> list[str]:
    return [profile.name for profile in environment.server_profiles.filter(is_default=True)]


def test_a_new_environment_gets_an_address_and_email_settings(person: User) -> None:
    made = services.save_environment(Environment(name="Contoso Production"), by=person)
    assert made.slug == "contoso-production"
    assert made.email_settings.maximum_attachment_kb == 5120


@pytest.mark.django_db
def test_environments_of_one_name_have_addresses_of_their_own() -> None:
    services.save_environment(Environment(name="Contoso"), by=None)
    assert services.free_slug("Contoso") == "contoso-2"


@pytest.mark.django_db
def test_a_name_without_latin_letters_leads_to_an_address() -> None:
    assert services.free_slug("東京") == "environment"


@pytest.mark.django_db
def test_no_address_reads_like_a_command() -> None:
    assert services.free_slug("New") == "new-2"


def test_renaming_an_environment_keeps_its_address(environment: Environment) -> None:
    environment.name = "Contoso Holding"
    services.save_environment(environment, by=None)
    assert Environment.objects.get(name="Contoso Holding").slug == "contoso"


def test_a_new_default_takes_over_from_the_one_before(
    environment: Environment, new_profile: NewProfile, person: User
) -> None:
    new_profile("Old", is_default=True)
    fresh = ServerProfile(
        environment=environment,
        name="New",
        is_default=True,
        incoming_location="imap.a.example",
        outgoing_location="smtp.a.example",
        incoming_port=993,
        outgoing_port=465,
    )
    services.save_profile(fresh, by=person, now=NOW)
    assert defaults(environment) == ["New"]


def test_moving_the_default_tells_those_who_edit_the_old_one(new_profile: NewProfile, person: User) -> None:
    old, new = new_profile("Old", is_default=True), new_profile("New")
    services.set_default(new, by=person, now=NOW)
    with pytest.raises(StaleRecord):
        services.save_profile(old, by=person, now=NOW)


def test_moving_the_default_tells_those_who_edit_the_email_settings(
    settings_row: EmailSettings, profile: ServerProfile, person: User
) -> None:
    services.set_default(profile, by=person, now=NOW)
    with pytest.raises(StaleRecord):
        services.save_settings(settings_row, server_profile=None, by=person, now=NOW)


def test_a_refused_save_leaves_the_default_where_it_was(
    environment: Environment, new_profile: NewProfile, person: User
) -> None:
    new_profile("Old", is_default=True)
    stale = new_profile("Stale", version=3)
    stale.version, stale.is_default = 2, True
    with pytest.raises(StaleRecord):
        services.save_profile(stale, by=person, now=NOW)
    assert defaults(environment) == ["Old"]


def test_an_inactive_profile_is_no_default(new_profile: NewProfile, person: User) -> None:
    with pytest.raises(services.NotPossible, match="Activate it first"):
        services.set_default(new_profile("Retired", is_active=False), by=person, now=NOW)


def test_the_default_profile_stays_active(new_profile: NewProfile, person: User) -> None:
    main = new_profile("Main", is_default=True)
    with pytest.raises(services.NotPossible, match="Set another profile as default first"):
        services.set_active(ServerProfile.objects.filter(pk=main.pk), active=False, by=person, now=NOW)


def test_the_default_profile_is_not_deleted(new_profile: NewProfile) -> None:
    with pytest.raises(services.NotPossible, match="Set another profile as default first"):
        services.delete_profile(new_profile("Main", is_default=True), by=None)


def test_a_profile_in_use_is_not_deleted(profile: ServerProfile, new_mailbox: NewMailbox) -> None:
    new_mailbox("anna", server_profile=profile)
    new_mailbox("ben", server_profile=profile)
    with pytest.raises(services.NotPossible, match="2 mailboxes use it"):
        services.delete_profile(profile, by=None)


def test_an_unused_profile_is_deleted(profile: ServerProfile) -> None:
    services.delete_profile(profile, by=None)
    assert not ServerProfile.objects.exists()


def test_two_profiles_of_one_name_are_refused_even_when_both_forms_passed(
    environment: Environment, profile: ServerProfile, person: User
) -> None:
    twin = ServerProfile(environment=environment, name="contoso imap")
    with pytest.raises(services.NameTaken, match="contoso imap"):
        services.save_profile(twin, by=person, now=NOW)


def test_settings_without_a_profile_leave_no_default(
    environment: Environment, settings_row: EmailSettings, new_profile: NewProfile, person: User
) -> None:
    new_profile("Main", is_default=True)
    services.save_settings(settings_row, server_profile=None, by=person, now=NOW)
    assert defaults(environment) == []
