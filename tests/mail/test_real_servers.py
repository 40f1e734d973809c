"""The library against Dovecot and Postfix."""

import ssl
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from emailsync.mail.auth import Password
from emailsync.mail.certificates import fingerprints, shown
from emailsync.mail.composing import Draft, compose
from emailsync.mail.endpoint import Endpoint, Protocol, Security
from emailsync.mail.errors import LoginRefused, RecipientsRefused
from emailsync.mail.headers import Address
from emailsync.mail.imap import open_imap
from emailsync.mail.incoming import PIECE
from emailsync.mail.pop3 import open_pop3
from emailsync.mail.probing import Arrival, probe_incoming, probe_outgoing
from emailsync.mail.smtp import open_smtp
from emailsync.mail.trial import Outcome
from emailsync.mail.wire import Wire
from emailsync.management.selftest.certificates import Authority
from tests.conftest import Account
from tests.servers.dovecot import Dovecot
from tests.servers.postfix import Postfix

pytestmark = pytest.mark.servers
NOW = datetime(2024, 2, 5, 9, 20, 30, tzinfo=UTC)


def nothing() -> None:
    """Let a body go."""


def imap(server: Dovecot, security: Security = Security.TLS) -> Endpoint:
    """Return where Dovecot listens."""
    port = server.ports.imaps if security is Security.TLS else server.ports.imap
    return Endpoint(Protocol.IMAP, server.host, port, security)


def pop3(server: Dovecot, security: Security = Security.TLS) -> Endpoint:
    """Return where Dovecot listens for POP3."""
    port = server.ports.pop3s if security is Security.TLS else server.ports.pop3
    return Endpoint(Protocol.POP3, server.host, port, security)


def smtp(server: Postfix, security: Security = Security.STARTTLS) -> Endpoint:
    """Return where Postfix listens."""
    port = server.ports.smtps if security is Security.TLS else server.ports.submission
    return Endpoint(Protocol.SMTP, server.host, port, security)


def password(account: Account) -> Password:
    """Return somebody's credential."""
    return Password(account.user_name, account.password)


@pytest.mark.parametrize("security", list(Security))
def test_mail_is_fetched_from_dovecot(
    dovecot: Dovecot, account: Account, wire: Wire, security: Security
) -> None:
    mails = [b"Subject: %d\r\n\r\n%s\r\n" % (number, b"x" * number * 50) for number in range(1, 301)]
    for mail in mails:
        dovecot.deliver(account.user_name, mail, received_at=NOW)
    with open_imap(imap(dovecot, security), password(account), wire) as client:
        status = client.open_folder()
        described = client.describe(client.ids_after(0))
        fetched = list(client.fetch(described))
        assert replace(client.status(), modseq=status.modseq) == status
        assert client.status().modseq > 0
        headers = [message.body.content for message in client.fetch_headers(described)]
    assert headers == [mail.partition(b"x")[0] for mail in mails]
    assert [message.body.content for message in fetched] == mails
    assert {message.received_at for message in fetched} == {NOW}
    assert (status.messages, status.uidnext) == (300, 301)


