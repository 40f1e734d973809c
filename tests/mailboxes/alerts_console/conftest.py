"""The mailbox and the reader of the mail screens, and a way to put alerts on walls."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from mailboxes.models import Alert, Mailbox
from tests.mailboxes.emails.world import environment, mailbox, now, profile, queue_fast, reader, rosa

__all__ = ["environment", "mailbox", "now", "profile", "queue_fast", "reader", "rosa"]

LEVELS = {
    "outgoing_stopped": "error",
    "incoming_stopped": "error",
    "profile_failing": "error",
    "email_retrying": "warning",
    "configuration_succeeded": "information",
    "email_refused_in_part": "error",
    "email_failed": "error",
    "forward_for_nobody": "warning",
}


@pytest.fixture
def tell(mailbox: Mailbox, now: datetime) -> Callable[..., Alert]:
    """Give a function that puts an alert on the wall of the mailbox."""

    def put(kind: str = "outgoing_stopped", **changes: Any) -> Alert:
        columns: dict[str, Any] = {
            "environment": mailbox.environment,
            "mailbox": mailbox,
            "server_profile": mailbox.server_profile,
            "kind": kind,
            "level": LEVELS[kind],
            "parameters": {
                "mailbox": "Billing",
                "profile": "Contoso IMAP",
                "profile_id": str(mailbox.server_profile_id),
                "cause": "The server refused the sign-in.",
                "remedy": "Type the password again.",
                "subject": "Hello",
                "tested": "Both directions",
            },
            "key": f"{kind}:{Alert.objects.count()}",
            "first_seen_on": now,
            "last_seen_on": now,
        }
        return Alert.objects.create(**columns | changes)

    return put
