"""Change many mailboxes as somebody asks for it. The engine judges and writes; this asks who may."""

from datetime import datetime

from django.contrib.auth.models import User
from django.db.models import QuerySet

from mailboxes import access
from mailboxes.choices import JobKind
from mailboxes.engine import changing
from mailboxes.engine.changing import Change, Outcome, Preview
from mailboxes.models import Job, Mailbox
from mailboxes.services import jobs
from profiles.access import Permission
from profiles.models import Environment

#: More than this many are changed by a job.
DIRECTLY = 500


def look_ahead(
    mailboxes: QuerySet[Mailbox], change: Change, *, environment: Environment, by: User | None
) -> Preview:
    """Return what `change` would do to `mailboxes`."""
    return changing.preview(_of(mailboxes, environment=environment, by=by), change)


def change_many(
    mailboxes: QuerySet[Mailbox],
    change: Change,
    *,
    environment: Environment,
    by: User | None,
    now: datetime,
) -> Outcome | Job:
    """Change `mailboxes`, at once or, when they are many, by a job.

    Those that the rules refuse stay as they are, each with its reason.
    """
    chosen = _of(mailboxes, environment=environment, by=by)
    pks = list(chosen.order_by("pk").values_list("pk", flat=True))
    if len(pks) > DIRECTLY:
        return jobs.start(
            JobKind.CHANGE,
            environment=environment,
            targets=pks,
            payload=change.as_json(),
            by=by,
            now=now,
        )
    return changing.apply(pks, change, by=by, now=now)


def _of(mailboxes: QuerySet[Mailbox], *, environment: Environment, by: User | None) -> QuerySet[Mailbox]:
    return access.within(mailboxes, by, Permission.WRITE_MAILBOXES, environment=environment)
