"""The events of docs/alerts.md: each is told with a way out, and is over by itself once it is mended."""

import socket
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from functools import partial
from typing import NamedTuple

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from emailsync.mail.composing import Draft
from emailsync.mail.parsing import Address
from emailsync.mail.probing import Arrival
from emailsync.management.selftest.scripted_imap import ScriptedImap, never_answer, refuse
from emailsync.management.selftest.scripted_smtp import ScriptedSmtp
from mailboxes.alerts.kinds import READY
from mailboxes.alerts.presenting import Presented, Presenter
from mailboxes.choices import AlertLevel, MailboxKind
from mailboxes.engine import diagnosing
from mailboxes.models import Alert, Diagnosis, Mailbox, SyncClaim, WorkerState
from mailboxes.services import approval, diagnosis, editing, outgoing, wall
from profiles.choices import IncomingMethod, OutgoingMethod
from profiles.models import Environment, ServerProfile

pytestmark = pytest.mark.django_db(transaction=True)
Run = Callable[[Mailbox], WorkerState]


class Place(NamedTuple):
    """A mailbox and its two servers."""

    box: Mailbox
    imap: ScriptedImap
    smtp: ScriptedSmtp


Change = Callable[[Place], object]


class Event(NamedTuple):
    """What goes wrong, what is told, and what mends it."""

    break_it: Change
    mend_it: Change
    kind: str
    code: str


