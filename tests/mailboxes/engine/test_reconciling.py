"""Counting an Inbox against its ledger, on a real Dovecot."""

from collections.abc import Callable
from datetime import datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from emailsync.management.selftest.scripted import Peer
from emailsync.management.selftest.scripted_imap import ImapBehaviour, ScriptedImap, refuse
from mailboxes.engine import numbering
from mailboxes.models import Alert, FolderCursor, LedgerEntry, Mailbox, Message, Reconciliation, WorkerState
from mailboxes.services import completeness
from tests.conftest import Account
from tests.servers.dovecot import Dovecot

pytestmark = [pytest.mark.servers, pytest.mark.django_db(transaction=True)]
Receive = Callable[[Mailbox], WorkerState]


def numbered(number: int) -> bytes:
    """Return a message unlike its neighbours."""
    return b"From: ben@example.org\r\nSubject: %d\r\n\r\nHello\r\n" % number


def list_only(numbers: bytes) -> ImapBehaviour:
    """Answer any search with these."""

    def answer(peer: Peer, tag: bytes, rest: bytes) -> None:
        peer.send(b"* SEARCH %s\r\n%s OK done\r\n" % (numbers, tag))

    return answer


def ask() -> None:
    """Ask for a count of every Inbox."""
    completeness.ask(Mailbox.objects.all(), by=None, now=timezone.now())


@pytest.fixture
def read(mailbox: Mailbox, account: Account, dovecot: Dovecot, receive: Receive, now: datetime) -> Mailbox:
    """Give a mailbox of which three messages were stored, one was too old and one removed since."""
    Mailbox.objects.update(process_email_from=now - timedelta(days=1))
    dovecot.deliver(account.user_name, numbered(0), received_at=now - timedelta(days=9))
    for number in (1, 2, 2, 3):
        dovecot.deliver(account.user_name, numbered(number))
    receive(mailbox)
    dovecot.doveadm("expunge", "-u", account.user_name, "mailbox", "INBOX", "subject", "3")
    return mailbox


def plant_gap() -> None:
    """Have the ledger know nothing of the second message, as if the server had given its number late."""
    Message.objects.filter(ledger__uid=2).delete()
    LedgerEntry.objects.filter(uid=2).delete()


def test_a_count_says_what_became_of_every_message_on_the_server(read: Mailbox, receive: Receive) -> None:
    ask()
    receive(read)
    report = Reconciliation.objects.get()
    assert report.outcomes == {"before_start": 1, "stored": 2, "duplicate": 1}
    assert (report.on_server, report.accounted) == (4, 4)
    assert (report.missed, report.waiting, report.gone) == (0, 0, 1)
    assert report.is_balanced


def test_a_gap_is_told_and_filled_by_the_next_run(read: Mailbox, receive: Receive) -> None:
    plant_gap()
    ask()
    receive(read)
    assert Reconciliation.objects.get().missed == 1
    assert Alert.objects.open().get().kind == "ledger_gap"
    receive(read)
    assert LedgerEntry.objects.get(uid=2).outcome == "stored"
    assert Message.objects.filter(subject="1").count() == 1
    assert Reconciliation.objects.get().is_balanced
    assert not Alert.objects.open().exists()


def test_a_gap_that_vanishes_meanwhile_is_accounted_for_as_gone(
    read: Mailbox, account: Account, dovecot: Dovecot, receive: Receive
) -> None:
    plant_gap()
    ask()
    receive(read)
    dovecot.doveadm("expunge", "-u", account.user_name, "mailbox", "INBOX", "uid", "2")
    receive(read)
    assert LedgerEntry.objects.get(uid=2).outcome == "gone"


def test_the_command_ends_with_zero_only_without_a_gap(read: Mailbox) -> None:
    out = StringIO()
    call_command("reconcile", stdout=out)
    assert "4 on the server = 2 stored + 1 duplicate of a stored message" in out.getvalue()
    plant_gap()
    with pytest.raises(CommandError, match="overlooked") as failure:
        call_command("reconcile", environment="contoso", mailbox=[read.address], stdout=out)
    assert failure.value.returncode == 1
    assert "1 OVERLOOKED" in out.getvalue()


