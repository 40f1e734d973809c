"""Activate, deactivate and move many mailboxes, in pieces that one statement takes on every database."""

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Case, F, Q, QuerySet, Value, When
from django.utils.translation import gettext as _

from mailboxes.alerts import wall
from mailboxes.alerts.kinds import READY
from mailboxes.choices import Direction, ResultStatus
from mailboxes.engine import claiming, eligibility, parking
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


def lock(pks: Collection[UUID]) -> list[UUID]:
    """Keep mailboxes from being changed until the transaction ends; returns those that are still there.

    Everybody who locks several does it here, in one order, so that nobody waits for one another in a circle.
    Workers go on writing rows that belong to them.
    """
    found = Mailbox.objects.filter(pk__in=pks).select_for_update(no_key=True).order_by("pk")
    return list(found.values_list("pk", flat=True))


def write_states(mailboxes: Collection[Mailbox]) -> None:
    """Write what workers keep of new `mailboxes`: the state of each direction, and an empty count."""
    states = [WorkerState(mailbox=each, direction=direction) for each in mailboxes for direction in Direction]
    WorkerState.objects.bulk_create(states, batch_size=PIECE)
    counts = [Reconciliation(mailbox=each, environment_id=each.environment_id) for each in mailboxes]
    Reconciliation.objects.bulk_create(counts, batch_size=PIECE)


@transaction.atomic
def set_active(mailboxes: QuerySet[Mailbox], *, active: bool, by: User | None, now: datetime) -> int:
    """Switch `mailboxes` on or off; returns how many changed. Switched on, enabled ones are due at once."""
    found = list(mailboxes.exclude(is_active=active).order_by("pk").values_list("pk", flat=True))
    for pks in in_pieces(found):
        lock(pks)
        changed = Mailbox.objects.filter(pk__in=pks)
        changed.update(is_active=active, modified_by=by, modified_on=now, version=F("version") + 1)
        if active:
            claiming.take_back(pks, by=by, now=now)
            make_due(changed, now=now, mends="mailbox_inactive")
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
    moved = list(found.order_by("pk").values_list("pk", flat=True))
    for pks in in_pieces(moved):
        lock(pks)
        part = Mailbox.objects.filter(pk__in=pks)
        part.update(server_profile=profile, modified_by=by, modified_on=now, version=F("version") + 1)
        reset(part.values("pk"), now=now)
    return moved


def stop_runs(mailboxes: QuerySet[Mailbox]) -> None:
    """Keep work under way from committing anything after this moment, by counting up the fence."""
    states = WorkerState.objects.filter(mailbox__in=mailboxes.values("pk"))
    states.update(fence=F("fence") + 1, leased_until=None)


def make_due(mailboxes: QuerySet[Mailbox], *, now: datetime, mends: str = "") -> None:
    """Have enabled directions of `mailboxes` looked at now instead of at their next turn.

    Those whose last test met the blocker that this `mends` are tested again.
    """
    wanted = Q(is_enabled=True) | Q(last_error_code=mends) if mends else Q(is_enabled=True)
    WorkerState.objects.filter(wanted, mailbox__in=mailboxes.values("pk")).update(due_at=now)


def reset(
    mailboxes: Iterable[UUID] | QuerySet[Any, Any],
    *,
    directions: Collection[str] = Direction.values,
    now: datetime,
) -> None:
    """Forget the test results of mailboxes and stop them; work under way can commit nothing more.

    What a failure had stopped or kept from being enabled, or the checklist from being tested, is tested again
    at once: the change may be what mends it. Whoever is stopped in both directions waits for nothing then.
    """
    would_be_tried = Q(is_enabled=False, due_at__isnull=False)
    is_tried = (
        would_be_tried | Q(stopped_on__isnull=False) | Q(last_error_code__in=eligibility.MENDED_BY_CHANGE)
    )
    WorkerState.objects.filter(mailbox__in=mailboxes, direction__in=list(directions)).update(
        status=ResultStatus.NOT_RUN,
        is_enabled=False,
        tested_on=None,
        due_at=Case(When(is_tried, then=Value(now)), default=None),
        queued_until=None,
        fence=F("fence") + 1,
        leased_until=None,
        transient_failures=0,
        tests_since=0,
        last_error_code="",
        last_error="",
    )
    over = [READY, parking.KIND] if set(directions) == set(Direction.values) else [READY]
    wall.resolve_each(*over, mailboxes=mailboxes, now=now)


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