@pytest.fixture
def place(box: Mailbox, imap: ScriptedImap, smtp: ScriptedSmtp, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Give a mailbox whose test message arrives at once."""
    smtp.after_body = lambda: imap.messages.update({len(imap.messages) + 1: smtp.bodies[-1]})
    monkeypatch.setattr(diagnosing, "Arrival", partial(Arrival, patience=0.1))
    return Place(box, imap, smtp)


def run_test(place: Place) -> None:
    """Run Test & Enable to its end."""
    chosen = Mailbox.objects.filter(pk=place.box.pk)
    job = diagnosis.start(chosen, environment=place.box.environment, by=None, now=timezone.now())
    diagnosing.run(Diagnosis.objects.get(job=job).pk)


def trouble() -> list[str]:
    """Return the kinds of the open alerts that are more than news."""
    found = Alert.objects.open().exclude(level=AlertLevel.INFORMATION)
    return sorted(found.exclude(kind__endswith="_together").values_list("kind", flat=True))


def says(kind: str) -> Presented:
    """Return the words of the open alert of a kind."""
    return Presenter().present(Alert.objects.open().get(kind=kind))


def imap_refuses(command: str, text: bytes) -> tuple[Change, Change]:
    """Have a command refused over IMAP, and taken again."""
    return (lambda place: place.imap.on(command, refuse(text))), (lambda place: place.imap.forget(command))


def smtp_says(stage: str, line: bytes) -> tuple[Change, Change]:
    """Have SMTP answer so at a stage, and as usual again."""
    return (lambda place: place.smtp.replies.update({stage: line})), (
        lambda place: place.smtp.replies.clear()
    )


def profile_has(**values: object) -> tuple[Change, Change]:
    """Change the server profile, and change it back."""
    before: dict[str, object] = {}

    def change(_place: Place) -> None:
        before.update(ServerProfile.objects.values(*values).get())
        ServerProfile.objects.update(**values)

    return change, lambda _place: ServerProfile.objects.update(**before)


def is_silent(place: Place) -> None:
    """Answer no more, to somebody with little patience."""
    ServerProfile.objects.update(timeout_ms=1000)
    place.imap.on("STATUS", never_answer)


def is_taken_over(place: Place) -> None:
    """Have another environment hold the address."""
    other = Environment.objects.create(slug="fabrikam", name="Fabrikam")
    theirs = Mailbox.objects.create(environment=other, name="Theirs", address=place.box.address)
    SyncClaim.objects.create(
        address=place.box.address, environment=other, mailbox=theirs, claimed_on=timezone.now()
    )


IN_A_TEST = {
    "bad credentials": Event(
        *imap_refuses("AUTHENTICATE", b"[AUTHENTICATIONFAILED] Wrong"), "incoming_untested", "login_refused"
    ),
    "outgoing authentication failed": Event(
        *smtp_says("AUTH", b"535 5.7.8 Wrong"), "outgoing_untested", "login_refused"
    ),
    "outgoing certificate failed": Event(
        *profile_has(ca_certificates=""), "outgoing_untested", "certificate_unknown_authority"
    ),
    "outgoing port of another encryption": Event(
        *profile_has(outgoing_security="starttls", timeout_ms=1000), "outgoing_untested", "tls_expected"
    ),
    "TLS could not be established": Event(
        lambda place: setattr(place.imap, "implicit_tls", False),
        lambda place: setattr(place.imap, "implicit_tls", True),
        "incoming_untested",
        "plain_text_answered",
    ),
    "no such mailbox at the server": Event(
        *imap_refuses("EXAMINE", b"[NONEXISTENT] Unknown Mailbox"), "incoming_untested", "folder_missing"
    ),
    "account locked, or without a license": Event(
        *imap_refuses("AUTHENTICATE", b"Your account has been locked"), "incoming_untested", "account_locked"
    ),
    "IMAP switched off for the account": Event(
        *imap_refuses("AUTHENTICATE", b"[ALERT] Your account is not enabled for IMAP use. (Failure)"),
        "incoming_untested",
        "access_disabled",
    ),
    "incoming test interrupted": Event(
        *imap_refuses("EXAMINE", b"[UNAVAILABLE] Later"), "incoming_test_interrupted", "server_busy"
    ),
    "outgoing test interrupted": Event(
        *smtp_says("MAIL", b"451 4.3.0 Later"), "outgoing_test_interrupted", "server_busy"
    ),
}


@pytest.mark.parametrize("event", IN_A_TEST.values(), ids=IN_A_TEST.keys())
def test_what_a_test_meets_is_told_and_over_with_the_next_one(place: Place, event: Event) -> None:
    event.break_it(place)
    run_test(place)
    words = says(event.kind)
    assert Alert.objects.open().get(kind=event.kind).error_code == event.code
    assert "Ana Bowman" in words.title
    assert "test" in words.text.split(". ", 1)[1]
    assert words.remedy.endswith(".")
    event.mend_it(place)
    run_test(place)
    assert trouble() == []


def test_the_approval_has_the_test_repeated_that_waited_for_it(place: Place) -> None:
    WorkerState.objects.update(is_enabled=False, due_at=None)
    approval.withdraw(Mailbox.objects.all(), by=None, now=timezone.now())
    run_test(place)
    assert not WorkerState.objects.exclude(due_at=None).exists()
    now = timezone.now()
    approval.approve(Mailbox.objects.all(), by=None, now=now)
    assert set(WorkerState.objects.values_list("due_at", flat=True)) == {now}


def test_the_approval_of_what_nobody_tested_starts_nothing(place: Place) -> None:
    WorkerState.objects.update(is_enabled=False, due_at=None)
    approval.withdraw(Mailbox.objects.all(), by=None, now=timezone.now())
    approval.approve(Mailbox.objects.all(), by=None, now=timezone.now())
    assert not WorkerState.objects.exclude(due_at=None).exists()


HOLDS_UP_ALL = {
    "mailbox inactive": Event(
        lambda _place: Mailbox.objects.update(is_active=False),
        lambda _place: Mailbox.objects.update(is_active=True),
        "mailbox_parked",
        "mailbox_inactive",
    ),
    "no server profile": Event(
        lambda _place: Mailbox.objects.update(server_profile=None),
        lambda place: Mailbox.objects.update(server_profile=place.box.server_profile),
        "mailbox_parked",
        "profile_missing",
    ),
    "server profile inactive": Event(*profile_has(is_active=False), "mailbox_parked", "profile_inactive"),
    "another environment synchronizes the address": Event(
        is_taken_over,
        lambda _place: SyncClaim.objects.all().delete(),
        "mailbox_parked",
        "claimed_elsewhere",
    ),
}


@pytest.mark.parametrize("event", HOLDS_UP_ALL.values(), ids=HOLDS_UP_ALL.keys())
def test_what_holds_up_both_directions_is_one_alert(place: Place, event: Event) -> None:
    event.break_it(place)
    run_test(place)
    assert trouble() == [event.kind]
    assert Alert.objects.open().get(kind=event.kind).error_code == event.code
    words = says(event.kind)
    assert words.title == "Email for Ana Bowman waits"
    assert "Email waits until this is mended" in words.text
    event.mend_it(place)
    run_test(place)
    assert trouble() == []


def test_a_test_that_succeeds_is_told_to_the_owner(place: Place, owner: User) -> None:
    run_test(place)
    assert [alert.kind for alert in wall.of_person(owner).open()] == ["configuration_succeeded"]


@pytest.mark.parametrize("event", [IN_A_TEST["bad credentials"], HOLDS_UP_ALL["server profile inactive"]])
def test_a_mailbox_that_is_stopped_is_told_to_be_ready_no_more(place: Place, event: Event) -> None:
    run_test(place)
    event.break_it(place)
    run_test(place)
    assert not Alert.objects.open().filter(kind=READY).exists()


def test_a_mailbox_whose_test_was_interrupted_is_still_ready(place: Place) -> None:
    run_test(place)
    IN_A_TEST["incoming test interrupted"].break_it(place)
    run_test(place)
    assert Alert.objects.open().filter(kind=READY).exists()


def test_a_mailbox_whose_connection_is_changed_is_told_to_be_ready_no_more(place: Place) -> None:
    run_test(place)
    place.box.user_name = "somebody.else"
    editing.update(place.box, by=None)
    assert not Alert.objects.open().filter(kind=READY).exists()


def test_a_test_message_that_is_not_seen_arriving_is_a_warning_until_one_is(place: Place) -> None:
    arrives, place.smtp.after_body = place.smtp.after_body, lambda: None
    run_test(place)
    assert trouble() == ["outgoing_not_seen_arriving"]
    assert says("outgoing_not_seen_arriving").remedy.startswith("Look for the test message")
    place.smtp.after_body = arrives
    run_test(place)
    assert trouble() == []


def test_an_address_that_is_not_approved_is_told_once_for_both_directions(place: Place) -> None:
    approval.reject(Mailbox.objects.all(), by=None, now=timezone.now())
    run_test(place)
    assert trouble() == ["not_approved"]
    assert says("not_approved").remedy.startswith("Approve the address")
    approval.approve(Mailbox.objects.all(), by=None, now=timezone.now())
    assert trouble() == []


WHILE_RECEIVING = {
    "connecting timed out": Event(
        is_silent,
        lambda place: place.imap.forget("STATUS"),
        "incoming_retrying",
        "timed_out",
    ),
    "store unavailable": Event(
        *imap_refuses("STATUS", b"[UNAVAILABLE] Later"), "incoming_retrying", "server_busy"
    ),
    "bad credentials": Event(
        *imap_refuses("AUTHENTICATE", b"[AUTHENTICATIONFAILED] Wrong"), "incoming_stopped", "login_refused"
    ),
}


@pytest.mark.parametrize("event", WHILE_RECEIVING.values(), ids=WHILE_RECEIVING.keys())
def test_what_receiving_meets_is_told_and_over_with_the_next_run(
    place: Place, event: Event, receive: Run
) -> None:
    event.break_it(place)
    receive(place.box)
    assert Alert.objects.open().get(kind=event.kind).error_code == event.code
    assert says(event.kind).remedy.endswith(".")
    event.mend_it(place)
    receive(place.box)
    assert trouble() == []


def unused_port() -> int:
    """Return a port on which nobody listens."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return int(listener.getsockname()[1])


WHILE_SENDING = {
    "connection refused": Event(
        *profile_has(outgoing_port=unused_port()), "outgoing_retrying", "connection_refused"
    ),
    "sending quota exceeded": Event(
        *smtp_says("MAIL", b"550 5.4.5 Daily user sending quota exceeded."),
        "outgoing_retrying",
        "rate_limited",
    ),
    "sender refused": Event(
        *smtp_says("MAIL", b"550 5.7.60 SMTP; Client does not have permissions to send as this sender"),
        "outgoing_stopped",
        "sender_refused",
    ),
}


@pytest.mark.parametrize("event", WHILE_SENDING.values(), ids=WHILE_SENDING.keys())
def test_what_sending_meets_is_told_and_over_with_the_next_run(
    place: Place, event: Event, send: Run, now: datetime
) -> None:
    ben, ana = Address("", "ben@example.org"), Address("Ana", place.box.address)
    outgoing.queue(place.box, Draft(sender=ana, to=(ben,), subject="Hello", text="Hi."), by=None, now=now)
    event.break_it(place)
    send(place.box)
    assert Alert.objects.open().get(kind=event.kind).error_code == event.code
    assert says(event.kind).remedy.endswith(".")
    event.mend_it(place)
    send(place.box)
    assert trouble() == []


PLAIN = b"From: Ben <ben@example.org>\r\nSubject: Not attached\r\n\r\nHello.\r\n"
ATTACHED = (
    b"From: Ben <ben@example.org>\r\nSubject: Fwd\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: message/rfc822\r\n\r\n"
    b"From: cora@example.org\r\nTo: ben@example.org\r\nSubject: Inner\r\n\r\nHello Ben.\r\n"
)


def test_forwarded_mail_that_finds_its_mailbox_resolves_what_was_told_of_its_sender(
    place: Place, receive: Run, now: datetime
) -> None:
    Mailbox.objects.update(kind=MailboxKind.FORWARD, outgoing=OutgoingMethod.NONE)
    place.imap.messages.update({1: PLAIN, 2: ATTACHED})
    receive(place.box)
    assert trouble() == ["forward_for_nobody", "forward_without_attachment"]
    ben = Mailbox(
        environment=place.box.environment,
        name="Ben",
        address="ben@example.org",
        incoming=IncomingMethod.FORWARD_MAILBOX,
    )
    editing.create(ben, by=None)
    approval.approve(Mailbox.objects.filter(pk=ben.pk), by=None, now=now)
    place.imap.messages[3] = ATTACHED.replace(b"Hello Ben.", b"Hello again.")
    receive(place.box)
    assert trouble() == []
