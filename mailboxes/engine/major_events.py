"""Tell the owner of a server profile, by email too, when most of its mailboxes stop within an hour."""

import logging
from datetime import datetime, timedelta

from django.core.mail import send_mail

from mailboxes.alerts import wall
from mailboxes.choices import ResultStatus
from mailboxes.models import Mailbox, WorkerState

log = logging.getLogger(__name__)

WITHIN = timedelta(hours=1)
TEXT = """{failed} of {total} mailboxes of the server profile “{profile}” stopped within an hour.

The last one was {mailbox}: {cause}

{remedy}
"""


def look(mailbox: Mailbox, direction: str, cause: wall.Cause, *, now: datetime) -> None:
    """Raise the alert when this failure was one too many; its first time also goes to the owner by email."""
    profile = mailbox.server_profile
    if profile is None or not profile.alert_owner_on_major_events:
        return
    total = profile.mailboxes.active().count()
    stopped = WorkerState.objects.filter(
        mailbox__server_profile=profile,
        mailbox__is_active=True,
        status=ResultStatus.FAILURE,
        last_error_on__gt=now - WITHIN,
    )
    failed = stopped.values("mailbox").distinct().count()
    if failed * 2 <= total:
        return
    is_new = wall.raise_alert(
        "profile_major_event",
        now=now,
        profile=profile,
        cause=cause,
        about=direction,
        words={"failed": failed, "total": total},
    )
    if is_new and profile.owner and profile.owner.email:
        words = {"failed": failed, "total": total, "profile": profile, "mailbox": mailbox}
        text = TEXT.format(**words, cause=cause.sentence, remedy=cause.remedy)
        try:
            send_mail(f"Most mailboxes of {profile} stopped", text, None, [profile.owner.email])
        except OSError:
            # The alert is on the wall either way; an SMTP failure is an OSError.
            log.exception("The alert email to the owner of a server profile could not be sent")
