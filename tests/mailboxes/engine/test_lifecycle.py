"""Whatever people and workers do to a mailbox, in whatever order: what must always hold, holds."""

from datetime import UTC, datetime, timedelta
from unittest import mock

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import Count, QuerySet
from django.test import override_settings
from django.utils import timezone
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from emailsync.mail.errors import ConnectionLost, LoginRefused, MailError
from emailsync.mail.trial import Outcome, Step
from mailboxes.choices import AddressStatus, Direction, MailboxKind, ResultStatus, StepOutcome
from mailboxes.engine import connecting, diagnosing, eligibility, outcomes, parking, scheduling
from mailboxes.models import Alert, Diagnosis, DiagnosisStep, Mailbox, WorkerState
from mailboxes.services import approval, diagnosis, editing
from profiles import services as profile_services
from profiles.choices import IncomingMethod
from profiles.models import EmailSettings, Environment, ServerProfile

NOW = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
DIRECTIONS = st.sampled_from(Direction.values)
FAULTS = st.sampled_from([ConnectionLost("The server closed."), LoginRefused("Wrong password.")])
TROUBLE = ("untested", "test_interrupted", "stopped", "retrying")


def step(direction: str, error: MailError | None) -> Step:
    """Return the one step of a test with this end."""
    return Step(
        direction="incoming" if direction == Direction.INCOMING else "outgoing",
        name="authenticate",
        title=str(error or "Signed in"),
        outcome=Outcome.FAILURE if error else Outcome.SUCCESS,
        started_at=NOW,
        duration_ms=1,
        error_code=error.code if error else "",
        permanent=bool(error and error.permanent),
    )


