"""What reading asks of a server and leaves on it: as little as can be, and nothing before the commit."""

from collections.abc import Callable

import pytest
from django.db import OperationalError

from emailsync.management.selftest.scripted_imap import ScriptedImap
from emailsync.management.selftest.scripted_smtp import ScriptedSmtp
from mailboxes.choices import MailboxKind
from mailboxes.engine import rows
from mailboxes.models import LedgerEntry, Mailbox, Message, OutgoingMessage, WorkerState

pytestmark = pytest.mark.django_db(transaction=True)
Receive = Callable[[Mailbox], WorkerState]

LETTER = b"From: ben@example.org\r\nSubject: Hello\r\n\r\nHello.\r\n"
#: What machines send, and a person who asks for a receipt: each would have an answering machine answer.
PROVOKING = (
    b"Auto-Submitted: auto-replied",
    b"Return-Path: <>",
    b"Precedence: bulk",
    b"Content-Type: multipart/report; report-type=delivery-status; boundary=b",
    b"Disposition-Notification-To: ben@example.org",
    b"Return-Receipt-To: ben@example.org",
)


def commands(imap: ScriptedImap) -> list[bytes]:
    """Return the commands that were heard, without their tags."""
    return [line.partition(b" ")[2] for line in imap.heard]


def test_reading_marks_nothing_and_goes_by_no_mark(
    box: Mailbox, imap: ScriptedImap, receive: Receive
) -> None:
    imap.messages.update({1: LETTER, 2: LETTER.replace(b"Hello", b"Good-bye")})
    receive(box)
    assert Message.objects.count() == 2
    said = b"\r\n".join(commands(imap)).upper()
    assert b"EXAMINE" in said
    assert b"BODY.PEEK[]" in said
    for mark in (b"SELECT", b"STORE", b"BODY[", b"FLAGS", b"SEEN", b"RECENT", b"RFC822 ", b"SINCE"):
        assert mark not in said


def test_an_unchanged_inbox_costs_one_question(box: Mailbox, imap: ScriptedImap, receive: Receive) -> None:
    imap.messages[1] = LETTER
    receive(box)
    imap.heard.clear()
    receive(box)
    after_sign_in = [line for line in commands(imap) if not line.startswith((b"AUTHENTICATE", b"CAPABILITY"))]
    assert [line.split()[0] for line in after_sign_in] == [b"STATUS", b"LOGOUT"]


def test_every_connection_ends_with_a_goodbye(box: Mailbox, imap: ScriptedImap, receive: Receive) -> None:
    imap.messages[1] = LETTER
    for _ in range(3):
        receive(box)
    assert commands(imap).count(b"LOGOUT") == imap.connections == 3


def test_what_the_database_did_not_take_is_not_deleted(
    box: Mailbox, imap: ScriptedImap, receive: Receive, monkeypatch: pytest.MonkeyPatch
) -> None:
    Mailbox.objects.update(kind=MailboxKind.QUEUE, delete_after_processing=True)
    imap.messages[1] = LETTER

    def full(_: rows.Rows) -> None:
        raise OperationalError("database or disk is full")

    monkeypatch.setattr(rows.Rows, "insert", full)
    receive(Mailbox.objects.get())
    assert not LedgerEntry.objects.exists()
    said = b"\r\n".join(commands(imap)).upper()
    assert b"STORE" not in said
    assert b"EXPUNGE" not in said
    assert list(imap.messages) == [1]


def test_nothing_that_is_received_is_answered(
    box: Mailbox, imap: ScriptedImap, smtp: ScriptedSmtp, receive: Receive
) -> None:
    imap.messages.update({n: mark + b"\r\n" + LETTER for n, mark in enumerate(PROVOKING, 1)})
    receive(box)
    assert Message.objects.count() == len(PROVOKING)
    assert not OutgoingMessage.objects.exists()
    assert smtp.connections == 0
