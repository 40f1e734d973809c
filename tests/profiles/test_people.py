import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.test import Client
from django.urls import reverse

from profiles import access, people
from profiles.access import Permission
from profiles.choices import Role
from profiles.models import Environment, Membership, ServerProfile
from profiles.people import Wanted

ADMIN = frozenset({Role.SYSTEM_ADMINISTRATOR.value})
MAILBOXES = frozenset({Role.MAILBOX_ADMINISTRATOR.value})
STRONG = "correct horse battery staple"


@pytest.fixture
def admin(environment: Environment) -> User:
    """Give the only System Administrator of the environment, who may not read email."""
    made = User.objects.create_user("adam", "adam@contoso.example", "x", first_name="Adam", last_name="Ng")
    people.set_roles(environment, made, Wanted(ADMIN), by=None)
    return made


@pytest.fixture
def member(environment: Environment) -> User:
    """Give a member of the environment."""
    made = User.objects.create_user("mia", "mia@contoso.example", "x", first_name="Mia", last_name="Berg")
    people.set_roles(environment, made, Wanted(frozenset({Role.MEMBER.value})), by=None)
    return made


@pytest.fixture
def browser(admin: User) -> Client:
    """Give a browser in which the System Administrator is signed in."""
    client = Client(SERVER_NAME="localhost")
    client.force_login(admin)
    return client


def url(name: str, environment: Environment, *args: int) -> str:
    return reverse(f"profiles:{name}", args=[environment.slug, *args])


def fresh(user: User) -> User:
    return User.objects.get(pk=user.pk)


def test_the_page_lists_people_with_their_roles_and_says_what_roles_mean(
    browser: Client, environment: Environment, member: User
) -> None:
    page = browser.get(url("people_list", environment)).content.decode()
    assert "Mia Berg" in page
    assert "Adam Ng" in page
    assert "Sees everything except email, and changes nothing." in page


def test_somebody_is_added_by_their_exact_email_address(
    browser: Client, environment: Environment, colleague: User
) -> None:
    User.objects.filter(pk=colleague.pk).update(email="Paul@contoso.example")
    sent = {"who": "paul@contoso.example", "auditor": "on"}
    browser.post(url("person_add", environment), sent)
    assert [m.role for m in Membership.objects.filter(user=colleague)] == ["auditor"]


def test_an_account_named_like_the_address_of_another_is_not_taken_for_it(
    browser: Client, environment: Environment, colleague: User
) -> None:
    User.objects.filter(pk=colleague.pk).update(email="paul@contoso.example")
    User.objects.create_user("paul@contoso.example", "squatter@elsewhere.example", "x")
    response = browser.post(url("person_add", environment), {"who": "paul@contoso.example", "member": "on"})
    assert (response.status_code, list(response.context["form"].errors)) == (422, ["who"])


def test_an_unknown_name_offers_a_new_account(browser: Client, environment: Environment) -> None:
    response = browser.post(url("person_add", environment), {"who": "nora", "member": "on"})
    assert response.status_code == 422
    assert "Create a new account" in response.content.decode()


def test_a_new_account_can_sign_in_with_its_initial_password(
    browser: Client, environment: Environment
) -> None:
    sent = {"who": "nora", "is_new": "on", "email": "nora@contoso.example", "password": STRONG}
    browser.post(url("person_add", environment), {**sent, "member": "on"})
    nora = User.objects.get(username="nora")
    assert nora.check_password(STRONG)
    assert not nora.is_superuser
    assert access.belongs(nora, environment)


def test_a_new_account_needs_a_safe_connection(browser: Client, environment: Environment) -> None:
    sent = {"who": "nora", "is_new": "on", "password": STRONG, "member": "on"}
    response = browser.post(url("person_add", environment), sent, REMOTE_ADDR="192.0.2.7")
    assert response.status_code == 422
    assert not User.objects.filter(username="nora").exists()


def test_a_weak_initial_password_is_refused_at_its_field(browser: Client, environment: Environment) -> None:
    sent = {"who": "nora", "is_new": "on", "password": "12345678", "member": "on"}
    assert "too common" in browser.post(url("person_add", environment), sent).content.decode()
    assert not User.objects.filter(username="nora").exists()


def test_roles_are_replaced_by_what_was_chosen(
    browser: Client, environment: Environment, member: User
) -> None:
    sent = {"mailbox_administrator": "on", "may_read_mailboxes": "on"}
    browser.post(url("person_edit", environment, member.pk), sent)
    may = access.permissions(fresh(member), environment)
    assert Permission.READ_MAILBOXES in may
    assert Permission.WRITE_MAILBOXES not in may


