"""Numbers about the mailboxes and alerts of environments and profiles.

Mailboxes, mail and alerts belong to a layer above; they are counted by their names alone. Each
number is a query of its own inside the row's query: joined together, mailboxes, their states and alerts
would multiply each other.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TypeVar, cast

from django.apps import apps
from django.db.models import Count, FilteredRelation, IntegerField, Model, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from profiles.models import Environment

M = TypeVar("M", bound=Model)

ACTIVE = Q(mailboxes__is_active=True)
FAILED = Q(mailboxes__states__status="failure")
ENABLED = Q(mailboxes__states__is_enabled=True)

#: How long after it was written an email is sent at the latest, nearly always.
DELIVERY = timedelta(days=7)


def with_figures(records: QuerySet[M]) -> QuerySet[M]:
    """Annotate environments or profiles with mailbox_count, active, failing, working and open_alerts.

    Failing and working are active mailboxes: one direction failed, or one is enabled and none failed.
    """
    boxes = Count("mailboxes", distinct=True)
    found = records.annotate(
        mailbox_count=_number(records, boxes),
        active=_number(records, Count("mailboxes", filter=ACTIVE, distinct=True)),
        failing=_number(
            records, Count("mailboxes", filter=ACTIVE & Q(failed__isnull=False), distinct=True), failed=FAILED
        ),
        working=_number(
            records,
            Count("mailboxes", filter=ACTIVE & Q(enabled__isnull=False, failed__isnull=True), distinct=True),
            failed=FAILED,
            enabled=ENABLED,
        ),
        open_alerts=_number(
            records, Count("alerts", filter=Q(alerts__resolved_on__isnull=True), distinct=True)
        ),
    )
    return cast("QuerySet[M]", found)


def pending_approval(records: QuerySet[M]) -> QuerySet[M]:
    """Annotate with the number of active mailboxes whose address waits for approval."""
    waiting = Count("mailboxes", filter=ACTIVE & Q(mailboxes__address_status="pending"), distinct=True)
    found = records.annotate(pending=_number(records, waiting))
    return cast("QuerySet[M]", found)


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
    found = apps.get_model("mailboxes", model)._base_manager.filter(condition, environment__in=keys)
    return dict(found.values("environment").annotate(number=Count("pk")).values_list("environment", "number"))


def _number(records: QuerySet[M], counted: Count, **states: Q) -> Coalesce:
    """Count something about each record; each of `states` names the states of mailboxes it holds for."""
    relations = {
        name: FilteredRelation("mailboxes__states", condition=condition) for name, condition in states.items()
    }
    one = records.model._base_manager.filter(pk=OuterRef("pk")).order_by().alias(**relations)
    figure = one.values("pk").annotate(figure=counted).values("figure")
    return Coalesce(Subquery(figure, output_field=IntegerField()), 0)
