"""What a list of mail can be narrowed by: facets with a click, filters in a form."""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

from django.db.models import Q
from django.http import QueryDict
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from emailsync.web.listing import LONGEST_QUERY
from mailboxes.choices import OPTION_OF, OutgoingStatus

NOTHING = Q(pk__in=[])

#: What each facet leaves of the received and of the outgoing mail.
FACETS: dict[str, tuple[Any, Q, Q]] = {
    "incoming": (gettext_lazy("Received"), Q(), NOTHING),
    "outgoing": (gettext_lazy("Sent"), NOTHING, ~Q(status=OutgoingStatus.DRAFT)),
    "pending": (
        gettext_lazy("Pending"),
        NOTHING,
        Q(status__in=[OutgoingStatus.PENDING_SEND, OutgoingStatus.SENDING]),
    ),
    "failed": (
        gettext_lazy("Failed"),
        NOTHING,
        Q(status__in=[OutgoingStatus.FAILED, OutgoingStatus.UNCERTAIN]),
    ),
    "drafts": (gettext_lazy("Drafts"), NOTHING, Q(status=OutgoingStatus.DRAFT)),
    "quarantined": (gettext_lazy("Quarantined"), Q(is_quarantined=True), NOTHING),
}
RECEIVED_STATUSES = {
    "received": Q(is_quarantined=False, is_header_only=False),
    "quarantined": Q(is_quarantined=True),
    "oversize": Q(is_header_only=True),
}
#: Asks for mail that the option of another recipient kept, for whatever reason.
BY_ANOTHER = "by_another"


class Filters:
    """What narrows the list beside search and facet, read out of the address."""

    def __init__(self, state: QueryDict) -> None:
        """Ignore what is not understood."""
        self.mailbox = " ".join(state.get("mailbox", "").replace("\0", "").split())[:LONGEST_QUERY]
        known = {value for value, _title in self.statuses}
        self.status = state.get("status", "") if state.get("status", "") in known else ""
        self.kept = state.get("kept", "") if state.get("kept") in dict(self.reasons) else ""
        self.files = "1" if state.get("files") else ""
        self.since = _day(state.get("since", ""))
        self.until = _day(state.get("until", ""))

    @property
    def statuses(self) -> Sequence[tuple[str, Any]]:
        """Return every status that an email can have."""
        found = (("received", _("Received")), ("quarantined", _("Quarantined")), ("oversize", _("Too large")))
        return (*found, *OutgoingStatus.choices)

    @property
    def reasons(self) -> list[tuple[str, Any]]:
        """Return the reasons for which mail is kept."""
        reasons = [(reason.value, reason.label) for reason in OPTION_OF]
        return [*reasons, (BY_ANOTHER, _("The option of another recipient kept it"))]

    @property
    def state(self) -> dict[str, str]:
        """Return the filters as they stand in the address."""
        names = ("mailbox", "status", "kept", "files")
        days = {"since": self.since, "until": self.until}
        return {name: getattr(self, name) for name in names} | {
            name: day.isoformat() if day else "" for name, day in days.items()
        }

    def conditions(self) -> tuple[Q, Q]:
        """Return what is left of the received and of the outgoing mail."""
        both = Q()
        if self.mailbox:
            both &= Q(mailbox__name__icontains=self.mailbox) | Q(mailbox__address__icontains=self.mailbox)
        if self.files:
            both &= Q(attachment_count__gt=0)
        received, sent = both, both
        for day, word in ((self.since, "gte"), (self.until, "lt")):
            if day:
                moment = timezone.make_aware(datetime.combine(day + timedelta(days=word == "lt"), time()))
                received &= Q(**{f"received_at__{word}": moment})
                sent &= Q(**{f"created_on__{word}": moment})
        if self.kept:
            is_kept = Q(accepted_by__isnull=False) if self.kept == BY_ANOTHER else Q(kept_because=self.kept)
            received, sent = received & is_kept, NOTHING
        if self.status in RECEIVED_STATUSES:
            return received & RECEIVED_STATUSES[self.status], NOTHING
        if self.status:
            return NOTHING, sent & Q(status=self.status)
        return received, sent


def _day(text: str) -> date | None:
    try:
        found = parse_date(text)
    except ValueError:
        return None
    return found if found and 1970 <= found.year < 9000 else None
