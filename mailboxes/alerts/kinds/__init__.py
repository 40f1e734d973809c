"""Every kind of alert: how much it matters, what it says, what to do, and where to do it.

The sentences stand here in English; `mailboxes.alerts.presenting` translates them for each reader. How each
is raised and resolved stands in docs/alerts.md.
"""

from emailsync.mail.errors import RecipientsRefused
from mailboxes.alerts.kinds.kind import READY, Kind, Link
from mailboxes.alerts.kinds.permitting import PERMITTING
from mailboxes.alerts.kinds.receiving import RECEIVING
from mailboxes.alerts.kinds.running import RUNNING
from mailboxes.alerts.kinds.sending import SENDING

__all__ = ["KINDS", "NAMES_RECIPIENTS", "READY", "SPEAKS_OF_EMAIL", "WORDS_OF_EMAIL", "Kind", "Link"]

KINDS: dict[str, Kind] = {kind.code: kind for kind in (*RUNNING, *PERMITTING, *RECEIVING, *SENDING)}
#: Parameters that hold words of an email; only readers of that mailbox's email see them.
WORDS_OF_EMAIL = frozenset({"subject", "refused", "sender"})
#: The kinds whose parameters, and the server's answer with them, hold words of an email.
SPEAKS_OF_EMAIL = frozenset(
    kind.code for kind in KINDS.values() if any(f"{{{word}}}" in kind.text for word in WORDS_OF_EMAIL)
)
#: The error codes whose sentence names recipients.
NAMES_RECIPIENTS = frozenset(
    {RecipientsRefused.code, *(kind.code for kind in RecipientsRefused.__subclasses__())}
)
