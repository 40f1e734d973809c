"""What people are told. One open alert per cause: repeats are counted, success resolves."""

from typing import ClassVar

from django.contrib.auth.models import User
from django.db import models
from django.db.models import Q

from mailboxes.choices import AlertLevel
from mailboxes.models.mailbox import Mailbox
from profiles.models import Environment, ServerProfile


class AlertQuerySet(models.QuerySet["Alert"]):
    """Named questions about alerts."""

    def open(self) -> "AlertQuerySet":
        """Return the alerts whose cause has not been mended."""
        return self.filter(resolved_on__isnull=True)

    def for_person(self, user: User) -> "AlertQuerySet":
        """Return the wall of `user`: alerts of their mailboxes and of the profiles they own.

        A profile's owner also sees the errors of the mailboxes that use it; the owner of a mailbox sees
        those of its profile where the email settings say so ("Notify mailbox owner").
        """
        mine = Mailbox.objects.filter(owner=user, server_profile=models.OuterRef("server_profile"))
        return self.filter(
            Q(mailbox__owner=user)
            | Q(server_profile__owner=user)
            | Q(level=AlertLevel.ERROR, mailbox__server_profile__owner=user)
            | (Q(environment__email_settings__notify_mailbox_owner=True) & models.Exists(mine))
        )


class Alert(models.Model):
    """Something that happened to a mailbox or a profile. Its words live with its kind."""

    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="alerts")
    mailbox = models.ForeignKey(Mailbox, null=True, on_delete=models.CASCADE, related_name="alerts")
    server_profile = models.ForeignKey(
        ServerProfile, null=True, on_delete=models.CASCADE, related_name="alerts"
    )
    kind = models.CharField(max_length=60)
    level = models.CharField(max_length=20, choices=AlertLevel)
    #: What the kind's sentences are filled with; never a secret.
    parameters = models.JSONField(default=dict)
    #: The machine's word for the cause, and the server's own answer.
    error_code = models.CharField(max_length=100, blank=True)
    details = models.CharField(max_length=2048, blank=True)
    #: What makes two alerts the same cause.
    key = models.CharField(max_length=200)
    count = models.PositiveIntegerField(default=1)
    first_seen_on = models.DateTimeField()
    last_seen_on = models.DateTimeField()
    resolved_on = models.DateTimeField(null=True)

    objects = AlertQuerySet.as_manager()

    class Meta:
        ordering: ClassVar[list[str]] = ["-last_seen_on", "-id"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["environment", "key"],
                condition=Q(resolved_on__isnull=True),
                name="one_open_alert_per_cause",
            ),
            models.CheckConstraint(condition=Q(level__in=AlertLevel.values), name="alert_level"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["mailbox", "-last_seen_on"], name="alert_by_mailbox"),
            models.Index(fields=["server_profile", "-last_seen_on"], name="alert_by_profile"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"
