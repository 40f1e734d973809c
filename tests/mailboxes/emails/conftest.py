"""A mailbox with mail in it, and somebody signed in who reads it."""

from tests.mailboxes.emails.world import environment, mailbox, now, profile, queue_fast, reader, receive, rosa

__all__ = ["environment", "mailbox", "now", "profile", "queue_fast", "reader", "receive", "rosa"]
