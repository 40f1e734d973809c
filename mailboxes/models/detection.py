"""A search for the mail servers of a domain, asked for where a server profile is filled in."""

import uuid
from datetime import datetime
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.urls import reverse

from mailboxes.choices import UNFINISHED, RunState
from mailboxes.models.leasing import unleased, unqueued
from profiles.models import Environment


class DetectionQuerySet(models.QuerySet["Detection"]):
    """Named questions about searches."""

    def workable(self, now: datetime) -> "DetectionQuerySet":
        """Return the unfinished ones that nobody works on."""
        return self.filter(unleased(now), state__in=UNFINISHED)

    def due(self, now: datetime) -> "DetectionQuerySet":
        """Return the workable ones that no wake-up is under way for, the oldest first."""
        return self.workable(now).filter(unqueued(now)).order_by("created_on")


class Detection(models.Model):
    """One search: of an address only the domain is kept."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="detections")
    domain = models.CharField(max_length=253)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_on = models.DateTimeField(db_index=True)
    started_on = models.DateTimeField(null=True)
    finished_on = models.DateTimeField(null=True)
    state = models.CharField(max_length=10, choices=RunState, default=RunState.QUEUED)
    #: What was found: the fields of a server profile, by their names.
    found = models.JSONField(default=dict)
    #: Who said so, for incoming and outgoing.
    sources = models.JSONField(default=dict)
    note = models.CharField(max_length=500, blank=True)
    #: Every attempt: what, on whose word, what came of it, whether it answers.
    tried = models.JSONField(default=list)

    queued_until = models.DateTimeField(null=True)
    lease_owner = models.CharField(max_length=100, blank=True)
    leased_until = models.DateTimeField(null=True)
    fence = models.PositiveBigIntegerField(default=0)

    objects = DetectionQuerySet.as_manager()

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(
                fields=["created_on"], condition=models.Q(state__in=UNFINISHED), name="detection_unfinished"
            ),
        ]

    def __str__(self) -> str:
        return f"Mail servers of {self.domain}"

    def get_absolute_url(self) -> str:
        """Return the address of the page that follows it."""
        return reverse("mailboxes:detection_detail", args=[self.environment.slug, self.pk])

    @property
    def is_finished(self) -> bool:
        """Say whether nothing more is tried."""
        return self.state not in UNFINISHED
