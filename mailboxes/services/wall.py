"""The walls that alerts stand on: whose they are, how many are open, and taking them down."""

from datetime import datetime

from django.contrib.auth.models import User
from django.db.models import Q, QuerySet

from mailboxes.choices import AlertLevel
from mailboxes.models import Alert, Mailbox
from mailboxes.models.alert import AlertQuerySet
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
    """Return the alerts of the mailboxes and profiles that `user` owns."""
    return _alerts().for_person(user)


def of_everybody() -> AlertQuerySet:
    """Return every alert of every environment."""
    return _alerts()


def _alerts() -> AlertQuerySet:
    return Alert.objects.all()


def open_count(alerts: AlertQuerySet) -> int:
    """Count the errors and warnings among `alerts` that nobody has mended."""
    return alerts.open().exclude(level=AlertLevel.INFORMATION).count()


def delete(alerts: QuerySet[Alert], *, until: datetime | None = None) -> int:
    """Delete `alerts`, or only those last seen by `until`; returns how many there were."""
    seen = alerts if until is None else alerts.filter(last_seen_on__lte=until)
    count, _ = Alert.objects.filter(pk__in=seen.order_by().values("pk")).delete()
    return count
