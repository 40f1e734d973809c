"""What happens to a message after it was sent: reports, a copy in the Sent folder, proof about doubt."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.db import DataError
from django.utils import timezone

from emailsync.mail.composing import Draft
from emailsync.mail.parsing import Address
from emailsync.management.selftest.scripted import Peer
from emailsync.management.selftest.scripted_imap import ScriptedImap, ok, refuse, say_and_hang_up
from emailsync.management.selftest.scripted_smtp import ScriptedSmtp
from mailboxes.choices import OutgoingStatus, SentCopy
from mailboxes.engine import bouncing, filing, recording
from mailboxes.models import Alert, Mailbox, Message, OutgoingMessage, WorkerState
from mailboxes.services import outgoing
from profiles.choices import AppendToSent
from profiles.models import ServerProfile

pytestmark = pytest.mark.django_db(transaction=True)
Work = Callable[[Mailbox], WorkerState]

BOUNCES = Path(__file__).parents[2] / "corpus" / "bounces"
BEN = "ben@example.org"


class SentFolder:
    """Be a folder for sent mail on the scripted server, which searches and takes messages."""

    def __init__(self, imap: ScriptedImap) -> None:
        self.appended: list[bytes] = []
        self.holds = False
        self.searched = 0
        imap.on("LIST", self._list)
        imap.on("UID SEARCH", self._search)
        imap.on("APPEND", self._append)
        self._usual = imap._do_uid_search

    def _list(self, peer: Peer, tag: bytes, rest: bytes) -> None:
        peer.send(b'* LIST (\\HasNoChildren \\Sent) "/" "Sent"\r\n' + tag + b" OK done\r\n")

    def _search(self, peer: Peer, tag: bytes, rest: bytes) -> None:
        if b"HEADER" not in rest:
            self._usual(peer, tag, rest)
            return
        self.searched += 1
        found = b" 1" if self.holds or self.appended else b""
        peer.send(b"* SEARCH" + found + b"\r\n" + tag + b" OK done\r\n")

    def _append(self, peer: Peer, tag: bytes, rest: bytes) -> None:
        size = int(rest.rpartition(b"{")[2].rstrip(b"}"))
        peer.send(b"+ go on\r\n")
        self.appended.append(peer.exactly(size))
        peer.line()
        peer.send(tag + b" OK done\r\n")


@pytest.fixture
def sent_folder(imap: ScriptedImap) -> SentFolder:
    """Give the folder for sent mail."""
    return SentFolder(imap)


@pytest.fixture
def message(box: Mailbox, now: datetime) -> OutgoingMessage:
    """Give a message that waits to be sent."""
    own = Address(box.name, box.address)
    draft = Draft(sender=own, to=(Address("", BEN),), subject="Offer", text="Good day")
    return outgoing.queue(box, draft, by=None, now=now)


def kinds() -> set[str]:
    """Return the kinds of the open alerts about email."""
    found = Alert.objects.open().exclude(kind__endswith="_together").values_list("kind", flat=True)
    return {kind for kind in found if kind.startswith(("email_", "sent_copy"))}


def deliver(imap: ScriptedImap, content: bytes) -> None:
    """Put a message into the Inbox."""
    imap.messages[max(imap.messages, default=0) + 1] = content


def report(name: str, message: OutgoingMessage) -> bytes:
    """Return a report of the corpus about a message."""
    return (
        (BOUNCES / f"{name}.eml")
        .read_bytes()
        .replace(b"<4f1c0ffee@example.com>", message.message_id.encode())
    )


def settled(message: OutgoingMessage) -> OutgoingMessage:
    """Read a message anew, sent long enough ago for a server to have kept a copy by itself."""
    OutgoingMessage.objects.filter(sent_at__isnull=False).update(
        sent_at=timezone.now() - timedelta(minutes=1)
    )
    message.refresh_from_db()
    return message


@pytest.mark.parametrize("name", ["postfix", "exim", "qmail", "sendmail", "yahoo", "gmail", "exchange"])
def test_what_comes_back_is_noted_and_told(
    box: Mailbox, imap: ScriptedImap, send: Work, receive: Work, message: OutgoingMessage, name: str
) -> None:
    send(box)
    deliver(imap, report(name, message))
    receive(box)
    message.refresh_from_db()
    assert message.status == OutgoingStatus.SENT
    assert message.reports[BEN]["action"] == "failed"
    assert "email_bounced" in kinds()
    received = Message.objects.get()
    assert received.conversation == message.conversation
    assert received.automatic in {"report", "generated", "reply"}


def test_a_report_that_the_database_refuses_holds_up_nothing(
    box: Mailbox,
    imap: ScriptedImap,
    send: Work,
    receive: Work,
    message: OutgoingMessage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    send(box)
    deliver(imap, report("exim", message))

    def refuse(*_: object, **__: object) -> None:
        raise DataError

    monkeypatch.setattr(bouncing, "_note", refuse)
    assert receive(box).transient_failures == 0
    assert Message.objects.get().is_quarantined


def test_a_delay_is_told_until_it_ends(
    box: Mailbox, imap: ScriptedImap, send: Work, receive: Work, message: OutgoingMessage
) -> None:
    send(box)
    deliver(imap, report("postfix-delayed", message))
    receive(box)
    assert kinds() == {"email_delayed"}
    deliver(imap, report("delivered", message))
    receive(box)
    message.refresh_from_db()
    assert message.reports[BEN]["action"] == "delivered"
    assert kinds() == set()
    deliver(imap, report("exim-delayed", message))
    receive(box)
    message.refresh_from_db()
    assert message.reports[BEN]["action"] == "delivered"
    assert kinds() == set()


@pytest.mark.parametrize(
    ("before", "after"),
    [(b"ben@example.org", b"eve@example.org"), (b"Message-ID: <", b"Message-ID: <x")],
)
def test_a_report_that_does_not_name_message_and_recipient_is_not_believed(
    box: Mailbox,
    imap: ScriptedImap,
    send: Work,
    receive: Work,
    message: OutgoingMessage,
    before: bytes,
    after: bytes,
) -> None:
    send(box)
    deliver(imap, report("postfix", message).replace(before, after))
    receive(box)
    message.refresh_from_db()
    assert message.reports == {}
    assert kinds() == set()


def test_what_was_never_sent_cannot_come_back(
    box: Mailbox, imap: ScriptedImap, receive: Work, message: OutgoingMessage
) -> None:
    deliver(imap, report("postfix", message))
    receive(box)
    message.refresh_from_db()
    assert (message.status, message.reports) == (OutgoingStatus.PENDING_SEND, {})


def test_a_report_counts_although_the_mailbox_does_not_keep_it(
    box: Mailbox, imap: ScriptedImap, send: Work, receive: Work, message: OutgoingMessage
) -> None:
    send(box)
    Mailbox.objects.update(track_incoming="from_contacts")
    deliver(imap, report("postfix", message))
    receive(box)
    message.refresh_from_db()
    assert not Message.objects.exists()
    assert message.reports[BEN]["status"] == "5.1.1"


def test_a_copy_goes_to_the_sent_folder_once(
    box: Mailbox, send: Work, receive: Work, message: OutgoingMessage, sent_folder: SentFolder
) -> None:
    send(box)
    assert settled(message).sent_copy == SentCopy.WANTED
    receive(box)
    receive(box)
    message.refresh_from_db()
    assert message.sent_copy == SentCopy.APPENDED
    assert sent_folder.appended == [bytes(message.content)]


def test_a_server_that_keeps_copies_gets_none(
    box: Mailbox, send: Work, receive: Work, message: OutgoingMessage, sent_folder: SentFolder
) -> None:
    sent_folder.holds = True
    send(box)
    receive(box)
    assert settled(message).sent_copy == SentCopy.FOUND
    assert sent_folder.appended == []


def test_gmail_is_known_to_keep_copies(
    box: Mailbox,
    imap: ScriptedImap,
    send: Work,
    receive: Work,
    message: OutgoingMessage,
    sent_folder: SentFolder,
) -> None:
    imap.capabilities += b" X-GM-EXT-1"
    send(box)
    receive(box)
    assert settled(message).sent_copy == SentCopy.FOUND
    assert (sent_folder.appended, sent_folder.searched) == ([], 0)


def test_a_server_gets_time_to_keep_a_copy_by_itself(
    box: Mailbox, send: Work, receive: Work, message: OutgoingMessage, sent_folder: SentFolder
) -> None:
    send(box)
    receive(box)
    message.refresh_from_db()
    assert (message.sent_copy, sent_folder.appended) == (SentCopy.WANTED, [])


def test_a_time_of_sending_that_is_still_to_come_holds_up_no_copy(
    box: Mailbox, send: Work, receive: Work, message: OutgoingMessage, sent_folder: SentFolder
) -> None:
    send(box)
    OutgoingMessage.objects.update(sent_at=timezone.now() + timedelta(hours=1))
    receive(box)
    message.refresh_from_db()
    assert message.sent_copy == SentCopy.APPENDED


def test_always_does_not_wait(
    box: Mailbox, send: Work, receive: Work, message: OutgoingMessage, sent_folder: SentFolder
) -> None:
    ServerProfile.objects.update(append_to_sent=AppendToSent.ALWAYS)
    send(box)
    receive(box)
    assert settled(message).sent_copy == SentCopy.APPENDED


def test_never_makes_no_copy(
    box: Mailbox, send: Work, receive: Work, message: OutgoingMessage, sent_folder: SentFolder
) -> None:
    ServerProfile.objects.update(append_to_sent=AppendToSent.NEVER)
    box.refresh_from_db()
    send(box)
    receive(box)
    assert settled(message).sent_copy == ""
    assert sent_folder.searched == 0


def test_a_mailbox_without_a_sent_folder_says_so(
    box: Mailbox, send: Work, receive: Work, message: OutgoingMessage, imap: ScriptedImap
) -> None:
    imap.on("LIST", ok)
    send(box)
    settled(message)
    receive(box)
    assert settled(message).sent_copy == SentCopy.NO_FOLDER


def test_a_copy_whose_end_nobody_saw_is_not_added_again(
    box: Mailbox,
    imap: ScriptedImap,
    send: Work,
    receive: Work,
    message: OutgoingMessage,
    sent_folder: SentFolder,
) -> None:
    def take_and_hang_up(peer: Peer, tag: bytes, rest: bytes) -> None:
        sent_folder._append(peer, tag[:0], rest)
        raise ConnectionResetError

    imap.on("APPEND", take_and_hang_up)
    send(box)
    settled(message)
    state = receive(box)
    assert (state.transient_failures, state.last_error_code) == (0, "")
    assert settled(message).sent_copy == SentCopy.WANTED
    imap.on("APPEND", sent_folder._append)
    recording.alert("sent_copy_failed", message, box, now=timezone.now())
    receive(box)
    assert settled(message).sent_copy == SentCopy.APPENDED
    assert len(sent_folder.appended) == 1
    # That it is there proves that the folder takes copies.
    assert kinds() == set()


def test_a_folder_that_takes_no_copies_is_told_and_holds_up_nothing(
    box: Mailbox,
    imap: ScriptedImap,
    send: Work,
    receive: Work,
    message: OutgoingMessage,
    sent_folder: SentFolder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(filing, "ATTEMPTS", 2)
    imap.on("APPEND", refuse(b"[OVERQUOTA] The mailbox is full"))
    send(box)
    settled(message)
    assert receive(box).transient_failures == 0
    assert kinds() == set()
    assert receive(box).transient_failures == 0
    assert settled(message).sent_copy == SentCopy.FAILED
    assert kinds() == {"sent_copy_failed"}


def test_the_next_copy_that_the_folder_takes_resolves_the_alert(
    box: Mailbox,
    send: Work,
    receive: Work,
    message: OutgoingMessage,
    sent_folder: SentFolder,
    now: datetime,
) -> None:
    recording.alert("sent_copy_failed", message, box, now=now)
    send(box)
    settled(message)
    receive(box)
    assert settled(message).sent_copy == SentCopy.APPENDED
    assert kinds() == set()


@pytest.fixture
def uncertain(
    box: Mailbox, smtp: ScriptedSmtp, imap: ScriptedImap, send: Work, message: OutgoingMessage
) -> OutgoingMessage:
    """Give a message of which nobody knows whether it was sent; its mailbox is enabled for receiving."""
    smtp.replies["body"] = None
    send(box)
    message.refresh_from_db()
    assert message.status == OutgoingStatus.UNCERTAIN
    return message


def test_people_are_asked_after_the_sent_folder(
    box: Mailbox, receive: Work, uncertain: OutgoingMessage, sent_folder: SentFolder
) -> None:
    assert kinds() == set()
    receive(box)
    uncertain.refresh_from_db()
    assert uncertain.status == OutgoingStatus.UNCERTAIN
    assert kinds() == {"email_uncertain"}
    assert sent_folder.searched == 1


def test_a_copy_in_the_sent_folder_proves_that_it_was_sent(
    box: Mailbox, receive: Work, uncertain: OutgoingMessage, sent_folder: SentFolder
) -> None:
    sent_folder.holds = True
    receive(box)
    uncertain.refresh_from_db()
    assert uncertain.status == OutgoingStatus.SENT
    assert (uncertain.accepted, uncertain.recipients) == ([BEN], [])
    assert kinds() == set()


def test_a_proof_that_comes_later_takes_the_question_back(
    box: Mailbox, receive: Work, uncertain: OutgoingMessage, sent_folder: SentFolder
) -> None:
    receive(box)
    sent_folder.holds = True
    receive(box)
    uncertain.refresh_from_db()
    assert uncertain.status == OutgoingStatus.SENT
    assert kinds() == set()


def test_a_report_proves_that_it_was_sent(
    box: Mailbox, imap: ScriptedImap, receive: Work, uncertain: OutgoingMessage
) -> None:
    deliver(imap, report("exim", uncertain))
    receive(box)
    uncertain.refresh_from_db()
    assert uncertain.status == OutgoingStatus.SENT
    assert uncertain.reports[BEN]["action"] == "failed"
    assert kinds() == {"email_bounced"}


def test_an_answer_proves_that_it_was_sent(
    box: Mailbox, imap: ScriptedImap, receive: Work, uncertain: OutgoingMessage
) -> None:
    deliver(imap, b"From: ben@example.org\r\nIn-Reply-To: %s\r\n\r\nYes\r\n" % uncertain.message_id.encode())
    receive(box)
    uncertain.refresh_from_db()
    assert uncertain.status == OutgoingStatus.SENT


def test_people_are_asked_again_after_another_attempt(
    box: Mailbox, send: Work, receive: Work, uncertain: OutgoingMessage, sent_folder: SentFolder
) -> None:
    receive(box)
    outgoing.retry(uncertain, by=None, now=timezone.now())
    assert kinds() == set()
    send(box)
    receive(box)
    uncertain.refresh_from_db()
    assert uncertain.status == OutgoingStatus.UNCERTAIN
    assert kinds() == {"email_uncertain"}


@pytest.fixture
def half_sent(box: Mailbox, smtp: ScriptedSmtp, send: Work, now: datetime) -> OutgoingMessage:
    """Give a message that one recipient took, and of which nobody knows whether the other one did."""
    to = (Address("", BEN), Address("", "cara@example.org"))
    own = Address(box.name, box.address)
    message = outgoing.queue(box, Draft(sender=own, to=to, subject="Offer", text="x"), by=None, now=now)
    smtp.replies["RCPT cara@example.org"] = b"452 4.2.2 full"
    send(box)
    smtp.replies.clear()
    smtp.replies["body"] = None
    OutgoingMessage.objects.update(next_attempt_at=now)
    send(box)
    message.refresh_from_db()
    assert (message.status, message.accepted) == (OutgoingStatus.UNCERTAIN, [BEN])
    return message


def test_a_copy_of_an_earlier_attempt_proves_nothing(
    box: Mailbox, receive: Work, half_sent: OutgoingMessage, sent_folder: SentFolder
) -> None:
    sent_folder.holds = True
    receive(box)
    half_sent.refresh_from_db()
    assert half_sent.status == OutgoingStatus.UNCERTAIN
    assert "email_uncertain" in kinds()


def test_a_report_about_an_earlier_attempt_proves_nothing(
    box: Mailbox, imap: ScriptedImap, receive: Work, half_sent: OutgoingMessage
) -> None:
    deliver(imap, report("exim", half_sent))
    receive(box)
    half_sent.refresh_from_db()
    assert half_sent.status == OutgoingStatus.UNCERTAIN
    assert half_sent.reports[BEN]["action"] == "failed"


def test_people_are_asked_at_once_when_nothing_is_received(
    box: Mailbox, smtp: ScriptedSmtp, send: Work, message: OutgoingMessage
) -> None:
    WorkerState.objects.filter(direction="incoming").update(is_enabled=False)
    smtp.replies["body"] = None
    send(box)
    assert kinds() == {"email_uncertain"}


def test_people_are_asked_when_receiving_fails(
    box: Mailbox, imap: ScriptedImap, receive: Work, uncertain: OutgoingMessage
) -> None:
    imap.on("LOGIN", say_and_hang_up(b""))
    imap.on("AUTHENTICATE", say_and_hang_up(b""))
    receive(box)
    assert kinds() == {"email_uncertain"}


def test_what_is_sent_says_how_loops_are_seen(
    box: Mailbox, smtp: ScriptedSmtp, send: Work, message: OutgoingMessage
) -> None:
    send(box)
    assert b"X-Loop: ana@example.org\r\n" in smtp.bodies[0]