def test_a_large_message_comes_whole_from_dovecot(dovecot: Dovecot, account: Account, wire: Wire) -> None:
    mail = b"Subject: big\r\n\r\n" + b"0123456789abcdef\r\n" * (3 * PIECE // 18)
    dovecot.deliver(account.user_name, mail)
    with open_imap(imap(dovecot), password(account), wire) as client:
        client.open_folder()
        (message,) = client.fetch(client.describe([1]))
        with message.body.open() as stream:
            assert stream.read() == mail


def test_mail_is_moved_and_deleted_in_dovecot(dovecot: Dovecot, account: Account, wire: Wire) -> None:
    dovecot.deliver(account.user_name, b"Message-ID: <moved@x>\r\n\r\none\r\n")
    dovecot.deliver(account.user_name, b"Message-ID: <deleted@x>\r\n\r\ntwo\r\n")
    with open_imap(imap(dovecot), password(account), wire) as client:
        client.open_folder(read_only=False)
        client.move([1], "Archive")
        client.delete([2])
        assert list(client.ids_after(0)) == []
        assert client.find_by_message_id("<moved@x>", folders=["INBOX", "Gone", "Archive"]) == "Archive"
        assert client.find_by_message_id("<deleted@x>", folders=["INBOX", "Archive"]) is None
        assert client.sent_folder() == "Sent"


def test_the_master_opens_another_mailbox(dovecot: Dovecot, account: Account, wire: Wire) -> None:
    dovecot.deliver(account.user_name, b"Subject: theirs\r\n\r\n\r\n")
    master = Password(dovecot.master_name, dovecot.master_password, account.user_name)
    with open_imap(imap(dovecot), master, wire) as client:
        assert client.open_folder().messages == 1


@pytest.mark.parametrize("security", list(Security))
def test_mail_is_fetched_over_pop3_and_stays(
    dovecot: Dovecot, account: Account, wire: Wire, security: Security
) -> None:
    mails = [b"Subject: %d\r\n\r\n.\r\n..%s\r\n" % (number, b"x" * number * 50) for number in range(1, 201)]
    for mail in mails:
        dovecot.deliver(account.user_name, mail)
    with open_pop3(pop3(dovecot, security), password(account), wire) as client:
        fetched = list(client.fetch(client.describe(client.ids_after(0), dates=False)))
    with open_pop3(pop3(dovecot, security), password(account), wire) as client:
        names = list(client.uidls.values())
    assert [message.body.content for message in fetched] == mails
    assert [message.key for message in fetched] == names
    assert len(set(names)) == 200


def test_the_master_opens_another_mailbox_over_pop3(dovecot: Dovecot, account: Account, wire: Wire) -> None:
    dovecot.deliver(account.user_name, b"Subject: theirs\r\n\r\n\r\n")
    master = Password(dovecot.master_name, dovecot.master_password, account.user_name)
    with open_pop3(pop3(dovecot), master, wire) as client:
        assert client.status().messages == 1


def test_dovecot_passes_every_step_over_pop3(dovecot: Dovecot, account: Account, wire: Wire) -> None:
    steps = list(probe_incoming(pop3(dovecot), password(account), wire, now=NOW))
    assert {step.outcome for step in steps} == {Outcome.SUCCESS}


def test_dovecot_refuses_a_wrong_password_for_good(dovecot: Dovecot, account: Account, wire: Wire) -> None:
    with pytest.raises(LoginRefused) as caught:
        open_imap(imap(dovecot), replace(password(account), password="wrong"), wire)
    assert "AUTHENTICATIONFAILED" in caught.value.server_reply


def test_dovecot_passes_every_step(dovecot: Dovecot, account: Account, wire: Wire) -> None:
    steps = list(probe_incoming(imap(dovecot), password(account), wire, now=NOW))
    assert {step.outcome for step in steps} == {Outcome.SUCCESS}


@pytest.mark.parametrize("security", [Security.TLS, Security.STARTTLS])
def test_postfix_delivers_what_is_sent(
    postfix: Postfix, dovecot: Dovecot, new_account: Callable[[], Account], wire: Wire, security: Security
) -> None:
    ann, bob = new_account(), new_account()
    draft = Draft(
        sender=Address("Ann", ann.address),
        to=(Address("Bob", bob.address),),
        subject="Grüße",
        text=".a line with a dot\n" * 3,
    )
    content = compose(draft, message_id=f"<{bob.user_name}@example.org>", date=NOW)
    with open_smtp(smtp(postfix, security), password(ann), wire) as client:
        result = client.send(
            sender=ann.address, recipients=draft.recipients, content=content, before_body=nothing
        )
    assert result.accepted == (bob.address,)
    delivered = dovecot.wait_for_message(bob.user_name, containing=f"<{bob.user_name}@".encode())
    assert delivered.replace(b"\r\n", b"\n").endswith(content.replace(b"\r\n", b"\n"))


def test_postfix_names_refused_recipients(postfix: Postfix, account: Account, wire: Wire) -> None:
    postfix.reply_to_recipient(account.address, "452 4.2.2 Mailbox full")
    with (
        open_smtp(smtp(postfix), password(account), wire) as client,
        pytest.raises(RecipientsRefused) as caught,
    ):
        client.send(
            sender=account.address, recipients=[account.address], content=b"x\r\n", before_body=nothing
        )
    assert not caught.value.permanent
    assert "Mailbox full" in caught.value.deferred[account.address]


def test_postfix_passes_every_step(postfix: Postfix, dovecot: Dovecot, account: Account, wire: Wire) -> None:
    own = Address("", account.address)
    draft = Draft(sender=own, to=(own,), subject="Your mailbox is connected", text="It works.\n")
    steps = list(probe_outgoing(smtp(postfix), password(account), wire, now=NOW, draft=draft))
    assert {step.outcome for step in steps} == {Outcome.SUCCESS}
    assert dovecot.wait_for_message(account.user_name, containing=b"Your mailbox is connected")


def fingerprint(certificates: Authority) -> str:
    """Return the fingerprint of the private servers' certificate."""
    return fingerprints(ssl.PEM_cert_to_DER_cert(certificates.server.certificate.read_text()))[0]


@pytest.mark.parametrize("security", [Security.TLS, Security.STARTTLS])
def test_dovecot_and_postfix_are_trusted_by_their_pin_alone(
    dovecot: Dovecot,
    postfix: Postfix,
    account: Account,
    wire: Wire,
    certificates: Authority,
    security: Security,
) -> None:
    pinned = replace(wire, ca_certificates="", pins=(fingerprint(certificates),))
    with open_imap(imap(dovecot, security), password(account), pinned) as client:
        assert client.open_folder().messages == 0
    with open_smtp(smtp(postfix, security), password(account), pinned) as sender:
        assert "8BITMIME" in sender.capabilities


@pytest.mark.parametrize("security", [Security.TLS, Security.STARTTLS])
def test_without_their_authority_both_are_refused_and_their_fingerprint_is_shown(
    dovecot: Dovecot, account: Account, wire: Wire, certificates: Authority, security: Security
) -> None:
    strange = replace(wire, ca_certificates="")
    steps = list(probe_incoming(imap(dovecot, security), password(account), strange, now=NOW))
    (step,) = (step for step in steps if step.outcome is Outcome.FAILURE)
    assert step.error_code == "certificate_unknown_authority"
    assert shown(fingerprint(certificates)) in step.seen


def test_a_message_through_postfix_is_seen_arriving_in_dovecot(
    dovecot: Dovecot, postfix: Postfix, account: Account, wire: Wire
) -> None:
    own = Address("", account.address)
    draft = Draft(sender=own, to=(own,), subject="Round trip", text="Hello.\n")
    arrival = Arrival(imap(dovecot), password(account))
    steps = list(
        probe_outgoing(smtp(postfix), password(account), wire, now=NOW, draft=draft, arrival=arrival)
    )
    assert (steps[-1].name, steps[-1].outcome) == ("arrive", Outcome.SUCCESS)
    assert "The message arrived in the INBOX after" in steps[-1].title
