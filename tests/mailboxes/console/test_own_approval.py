from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.test import Client
from django.urls import reverse

from mailboxes.choices import AddressStatus
from mailboxes.models import Alert, Mailbox
from mailboxes.services import approval, diagnosis
from profiles import people, services
from profiles.choices import Role
from profiles.models import EmailSettings, Environment
from tests.mailboxes.console.conftest import NOW, NewMailbox


@pytest.fixture
def mia(environment: Environment) -> User:
    """Give a member of the environment."""
    made = User.objects.create_user("mia", "Mia.Berg@contoso.example")
    people.set_roles(environment, made, people.Wanted(frozenset({Role.MEMBER.value})), by=None)
    return made


@pytest.fixture
def own(new_mailbox: NewMailbox, mia: User) -> Callable[..., Mailbox]:
    """Give a function that makes a mailbox of Mia's, waiting for approval."""

    def make(name: str = "Mia Berg", **fields: Any) -> Mailbox:
        return new_mailbox(name, **{"owner": mia, "kind": "user", "approved": False, **fields})

    return make


def after_a_try(mailbox: Mailbox, by: User) -> Mailbox:
    """Have the mailbox tested by somebody, and return what is stored then."""
    mine = Mailbox.objects.filter(pk=mailbox.pk)
    diagnosis.start(mine, environment=mailbox.environment, by=by, now=NOW)
    return Mailbox.objects.get(pk=mailbox.pk)


def test_testing_ones_own_mailbox_approves_its_address(own: Callable[..., Mailbox], mia: User) -> None:
    mailbox = after_a_try(own(), mia)
    assert mailbox.address_status == AddressStatus.APPROVED
    assert (mailbox.approved_by, mailbox.approved_on) == (mia, NOW)


def test_whom_a_test_approves_it_tests_too(own: Callable[..., Mailbox], mia: User) -> None:
    mailbox = own()
    waiting = Mailbox.objects.filter(address_status=AddressStatus.PENDING)
    job = diagnosis.start(waiting, environment=mailbox.environment, by=mia, now=NOW)
    assert [each.mailbox for each in job.diagnoses.all()] == [mailbox]


def test_the_owner_is_told_that_their_address_was_approved(own: Callable[..., Mailbox], mia: User) -> None:
    after_a_try(own(), mia)
    assert [alert.kind for alert in Alert.objects.for_person(mia)] == ["address_approved_by_owner"]


def test_a_queue_is_not_approved_by_its_owner(own: Callable[..., Mailbox], mia: User) -> None:
    assert after_a_try(own(kind="queue"), mia).address_status == AddressStatus.PENDING


def test_another_address_than_the_accounts_is_not_approved(own: Callable[..., Mailbox], mia: User) -> None:
    assert after_a_try(own("Someone else"), mia).address_status == AddressStatus.PENDING


def test_a_restricted_environment_lets_nobody_approve_themselves(
    own: Callable[..., Mailbox], mia: User
) -> None:
    EmailSettings.objects.update(restrict_self_approval=True)
    assert after_a_try(own(), mia).address_status == AddressStatus.PENDING


def test_a_rejected_address_stays_rejected(own: Callable[..., Mailbox], mia: User) -> None:
    mailbox = own()
    approval.reject(Mailbox.objects.filter(pk=mailbox.pk), by=None, now=NOW)
    assert after_a_try(mailbox, mia).address_status == AddressStatus.REJECTED


def test_the_owner_cannot_approve_by_command(own: Callable[..., Mailbox], mia: User) -> None:
    with pytest.raises(PermissionDenied):
        approval.approve(Mailbox.objects.filter(pk=own().pk), by=mia, now=NOW)


def test_rejecting_clears_the_stamp(mailbox: Mailbox, person: User) -> None:
    approval.reject(Mailbox.objects.all(), by=person, now=NOW + timedelta(hours=1))
    mailbox.refresh_from_db()
    assert (mailbox.approved_by, mailbox.approved_on) == (None, None)


def test_who_may_not_approve_does_not_turn_approval_off(environment: Environment) -> None:
    customizer = User.objects.create_user("carl")
    wanted = people.Wanted(frozenset({Role.SYSTEM_CUSTOMIZER.value}))
    people.set_roles(environment, customizer, wanted, by=None)
    changed = EmailSettings.objects.get(environment=environment)
    changed.process_only_approved_users = False
    with pytest.raises(PermissionDenied):
        services.save_settings(changed, server_profile=None, by=customizer, now=NOW)


def test_the_page_locks_the_rules_of_approval_for_who_may_not_approve(environment: Environment) -> None:
    customizer = User.objects.create_user("carl")
    wanted = people.Wanted(frozenset({Role.SYSTEM_CUSTOMIZER.value}))
    people.set_roles(environment, customizer, wanted, by=None)
    browser = Client()
    browser.force_login(customizer)
    page = browser.get(reverse("profiles:email_settings", args=[environment.slug])).content.decode()
    assert "Only people who may approve email addresses turn this off." in page


def test_the_question_says_that_the_own_address_is_approved(own: Callable[..., Mailbox], mia: User) -> None:
    mailbox, browser = own(), Client()
    browser.force_login(mia)
    url = reverse("mailboxes:mailbox_diagnose", args=[mailbox.environment.slug])
    page = browser.post(url, {"ids": [str(mailbox.pk)]}).content.decode()
    assert "You approve your own address with this test." in page
    assert "not approved" not in page


def test_the_account_of_another_mailbox_is_not_approved(own: Callable[..., Mailbox], mia: User) -> None:
    assert after_a_try(own(server_account="director"), mia).address_status == AddressStatus.PENDING
