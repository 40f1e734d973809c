"""The brake against bans: refused sign-ins of one host, and the pause that too many of them bring."""

from typing import ClassVar

from django.db import models

from mailboxes.choices import Direction
from mailboxes.models.mailbox import Mailbox


class RefusedSignIn(models.Model):
    """A server has refused a sign-in. Rows are counted over a few minutes and then removed."""

    host = models.CharField(max_length=253)
    mailbox = models.ForeignKey(Mailbox, on_delete=models.CASCADE, related_name="+")
    direction = models.CharField(max_length=10, choices=Direction)
    refused_on = models.DateTimeField()

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["host", "refused_on"], name="refused_by_host"),
        ]

    def __str__(self) -> str:
        return f"{self.host} refused {self.mailbox_id}"


class SignInBrake(models.Model):
    """Nobody signs in at this host but one mailbox after the other, with growing pauses between."""

    host = models.CharField(max_length=253, unique=True)
    engaged_on = models.DateTimeField()
    #: What engaged it: how many sign-ins were refused, of how many mailboxes.
    refusals = models.PositiveIntegerField()
    mailboxes = models.PositiveIntegerField()
    next_try_on = models.DateTimeField()
    #: Seconds between the last try and the next.
    pause = models.PositiveIntegerField()
    #: The mailbox that tried last.
    canary = models.ForeignKey(Mailbox, null=True, on_delete=models.SET_NULL, related_name="+")

    def __str__(self) -> str:
        return f"{self.host} until {self.next_try_on}"
