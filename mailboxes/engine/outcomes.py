"""What a run leaves behind on its worker state and on the walls, whichever way it ended."""

from collections.abc import Mapping
from datetime import datetime

from django.conf import settings
from django.db.models import Case, F
from django.utils import timezone

from emailsync.mail.errors import MailError, Scope
from mailboxes.alerts import wall
from mailboxes.choices import ResultStatus
from mailboxes.engine import major_events, policy, scheduling
from mailboxes.models import Mailbox, WorkerState

#: What a direction that works knows of failures.
FORGOTTEN: Mapping[str, object] = {
    "transient_failures": 0,
    "last_error_code": "",
    "last_error": "",
    "stopped_on": None,
    "tests_since": 0,
}


def succeeded(
    lease: scheduling.Lease,
    mailbox: Mailbox,
    state: WorkerState,
    *,
    items: int,
    due_at: datetime | Case | None,
) -> None:
    """Record a run that ended well: its failures are forgotten once it lasts, their alerts resolved."""
    now = timezone.now()
    with scheduling.fenced(lease, last_success_on=now, last_items=items):
        # Asked here and not before the run: a test may have failed in the meantime.
        troubled = lease.rows.exclude(transient_failures=0, last_error_code="")
        recovered = troubled.update(
            **{**FORGOTTEN, "failures_before": F("transient_failures"), "recovered_on": now},
            # A test that something passing had interrupted is answered by a run that works.
            status=ResultStatus.SUCCESS,
        )
        if recovered:
            wall.resolve_direction(mailbox, state.direction, now=now)
        scheduling.release(lease, due_at=due_at)
    if recovered:
        major_events.look_again(mailbox, now=now)


def failed(lease: scheduling.Lease, mailbox: Mailbox, state: WorkerState, error: MailError) -> None:
    """Record a failed run: try again later, or stop the direction and say what to do."""
    now = timezone.now()
    streak = policy.counted(
        failures=state.transient_failures,
        before=state.failures_before,
        since=state.failing_since,
        recovered_on=state.recovered_on,
        now=now,
    )
    decision = policy.after_failure(
        error,
        failures=streak.failures,
        delay=settings.RETRY_DELAY,
        limit=settings.RETRY_LIMIT,
        lasted=now - streak.since,
    )
    noted = {
        "last_error_code": error.code,
        "last_error": str(error)[:2000],
        "last_error_on": now,
        "transient_failures": streak.failures,
        "failing_since": streak.since,
    }
    cause = wall.Cause.of(error)
    if isinstance(decision, policy.Disable):
        due_at = now + policy.next_test(permanent=error.permanent, tests=0)
        stopped = {"is_enabled": False, "status": ResultStatus.FAILURE, "stopped_on": now, "tests_since": 0}
        with scheduling.fenced(lease, **noted, **stopped):
            wall.resolve(f"{state.direction}_retrying", mailbox=mailbox, now=now)
            tell_stopped(mailbox, state.direction, cause, retry_at=due_at, now=now)
            if error.scope is Scope.PROFILE and mailbox.server_profile:
                wall.raise_alert(
                    "profile_failing",
                    now=now,
                    profile=mailbox.server_profile,
                    cause=cause,
                    about=f"{error.code}:{state.direction}",
                )
        scheduling.release(lease, due_at=due_at)
        major_events.look(mailbox, cause, now=now)
        return
    retry_at = now + decision.delay
    with scheduling.fenced(lease, **noted):
        wall.raise_alert(
            f"{state.direction}_retrying",
            now=now,
            mailbox=mailbox,
            cause=cause,
            words={
                "attempt": decision.attempt,
                "limit": settings.RETRY_LIMIT,
                "retry_at": retry_at.isoformat(),
            },
        )
    scheduling.release(lease, due_at=retry_at)
    major_events.look(mailbox, cause, now=now)


def tell_stopped(
    mailbox: Mailbox, direction: str, cause: wall.Cause, *, retry_at: datetime, now: datetime
) -> None:
    """Say that a direction is stopped, why, and when it is tested again by itself."""
    words = {"retry_at": retry_at.isoformat()}
    wall.raise_alert(f"{direction}_stopped", now=now, mailbox=mailbox, cause=cause, words=words)
