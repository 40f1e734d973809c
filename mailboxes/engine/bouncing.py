"""What servers report about messages that were sent: noted on each recipient, told on the wall.

A report is believed as far as it names a message of this environment by its Message-ID and an address that
this message was accepted for. It also settles doubt: what came back was accepted before.
"""

from collections.abc import Sequence
from datetime import datetime

from emailsync.mail.bounces import Action, Bounce, Report
from mailboxes.alerts import wall
from mailboxes.choices import OutgoingStatus
from mailboxes.engine import recording
from mailboxes.models import OutgoingMessage

#: A report that comes late, or twice, does not take back what a later stage told.
RANK = {Action.DELAYED: 0, Action.RELAYED: 1, Action.EXPANDED: 1, Action.DELIVERED: 2, Action.FAILED: 3}


def note(environment: int, bounces: Sequence[Bounce], *, now: datetime) -> None:
    """Note what `bounces` say about messages of an environment. Call it within a transaction."""
    names = {name for bounce in bounces for name in bounce.message_ids}
    if not names:
        return
    found = OutgoingMessage.objects.filter(environment=environment, message_id__in=names).defer("content")
    messages = found.select_related("mailbox__server_profile").select_for_update(of=("self",))
    for message in messages.order_by("pk"):
        for bounce in bounces:
            if message.message_id in bounce.message_ids:
                _note(message, bounce, now=now)


def _note(message: OutgoingMessage, bounce: Bounce, *, now: datetime) -> None:
    accepted = message.accepted
    if message.status == OutgoingStatus.UNCERTAIN:
        accepted = [*accepted, *message.recipients]
    news = {
        address: report
        for address, report in bounce.about(accepted).items()
        if RANK[report.action] > _rank(message, address)
    }
    if not news:
        return
    if message.status == OutgoingStatus.UNCERTAIN and not news.keys().isdisjoint(message.recipients):
        recording.found_sent(message, now=now)
    for address, report in news.items():
        told = {"action": report.action.value, "status": report.status, "text": report.text}
        message.reports[address] = {**told, "on": now.isoformat()}
    message.save(update_fields=["reports"])
    _tell(message, "email_bounced", Action.FAILED, news, now=now)
    _tell(message, "email_delayed", Action.DELAYED, news, now=now)
    if not any(report["action"] == Action.DELAYED for report in message.reports.values()):
        wall.resolve("email_delayed", mailbox=message.mailbox, now=now, about=str(message.pk))


def _rank(message: OutgoingMessage, address: str) -> int:
    known = message.reports.get(address)
    return RANK[Action(known["action"])] if known else -1


def _tell(
    message: OutgoingMessage, kind: str, action: Action, news: dict[str, Report], *, now: datetime
) -> None:
    about = {address: report for address, report in news.items() if report.action is action}
    if about:
        said = "; ".join(f"{address}: {report.text or report.status}" for address, report in about.items())
        cause = wall.Cause("", code=kind, server_reply=said)
        recording.alert(kind, message, message.mailbox, now=now, cause=cause, addresses=", ".join(about))
