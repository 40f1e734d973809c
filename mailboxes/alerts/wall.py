"""The only writer of alerts: one open alert per cause, repeats counted, success resolving."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import F

from emailsync.mail.errors import MailError
from mailboxes.alerts.kinds import KINDS
from mailboxes.choices import Direction
from mailboxes.models import Alert, Mailbox
from profiles.models import EmailSettings, ServerProfile

MAXIMUM_DETAILS = 2048


@dataclass(frozen=True)
class Cause:
    """Why an alert is raised: a sentence, the way out, the machine's word and the server's own answer."""

    sentence: str
    remedy: str = ""
    code: str = ""
    server_reply: str = ""

    @classmethod
    def of(cls, error: MailError) -> "Cause":
        """Return the cause that a mail error names."""
        return cls(str(error), error.remedy, error.code, error.server_reply)


def raise_alert(
    code: str,
    *,
    now: datetime,
    mailbox: Mailbox | None = None,
    profile: ServerProfile | None = None,
    cause: Cause | None = None,
    about: str = "",
    words: Mapping[str, object] | None = None,
) -> bool:
    """Write an alert of kind `code`, or count it on the open alert of the same cause.

    `words` fill the sentences of the kind. `about` tells apart alerts of one kind on one mailbox (an
    outgoing message's id, say). A level that the environment's email settings switch off writes nothing.
    Returns whether the alert is a new one.
    """
    kind = KINDS[code]
    subject = mailbox or profile
    assert subject is not None
    email_settings = EmailSettings.objects.filter(environment_id=subject.environment_id).first()
    if email_settings is not None and not email_settings.wants(kind.level):
        return False
    cause = cause or Cause("")
    shown_profile = profile or (mailbox.server_profile if mailbox else None)
    parameters = {
        "mailbox": mailbox.name if mailbox else "",
        "address": mailbox.address if mailbox else "",
        "profile": shown_profile.name if shown_profile else "(none)",
        "profile_id": str(shown_profile.pk) if shown_profile else "",
        "cause": cause.sentence,
        "remedy": cause.remedy,
        **(words or {}),
    }
    changes = {
        "parameters": parameters,
        "error_code": cause.code[:100],
        "details": cause.server_reply[:MAXIMUM_DETAILS],
        "last_seen_on": now,
    }
    key = f"{code}:{subject.pk}:{about or cause.code}"[:200]
    same = Alert.objects.open().filter(environment_id=subject.environment_id, key=key)
    if same.update(count=F("count") + 1, **changes):
        return False
    try:
        with transaction.atomic():
            Alert.objects.create(
                environment_id=subject.environment_id,
                mailbox=mailbox,
                server_profile=None if mailbox else profile,
                kind=code,
                level=kind.level,
                key=key,
                first_seen_on=now,
                **changes,
            )
    except IntegrityError:
        # Another worker raised the same cause between the two statements: count on its row.
        same.update(count=F("count") + 1, **changes)
        return False
    return True


def resolve_direction(mailbox: Mailbox, direction: str, *, now: datetime) -> None:
    """Resolve the open alerts that a success of `direction` mends, the profile's among them."""
    kinds = [kind.code for kind in KINDS.values() if kind.mended_by == Direction(direction)]
    Alert.objects.open().filter(mailbox=mailbox, kind__in=kinds).update(resolved_on=now)
    if mailbox.server_profile_id:
        Alert.objects.open().filter(
            server_profile_id=mailbox.server_profile_id,
            kind__in=("profile_failing", "profile_major_event"),
            key__endswith=f":{direction}",
        ).update(resolved_on=now)


def resolve(code: str, *, mailbox: Mailbox, now: datetime, about: str | None = None) -> None:
    """Resolve the open alerts of one kind on a mailbox, or only the one `about` something."""
    found = Alert.objects.open().filter(mailbox=mailbox, kind=code)
    if about is not None:
        found = found.filter(key=f"{code}:{mailbox.pk}:{about}")
    found.update(resolved_on=now)
