"""Mailboxes from a file, for those who may change mailboxes: at once, or by a job when the rows are many."""

from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction

from mailboxes.choices import JobKind
from mailboxes.engine import importing as engine
from mailboxes.engine.importing import Plan
from mailboxes.engine.uploading import Upload
from mailboxes.models import Job
from mailboxes.services import jobs
from profiles import access
from profiles.access import Permission
from profiles.models import Environment

#: More rows than this are checked and imported by a job.
DIRECTLY = 1000


def judge(upload: Upload, *, environment: Environment, by: User) -> Plan:
    """Return what a file would do in `environment`, or everything that is wrong with it."""
    access.require(by, Permission.WRITE_MAILBOXES, environment)
    return upload.judge(environment, by=by)


@transaction.atomic
def carry_out(upload: Upload, *, environment: Environment, by: User, now: datetime) -> Plan:
    """Judge a file again and write it if nothing is wrong; returns what was done, or the complaints.

    Raises IntegrityError when somebody took one of the addresses at the same moment; nothing is written then.
    """
    access.require(by, Permission.WRITE_MAILBOXES, environment)
    plan = upload.judge(environment, by=by, locks=True)
    if plan.is_good:
        engine.write(plan, by=by, now=now)
    return plan


def start(
    upload: Upload, *, environment: Environment, by: User, now: datetime, imports: bool, title: str = ""
) -> Job:
    """Write a job that checks all of a file and, if it `imports` and nothing is wrong, has it imported.

    The import is a job of its own. It judges each row again; those that were spoiled since the check are left
    out, and named.
    """
    return jobs.start(
        JobKind.CHECK_FILE,
        environment=environment,
        targets=upload.lines,
        payload={**upload.as_json(), "imports": imports},
        by=by,
        now=now,
        title=title,
    )
