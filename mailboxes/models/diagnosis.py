"""Test & Enable: a job asks, one diagnosis per mailbox answers, step by step."""

from datetime import datetime
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse

from mailboxes.choices import Direction, RunState, StepOutcome
from mailboxes.models.mailbox import Mailbox
from profiles.models import Environment, ServerProfile


class Job(models.Model):
    """One click on Test & Enable: for a selection of mailboxes, or for all of a profile."""

    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="jobs")
    server_profile = models.ForeignKey(
        ServerProfile, null=True, on_delete=models.SET_NULL, related_name="jobs"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="jobs"
    )
    created_on = models.DateTimeField()
    finished_on = models.DateTimeField(null=True)
    #: "Sync items … from this org only": addresses that another environment synchronizes are taken over.
    takes_over = models.BooleanField(default=False)

    class Meta:
        ordering: ClassVar[list[str]] = ["-created_on", "-id"]

    def __str__(self) -> str:
        return f"Test & Enable {self.pk}"

    def get_absolute_url(self) -> str:
        """Return the address of the page that follows this job."""
        return reverse("mailboxes:job_detail", args=[self.environment.slug, self.pk])


class DiagnosisQuerySet(models.QuerySet["Diagnosis"]):
    """Named questions about diagnoses."""

    def unfinished(self) -> "DiagnosisQuerySet":
        """Return those still waiting or running."""
        return self.exclude(state=RunState.DONE)

    def due(self, now: datetime) -> "DiagnosisQuerySet":
        """Return the unfinished ones that nobody works on and that no wake-up is under way for."""
        return self.unfinished().filter(
            Q(leased_until__isnull=True) | Q(leased_until__lte=now),
            Q(queued_until__isnull=True) | Q(queued_until__lte=now),
        )


class Diagnosis(models.Model):
    """The test of one mailbox; each direction has a result of its own."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="diagnoses")
    mailbox = models.ForeignKey(Mailbox, on_delete=models.CASCADE, related_name="diagnoses")
    state = models.CharField(max_length=10, choices=RunState, default=RunState.QUEUED)
    #: Empty while unknown; skipped when the direction is not configured.
    incoming = models.CharField(max_length=10, choices=StepOutcome, blank=True)
    outgoing = models.CharField(max_length=10, choices=StepOutcome, blank=True)
    started_on = models.DateTimeField(null=True)
    finished_on = models.DateTimeField(null=True)
    queued_until = models.DateTimeField(null=True)
    lease_owner = models.CharField(max_length=100, blank=True)
    leased_until = models.DateTimeField(null=True)
    fence = models.PositiveBigIntegerField(default=0)

    objects = DiagnosisQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "diagnoses"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["job", "mailbox"], name="one_diagnosis_per_mailbox_and_job"),
            models.CheckConstraint(condition=Q(state__in=RunState.values), name="diagnosis_state"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["queued_until"], condition=~Q(state=RunState.DONE), name="diagnosis_due"),
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
