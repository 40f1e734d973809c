"""One account of the profile opens the mailboxes of others, on a real Dovecot, in both ways it knows."""

from collections.abc import Callable

import pytest
from django.utils import timezone

from emailsync.mail.composing import Draft
from emailsync.mail.parsing import Address
from mailboxes.choices import OutgoingStatus
from mailboxes.engine import connecting
from mailboxes.models import Mailbox, Message, OutgoingMessage, WorkerState
from mailboxes.services import outgoing
from profiles.choices import AuthenticationType, ConnectionSecurity, Impersonation, IncomingProtocol
from profiles.models import ServerProfile
from tests.conftest import Account
from tests.servers.dovecot import Dovecot
from tests.servers.postfix import Postfix

pytestmark = [pytest.mark.servers, pytest.mark.django_db(transaction=True)]
Receive = Callable[[Mailbox], WorkerState]
Send = Callable[[Mailbox], WorkerState]
LETTER = b"From: ben@example.org\r\nSubject: For somebody else\r\n\r\nHello\r\n"


@pytest.fixture
def mastered(mailbox: Mailbox, account: Account, oauth_dovecot: Dovecot) -> Mailbox:
    """Give a mailbox without a password, on a Dovecot with a master user."""
    oauth_dovecot.add_user(account.user_name, account.password, addresses=[account.address])
    profile = mailbox.server_profile
    assert profile is not None
    profile.incoming_port = oauth_dovecot.ports.imaps
    profile.authentication_type = AuthenticationType.IN_PROFILE
    profile.user_name = oauth_dovecot.master_name
    profile.password = oauth_dovecot.master_password
    profile.save()
    Mailbox.objects.filter(pk=mailbox.pk).update(
        allow_credentials=False, user_name="", password="", server_account=account.user_name
    )
    return Mailbox.objects.get(pk=mailbox.pk)


def write(mailbox: Mailbox, to: str) -> OutgoingMessage:
    """Write an email from the address of the mailbox."""
    sender = Address("", mailbox.address)
    draft = Draft(sender=sender, to=(Address("", to),), cc=(), bcc=(), subject="On behalf", text="Hello")
    return outgoing.queue(mailbox, draft, by=None, now=timezone.now())


@pytest.mark.parametrize("way", [Impersonation.MASTER_USER, Impersonation.SASL_AUTHORIZATION_IDENTITY])
@pytest.mark.parametrize("protocol", IncomingProtocol.values)
def test_a_master_reads_the_mailbox_of_the_login_user(
    mastered: Mailbox,
    account: Account,
    oauth_dovecot: Dovecot,
    receive: Receive,
    way: str,
    protocol: str,
) -> None:
    port = oauth_dovecot.ports.imaps if protocol == IncomingProtocol.IMAP else oauth_dovecot.ports.pop3s
    ServerProfile.objects.update(impersonation=way, incoming_protocol=protocol, incoming_port=port)
    oauth_dovecot.deliver(account.user_name, LETTER)
    assert receive(mastered).last_error_code == ""
    assert Message.objects.get().subject == "For somebody else"


@pytest.mark.parametrize("security", [ConnectionSecurity.TLS, ConnectionSecurity.STARTTLS])
def test_a_master_sends_for_the_mailbox_of_the_login_user(
    mastered: Mailbox,
    account: Account,
    oauth_dovecot: Dovecot,
    oauth_postfix: Postfix,
    send: Send,
    security: ConnectionSecurity,
) -> None:
    ports = oauth_postfix.ports
    ServerProfile.objects.update(
        impersonation=Impersonation.SASL_AUTHORIZATION_IDENTITY,
        outgoing_port=ports.smtps if security == ConnectionSecurity.TLS else ports.submission,
        outgoing_security=security,
    )
    message = write(mastered, account.address)
    assert send(mastered).last_error_code == ""
    message.refresh_from_db()
    assert message.status == OutgoingStatus.SENT
    oauth_dovecot.wait_for_message(account.user_name, containing=b"On behalf")


def test_a_wrong_password_of_the_master_sends_nothing(
    mastered: Mailbox, account: Account, oauth_postfix: Postfix, send: Send
) -> None:
    profile = ServerProfile.objects.get()
    profile.impersonation, profile.password = Impersonation.SASL_AUTHORIZATION_IDENTITY, "wrong"
    profile.outgoing_port = oauth_postfix.ports.smtps
    profile.save()
    message = write(mastered, account.address)
    state = send(Mailbox.objects.get(pk=mastered.pk))
    message.refresh_from_db()
    assert (state.last_error_code, message.status) == ("login_refused", OutgoingStatus.PENDING_SEND)


def test_without_impersonation_the_master_has_only_a_mailbox_of_its_own(
    mastered: Mailbox, account: Account, oauth_dovecot: Dovecot, receive: Receive
) -> None:
    oauth_dovecot.deliver(account.user_name, LETTER)
    receive(mastered)
    assert not Message.objects.exists()


@pytest.mark.parametrize("way", [Impersonation.MASTER_USER, Impersonation.SASL_AUTHORIZATION_IDENTITY])
def test_a_wrong_password_of_the_master_opens_nothing(mastered: Mailbox, receive: Receive, way: str) -> None:
    profile = ServerProfile.objects.get()
    profile.impersonation, profile.password = way, "wrong"
    profile.save()
    assert receive(Mailbox.objects.get(pk=mastered.pk)).last_error_code == "login_refused"


def test_the_address_stands_in_where_no_login_user_is_known(mastered: Mailbox) -> None:
    ServerProfile.objects.update(impersonation=Impersonation.MASTER_USER)
    Mailbox.objects.update(server_account="")
    who = connecting.credential(Mailbox.objects.get(), "incoming")
    assert who.user_name == f"{mastered.address}*master"


@pytest.mark.parametrize("way", [Impersonation.MASTER_USER, Impersonation.SASL_AUTHORIZATION_IDENTITY])
def test_a_master_opens_no_mailbox_that_an_owner_names(mastered: Mailbox, way: str) -> None:
    ServerProfile.objects.update(impersonation=way)
    Mailbox.objects.update(server_account="", user_name="director@contoso.example")
    who = connecting.credential(Mailbox.objects.get(), "incoming")
    assert "director" not in f"{who.user_name} {who.authorization_identity}"
