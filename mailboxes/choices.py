"""The fixed sets of statuses, with the words the console shows."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from emailsync.mail.automatic import Automatic


class MailboxKind(models.TextChoices):
    """Whose mailbox it is."""

    USER = "user", _("User")
    QUEUE = "queue", _("Queue")
    FORWARD = "forward", _("Forward")


class AddressStatus(models.TextChoices):
    """Whether an administrator has approved the address for processing."""

    EMPTY = "empty", _("Empty")
    APPROVED = "approved", _("Approved")
    PENDING = "pending", _("Pending Approval")
    REJECTED = "rejected", _("Rejected")


class Direction(models.TextChoices):
    """The two ways mail goes; each is tested, enabled and stopped on its own."""

    INCOMING = "incoming", _("Incoming")
    OUTGOING = "outgoing", _("Outgoing")


class ResultStatus(models.TextChoices):
    """The result of the last configuration test of a direction."""

    NOT_RUN = "not_run", _("Not Run")
    SUCCESS = "success", _("Success")
    FAILURE = "failure", _("Failure")


class LedgerOutcome(models.TextChoices):
    """What became of a message seen on the server."""

    STORED = "stored", _("Stored")
    DUPLICATE = "duplicate", _("Duplicate of a stored message")
    BEFORE_START = "before_start", _("Before the start date")
    NOT_WANTED = "not_wanted", _("Not wanted")
    OVERSIZE = "oversize", _("Larger than the limit")
    QUARANTINED = "quarantined", _("Quarantined")
    #: It was to be read again and is no longer there.
    GONE = "gone", _("No longer on the server")
    #: Found on the server when the Inbox was counted; the next run reads it.
    MISSED = "missed", _("Overlooked, and being fetched")


class Standing(models.IntegerChoices):
    """What the last count of an Inbox against its ledger proves, the most urgent first."""

    GAP = 0, _("Gap")
    NOT_COUNTED = 1, _("Not counted")
    COMPLETE = 2, _("Complete")


class TrackIncoming(models.TextChoices):
    """Which incoming mail of a mailbox is kept; docs/decisions/0012 says what the words mean here."""

    ALL = "all", _("All email messages")
    IN_RESPONSE = "in_response", _("Email messages in response to email")
    FROM_CONTACTS = "from_contacts", _("Email messages from Leads, Contacts, and Accounts")
    FROM_ENABLED = "from_enabled", _("Email messages from records that are email enabled")
    NONE = "none", _("No email messages")


class Correlation(models.TextChoices):
    """How a message was found to belong to an earlier one."""

    IN_REPLY_TO = "in_reply_to", _("It names the earlier email (In-Reply-To, References)")
    TRACKING_TOKEN = "tracking_token", _("Its subject holds the tracking token")
    SMART_MATCHING = "smart_matching", _("Subject and people are the same (smart matching)")


class Reason(models.TextChoices):
    """Why a message was kept, or why it was not: stored with every decision."""

    ALL_WANTED = "all_wanted", _("All email messages are kept")
    REPLY = "reply", _("It answers a tracked email")
    TRACKING_TOKEN = "tracking_token", _("Its subject holds the tracking token of a tracked email")
    SMART_MATCH = "smart_match", _("Subject and people match a tracked email (smart matching)")
    KNOWN_SENDER = "known_sender", _("Its sender has been written to from this environment")
    EMAIL_ENABLED_SENDER = "email_enabled_sender", _("Its sender is a mailbox of this environment")
    ASKED_FOR = "asked_for", _("It had been in quarantine, and was read again")
    SAME_CONTENT = "same_content", _("The same message is stored already")
    BEFORE_START_DATE = "before_start_date", _("It was received before the start date")
    TOO_LARGE = "too_large", _("It is larger than the limit")
    UNREADABLE = "unreadable", _("It could not be read")
    WITHHELD = "withheld", _("The server lists it but does not hand it out")
    OVERLOOKED = "overlooked", _("It was found when the Inbox was counted")
    VANISHED = "vanished", _("It was removed from the server before it could be read")
    NO_CORRELATION_MATCH = "no_correlation_match", _("NoCorrelationMatch: it answers no tracked email")
    UNKNOWN_SENDER = (
        "unknown_sender",
        _("NoSenderMatch: nobody of this environment has written to its sender"),
    )
    SENDER_NOT_ENABLED = (
        "sender_not_enabled",
        _("NoSenderMatch: its sender is no mailbox of this environment"),
    )
    NOTHING_WANTED = "nothing_wanted", _("The mailbox is set to keep no email messages")


#: The option that keeps mail for each reason; the other reasons are nobody's option, or tell why not.
OPTION_OF = {
    Reason.ALL_WANTED: TrackIncoming.ALL,
    Reason.REPLY: TrackIncoming.IN_RESPONSE,
    Reason.TRACKING_TOKEN: TrackIncoming.IN_RESPONSE,
    Reason.SMART_MATCH: TrackIncoming.IN_RESPONSE,
    Reason.KNOWN_SENDER: TrackIncoming.FROM_CONTACTS,
    Reason.EMAIL_ENABLED_SENDER: TrackIncoming.FROM_ENABLED,
}


class BlockedBecause(models.TextChoices):
    """Why an attachment of received mail is not handed out."""

    TYPE = "type", _("Files of this type are blocked")
    SIZE = "size", _("It is larger than the limit for attachments")


class OutgoingStatus(models.TextChoices):
    """The life of an outgoing message."""

    DRAFT = "draft", _("Draft")
    PENDING_SEND = "pending_send", _("Pending Send")
    SENDING = "sending", _("Sending")
    SENT = "sent", _("Sent")
    FAILED = "failed", _("Failed")
    #: The body went out and the answer never came: only a person, a Sent folder or a bounce can tell.
    UNCERTAIN = "uncertain", _("Uncertain")
    CANCELED = "canceled", _("Canceled")


class SentCopy(models.TextChoices):
    """What became of the copy of an outgoing message in the folder for sent mail; nothing: none is wanted."""

    WANTED = "wanted", _("It is added to the Sent folder in a moment")
    APPENDED = "appended", _("It was added to the Sent folder")
    FOUND = "found", _("The mail server keeps it in the Sent folder by itself")
    NO_FOLDER = "no_folder", _("The mailbox has no Sent folder that can be reached")
    FAILED = "failed", _("It could not be added to the Sent folder")


class AutomaticKind(models.TextChoices):
    """What kind of machine sent a received message; nothing: a person, as far as it tells."""

    LOOP = Automatic.LOOP.value, _("It passed too many servers: it goes round in a circle")
    REPORT = Automatic.REPORT.value, _("A mail server reports on the delivery of another email")
    REPLY = Automatic.REPLY.value, _("It is an automatic reply")
    GENERATED = Automatic.GENERATED.value, _("It was sent by a program, not by a person")
    LIST = Automatic.LIST.value, _("It was sent to a list or in bulk")


class RecipientKind(models.TextChoices):
    """The header a recipient stood in."""

    TO = "to", _("To")
    CC = "cc", _("Cc")
    BCC = "bcc", _("Bcc")
    REPLY_TO = "reply_to", _("Reply-To")


class RunState(models.TextChoices):
    """How far a job or one of its diagnoses has come."""

    QUEUED = "queued", _("Queued")
    RUNNING = "running", _("Running")
    DONE = "done", _("Done")
    CANCELED = "canceled", _("Canceled")
    FAILED = "failed", _("Failed")


#: States in which something is still to come.
UNFINISHED = (RunState.QUEUED, RunState.RUNNING)


class JobKind(models.TextChoices):
    """What a job does, in the words of the command that starts it."""

    DIAGNOSE = "diagnose", _("Test & Enable Mailboxes")
    CHANGE = "change", _("Change Multiple Records")
    APPLY_DEFAULT = "apply_default", _("Apply Default Email Settings")
    APPROVE = "approve", _("Approve Email")
    REJECT = "reject", _("Reject Email")
    ACTIVATE = "activate", _("Activate")
    DEACTIVATE = "deactivate", _("Deactivate")
    MOVE = "move", _("Move mailboxes")
    CHECK_FILE = "check_file", _("Check a file of mailboxes")
    IMPORT = "import", _("Import mailboxes")
    READ_AGAIN = "read_again", _("Read again from quarantine")
    COUNT = "count", _("Count Inboxes")
    DELETE_ALERTS = "delete_alerts", _("Delete all alerts")


class StepOutcome(models.TextChoices):
    """How a step or a direction of a diagnosis ended."""

    SUCCESS = "success", _("Success")
    FAILURE = "failure", _("Failure")
    SKIPPED = "skipped", _("Skipped")
    #: It worked, but something about it should be known.
    WARNING = "warning", _("Warning")


class AlertLevel(models.TextChoices):
    """How much an alert matters."""

    ERROR = "error", _("Error")
    WARNING = "warning", _("Warning")
    INFORMATION = "information", _("Information")
