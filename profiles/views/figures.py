"""Numbers about the mailboxes, mail and alerts of environments and profiles.

They belong to a layer above and are counted by their names alone. One query counts everything for all the
records of a page: each of its parts reads an index, and all but the first look only at what is rare. How many
mailboxes work, nearly all of them, is what remains.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, TypeVar

from django.apps import apps
from django.db.models import CharField, Count, Exists, OuterRef, Q, QuerySet, Value

from emailsync.web.listing import Listing
from profiles.models import Environment, ServerProfile

M = TypeVar("M", bound=Environment | ServerProfile)

FIGURES = frozenset({"mailbox_count", "active", "failing", "working", "pending", "open_alerts"})
#: How long after it was written an email is sent at the latest, nearly always.
DELIVERY = timedelta(days=7)


class ListingWithFigures(Listing[M]):
    """A list whose rows carry figures, and of which columns may be sorted by them."""

    def fetch(self, page: QuerySet[M]) -> list[M]:
        """Return the rows of a page with their figures."""
        return add_figures(list(page))

    @cached_property
    def rows(self) -> list[M]:
        """Return the records of this page. All of them are counted to be sorted by a figure: they are few."""
        column = self._sort_column
        if column is None or not FIGURES.issuperset(column.sort):
            return super().rows
        names = [str(name) for name in column.sort]
        found = sorted(
            self.fetch(self.selected),
            key=lambda record: (*(getattr(record, name) for name in names), record.pk),
            reverse=self.sort.startswith("-"),
        )
        return found[(self.page - 1) * self.size : self.page * self.size]


def add_figures(records: list[M]) -> list[M]:
    """Set the FIGURES on environments or profiles: mailboxes, those of them that are active, and open alerts.

    Failing, working and pending are active mailboxes: one direction failed; one is enabled and none failed;
    the address waits for approval.
    """
    counted: defaultdict[object, Counter[str]] = defaultdict(Counter)
    for key, name, number in _counts(records) if records else ():
        counted[key][name] = number
    for record in records:
        numbers = counted[record.pk]
        active = numbers["all"] - numbers["inactive"]
        vars(record).update(
            mailbox_count=numbers["all"],
            active=active,
            failing=numbers["failing"],
            working=active - numbers["failing"] - numbers["idle"],
            pending=numbers["pending"],
            open_alerts=numbers["alerts"],
        )
    return records


def _counts(records: Sequence[Environment | ServerProfile]) -> Iterable[tuple[object, str, int]]:
    """Return the record's key, the name of what was counted, and its number."""
    field = "environment" if isinstance(records[0], Environment) else "server_profile"
    keys = [record.pk for record in records]
    boxes = _rows("Mailbox").filter(**{f"{field}__in": keys})
    alerts = _rows("Alert").filter(**{f"{field}__in": keys}, resolved_on__isnull=True, is_folded=False)
    if field == "server_profile":  # its wall shows no more of its mailboxes than their errors
        alerts = alerts.filter(Q(mailbox__isnull=True) | Q(level="error"))
    # Entered by their state, which is rare.
    states = _rows("WorkerState").filter(**{f"mailbox__{field}__in": keys}, mailbox__is_active=True)
    failing = states.filter(direction__in=("incoming", "outgoing"), status="failure")
    at_rest = Q(is_enabled=False) & ~Q(status="failure")
    outgoing = _rows("WorkerState").filter(at_rest, direction="outgoing", mailbox=OuterRef("mailbox"))
    idle = states.filter(at_rest, Exists(outgoing), direction="incoming")
    return _grouped("all", boxes, field).union(
        _grouped("inactive", boxes.filter(is_active=False), field),
        _grouped("pending", boxes.filter(is_active=True, address_status="pending"), field),
        _grouped("failing", failing, f"mailbox__{field}", Count("mailbox", distinct=True)),
        _grouped("idle", idle, f"mailbox__{field}"),
        _grouped("alerts", alerts, field),
        all=True,
    )


def _rows(model: str) -> QuerySet[Any]:
    rows: QuerySet[Any] = apps.get_model("mailboxes", model)._base_manager.all()
    return rows


def _grouped(name: str, rows: QuerySet[Any], key: str, number: Count | None = None) -> QuerySet[Any]:
    named = rows.order_by().values(key).annotate(name=Value(name, CharField()))
    grouped: QuerySet[Any] = named.annotate(number=number or Count("*")).values_list(key, "name", "number")
    return grouped


def mail_since(environments: Sequence[Environment], since: datetime) -> None:
    """Set `received` and `sent` on `environments`: how much mail came in and went out since a moment."""
    # Both narrow the range of an index; what was written long before it was sent is rare.
    received = _mail(environments, "Message", Q(received_at__gte=since))
    sent = _mail(environments, "OutgoingMessage", Q(sent_at__gte=since, created_on__gte=since - DELIVERY))
    for environment in environments:
        environment.received = received.get(environment.pk, 0)  # type: ignore[attr-defined]
        environment.sent = sent.get(environment.pk, 0)  # type: ignore[attr-defined]


def _mail(environments: Sequence[Environment], model: str, condition: Q) -> dict[int, int]:
    keys = [environment.pk for environment in environments]
    found = _rows(model).filter(condition, environment__in=keys)
    return dict(found.values("environment").annotate(number=Count("*")).values_list("environment", "number"))