def test_who_may_not_read_email_gives_it_to_nobody(
    browser: Client, environment: Environment, member: User, admin: User
) -> None:
    sent = {"mailbox_administrator": "on", "may_read_mailboxes": "on", "may_read_email": "on"}
    browser.post(url("person_edit", environment, member.pk), sent)
    assert Permission.READ_EMAIL not in access.permissions(fresh(member), environment)
    with pytest.raises(people.Refused):
        people.set_roles(environment, admin, Wanted(ADMIN, may_read_email=True), by=fresh(admin))


def test_an_administrator_of_the_installation_gives_read_email(
    environment: Environment, member: User, person: User
) -> None:
    people.set_roles(environment, member, Wanted(MAILBOXES, may_read_email=True), by=person)
    assert Permission.READ_EMAIL in access.permissions(fresh(member), environment)


def test_the_last_system_administrator_cannot_demote_themselves(
    browser: Client, environment: Environment, admin: User
) -> None:
    response = browser.post(url("person_edit", environment, admin.pk), {"auditor": "on"})
    assert response.status_code == 422
    assert "You are the last System Administrator" in response.content.decode()


def test_the_last_system_administrator_cannot_remove_themselves(
    browser: Client, environment: Environment, admin: User
) -> None:
    response = browser.post(url("person_remove", environment, admin.pk))
    assert "You are the last System Administrator" in response.content.decode()
    assert Membership.objects.filter(user=admin).exists()


def test_one_of_two_system_administrators_may_leave(
    browser: Client, environment: Environment, admin: User, member: User
) -> None:
    people.set_roles(environment, member, Wanted(ADMIN), by=None)
    assert browser.post(url("person_remove", environment, admin.pk)).status_code == 302
    assert browser.get(url("people_list", environment)).status_code == 404


def test_who_owns_server_profiles_is_removed_with_a_warning_that_names_them(
    browser: Client, environment: Environment, member: User
) -> None:
    question = url("person_remove", environment, member.pk)
    assert "Choose another owner" not in browser.get(question).content.decode()
    for name in ("Northwind", "Contoso"):
        ServerProfile.objects.create(environment=environment, name=name, owner=member)
    assert "Choose another owner for Contoso and Northwind." in browser.get(question).content.decode()


def test_a_role_is_needed(browser: Client, environment: Environment, member: User) -> None:
    response = browser.post(url("person_edit", environment, member.pk), {"may_read_mailboxes": "on"})
    assert "Choose at least one role" in response.content.decode()


def test_a_member_changes_nobody(environment: Environment, member: User) -> None:
    with pytest.raises(PermissionDenied):
        people.set_roles(environment, member, Wanted(ADMIN), by=member)


def test_whoever_creates_an_environment_administers_it(client: Client, person: User) -> None:
    client.post(
        reverse("profiles:environment_create"), {"name": "Northwind", "kind": "production", "version": "1"}
    )
    made = Membership.objects.get(environment__slug="northwind")
    assert (made.user, made.role) == (person, Role.SYSTEM_ADMINISTRATOR)


def test_owners_are_chosen_among_the_people_of_the_environment(
    client: Client, environment: Environment, member: User, colleague: User
) -> None:
    page = client.get(reverse("profiles:profile_create", args=[environment.slug])).content.decode()
    assert "Mia Berg" in page
    assert "Paul Brand" not in page


def test_only_administrators_of_the_installation_change_the_address_of_an_account(
    browser: Client, client: Client, environment: Environment, member: User
) -> None:
    sent = {"member": "on", "email": "ceo@contoso.example"}
    browser.post(url("person_edit", environment, member.pk), sent)
    assert fresh(member).email == "mia@contoso.example"
    client.post(url("person_edit", environment, member.pk), sent)
    assert fresh(member).email == "ceo@contoso.example"


def test_the_second_who_changes_roles_is_told(
    browser: Client, environment: Environment, member: User
) -> None:
    panel = url("person_edit", environment, member.pk)
    seen = browser.get(panel).context["form"]["seen"].value()
    people.set_roles(environment, member, Wanted(frozenset({Role.AUDITOR.value})), by=None)
    response = browser.post(panel, {"member": "on", "email_approver": "on", "seen": seen})
    assert response.status_code == 422
    assert "Somebody else changed these roles meanwhile" in response.content.decode()
    assert Membership.objects.get(user=member).role == Role.AUDITOR


def test_roles_that_nobody_else_changed_are_saved(
    browser: Client, environment: Environment, member: User
) -> None:
    panel = url("person_edit", environment, member.pk)
    seen = browser.get(panel).context["form"]["seen"].value()
    browser.post(panel, {"auditor": "on", "seen": seen})
    assert Membership.objects.get(user=member).role == Role.AUDITOR
