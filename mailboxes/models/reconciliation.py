"""The proof that nothing was overlooked: what the server holds against what the ledger says of it."""

from datetime import UTC, datetime
from typing import Any, ClassVar

from django.db import models
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Coalesce

from mailboxes.choices import LedgerOutcome, Standing
from mailboxes.models.mailbox import Mailbox
from profiles.models import Environment

#: When an Inbox was counted, with a moment for never: one index sorts by it on every database.
COUNTED_ON = Coalesce("counted_on", Value(datetime(1970, 1, 1, tzinfo=UTC)))
#: The largest gaps first, then what was never counted, then the oldest proofs.
URGENCY = (F("standing").asc(), F("missed").desc(), COUNTED_ON.asc())


class Reconciliation(models.Model):
    """The last count of one mailbox's Inbox, and when the next one is due. Every mailbox has one."""

    mailbox = models.OneToOneField(
        Mailbox, primary_key=True, on_delete=models.CASCADE, related_name="reconciliation"
    )
    #: The mailbox's, repeated so that the list of an environment comes out of one index in its order.
    environment = models.ForeignKey(
        Environment, on_delete=models.CASCADE, related_name="+", editable=False, db_index=False
    )
    #: The run that ends next after this moment counts; nothing before the first run.
    due_on = models.DateTimeField(null=True)
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
    #: What the last count proves.
    standing = models.GeneratedField(
        expression=Case(
            When(missed__gt=0, then=Value(Standing.GAP)),
            When(Q(counted_on=None) | ~Q(trouble=""), then=Value(Standing.NOT_COUNTED)),
            default=Value(Standing.COMPLETE),
        ),
        output_field=models.SmallIntegerField(),
        db_persist=True,
    )

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index("environment", *URGENCY, "mailbox", name="reconciled_by_urgency")
        ]

    def __str__(self) -> str:
        return f"Inbox of {self.mailbox_id}: {self.on_server} messages"

    def save(self, *args: Any, **options: Any) -> None:
        """Save the count in the environment of its mailbox."""
        self.environment_id = self.mailbox.environment_id
        super().save(*args, **options)

    @property
    def accounted(self) -> int:
        """Return how many of the messages on the server the ledger knew."""
        return sum(self.outcomes.values())

    @property
    def is_balanced(self) -> bool:
        """Say whether the last count came to its end and found nothing overlooked."""
        return self.counted_on is not None and not self.trouble and not self.missed

    @property
    def proof(self) -> str:
        """Return what the last count proves, in words."""
        return str(Standing(self.standing).label)

    @property
    def stored(self) -> int:
        """Return how many of the messages on the server are stored."""
        return int(self.outcomes.get(LedgerOutcome.STORED, 0))

    @property
    def kept_out(self) -> list[tuple[str, Any, int]]:
        """Return the outcomes other than stored with their words: outcome, label, number."""
        return [line for line in self.lines if line[0] != LedgerOutcome.STORED]

    @property
    def lines(self) -> list[tuple[str, Any, int]]:
        """Return the outcomes with their words, in their order: outcome, label, number."""
        known = [(each.value, each.label, self.outcomes.get(each.value, 0)) for each in LedgerOutcome]
        return [line for line in known if line[2]]
