"""Ask for Test & Enable. The asking writes rows; a worker's clock finds them."""

from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet

from mailboxes import access
from mailboxes.models import Diagnosis, Job, Mailbox
from profiles.access import Permission
from profiles.models import Environment, ServerProfile


@transaction.atomic
def start(
    mailboxes: QuerySet[Mailbox],
    *,
    environment: Environment,
    by: User | None,
    now: datetime,
    server_profile: ServerProfile | None = None,
    takes_over: bool = False,
) -> Job:
    """Write a job with one diagnosis per mailbox that `by` may test; without any it is finished at once.

    `takes_over` is the box "Sync items … from this org only": addresses that another environment
    synchronizes become this one's, and the other is told.
    """
    chosen = access.within(mailboxes, by, Permission.DIAGNOSE, environment=environment)
    pks = list(chosen.order_by("name").values_list("pk", flat=True))
    job = Job.objects.create(
        environment=environment,
        server_profile=server_profile,
        created_by=by,
        created_on=now,
        finished_on=None if pks else now,
        takes_over=takes_over,
    )
    Diagnosis.objects.bulk_create([Diagnosis(job=job, mailbox_id=pk) for pk in pks], batch_size=500)
    return job
