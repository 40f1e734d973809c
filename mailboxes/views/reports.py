"""What servers reported about an outgoing email after it was accepted, in words."""

from dataclasses import dataclass
from datetime import datetime

from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from emailsync.mail.bounces import Action
from mailboxes.models import OutgoingMessage


@dataclass(frozen=True)
class Said:
    """One report on one recipient as the page shows it."""

    intent: str
    drawing: str
    sentence: str
    status: str
    text: str
    on: datetime | None


def reports_on(message: OutgoingMessage) -> list[Said]:
    """Return what was reported about the recipients of `message`."""
    return [
        Said(
            *_look(Action(report["action"])),
            sentence=_sentence(Action(report["action"]), address),
            status=report["status"] if report["status"] not in report["text"] else "",
            text=report["text"],
            on=parse_datetime(report["on"]),
        )
        for address, report in message.reports.items()
    ]


def _look(action: Action) -> tuple[str, str]:
    if action is Action.FAILED:
        return "error", "error-f"
    return ("warning", "warning-f") if action is Action.DELAYED else ("success", "success-f")


def _sentence(action: Action, address: str) -> str:
    words = {
        Action.FAILED: _("It could not be delivered to %(address)s and came back."),
        Action.DELAYED: _("It is delayed for %(address)s; the server keeps trying."),
        Action.DELIVERED: _("It was delivered to %(address)s."),
        Action.RELAYED: _("It was passed on for %(address)s to a server that sends no reports."),
        Action.EXPANDED: _("It was passed on to the members of the list %(address)s."),
    }
    return words[action] % {"address": address}
