"""What tells messages apart: their bytes, and never the Message-ID that their senders wrote."""

from collections.abc import Callable
from datetime import datetime

import pytest

from emailsync.management.selftest.scripted_imap import ScriptedImap
from mailboxes.choices import AddressStatus, LedgerOutcome
from mailboxes.models import FolderCursor, LedgerEntry, Mailbox, Message, WorkerState
from mailboxes.services import editing

pytestmark = pytest.mark.django_db(transaction=True)
Receive = Callable[[Mailbox], WorkerState]

#: One that no index takes as it is: 998 characters, 2,994 bytes, and nothing in it repeats.
WIDE = "".join(chr(0x4E00 + (number * 7919) % 20000) for number in range(1200))


def letter(text: str, *, message_id: str | None = None) -> bytes:
    """Return a message, whatever its Message-ID."""
    named = "" if message_id is None else f"Message-ID: {message_id}\r\n"
    return f"From: ben@example.org\r\n{named}Subject: Hello\r\n\r\n{text}\r\n".encode()


@pytest.mark.parametrize(
    "message_id",
    [None, "", "<>", "<parcel@example.org>", f"<{'a' * 9000}@example.org>", f"<{WIDE}@example.org>"],
    ids=["none", "empty", "brackets alone", "used again", "over-long", "over-long and not ASCII"],
)
def test_different_messages_of_one_message_id_are_all_stored(
    box: Mailbox, imap: ScriptedImap, receive: Receive, message_id: str | None
) -> None:
    imap.messages.update({n: letter(f"Parcel {n}", message_id=message_id) for n in (1, 2)})
    receive(box)
    imap.messages[3] = letter("Parcel 3", message_id=message_id)
    state = receive(box)
    assert (state.last_error_code, state.is_enabled) == ("", True)
    assert list(LedgerEntry.objects.values_list("outcome", flat=True)) == [LedgerOutcome.STORED] * 3
    assert Message.objects.count() == 3


def test_one_message_in_two_mailboxes_is_stored_in_both(
    box: Mailbox, imap: ScriptedImap, receive: Receive, now: datetime
) -> None:
    second = Mailbox(
        environment=box.environment,
        name="Support",
        address="support@example.org",
        server_profile=box.server_profile,
        allow_credentials=True,
        user_name="support",
        password="a password",
    )
    editing.create(second, by=None)
    Mailbox.objects.update(address_status=AddressStatus.APPROVED, approved_on=now)
    WorkerState.objects.filter(mailbox=second).update(is_enabled=True, due_at=now)
    imap.messages[1] = letter("To both of you", message_id="<both@example.org>")
    for mailbox in Mailbox.objects.all():
        receive(mailbox)
    assert set(Message.objects.values_list("mailbox", flat=True)) == {box.pk, second.pk}


def test_a_lost_cursor_brings_no_old_mail_back(box: Mailbox, imap: ScriptedImap, receive: Receive) -> None:
    imap.messages.update({n: letter(f"Number {n}") for n in (1, 2, 3)})
    receive(box)
    stored = set(Message.objects.values_list("pk", flat=True))
    FolderCursor.objects.all().delete()
    imap.heard.clear()
    state = receive(box)
    assert (state.last_items, set(Message.objects.values_list("pk", flat=True))) == (0, stored)
    assert not [line for line in imap.heard if b"BODY.PEEK[]" in line]
