"""Test a stopped direction again by itself: what passed recovers, and what was mended is noticed.

The due time of a direction that is not enabled is that of its next test. It is the same test as Test & Enable
(`mailboxes.engine.diagnosing`), for outgoing email with a real message, so nothing is enabled that does not
work; while it does not work, nothing arrives anywhere.
"""

from django.contrib.auth.models import User
from django.utils import timezone

from emailsync.mail.trial import Outcome, Step
from mailboxes.alerts import wall
from mailboxes.choices import ResultStatus
from mailboxes.engine import (
    claiming,
    connecting,
    diagnosing,
    eligibility,
    major_events,
    outcomes,
    parking,
    policy,
    scheduling,
)
from mailboxes.models import Mailbox, WorkerState


def run(lease: scheduling.Lease, mailbox: Mailbox, state: WorkerState) -> None:
    """Test the direction of `state` under its own lease, and enable it when it works."""
    taker = _taker(mailbox, state)
    takes_over = taker is not None
    if found := eligibility.blockers(mailbox, state.direction, takes_over=takes_over):
        # What never worked waits until somebody mends this; services make it due then: see `switching`.
        again = timezone.now() + parking.PARKED if state.stopped_on else None
        scheduling.release(lease, due_at=again, last_error_code=found[0].code)
        return
    if mailbox.syncs(state.direction) and scheduling.must_wait_for_place(
        connecting.profile_of(mailbox), lease
    ):
        return
    tested = diagnosing.settings_of(mailbox)
    steps = list(diagnosing.steps_of(mailbox, state.direction, takes_over=takes_over))
    now = timezone.now()
    failure = next((step for step in steps if step.outcome is Outcome.FAILURE), None)
    if failure is not None:
        _stays_stopped(lease, mailbox, state, failure)
        return
    with scheduling.fenced(lease):
        is_as_tested = tested == diagnosing.settings_of(mailbox, lock=True)
        if not (is_as_tested and _hold(mailbox, state.direction, taker)):
            # Changed, or taken over, while it was tested: the next test is about what is true then.
            lease.rows.update(due_at=now)
        else:
            lease.rows.update(
                **outcomes.FORGOTTEN,
                status=ResultStatus.SUCCESS,
                tested_on=now,
                is_enabled=True,
                due_at=now if mailbox.syncs(state.direction) else None,
                failures_before=state.transient_failures,
                recovered_on=now,
            )
            wall.resolve_direction(mailbox, state.direction, now=now)
            parking.resolve(mailbox, now=now)
    scheduling.release(lease)
    major_events.look_again(mailbox, now=now)


def _taker(mailbox: Mailbox, state: WorkerState) -> User | None:
    """Return who asked that the mailbox take its address over, with the test that waited for its approval.

    Nobody who may no longer do that: it may have waited for long.
    """
    if state.last_error_code != eligibility.NOT_APPROVED:
        return None
    last = mailbox.diagnoses.select_related("job__created_by").order_by("-pk").first()
    by = last.job.created_by if last is not None and last.job.takes_over else None
    own = Mailbox.objects.filter(pk=mailbox.pk)
    if by is None or not claiming.may_take_over(own, environment=mailbox.environment, by=by):
        return None
    return by


def _hold(mailbox: Mailbox, direction: str, taker: User | None) -> bool:
    if not mailbox.syncs(direction):
        return True
    return claiming.take(mailbox, takes_over=taker is not None, by=taker, now=timezone.now())


def _stays_stopped(lease: scheduling.Lease, mailbox: Mailbox, state: WorkerState, failure: Step) -> None:
    now = timezone.now()
    tests = state.tests_since + 1
    due_at = now + policy.next_test(permanent=failure.permanent, tests=tests)
    noted = {
        "last_error_code": failure.error_code,
        "last_error": failure.title[:2000],
        "last_error_on": now,
        "status": ResultStatus.FAILURE,
        "tests_since": tests,
        "tested_on": now,
    }
    cause = diagnosing.cause_of(failure)
    with scheduling.fenced(lease, **noted):
        if failure.error_code != state.last_error_code:
            wall.resolve_direction(mailbox, state.direction, now=now)
        if state.stopped_on is not None:
            outcomes.tell_stopped(mailbox, state.direction, cause, retry_at=due_at, now=now)
        else:
            diagnosing.tell_untested(mailbox, state.direction, failure, retry_at=due_at, now=now)
    scheduling.release(lease, due_at=due_at)
    major_events.look(mailbox, cause, now=now)
