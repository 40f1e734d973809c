"""OAuth 2.0: the tokens that sign in, and the visits to the provider that bring them.

Both are sealed row by row. A token belongs to one mailbox, whose person gave the permission, or to one
server profile, whose application has a permission of its own.
"""

import uuid
from datetime import datetime
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from emailsync.crypto.fields import EncryptedTextField
from mailboxes.models.leasing import unleased, unqueued
from mailboxes.models.mailbox import Mailbox
from profiles.models import ServerProfile


class OAuthTokenQuerySet(models.QuerySet["OAuthToken"]):
    """Named questions about tokens."""

    def workable(self, now: datetime) -> "OAuthTokenQuerySet":
        """Return those that nobody renews just now."""
        return self.filter(unleased(now))

    def due(self, now: datetime) -> "OAuthTokenQuerySet":
        """Return those that are to be looked after: renewed before they lapse, forecast."""
        return self.workable(now).filter(unqueued(now), due_at__lte=now).order_by("due_at", "pk")


class OAuthToken(models.Model):
    """A permission and its present access token. `fence` and the lease let one worker renew it at a time."""

    # The tokens are bound to the primary key, so it must be known before the first save.
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    mailbox = models.OneToOneField(Mailbox, null=True, on_delete=models.CASCADE, related_name="oauth_token")
    server_profile = models.OneToOneField(
        ServerProfile, null=True, on_delete=models.CASCADE, related_name="oauth_token"
    )
    #: Which application at which provider it was given to; another one has to ask again.
    client_key = models.CharField(max_length=64)
    #: Whose mailbox it opens, as the provider calls that person.
    subject = models.CharField(max_length=320, blank=True)
    connected_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    connected_on = models.DateTimeField(null=True)

    access_token = EncryptedTextField()
    access_expires_on = models.DateTimeField(null=True)
    refresh_token = EncryptedTextField()
    #: When the permission lapses unless it is renewed before; null when nobody knows.
    refresh_expires_on = models.DateTimeField(null=True)
    refreshed_on = models.DateTimeField(null=True)
    #: When a renewal was begun of which no answer is known: the provider may have replaced the refresh token.
    asked_on = models.DateTimeField(null=True)
    #: Why the provider no longer renews it; empty while it does.
    refusal = models.CharField(max_length=1000, blank=True)

    due_at = models.DateTimeField(null=True)
    queued_until = models.DateTimeField(null=True)
    lease_owner = models.CharField(max_length=100, blank=True)
    leased_until = models.DateTimeField(null=True)
    fence = models.PositiveBigIntegerField(default=0)

    objects = OAuthTokenQuerySet.as_manager()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=Q(mailbox__isnull=True) ^ Q(server_profile__isnull=True),
                name="oauth_token_of_one",
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="oauth_token_due"),
        ]

    def __str__(self) -> str:
        return f"OAuth token of {self.mailbox_id or self.server_profile_id}"

    @property
    def ends_on(self) -> datetime | None:
        """Return when the permission lapses unless it is renewed before; None when nobody knows."""
        return self.refresh_expires_on if self.refresh_token else self.access_expires_on


class OAuthVisitQuerySet(models.QuerySet["OAuthVisit"]):
    """Named questions about visits."""

    def under_way(self) -> "OAuthVisitQuerySet":
        """Return those that came back with a code that is not exchanged yet."""
        return self.filter(returned_on__isnull=False, finished_on__isnull=True)

    def workable(self, now: datetime) -> "OAuthVisitQuerySet":
        """Return those under way that nobody works on just now."""
        return self.under_way().filter(unleased(now))

    def due(self, now: datetime) -> "OAuthVisitQuerySet":
        """Return the workable ones that no wake-up is under way for."""
        return self.workable(now).filter(unqueued(now)).order_by("returned_on", "pk")


class OAuthVisit(models.Model):
    """Somebody was sent to the provider for one mailbox, and may come back with a code.

    Whoever comes back is recognised by `state` in their session, whose digest stands here.
    """

    # The secrets are bound to the primary key, so it must be known before the first save.
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    mailbox = models.ForeignKey(Mailbox, on_delete=models.CASCADE, related_name="oauth_visits")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    state_digest = models.CharField(max_length=64, unique=True)
    client_key = models.CharField(max_length=64)
    redirect_uri = models.CharField(max_length=2084)
    verifier = EncryptedTextField()
    code = EncryptedTextField()
    started_on = models.DateTimeField()
    returned_on = models.DateTimeField(null=True)
    finished_on = models.DateTimeField(null=True)
    #: Why it brought nothing, and what to do; empty when it did or is not over.
    problem = models.CharField(max_length=1000, blank=True)
    remedy = models.CharField(max_length=1000, blank=True)

    queued_until = models.DateTimeField(null=True)
    lease_owner = models.CharField(max_length=100, blank=True)
    leased_until = models.DateTimeField(null=True)
    fence = models.PositiveBigIntegerField(default=0)

    objects = OAuthVisitQuerySet.as_manager()

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(
                fields=["returned_on"],
                condition=Q(returned_on__isnull=False, finished_on__isnull=True),
                name="oauth_visit_returned",
            ),
        ]

    def __str__(self) -> str:
        return f"Visit for {self.mailbox_id}"
