"""What real servers say when they refuse, and what is made of it."""

import pytest

from emailsync.mail import errors
from emailsync.mail.errors import MailError, OutcomeClass
from emailsync.mail.replies import (
    imap_bye,
    imap_failure,
    imap_login_failure,
    pop3_failure,
    pop3_login_failure,
    smtp_failure,
    smtp_login_failure,
)
from emailsync.mail.vocabulary import recipients_kind

GMAIL_WEB = "[WEBALERT https://accounts.google.com/signin/continue?x] Web login required. (Failure)"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        # Gmail
        ("[AUTHENTICATIONFAILED] Invalid credentials (Failure)", errors.LoginRefused),
        ("[ALERT] Application-specific password required: https://x (Failure)", errors.AppPasswordNeeded),
        (GMAIL_WEB, errors.WebLoginRequired),
        ("[ALERT] Please log in via your web browser: https://x (Failure)", errors.WebLoginRequired),
        ("[ALERT] Too many simultaneous connections. (Failure)", errors.TooManyConnections),
        ("[ALERT] Your account is not enabled for IMAP use. Please (Failure)", errors.AccessDisabled),
        # Exchange and Outlook.com
        ("LOGIN failed.", errors.LoginRefused),
        ("User is authenticated but not connected.", errors.LoginThrottled),
        ("LOGIN failed. BasicAuthBlocked", errors.OAuthNeeded),
        # Yahoo and iCloud
        ("[AUTHENTICATIONFAILED] LOGIN Invalid credentials", errors.LoginRefused),
        ("[LIMIT] LOGIN Rate limit hit", errors.LoginThrottled),
        ("[UNAVAILABLE] LOGIN Server error - Please try again later", errors.LoginThrottled),
        ("[AUTHENTICATIONFAILED] Authentication Failed", errors.LoginRefused),
        # Dovecot
        (
            "[UNAVAILABLE] Maximum number of connections from user+IP exceeded (x=10)",
            errors.TooManyConnections,
        ),
        (
            "[PRIVACYREQUIRED] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.",
            errors.EncryptionRequired,
        ),
        ("[UNAVAILABLE] Temporary authentication failure. [mx:2024-02-05]", errors.LoginThrottled),
        ("[AUTHENTICATIONFAILED] Authentication failed.", errors.LoginRefused),
        ("[AUTHENTICATIONFAILED] Your account is disabled.", errors.AccountLocked),
        ("[EXPIRED] Password expired", errors.PasswordExpired),
        # Cyrus and Courier
        ("[LIMIT] Too many open connections for this user", errors.TooManyConnections),
        ("Login failed: authentication failure", errors.LoginRefused),
        ("[AUTHORIZATIONFAILED] no proxy", errors.AuthorizationRefused),
        ("Login failed.", errors.LoginRefused),
    ],
)
def test_a_refused_imap_sign_in_is_told_by_the_servers_words(text: str, kind: type[MailError]) -> None:
    problem = imap_login_failure(text)
    assert type(problem) is kind
    assert problem.server_reply == text


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        # Gmail
        (535, "5.7.8 Username and Password not accepted. For more information, go to", errors.LoginRefused),
        (534, "5.7.9 Application-specific password required. For more", errors.AppPasswordNeeded),
        (534, "5.7.14 Please log in via your web browser and then try again.", errors.WebLoginRequired),
        (454, "4.7.0 Too many login attempts, please try again later.", errors.LoginThrottled),
        # Exchange and Outlook.com
        (535, "5.7.3 Authentication unsuccessful [AM0.outlook.com]", errors.LoginRefused),
        (535, "5.7.139 Authentication unsuccessful, basic authentication is disabled.", errors.OAuthNeeded),
        (
            535,
            "5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.",
            errors.LoginDisabled,
        ),
        (
            535,
            "5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults",
            errors.OAuthNeeded,
        ),
        (
            535,
            "5.7.139 Authentication unsuccessful, the user account is temporarily locked",
            errors.AccountLocked,
        ),
        (504, "5.7.4 Unrecognized authentication type", errors.LoginMechanismMissing),
        # Yahoo, Postfix with Dovecot's SASL, Exim, Courier
        (535, "5.7.0 (#AUTH005) Too many bad auth attempts.", errors.LoginThrottled),
        (535, "5.7.8 Error: authentication failed: UGFzc3dvcmQ6", errors.LoginRefused),
        (535, "Incorrect authentication data", errors.LoginRefused),
        (535, "Authentication failed.", errors.LoginRefused),
        (530, "5.7.0 Must issue a STARTTLS command first", errors.EncryptionRequired),
        (538, "5.7.11 Encryption required for requested authentication mechanism", errors.EncryptionRequired),
        (503, "5.5.1 Error: authentication not enabled", errors.LoginMechanismMissing),
    ],
)
def test_a_refused_smtp_sign_in_is_told_by_the_servers_words(
    code: int, text: str, kind: type[MailError]
) -> None:
    assert type(smtp_login_failure(code, text)) is kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("[AUTH] Username and password not accepted.", errors.LoginRefused),
        ("[AUTH] Web login required: https://support.google.com/mail/answer/78754", errors.WebLoginRequired),
        ("[AUTH] Application-specific password required", errors.AppPasswordNeeded),
        ("[SYS/PERM] Your account is not enabled for POP access. Please visit", errors.AccessDisabled),
        ("[IN-USE] Unable to lock maildrop: Mailbox is locked by POP server", errors.MailboxLocked),
        ("[IN-USE] Do you have another POP session running?", errors.MailboxLocked),
        ("[LOGIN-DELAY] minimum time between mail checks violation", errors.MailboxLocked),
        ("maildrop already locked", errors.MailboxLocked),
        ("[SYS/TEMP] Temporary system problem. Please try again later.", errors.LoginThrottled),
        ("Logon failure: unknown user name or bad password.", errors.LoginRefused),
        ("[IN-USE] too many connections", errors.TooManyConnections),
    ],
)
def test_a_refused_pop3_sign_in_is_told_by_the_servers_words(text: str, kind: type[MailError]) -> None:
    assert type(pop3_login_failure(text)) is kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("BYE Maximum connection limit reached from ::ffff:192.0.2.7", errors.TooManyConnections),
        ("BYE Session expired, please login again.", errors.ServerBusy),
        ("BYE [UNAVAILABLE] shutting down", errors.ServerBusy),
        ("BYE Temporary internal failure", errors.ServerBusy),
        ("BYE FETCH failed: Internal error occurred. Refer to server log.", errors.ConnectionLost),
    ],
)
def test_a_farewell_is_told_by_its_words(text: str, kind: type[MailError]) -> None:
    assert type(imap_bye(text)) is kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("[THROTTLED] Account exceeded command or bandwidth limits. (Failure)", errors.RateLimited),
        ("[OVERQUOTA] Quota exceeded (mailbox for user is full)", errors.QuotaExceeded),
        ("[INUSE] Mailbox is locked", errors.MailboxLocked),
        ("Mailbox does not exist", errors.CommandRefused),
        ("[UNAVAILABLE] UID FETCH Service is temporarily not available", errors.ServerBusy),
    ],
)
def test_a_refused_imap_command_is_told_by_the_servers_words(text: str, kind: type[MailError]) -> None:
    assert type(imap_failure(text)) is kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("[SYS/TEMP] Cannot open mailbox", errors.ServerBusy),
        ("[IN-USE] locked", errors.MailboxLocked),
        ("no such message", errors.CommandRefused),
    ],
)
def test_a_refused_pop3_command_is_told_by_the_servers_words(text: str, kind: type[MailError]) -> None:
    assert type(pop3_failure(text)) is kind


