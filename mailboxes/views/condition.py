"""How each direction of a mailbox is doing, in words: running, trying again, stopped, and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _

from mailboxes.choices import Direction, ResultStatus
from mailboxes.models import Alert, Mailbox, WorkerState
from mailboxes.services import progress, readiness


@dataclass(frozen=True)
class Reason:
    """One thing that keeps mail from flowing, what to do, and where."""

    code: str
    sentence: str
    remedy: str
    link: tuple[str, str] | None = None


@dataclass(frozen=True)
class Condition:
    """One direction as the mailbox's page shows it."""

    direction: Direction
    #: What the direction is doing: running, retrying, stopped, waiting or none.
    word: str
    status: str
    tested_on: datetime | None
    last_success_on: datetime | None
    next_on: datetime | None
    reasons: Sequence[Reason]

    @property
    def is_blocked(self) -> bool:
        """Say whether a person has to do something."""
        return self.word in {"stopped", "waiting"}


def conditions(mailbox: Mailbox, *, now: datetime) -> list[Condition]:
    """Return the condition of both directions, incoming first."""
    states = {state.direction: state for state in WorkerState.objects.filter(mailbox=mailbox)}
    remedies = {
        alert.error_code: _(str(alert.parameters.get("remedy", "")))
        for alert in Alert.objects.open()
        .filter(mailbox=mailbox)
        .exclude(error_code="")
        .order_by("last_seen_on")
    }
    return [
        _condition(mailbox, direction, states.get(direction) or WorkerState(), remedies=remedies, now=now)
        for direction in (Direction.INCOMING, Direction.OUTGOING)
    ]


def _condition(
    mailbox: Mailbox, direction: Direction, state: WorkerState, *, remedies: dict[str, str], now: datetime
) -> Condition:
    used = mailbox.uses(direction)
    reasons = _reasons(mailbox, direction, state, remedies=remedies, now=now) if used else []
    return Condition(
        direction=direction,
        word=_word(state, used=used, reasons=reasons),
        status=state.status if used else "none",
        tested_on=state.tested_on,
        last_success_on=state.last_success_on,
        next_on=state.due_at if state.is_enabled else None,
        reasons=reasons,
    )


def _word(state: WorkerState, *, used: bool, reasons: Sequence[Reason]) -> str:
    if not used:
        return "none"
    if state.is_enabled and not any(reason.code != state.last_error_code for reason in reasons):
        return "retrying" if state.transient_failures else "running"
    return "stopped" if state.status == ResultStatus.FAILURE else "waiting"


def _reasons(
    mailbox: Mailbox, direction: Direction, state: WorkerState, *, remedies: dict[str, str], now: datetime
) -> list[Reason]:
    """Return what stands in the way, in the order in which it is to be mended."""
    found = [
        Reason(
            blocker.code,
            blocker.sentence,
            blocker.remedy,
            None if blocker.is_under_way else _link(blocker.code, direction, mailbox),
        )
        for blocker in readiness.reasons(mailbox, direction, now=now)
    ]
    known = {reason.code for reason in found}
    if state.last_error and state.last_error_code not in known:
        code = state.last_error_code
        found.append(
            Reason(code, _(state.last_error), remedies.get(code, ""), _link(code, direction, mailbox))
        )
    if not state.is_enabled and not found:
        found.append(
            Reason(
                "not_tested",
                _("It has not been tested since the mailbox was created or last changed."),
                _("Run Test & Enable."),
            )
        )
    return found


def _link(code: str, direction: Direction, mailbox: Mailbox) -> tuple[str, str] | None:
    """Return where a reason is mended, unless the page at hand is the place and nothing on it stands out."""
    label, url = progress.where_to_mend(code, direction=direction, mailbox=mailbox)
    page = mailbox.get_absolute_url()
    return None if url == page else (label, url.removeprefix(page))
