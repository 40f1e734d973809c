"""Start and cancel what runs in the background. The asking writes rows; a worker's clock finds them."""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F

from mailboxes.choices import JobKind, RunState
from mailboxes.engine import jobs as engine
from mailboxes.models import Diagnosis, Job, JobOrder
from profiles import access
from profiles.access import Permission, Person
from profiles.models import Environment

#: What somebody must be permitted to do in the whole environment, by kind of job.
PERMISSIONS: dict[str, Permission] = {
    JobKind.DIAGNOSE: Permission.DIAGNOSE,
    JobKind.APPROVE: Permission.APPROVE,
    JobKind.REJECT: Permission.APPROVE,
}


def _permission(kind: str) -> Permission:
    return PERMISSIONS.get(kind, Permission.WRITE_MAILBOXES)


@transaction.atomic
def start(
    kind: JobKind,
    *,
    environment: Environment,
    targets: Iterable[UUID | str],
    payload: Any = None,
    by: User | None,
    now: datetime,
    title: str = "",
) -> Job:
    """Write a job that goes through `targets` in chunks; without targets it is finished at once.

    `payload` is what the work needs to know, as JSON. It is stored encrypted and forgotten when the job is
    over. Every kind has its work in `mailboxes.engine.works.WORKS`; Test & Enable is started by
    `mailboxes.services.diagnosis`.
    """
    access.require(by, _permission(kind), environment)
    ids = [str(target) for target in targets]
    job = Job.objects.create(
        environment=environment,
        kind=kind,
        title=title,
        created_by=by,
        created_on=now,
        total=len(ids),
        state=RunState.QUEUED if ids else RunState.DONE,
        finished_on=None if ids else now,
    )
    if ids:
        JobOrder.objects.create(job=job, targets=ids, payload=json.dumps(payload or {}))
    return job


def may_cancel(user: Person, job: Job) -> bool:
    """Say whether `user` started `job`, or may do the same."""
    return user.pk == job.created_by_id or access.may(user, _permission(job.kind), job.environment_id)


@transaction.atomic
def cancel(job: Job, *, by: User | None, now: datetime) -> bool:
    """Do nothing more of `job` that is not begun; what runs comes to its end. Says whether there was any.

    Raises PermissionDenied for all but those who started it or may do the same.
    """
    if by is not None and not may_cancel(by, job):
        raise access.refusal(_permission(job.kind))
    asked = Job.objects.unfinished().filter(pk=job.pk, canceled_on__isnull=True)
    if not asked.update(canceled_by=by, canceled_on=now):
        return False
    if job.kind == JobKind.DIAGNOSE:
        idle = Diagnosis.objects.unfinished().unleased(now).filter(job=job)
        idle.update(state=RunState.CANCELED, finished_on=now, fence=F("fence") + 1)
        engine.settle(job.pk, now=now)
    elif Job.objects.unleased(now).filter(pk=job.pk).update(fence=F("fence") + 1):
        engine.finish(job.pk, now=now)
    return True
