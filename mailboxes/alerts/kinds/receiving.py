"""Messages that are received, and the Inbox they come from."""

from django.utils.translation import gettext_noop

from mailboxes.alerts.kinds.kind import Kind, Link
from mailboxes.choices import AlertLevel

RECEIVING = (
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
        gettext_noop("Open the message: look at its source, or choose Read again after an upgrade."),
        (Link.EMAILS, Link.MAILBOX),
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
)
