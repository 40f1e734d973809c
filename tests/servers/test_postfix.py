"""The private Postfix takes mail as a real provider does, and gives it to Dovecot."""

import smtplib
import ssl
from collections.abc import Callable, Iterator

import pytest

from emailsync.management.selftest.certificates import Authority
from tests.conftest import Account
from tests.servers.dovecot import Dovecot
from tests.servers.postfix import Postfix

pytestmark = pytest.mark.servers


@pytest.fixture
def client(postfix: Postfix, certificates: Authority, account: Account) -> Iterator[smtplib.SMTP_SSL]:
    trusting = ssl.create_default_context(cadata=certificates.pem)
    with smtplib.SMTP_SSL(postfix.host, postfix.ports.smtps, context=trusting, timeout=10) as client:
        client.login(account.user_name, account.password)
        yield client


def test_submitted_mail_arrives_in_the_maildir(
    client: smtplib.SMTP_SSL, dovecot: Dovecot, account: Account
) -> None:
    client.sendmail(account.address, [account.address], b"Subject: hello\r\nMessage-ID: <one@a>\r\n\r\n")
    assert b"Subject: hello" in dovecot.wait_for_message(account.user_name, containing=b"<one@a>")


def test_mail_is_submitted_after_starttls(
    postfix: Postfix, certificates: Authority, account: Account
) -> None:
    with smtplib.SMTP(postfix.host, postfix.ports.submission, timeout=10) as client:
        client.starttls(context=ssl.create_default_context(cadata=certificates.pem))
        client.login(account.user_name, account.password)
        assert client.sendmail(account.address, [account.address], b"Subject: x\r\n\r\n") == {}


def test_signing_in_before_starttls_is_not_offered(postfix: Postfix) -> None:
    with smtplib.SMTP(postfix.host, postfix.ports.submission, timeout=10) as client:
        client.ehlo()
        assert not client.has_extn("AUTH")


def test_mail_is_submitted_without_tls_where_the_server_allows_it(postfix: Postfix, account: Account) -> None:
    with smtplib.SMTP(postfix.host, postfix.ports.plain, timeout=10) as client:
        client.login(account.user_name, account.password)
        assert client.sendmail(account.address, [account.address], b"Subject: x\r\n\r\n") == {}


def test_a_wrong_password_is_refused(postfix: Postfix, account: Account) -> None:
    with (
        smtplib.SMTP(postfix.host, postfix.ports.plain, timeout=10) as client,
        pytest.raises(smtplib.SMTPAuthenticationError),
    ):
        client.login(account.user_name, "wrong")


def test_strangers_may_not_send(postfix: Postfix, account: Account) -> None:
    with (
        smtplib.SMTP(postfix.host, postfix.ports.plain, timeout=10) as client,
        pytest.raises(smtplib.SMTPRecipientsRefused),
    ):
        client.sendmail(account.address, [account.address], b"Subject: x\r\n\r\n")


def test_somebody_elses_address_is_refused(
    client: smtplib.SMTP_SSL, account: Account, new_account: Callable[[], Account]
) -> None:
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        client.sendmail(new_account().address, [account.address], b"Subject: x\r\n\r\n")
    assert refused.value.recipients[account.address][0] == 553


def test_an_unknown_recipient_is_refused_and_the_others_are_not(
    client: smtplib.SMTP_SSL, account: Account
) -> None:
    refused = client.sendmail(account.address, [account.address, "nobody@example.org"], b"Subject: x\r\n\r\n")
    assert {address: reply[0] for address, reply in refused.items()} == {"nobody@example.org": 550}


def test_a_chosen_reply_is_given(
    postfix: Postfix, account: Account, new_account: Callable[[], Account]
) -> None:
    busy = new_account()
    postfix.reply_to_recipient(busy.address, "451 4.3.0 Try again later")
    with smtplib.SMTP(postfix.host, postfix.ports.plain, timeout=10) as client:
        client.login(account.user_name, account.password)
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            client.sendmail(account.address, [busy.address], b"Subject: x\r\n\r\n")
    assert refused.value.recipients[busy.address][0] == 451


def test_undeliverable_mail_comes_back(client: smtplib.SMTP_SSL, dovecot: Dovecot, account: Account) -> None:
    content = b"Subject: lost\r\nMessage-ID: <lost@a>\r\n\r\n"
    client.sendmail(account.address, [f"nobody@{Postfix.bouncing_domain}"], content)
    bounce = dovecot.wait_for_message(account.user_name, containing=b"<lost@a>")
    assert b"multipart/report" in bounce


def test_a_message_over_the_limit_is_refused(
    client: smtplib.SMTP_SSL, postfix: Postfix, account: Account
) -> None:
    client.ehlo()
    code, _ = client.mail(account.address, [f"SIZE={postfix.message_size_limit + 1}"])
    assert code == 552
