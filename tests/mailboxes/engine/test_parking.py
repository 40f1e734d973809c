"""What holds up a mailbox that works: told once, on the right walls, and resolved by itself."""

from collections.abc import Callable
from datetime import datetime

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from mailboxes.alerts.presenting import Presenter
from mailboxes.choices import AlertLevel, Direction, MailboxKind, ResultStatus
from mailboxes.engine import delivering, diagnosing, parking, scheduling, syncing
from mailboxes.models import Alert, Diagnosis, Mailbox, SyncClaim, WorkerState
from mailboxes.services import approval, diagnosis, editing, wall
from profiles import people, services
from profiles.choices import IncomingMethod, Role
from profiles.models import EmailSettings, Environment, ServerProfile

pytestmark = pytest.mark.django_db(transaction=True)
Receive = Callable[[Mailbox], WorkerState]
Send = Callable[[Mailbox], WorkerState]


@pytest.fixture
def admin(environment: Environment, box: Mailbox, django_user_model: type[User]) -> User:
    """Give the owner of the profile, who administers the environment and owns no mailbox."""
    admin = django_user_model.objects.create_user("ada", "ada@example.org", "a password of hers")
    people.set_roles(environment, admin, people.Wanted(frozenset({Role.SYSTEM_ADMINISTRATOR})), by=None)
    ServerProfile.objects.update(owner=admin)
    return admin


def told() -> list[str]:
    """Return the kinds of the open alerts."""
    return sorted(Alert.objects.open().filter(is_folded=False).values_list("kind", flat=True))


def work() -> None:
    """Do all that is due, as the clock would hand it out."""
    for _turn in range(3):
        now = timezone.now()
        for found in scheduling.claim_due(Diagnosis, now=now):
            diagnosing.run(found.pk)
        for state in scheduling.claim_due(WorkerState, now=now):
            run = syncing.run if state.direction == Direction.INCOMING else delivering.run
            run(state.pk)


def switch(profile: ServerProfile | None, *, active: bool) -> None:
    """Activate or deactivate a profile as an operator does."""
    assert profile is not None
    services.set_active(
        ServerProfile.objects.filter(pk=profile.pk), active=active, by=None, now=timezone.now()
    )


def roles(environment: Environment, person: User, *given: str) -> None:
    """Give somebody these roles and no others."""
    people.set_roles(environment, person, people.Wanted(frozenset(given)), by=None)


def test_a_running_mailbox_of_a_deactivated_profile_says_so_with_cause_consequence_and_remedy(
    box: Mailbox,
) -> None:
    switch(box.server_profile, active=False)
    work()
    alert = Alert.objects.open().get(mailbox=box)
    words = Presenter().present(alert)
    assert words.title == "Email for Ana Bowman waits"
    assert words.text.startswith("The server profile Scripted servers is inactive. Email waits until")
    assert words.remedy.startswith("Activate the server profile, or choose another one for the mailbox.")
    assert [label for label, _url in words.links] == ["Open mailbox", "Open server profile"]
    assert (alert.level, alert.error_code) == (AlertLevel.ERROR, "profile_inactive")


def test_it_stands_on_the_walls_of_mailbox_profile_and_both_owners(
    box: Mailbox, owner: User, admin: User
) -> None:
    switch(box.server_profile, active=False)
    work()
    assert box.server_profile is not None
    walls = (
        wall.of_mailbox(box),
        wall.of_profile(box.server_profile),
        wall.of_person(owner),
        wall.of_person(admin),
    )
    assert [list(found.open().values_list("kind", flat=True)) for found in walls] == [["mailbox_parked"]] * 4


def test_it_is_told_once_however_often_it_is_looked_at(box: Mailbox, receive: Receive, send: Send) -> None:
    switch(box.server_profile, active=False)
    receive(box)
    send(box)
    receive(box)
    assert Alert.objects.get(mailbox=box).count == 1


def test_mailboxes_that_wait_for_the_same_are_gathered_under_their_profile(
    box: Mailbox, profile_of_two: ServerProfile
) -> None:
    switch(profile_of_two, active=False)
    work()
    assert told() == ["parked_together"]
    gathered = Alert.objects.get(kind="parked_together")
    assert Presenter().present(gathered, members=2).title == "Email of 2 mailboxes of Scripted servers waits"
    switch(profile_of_two, active=True)
    work()
    assert told() == []


