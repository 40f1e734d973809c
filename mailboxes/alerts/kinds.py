"""Every kind of alert: how much it matters, what it says, what to do, and where to do it."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from mailboxes.choices import AlertLevel, Direction
from mailboxes.models import Alert


class Link(StrEnum):
    """Where an alert leads."""

    MAILBOX = "mailbox"
    PROFILE = "profile"
    EMAIL = "email"
    EMAILS = "emails"


@dataclass(frozen=True)
class Kind:
    """One kind of alert. The sentences are filled with the alert's parameters."""

    code: str
    level: AlertLevel
    title: str
    text: str
    remedy: str
    links: tuple[Link, ...] = (Link.MAILBOX,)
    #: The direction whose success resolves it.
    mended_by: Direction | None = None
    #: The kind of the profile's alert that gathers this one when it stops several mailboxes alike.
    gathered_as: str = ""


@dataclass(frozen=True)
class Presented:
    """An alert in words."""

    title: str
    text: str
    remedy: str
    links: tuple[tuple[str, str], ...]


_ALL = (
    Kind(
        "configuration_succeeded",
        AlertLevel.INFORMATION,
        "{mailbox} is ready for email",
        "{tested} tested successfully, and the mailbox is enabled for email processing.",
        "",
    ),
    Kind(
        "incoming_untested",
        AlertLevel.ERROR,
        "Incoming email for {mailbox} could not be tested",
        "{cause} Email is not received until the test succeeds. "
        "The owner of the server profile {profile} sees this too.",
        "{remedy}",
        (Link.MAILBOX, Link.PROFILE),
        Direction.INCOMING,
        "incoming_failing_together",
    ),
    Kind(
        "outgoing_untested",
        AlertLevel.ERROR,
        "Outgoing email for {mailbox} could not be tested",
        "{cause} Email is not sent until the test succeeds. "
        "The owner of the server profile {profile} sees this too.",
        "{remedy}",
        (Link.MAILBOX, Link.PROFILE),
        Direction.OUTGOING,
        "outgoing_failing_together",
    ),
    Kind(
        "incoming_test_interrupted",
        AlertLevel.WARNING,
        "The test of incoming email for {mailbox} was interrupted",
        "{cause} This often passes by itself.",
        "{remedy}",
        (Link.MAILBOX, Link.PROFILE),
        Direction.INCOMING,
        "incoming_retrying_together",
    ),
    Kind(
        "outgoing_test_interrupted",
        AlertLevel.WARNING,
        "The test of outgoing email for {mailbox} was interrupted",
        "{cause} This often passes by itself.",
        "{remedy}",
        (Link.MAILBOX, Link.PROFILE),
        Direction.OUTGOING,
        "outgoing_retrying_together",
    ),
    Kind(
        "incoming_stopped",
        AlertLevel.ERROR,
        "Incoming email for {mailbox} is stopped",
        "{cause} New email stays on the server and is received after the next successful test.",
        "{remedy}",
        (Link.MAILBOX, Link.PROFILE),
        Direction.INCOMING,
        "incoming_failing_together",
    ),
    Kind(
        "outgoing_stopped",
        AlertLevel.ERROR,
        "Outgoing email for {mailbox} is stopped",
        "{cause} Waiting email is kept and sent after the next successful test.",
        "{remedy}",
        (Link.MAILBOX, Link.PROFILE),
        Direction.OUTGOING,
        "outgoing_failing_together",
    ),
    Kind(
        "incoming_retrying",
        AlertLevel.WARNING,
        "Incoming email for {mailbox} will be tried again",
        "{cause} Attempt {attempt} of {limit} failed; the next one starts at {retry_at}.",
        "Nothing to do unless this goes on. {remedy}",
        (Link.MAILBOX, Link.PROFILE),
        Direction.INCOMING,
        "incoming_retrying_together",
    ),
    Kind(
        "outgoing_retrying",
        AlertLevel.WARNING,
        "Outgoing email for {mailbox} will be tried again",
        "{cause} Attempt {attempt} of {limit} failed; the next one starts at {retry_at}.",
        "Nothing to do unless this goes on. {remedy}",
        (Link.MAILBOX, Link.PROFILE),
        Direction.OUTGOING,
        "outgoing_retrying_together",
    ),
    Kind(
        "incoming_failing_together",
        AlertLevel.ERROR,
        "Incoming email of {members} of {profile} is stopped",
        "{cause} They all met the same failure, so it is told once.",
        "{remedy}",
        (Link.PROFILE,),
    ),
    Kind(
        "incoming_retrying_together",
        AlertLevel.WARNING,
        "Incoming email of {members} of {profile} will be tried again",
        "{cause} They all met the same failure, so it is told once. Each is tried again by itself.",
        "Nothing to do unless this goes on. {remedy}",
        (Link.PROFILE,),
    ),
    Kind(
        "outgoing_failing_together",
        AlertLevel.ERROR,
        "Outgoing email of {members} of {profile} is stopped",
        "{cause} They all met the same failure, so it is told once.",
        "{remedy}",
        (Link.PROFILE,),
    ),
    Kind(
        "outgoing_retrying_together",
        AlertLevel.WARNING,
        "Outgoing email of {members} of {profile} will be tried again",
        "{cause} They all met the same failure, so it is told once. Each is tried again by itself.",
        "Nothing to do unless this goes on. {remedy}",
        (Link.PROFILE,),
    ),
    Kind(
        "profile_failing",
        AlertLevel.ERROR,
        "The server profile {profile} does not work",
        "{cause} Every mailbox that uses this profile is affected.",
        "{remedy}",
        (Link.PROFILE,),
    ),
    Kind(
        "profile_major_event",
        AlertLevel.ERROR,
        "Most mailboxes of the server profile {profile} failed within an hour",
        "{failed} of {total} mailboxes failed. The last one said: {cause}",
        "{remedy}",
        (Link.PROFILE,),
    ),
    Kind(
        "not_approved",
        AlertLevel.ERROR,
        "{mailbox} is waiting for approval",
        "Email for {address} is neither received nor sent until an administrator approves the address.",
        "Approve the address, then run Test & Enable again.",
    ),
    Kind(
        "address_approved_by_owner",
        AlertLevel.INFORMATION,
        "The address of {mailbox} was approved by its owner",
        "{address} is the address of the owner's account, so it was approved when they tested the mailbox.",
        "",
        (Link.MAILBOX,),
    ),
    Kind(
        "folder_renumbered",
        AlertLevel.INFORMATION,
        "The server renumbered the Inbox of {mailbox}",
        "The Inbox was compared with what is stored. Nothing was lost and nothing was stored twice.",
        "",
    ),
    Kind(
        "message_oversize",
        AlertLevel.WARNING,
        "A message for {mailbox} is too large to receive",
        "A message of {size} received at {received_at} is larger than the limit of {limit}. "
        "It stays on the server.",
        "Read it in the mailbox itself, or raise EMAILSYNC_MAXIMUM_MESSAGE_SIZE.",
    ),
    Kind(
        "message_quarantined",
        AlertLevel.WARNING,
        "A message for {mailbox} is in quarantine",
        "It could not be read: {cause} Its bytes are kept as far as the server gave them.",
        "Open the message and look at its source.",
        (Link.EMAILS, Link.MAILBOX),
    ),
    Kind(
        "forward_for_nobody",
        AlertLevel.WARNING,
        "Forwarded email in {mailbox} is for nobody here",
        "{sender} forwarded a message as an attachment, but neither its address nor those in the attached "
        "message belong to a mailbox that may receive it. The message stays with the forward mailbox.",
        "Set Incoming Email of its mailbox to Forward Mailbox, activate the mailbox and approve its address.",
        (Link.EMAILS, Link.MAILBOX),
    ),
    Kind(
        "forward_without_attachment",
        AlertLevel.WARNING,
        "Email in {mailbox} was not forwarded as an attachment",
        "A message from {sender} carries no attached message, so nobody can tell whom it was for. It stays "
        "with the forward mailbox.",
        "Set the server rule that sends email here to forward it as an attachment.",
        (Link.EMAILS, Link.MAILBOX),
    ),
    Kind(
        "taken_over",
        AlertLevel.ERROR,
        "{mailbox} is synchronized elsewhere now",
        "{person} ran Test & Enable for {address} in another environment and took it over. Email is neither "
        "received nor sent here any more.",
        "If that was a mistake, run Test & Enable here with “Sync items from this environment only” ticked.",
    ),
    Kind(
        "email_failed",
        AlertLevel.ERROR,
        "An email from {mailbox} could not be sent",
        "“{subject}” was refused: {cause}",
        "{remedy}",
        (Link.EMAIL, Link.MAILBOX),
    ),
    Kind(
        "email_refused_in_part",
        AlertLevel.ERROR,
        "An email from {mailbox} did not reach everyone",
        "“{subject}” was accepted for others but refused for {refused}.",
        "Correct the addresses and send it to them again.",
        (Link.EMAIL, Link.MAILBOX),
    ),
    Kind(
        "email_retrying",
        AlertLevel.WARNING,
        "An email from {mailbox} will be sent again later",
        "“{subject}” was not accepted yet: {cause} Attempt {attempt} of {limit} failed.",
        "Nothing to do unless this goes on.",
        (Link.EMAIL, Link.MAILBOX),
    ),
    Kind(
        "email_uncertain",
        AlertLevel.ERROR,
        "Nobody can tell whether an email from {mailbox} was sent",
        "The connection ended after “{subject}” was handed over and before the server answered. "
        "It is not sent again by itself, so that nobody receives it twice.",
        "Look in the recipient's mailbox or the Sent folder, then mark it as sent or send it again.",
        (Link.EMAIL, Link.MAILBOX),
    ),
)
KINDS: dict[str, Kind] = {kind.code: kind for kind in _ALL}


