"""The only writer of alerts: one open alert per cause, repeats counted, success resolving.

Mailboxes of a profile that fail for the same reason have one alert on the walls: one of the profile, which
gathers theirs. Each mailbox that fails finds or makes it by its unique key and takes its lock by counting
on it, so that whoever comes second sees the first, whatever the two did at once. While it gathers only one
mailbox it is folded and that mailbox speaks for itself; from the second on it is the other way round. A
mailbox that recovers leaves it, and the last one resolves it. Locks are always taken in this order: the
mailbox's alert, then the profile's.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from emailsync.mail.errors import MailError
from mailboxes.alerts.kinds import KINDS, READY, Kind
from mailboxes.choices import AlertLevel, Direction
from mailboxes.models import Alert, AlertTranscript, Mailbox
from mailboxes.models.alert import AlertQuerySet
from profiles.models import EmailSettings, ServerProfile

MAXIMUM_DETAILS = 2048
MAXIMUM_TRANSCRIPT = 64 * 1024
#: What was said to a server is of no use to anybody after this.
TRANSCRIPTS_KEPT = timedelta(days=30)
DELETED_AT_ONCE = 500


@dataclass(frozen=True)
class Cause:
    """Why an alert is raised: a sentence, the way out, the machine's word and the server's own answer."""

    sentence: str
    remedy: str = ""
    code: str = ""
    server_reply: str = ""
    transcript: str = ""

    @classmethod
    def of(cls, error: MailError) -> "Cause":
        """Return the cause that a mail error names."""
        return cls(str(error), error.remedy, error.code, error.server_reply, error.transcript)


@transaction.atomic
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
    if kind.stops and mailbox is not None:
        resolve(READY, mailbox=mailbox, now=now)
    email_settings = EmailSettings.objects.filter(environment_id=subject.environment_id).first()
    if email_settings is not None and not email_settings.wants(kind.level):
        return False
    cause = cause or Cause("")
    shown_profile = profile or (mailbox.server_profile if mailbox else None)
    columns: dict[str, Any] = {
        "environment_id": subject.environment_id,
        "mailbox": mailbox,
        "server_profile": shown_profile,
        "kind": code,
        "level": kind.level,
        "parameters": {
            "mailbox": mailbox.name if mailbox else "",
            "address": mailbox.address if mailbox else "",
            "profile": shown_profile.name if shown_profile else "(none)",
            "profile_id": str(shown_profile.pk) if shown_profile else "",
            "cause": cause.sentence,
            "remedy": cause.remedy,
            **(words or {}),
        },
        "error_code": cause.code[:100],
        "details": cause.server_reply[:MAXIMUM_DETAILS],
    }
    key = f"{code}:{subject.pk}:{about or cause.code}"[:200]
    if mailbox is None:
        # A profile's alert that only gathered one mailbox so far speaks for itself now.
        pk, is_new = _write(key, {**columns, "is_folded": False}, now=now)
        Alert.objects.filter(parent=pk, is_folded=False).update(is_folded=True)
    else:
        pk, is_new = _write(key, columns, now=now)
        if kind.gathered_as and shown_profile and cause.code:
            _gather(pk, kind.mended_by or "", KINDS[kind.gathered_as], columns, now=now)
    if cause.transcript:
        AlertTranscript.objects.filter(recorded_on__lt=now - TRANSCRIPTS_KEPT).delete()
        AlertTranscript.objects.update_or_create(
            alert_id=pk, defaults={"text": cause.transcript[:MAXIMUM_TRANSCRIPT], "recorded_on": now}
        )
    return is_new


def _write(
    key: str, columns: dict[str, Any], *, now: datetime, repeated: dict[str, Any] | None = None
) -> tuple[int, bool]:
    """Count on the open alert `key` and write `repeated` (else `columns`) to it, or make it of `columns`.

    Returns its primary key and whether it is new. Its row stays locked until the transaction ends.
    """
    same = Alert.objects.open().filter(environment_id=columns["environment_id"], key=key)
    changes = columns if repeated is None else repeated
    if same.update(count=F("count") + 1, last_seen_on=now, **changes):
        return same.values_list("pk", flat=True).get(), False
    try:
        with transaction.atomic():
            made = Alert.objects.create(key=key, first_seen_on=now, last_seen_on=now, **columns)
    except IntegrityError:
        # Another worker raised the same cause between the two statements: count on its row.
        return _write(key, columns, now=now, repeated=repeated)
    return made.pk, True


def _gather(member: int, direction: str, kind: Kind, columns: dict[str, Any], *, now: datetime) -> None:
    """Put the alert of a mailbox under that of its profile with the same cause."""
    profile = columns["server_profile"]
    # The key under which the profile's own alert of that cause would be raised: they are one.
    name = "profile_failing" if kind.level is AlertLevel.ERROR else "profile_retrying"
    key = f"{name}:{profile.pk}:{columns['error_code']}:{direction}"[:200]
    parameters = {**columns["parameters"], "mailbox": "", "address": ""}
    made = {**columns, "mailbox": None, "kind": kind.code, "parameters": parameters, "is_folded": True}
    pk, _ = _write(key, made, now=now, repeated={})
    parent = Alert.objects.get(pk=pk)
    Alert.objects.filter(pk=member).update(parent=parent, is_folded=not parent.is_folded)
    if parent.is_folded and parent.members.open().exclude(pk=member).exists():
        Alert.objects.filter(pk=pk).update(is_folded=False)
        parent.members.update(is_folded=True)


def resolve_direction(
    mailbox: Mailbox, direction: str, *, now: datetime, but: tuple[str, str] | None = None
) -> None:
    """Resolve the open alerts that a success of `direction` mends, the profile's among them.

    The profile's stay open while other mailboxes have not recovered from the same. After a failure it is all
    `but` the alert of that kind and code of a cause: what was said before is true no more.
    """
    kinds = [kind.code for kind in KINDS.values() if kind.mended_by == Direction(direction)]
    found = Alert.objects.open().filter(mailbox=mailbox, kind__in=kinds)
    if but is not None:
        found = found.exclude(kind=but[0], error_code=but[1])
    _resolve(found, now=now)
    if mailbox.server_profile_id:
        waiting = Alert.objects.open().filter(parent=OuterRef("pk"))
        Alert.objects.open().filter(
            ~Exists(waiting),
            server_profile_id=mailbox.server_profile_id,
            kind="profile_failing",
            key__endswith=f":{direction}",
        ).update(resolved_on=now)


def is_open(code: str, *, profile: ServerProfile) -> bool:
    """Say whether an alert of this kind on a profile is open."""
    return _of_profile(code, profile).exists()


def resolve_of_profile(
    code: str, *, profile: ServerProfile, now: datetime, still_about: Collection[str] = ()
) -> bool:
    """Resolve the open alerts of this kind on a profile, but those `still_about` something.

    Says whether it was this call that did.
    """
    found = _of_profile(code, profile)
    for about in still_about:
        found = found.exclude(key__endswith=f":{about}")
    return bool(found.update(resolved_on=now))


def resolve_about(code: str, *, about: str, now: datetime) -> None:
    """Resolve the open alerts of this kind on all profiles that are about the same."""
    found = Alert.objects.open().filter(mailbox=None, kind=code, key__endswith=f":{about}")
    found.update(resolved_on=now)


def _of_profile(code: str, profile: ServerProfile) -> AlertQuerySet:
    return Alert.objects.open().filter(mailbox=None, server_profile=profile, kind=code)


def resolve(code: str, *, mailbox: Mailbox, now: datetime, about: str | None = None) -> None:
    """Resolve the open alerts of one kind on a mailbox, or only the one `about` something."""
    found = Alert.objects.open().filter(mailbox=mailbox, kind=code)
    if about is not None:
        found = found.filter(key=f"{code}:{mailbox.pk}:{about}")
    _resolve(found, now=now)


def resolve_each(*codes: str, mailboxes: Iterable[UUID] | QuerySet[Any, Any], now: datetime) -> None:
    """Resolve the open alerts of some kinds on many mailboxes at once."""
    _resolve(Alert.objects.open().filter(mailbox__in=mailboxes, kind__in=codes), now=now)


@transaction.atomic
def _resolve(alerts: AlertQuerySet, *, now: datetime) -> None:
    parents = {alert.parent_id for alert in alerts.only("parent") if alert.parent_id}
    if alerts.update(resolved_on=now) and parents:
        settle(parents, now=now)


def settle(parents: Collection[int], *, now: datetime) -> None:
    """Resolve those of the profiles' alerts that no open alert of a mailbox is under any more.

    Call it inside the transaction that resolved or deleted some of theirs.
    """
    locked = Alert.objects.open().filter(pk__in=parents).select_for_update().order_by("pk")
    for parent in list(locked):
        if parent.members.open().exists():
            continue
        if parent.is_folded:  # it never spoke for anybody
            parent.members.update(parent=None)
            parent.delete()
        else:
            Alert.objects.filter(pk=parent.pk).update(resolved_on=now)


@transaction.atomic
def delete(alerts: AlertQuerySet, *, now: datetime) -> int:
    """Delete `alerts`, with those of mailboxes that they gather; returns how many of `alerts` there were.

    Whoever marks one of them as read at the same moment is kept waiting.
    """
    chosen = list(alerts.order_by().values_list("pk", "parent"))
    pks = [pk for pk, _ in chosen]
    for start in range(0, len(pks), DELETED_AT_ONCE):
        some = pks[start : start + DELETED_AT_ONCE]
        found = Alert.objects.filter(Q(pk__in=some) | Q(parent__in=some))
        list(found.select_for_update().order_by("pk").values_list("pk"))
        found.delete()
    settle({parent for _, parent in chosen if parent}, now=now)
    return len(pks)