def test_the_command_says_how_many_do_not_receive(read: Mailbox) -> None:
    Mailbox.objects.create(environment=read.environment, name="Idle", address="idle@example.org")
    out = StringIO()
    call_command("reconcile", stdout=out)
    assert "Not enabled for incoming email, and not counted: 1." in out.getvalue()
    assert "Every message of 1 mailbox is accounted for." in out.getvalue()


def test_the_command_says_when_nothing_was_counted(read: Mailbox) -> None:
    read.password = "wrong"
    read.save()
    with pytest.raises(CommandError) as failure:
        call_command("reconcile", stdout=StringIO())
    assert failure.value.returncode == 3


def test_an_inbox_is_counted_once_a_day_without_being_asked(read: Mailbox, receive: Receive) -> None:
    receive(read)
    report = Reconciliation.objects.get()
    assert report.counted_on is None
    assert report.due_on
    assert timedelta(hours=23) < report.due_on - timezone.now() <= timedelta(days=1)
    Reconciliation.objects.update(due_on=timezone.now())
    receive(read)
    assert Reconciliation.objects.get().is_balanced


def test_what_came_after_the_run_is_waiting_and_no_gap(
    box: Mailbox, imap: ScriptedImap, receive: Receive
) -> None:
    imap.messages[1] = numbered(1)
    receive(box)
    ask()

    imap.on("UID SEARCH", list_only(b"1 2"))
    receive(box)
    report = Reconciliation.objects.get()
    assert (report.on_server, report.waiting, report.missed) == (2, 1, 0)


def test_a_count_that_fails_stops_nothing_and_says_so(
    box: Mailbox, imap: ScriptedImap, receive: Receive
) -> None:
    imap.messages[1] = numbered(1)
    receive(box)
    ask()
    imap.on("UID SEARCH", refuse(b"not today"))
    state = receive(box)
    assert (state.is_enabled, state.transient_failures) == (True, 0)
    report = Reconciliation.objects.get()
    assert report.trouble
    assert not report.is_balanced


def test_a_server_that_lists_fewer_than_it_counts_is_not_believed(
    box: Mailbox, imap: ScriptedImap, receive: Receive
) -> None:
    imap.messages |= {1: numbered(1), 2: numbered(2)}
    receive(box)
    assert FolderCursor.objects.get().last_uid == 2
    ask()
    imap.on("UID SEARCH", list_only(b"1"))
    receive(box)
    assert "holds 2 messages and lists 1" in Reconciliation.objects.get().trouble


def test_a_message_under_the_number_of_another_is_found_by_its_date(
    box: Mailbox, imap: ScriptedImap, receive: Receive
) -> None:
    imap.messages |= {1: numbered(1), 2: numbered(2)}
    receive(box)
    imap.messages[2], imap.dates[2] = numbered(3), b" 6-Feb-2024 10:20:30 +0100"
    ask()
    receive(box)
    assert Alert.objects.open().get().kind == "folder_renumbered"
    receive(box)
    assert Message.objects.count() == 3


def test_a_message_of_an_impossible_date_is_no_renumbering(
    box: Mailbox, imap: ScriptedImap, receive: Receive
) -> None:
    imap.messages |= {1: numbered(1), 2: numbered(2)}
    imap.dates[2] = b"31-Feb-2024 10:20:30 +0100"
    receive(box)
    ask()
    receive(box)
    assert not Alert.objects.open().exists()
    assert FolderCursor.objects.get().last_uid == 2


class Restless(dict[int, bytes]):
    """Be dates that are others each time that they are asked for."""

    asked = 0

    def get(self, _uid: int, _default: object = None) -> bytes:
        """Return the next date."""
        self.asked += 1
        return b"%2d-Feb-2024 10:20:30 +0100" % (self.asked % 28 + 1)


def test_a_server_whose_dates_never_stay_is_not_read_again_for_ever(
    box: Mailbox, imap: ScriptedImap, receive: Receive
) -> None:
    imap.messages |= {1: numbered(1)}
    receive(box)
    ask()
    imap.dates = Restless()
    for _ in range(12):
        receive(box)
    assert FolderCursor.objects.get().renumberings == numbering.RENUMBERINGS
    assert Reconciliation.objects.filter(due_on__gt=timezone.now()).exists()
    assert Message.objects.count() == 1
