"""What operators edit (mailbox), what workers write (state, ledger, message), what people read (alert)."""

from mailboxes.models.alert import Alert, AlertReading, AlertTranscript
from mailboxes.models.authorization import OAuthToken, OAuthVisit
from mailboxes.models.brake import RefusedSignIn, SignInBrake
from mailboxes.models.claim import SyncClaim, TokenCounter
from mailboxes.models.detection import Detection
from mailboxes.models.diagnosis import Diagnosis, DiagnosisStep
from mailboxes.models.job import Job, JobOrder, JobRemark
from mailboxes.models.ledger import FolderCursor, LedgerEntry
from mailboxes.models.mailbox import Mailbox
from mailboxes.models.message import Attachment, Message, RawMessage, Recipient
from mailboxes.models.outbox import Correspondent, DraftFile, OutgoingMessage
from mailboxes.models.reconciliation import Reconciliation
from mailboxes.models.search import MessageWords, OutgoingWords
from mailboxes.models.state import WorkerState

__all__ = [
    "Alert",
    "AlertReading",
    "AlertTranscript",
    "Attachment",
    "Correspondent",
    "Detection",
    "Diagnosis",
    "DiagnosisStep",
    "DraftFile",
    "FolderCursor",
    "Job",
    "JobOrder",
    "JobRemark",
    "LedgerEntry",
    "Mailbox",
    "Message",
    "MessageWords",
    "OAuthToken",
    "OAuthVisit",
    "OutgoingMessage",
    "OutgoingWords",
    "RawMessage",
    "Recipient",
    "Reconciliation",
    "RefusedSignIn",
    "SignInBrake",
    "SyncClaim",
    "TokenCounter",
    "WorkerState",
]
