"""Who works on what, and until when.

Rule 1. A row is claimed by one conditional UPDATE on its own columns; whoever changed no row lost the
race and returns. Nobody waits twice for the same row (`queued_until`), nobody runs twice (`leased_until`).

Rule 2. A claim counts up the row's fence. Every transaction with effects begins with an UPDATE that names
the fence it holds (`fenced`). A worker that was stopped past its lease finds no row: LeaseLost, and
nothing of it is committed.

Rule 3. Living workers renew the leases they hold from one thread per process. A process that is killed or
stopped renews nothing, and its rows are claimed again when the lease ends.
"""

import functools
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist
from django.db import (
    DatabaseError,
    InterfaceError,
    OperationalError,
    connection,
    models,
    transaction,
)
from django.db.models import F, Q
from django.db.models.functions import Coalesce
from django.utils import timezone

from emailsync.mail.wire import Deadline
from emailsync.web import upgrading
from mailboxes.choices import RunState
from mailboxes.models import (
    Detection,
    Diagnosis,
    Job,
    OAuthToken,
    OAuthVisit,
    OutgoingMessage,
    Reconciliation,
    WorkerState,
)
from profiles.choices import AuthenticationType
from profiles.models import ServerProfile

log = logging.getLogger(__name__)

#: How long a wake-up may take to reach a worker before the row is handed out again.
WAKE_UP_PATIENCE = timedelta(seconds=20)
#: How long a row waits when all connections of its profile are in use.
PLACE_PATIENCE = timedelta(seconds=2)
#: How many rows one tick hands out at most, so that the broker never holds more than is soon done.
CLAIM_LIMIT = 100

#: Nothing is put off for longer; what seems to be was written by a clock that was ahead of time.
FURTHEST = timedelta(days=2)

#: How long what nobody else knows is kept while the database is away, and the pause between two attempts.
INSIST_SECONDS = 60.0
INSIST_PAUSE = 0.5

#: What is handed out, in this order.
KINDS: tuple[type[Any], ...] = (Diagnosis, Detection, Job, OAuthVisit, OAuthToken, WorkerState)
#: Stands for the present in a statement that is compiled once.
_SOME_TIME = datetime(1, 1, 1, tzinfo=UTC)

Workable = TypeVar("Workable", WorkerState, Detection, Diagnosis, Job, OAuthToken, OAuthVisit)


class LeaseLost(Exception):
    """Another worker has taken over, or an operator changed what this work relied on."""


@dataclass(frozen=True)
class Lease:
    """The right to work on one row until it lapses."""

    model: type[models.Model]
    #: A number or a UUID, as the model has it.
    pk: Any
    fence: int

    @property
    def rows(self) -> "models.QuerySet[models.Model]":
        """Return the row while this lease still holds it, as a queryset to update."""
        return self.model._base_manager.filter(pk=self.pk, fence=self.fence)


def identity() -> str:
    """Return the name under which this process holds leases."""
    return f"{os.uname().nodename}:{os.getpid()}"[:100]


def kinds_due(now: datetime) -> list[type[Any]]:
    """Return those of KINDS that have rows to hand out, by one question."""
    sql, parameters = _question()
    some_time, time = map(connection.ops.adapt_datetimefield_value, (_SOME_TIME, now))
    with connection.cursor() as cursor:
        cursor.execute(sql, [time if each == some_time else each for each in parameters])
        return [model for model, is_due in zip(KINDS, cursor.fetchone(), strict=True) if is_due]


@functools.cache
def _question() -> tuple[str, list[Any]]:
    """Return the statement of `kinds_due` with its parameters: to compile it takes longer than to answer."""
    asked = [model.objects.due(_SOME_TIME).query.exists().sql_with_params() for model in KINDS]
    sql = ", ".join(f"EXISTS({each})" for each, _ in asked)
    return f"SELECT {sql}", [each for _, parameters in asked for each in parameters]


