"""What holds an enabled direction up without a failure: it is told once, and taken back when it is over.

A direction whose checklist is not met is parked and looked at again later. What is told stands on its row
(`told`), so that a run that finds nothing new asks nothing more. An owner without a role holds nothing up:
email does not end with somebody's membership. But nobody is there to act then, and that is told too.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext as _

from mailboxes import access
from mailboxes.alerts import wall
from mailboxes.choices import Direction, MailboxKind
from mailboxes.engine import eligibility, scheduling
from mailboxes.models import Alert, Mailbox, WorkerState

#: How often a direction that may not run (not approved, no profile) is looked at again.
PARKED = timedelta(seconds=60)
#: What whoever did it knows, and what needs no telling therefore.
ON_PURPOSE = {"mailbox_inactive"}
#: Blockers with an alert of their own; all others are told as the first of these.
KIND, KINDS = "mailbox_parked", {"not_approved": "not_approved"}
OWNER_KINDS = {
    MailboxKind.USER: "owner_without_role",
    MailboxKind.QUEUE: "queue_owner_without_role",
    MailboxKind.FORWARD: "queue_owner_without_role",
}


def mailbox_of(state: WorkerState) -> Mailbox:
    """Return the mailbox of a direction with what a run has to know of it, in one query."""
    known = Mailbox.objects.select_related("server_profile", "environment", "owner")
    return known.annotate(owner_is_stranger=access.is_owned_by_stranger()).get(pk=state.mailbox_id)


def may_run(lease: scheduling.Lease, mailbox: Mailbox, state: WorkerState) -> bool:
    """Say whether an enabled direction may be worked on now; one that may not is given back, and told of.

    `mailbox` comes from `mailbox_of`.
    """
    found = eligibility.blockers(mailbox, state.direction)
    causes = _causes(mailbox, found)
    if " ".join(causes) != state.told:
        _tell(lease, mailbox, causes, told=state.told.split())
    if found:
        scheduling.release(lease, due_at=timezone.now() + PARKED)
    return not found


def holds_up_all(mailbox: Mailbox, code: str) -> bool:
    """Say whether a blocker is the most basic one of every direction that `mailbox` uses."""
    found = [eligibility.blockers(mailbox, each) for each in Direction.values if mailbox.uses(each)]
    return all(blockers and blockers[0].code == code for blockers in found)


def tell(mailbox: Mailbox, cause: wall.Cause, *, now: datetime) -> None:
    """Say what a test of a mailbox met that holds up all of its email."""
    wall.raise_alert(KINDS.get(cause.code, KIND), now=now, mailbox=mailbox, cause=cause)


def resolve(mailbox: Mailbox, *, now: datetime) -> None:
    """Take back what was told of a mailbox that works now, in all directions that are enabled."""
    enabled = WorkerState.objects.filter(mailbox=mailbox, is_enabled=True).values_list("direction", flat=True)
    # One that is held up still takes it back itself, and would not tell it again.
    if any(eligibility.blockers(mailbox, each) for each in enabled):
        return
    for kind in (KIND, *KINDS.values()):
        wall.resolve(kind, mailbox=mailbox, now=now)


def _causes(mailbox: Mailbox, found: Sequence[eligibility.Blocker]) -> dict[str, wall.Cause]:
    """Return what is to be told now, by kind and cause; of what blocks a mailbox only the most basic."""
    causes = {}
    if found and found[0].code not in ON_PURPOSE:
        first = found[0]
        kind = KINDS.get(first.code, KIND)
        causes[f"{kind}:{first.code}"] = wall.Cause(first.sentence, first.remedy, first.code)
    if getattr(mailbox, "owner_is_stranger", False) and mailbox.owner is not None:
        name = mailbox.owner.get_full_name() or mailbox.owner.get_username()
        sentence = _("Its owner %(person)s has no role in this environment, or no account in use.")
        kind = OWNER_KINDS[MailboxKind(mailbox.kind)]
        causes[f"{kind}:{mailbox.owner_id}"] = wall.Cause(sentence % {"person": name}, code=kind)
    return causes


def _tell(
    lease: scheduling.Lease, mailbox: Mailbox, causes: dict[str, wall.Cause], *, told: Sequence[str]
) -> None:
    now = timezone.now()
    with scheduling.fenced(lease, told=" ".join(causes)):
        for over in set(told) - causes.keys():
            kind, _colon, about = over.partition(":")
            wall.resolve(kind, mailbox=mailbox, now=now, about=about)
        for key, cause in causes.items():
            kind, _colon, about = key.partition(":")
            # The other direction may have been the first to say so.
            same = Alert.objects.open().filter(mailbox=mailbox, kind=kind, key__endswith=f":{about}")
            if not same.exists():
                wall.raise_alert(kind, now=now, mailbox=mailbox, cause=cause, about=about)
