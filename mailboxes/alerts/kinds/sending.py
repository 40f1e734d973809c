"""Messages that are sent."""

from django.utils.translation import gettext_noop

from mailboxes.alerts.kinds.kind import Kind, Link
from mailboxes.choices import AlertLevel

SENDING = (
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