@pytest.mark.parametrize(
    ("stage", "code", "text", "kind"),
    [
        ("greeting", 421, "4.7.0 mx.example.com Error: too many connections from 192.0.2.1", "many"),
        ("greeting", 421, "Too many concurrent SMTP connections; please try again later.", "many"),
        ("greeting", 554, "5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.x", "host"),
        ("sender", 550, "5.7.606 Access denied, banned sending IP [192.0.2.1].", "host"),
        ("command", 432, "4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", "many"),
        ("sender", 550, "5.7.60 SMTP; Client does not have permissions to send as this sender", "sender"),
        ("body", 554, "5.2.252 SendAsDenied; ann@example.com not allowed to send as", "message"),
        ("body", 550, "5.4.5 Daily user sending quota exceeded. For more information", "rate"),
        ("sender", 452, "4.5.3 Your message rate limit was exceeded", "rate"),
        ("body", 554, "5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException;", "rate"),
        ("body", 451, "4.3.0 Temporary lookup failure", "message"),
        ("sender", 451, "4.3.0 Error: queue file write error", "busy"),
        ("sender", 450, "4.1.8 Sender address rejected: Domain not found", "sender"),
        ("sender", 530, "5.7.57 Client not authenticated to send mail.", "login"),
        ("sender", 552, "5.3.4 Message size exceeds fixed limit", "size"),
        ("body", 552, "5.2.2 Mailbox full", "quota"),
    ],
)
def test_a_refusal_of_mail_is_told_by_the_servers_words(stage: str, code: int, text: str, kind: str) -> None:
    kinds = {
        "many": errors.TooManyConnections,
        "host": errors.HostRefused,
        "sender": errors.SenderRefused,
        "message": errors.MessageRefused,
        "rate": errors.RateLimited,
        "busy": errors.ServerBusy,
        "login": errors.LoginRequired,
        "size": errors.MessageTooLarge,
        "quota": errors.QuotaExceeded,
    }
    assert type(smtp_failure(stage, code, text)) is kinds[kind]


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ("554 5.7.1 <ben@example.org>: Relay access denied", errors.RelayDenied),
        ("550 relay not permitted", errors.RelayDenied),
        ("550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain", errors.RelayDenied),
        ("450 4.2.0 <ben@example.org>: Recipient address rejected: Greylisted", errors.Greylisted),
        ("451 4.7.1 Greylisting in action, please come back later", errors.Greylisted),
        ("550 5.1.1 <ben@example.org>: Recipient address rejected: User unknown", errors.RecipientsRefused),
        ("450 4.1.1 try later", errors.RecipientsRefused),
    ],
)
def test_refused_recipients_are_told_by_the_servers_words(reply: str, kind: type[MailError]) -> None:
    assert recipients_kind(reply)[0] is kind


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        (errors.TooManyConnections("x"), OutcomeClass.TRANSIENT),
        (errors.LoginRefused("x"), OutcomeClass.CONFIGURATION),
        (errors.MessageTooLarge("x"), OutcomeClass.MESSAGE),
        (errors.Greylisted("x", refused={}, deferred={"a": "b"}), OutcomeClass.MESSAGE),
    ],
)
def test_every_failure_is_of_one_of_three_classes(problem: MailError, expected: OutcomeClass) -> None:
    assert problem.outcome_class is expected
