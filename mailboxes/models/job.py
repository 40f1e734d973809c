"""What runs in the background: a job, what it is to do, and what it has to say about single mailboxes.

Each goes through its targets in chunks: `position` says how far it has come, and moves in the transaction
that did the work. The work of Test & Enable is only to write a diagnosis per mailbox
(`mailboxes.models.diagnosis`), which are claimed one by one.
"""

import uuid
from datetime import datetime
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.urls import reverse

from emailsync.crypto.fields import EncryptedTextField
from mailboxes.choices import UNFINISHED, JobKind, RunState
from mailboxes.models.leasing import unleased, unqueued
from mailboxes.models.mailbox import Mailbox
from profiles.models import Environment, ServerProfile


class JobQuerySet(models.QuerySet["Job"]):
    """Named questions about jobs."""

    def unfinished(self) -> "JobQuerySet":
        """Return those waiting or running."""
        return self.filter(state__in=UNFINISHED)

    def unleased(self, now: datetime) -> "JobQuerySet":
        """Return those that no living lease holds."""
        return self.filter(unleased(now))

    def workable(self, now: datetime) -> "JobQuerySet":
        """Return those that a worker may take up; Test & Enable only while diagnoses are to be written."""
        is_written = Q(position__gte=F("total")) | Q(canceled_on__isnull=False)
        return self.unfinished().exclude(is_written, kind=JobKind.DIAGNOSE).unleased(now)

    def due(self, now: datetime) -> "JobQuerySet":
        """Return the workable ones that no wake-up is under way for, the longest waiting first."""
        return self.workable(now).filter(unqueued(now)).order_by("pk")


class Job(models.Model):
    """One thing that somebody asked for and that goes on when they leave the page."""

    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="jobs")
    kind = models.CharField(max_length=20, choices=JobKind, default=JobKind.DIAGNOSE)
    #: What it is about, when one name says it: a mailbox, a file.
    title = models.CharField(max_length=200, blank=True)
    server_profile = models.ForeignKey(
        ServerProfile, null=True, on_delete=models.SET_NULL, related_name="jobs"
    )
    #: The job that started this one when it was over.
    follows = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="followers")
    #: Test & Enable: take the addresses over from the environment that synchronizes them now.
    takes_over = models.BooleanField(default=False)

    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="jobs"
    )
    created_on = models.DateTimeField()
    started_on = models.DateTimeField(null=True)
    finished_on = models.DateTimeField(null=True)
    canceled_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    canceled_on = models.DateTimeField(null=True)

    state = models.CharField(max_length=10, choices=RunState, default=RunState.QUEUED)
    total = models.PositiveIntegerField(default=0)
    #: How many of them are finished, whatever became of them.
    done = models.PositiveIntegerField(default=0)
    #: How many were changed; for Test & Enable, enabled.
    changed = models.PositiveIntegerField(default=0)
    #: How many have a remark; for Test & Enable, failed.
    failed = models.PositiveIntegerField(default=0)
    position = models.PositiveIntegerField(default=0)

    queued_until = models.DateTimeField(null=True)
    lease_owner = models.CharField(max_length=100, blank=True)
    leased_until = models.DateTimeField(null=True)
    fence = models.PositiveBigIntegerField(default=0)

    objects = JobQuerySet.as_manager()

    class Meta:
        ordering: ClassVar[list[str]] = ["-created_on", "-id"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=Q(state__in=RunState.values), name="job_state"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["id"], condition=Q(state__in=UNFINISHED), name="job_unfinished"),
            models.Index(F("environment"), F("created_on").desc(), F("id").desc(), name="job_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.pk}"

    def get_absolute_url(self) -> str:
        """Return the address of the page that follows this job."""
        return reverse("mailboxes:job_detail", args=[self.environment.slug, self.pk])

    @property
    def is_finished(self) -> bool:
        """Say whether nothing more will be done."""
        return self.state not in UNFINISHED


class JobOrder(models.Model):
    """What a job is to do, kept only until it is over: what somebody typed may be a password."""

    # The payload is bound to the primary key, so it must be known before the first save.
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="order")
    #: Primary keys, as text, in the order of the work. An import has the numbers of its lines.
    targets = models.JSONField(default=list)
    #: JSON, see `mailboxes.engine.orders`.
    payload = EncryptedTextField()

    def __str__(self) -> str:
        return f"Order of job {self.job_id}"


class JobRemark(models.Model):
    """Why a job left something out, or what a reader should know about one mailbox."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="remarks")
    mailbox = models.ForeignKey(Mailbox, null=True, on_delete=models.SET_NULL, related_name="+")
    #: What it is about, for when there is no mailbox or no more: a name, an address, a line of a file.
    label = models.CharField(max_length=300, blank=True)
    sentence = models.TextField()

    class Meta:
        ordering: ClassVar[list[str]] = ["id"]

    def __str__(self) -> str:
        return f"{self.label}: {self.sentence}"
