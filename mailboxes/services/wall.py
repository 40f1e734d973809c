"""The walls that alerts stand on: whose they are, how many are open, and taking them down."""

from datetime import datetime

from django.contrib.auth.models import User
from django.db.models import Q, QuerySet

from mailboxes.choices import AlertLevel
from mailboxes.models import Alert, Mailbox
from mailboxes.models.alert import AlertQuerySet
from profiles import access as profiles_access
from profiles.access import Permission, Person
from profiles.models import ServerProfile


def of_mailbox(mailbox: Mailbox) -> AlertQuerySet:
    """Return the alerts about one mailbox."""
    return _alerts().filter(mailbox=mailbox)


def of_profile(profile: ServerProfile) -> AlertQuerySet:
    """Return the alerts about a profile and the errors of the mailboxes that use it."""
    return _alerts().filter(
        Q(server_profile=profile) | Q(level=AlertLevel.ERROR, mailbox__server_profile=profile)
    )


def of_person(user: User) -> AlertQuerySet:
    """Return the alerts of the mailboxes and profiles that `user` owns, in environments they belong to."""
    mine = _alerts().for_person(user)
    if user.is_superuser:
        return mine
    return mine.filter(environment__in=list(profiles_access.memberships(user)))


def of_everybody(user: User) -> AlertQuerySet:
    """Return every alert that `user` may see: of whole environments, and their own."""
    if user.is_superuser:
        return _alerts()
    whole = Q(environment__in=profiles_access.where(user, Permission.READ_ALERTS))
    return _alerts().filter(whole | Q(pk__in=of_person(user).values("pk")))


def deletable(user: Person) -> Q:
    """Return the condition for alerts that `user` may delete: of whole environments, and of what they own."""
    if user.is_superuser and user.is_active:
        return Q()
    whole = Q(environment__in=profiles_access.where(user, Permission.DELETE_ALERTS))
    owned = Q(mailbox__owner=user.pk) | Q(server_profile__owner=user.pk)
    return whole | (Q(environment__in=list(profiles_access.memberships(user))) & owned)


def _alerts() -> AlertQuerySet:
    return Alert.objects.all()


def open_count(alerts: AlertQuerySet) -> int:
    """Count the errors and warnings among `alerts` that nobody has mended."""
    return alerts.open().exclude(level=AlertLevel.INFORMATION).count()


def delete(alerts: QuerySet[Alert], *, by: User | None, until: datetime | None = None) -> int:
    """Delete those of `alerts` that `by` may delete, or only those last seen by `until`; returns how many."""
    alerts = alerts if by is None else alerts.filter(deletable(by))
    seen = alerts if until is None else alerts.filter(last_seen_on__lte=until)
    count, _ = Alert.objects.filter(pk__in=seen.order_by().values("pk")).delete()
    return count