@pytest.fixture
def profile_of_two(box: Mailbox, now: datetime) -> ServerProfile:
    """Give the profile with a second mailbox that runs."""
    other = Mailbox(
        environment=box.environment,
        name="Ben",
        address="ben@example.org",
        owner=box.owner,
        server_profile=box.server_profile,
        allow_credentials=True,
        user_name="ben",
        password="a password",
    )
    editing.create(other, by=None)
    approval.approve(Mailbox.objects.filter(pk=other.pk), by=None, now=now)
    WorkerState.objects.filter(mailbox=other).update(is_enabled=True, due_at=now)
    assert box.server_profile is not None
    return box.server_profile


def test_activation_resolves_it_and_email_goes_on(box: Mailbox) -> None:
    switch(box.server_profile, active=False)
    work()
    switch(box.server_profile, active=True)
    work()
    assert told() == []
    state = WorkerState.objects.get(mailbox=box, direction=Direction.INCOMING)
    assert (state.told, state.last_success_on is not None) == ("", True)


def test_a_move_to_an_active_profile_resolves_it(box: Mailbox, now: datetime) -> None:
    switch(box.server_profile, active=False)
    work()
    other = ServerProfile.objects.create(
        environment=box.environment, name="Other", incoming_location="x", outgoing_location="x"
    )
    editing.move(Mailbox.objects.filter(pk=box.pk), environment=box.environment, to=other, by=None, now=now)
    assert told() == []


def test_a_mailbox_that_only_sends_says_it_too(box: Mailbox) -> None:
    Mailbox.objects.update(incoming=IncomingMethod.NONE)
    WorkerState.objects.filter(direction=Direction.INCOMING).update(is_enabled=False, due_at=None)
    switch(box.server_profile, active=False)
    work()
    assert told() == ["mailbox_parked"]


def test_a_mailbox_that_is_switched_off_on_purpose_tells_nothing(
    box: Mailbox, receive: Receive, now: datetime
) -> None:
    switch(box.server_profile, active=False)
    work()
    editing.set_active(Mailbox.objects.filter(pk=box.pk), active=False, by=None, now=now)
    receive(box)
    assert told() == []


def test_a_running_mailbox_whose_address_is_rejected_says_so_until_it_is_approved(
    box: Mailbox, receive: Receive
) -> None:
    approval.reject(Mailbox.objects.filter(pk=box.pk), by=None, now=timezone.now())
    receive(box)
    assert told() == ["not_approved"]
    approval.approve(Mailbox.objects.filter(pk=box.pk), by=None, now=timezone.now())
    assert told() == []


def test_when_approval_is_required_no_more_the_alert_is_resolved(box: Mailbox, receive: Receive) -> None:
    approval.reject(Mailbox.objects.filter(pk=box.pk), by=None, now=timezone.now())
    receive(box)
    EmailSettings.objects.update(process_only_approved_users=False)
    receive(box)
    assert told() == []


def test_an_address_that_another_environment_took_while_the_mailbox_was_off_is_told(
    box: Mailbox, receive: Receive, now: datetime
) -> None:
    other = Environment.objects.create(slug="fabrikam", name="Fabrikam")
    theirs = Mailbox.objects.create(environment=other, name="Theirs", address=box.address)
    SyncClaim.objects.create(address=box.address, environment=other, mailbox=theirs, claimed_on=now)
    receive(box)
    assert Alert.objects.open().get(mailbox=box).error_code == "claimed_elsewhere"
    SyncClaim.objects.all().delete()
    receive(box)
    assert told() == []


def test_a_test_that_met_an_inactive_profile_is_repeated_by_itself_upon_activation(box: Mailbox) -> None:
    switch(box.server_profile, active=False)
    diagnosis.start(
        Mailbox.objects.filter(pk=box.pk), environment=box.environment, by=None, now=timezone.now()
    )
    work()
    assert told() == ["mailbox_parked"]
    switch(box.server_profile, active=True)
    work()
    assert [kind for kind in told() if kind != "configuration_succeeded"] == []
    assert set(WorkerState.objects.values_list("is_enabled", "status")) == {(True, ResultStatus.SUCCESS)}