class Lifecycle(RuleBasedStateMachine):
    """One mailbox, its profile, an administrator and a worker."""

    now: datetime

    def __init__(self) -> None:
        """Open the transaction that is rolled back at the end."""
        super().__init__()
        self.example = transaction.atomic()
        self.example.__enter__()

    def teardown(self) -> None:
        """Leave nothing to the next example."""
        transaction.set_rollback(True)
        self.example.__exit__(None, None, None)

    @initialize(ready=st.sampled_from([True, True, True, False]))
    def begin(self, *, ready: bool) -> None:
        """Create the mailbox as a person would, and in most examples make it ready for work."""
        self.now = timezone.now()
        environment = Environment.objects.create(slug="contoso", name="Contoso")
        EmailSettings.objects.create(environment=environment)
        self.by = User.objects.create_superuser("olga")
        self.profile = ServerProfile.objects.create(
            environment=environment,
            name="Mail",
            incoming_location="localhost",
            incoming_port=993,
            outgoing_location="localhost",
            outgoing_port=465,
        )
        self.pk = editing.create(
            Mailbox(
                environment=environment,
                name="Ana",
                address="ana@example.org",
                server_profile=self.profile,
                allow_credentials=True,
                user_name="ana",
                password="one",
            ),
            by=self.by,
        ).pk
        self.fences: dict[str, int] = {}
        self.lease: tuple[scheduling.Lease, str] | None = None
        self.is_void = False
        if ready:
            self.approve()
            self.test_and_enable(incoming=None, outgoing=None)

    @property
    def mailbox(self) -> Mailbox:
        """Return the mailbox as a worker would load it."""
        return Mailbox.objects.select_related("server_profile", "environment").get(pk=self.pk)

    def state(self, direction: str) -> WorkerState:
        """Return what workers know about a direction."""
        return WorkerState.objects.get(mailbox=self.pk, direction=direction)

    @property
    def chosen(self) -> QuerySet[Mailbox]:
        """Return the mailbox as a selection."""
        return Mailbox.objects.filter(pk=self.pk)

    # What people do

    @rule()
    def approve(self) -> None:
        approval.approve(self.chosen, by=self.by, now=self.now)

    @rule()
    def reject(self) -> None:
        changed = approval.reject(self.chosen, by=self.by, now=self.now)
        self.is_void |= bool(changed)

    @rule(required=st.booleans())
    def require_approval(self, *, required: bool) -> None:
        EmailSettings.objects.update(process_only_approved_users=required)

    @rule(address=st.sampled_from(["ana@example.org", "anna@example.org"]))
    def change_address(self, address: str) -> None:
        mailbox = self.mailbox
        self.is_void |= mailbox.address != address
        mailbox.address = address
        editing.update(mailbox, by=self.by)

    @rule(password=st.sampled_from(["one", "two"]))
    def change_password(self, password: str) -> None:
        mailbox = self.mailbox
        self.is_void |= mailbox.password.reveal() != password
        mailbox.password = password
        editing.update(mailbox, by=self.by)

    @rule(method=st.sampled_from([IncomingMethod.NONE, IncomingMethod.SERVER_SIDE]))
    def change_method(self, method: str) -> None:
        mailbox = self.mailbox
        self.is_void |= mailbox.incoming != method
        mailbox.incoming = method
        editing.update(mailbox, by=self.by)

    @rule()
    def write_notes(self) -> None:
        mailbox = self.mailbox
        mailbox.notes = "Nothing of this concerns workers."
        editing.update(mailbox, by=self.by)

    @rule(active=st.booleans())
    def switch(self, *, active: bool) -> None:
        changed = editing.set_active(self.chosen, active=active, by=self.by, now=self.now)
        self.is_void |= bool(changed) and not active

    @rule(active=st.booleans())
    def switch_profile(self, *, active: bool) -> None:
        chosen = ServerProfile.objects.filter(pk=self.profile.pk)
        profile_services.set_active(chosen, active=active, by=self.by, now=self.now)

    # What workers do

    @rule(incoming=st.none() | FAULTS, outgoing=st.none() | FAULTS)
    def test_and_enable(self, incoming: MailError | None, outgoing: MailError | None) -> None:
        mailbox = self.mailbox
        before = {direction: self.state(direction).is_enabled for direction in Direction.values}
        wanted = diagnosis.start(self.chosen, environment=mailbox.environment, by=self.by, now=self.now)
        with (
            mock.patch.object(diagnosing, "probe_incoming", return_value=iter([step("incoming", incoming)])),
            mock.patch.object(diagnosing, "probe_outgoing", return_value=iter([step("outgoing", outgoing)])),
            mock.patch.object(connecting, "PROBE_SECONDS", 1.0),
        ):
            diagnosing.run(wanted.diagnoses.get().pk)
        for direction, fault in (("incoming", incoming), ("outgoing", outgoing)):
            state = self.state(direction)
            if eligibility.blockers(mailbox, direction):
                assert not state.is_enabled
            elif fault is None:
                assert (state.is_enabled, state.status) == (True, ResultStatus.SUCCESS)
                assert not self.trouble(direction)
            else:
                assert state.status == ResultStatus.FAILURE
                assert state.is_enabled == (before[direction] and not fault.permanent)
        assert not Diagnosis.objects.unfinished().exists()

    @rule(direction=DIRECTIONS, later=st.sampled_from([600, 600, 0]))
    @precondition(lambda self: self.lease is None)
    def begin_work(self, direction: str, later: int) -> None:
        self.now += timedelta(seconds=later)
        state = self.state(direction)
        due = state.due_at is not None and state.due_at <= self.now
        lease = scheduling.claim_running(WorkerState, state.pk, now=self.now)
        free = state.leased_until is None or state.leased_until <= self.now
        assert (lease is not None) == (due and free)
        if lease is None:
            return
        if not state.is_enabled:
            # It is tested again, which tests/mailboxes/engine/test_recovering.py follows.
            scheduling.release(lease)
            return
        if not parking.may_run(lease, parking.mailbox_of(state), state):
            return
        self.lease, self.is_void = (lease, direction), False

    @rule(fault=st.none() | FAULTS)
    @precondition(lambda self: self.lease is not None)
    def end_work(self, fault: MailError | None) -> None:
        assert self.lease is not None
        lease, direction = self.lease
        self.lease = None
        state = self.state(direction)
        mailbox = self.mailbox
        try:
            if fault is None:
                outcomes.succeeded(lease, mailbox, state, items=1, due_at=self.now + timedelta(minutes=1))
                assert not self.trouble(direction)
            else:
                outcomes.failed(lease, mailbox, state, fault)
        except scheduling.LeaseLost:
            return
        assert not self.is_void, "a lease from before the change committed after it"

    @rule(
        direction=DIRECTIONS,
        fault=st.none() | FAULTS,
        change=st.sampled_from(["reject", "deactivate", "address", "password", "method"]),
    )
    @precondition(lambda self: self.lease is None)
    def change_under_work(self, direction: str, fault: MailError | None, change: str) -> None:
        self.begin_work(direction, later=600)
        if self.lease is None:
            return
        if change == "reject":
            self.reject()
        elif change == "deactivate":
            self.switch(active=False)
        elif change == "address":
            self.change_address("somebody@example.org")
        elif change == "password":
            self.change_password("three")
        else:
            self.change_method(IncomingMethod.NONE)
        self.end_work(fault)

    def trouble(self, direction: str) -> list[str]:
        """Return the open alerts about failures of a direction."""
        kinds = [f"{direction}_{word}" for word in TROUBLE]
        return list(Alert.objects.open().filter(kind__in=kinds).values_list("kind", flat=True))

    # What always holds

    @invariant()
    def only_what_is_enabled_or_stopped_by_a_failure_is_handed_out(self) -> None:
        later = self.now + timedelta(days=1)
        for state in WorkerState.objects.due(later):
            is_stopped = state.status == ResultStatus.FAILURE or state.stopped_on is not None
            # Somebody wanted it tested, and a change may have removed what the test had met.
            found = DiagnosisStep.objects.filter(direction=state.direction, outcome=StepOutcome.FAILURE)
            assert state.is_enabled or is_stopped or found.exists()

    @invariant()
    def fences_never_fall(self) -> None:
        fences = dict(WorkerState.objects.values_list("direction", "fence"))
        assert all(fences[direction] >= fence for direction, fence in self.fences.items())
        self.fences = fences

    @invariant()
    def a_cause_has_one_open_alert(self) -> None:
        doubled = Alert.objects.open().values("kind", "key").annotate(n=Count("pk")).filter(n__gt=1)
        assert not doubled.exists()

    @invariant()
    def combinations_are_legal(self) -> None:
        mailbox = self.mailbox
        assert (mailbox.approved_on is not None) == (mailbox.address_status == AddressStatus.APPROVED)
        assert mailbox.kind == MailboxKind.USER
        for state in WorkerState.objects.all():
            assert not state.is_enabled or state.status != ResultStatus.NOT_RUN
            assert state.is_enabled or state.status != ResultStatus.SUCCESS


@pytest.mark.django_db
def test_the_lifecycle_of_a_mailbox() -> None:
    # The other database is tried less: the ways are the same.
    examples = 25 if connection.vendor == "sqlite" else 10
    bounds = settings(max_examples=examples, stateful_step_count=20, deadline=None, database=None)
    # So many wrong passwords would engage the brake, which tests/mailboxes/engine/test_braking.py is about.
    with override_settings(BRAKE_REFUSALS=1000):
        run_state_machine_as_test(Lifecycle, settings=bounds)
