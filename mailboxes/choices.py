"""The fixed sets of statuses, with the words the console shows."""

from django.db import models


class MailboxKind(models.TextChoices):
    """Whose mailbox it is."""

    USER = "user", "User"
    QUEUE = "queue", "Queue"
    FORWARD = "forward", "Forward"


class AddressStatus(models.TextChoices):
    """Whether an administrator has approved the address for processing."""

    EMPTY = "empty", "Empty"
    APPROVED = "approved", "Approved"
    PENDING = "pending", "Pending Approval"
    REJECTED = "rejected", "Rejected"


class Direction(models.TextChoices):
    """The two ways mail goes; each is tested, enabled and stopped on its own."""

    INCOMING = "incoming", "Incoming"
    OUTGOING = "outgoing", "Outgoing"


class ResultStatus(models.TextChoices):
    """The result of the last configuration test of a direction."""

    NOT_RUN = "not_run", "Not Run"
    SUCCESS = "success", "Success"
    FAILURE = "failure", "Failure"


class LedgerOutcome(models.TextChoices):
    """What became of a message seen on the server."""

    STORED = "stored", "Stored"
    DUPLICATE = "duplicate", "Duplicate of a stored message"
    BEFORE_START = "before_start", "Before the start date"
    NOT_WANTED = "not_wanted", "Not wanted"
    OVERSIZE = "oversize", "Larger than the limit"
    QUARANTINED = "quarantined", "Quarantined"


class OutgoingStatus(models.TextChoices):
    """The life of an outgoing message."""

    DRAFT = "draft", "Draft"
    PENDING_SEND = "pending_send", "Pending Send"
    SENDING = "sending", "Sending"
    SENT = "sent", "Sent"
    FAILED = "failed", "Failed"
    #: The body went out and the answer never came: only a person, a Sent folder or a bounce can tell.
    UNCERTAIN = "uncertain", "Uncertain"
    CANCELED = "canceled", "Canceled"


class RecipientKind(models.TextChoices):
    """The header a recipient stood in."""

    TO = "to", "To"
    CC = "cc", "Cc"
    BCC = "bcc", "Bcc"
    REPLY_TO = "reply_to", "Reply-To"


class RunState(models.TextChoices):
    """How far a job or one of its diagnoses has come."""

    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    DONE = "done", "Done"


class StepOutcome(models.TextChoices):
    """How a step or a direction of a diagnosis ended."""

    SUCCESS = "success", "Success"
    FAILURE = "failure", "Failure"
    SKIPPED = "skipped", "Skipped"


class AlertLevel(models.TextChoices):
    """How much an alert matters."""

    ERROR = "error", "Error"
    WARNING = "warning", "Warning"
    INFORMATION = "information", "Information"