#: Parameters that hold words of an email; only readers of that mailbox's email see them.
WORDS_OF_EMAIL = frozenset({"subject"})
#: The kinds whose parameters hold words of an email.
SPEAKS_OF_EMAIL = frozenset(kind.code for kind in _ALL if "{subject}" in kind.text)


class _Words(dict[str, object]):
    """Parameters that print as nothing when an older alert lacks one, and times in the reader's zone."""

    def __missing__(self, key: str) -> str:
        return ""

    def __getitem__(self, key: str) -> object:
        value = super().__getitem__(key)
        return _moment(str(value)) if key.endswith("_at") else value


def _moment(text: str) -> str:
    """Return a stored time as the reader's clock shows it; older alerts hold words instead."""
    stored = parse_datetime(text)
    if stored is None or timezone.is_naive(stored):
        return f"{text} UTC"
    local = timezone.localtime(stored)
    is_today = local.date() == timezone.localdate()
    return date_format(local, "H:i") if is_today else date_format(local, "H:i, M j")


def present(
    alert: Alert, *, members: int = 0, shows_email: bool = True, leads_to: Collection[Link] = tuple(Link)
) -> Presented:
    """Return the words and links of `alert`. Its environment must be loaded (select_related).

    `members` is how many mailboxes it gathers; without `shows_email` the words of an email stay hidden.
    `leads_to` names the places that its reader may open.
    """
    kind = KINDS.get(alert.kind) or _forgotten(alert)
    words = _Words(alert.parameters)
    words["members"] = ngettext("%(number)s mailbox", "%(number)s mailboxes", members) % {
        "number": f"{members:,}"
    }
    if not shows_email:
        words |= {
            name: _("(hidden: you may not read this mailbox's email)")
            for name in WORDS_OF_EMAIL & words.keys()
        }
    places = [place for place in kind.links if place in leads_to]
    links = tuple(link for link in (_resolve(place, alert) for place in places) if link)
    return Presented(
        title=kind.title.format_map(words),
        text=kind.text.format_map(words).strip(),
        remedy=kind.remedy.format_map(words).strip(),
        links=links,
    )


def _forgotten(alert: Alert) -> Kind:
    """Return words for a kind that an older version knew; a wall never fails because of one card."""
    title = alert.kind.replace("_", " ").capitalize()
    return Kind(alert.kind, AlertLevel(alert.level), title, "{cause}", "{remedy}")


def _resolve(place: Link, alert: Alert) -> tuple[str, str] | None:
    slug = alert.environment.slug
    profile_id = alert.server_profile_id or alert.parameters.get("profile_id")
    outgoing_id = alert.parameters.get("outgoing_id")
    if place is Link.MAILBOX and alert.mailbox_id:
        return _("Open mailbox"), reverse("mailboxes:mailbox_detail", args=[slug, alert.mailbox_id])
    if place is Link.EMAILS and alert.mailbox_id:
        return _("Open emails"), reverse("mailboxes:mailbox_emails", args=[slug, alert.mailbox_id])
    if place is Link.EMAIL and alert.mailbox_id and outgoing_id:
        return _("Open email"), reverse(
            "mailboxes:outgoing_detail", args=[slug, alert.mailbox_id, outgoing_id]
        )
    if place is Link.PROFILE and profile_id:
        return _("Open server profile"), reverse("profiles:profile_edit", args=[slug, profile_id])
    return None
