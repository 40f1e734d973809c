"""Write down what a job is to do. A worker's clock finds it; `mailboxes.engine.works` says how it is done."""

import contextlib
import itertools
import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.core.exceptions import EmptyResultSet
from django.db import connection, transaction
from django.db.models import QuerySet

from mailboxes.choices import JobKind, RunState
from mailboxes.engine.switching import lock
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

    `targets` may be a query for primary keys: a hundred thousand never leave the database. `payload` is what
    the work needs to know, as JSON. It is stored encrypted and forgotten when the job is over.
    """
    job = Job.objects.create(
        environment=environment,
        kind=kind,
        title=title[:200],
        follows=follows,
        created_by=by,
        created_on=now,
        state=RunState.QUEUED,
    )
    job.total = _order(job, targets, payload=json.dumps(payload or {}))
    if not job.total:
        JobOrder.objects.filter(job=job).delete()
        job.state, job.finished_on = RunState.DONE, now
    job.save(update_fields=["total", "state", "finished_on"])
    return job


def few(targets: QuerySet[Any, UUID]) -> list[UUID] | None:
    """Return `targets`, a query for primary keys, when they are worked on directly; nothing for a job."""
    found = list(targets[: DIRECTLY + 1])
    return found if len(found) <= DIRECTLY else None


def _order(job: Job, targets: Iterable[UUID | str | int], *, payload: str) -> int:
    """Write down what `job` is to go through; returns how many targets these are."""
    if not isinstance(targets, QuerySet):
        ids = [str(target) for target in targets]
        JobOrder.objects.create(job=job, targets=ids, payload=payload)
        return len(ids)
    # By its key: `job.order` is to be read from the database.
    JobOrder.objects.create(job_id=job.pk, targets=[], payload=payload)
    is_postgresql = connection.vendor == "postgresql"
    gather, length = (
        ("jsonb_agg", "jsonb_array_length") if is_postgresql else ("json_group_array", "json_array_length")
    )
    table = JobOrder._meta.db_table
    with connection.cursor() as cursor:
        with contextlib.suppress(EmptyResultSet):
            sql, values = targets.query.sql_with_params()
            gathered = f"(SELECT {gather}(CAST(chosen.pk AS text)) FROM ({sql}) chosen)"  # noqa: S608 - put together by Django
            cursor.execute(
                f"UPDATE {table} SET targets = COALESCE({gathered}, '[]') WHERE job_id = %s",  # noqa: S608
                [*values, job.pk],
            )
        cursor.execute(f"SELECT {length}(targets) FROM {table} WHERE job_id = %s", [job.pk])  # noqa: S608
        return int(cursor.fetchone()[0])


@transaction.atomic
def start_tests(
    pks: Sequence[UUID] | QuerySet[Mailbox, UUID],
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
    few = list(pks[: DIRECTLY + 1])
    job = Job.objects.create(
        environment=environment,
        server_profile=server_profile,
        takes_over=takes_over,
        follows=follows,
        created_by=by,
        created_on=now,
        total=len(few),
        position=len(few),
        title=Mailbox.objects.values_list("name", flat=True).get(pk=few[0]) if len(few) == 1 else "",
        state=RunState.QUEUED if few else RunState.DONE,
        finished_on=None if few else now,
    )
    if len(few) <= DIRECTLY:
        write_diagnoses(job, few, places=itertools.count())
        return job
    job.total, job.position = _order(job, pks, payload="{}"), 0
    job.save(update_fields=["total", "position"])
    return job


def write_diagnoses(job: Job, pks: Sequence[UUID], *, places: Iterable[int]) -> None:
    """Write the diagnoses of those mailboxes that are still there, each at its place in the job.

    Call it within a transaction: whoever deletes one of them waits for its end.
    """
    there = set(lock(pks))
    Diagnosis.objects.bulk_create(
        Diagnosis(job=job, mailbox_id=pk, position=place)
        for pk, place in zip(pks, places, strict=False)
        if pk in there
    )
