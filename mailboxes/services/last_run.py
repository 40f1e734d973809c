"""When a direction was worked on last, and what that brought."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from mailboxes.choices import Direction, LedgerOutcome
from mailboxes.models import FolderCursor, LedgerEntry, Mailbox, WorkerState

#: How many entries of the ledger are looked through for the numbers of the last run.
COUNTED = 5000


@dataclass(frozen=True)
class LastRun:
    """The last time a direction was worked on, and what became of what was seen."""

    started_on: datetime
    took: timedelta | None
    ended_on: datetime | None
    items: int
    counts: Sequence[tuple[str, int]] = ()

    @property
    def seen(self) -> int:
        """Return how many messages were looked at."""
        return sum(number for _label, number in self.counts)


def last_run(mailbox: Mailbox, direction: Direction, state: WorkerState) -> LastRun | None:
    """Return the last run of a direction, or None when there was none."""
    started, ended = state.last_started_on, state.last_success_on
    if started is None:
        return None
    if ended is not None and ended < started:
        ended = None
    counts = _counts(mailbox, since=started) if direction == Direction.INCOMING and ended else ()
    return LastRun(
        started, ended - started if ended else None, ended, state.last_items if ended else 0, counts
    )


def _counts(mailbox: Mailbox, *, since: datetime) -> list[tuple[str, int]]:
    """Return what became of the messages seen since then, among the newest entries of the ledger."""
    entries = LedgerEntry.objects.filter(mailbox=mailbox)
    cursor = FolderCursor.objects.filter(mailbox=mailbox).order_by("pk").first()
    if cursor is not None and not cursor.is_by_uidl:
        # The unique key of the entries serves this order.
        entries = entries.filter(folder=cursor.folder, uidvalidity=cursor.uidvalidity)
    newest = entries.order_by("-pk" if cursor is None or cursor.is_by_uidl else "-uid").values("pk")[:COUNTED]
    found = LedgerEntry.objects.filter(pk__in=newest, seen_on__gte=since).order_by().values("outcome")
    numbers = {row["outcome"]: row["number"] for row in found.annotate(number=Count("pk"))}
    return [(str(each.label), numbers[each]) for each in LedgerOutcome if numbers.get(each)]


def said(last: LastRun) -> str:
    """Say in a sentence what a run brought."""
    if not last.items:
        return _("Nothing new.")
    text = ngettext("%(number)s new message.", "%(number)s new messages.", last.items)
    return text % {"number": f"{last.items:,}"}
