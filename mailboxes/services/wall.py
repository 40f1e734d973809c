"""The walls that alerts stand on: whose they are, how many are open, reading them and taking them down."""

import re
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.db.models import Count, Q, QuerySet, Value

from mailboxes import access as mailbox_access
from mailboxes.alerts import wall
from mailboxes.choices import AlertLevel, JobKind
from mailboxes.engine import orders
from mailboxes.models import Alert, AlertReading, AlertTranscript, Job, Mailbox
from mailboxes.models.alert import ABOUT_THE_PROFILE, AlertQuerySet
from profiles import access
from profiles.access import Permission, Person
from profiles.models import Environment, Membership, ServerProfile

#: Pages count open alerts up to this number; what is beyond 99 is shown as "99+".
MOST_SHOWN = 100
#: Stands in a statement for the key of a person.
ANYBODY = -1
#: How a conversation of SMTP names whom an email is for.
RECIPIENT = re.compile(r"RCPT TO:<([^>\n]+)", re.IGNORECASE)


def of_mailbox(mailbox: Mailbox) -> AlertQuerySet:
    """Return the alerts about one mailbox, those that another alert speaks for among them."""
    return Alert.objects.filter(mailbox=mailbox)


def of_profile(profile: ServerProfile) -> AlertQuerySet:
    """Return the alerts about a profile and the errors of the mailboxes that use it."""
    return Alert.objects.filter(ABOUT_THE_PROFILE, server_profile=profile, is_folded=False)


def of_environment(environment: Environment) -> AlertQuerySet:
    """Return every alert of one environment."""
    return Alert.objects.filter(environment=environment, is_folded=False)


def of_person(user: User) -> AlertQuerySet:
    """Return the alerts of the mailboxes and profiles that `user` owns, where they still belong."""
    return _of_person(user, Alert.objects.all())


def _of_person(user: User, alerts: AlertQuerySet) -> AlertQuerySet:
    mine = alerts.for_person(user)
    if user.is_superuser and user.is_active:
        return mine
    return mine.filter(environment__in=Membership.objects.filter(user=user.pk).values("environment"))


def of_everybody(user: User) -> AlertQuerySet:
    """Return every alert of the environments whose alerts `user` may read."""
    return Alert.objects.filter(_everywhere(user, Permission.READ_ALERTS), is_folded=False)


def reads_everybody(user: User) -> bool:
    """Say whether there is an environment whose alerts `user` may read."""
    if user.is_superuser and user.is_active:
        return True
    return bool(access.where(user, Permission.READ_ALERTS))


def _everywhere(user: Person, permission: Permission) -> Q:
    """Return the condition for alerts of environments in which `user` may do this with everything."""
    if user.is_superuser and user.is_active:
        return Q()
    return Q(environment__in=access.where(user, permission))


def open_count(alerts: AlertQuerySet) -> int:
    """Count the errors and warnings among `alerts` that nobody has mended, no further than is shown."""
    return _open(alerts).count()


def _open(alerts: AlertQuerySet) -> AlertQuerySet:
    return alerts.open().exclude(level=AlertLevel.INFORMATION).order_by()[:MOST_SHOWN]


def unread_count(user: User) -> int:
    """Count what the bell of `user` shows: open errors and warnings of theirs that they have not read."""
    sql, values = _unread(is_superuser=user.is_superuser)
    with connection.cursor() as cursor:
        cursor.execute(sql, [user.pk if value == ANYBODY else value for value in values])
        return int(cursor.fetchone()[0])


@cache
def _unread(*, is_superuser: bool) -> tuple[str, tuple[Any, ...]]:
    """Return the statement that counts for ANYBODY: putting it together takes longer than asking it."""
    anybody = User(pk=ANYBODY, is_superuser=is_superuser)
    unread = _of_person(anybody, Alert.objects.open()).unread_by(anybody)
    sql, values = _open(unread).values("pk").query.sql_with_params()
    return f"SELECT COUNT(*) FROM ({sql}) unread", values  # noqa: S608 - put together by Django


@dataclass(frozen=True)
class Members:
    """How many mailboxes a profile's alert gathers: those still failing, and all."""

    open: int
    all: int

    @property
    def recovered(self) -> int:
        """Return how many have left it."""
        return self.all - self.open


