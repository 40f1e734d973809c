"""What each kind of job does with one chunk of its targets.

A kind of work is a function, with a line in `WORKS`. It is called inside the transaction of its chunk,
changes those targets that may be changed, and returns how many it changed and a remark for each that it left
out. `payload(job)` is what was typed.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from mailboxes.choices import JobKind
from mailboxes.engine import changing
from mailboxes.engine.changing import Change
from mailboxes.models import Job


@dataclass(frozen=True)
class Remark:
    """What a job says about one of its targets."""

    sentence: str
    mailbox: UUID | None = None
    label: str = ""


@dataclass(frozen=True)
class ChunkResult:
    """What became of one chunk."""

    changed: int
    remarks: Sequence[Remark] = ()


Work = Callable[[Job, Sequence[str], datetime], ChunkResult]


def payload(job: Job) -> Any:
    """Return what was typed for `job`: it may hold passwords, and must never be shown or logged."""
    return json.loads(job.order.payload.reveal() or "{}")


def change(job: Job, targets: Sequence[str], now: datetime) -> ChunkResult:
    """Give mailboxes what they are to have in common."""
    wanted = Change.from_json(payload(job))
    outcome = changing.apply([UUID(target) for target in targets], wanted, by=job.created_by, now=now)
    remarks = [Remark(skip.reason, skip.mailbox.pk, skip.mailbox.name) for skip in outcome.skipped]
    return ChunkResult(outcome.changed, remarks)


WORKS: dict[str, Work] = {JobKind.CHANGE: change}