def test_a_profile_without_a_location_is_told_and_is_over_when_it_has_one(box: Mailbox) -> None:
    location = box.server_profile.incoming_location if box.server_profile else ""
    ServerProfile.objects.update(incoming_location="")
    WorkerState.objects.update(is_enabled=False, due_at=None, status=ResultStatus.NOT_RUN)
    diagnosis.start(
        Mailbox.objects.filter(pk=box.pk), environment=box.environment, by=None, now=timezone.now()
    )
    work()
    alert = Alert.objects.open().get(kind="incoming_untested")
    words = Presenter().present(alert)
    assert words.text.startswith(
        "The server profile Scripted servers names no server, or no port, for incoming"
    )
    assert words.remedy.startswith("Enter location and port in the server profile")
    assert alert.error_code == "location_missing"
    profile = ServerProfile.objects.get()
    profile.incoming_location = location
    services.save_profile(profile, by=None, now=timezone.now())
    work()
    assert not Alert.objects.open().filter(kind__startswith="incoming").exists()


def test_a_mailbox_that_runs_on_a_profile_that_lost_its_port_says_so(box: Mailbox, receive: Receive) -> None:
    ServerProfile.objects.update(incoming_port=None)
    receive(box)
    assert Alert.objects.open().get(mailbox=box).error_code == "location_missing"


def test_what_holds_up_one_direction_is_told_still_when_the_other_recovers(
    box: Mailbox, receive: Receive
) -> None:
    ServerProfile.objects.update(incoming_port=None)
    receive(box)
    parking.resolve(Mailbox.objects.get(pk=box.pk), now=timezone.now())
    receive(box)
    assert told() == ["mailbox_parked"]


def test_an_owner_who_loses_their_role_is_told_to_the_owner_of_the_profile(
    box: Mailbox, owner: User, admin: User
) -> None:
    roles(box.environment, owner)
    work()
    alert = wall.of_person(admin).open().get()
    words = Presenter().present(alert)
    assert (alert.kind, alert.level) == ("owner_without_role", AlertLevel.ERROR)
    assert words.text.startswith("Its owner olga has no role in this environment, or no account in use.")
    assert words.remedy.startswith("Give the owner a role under People and roles")
    assert [label for label, _url in words.links] == ["Open mailbox", "Open people"]


def test_the_email_of_an_owner_without_a_role_goes_on(box: Mailbox, owner: User, receive: Receive) -> None:
    roles(box.environment, owner)
    assert receive(box).last_success_on is not None


def test_a_role_given_again_resolves_it_at_once(box: Mailbox, owner: User) -> None:
    roles(box.environment, owner)
    work()
    roles(box.environment, owner, Role.MEMBER)
    assert told() == []
    work()
    assert told() == []


def test_another_owner_with_a_role_resolves_it(box: Mailbox, owner: User, admin: User) -> None:
    roles(box.environment, owner)
    work()
    mailbox = Mailbox.objects.get(pk=box.pk)
    mailbox.owner = admin
    editing.update(mailbox, by=None)
    work()
    assert told() == []


def test_an_account_that_is_switched_off_is_told_at_the_next_turn(
    box: Mailbox, owner: User, receive: Receive
) -> None:
    User.objects.filter(pk=owner.pk).update(is_active=False)
    receive(box)
    assert told() == ["owner_without_role"]


def test_a_queue_whose_owner_has_no_role_is_a_warning(box: Mailbox, owner: User) -> None:
    Mailbox.objects.update(kind=MailboxKind.QUEUE)
    roles(box.environment, owner)
    work()
    alert = Alert.objects.open().get()
    assert (alert.kind, alert.level) == ("queue_owner_without_role", AlertLevel.WARNING)


def test_owners_without_a_role_are_gathered_under_the_profile(
    box: Mailbox, owner: User, profile_of_two: ServerProfile
) -> None:
    roles(box.environment, owner)
    work()
    assert told() == ["owners_without_role"]


@pytest.mark.parametrize("who", [None, "administrator of the installation"])
def test_a_mailbox_of_nobody_and_of_an_administrator_tells_nothing(
    box: Mailbox, receive: Receive, django_user_model: type[User], who: str | None
) -> None:
    root = django_user_model.objects.create_superuser("root", "root@example.org", "a password of theirs")
    Mailbox.objects.update(owner=root if who else None)
    receive(box)
    assert told() == []
