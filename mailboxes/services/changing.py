"""Change many mailboxes as somebody asks for it. The engine judges and writes; this asks who may."""

from datetime import datetime

from django.contrib.auth.models import User
from django.db.models import QuerySet

from mailboxes import access
from mailboxes.engine import changing
from mailboxes.engine.changing import Change, Outcome, Preview
from mailboxes.models import Mailbox
from profiles.access import Permission
from profiles.models import Environment


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
) -> Outcome:
    """Change `mailboxes`; those that the rules refuse stay as they are, each with its reason."""
    chosen = _of(mailboxes, environment=environment, by=by)
    pks = list(chosen.order_by("pk").values_list("pk", flat=True))
    return changing.apply(pks, change, by=by, now=now)


def _of(mailboxes: QuerySet[Mailbox], *, environment: Environment, by: User | None) -> QuerySet[Mailbox]:
    return access.within(mailboxes, by, Permission.WRITE_MAILBOXES, environment=environment)
