"""Tell the owner of a server profile, by email too, when most of its mailboxes fail within an hour.

One event, one email; another when it is over. The open alert is what is remembered: whoever makes it or
resolves it sends the email.
"""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta

from django.conf import settings
from django.core.mail import EmailMessage
from django.db.models import Q, QuerySet
from django.urls import reverse
from django.utils import timezone

from emailsync.mail.automatic import AUTOMATIC_HEADERS
from emailsync.web.throttle import Full, Throttle
from mailboxes.alerts import wall
from mailboxes.choices import ResultStatus
from mailboxes.models import Mailbox, WorkerState
from profiles.models import ServerProfile

log = logging.getLogger(__name__)

CODE = "profile_major_event"
WITHIN = timedelta(hours=1)
#: However often an event begins and ends, nobody gets more emails than this about it.
AUTOMATIC_MAIL = Throttle("automatic-mail", limit=6, window=timedelta(hours=1))
#: Stopped, or failing again and again: a single failure in between is no event.
FAILING = Q(status=ResultStatus.FAILURE) | Q(transient_failures__gte=2)
BEGUN = """Within an hour, {failed} of {total} mailboxes failed.

Server profile: {profile} ({environment})

Last mailbox: {mailbox}
Cause: {cause}
What to do: {remedy}

{link}
"""
OVER = """The server profile "{profile}" ({environment}) works again for most of its mailboxes.

{failed} of {total} mailboxes still fail.

{link}
"""


def look(mailbox: Mailbox, cause: wall.Cause, *, now: datetime) -> None:
    """Raise the alert when this failure was one too many; its first time also goes to the owner by email."""
    profile = mailbox.server_profile
    if profile is None or not profile.alert_owner_on_major_events:
        return
    failed, total = _count(profile, _failing(profile).filter(last_error_on__gt=now - WITHIN))
    if failed * 2 <= total:
        return
    numbers = {"failed": failed, "total": total}
    is_new = wall.raise_alert(CODE, now=now, profile=profile, cause=cause, about=CODE, words=numbers)
    if is_new:
        words = {**numbers, "mailbox": mailbox, "cause": cause.sentence, "remedy": cause.remedy}
        _send(profile, f"Most mailboxes of {profile} fail", BEGUN, words)


def look_again(mailbox: Mailbox, *, now: datetime) -> None:
    """End the event when this success leaves no more than half of the mailboxes failing."""
    profile = mailbox.server_profile
    if profile is None or not wall.is_open(CODE, profile=profile):
        return
    failed, total = _count(profile, _failing(profile))
    if failed * 2 <= total and wall.resolve_of_profile(CODE, profile=profile, now=now):
        words = {"failed": failed, "total": total}
        _send(profile, f"Most mailboxes of {profile} work again", OVER, words)


def _failing(profile: ServerProfile) -> "QuerySet[WorkerState]":
    return WorkerState.objects.filter(FAILING, mailbox__server_profile=profile, mailbox__is_active=True)


def _count(profile: ServerProfile, failing: "QuerySet[WorkerState]") -> tuple[int, int]:
    return failing.values("mailbox").distinct().count(), profile.mailboxes.active().count()


def _send(profile: ServerProfile, subject: str, text: str, words: Mapping[str, object]) -> None:
    """Send to the owner; the alert is on the wall either way."""
    if profile.owner is None or not profile.owner.is_active or not profile.owner.email:
        return
    path = reverse("mailboxes:profile_alerts", args=[profile.environment.slug, profile.pk])
    link = settings.PUBLIC_URL + path if settings.PUBLIC_URL else f"In the console: {path}"
    words = {**words, "profile": profile, "environment": profile.environment, "link": link}
    address = profile.owner.email
    if isinstance(AUTOMATIC_MAIL.take(address.lower(), now=timezone.now()), Full):
        log.warning("The owner of %s got enough alert emails within the hour; one is left out", profile.pk)
        return
    headers = dict(AUTOMATIC_HEADERS)
    message = EmailMessage(subject, text.format(**words), None, [address], headers=headers)
    try:
        message.send()
    except OSError:
        # An SMTP failure is an OSError.
        log.exception("The alert email to the owner of a server profile could not be sent")
