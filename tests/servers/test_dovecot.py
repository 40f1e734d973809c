"""The private Dovecot does what the tests of the mail library rely on."""

import imaplib
import poplib
import socket
import ssl
from contextlib import closing
from datetime import UTC, datetime

import pytest

from emailsync.management.selftest.certificates import Authority
from tests.conftest import Account
from tests.servers.dovecot import Dovecot
from tests.servers.ports import is_listening

pytestmark = pytest.mark.servers


@pytest.fixture(scope="session")
def trusting(certificates: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=certificates.pem)


def signed_in(dovecot: Dovecot, trusting: ssl.SSLContext, account: Account) -> imaplib.IMAP4_SSL:
    client = imaplib.IMAP4_SSL(dovecot.host, dovecot.ports.imaps, ssl_context=trusting, timeout=10)
    client.login(account.user_name, account.password)
    return client


def test_a_user_signs_in_over_implicit_tls(
    dovecot: Dovecot, trusting: ssl.SSLContext, account: Account
) -> None:
    with signed_in(dovecot, trusting, account) as client:
        assert client.select()[0] == "OK"


def test_a_user_signs_in_after_starttls(dovecot: Dovecot, trusting: ssl.SSLContext, account: Account) -> None:
    with imaplib.IMAP4(dovecot.host, dovecot.ports.imap, timeout=10) as client:
        client.starttls(trusting)
        assert client.login(account.user_name, account.password)[0] == "OK"


def test_a_wrong_password_is_refused(dovecot: Dovecot, trusting: ssl.SSLContext, account: Account) -> None:
    with (
        imaplib.IMAP4_SSL(dovecot.host, dovecot.ports.imaps, ssl_context=trusting, timeout=10) as client,
        pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"),
    ):
        client.login(account.user_name, "wrong")


def test_a_changed_password_works_at_once(
    dovecot: Dovecot, trusting: ssl.SSLContext, account: Account
) -> None:
    dovecot.set_password(account.user_name, "changed")
    with imaplib.IMAP4_SSL(dovecot.host, dovecot.ports.imaps, ssl_context=trusting, timeout=10) as client:
        assert client.login(account.user_name, "changed")[0] == "OK"


def test_the_master_signs_in_for_somebody_else(
    dovecot: Dovecot, trusting: ssl.SSLContext, account: Account
) -> None:
    identity = f"{account.user_name}\0{dovecot.master_name}\0{dovecot.master_password}".encode()
    dovecot.deliver(account.user_name, b"Subject: hello\r\n\r\n")
    with imaplib.IMAP4_SSL(dovecot.host, dovecot.ports.imaps, ssl_context=trusting, timeout=10) as client:
        client.authenticate("PLAIN", lambda _: identity)
        assert client.select()[1] == [b"1"]


def test_nobody_trusts_the_server_without_its_authority(dovecot: Dovecot) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        imaplib.IMAP4_SSL(
            dovecot.host, dovecot.ports.imaps, ssl_context=ssl.create_default_context(), timeout=10
        )


def test_a_delivered_message_has_its_date(
    dovecot: Dovecot, trusting: ssl.SSLContext, account: Account
) -> None:
    received_at = datetime(2024, 2, 29, 12, 30, tzinfo=UTC)
    dovecot.deliver(account.user_name, b"Subject: leap\r\n\r\n", received_at=received_at)
    with signed_in(dovecot, trusting, account) as client:
        client.select(readonly=True)
        _, found = client.uid("FETCH", "1:*", "(INTERNALDATE)")
    assert b'"29-Feb-2024 12:30:00 +0000"' in found[0]


def test_changing_uidvalidity_gives_new_uids(
    dovecot: Dovecot, trusting: ssl.SSLContext, account: Account
) -> None:
    dovecot.deliver(account.user_name, b"Subject: one\r\n\r\n")
    with signed_in(dovecot, trusting, account) as client:
        client.select()
        before = int(client.response("UIDVALIDITY")[1][0])
    dovecot.change_uidvalidity(account.user_name)
    with signed_in(dovecot, trusting, account) as client:
        client.select()
        after = int(client.response("UIDVALIDITY")[1][0])
    assert after > before


def test_mail_is_collected_over_pop3(dovecot: Dovecot, trusting: ssl.SSLContext, account: Account) -> None:
    dovecot.deliver(account.user_name, b"Subject: pop\r\n\r\nbody\r\n")
    with closing(poplib.POP3_SSL(dovecot.host, dovecot.ports.pop3s, context=trusting, timeout=10)) as client:
        client.user(account.user_name)
        client.pass_(account.password)
        lines = client.retr(1)[1]
    assert lines == [b"Subject: pop", b"", b"body"]


def test_a_suspended_server_is_silent_and_a_resumed_one_answers(dovecot: Dovecot) -> None:
    dovecot.suspend()
    with socket.create_connection((dovecot.host, dovecot.ports.imap), timeout=0.3) as client:
        with pytest.raises(TimeoutError):
            client.recv(10)
        dovecot.resume()
        client.settimeout(5)
        assert client.recv(4) == b"* OK"


def test_a_stopped_server_starts_again_with_its_mail(certificates: Authority) -> None:
    with Dovecot(certificates.server) as server:
        server.add_user("anna", "secret")
        server.deliver("anna", b"Subject: kept\r\n\r\n")
        server.stop()
        listened = is_listening(server.ports.imaps)
        server.start()
        assert (listened, len(server.messages("anna"))) == (False, 1)


def test_the_server_leaves_nothing_behind(certificates: Authority) -> None:
    with Dovecot(certificates.server) as server:
        pass
    assert not server.folder.exists()
