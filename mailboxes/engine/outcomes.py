"""What a run leaves behind on its worker state and on the walls, whichever way it ended."""

from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from emailsync.mail.errors import MailError, Scope
from mailboxes.alerts import wall
from mailboxes.choices import ResultStatus
from mailboxes.engine import major_events, policy, scheduling
from mailboxes.models import Mailbox, WorkerState

#: How often a direction that may not run (inactive, not approved) is looked at again.
PARKED = timedelta(seconds=60)


def succeeded(
    lease: scheduling.Lease, mailbox: Mailbox, state: WorkerState, *, items: int, due_at: datetime | None
) -> None:
    """Record a run that ended well: failures are forgotten, their alerts resolved."""
    now = timezone.now()
    with scheduling.fenced(lease, last_success_on=now, last_items=items):
        # Asked here and not before the run: a test may have failed in the meantime.
        troubled = lease.rows.exclude(transient_failures=0, last_error_code="")
        recovered = troubled.update(transient_failures=0, last_error_code="", last_error="")
        if recovered:
            wall.resolve_direction(mailbox, state.direction, now=now)
    scheduling.release(lease, due_at=due_at)
    if recovered:
        major_events.look_again(mailbox, now=now)


def parked(lease: scheduling.Lease) -> None:
    """Put off a direction whose checklist is not met; services make it due at once when that changes."""
    scheduling.release(lease, due_at=timezone.now() + PARKED)


def failed(lease: scheduling.Lease, mailbox: Mailbox, state: WorkerState, error: MailError) -> None:
    """Record a failed run: try again later, or stop the direction and say what to do."""
    now = timezone.now()
    failures = state.transient_failures + 1
    decision = policy.after_failure(
        error, failures=failures, delay=settings.RETRY_DELAY, limit=settings.RETRY_LIMIT
    )
    noted = {"last_error_code": error.code, "last_error": str(error)[:2000], "last_error_on": now}
    cause = wall.Cause.of(error)
    if isinstance(decision, policy.Disable):
        with scheduling.fenced(lease, is_enabled=False, status=ResultStatus.FAILURE, due_at=None, **noted):
            wall.resolve(f"{state.direction}_retrying", mailbox=mailbox, now=now)
            wall.raise_alert(f"{state.direction}_stopped", now=now, mailbox=mailbox, cause=cause)
            if error.scope is Scope.PROFILE and mailbox.server_profile:
                wall.raise_alert(
                    "profile_failing",
                    now=now,
                    profile=mailbox.server_profile,
                    cause=cause,
                    about=f"{error.code}:{state.direction}",
                )
        scheduling.release(lease)
        major_events.look(mailbox, cause, now=now)
        return
    retry_at = now + decision.delay
    with scheduling.fenced(lease, transient_failures=failures, **noted):
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
