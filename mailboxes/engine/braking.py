"""The brake against bans: mail servers shut out whoever knocks with wrong passwords again and again.

Refused sign-ins are counted by host, over all mailboxes, environments and directions. Too many in a few
minutes engage the brake: from then on one mailbox at a time, the canary, may try, and each try that is
refused doubles the pause before the next. The first success releases everybody. The row of the brake decides
by one conditional UPDATE who the canary is, so workers need no agreement.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Q
from django.utils import timezone
from django.utils.translation import gettext_noop

from emailsync.mail.errors import LoginRefused, MailError
from emailsync.mail.trial import Outcome, Step
from mailboxes.alerts import wall
from mailboxes.engine import scheduling
from mailboxes.models import Mailbox, RefusedSignIn, SignInBrake
from profiles.models import ServerProfile

log = logging.getLogger(__name__)

#: The kind of the alert that tells of it.
BRAKED = "sign_ins_paused"
#: The stage of a test at which a server refuses a sign-in.
SIGN_IN = "authenticate"


def _codes(kind: type[MailError]) -> set[str]:
    return {kind.code}.union(*(_codes(each) for each in kind.__subclasses__()))


#: The codes of refused sign-ins.
REFUSALS = _codes(LoginRefused)


class SignInsPaused(MailError):
    """Too many sign-ins were refused at this host lately."""

    code = BRAKED
    title = gettext_noop("Sign-ins paused")
    remedy = gettext_noop(
        "Correct the credentials of the mailboxes that were refused; a mailbox whose credentials were "
        "changed may be tested at once. The first success ends the pause."
    )


def host_of(profile: ServerProfile, direction: str) -> str:
    """Return whose refusals count together."""
    return str(getattr(profile, f"{direction}_location")).lower()


def brake_on(mailbox: Mailbox, direction: str) -> SignInBrake | None:
    """Return the brake that holds one direction of `mailbox` up, if any does."""
    profile = mailbox.server_profile
    return SignInBrake.objects.filter(host=host_of(profile, direction)).first() if profile else None


def must_wait(mailbox: Mailbox, direction: str, lease: scheduling.Lease, *, now: datetime) -> bool:
    """Give the row back until the next try when the brake is on and this is not the canary; say so."""
    brake = brake_on(mailbox, direction)
    if brake is None or _becomes_canary(brake, mailbox, now=now):
        return False
    is_ahead = brake.next_try_on > now
    scheduling.release(lease, due_at=brake.next_try_on if is_ahead else now + settings.BRAKE_PAUSE)
    return True


def check(mailbox: Mailbox, direction: str, *, now: datetime) -> None:
    """Let a test go on, as the canary where the brake is on. Raises SignInsPaused.

    Whoever was refused and has other credentials since then need not wait for the next try.
    """
    brake = brake_on(mailbox, direction)
    if brake is None or _is_mended(brake, mailbox) or _becomes_canary(brake, mailbox, now=now):
        return
    at = f"{brake.next_try_on:%Y-%m-%d %H:%M} UTC"
    raise SignInsPaused(f"Too many sign-ins were refused at {brake.host}; the next one is tried at {at}.")


def _is_mended(brake: SignInBrake, mailbox: Mailbox) -> bool:
    last = RefusedSignIn.objects.filter(host=brake.host, mailbox=mailbox).order_by("-refused_on").first()
    profile = mailbox.server_profile
    if last is None or profile is None:
        return False
    return max(mailbox.modified_on, profile.modified_on) > last.refused_on


def _becomes_canary(brake: SignInBrake, mailbox: Mailbox, *, now: datetime) -> bool:
    """Take the next try, if it is due and nobody else was faster; the try after it is put off at once."""
    if brake.next_try_on > now:
        return False
    pause = min(2 * brake.pause, round(settings.BRAKE_LONGEST_PAUSE.total_seconds()))
    same = SignInBrake.objects.filter(pk=brake.pk, next_try_on=brake.next_try_on)
    return bool(same.update(next_try_on=now + timedelta(seconds=pause), pause=pause, canary=mailbox))


def refused(mailbox: Mailbox, direction: str, *, now: datetime) -> None:
    """Count a refused sign-in, and engage the brake when there are too many."""
    profile = mailbox.server_profile
    if profile is None:
        return
    host, since = host_of(profile, direction), now - settings.BRAKE_WINDOW
    with transaction.atomic():
        RefusedSignIn.objects.create(host=host, mailbox=mailbox, direction=direction, refused_on=now)
        brake = SignInBrake.objects.filter(host=host).first()
        if brake is None:
            RefusedSignIn.objects.filter(host=host, refused_on__lte=since).delete()
            lately = RefusedSignIn.objects.filter(host=host, refused_on__gt=since)
            counted = lately.aggregate(refusals=Count("pk"), mailboxes=Count("mailbox", distinct=True))
            too_many = counted["refusals"] >= settings.BRAKE_REFUSALS
            if not too_many and counted["mailboxes"] < settings.BRAKE_MAILBOXES:
                return
            brake, is_new = SignInBrake.objects.get_or_create(
                host=host,
                defaults={
                    **counted,
                    "engaged_on": now,
                    "next_try_on": now + settings.BRAKE_PAUSE,
                    "pause": round(settings.BRAKE_PAUSE.total_seconds()),
                },
            )
            if not is_new:
                return
            log.warning("Sign-ins at %s are paused: %s, of %s mailboxes", host, *counted.values())
        elif brake.canary_id != mailbox.pk:
            return
        _tell(brake, now=now)


def _tell(brake: SignInBrake, *, now: datetime) -> None:
    # Not whose sign-ins they were, nor how many: they may be those of another environment.
    words = {"host": brake.host, "retry_at": brake.next_try_on.isoformat()}
    there = Q(incoming_location__iexact=brake.host) | Q(outgoing_location__iexact=brake.host)
    for profile in ServerProfile.objects.filter(there, is_active=True).order_by("pk"):
        wall.raise_alert(BRAKED, now=now, profile=profile, words=words, about=brake.host)


def succeeded(mailbox: Mailbox, direction: str, *, now: datetime) -> None:
    """Release the brake: this host lets us in."""
    profile = mailbox.server_profile
    host = host_of(profile, direction) if profile else ""
    if not SignInBrake.objects.filter(host=host).exists():
        return
    with transaction.atomic():
        SignInBrake.objects.filter(host=host).delete()
        RefusedSignIn.objects.filter(host=host).delete()
        wall.resolve_about(BRAKED, about=host, now=now)


def watched(steps: Iterator[Step], mailbox: Mailbox, direction: str) -> Iterator[Step]:
    """Pass the steps of a test on, noting how the sign-in among them ended."""
    for step in steps:
        if step.name == SIGN_IN and step.outcome is Outcome.SUCCESS:
            succeeded(mailbox, direction, now=timezone.now())
        elif step.name == SIGN_IN and step.error_code in REFUSALS:
            refused(mailbox, direction, now=timezone.now())
        yield step


@contextmanager
def watching(mailbox: Mailbox, direction: str) -> Iterator[None]:
    """Note how the sign-in inside ends: refused, let in, or (by any other error) not known."""
    try:
        yield
    except LoginRefused:
        refused(mailbox, direction, now=timezone.now())
        raise
    succeeded(mailbox, direction, now=timezone.now())
