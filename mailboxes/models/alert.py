"""What people are told. One open alert per cause: repeats are counted, success resolves.

What stops several mailboxes of a profile alike is told once: the alert of each mailbox stands on that
mailbox's own wall, folded under one alert of the profile (`parent`), which the other walls show.
"""

from typing import ClassVar

from django.conf import settings
from django.contrib.auth.models import User
from django.db import models
from django.db.models import Q

from mailboxes.choices import AlertLevel
from mailboxes.models.mailbox import Mailbox
from profiles.models import Environment, ServerProfile

#: What the owner of a profile has to know of it: its own alerts, and the errors of its mailboxes.
ABOUT_THE_PROFILE = Q(mailbox__isnull=True) | Q(level=AlertLevel.ERROR)
#: What the owners of a profile's mailboxes have to know of it, whatever the email settings say.
FOR_EVERY_OWNER = Q(kind__in=("credentials_redirected", "email_redirected"))


class AlertQuerySet(models.QuerySet["Alert"]):
    """Named questions about alerts."""

    def open(self) -> "AlertQuerySet":
        """Return the alerts whose cause has not been mended."""
        return self.filter(resolved_on__isnull=True)

    def for_person(self, user: User) -> "AlertQuerySet":
        """Return the wall of `user`: alerts of their mailboxes and of the profiles they own.

        A profile's owner also sees the errors of the mailboxes that use it; the owner of a mailbox sees
        those of its profile where the email settings say so ("Notify mailbox owner"), and always where their
        credentials and their email go. Of an outage that both see, only the profile's alert stands on it.

        Each of the three is found by an index; together in one condition, all alerts would be looked at.
        """
        used = Mailbox.objects.filter(owner=user).values("server_profile")
        notified = Q(environment__email_settings__notify_mailbox_owner=True)
        sees_profile = Q(server_profile__owner=user) | notified
        of_boxes, *of_profiles = (
            found.order_by().values("pk")
            for found in (
                self.filter(Q(is_folded=False) | ~sees_profile, mailbox__owner=user),
                self.filter(ABOUT_THE_PROFILE, server_profile__owner=user, is_folded=False),
                self.filter(
                    notified | FOR_EVERY_OWNER, mailbox__isnull=True, server_profile__in=used, is_folded=False
                ),
            )
        )
        return self.filter(pk__in=of_boxes.union(*of_profiles))

    def unread_by(self, user: User) -> "AlertQuerySet":
        """Return the alerts that `user` has not marked as read."""
        return self.exclude(
            models.Exists(AlertReading.objects.filter(alert=models.OuterRef("pk"), user=user))
        )


class Alert(models.Model):
    """Something that happened to a mailbox or a profile. Its words live with its kind."""

    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="alerts")
    mailbox = models.ForeignKey(Mailbox, null=True, on_delete=models.CASCADE, related_name="alerts")
    #: The profile it is about, or that the mailbox used when it happened.
    server_profile = models.ForeignKey(
        ServerProfile, null=True, on_delete=models.CASCADE, related_name="alerts"
    )
    #: The profile's alert that gathers this one with those of other mailboxes that stopped alike.
    parent = models.ForeignKey("self", null=True, on_delete=models.CASCADE, related_name="members")
    #: Shown on no wall but the mailbox's own: its parent speaks for it, or it is the parent of only one.
    is_folded = models.BooleanField(default=False)
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
            models.Index(fields=["-last_seen_on", "-id"], name="alert_by_time"),
            models.Index(
                fields=["environment", "-last_seen_on", "-id"],
                condition=Q(is_folded=False),
                name="alert_by_environment",
            ),
            models.Index(
                fields=["environment", "level"],
                condition=Q(is_folded=False, resolved_on__isnull=True),
                name="alert_open",
            ),
            models.Index(
                fields=["server_profile"],
                condition=Q(is_folded=False, resolved_on__isnull=True),
                name="alert_open_of_profile",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"


class AlertTranscript(models.Model):
    """What was said to the server when it last failed, without secrets; it goes with its alert."""

    alert = models.OneToOneField(Alert, on_delete=models.CASCADE, related_name="transcript")
    text = models.TextField()
    recorded_on = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"Transcript of alert {self.alert_id}"


class AlertReading(models.Model):
    """Somebody has read an alert: it no longer counts on their bell."""

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="readings")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["user", "alert"], name="alert_read_once"),
        ]

    def __str__(self) -> str:
        return f"Alert {self.alert_id} read by {self.user_id}"