def members_of(alerts: Collection[Alert]) -> dict[int, Members]:
    """Count the mailboxes gathered by those of `alerts` that gather any, in one query."""
    pks = [alert.pk for alert in alerts if alert.mailbox_id is None]
    if not pks:
        return {}
    found = Alert.objects.filter(parent__in=pks).order_by().values("parent")
    counted = found.annotate(
        open=Count("mailbox", distinct=True, filter=Q(resolved_on__isnull=True)),
        all=Count("mailbox", distinct=True),
    )
    return {row["parent"]: Members(row["open"], row["all"]) for row in counted if row["parent"]}


def transcript_of(alert: Alert, *, by: Person | None) -> AlertTranscript | None:
    """Return what was said to the server before it failed. Raises PermissionDenied without Test & Enable.

    Who may not read the email does not learn whom it was for.
    """
    record = alert.mailbox or alert.server_profile
    access.require(
        by, Permission.DIAGNOSE, alert.environment_id, owner_id=record.owner_id if record else None
    )
    transcript = AlertTranscript.objects.filter(alert=alert).first()
    if transcript is not None and by is not None:
        owner = alert.mailbox.owner_id if alert.mailbox else None
        if not access.may(by, Permission.READ_EMAIL, alert.environment_id, owner_id=owner):
            transcript.text = _without_recipients(transcript.text)
    return transcript


def _without_recipients(text: str) -> str:
    """Take out of a conversation whom email was for."""
    for address in sorted(set(RECIPIENT.findall(text)), key=len, reverse=True):
        text = text.replace(address, "•••")
    return text


def with_readable_email(user: Person, alerts: Collection[Alert]) -> set[object]:
    """Return the mailboxes of `alerts` whose email `user` may read."""
    about = {alert.mailbox_id for alert in alerts if alert.mailbox_id}
    readable = Mailbox.objects.filter(mailbox_access.everywhere(user, Permission.READ_EMAIL), pk__in=about)
    return set(readable.values_list("pk", flat=True)) if about else set()


def deletable(alerts: AlertQuerySet, *, by: Person | None) -> AlertQuerySet:
    """Return those of `alerts` that `by` may delete: of whole environments, and of what they own."""
    if by is None or (by.is_superuser and by.is_active):
        return alerts
    owned = Q(mailbox__owner=by.pk) | Q(server_profile__owner=by.pk)
    here = Q(environment__in=list(access.memberships(by)))
    return alerts.filter(_everywhere(by, Permission.DELETE_ALERTS) | (here & owned))


def delete(alerts: AlertQuerySet, *, by: Person | None, now: datetime) -> int:
    """Delete those of `alerts` that `by` may; returns how many.

    An alert that gathers those of mailboxes takes them along.
    """
    return wall.delete(deletable(alerts, by=by), now=now)


@transaction.atomic
def delete_all(alerts: AlertQuerySet, *, by: User | None, now: datetime, until: datetime) -> int | list[Job]:
    """Delete those of `alerts` that `by` may and that were last seen by `until`; returns how many.

    When there are many, a job in each of their environments does it; returns the jobs.
    """
    seen = deletable(alerts, by=by).filter(last_seen_on__lte=until).order_by()
    if seen[: orders.DIRECTLY + 1].count() <= orders.DIRECTLY:
        return wall.delete(seen, now=now)
    chosen: defaultdict[int, list[int]] = defaultdict(list)
    for pk, environment in seen.values_list("pk", "environment"):
        chosen[environment].append(pk)
    return [
        orders.start(
            JobKind.DELETE_ALERTS,
            environment=environment,
            targets=chosen[environment.pk],
            payload={"until": until.isoformat()},
            by=by,
            now=now,
        )
        for environment in Environment.objects.filter(pk__in=chosen).order_by("name")
    ]


def mark_read(alerts: QuerySet[Alert], *, by: User) -> int:
    """Mark `alerts` as read by one person; returns how many were not.

    The database writes them itself: a hundred thousand rows never travel here and back. Those that are read
    already are left to the unique key: looking for them beforehand would look through the rows being written.
    """
    # SQLite takes ON CONFLICT only behind a WHERE.
    rows = alerts.filter(pk__gt=0).order_by().annotate(reader=Value(by.pk)).values_list("pk", "reader")
    sql, params = rows.query.sql_with_params()
    into = f"{AlertReading._meta.db_table} (alert_id, user_id)"
    statement = f"INSERT INTO {into} {sql} ON CONFLICT DO NOTHING"
    try:
        return _written(statement, params)
    except IntegrityError:
        # Somebody deleted one of them at the same moment.
        return _written(statement, params)


def _written(statement: str, params: Any) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        return int(cursor.rowcount)
