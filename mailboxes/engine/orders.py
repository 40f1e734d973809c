"""Write down what a job is to do. A worker's clock finds it; `mailboxes.engine.works` says how it is done."""

import itertools
import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction

from mailboxes.choices import JobKind, RunState
from mailboxes.models import Diagnosis, Job, JobOrder, Mailbox
from profiles.models import Environment, ServerProfile

#: More mailboxes than this are worked on by a job.
DIRECTLY = 500


def payload(job: Job) -> Any:
    """Return what was typed for `job`: it may hold passwords, and must never be shown or logged."""
    return json.loads(job.order.payload.reveal() or "{}")


@transaction.atomic
def start(
    kind: JobKind,
    *,
    environment: Environment,
    targets: Iterable[UUID | str | int],
    payload: Any = None,
    by: User | None,
    now: datetime,
    title: str = "",
    follows: Job | None = None,
) -> Job:
    """Write a job that goes through `targets` in chunks; without targets it is finished at once.

    `payload` is what the work needs to know, as JSON. It is stored encrypted and forgotten when the job is
    over.
    """
    ids = [str(target) for target in targets]
    job = Job.objects.create(
        environment=environment,
        kind=kind,
        title=title[:200],
        follows=follows,
        created_by=by,
        created_on=now,
        total=len(ids),
        state=RunState.QUEUED if ids else RunState.DONE,
        finished_on=None if ids else now,
    )
    if ids:
        JobOrder.objects.create(job=job, targets=ids, payload=json.dumps(payload or {}))
    return job


@transaction.atomic
def start_tests(
    pks: Sequence[UUID],
    *,
    environment: Environment,
    by: User | None,
    now: datetime,
    server_profile: ServerProfile | None = None,
    takes_over: bool = False,
    follows: Job | None = None,
) -> Job:
    """Write a job that tests and enables mailboxes, in the order of `pks`.

    The diagnoses of few are written here; those of many by the job itself.
    """
    is_small = len(pks) <= DIRECTLY
    job = Job.objects.create(
        environment=environment,
        server_profile=server_profile,
        takes_over=takes_over,
        follows=follows,
        created_by=by,
        created_on=now,
        total=len(pks),
        position=len(pks) if is_small else 0,
        title=Mailbox.objects.values_list("name", flat=True).get(pk=pks[0]) if len(pks) == 1 else "",
        state=RunState.QUEUED if pks else RunState.DONE,
        finished_on=None if pks else now,
    )
    if is_small:
        write_diagnoses(job, pks, places=itertools.count())
    else:
        JobOrder.objects.create(job=job, targets=[str(pk) for pk in pks], payload="{}")
    return job


def write_diagnoses(job: Job, pks: Sequence[UUID], *, places: Iterable[int]) -> None:
    """Write the diagnoses of those mailboxes that are still there, each at its place in the job."""
    there = set(Mailbox.objects.filter(pk__in=pks).values_list("pk", flat=True))
    Diagnosis.objects.bulk_create(
        Diagnosis(job=job, mailbox_id=pk, position=place)
        for pk, place in zip(pks, places, strict=False)
        if pk in there
    )