def forget_future(now: datetime) -> None:
    """Make due again what a clock that was ahead of time has put off, however far ahead it was.

    A direction that seems to have been run or tested in the future was put off by such a clock; so may have
    been one that is enabled and never ran. A lease is only cut to its length: its holder may be alive, and
    renews it.
    """
    limit, lapse = now + FURTHEST, now + settings.LEASE
    was_ahead = Q(due_at__gt=limit) | Q(last_started_on__isnull=True, is_enabled=True)
    for stamp in ("last_started_on", "last_success_on", "last_error_on", "tested_on"):
        was_ahead |= Q(**{f"{stamp}__gt": now})
    for model in KINDS:
        model._base_manager.filter(leased_until__gt=lapse).update(leased_until=lapse)
        model._base_manager.filter(queued_until__gt=now + WAKE_UP_PATIENCE).update(queued_until=None)
    OAuthToken.objects.filter(due_at__gt=limit).update(due_at=now)
    WorkerState.objects.filter(was_ahead, due_at__gt=now).update(due_at=now)
    too_late = now + 2 * settings.RETRY_DELAY
    OutgoingMessage.objects.waiting().filter(next_attempt_at__gt=too_late).update(next_attempt_at=now)
    Reconciliation.objects.filter(due_on__gt=limit).update(due_on=now)


def claim_due(model: type[Workable], *, now: datetime, limit: int = CLAIM_LIMIT) -> list[Workable]:
    """Hand out what is due: each returned row is this caller's to send a wake-up for."""
    found = list(model.objects.due(now).only("pk", *_shown(model))[:limit])
    if not found:
        return []
    until = now + WAKE_UP_PATIENCE
    with transaction.atomic():
        return [row for row in found if model.objects.due(now).filter(pk=row.pk).update(queued_until=until)]


def _shown(model: type[models.Model]) -> tuple[str, ...]:
    return ("direction", "mailbox_id") if model is WorkerState else ()


def claim_running(model: type[Workable], pk: Any, *, now: datetime) -> Lease | None:
    """Take the lease of a row that is due, or return None when somebody else was faster."""
    # One transaction: between the two statements nobody may count the fence up once more.
    with transaction.atomic():
        row = model.objects.workable(now).filter(pk=pk)
        claimed = row.update(
            lease_owner=identity(),
            leased_until=now + settings.LEASE,
            fence=F("fence") + 1,
            queued_until=None,
            **_begun(model, now),
        )
        if not claimed:
            return None
        fence = model._base_manager.values_list("fence", flat=True).get(pk=pk)
    lease = Lease(model, pk, fence)
    _heart.hold(lease)
    return lease


def _begun(model: type[models.Model], now: datetime) -> dict[str, object]:
    if model is WorkerState:
        return {"last_started_on": now, "has_place": False}
    if model in {OAuthToken, OAuthVisit}:
        return {}
    if model is Diagnosis:
        # One that is taken up again starts over; a job goes on.
        return {"started_on": now, "state": RunState.RUNNING, "has_place": False}
    return {"started_on": Coalesce(F("started_on"), now) if model is Job else now, "state": RunState.RUNNING}


@contextmanager
def fenced(lease: Lease, **changes: object) -> Iterator[None]:
    """Open a transaction that commits only while `lease` holds; `changes` are written to its row.

    Raises LeaseLost before anything is done when the row is no longer ours.
    """
    with transaction.atomic():
        if not lease.rows.update(leased_until=timezone.now() + settings.LEASE, **changes):
            raise LeaseLost(f"{lease.model.__name__} {lease.pk}")
        yield


def insist(write: Callable[[], None]) -> None:
    """Do `write`, a transaction, though the database be away for a while: nobody can repeat what it holds."""
    patience = Deadline.after(INSIST_SECONDS)
    while True:
        try:
            write()
        except (OperationalError, InterfaceError) as error:
            if not patience.remaining():
                raise
            log.warning("What nobody else knows cannot be stored yet: %s", error)
            connection.close_if_unusable_or_obsolete()
            time.sleep(INSIST_PAUSE)
        else:
            return


