"""Failures once somebody is signed in: reading the mailbox, and sending."""

from emailsync.management.selftest.scenarios import imap, offers, smtp, withholds
from emailsync.management.selftest.scripted_imap import refuse, say

USING = (
    imap("Answer not understood", "protocol_violation", "open_inbox", answers={"EXAMINE": say(b"what?\r\n")}),
    imap("Command refused", "command_refused", "fetch", answers={"UID SEARCH": refuse(b"Not today")}),
    imap("Message withheld", "message_unreadable", "fetch", arrange=withholds),
    imap(
        "INBOX missing",
        "folder_missing",
        "open_inbox",
        answers={"EXAMINE": refuse(b"[NONEXISTENT] Unknown Mailbox")},
    ),
    imap(
        "INBOX not accessible",
        "folder_forbidden",
        "open_inbox",
        answers={"EXAMINE": refuse(b"[NOPERM] Denied")},
    ),
    imap(
        "Mailbox in use",
        "mailbox_locked",
        "open_inbox",
        answers={"EXAMINE": refuse(b"[INUSE] Mailbox in use")},
    ),
    imap(
        "Temporary failure of the server",
        "server_busy",
        "open_inbox",
        answers={"EXAMINE": refuse(b"[UNAVAILABLE] Service is temporarily not available")},
    ),
    imap(
        "Access limited for now",
        "rate_limited",
        "open_inbox",
        answers={"EXAMINE": refuse(b"[THROTTLED] Account exceeded command or bandwidth limits. (Failure)")},
    ),
)
SENDING = (
    smtp(
        "Sender refused",
        "sender_refused",
        "send",
        answers={"MAIL": b"550 5.7.60 SMTP; Client does not have permissions to send as this sender"},
    ),
    smtp(
        "Relaying denied",
        "relay_denied",
        "send",
        answers={"RCPT": b"554 5.7.1 <ann@example.com>: Relay access denied"},
    ),
    smtp(
        "Recipient refused",
        "recipients_refused",
        "send",
        answers={"RCPT": b"550 5.1.1 <ann@example.com>: Recipient address rejected: User unknown"},
    ),
    smtp(
        "Greylisted",
        "greylisted",
        "send",
        answers={"RCPT": b"450 4.2.0 <ann@example.com>: Recipient address rejected: Greylisted"},
    ),
    smtp(
        "Size refused, announced",
        "message_too_large",
        "send",
        arrange=offers(b"SIZE 10", b"AUTH PLAIN"),
    ),
    smtp(
        "Size refused",
        "message_too_large",
        "send",
        answers={"body": b"552 5.3.4 Message size exceeds fixed maximum message size"},
    ),
    smtp(
        "Rate limited",
        "rate_limited",
        "send",
        answers={"body": b"550 5.4.5 Daily user sending quota exceeded."},
    ),
    smtp("Mailbox full", "quota_exceeded", "send", answers={"body": b"552 5.2.2 The mailbox is full"}),
    smtp(
        "Temporary failure of the server",
        "server_busy",
        "send",
        answers={"MAIL": b"451 4.3.0 Error: queue file write error"},
    ),
    smtp(
        "Message refused",
        "message_refused",
        "send",
        answers={"body": b"554 5.7.1 Message rejected due to its content"},
    ),
    smtp("Accepted, but not seen arriving", "not_seen_arriving", "arrive", seeks_arrival=True),
)
