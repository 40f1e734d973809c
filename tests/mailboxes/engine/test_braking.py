"""The brake against bans: a server that refuses many passwords is left alone for a while."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from emailsync.management.selftest.scripted_imap import ScriptedImap, refuse
from mailboxes.choices import AddressStatus, Direction
from mailboxes.engine import braking, diagnosing, switching
from mailboxes.models import Alert, Diagnosis, Mailbox, RefusedSignIn, SignInBrake, WorkerState
from mailboxes.services import diagnosis, readiness
from profiles import services
from profiles.models import Environment, ServerProfile

pytestmark = pytest.mark.django_db(transaction=True)
Receive = Callable[[Mailbox], WorkerState]


@pytest.fixture
def many(box: Mailbox, imap: ScriptedImap) -> list[Mailbox]:
    """Give fifty enabled mailboxes of a server that refuses every password."""
    imap.on("AUTHENTICATE", refuse(b"[AUTHENTICATIONFAILED] Wrong"))
    profile = box.server_profile
    assert profile is not None
    return [box, *(another(profile, number) for number in range(49))]


def another(profile: ServerProfile, number: int) -> Mailbox:
    """Return one more enabled mailbox with a password."""
    mailbox = Mailbox.objects.create(
        environment=profile.environment,
        name=f"Box {number}",
        address=f"box{number}@example.org",
        server_profile=profile,
        address_status=AddressStatus.APPROVED,
        allow_credentials=True,
        user_name=f"box{number}",
        password="wrong",
    )
    switching.write_states([mailbox])
    WorkerState.objects.filter(mailbox=mailbox).update(is_enabled=True, due_at=timezone.now())
    return mailbox


def logins(server: ScriptedImap) -> int:
    """Count the sign-ins that a server saw."""
    return sum(b" AUTHENTICATE " in line or b" LOGIN " in line for line in server.heard)


def test_of_fifty_mailboxes_with_wrong_passwords_five_knock(
    many: list[Mailbox], imap: ScriptedImap, receive: Receive
) -> None:
    for mailbox in many:
        receive(mailbox)
    assert logins(imap) == 5
    brake = SignInBrake.objects.get()
    assert (brake.host, brake.mailboxes) == ("localhost", 5)
    waiting = WorkerState.objects.filter(direction=Direction.INCOMING, is_enabled=True)
    assert waiting.count() == 45
    assert set(waiting.values_list("due_at", "transient_failures")) == {(brake.next_try_on, 0)}


def test_people_are_told_once_with_the_next_try(many: list[Mailbox], receive: Receive) -> None:
    for mailbox in many[:10]:
        receive(mailbox)
    alert = Alert.objects.get(kind="sign_ins_paused")
    assert alert.server_profile == many[0].server_profile
    assert alert.parameters["retry_at"] == SignInBrake.objects.get().next_try_on.isoformat()


def test_another_environment_at_the_host_pauses_too_and_learns_nothing_of_whose_fault_it_is(
    many: list[Mailbox], receive: Receive
) -> None:
    elsewhere = Environment.objects.create(slug="fabrikam", name="Fabrikam")
    profile = ServerProfile.objects.create(
        environment=elsewhere,
        name="Theirs",
        incoming_location="LOCALHOST",
        incoming_port=993,
        outgoing_location="smtp.fabrikam.example",
        outgoing_port=465,
    )
    theirs = another(profile, 99)
    for mailbox in many[:6]:
        receive(mailbox)
    alert = Alert.objects.get(kind="sign_ins_paused", environment=elsewhere)
    assert {name for name, value in alert.parameters.items() if value} == {
        *("host", "retry_at", "profile", "profile_id")
    }
    incoming, _outgoing = readiness.courses(theirs, now=timezone.now())
    said = [check.sentence for check in incoming.checks if check.name == "brake"]
    assert said == ["Sign-ins at localhost are paused: too many were refused."]
    with pytest.raises(braking.SignInsPaused) as caught:
        braking.check(theirs, "incoming", now=timezone.now())
    assert str(caught.value).startswith(
        "Too many sign-ins were refused at localhost; the next one is tried at"
    )


def test_one_canary_tries_again_after_growing_pauses(
    many: list[Mailbox], imap: ScriptedImap, receive: Receive
) -> None:
    for mailbox in many[:10]:
        receive(mailbox)
    pauses = []
    for tried in range(3):
        SignInBrake.objects.update(next_try_on=timezone.now())
        for mailbox in many[10 + 10 * tried : 20 + 10 * tried]:
            receive(mailbox)
        pauses.append(SignInBrake.objects.get().pause)
    assert logins(imap) == 5 + 3
    assert pauses == [120, 240, 480]


def test_the_first_success_releases_everybody(
    many: list[Mailbox], imap: ScriptedImap, receive: Receive
) -> None:
    for mailbox in many[:6]:
        receive(mailbox)
    imap.on("AUTHENTICATE", lambda peer, tag, _: peer.send(tag + b" OK done\r\n"))
    SignInBrake.objects.update(next_try_on=timezone.now())
    receive(many[6])
    assert not SignInBrake.objects.exists()
    assert not RefusedSignIn.objects.exists()
    assert not Alert.objects.open().filter(kind="sign_ins_paused").exists()
    assert receive(many[7]).last_success_on is not None


def test_a_test_waits_too_but_not_for_credentials_that_were_changed(
    many: list[Mailbox], imap: ScriptedImap, receive: Receive, owner: User
) -> None:
    for mailbox in many[:6]:
        receive(mailbox)

    def tested(mailbox: Mailbox) -> set[str]:
        before = {*Diagnosis.objects.values_list("pk", flat=True)}
        diagnosis.start(
            Mailbox.objects.filter(pk=mailbox.pk),
            environment=mailbox.environment,
            by=None,
            now=timezone.now(),
        )
        run = Diagnosis.objects.exclude(pk__in=before).get()
        diagnosing.run(run.pk)
        return set(run.steps.filter(direction="incoming").values_list("error_code", flat=True))

    assert "sign_ins_paused" in tested(many[7])
    assert "sign_ins_paused" in tested(many[0])
    assert logins(imap) == 5
    later = timezone.now() + timedelta(seconds=1)
    Mailbox.objects.filter(pk=many[0].pk).update(modified_on=later)
    assert "login_refused" in tested(many[0])
    assert logins(imap) == 6


def test_ten_refusals_of_few_mailboxes_are_too_many(
    many: list[Mailbox], imap: ScriptedImap, receive: Receive
) -> None:
    for _ in range(12):
        WorkerState.objects.filter(mailbox=many[0]).update(is_enabled=True)
        receive(many[0])
    assert logins(imap) == 10


def test_refusals_that_are_long_ago_do_not_count(
    many: list[Mailbox], imap: ScriptedImap, receive: Receive
) -> None:
    for mailbox in many[:4]:
        receive(mailbox)
    RefusedSignIn.objects.update(refused_on=timezone.now() - timedelta(minutes=11))
    for mailbox in many[4:8]:
        receive(mailbox)
    assert logins(imap) == 8


def test_another_host_is_none_of_its_business(
    many: list[Mailbox], imap: ScriptedImap, receive: Receive
) -> None:
    for mailbox in many[:6]:
        receive(mailbox)
    ServerProfile.objects.update(incoming_location="127.0.0.1")
    receive(Mailbox.objects.get(pk=many[6].pk))
    assert logins(imap) == 6


def test_a_profile_that_leaves_the_host_is_told_of_it_no_longer(
    many: list[Mailbox], receive: Receive
) -> None:
    for mailbox in many[:6]:
        receive(mailbox)
    told = Alert.objects.open().filter(kind="sign_ins_paused")
    profile = ServerProfile.objects.get()
    profile.incoming_port = 143
    services.save_profile(profile, by=None, now=timezone.now())
    assert told.exists()
    profile = ServerProfile.objects.get()
    profile.incoming_location = profile.outgoing_location = "mail.example.org"
    services.save_profile(profile, by=None, now=timezone.now())
    assert not told.exists()
