from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from unittest import mock

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied

from emailsync.mail.trial import Outcome, Step
from mailboxes.choices import AddressStatus, Direction
from mailboxes.engine import approving, delivering, diagnosing, eligibility, syncing
from mailboxes.models import Alert, Diagnosis, Mailbox, SyncClaim, WorkerState
from mailboxes.services import approval, diagnosis, editing
from profiles.choices import Role
from profiles.models import EmailSettings, Environment, Membership, ServerProfile
from tests.mailboxes.keeping.conftest import NOW, MakeMailbox

pytestmark = pytest.mark.django_db
Test = Callable[..., Diagnosis]


@pytest.fixture
def other(make_mailbox: MakeMailbox) -> Mailbox:
    """Give a mailbox with the same address in another environment."""
    environment = Environment.objects.create(slug="sandbox", name="Top secret sandbox")
    EmailSettings.objects.create(environment=environment)
    return make_mailbox(environment, "Ana@contoso.example")


@pytest.fixture
def try_out(ada: User) -> Test:
    """Give a function that runs Test & Enable for a mailbox whose servers answer well."""

    def run(mailbox: Mailbox, *, takes_over: bool = False) -> Diagnosis:
        job = diagnosis.start(
            Mailbox.objects.filter(pk=mailbox.pk),
            environment=mailbox.environment,
            by=ada,
            now=NOW,
            takes_over=takes_over,
        )
        with servers_that_answer_well():
            diagnosing.run(job.diagnoses.get().pk)
        return job.diagnoses.get()

    return run


@contextmanager
def servers_that_answer_well() -> Iterator[None]:
    """Have the test of each direction end well."""
    with (
        mock.patch.object(diagnosing, "probe_incoming", return_value=iter([success("incoming")])),
        mock.patch.object(diagnosing, "probe_outgoing", return_value=iter([success("outgoing")])),
    ):
        yield


def success(direction: str) -> Step:
    """Return the one step of a test that ends well."""
    return Step(
        direction="incoming" if direction == "incoming" else "outgoing",
        name="authenticate",
        title="Signed in",
        outcome=Outcome.SUCCESS,
        started_at=NOW,
        duration_ms=1,
    )


def test_the_first_test_that_succeeds_claims_the_address(mailbox: Mailbox, try_out: Test, ada: User) -> None:
    try_out(mailbox)
    claim = SyncClaim.objects.get()
    assert (claim.address, claim.mailbox, claim.claimed_by) == ("ana@contoso.example", mailbox, ada)


def test_another_environment_fails_and_learns_the_way_out_but_not_whose_it_is(
    mailbox: Mailbox, other: Mailbox, try_out: Test
) -> None:
    try_out(other)
    found = try_out(mailbox)
    assert (found.incoming, found.outgoing) == ("failure", "failure")
    assert not WorkerState.objects.filter(mailbox=mailbox, is_enabled=True).exists()
    alert = Alert.objects.filter(mailbox=mailbox, kind="mailbox_parked").get()
    assert alert.error_code == "claimed_elsewhere"
    assert "from this environment only" in alert.parameters["remedy"]
    assert "secret" not in str(alert.parameters)


def test_with_the_box_ticked_the_other_environment_stops_and_is_told(
    mailbox: Mailbox, other: Mailbox, try_out: Test
) -> None:
    try_out(other)
    fence = WorkerState.objects.get(mailbox=other, direction=Direction.INCOMING).fence
    found = try_out(mailbox, takes_over=True)
    assert (found.incoming, found.outgoing) == ("success", "success")
    assert SyncClaim.objects.get().mailbox == mailbox
    states = WorkerState.objects.filter(mailbox=other)
    assert not states.filter(is_enabled=True).exists()
    assert states.get(direction=Direction.INCOMING).fence > fence
    alert = Alert.objects.get(mailbox=other, kind="taken_over")
    assert alert.parameters["person"] == "ada"
    assert "Contoso" not in str(alert.parameters)


def test_runs_ask_whose_the_address_is(mailbox: Mailbox, other: Mailbox, try_out: Test) -> None:
    try_out(other)
    codes = [each.code for each in eligibility.blockers(mailbox, Direction.OUTGOING)]
    assert codes == ["claimed_elsewhere"]


@pytest.mark.parametrize("way", ["delete", "deactivate", "address"])
def test_who_goes_away_sets_the_address_free(
    mailbox: Mailbox, other: Mailbox, try_out: Test, ada: User, way: str
) -> None:
    try_out(other)
    if way == "delete":
        editing.delete(other, by=ada, now=NOW)
    elif way == "deactivate":
        editing.set_active(Mailbox.objects.filter(pk=other.pk), active=False, by=ada, now=NOW)
    else:
        other.address = "else@contoso.example"
        editing.update(other, by=ada)
    assert try_out(mailbox).incoming == "success"


def test_switched_on_again_a_mailbox_takes_its_address_back(
    mailbox: Mailbox, try_out: Test, ada: User
) -> None:
    try_out(mailbox)
    found = Mailbox.objects.filter(pk=mailbox.pk)
    editing.set_active(found, active=False, by=ada, now=NOW)
    editing.set_active(found, active=True, by=ada, now=NOW)
    assert SyncClaim.objects.get().mailbox == mailbox