def release(lease: Lease, **changes: object) -> None:
    """Give the row back and write `changes` (its next due time, say). A lost lease releases nothing."""
    _heart.drop(lease)
    lease.rows.update(leased_until=None, lease_owner="", **changes)


@contextmanager
def working(lease: Lease) -> Iterator[None]:
    """Hold a lease while the work lasts; end quietly when the lease, the row or the database goes away.

    A row that could not be given back is claimed again when its lease ends.
    """
    try:
        yield
    except LeaseLost as lost:
        log.info("Stopped: the lease on %s is gone", lost)
    except ObjectDoesNotExist as gone:
        log.info("Stopped: what %s %s was about is deleted. %s", lease.model.__name__, lease.pk, gone)
    except (DatabaseError, InterfaceError) as error:
        if not (cause := upgrading.explain(error)):
            raise
        log.error(  # noqa: TRY400  (the cause is the server, and a traceback of ours hides it)
            "Stopped: the database does not take what is to be stored; it is tried again when the lease on "
            "%s %s ends: %s",
            lease.model.__name__,
            lease.pk,
            cause,
        )
    finally:
        _heart.drop(lease)


def must_wait_for_place(profile: ServerProfile, lease: Lease) -> bool:
    """Take one of the profile's connections, or give the row back for a moment; say whether it was.

    With credentials on the mailboxes the limit counts per mailbox, and a mailbox never has more than one
    connection a direction. Of a profile with one account for all, the row is locked, so that two workers
    cannot both take the last place. A test takes one as well. Only who has a place counts: those who try at
    the same moment do not send each other away.
    """
    if profile.authentication_type != AuthenticationType.IN_PROFILE:
        return False
    now = timezone.now()
    with transaction.atomic():
        ServerProfile.objects.select_for_update().get(pk=profile.pk)
        taken = {"mailbox__server_profile": profile, "has_place": True, "leased_until__gt": now}
        in_use = (
            WorkerState.objects.filter(**taken).count()
            + Diagnosis.objects.unfinished().filter(**taken).count()
        )
        is_full = in_use >= profile.maximum_concurrent_connections
        if is_full:
            release(lease, **_waiting(lease.model, until=now + PLACE_PATIENCE))
        else:
            lease.rows.update(has_place=True)
    return is_full


def _waiting(model: type[models.Model], *, until: datetime) -> dict[str, object]:
    if model is Diagnosis:
        return {"state": RunState.QUEUED, "started_on": None, "queued_until": until}
    return {"due_at": until}


class _Heart:
    """Renews the leases of this process, all from one thread."""

    def __init__(self) -> None:
        self._leases: set[Lease] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def hold(self, lease: Lease) -> None:
        with self._lock:
            self._leases.add(lease)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._beat, name="lease-heart", daemon=True)
                self._thread.start()

    def drop(self, lease: Lease) -> None:
        with self._lock:
            self._leases.discard(lease)

    def _beat(self) -> None:
        wait = threading.Event()
        while True:
            wait.wait(settings.LEASE.total_seconds() / 3)
            with self._lock:
                held = list(self._leases)
                if not held:
                    self._thread = None
                    return
            try:
                self._renew(held)
            finally:
                # Not kept for the next beat: that is long from now.
                connection.close()

    def _renew(self, held: list[Lease]) -> None:
        for lease in held:
            try:
                if not lease.rows.update(leased_until=timezone.now() + settings.LEASE):
                    self.drop(lease)
            except (DatabaseError, InterfaceError) as error:
                # The lease simply runs out if this lasts; its work is then done by somebody else.
                log.warning("A lease could not be renewed: %s", error)
                return


_heart = _Heart()
