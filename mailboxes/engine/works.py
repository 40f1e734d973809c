"""What each kind of job does with one chunk of its targets.

A kind of work is a function, with a line in `WORKS`. It is called inside the transaction of its chunk,
changes those targets that may be changed, and returns how many it changed and a remark for each that it left
out. `payload(job)` is what was typed.
"""

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models.functions import Lower

from mailboxes.choices import JobKind
from mailboxes.engine import changing
from mailboxes.engine.changing import Change
from mailboxes.models import Diagnosis, Job, Mailbox


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


def apply_default(job: Job, targets: Sequence[str], now: datetime) -> ChunkResult:
    """Give mailboxes the default email settings; after the last one, test them all if that was asked."""
    result = change(job, targets, now)
    if payload(job)["test"] and targets[-1] == job.order.targets[-1]:
        left_out = set(job.remarks.values_list("mailbox", flat=True))
        _test(job, left_out | {remark.mailbox for remark in result.remarks}, now=now)
    return result


def _test(job: Job, left_out: Collection[UUID | None], *, now: datetime) -> None:
    """Ask for Test & Enable of all targets of `job` but those that were left out."""
    found = Mailbox.objects.filter(environment=job.environment, pk__in=job.order.targets)
    pks = [
        pk for pk in found.order_by(Lower("name"), "pk").values_list("pk", flat=True) if pk not in left_out
    ]
    if pks:
        test = Job.objects.create(
            environment=job.environment, created_by=job.created_by, created_on=now, total=len(pks)
        )
        Diagnosis.objects.bulk_create(
            [Diagnosis(job=test, mailbox_id=pk, position=place) for place, pk in enumerate(pks)],
            batch_size=1000,
        )


WORKS: dict[str, Work] = {JobKind.CHANGE: change, JobKind.APPLY_DEFAULT: apply_default}
