"""Every kind of alert: how much it matters, what it says, what to do, and where to do it.

The sentences stand here in English; `mailboxes.alerts.presenting` translates them for each reader.
"""

from dataclasses import dataclass
from enum import StrEnum

from django.utils.translation import gettext_noop

from emailsync.mail.errors import RecipientsRefused
from mailboxes.choices import AlertLevel, Direction


class Link(StrEnum):
    """Where an alert leads."""

    MAILBOX = "mailbox"
    PROFILE = "profile"
    EMAIL = "email"
    EMAILS = "emails"


@dataclass(frozen=True)
class Kind:
    """One kind of alert. The sentences are translated, then filled with the alert's parameters."""

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


_ALL = (
    Kind(
        "sign_ins_paused",
        AlertLevel.ERROR,
        gettext_noop("Sign-ins at {host} are paused"),
        gettext_noop(
            "{refusals} sign-ins of {mailboxes} mailboxes were refused within minutes. Servers shut out "
            "whoever goes on like that, so no mailbox of this host receives or sends; one tries again at "
            "{retry_at}."
        ),
        gettext_noop(
            "Correct the credentials of the mailboxes that were refused, and test one of them. The first "
            "success ends the pause by itself."
        ),
        (Link.PROFILE,),
    ),
    Kind(
        "oauth_secret_expiring",
        AlertLevel.WARNING,
        gettext_noop("The client secret of {profile} expires on {date}"),
        gettext_noop("From then on none of the mailboxes of this server profile receives or sends email."),
        gettext_noop(
            "Make a new client secret where the application is registered, and enter it with its new date "
            "in the server profile."
        ),
        (Link.PROFILE,),
    ),
    Kind(
        "oauth_expiring",
        AlertLevel.WARNING,
        gettext_noop("The permission to open {mailbox} ends on {date}"),
        gettext_noop("{cause} From then on the mailbox receives and sends no email."),
        "{remedy}",
    ),
    Kind(
        "configuration_succeeded",
        AlertLevel.INFORMATION,
        gettext_noop("{mailbox} is ready for email"),
        gettext_noop("{tested} tested successfully, and the mailbox is enabled for email processing."),
        "",
    ),
    Kind(
        "incoming_untested",
        AlertLevel.ERROR,
        gettext_noop("Incoming email for {mailbox} could not be tested"),
        gettext_noop(
            "{cause} Email is not received until the test succeeds; it is repeated by itself as long as it "
            "may pass. The owner of the server profile {profile} sees this too."
        ),
        "{remedy}",
        (Link.MAILBOX, Link.PROFILE),
        Direction.INCOMING,
        "incoming_failing_together",
    ),
    Kind(
        "outgoing_untested",
        AlertLevel.ERROR,
        gettext_noop("Outgoing email for {mailbox} could not be tested"),
        gettext_noop(
            "{cause} Email is not sent until the test succeeds; it is repeated by itself as long as it "
            "may pass. The owner of the server profile {profile} sees this too."
        ),
        "{remedy}",
        (Link.MAILBOX, Link.PROFILE),
        Direction.OUTGOING,
        "outgoing_failing_together",
    ),
    Kind(
        "incoming_test_interrupted",
        AlertLevel.WARNING,
        gettext_noop("The test of incoming email for {mailbox} was interrupted"),
        gettext_noop("{cause} This often passes by itself: the test is repeated at {retry_at}."),
        "{remedy}",
        (Link.MAILBOX, Link.PROFILE),
        Direction.INCOMING,
        "incoming_retrying_together",
    ),
    Kind(
        "outgoing_test_interrupted",
        AlertLevel.WARNING,
        gettext_noop("The test of outgoing email for {mailbox} was interrupted"),
        gettext_noop("{cause} This often passes by itself: the test is repeated at {retry_at}."),
        "{remedy}",
        (Link.MAILBOX, Link.PROFILE),
        Direction.OUTGOING,
        "outgoing_retrying_together",
    ),
    Kind(
        "incoming_stopped",
        AlertLevel.ERROR,
        gettext_noop("Incoming email for {mailbox} is stopped"),
        gettext_noop(
            "{cause} New email stays on the server. The mailbox is tested again by itself at {retry_at}, and "
            "receives again when that succeeds."
        ),
        "{remedy}",
        (Link.MAILBOX, Link.PROFILE),
        Direction.INCOMING,
        "incoming_failing_together",
    ),
    Kind(
        "outgoing_stopped",
        AlertLevel.ERROR,
        gettext_noop("Outgoing email for {mailbox} is stopped"),
        gettext_noop(
            "{cause} Waiting email is kept. The mailbox is tested again by itself at {retry_at}, and sends "
            "again when that succeeds."
        ),
        "{remedy}",
        (Link.MAILBOX, Link.PROFILE),
        Direction.OUTGOING,
        "outgoing_failing_together",
    ),
    Kind(
        "incoming_retrying",
        AlertLevel.WARNING,
        gettext_noop("Incoming email for {mailbox} will be tried again"),
        gettext_noop("{cause} Attempt {attempt} of {limit} failed; the next one starts at {retry_at}."),
        gettext_noop("Nothing to do unless this goes on. {remedy}"),
        (Link.MAILBOX, Link.PROFILE),
        Direction.INCOMING,
        "incoming_retrying_together",
    ),
    Kind(
        "outgoing_retrying",
        AlertLevel.WARNING,
        gettext_noop("Outgoing email for {mailbox} will be tried again"),
        gettext_noop("{cause} Attempt {attempt} of {limit} failed; the next one starts at {retry_at}."),
        gettext_noop("Nothing to do unless this goes on. {remedy}"),
        (Link.MAILBOX, Link.PROFILE),
        Direction.OUTGOING,
        "outgoing_retrying_together",
    ),
    Kind(
        "outgoing_not_seen_arriving",
        AlertLevel.WARNING,
        gettext_noop("The test message of {mailbox} was not seen arriving"),
        gettext_noop("{cause} Outgoing email is enabled, for the server accepted the message."),
        "{remedy}",
        (Link.MAILBOX, Link.PROFILE),
        Direction.OUTGOING,
    ),
    Kind(
        "incoming_failing_together",
        AlertLevel.ERROR,
        gettext_noop("Incoming email of {members} of {profile} is stopped"),
        gettext_noop("{cause} They all met the same failure, so it is told once."),
        "{remedy}",
        (Link.PROFILE,),
    ),
    Kind(
        "incoming_retrying_together",
        AlertLevel.WARNING,
        gettext_noop("Incoming email of {members} of {profile} will be tried again"),
        gettext_noop(
            "{cause} They all met the same failure, so it is told once. Each is tried again by itself."
        ),
        gettext_noop("Nothing to do unless this goes on. {remedy}"),
        (Link.PROFILE,),
    ),
    Kind(
        "outgoing_failing_together",
        AlertLevel.ERROR,
        gettext_noop("Outgoing email of {members} of {profile} is stopped"),
        gettext_noop("{cause} They all met the same failure, so it is told once."),
        "{remedy}",
        (Link.PROFILE,),
    ),
    Kind(
        "outgoing_retrying_together",
        AlertLevel.WARNING,
        gettext_noop("Outgoing email of {members} of {profile} will be tried again"),
        gettext_noop(
            "{cause} They all met the same failure, so it is told once. Each is tried again by itself."
        ),
        gettext_noop("Nothing to do unless this goes on. {remedy}"),
        (Link.PROFILE,),
    ),
    Kind(
        "profile_failing",
        AlertLevel.ERROR,
        gettext_noop("The server profile {profile} does not work"),
        gettext_noop("{cause} Every mailbox that uses this profile is affected."),
        "{remedy}",
        (Link.PROFILE,),
    ),
    Kind(
        "profile_major_event",
        AlertLevel.ERROR,
        gettext_noop("Most mailboxes of the server profile {profile} failed within an hour"),
        gettext_noop("{failed} of {total} mailboxes failed. The last one said: {cause}"),
        "{remedy}",
        (Link.PROFILE,),
    ),
    Kind(
        "not_approved",
        AlertLevel.ERROR,
        gettext_noop("{mailbox} is waiting for approval"),
        gettext_noop(
            "Email for {address} is neither received nor sent until an administrator approves the address."
        ),
        gettext_noop("Approve the address, then run Test & Enable again."),
    ),
    Kind(
        "address_approved_by_owner",
        AlertLevel.INFORMATION,
        gettext_noop("The address of {mailbox} was approved by its owner"),
        gettext_noop(
            "{address} is the address of the owner's account, so it was approved when they tested the "
            "mailbox."
        ),
        "",
        (Link.MAILBOX,),
    ),
    Kind(
        "folder_renumbered",
        AlertLevel.INFORMATION,
        gettext_noop("The server renumbered the Inbox of {mailbox}"),
        gettext_noop(
            "The Inbox was compared with what is stored. Nothing was lost and nothing was stored twice."
        ),
        "",
    ),
    Kind(
        "uidl_missing",
        AlertLevel.WARNING,
        gettext_noop("The server tells the messages of {mailbox} apart badly"),
        gettext_noop(
            "It gives some messages no lasting name of their own (UIDL). They are told apart by header and "
            "size instead: nothing is lost, but each change of the mailbox is more work for the server."
        ),
        gettext_noop("Read the mailbox over IMAP, or have UIDL switched on at the mail server."),
        (Link.MAILBOX, Link.PROFILE),
    ),
    Kind(
        "folder_renumbered_often",
        AlertLevel.WARNING,
        gettext_noop("The server renumbers the Inbox of {mailbox} again and again"),
        gettext_noop(
            "It did so {times} times, one soon after the other. Each time everything must be compared, so "
            "the mailbox waits: new mail is received from {next_on} on, and then a few times a day. Nothing "
            "is lost and nothing is stored twice."
        ),
        gettext_noop("Have the mailbox repaired at the mail server: its UIDVALIDITY changes."),
    ),
    Kind(
        "message_oversize",
        AlertLevel.WARNING,
        gettext_noop("A message for {mailbox} is too large to receive"),
        gettext_noop(
            "A message of {size} received at {received_at} is larger than the limit of {limit}. "
            "Its header is kept; the message stays on the server."
        ),
        gettext_noop(
            "Open the message and choose Fetch anyway, read it in the mailbox itself, or raise "
            "EMAILSYNC_MAXIMUM_MESSAGE_SIZE."
        ),
        (Link.EMAIL, Link.MAILBOX),
    ),
    Kind(
        "oversize_not_fetched",
        AlertLevel.WARNING,
        gettext_noop("A large message for {mailbox} could not be fetched"),
        gettext_noop("{cause} Its header is kept; the message stays on the server."),
        gettext_noop("Open the message and choose Fetch anyway to try it again. {remedy}"),
        (Link.EMAILS, Link.MAILBOX),
    ),
    Kind(
        "message_quarantined",
        AlertLevel.WARNING,
        gettext_noop("A message for {mailbox} is in quarantine"),
        gettext_noop("It could not be read: {cause} Its bytes are kept as far as the server gave them."),
        gettext_noop("Open the message and look at its source."),
        (Link.EMAILS, Link.MAILBOX),
    ),
    Kind(
        "ledger_gap",
        AlertLevel.WARNING,
        gettext_noop("Messages in the Inbox of {mailbox} had been overlooked"),
        gettext_noop(
            "The Inbox was counted: the server lists {number} messages that should have been read and were "
            "not. They are fetched now, and the Inbox is counted again."
        ),
        gettext_noop(
            "Nothing to do unless this comes again. Then the server gives new messages numbers below those "
            "it gave before; ask its administrator."
        ),
        (Link.MAILBOX,),
    ),
    Kind(
        "forward_for_nobody",
        AlertLevel.WARNING,
        gettext_noop("Forwarded email in {mailbox} is for nobody here"),
        gettext_noop(
            "{sender} forwarded a message as an attachment, but neither its address nor those in the "
            "attached "
            "message belong to a mailbox that may receive it. The message stays with the forward mailbox."
        ),
        gettext_noop(
            "Set Incoming Email of its mailbox to Forward Mailbox, activate the mailbox and approve "
            "its address."
        ),
        (Link.EMAILS, Link.MAILBOX),
    ),
    Kind(
        "forward_without_attachment",
        AlertLevel.WARNING,
        gettext_noop("Email in {mailbox} was not forwarded as an attachment"),
        gettext_noop(
            "A message from {sender} carries no attached message, so nobody can tell whom it was for. "
            "It stays "
            "with the forward mailbox."
        ),
        gettext_noop("Set the server rule that sends email here to forward it as an attachment."),
        (Link.EMAILS, Link.MAILBOX),
    ),
    Kind(
        "taken_over",
        AlertLevel.ERROR,
        gettext_noop("{mailbox} is synchronized elsewhere now"),
        gettext_noop(
            "{person} ran Test & Enable for {address} in another environment and took it over. Email "
            "is neither "
            "received nor sent here any more."
        ),
        gettext_noop(
            "If that was a mistake, run Test & Enable here with “Sync items from this environment "
            "only” ticked."
        ),
    ),
    Kind(
        "email_failed",
        AlertLevel.ERROR,
        gettext_noop("An email from {mailbox} could not be sent"),
        gettext_noop("“{subject}” was refused: {cause}"),
        "{remedy}",
        (Link.EMAIL, Link.MAILBOX),
    ),
    Kind(
        "email_refused_in_part",
        AlertLevel.ERROR,
        gettext_noop("An email from {mailbox} did not reach everyone"),
        gettext_noop("“{subject}” was accepted for others but refused for {refused}."),
        gettext_noop("Correct the addresses and send it to them again."),
        (Link.EMAIL, Link.MAILBOX),
    ),
    Kind(
        "email_retrying",
        AlertLevel.WARNING,
        gettext_noop("An email from {mailbox} will be sent again later"),
        gettext_noop("“{subject}” was not accepted yet: {cause} Attempt {attempt} of {limit} failed."),
        gettext_noop("Nothing to do unless this goes on."),
        (Link.EMAIL, Link.MAILBOX),
    ),
    Kind(
        "email_bounced",
        AlertLevel.ERROR,
        gettext_noop("An email from {mailbox} came back"),
        gettext_noop(
            "“{subject}” was accepted for sending, but a mail server could not deliver it to {addresses}."
        ),
        gettext_noop("Read the server's words, correct the address or reach the recipient in another way."),
        (Link.EMAIL, Link.MAILBOX),
    ),
    Kind(
        "email_delayed",
        AlertLevel.WARNING,
        gettext_noop("An email from {mailbox} is delayed"),
        gettext_noop(
            "A mail server has not been able to deliver “{subject}” to {addresses} yet and keeps trying."
        ),
        gettext_noop("Nothing to do unless it comes back. Do not send it again meanwhile."),
        (Link.EMAIL, Link.MAILBOX),
    ),
    Kind(
        "sent_copy_failed",
        AlertLevel.WARNING,
        gettext_noop("A sent email of {mailbox} is not in its Sent folder"),
        gettext_noop("“{subject}” was sent, but its copy could not be stored: {cause}"),
        "{remedy}",
        (Link.EMAIL, Link.MAILBOX),
    ),
    Kind(
        "email_uncertain",
        AlertLevel.ERROR,
        gettext_noop("Nobody can tell whether an email from {mailbox} was sent"),
        gettext_noop(
            "The connection ended after “{subject}” was handed over and before the server answered. "
            "It is not sent again by itself, so that nobody receives it twice."
        ),
        gettext_noop(
            "Look in the recipient's mailbox or the Sent folder, then mark it as sent or send it again."
        ),
        (Link.EMAIL, Link.MAILBOX),
    ),
)
KINDS: dict[str, Kind] = {kind.code: kind for kind in _ALL}


#: Parameters that hold words of an email; only readers of that mailbox's email see them.
WORDS_OF_EMAIL = frozenset({"subject", "refused", "sender"})
#: The kinds whose parameters, and the server's answer with them, hold words of an email.
SPEAKS_OF_EMAIL = frozenset(
    kind.code for kind in _ALL if any(f"{{{word}}}" in kind.text for word in WORDS_OF_EMAIL)
)
#: The error codes whose sentence names recipients.
NAMES_RECIPIENTS = frozenset(
    {RecipientsRefused.code, *(kind.code for kind in RecipientsRefused.__subclasses__())}
)
