"""The two questions about a row that workers take turns with; see `mailboxes.engine.scheduling`."""

from datetime import datetime

from django.db.models import Q


def unleased(now: datetime) -> Q:
    """Return the condition that no living lease holds the row."""
    return Q(leased_until__isnull=True) | Q(leased_until__lte=now)


def unqueued(now: datetime) -> Q:
    """Return the condition that no wake-up for the row is under way."""
    return Q(queued_until__isnull=True) | Q(queued_until__lte=now)
