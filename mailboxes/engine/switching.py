"""Activate, deactivate and move many mailboxes, in pieces that one statement takes on every database."""

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F, QuerySet
from django.utils.translation import gettext as _

from mailboxes.choices import Direction
from mailboxes.engine import claiming
from mailboxes.engine.changing import reset
from mailboxes.models import Mailbox, Reconciliation, WorkerState
from profiles.choices import IncomingMethod
from profiles.models import Environment, ServerProfile

#: Keys in one statement: SQLite takes 32,766 parameters.
PIECE = 10_000


Key = TypeVar("Key")


class ProfileUnusable(Exception):
    """Mailboxes cannot be moved to this profile; the text says why."""


def in_pieces(pks: list[Key]) -> Iterator[list[Key]]:
    """Cut keys into what one statement takes on every database."""
    for start in range(0, len(pks), PIECE):
        yield pks[start : start + PIECE]


def write_states(mailboxes: Collection[Mailbox]) -> None:
    """Write what workers keep of new `mailboxes`: the state of each direction, and an empty count."""
    states = [WorkerState(mailbox=each, direction=direction) for each in mailboxes for direction in Direction]
    WorkerState.objects.bulk_create(states, batch_size=PIECE)
    counts = [Reconciliation(mailbox=each, environment_id=each.environment_id) for each in mailboxes]
    Reconciliation.objects.bulk_create(counts, batch_size=PIECE)


@transaction.atomic
def set_active(mailboxes: QuerySet[Mailbox], *, active: bool, by: User | None, now: datetime) -> int:
    """Switch `mailboxes` on or off; returns how many changed. Switched on, enabled ones are due at once."""
    found = list(mailboxes.exclude(is_active=active).values_list("pk", flat=True))
    for pks in in_pieces(found):
        changed = Mailbox.objects.filter(pk__in=pks)
        changed.update(is_active=active, modified_by=by, modified_on=now, version=F("version") + 1)
        if active:
            claiming.take_back(pks, by=by, now=now)
            make_due(changed, now=now)
        else:
            claiming.release(pks)
            stop_runs(changed)
    return len(found)


@transaction.atomic
def move(
    mailboxes: QuerySet[Mailbox],
    *,
    environment: Environment,
    to: UUID,
    by: User | None,
    now: datetime,
) -> list[UUID]:
    """Have `mailboxes` of `environment` use another active profile of it; returns those that moved.

    What was tested on the old servers says nothing about the new ones: both directions stop until they are
    tested again. Raises ProfileUnusable.
    """
    profile = ServerProfile.objects.select_for_update().filter(environment=environment, pk=to).first()
    if profile is None:
        raise ProfileUnusable(_("The server profile was deleted meanwhile."))
    if not profile.is_active:
        raise ProfileUnusable(_("%(name)s is inactive. Activate it first.") % {"name": profile.name})
    found = mailboxes.filter(environment=environment).exclude(server_profile=profile)
    moved = list(found.values_list("pk", flat=True))
    for pks in in_pieces(moved):
        part = Mailbox.objects.filter(pk__in=pks)
        part.update(server_profile=profile, modified_by=by, modified_on=now, version=F("version") + 1)
        reset(part.values("pk"))
    return moved


def stop_runs(mailboxes: QuerySet[Mailbox]) -> None:
    """Keep work under way from committing anything after this moment, by counting up the fence."""
    states = WorkerState.objects.filter(mailbox__in=mailboxes.values("pk"))
    states.update(fence=F("fence") + 1, leased_until=None)


def make_due(mailboxes: QuerySet[Mailbox], *, now: datetime) -> None:
    """Have enabled directions of `mailboxes` looked at now instead of at their next turn."""
    WorkerState.objects.filter(mailbox__in=mailboxes.values("pk"), is_enabled=True).update(due_at=now)


@transaction.atomic
def have_counted(mailboxes: QuerySet[Mailbox], *, now: datetime) -> list[UUID]:
    """Have the Inboxes of those `mailboxes` counted that receive; returns which these are."""
    receiving = WorkerState.objects.filter(
        mailbox__in=mailboxes.values("pk"), direction=Direction.INCOMING, is_enabled=True
    ).exclude(mailbox__incoming=IncomingMethod.FORWARD_MAILBOX)
    found = list(receiving.values_list("mailbox", flat=True))
    # In the order of a run, which holds the state while it writes its count.
    WorkerState.objects.filter(mailbox__in=found, direction=Direction.INCOMING, is_enabled=True).update(
        due_at=now
    )
    Reconciliation.objects.filter(mailbox__in=found).update(due_on=now)
    return found
