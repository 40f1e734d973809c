"""Test & Enable: a job asks, one diagnosis per mailbox answers, step by step."""

from datetime import datetime
from typing import ClassVar

from django.db import models
from django.db.models import Case, Exists, OuterRef, Q, When

from mailboxes.choices import UNFINISHED, Direction, RunState, StepOutcome
from mailboxes.models.job import Job
from mailboxes.models.leasing import unleased, unqueued
from mailboxes.models.mailbox import Mailbox


class DiagnosisQuerySet(models.QuerySet["Diagnosis"]):
    """Named questions about diagnoses."""

    def unfinished(self) -> "DiagnosisQuerySet":
        """Return those still waiting or running."""
        return self.filter(is_unfinished=True)

    def unleased(self, now: datetime) -> "DiagnosisQuerySet":
        """Return those that no living lease holds."""
        return self.filter(unleased(now))

    def workable(self, now: datetime) -> "DiagnosisQuerySet":
        """Return those that a worker may take up: of two tests of a mailbox the newer one waits."""
        older = Diagnosis.objects.unfinished().filter(mailbox=OuterRef("mailbox"), pk__lt=OuterRef("pk"))
        return self.unfinished().unleased(now).exclude(Exists(older))

    def due(self, now: datetime) -> "DiagnosisQuerySet":
        """Return the workable ones that no wake-up is under way for.

        The first mailbox of every job comes before the second of any: a small job overtakes a large one.
        """
        return self.workable(now).filter(unqueued(now)).order_by("position", "pk")

    def doubtful(self) -> "DiagnosisQuerySet":
        """Return those that may hang: another one of the same job has failed."""
        failed = Q(incoming=StepOutcome.FAILURE) | Q(outgoing=StepOutcome.FAILURE)
        others = Diagnosis.objects.filter(failed, job=OuterRef("job"), state=RunState.DONE)
        return self.filter(Exists(others))


class Diagnosis(models.Model):
    """The test of one mailbox; each direction has a result of its own."""

    # Every index that begins with the job serves its key too.
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="diagnoses", db_index=False)
    mailbox = models.ForeignKey(Mailbox, on_delete=models.CASCADE, related_name="diagnoses")
    #: The place among the mailboxes of its job.
    position = models.PositiveIntegerField(default=0)
    state = models.CharField(max_length=10, choices=RunState, default=RunState.QUEUED)
    #: The database keeps it; as a boolean it lets both databases use the index of what is due.
    is_unfinished = models.GeneratedField(
        expression=Case(When(state__in=UNFINISHED, then=True), default=False),
        output_field=models.BooleanField(),
        db_persist=True,
    )
    #: Empty while unknown; skipped when the direction is not configured.
    incoming = models.CharField(max_length=10, choices=StepOutcome, blank=True)
    outgoing = models.CharField(max_length=10, choices=StepOutcome, blank=True)
    started_on = models.DateTimeField(null=True)
    finished_on = models.DateTimeField(null=True)
    queued_until = models.DateTimeField(null=True)
    lease_owner = models.CharField(max_length=100, blank=True)
    leased_until = models.DateTimeField(null=True)
    fence = models.PositiveBigIntegerField(default=0)
    #: While it is leased: whether it has one of the connections of a profile with one account for all.
    has_place = models.BooleanField(default=False)
    #: How often it was begun; one that only waited for a connection was not.
    attempts = models.PositiveIntegerField(default=0)

    objects = DiagnosisQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "diagnoses"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["job", "mailbox"], name="one_diagnosis_per_mailbox_and_job"),
            models.CheckConstraint(condition=Q(state__in=RunState.values), name="diagnosis_state"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["position", "id"], condition=Q(is_unfinished=True), name="diagnosis_due"),
            models.Index(fields=["mailbox"], condition=Q(is_unfinished=True), name="diagnosis_of_mailbox"),
            models.Index(fields=["job", "position"], name="diagnosis_position"),
            models.Index(fields=["job", "state", "incoming", "outgoing"], name="diagnosis_results"),
        ]

    def __str__(self) -> str:
        return f"Diagnosis of {self.mailbox_id} in job {self.job_id}"


class DiagnosisStep(models.Model):
    """One step of a diagnosis: what was done, what was seen and, on failure, what to do."""

    diagnosis = models.ForeignKey(Diagnosis, on_delete=models.CASCADE, related_name="steps")
    direction = models.CharField(max_length=10, choices=Direction)
    position = models.PositiveIntegerField()
    name = models.CharField(max_length=40)
    title = models.CharField(max_length=500)
    outcome = models.CharField(max_length=10, choices=StepOutcome)
    started_on = models.DateTimeField()
    duration_ms = models.PositiveIntegerField(default=0)
    seen = models.TextField(blank=True)
    error_code = models.CharField(max_length=100, blank=True)
    remedy = models.TextField(blank=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["diagnosis", "position"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["diagnosis", "position"], name="step_position"),
        ]

    def __str__(self) -> str:
        return self.title
