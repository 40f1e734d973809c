"""The proof that nothing was overlooked: what the server holds against what the ledger says of it."""

from typing import Any, ClassVar

from django.db import models

from mailboxes.choices import LedgerOutcome
from mailboxes.models.mailbox import Mailbox


class Reconciliation(models.Model):
    """The last count of one mailbox's Inbox, and when the next one is due."""

    mailbox = models.OneToOneField(
        Mailbox, primary_key=True, on_delete=models.CASCADE, related_name="reconciliation"
    )
    #: The run that ends next after this moment counts.
    due_on = models.DateTimeField()
    #: The last attempt, and the last that came to its end.
    tried_on = models.DateTimeField(null=True)
    counted_on = models.DateTimeField(null=True)
    #: Messages that the server lists.
    on_server = models.PositiveBigIntegerField(default=0)
    #: What the ledger says of them: how many, by outcome.
    outcomes = models.JSONField(default=dict)
    #: Those that came after the last run; the next one reads them.
    waiting = models.PositiveBigIntegerField(default=0)
    #: Those that should have been read and were not: the gap.
    missed = models.PositiveBigIntegerField(default=0)
    #: Entries of the ledger whose message the server no longer lists.
    gone = models.PositiveBigIntegerField(default=0)
    #: Why the last attempt to count did not come to its end.
    trouble = models.CharField(max_length=2000, blank=True)

    class Meta:
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["-missed"], name="reconciled_by_gap")]

    def __str__(self) -> str:
        return f"Inbox of {self.mailbox_id}: {self.on_server} messages"

    @property
    def accounted(self) -> int:
        """Return how many of the messages on the server the ledger knew."""
        return sum(self.outcomes.values())

    @property
    def is_balanced(self) -> bool:
        """Say whether the last count came to its end and found nothing overlooked."""
        return self.counted_on is not None and not self.trouble and not self.missed

    @property
    def lines(self) -> list[tuple[str, Any, int]]:
        """Return the outcomes with their words, in their order: outcome, label, number."""
        known = [(each.value, each.label, self.outcomes.get(each.value, 0)) for each in LedgerOutcome]
        return [line for line in known if line[2]]
