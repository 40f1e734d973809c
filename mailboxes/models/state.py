"""What workers know and write: one row per mailbox and direction.

A direction is worked on by one worker at a time. It takes the lease with a conditional UPDATE that also
counts up the fence, and every later transaction begins with an UPDATE that names the fence: a worker
that slept past its lease finds no row and commits nothing.
"""

from datetime import UTC, datetime
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Coalesce

from mailboxes.choices import Direction, ResultStatus
from mailboxes.models.leasing import unleased, unqueued
from mailboxes.models.mailbox import Mailbox


def moment_tested(tested_on: str | F = "tested_on") -> Coalesce:
    """Return when a direction was tested, with a moment for never: one index sorts by it either way."""
    return Coalesce(tested_on, Value(datetime(1970, 1, 1, tzinfo=UTC)))


class WorkerStateQuerySet(models.QuerySet["WorkerState"]):
    """Named questions about due work. All filters are on the row's own columns: claims must stay atomic."""

    def due(self, now: datetime) -> "WorkerStateQuerySet":
        """Return the directions whose time has come and that nobody works on or waits for."""
        return self.workable(now).unqueued(now).order_by("due_at", "pk")

    def workable(self, now: datetime) -> "WorkerStateQuerySet":
        """Return the directions whose time has come and that nobody works on.

        One that is enabled is to be run, one that is not is to be tested again.
        """
        return self.filter(due_at__lte=now).unleased(now)

    def stopped(self) -> "WorkerStateQuerySet":
        """Return the directions that worked until a failure stopped them."""
        return self.filter(is_enabled=False, stopped_on__isnull=False)

    def doubtful(self) -> "WorkerStateQuerySet":
        """Return the directions that failed when they were last tried, or that a failure stopped."""
        return self.filter(Q(transient_failures__gt=0) | Q(is_enabled=False))

    def unleased(self, now: datetime) -> "WorkerStateQuerySet":
        """Return those that no living lease holds."""
        return self.filter(unleased(now))

    def unqueued(self, now: datetime) -> "WorkerStateQuerySet":
        """Return those without a wake-up under way."""
        return self.filter(unqueued(now))


class WorkerState(models.Model):
    """One direction of one mailbox: result of its test, whether it runs, when it is due, who holds it."""

    mailbox = models.ForeignKey(Mailbox, on_delete=models.CASCADE, related_name="states")
    direction = models.CharField(max_length=10, choices=Direction)

    status = models.CharField(max_length=10, choices=ResultStatus, default=ResultStatus.NOT_RUN)
    tested_on = models.DateTimeField(null=True)
    #: Test and Enable Last Attempted By and On; the same for both directions.
    attempted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    attempted_on = models.DateTimeField(null=True)
    is_enabled = models.BooleanField(default=False)

    due_at = models.DateTimeField(null=True)
    queued_until = models.DateTimeField(null=True)
    lease_owner = models.CharField(max_length=100, blank=True)
    leased_until = models.DateTimeField(null=True)
    fence = models.PositiveBigIntegerField(default=0)
    #: While it is leased: whether it has one of the connections of a profile with one account for all.
    has_place = models.BooleanField(default=False)

    #: Failures in a row, and when the first of them was.
    transient_failures = models.PositiveIntegerField(default=0)
    failing_since = models.DateTimeField(null=True)
    #: When it last worked again after failures, and how many there had been: see `engine.policy.counted`.
    recovered_on = models.DateTimeField(null=True)
    failures_before = models.PositiveIntegerField(default=0)
    #: When a failure stopped it; a person who switches it off leaves this empty. And its tests since then.
    stopped_on = models.DateTimeField(null=True)
    tests_since = models.PositiveIntegerField(default=0)
    last_error_code = models.CharField(max_length=100, blank=True)
    last_error = models.CharField(max_length=2000, blank=True)
    last_error_on = models.DateTimeField(null=True)
    #: What its walls are told of that is no failure: see `mailboxes.engine.parking`.
    told = models.CharField(max_length=200, blank=True)
    last_started_on = models.DateTimeField(null=True)
    last_success_on = models.DateTimeField(null=True)
    last_items = models.PositiveIntegerField(default=0)

    objects = WorkerStateQuerySet.as_manager()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["mailbox", "direction"], name="one_state_per_direction"),
            models.CheckConstraint(condition=Q(direction__in=Direction.values), name="state_direction"),
            models.CheckConstraint(condition=Q(status__in=ResultStatus.values), name="state_status"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="state_due"),
            # The list of mailboxes, by status.
            models.Index(fields=["direction", "status", "mailbox"], name="state_by_status"),
            models.Index(moment_tested(), F("mailbox"), name="state_by_test"),
            # Figures: what neither works nor fails.
            models.Index(
                fields=["direction", "mailbox"],
                condition=Q(is_enabled=False) & ~Q(status="failure"),
                name="state_at_rest",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.direction} of {self.mailbox_id}"