def test_testing_a_mailbox_fed_by_forwarding_looks_for_the_forward_mailbox(
    forward: Mailbox, fed: Mailbox, try_out: Test
) -> None:
    found = try_out(fed)
    step = found.steps.get(direction=Direction.INCOMING)
    assert (found.incoming, step.name, step.seen) == ("success", "forward_mailbox", forward.name)
    state = WorkerState.objects.get(mailbox=fed, direction=Direction.INCOMING)
    assert (state.is_enabled, state.due_at) == (True, None)


def test_a_start_date_goes_with_the_test_of_one_mailbox(mailbox: Mailbox, ada: User) -> None:
    found = Mailbox.objects.filter(pk=mailbox.pk)
    diagnosis.start(found, environment=mailbox.environment, by=ada, now=NOW, start_date=NOW)
    mailbox.refresh_from_db()
    assert mailbox.process_email_from == NOW


def test_a_start_date_before_the_profiles_is_refused(mailbox: Mailbox, ada: User) -> None:
    ServerProfile.objects.update(process_email_from=NOW)
    found = Mailbox.objects.filter(pk=mailbox.pk)
    with pytest.raises(editing.StartTooEarly, match="2026-11-02"):
        diagnosis.start(
            found,
            environment=mailbox.environment,
            by=ada,
            now=NOW,
            start_date=NOW - timedelta(days=1),
        )
    assert not Diagnosis.objects.exists()


@pytest.fixture
def mia(mailbox: Mailbox, other: Mailbox, try_out: Test) -> User:
    """Give the owner of a mailbox whose address another environment synchronizes; no role lets her write."""
    try_out(other)
    mia = User.objects.create_user("mia")
    Membership.objects.create(user=mia, environment=mailbox.environment, role=Role.MEMBER)
    Mailbox.objects.filter(pk=mailbox.pk).update(owner=mia)
    return mia


def takes_over(mailbox: Mailbox, by: User) -> bool:
    """Say whether a test that takes the address over is started."""
    found = Mailbox.objects.filter(pk=mailbox.pk)
    job = diagnosis.start(found, environment=mailbox.environment, by=by, now=NOW, takes_over=True)
    return job.takes_over


def test_who_may_only_test_takes_no_address_from_somebody_else(mailbox: Mailbox, mia: User) -> None:
    with pytest.raises(PermissionDenied):
        takes_over(mailbox, mia)


def test_who_may_only_test_takes_their_own_address_from_themselves(
    mailbox: Mailbox, other: Mailbox, mia: User
) -> None:
    Mailbox.objects.filter(pk=other.pk).update(owner=mia)
    assert takes_over(mailbox, mia)


def test_who_may_change_mailboxes_takes_addresses_over(mailbox: Mailbox, mia: User) -> None:
    Membership.objects.filter(user=mia).update(role=Role.MAILBOX_ADMINISTRATOR)
    assert takes_over(mailbox, mia)


def test_nothing_is_taken_over_that_somebody_else_claims_only_later(mailbox: Mailbox, mia: User) -> None:
    SyncClaim.objects.all().delete()
    assert not takes_over(mailbox, mia)


@pytest.fixture
def waiting(mailbox: Mailbox, other: Mailbox, try_out: Test) -> Mailbox:
    """Give a mailbox whose test is to take the address over and waits until that is approved."""
    try_out(other)
    approving.withhold(Mailbox.objects.filter(pk=mailbox.pk), AddressStatus.PENDING, by=None, now=NOW)
    try_out(mailbox, takes_over=True)
    assert SyncClaim.objects.get().mailbox == other
    return mailbox


def approve(mailbox: Mailbox, by: User) -> None:
    """Approve the address, and have workers do what is due then."""
    approval.approve(Mailbox.objects.filter(pk=mailbox.pk), by=by, now=NOW)
    incoming, outgoing = (WorkerState.objects.get(mailbox=mailbox, direction=each) for each in Direction)
    with servers_that_answer_well():
        syncing.run(incoming.pk)
        delivering.run(outgoing.pk)


def test_a_test_that_waited_for_approval_takes_over_as_was_asked(
    waiting: Mailbox, other: Mailbox, ada: User
) -> None:
    approve(waiting, ada)
    claim = SyncClaim.objects.get()
    assert (claim.mailbox, claim.claimed_by) == (waiting, ada)
    assert WorkerState.objects.filter(mailbox=waiting, is_enabled=True).count() == 2
    assert Alert.objects.get(mailbox=other, kind="taken_over").parameters["person"] == "ada"


def test_nobody_takes_over_who_may_no_longer_do_that_when_it_is_approved(
    waiting: Mailbox, other: Mailbox, ada: User, django_user_model: type[User]
) -> None:
    approver = django_user_model.objects.create_superuser("eve")
    User.objects.filter(pk=ada.pk).update(is_superuser=False)
    approve(waiting, approver)
    assert SyncClaim.objects.get().mailbox == other
    assert not WorkerState.objects.filter(mailbox=waiting, is_enabled=True).exists()
