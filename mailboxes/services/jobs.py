"""Start and cancel what runs in the background. The asking writes rows; a worker's clock finds them."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F

from mailboxes.choices import JobKind, RunState
from mailboxes.engine import jobs as engine
from mailboxes.engine import orders
from mailboxes.models import Diagnosis, Job
from profiles import access
from profiles.access import Permission, Person
from profiles.models import Environment

#: What somebody must be permitted to do in the whole environment, by kind of job.
PERMISSIONS: dict[str, Permission] = {
    JobKind.DIAGNOSE: Permission.DIAGNOSE,
    JobKind.APPROVE: Permission.APPROVE,
    JobKind.REJECT: Permission.APPROVE,
    JobKind.COUNT: Permission.DIAGNOSE,
    JobKind.DELETE_ALERTS: Permission.DELETE_ALERTS,
    JobKind.READ_AGAIN: Permission.READ_EMAIL,
}


def _permission(kind: str) -> Permission:
    return PERMISSIONS.get(kind, Permission.WRITE_MAILBOXES)


def start(
    kind: JobKind,
    *,
    environment: Environment,
    targets: Iterable[UUID | str | int],
    payload: Any = None,
    by: User | None,
    now: datetime,
    title: str = "",
) -> Job:
    """Write a job for somebody who may do this in all of `environment`; see `mailboxes.engine.orders.start`.

    Every kind has its work in `mailboxes.engine.works.WORKS`; Test & Enable is started by
    `mailboxes.services.diagnosis`. Raises PermissionDenied.
    """
    access.require(by, _permission(kind), environment)
    return orders.start(
        kind, environment=environment, targets=targets, payload=payload, by=by, now=now, title=title
    )


def may_cancel(user: Person, job: Job) -> bool:
    """Say whether `user` may do the same in all of the environment, or started `job` and still belongs to it.

    Who may do something with their own alone starts a job about their own alone.
    """
    permission = _permission(job.kind)
    own = user.pk if user.pk == job.created_by_id else None
    return access.may(user, permission, job.environment_id, owner_id=own)


@transaction.atomic
def cancel(job: Job, *, by: User | None, now: datetime) -> bool:
    """Do nothing more of `job` that is not begun; what runs comes to its end. Says whether there was any.

    Raises PermissionDenied for who may not, see `may_cancel`.
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
