"""An address is synchronized by one environment only: who holds it, takes it over, and lets it go.

Everybody who writes here and to worker states begins here: so nobody waits for one another in a circle.
"""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.contrib.auth.models import User
from django.db.models import F, QuerySet
from django.db.models.functions import Lower
from django.utils.translation import gettext as _

from mailboxes.alerts import wall
from mailboxes.choices import ResultStatus
from mailboxes.models import Mailbox, SyncClaim, WorkerState
from profiles import access
from profiles.access import Permission
from profiles.models import Environment

CLAIMED_ELSEWHERE = "claimed_elsewhere"


def is_held_elsewhere(mailbox: Mailbox) -> bool:
    """Say whether another environment synchronizes the address of `mailbox`."""
    claims = SyncClaim.objects.filter(address=mailbox.address.lower())
    return claims.exclude(environment=mailbox.environment_id).exists()


def held_elsewhere(mailboxes: QuerySet[Mailbox], environment: Environment) -> QuerySet[SyncClaim]:
    """Return by whom addresses of `mailboxes` are synchronized in other environments."""
    addresses = mailboxes.order_by().annotate(key=Lower("address")).values("key")
    return SyncClaim.objects.exclude(environment=environment).filter(address__in=addresses)


def may_take_over(mailboxes: QuerySet[Mailbox], *, environment: Environment, by: User | None) -> bool:
    """Say whether `by` may have `mailboxes` take their addresses over from other environments.

    Who may only test does so where it is nobody else's: no mailbox of another person is stopped by it.
    """
    if may_stop_others(by, environment):
        return True
    return not held_elsewhere(mailboxes, environment).exclude(mailbox__owner=by).exists()


def may_stop_others(by: User | None, environment: Environment) -> bool:
    """Say whether `by` may take addresses over from mailboxes of other people; None is the system."""
    return by is None or access.may(by, Permission.WRITE_MAILBOXES, environment)


def take(mailbox: Mailbox, *, takes_over: bool, by: User | None, now: datetime) -> bool:
    """Have `mailbox` hold its address from now on; returns whether it does.

    An address that another environment holds is taken over only when that was asked for: the mailbox there
    is stopped and told by whom. Call it within the transaction that enables `mailbox`.
    """
    claim, is_new = SyncClaim.objects.select_for_update().get_or_create(
        address=mailbox.address.lower(),
        defaults={
            "environment_id": mailbox.environment_id,
            "mailbox": mailbox,
            "claimed_on": now,
            "claimed_by": by,
        },
    )
    if is_new or claim.mailbox_id == mailbox.pk:
        return True
    if claim.environment_id != mailbox.environment_id:
        if not takes_over:
            return False
        _stop(claim.mailbox, by=by, now=now)
    claim.environment_id, claim.mailbox = mailbox.environment_id, mailbox
    claim.claimed_on, claim.claimed_by = now, by
    claim.save()
    return True


def _stop(mailbox: Mailbox, *, by: User | None, now: datetime) -> None:
    """Stop a mailbox whose address was taken over; what is under way there can commit nothing more."""
    person = (by.get_full_name() or by.get_username()) if by else _("An administrator of the installation")
    states = WorkerState.objects.filter(mailbox=mailbox)
    states.filter(is_enabled=True).update(
        is_enabled=False,
        status=ResultStatus.FAILURE,
        due_at=None,
        last_error_code=CLAIMED_ELSEWHERE,
        last_error=_("Another environment has taken over this address."),
        last_error_on=now,
    )
    states.update(fence=F("fence") + 1, leased_until=None)
    wall.raise_alert(
        "taken_over",
        now=now,
        mailbox=mailbox,
        cause=wall.Cause("", code=CLAIMED_ELSEWHERE),
        words={"person": person},
    )


def release(mailboxes: Collection[UUID]) -> None:
    """Set the addresses free that `mailboxes` hold."""
    SyncClaim.objects.filter(mailbox__in=mailboxes).delete()


def take_back(mailboxes: Collection[UUID], *, by: User | None, now: datetime) -> None:
    """Have enabled `mailboxes` hold their addresses again, as far as nobody else took them meanwhile."""
    found = Mailbox.objects.filter(pk__in=mailboxes, states__is_enabled=True).distinct()
    SyncClaim.objects.bulk_create(
        [
            SyncClaim(
                address=address.lower(),
                environment_id=environment,
                mailbox_id=pk,
                claimed_on=now,
                claimed_by=by,
            )
            for pk, address, environment in found.values_list("pk", "address", "environment")
        ],
        batch_size=500,
        ignore_conflicts=True,
    )
