"""Every kind of alert: how much it matters, what it says, what to do, and where to do it."""

from dataclasses import dataclass
from enum import StrEnum

from django.urls import reverse

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
    ),
    Kind(
        "incoming_test_interrupted",
        AlertLevel.WARNING,
        "The test of incoming email for {mailbox} was interrupted",
        "{cause} This often passes by itself.",
        "{remedy}",
        (Link.MAILBOX, Link.PROFILE),
        Direction.INCOMING,
    ),
    Kind(
        "outgoing_test_interrupted",
        AlertLevel.WARNING,
        "The test of outgoing email for {mailbox} was interrupted",
        "{cause} This often passes by itself.",
        "{remedy}",
        (Link.MAILBOX, Link.PROFILE),
        Direction.OUTGOING,
    ),
    Kind(
        "incoming_stopped",
        AlertLevel.ERROR,
        "Incoming email for {mailbox} is stopped",
        "{cause} New email stays on the server and is received after the next successful test.",
        "{remedy}",
        (Link.MAILBOX, Link.PROFILE),
        Direction.INCOMING,
    ),
    Kind(
        "outgoing_stopped",
        AlertLevel.ERROR,
        "Outgoing email for {mailbox} is stopped",
        "{cause} Waiting email is kept and sent after the next successful test.",
        "{remedy}",
        (Link.MAILBOX, Link.PROFILE),
        Direction.OUTGOING,
    ),
    Kind(
        "incoming_retrying",
        AlertLevel.WARNING,
        "Incoming email for {mailbox} will be tried again",
        "{cause} Attempt {attempt} of {limit} failed; the next one starts at {retry_at} UTC.",
        "Nothing to do unless this goes on. {remedy}",
        (Link.MAILBOX, Link.PROFILE),
        Direction.INCOMING,
    ),
    Kind(
        "outgoing_retrying",
        AlertLevel.WARNING,
        "Outgoing email for {mailbox} will be tried again",
        "{cause} Attempt {attempt} of {limit} failed; the next one starts at {retry_at} UTC.",
        "Nothing to do unless this goes on. {remedy}",
        (Link.MAILBOX, Link.PROFILE),
        Direction.OUTGOING,
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
        "Most mailboxes of the server profile {profile} stopped within an hour",
        "{failed} of {total} mailboxes stopped. The last one said: {cause}",
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
        "A message of {size} received at {received_at} UTC is larger than the limit of {limit}. "
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


class _Blank(dict[str, object]):
    """Parameters that print as nothing when an older alert lacks one."""

    def __missing__(self, key: str) -> str:
        return ""


def present(alert: Alert) -> Presented:
    """Return the words and links of `alert`. Its environment must be loaded (select_related)."""
    kind = KINDS.get(alert.kind) or _forgotten(alert)
    words = _Blank(alert.parameters)
    links = tuple(link for link in (_resolve(place, alert) for place in kind.links) if link)
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
        return "Open mailbox", reverse("mailboxes:mailbox_detail", args=[slug, alert.mailbox_id])
    if place is Link.EMAILS and alert.mailbox_id:
        return "Open emails", reverse("mailboxes:mailbox_emails", args=[slug, alert.mailbox_id])
    if place is Link.EMAIL and alert.mailbox_id and outgoing_id:
        return "Open email", reverse("mailboxes:outgoing_detail", args=[slug, alert.mailbox_id, outgoing_id])
    if place is Link.PROFILE and profile_id:
        return "Open server profile", reverse("profiles:profile_edit", args=[slug, profile_id])
    return None
