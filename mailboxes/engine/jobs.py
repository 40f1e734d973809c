"""What runs in the background, chunk by chunk.

Each chunk of targets is one fenced transaction: it does the work, writes the remarks and moves `position`.
A worker that dies leaves whole chunks behind, and the next one goes on exactly after them. Whether
somebody canceled the job is asked between chunks; a chunk is done or not begun.

What is done with a chunk stands in `mailboxes.engine.works`. Of Test & Enable only the diagnoses are written
here: they are claimed one by one (`mailboxes.engine.diagnosing`), and the last one finishes the job.
"""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db.models import Case, F, Q, Value, When
from django.utils import timezone
from django.utils.translation import gettext as _

from mailboxes.choices import JobKind, RunState
from mailboxes.engine import scheduling
from mailboxes.engine.works import WORKS, ChunkResult, Remark
from mailboxes.models import Diagnosis, Job, JobOrder, JobRemark

log = logging.getLogger(__name__)

CHUNK = 500
#: How often a job that does not come to its end is taken up. Each claim counts the fence up by one.
ATTEMPTS = 10


def run(job_pk: int) -> None:
    """Go on with a job, if it is still there to be done."""
    lease = scheduling.claim_running(Job, job_pk, now=timezone.now())
    if lease is None:
        return
    with scheduling.working(lease):
        _run(lease)


def _run(lease: scheduling.Lease) -> None:
    if lease.fence > ATTEMPTS:
        _give_up(lease)
        return
    job = Job.objects.select_related("order", "created_by", "environment").get(pk=lease.pk)
    work, targets, position = WORKS[job.kind](job), job.order.targets, job.position
    while position < len(targets):
        chunk = targets[position : position + CHUNK]
        now = timezone.now()
        with scheduling.fenced(lease):
            # Asked while the row is locked: whoever cancels now waits for this chunk.
            if Job.objects.filter(pk=job.pk, canceled_on__isnull=False).exists():
                break
            result = work(chunk, now)
            _write_remarks(job, result.remarks)
            position += len(chunk)
            lease.rows.update(position=position, **_counted(job, position, result))
    with scheduling.fenced(lease):
        if job.kind == JobKind.DIAGNOSE:
            JobOrder.objects.filter(job=job.pk).delete()
            settle(job.pk, now=timezone.now())
        else:
            finish(job.pk, now=timezone.now())
    scheduling.release(lease)


def _counted(job: Job, position: int, result: ChunkResult) -> dict[str, Any]:
    """Return the numbers of a job after a chunk; those of Test & Enable count finished diagnoses."""
    if job.kind == JobKind.DIAGNOSE:
        return {}
    return {
        "done": position,
        "changed": F("changed") + result.changed,
        "failed": F("failed") + len(result.remarks),
    }


def _write_remarks(job: Job, remarks: Sequence[Remark]) -> None:
    JobRemark.objects.bulk_create(
        [
            JobRemark(job=job, mailbox_id=remark.mailbox, label=remark.label[:300], sentence=remark.sentence)
            for remark in remarks
        ]
    )


def _give_up(lease: scheduling.Lease) -> None:
    log.error("Job %s was begun %s times and never came to its end", lease.pk, ATTEMPTS)
    sentence = _(
        "The job was begun %(count)s times and never came to its end. What it had done by then stays. "
        "Look into the log of the workers for the reason, then start it again."
    ) % {"count": ATTEMPTS}
    with scheduling.fenced(lease, state=RunState.FAILED, finished_on=timezone.now()):
        JobRemark.objects.create(job_id=lease.pk, sentence=sentence)
        JobOrder.objects.filter(job=lease.pk).delete()
    scheduling.release(lease)


def begin(job: Job, *, now: datetime) -> None:
    """Note that the first of a job's diagnoses is under way."""
    if job.state == RunState.QUEUED:
        Job.objects.filter(pk=job.pk, state=RunState.QUEUED).update(state=RunState.RUNNING, started_on=now)


def count(job: Job, *, changed: bool, failed: bool) -> None:
    """Count one more finished diagnosis; the job's row stays locked until the transaction ends."""
    Job.objects.filter(pk=job.pk).update(
        done=F("done") + 1, changed=F("changed") + int(changed), failed=F("failed") + int(failed)
    )


def settle(job_pk: int, *, now: datetime) -> None:
    """Finish a Test & Enable job that has no unfinished diagnosis left, and none to be written.

    Call it after `count`, in the same transaction: of two that end together, the second sees the first.
    """
    is_written = Q(position__gte=F("total")) | Q(canceled_on__isnull=False)
    if not Job.objects.filter(is_written, pk=job_pk).exists():
        return
    if not Diagnosis.objects.unfinished().filter(job=job_pk).exists():
        finish(job_pk, now=now)


def finish(job_pk: int, *, now: datetime) -> None:
    """Finish a job: done, or canceled when something was left out for that. Its order is forgotten."""
    is_canceled = When(canceled_on__isnull=False, done__lt=F("total"), then=Value(RunState.CANCELED))
    Job.objects.unfinished().filter(pk=job_pk).update(
        state=Case(is_canceled, default=Value(RunState.DONE)), finished_on=now
    )
    JobOrder.objects.filter(job=job_pk).delete()
