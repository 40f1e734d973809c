"""Which environment synchronizes an address, and the numbers of tracking tokens."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower

from mailboxes.models.mailbox import Mailbox
from profiles.models import Environment


class SyncClaim(models.Model):
    """An address is synchronized by one environment only: the one that holds its row.

    The first successful Test & Enable takes a free address. Deleting or deactivating the mailbox, or giving
    it another address, sets it free. Show a person that another environment holds one, never which.
    """

    #: Lower-case.
    address = models.CharField(max_length=100, unique=True)
    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="sync_claims")
    mailbox = models.ForeignKey(Mailbox, on_delete=models.CASCADE, related_name="sync_claims")
    claimed_on = models.DateTimeField()
    claimed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=Q(address=Lower("address")), name="claim_is_lower_case"),
        ]

    def __str__(self) -> str:
        return self.address


class TokenCounter(models.Model):
    """The personal number of a sending mailbox, and how many tracking tokens it has given out."""

    mailbox = models.OneToOneField(Mailbox, on_delete=models.CASCADE, related_name="token_counter")
    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="token_counters")
    number = models.PositiveIntegerField()
    messages = models.PositiveIntegerField(default=0)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["environment", "number"], name="one_token_number_per_mailbox"),
        ]

    def __str__(self) -> str:
        return f"{self.number}:{self.messages}"
