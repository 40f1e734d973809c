"""Alerts in the words of their reader: translated, with times in the reader's zone."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from uuid import UUID

from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, ngettext

from emailsync.web.addresses import pattern
from mailboxes.alerts.kinds import KINDS, NAMES_RECIPIENTS, WORDS_OF_EMAIL, Kind, Link
from mailboxes.choices import AlertLevel
from mailboxes.models import Alert

#: The words and the address of each place, with what it needs to know beside the environment.
PLACES: dict[Link, tuple[str, str, tuple[type, ...]]] = {
    Link.MAILBOX: (gettext_noop("Open mailbox"), "mailboxes:mailbox_detail", (UUID,)),
    Link.EMAILS: (gettext_noop("Open emails"), "mailboxes:mailbox_emails", (UUID,)),
    Link.EMAIL: (gettext_noop("Open email"), "mailboxes:outgoing_detail", (UUID, int)),
    Link.PEOPLE: (gettext_noop("Open people"), "profiles:people_list", ()),
    Link.PROFILE: (gettext_noop("Open server profile"), "profiles:profile_edit", (UUID,)),
}


@dataclass(frozen=True)
class Presented:
    """An alert in words."""

    title: str
    text: str
    remedy: str
    #: What the server answered.
    details: str
    links: tuple[tuple[str, str], ...]


class _Words(dict[str, object]):
    """Parameters that print as nothing when an older alert lacks one, and times in the reader's zone."""

    def __missing__(self, key: str) -> str:
        return ""

    def __getitem__(self, key: str) -> object:
        value = super().__getitem__(key)
        if key == "date":
            return _day(str(value))
        return _moment(str(value)) if key.endswith(("_at", "_on")) else value


def _day(text: str) -> str:
    """Return a stored day in the reader's words."""
    day = parse_date(text)
    return date_format(day, "M j, Y") if day else text


def _moment(text: str) -> str:
    """Return a stored time as the reader's clock shows it; older alerts hold words instead."""
    stored = parse_datetime(text)
    if stored is None or timezone.is_naive(stored):
        return f"{text} UTC"
    local = timezone.localtime(stored)
    is_today = local.date() == timezone.localdate()
    return date_format(local, "H:i") if is_today else date_format(local, "H:i, M j")


class Presenter:
    """Puts the alerts of one page into words; what many of them say is translated and looked up once."""

    def __init__(self) -> None:
        """Begin a page, in the language of its reader."""
        self._say, self._address = cache(_), cache(pattern)

    def present(
        self,
        alert: Alert,
        *,
        members: int = 0,
        shows_email: bool = True,
        leads_to: Collection[Link] = tuple(Link),
        mend: tuple[str, str] | None = None,
    ) -> Presented:
        """Return the words and links of `alert`. Its environment must be loaded (select_related).

        `members` is how many mailboxes it gathers; without `shows_email` the words of an email stay hidden.
        `leads_to` names the places that its reader may open. `mend` is the label and address of the place on
        the mailbox's page where the cause is mended: it is led to instead of the top of the page.
        """
        say, kind = self._say, KINDS.get(alert.kind) or _forgotten(alert)
        words = _Words(alert.parameters)
        # Written by a worker, in English: they are in the catalogue unless they name something.
        words |= {name: say(str(words[name])) for name in ("cause", "remedy", "tested") if words.get(name)}
        words["members"] = ngettext("%(number)s mailbox", "%(number)s mailboxes", members) % {
            "number": f"{members:,}"
        }
        hidden = _("(hidden: you may not read this mailbox's email)")
        if not shows_email:
            told = WORDS_OF_EMAIL | ({"cause"} if alert.error_code in NAMES_RECIPIENTS else set())
            words |= dict.fromkeys(told & words.keys(), hidden)
        places = [place for place in kind.links if place in leads_to]
        return Presented(
            title=say(kind.title).format_map(words),
            text=say(kind.text).format_map(words).strip(),
            remedy=say(kind.remedy).format_map(words).strip(),
            details=alert.details if shows_email else alert.details and hidden,
            links=tuple(
                link
                for place in places
                if (link := mend if mend and place == Link.MAILBOX else self._resolve(place, alert))
            ),
        )

    def _resolve(self, place: Link, alert: Alert) -> tuple[str, str] | None:
        """Return the label and address of a place, or nothing when the alert does not know enough of it."""
        label, name, needs = PLACES[place]
        mailbox, known = alert.mailbox_id, alert.parameters
        arguments: tuple[object, ...] = ()
        if place in {Link.MAILBOX, Link.EMAILS}:
            arguments = (mailbox,)
        elif place == Link.EMAIL:
            received = known.get("received_id")
            name = "mailboxes:message_detail" if received else name
            arguments = (mailbox, received or known.get("outgoing_id"))
        elif place == Link.PROFILE:
            arguments = (alert.server_profile_id or known.get("profile_id"),)
        if not all(arguments):
            return None
        return self._say(label), self._address(name, alert.environment.slug, *needs).format(*arguments)


def _forgotten(alert: Alert) -> Kind:
    """Return words for a kind that an older version knew; a wall never fails because of one card."""
    title = alert.kind.replace("_", " ").capitalize()
    return Kind(alert.kind, AlertLevel(alert.level), title, "{cause}", "{remedy}")
