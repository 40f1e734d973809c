"""Tests of a mailbox, and directions that stop, are tried again, or stop together."""

from django.utils.translation import gettext_noop

from mailboxes.alerts.kinds.kind import READY, Kind, Link
from mailboxes.choices import AlertLevel, Direction

RUNNING = (
    Kind(
        READY,
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
            "{cause} Email is not received until a test succeeds; where the cause may pass, the test is "
            "repeated by itself. The owner of the server profile {profile} sees this too."
        ),
        "{remedy}",
        (Link.MAILBOX, Link.PROFILE),
        Direction.INCOMING,
        "incoming_failing_together",
        stops=True,
    ),
    Kind(
        "outgoing_untested",
        AlertLevel.ERROR,
        gettext_noop("Outgoing email for {mailbox} could not be tested"),
        gettext_noop(
            "{cause} Email is not sent until a test succeeds; where the cause may pass, the test is "
            "repeated by itself. The owner of the server profile {profile} sees this too."
        ),
        "{remedy}",
        (Link.MAILBOX, Link.PROFILE),
        Direction.OUTGOING,
        "outgoing_failing_together",
        stops=True,
    ),
    Kind(
        "incoming_test_interrupted",
        AlertLevel.WARNING,
        gettext_noop("The test of incoming email for {mailbox} was interrupted"),
        gettext_noop("{cause} This often passes by itself: the next test or run is at {retry_at}."),
        "{remedy}",
        (Link.MAILBOX, Link.PROFILE),
        Direction.INCOMING,
        "incoming_retrying_together",
    ),
    Kind(
        "outgoing_test_interrupted",
        AlertLevel.WARNING,
        gettext_noop("The test of outgoing email for {mailbox} was interrupted"),
        gettext_noop("{cause} This often passes by itself: the next test or run is at {retry_at}."),
        "{remedy}",
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
        stops=True,
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
        stops=True,
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
        "incoming_failing_together",
        AlertLevel.ERROR,
        gettext_noop("Incoming email of {members} of {profile} is stopped"),
        gettext_noop("{cause} Mailboxes that meet the same failure are told of together."),
        "{remedy}",
        (Link.PROFILE,),
    ),
    Kind(
        "incoming_retrying_together",
        AlertLevel.WARNING,
        gettext_noop("Incoming email of {members} of {profile} will be tried again"),
        gettext_noop(
            "{cause} Mailboxes that meet the same failure are told of together. Each is tried again by "
            "itself."
        ),
        gettext_noop("Nothing to do unless this goes on. {remedy}"),
        (Link.PROFILE,),
    ),
    Kind(
        "outgoing_failing_together",
        AlertLevel.ERROR,
        gettext_noop("Outgoing email of {members} of {profile} is stopped"),
        gettext_noop("{cause} Mailboxes that meet the same failure are told of together."),
        "{remedy}",
        (Link.PROFILE,),
    ),
    Kind(
        "outgoing_retrying_together",
        AlertLevel.WARNING,
        gettext_noop("Outgoing email of {members} of {profile} will be tried again"),
        gettext_noop(
            "{cause} Mailboxes that meet the same failure are told of together. Each is tried again by "
            "itself."
        ),
        gettext_noop("Nothing to do unless this goes on. {remedy}"),
        (Link.PROFILE,),
    ),
    Kind(
        "mailbox_parked",
        AlertLevel.ERROR,
        gettext_noop("Email for {mailbox} waits"),
        gettext_noop("{cause} Email waits until this is mended, on the server and here; nothing is lost."),
        gettext_noop("{remedy} After that email goes on by itself."),
        (Link.MAILBOX, Link.PROFILE),
        gathered_as="parked_together",
        stops=True,
    ),
    Kind(
        "parked_together",
        AlertLevel.ERROR,
        gettext_noop("Email of {members} of {profile} waits"),
        gettext_noop(
            "{cause} Mailboxes that wait for the same are told of together. Their email waits on the server "
            "and here; nothing is lost."
        ),
        gettext_noop("{remedy} After that email goes on by itself."),
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
)
