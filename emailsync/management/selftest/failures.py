"""The table of all that can go wrong with a mail server. The words are those of real servers."""

from emailsync.mail.endpoint import Security
from emailsync.management.selftest.failures_in_use import SENDING, USING
from emailsync.management.selftest.scenarios import (
    DOVECOT_LIMIT,
    FORBIDDEN,
    HANDSHAKE_FAILURE,
    INTERNAL_ERROR,
    PROTOCOL_VERSION,
    TOKEN,
    UNANSWERED,
    UNKNOWN,
    UNROUTED,
    Scenario,
    alerts,
    hangs_up,
    imap,
    implicit,
    no,
    oauth,
    offers,
    plain_text,
    pop3,
    says,
    says_only,
    silent,
    smtp,
    without_starttls,
)
from emailsync.management.selftest.scripted_imap import never_answer, say_and_hang_up, say_for_ever

STARTTLS, NONE = Security.STARTTLS, Security.NONE

REACHING = (
    imap("Name not found", "host_not_found", "resolve", host=UNKNOWN),
    imap("Name service silent", "lookup_failed", "resolve", host=UNANSWERED),
    imap("Port not allowed by the deployment", "port_not_allowed", "resolve", forbids="ports"),
    imap("Address not allowed by the deployment", "address_forbidden", "resolve", host=FORBIDDEN),
    imap("No encryption, not allowed", "plain_not_allowed", "resolve", security=NONE, forbids="plain"),
    imap("No route", "unreachable", "connect", host=UNROUTED),
    imap("Connection refused", "connection_refused", "connect", port="refusing"),
    imap("Time-out: connecting", "timed_out", "connect", port="full", is_slow=True),
    imap("Time-out: beginning TLS", "timed_out", "secure", arrange=alerts(b""), is_slow=True),
    imap("Time-out: greeting", "timed_out", "greet", security=STARTTLS, arrange=silent, is_slow=True),
    imap(
        "Time-out: signing in",
        "timed_out",
        "authenticate",
        answers={"AUTHENTICATE": never_answer},
        is_slow=True,
    ),
    imap(
        "Time-out: opening INBOX", "timed_out", "open_inbox", answers={"EXAMINE": never_answer}, is_slow=True
    ),
    smtp("Time-out: sending", "timed_out", "send", answers={"MAIL": b""}, is_slow=True),
    imap("Dropped without a greeting", "connection_lost", "greet", arrange=hangs_up),
    imap(
        "Dropped mid-way: opening INBOX",
        "connection_lost",
        "open_inbox",
        answers={"EXAMINE": say_and_hang_up(b"* 3 EXI")},
    ),
    smtp("Dropped mid-way: sending", "connection_lost", "send", answers={"MAIL": None}),
    imap(
        "Time of the run used up",
        "deadline_exceeded",
        "open_inbox",
        answers={"EXAMINE": say_for_ever(b"* 1 EXISTS\r\n")},
        is_short=True,
    ),
    smtp("Dropped after the whole message", "outcome_unknown", "send", answers={"body": None}),
)
SECURING = (
    imap(
        "TLS port, STARTTLS chosen",
        "tls_expected",
        "greet",
        security=STARTTLS,
        arrange=implicit,
        is_slow=True,
    ),
    smtp(
        "TLS port, no encryption chosen",
        "tls_expected",
        "greet",
        security=NONE,
        arrange=implicit,
        is_slow=True,
    ),
    imap("STARTTLS port, TLS chosen", "plain_text_answered", "secure", arrange=plain_text),
    smtp("STARTTLS port, TLS chosen", "plain_text_answered", "secure", arrange=plain_text),
    imap("STARTTLS not offered", "starttls_missing", "secure", security=STARTTLS, arrange=without_starttls),
    smtp("STARTTLS not offered", "starttls_missing", "secure", security=STARTTLS, arrange=without_starttls),
    imap("TLS too old", "tls_too_old", "secure", arrange=alerts(PROTOCOL_VERSION)),
    imap("No common cipher suite", "tls_suite_missing", "secure", arrange=alerts(HANDSHAKE_FAILURE)),
    imap("TLS breaks off", "tls_failed", "secure", arrange=alerts(INTERNAL_ERROR)),
    imap("Certificate expired", "certificate_expired", "secure", certificate="expired"),
    imap("Certificate self-signed", "certificate_self_signed", "secure", certificate="self_signed"),
    imap("Certificate of another host", "certificate_wrong_host", "secure", certificate="other"),
    imap(
        "Certificate of an unknown authority",
        "certificate_unknown_authority",
        "secure",
        certificate="stranger",
    ),
    imap("Certificate not for a server", "certificate_invalid", "secure", certificate="for_clients"),
    smtp(
        "Certificate self-signed, STARTTLS",
        "certificate_self_signed",
        "secure",
        certificate="self_signed",
        security=STARTTLS,
    ),
    imap("Certificate not the pinned one", "certificate_not_pinned", "secure", pins=("f" * 64,)),
)
GREETING = (
    imap("Another server's greeting", "greeting_strange", "greet", arrange=says_only(b"220 mx ESMTP\r\n")),
    imap("Strange greeting", "greeting_strange", "greet", arrange=says_only(b"Welcome, stranger\r\n")),
    smtp("Strange greeting", "greeting_strange", "greet", arrange=says_only(b"* OK IMAP4rev1 ready\r\n")),
    imap(
        "Too many connections, at the greeting",
        "too_many_connections",
        "greet",
        arrange=says_only(b"* BYE Maximum connection limit reached from ::ffff:192.0.2.10\r\n"),
    ),
    smtp(
        "Too many connections, at the greeting",
        "too_many_connections",
        "greet",
        answers={"greeting": b"421 4.7.0 mx.example.com Error: too many connections from 192.0.2.10"},
    ),
    smtp(
        "Address of this installation blocked",
        "host_refused",
        "greet",
        answers={"greeting": b"554 5.7.1 Client host [192.0.2.10] blocked using zen.example.org"},
    ),
)
SIGNING_IN = (
    imap(
        "Wrong password",
        "login_refused",
        "authenticate",
        answers=no(b"[AUTHENTICATIONFAILED] Authentication failed."),
    ),
    smtp(
        "Wrong password",
        "login_refused",
        "authenticate",
        answers={"AUTH": b"535 5.7.8 Error: authentication failed: UGFzc3dvcmQ6"},
    ),
    imap(
        "App password needed",
        "app_password_needed",
        "authenticate",
        answers=no(b"[ALERT] Application-specific password required (Failure)"),
    ),
    smtp(
        "App password needed",
        "app_password_needed",
        "authenticate",
        answers={"AUTH": b"534 5.7.9 Application-specific password required."},
    ),
    imap("OAuth needed", "oauth_needed", "authenticate", answers=no(b"LOGIN failed. BasicAuthBlocked")),
    smtp(
        "OAuth needed",
        "oauth_needed",
        "authenticate",
        answers={"AUTH": b"535 5.7.139 Authentication unsuccessful, basic authentication is disabled."},
    ),
    smtp(
        "Sign-in by password switched off",
        "login_disabled",
        "authenticate",
        answers={
            "AUTH": b"535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for "
            b"the Tenant."
        },
    ),
    imap(
        "Plain sign-in disabled without encryption",
        "encryption_required",
        "authenticate",
        security=NONE,
        arrange=offers(b"LOGINDISABLED"),
    ),
    smtp(
        "Sign-in disabled without encryption",
        "encryption_required",
        "authenticate",
        security=NONE,
        answers={"AUTH": b"538 5.7.11 Encryption required for requested authentication mechanism"},
    ),
    imap(
        "No common way to sign in",
        "login_mechanism_missing",
        "authenticate",
        arrange=offers(b"AUTH=GSSAPI", b"LOGINDISABLED"),
    ),
    smtp(
        "No common way to sign in",
        "login_mechanism_missing",
        "authenticate",
        arrange=offers(b"AUTH GSSAPI CRAM-MD5"),
    ),
    imap(
        "Web login required",
        "web_login_required",
        "authenticate",
        answers=no(b"[WEBALERT https://accounts.example.com/] Web login required. (Failure)"),
    ),
    imap("Account locked", "account_locked", "authenticate", answers=no(b"Your account has been locked")),
    smtp(
        "Account locked",
        "account_locked",
        "authenticate",
        answers={"AUTH": b"535 5.7.139 Authentication unsuccessful, the user account is temporarily locked"},
    ),
    imap(
        "IMAP switched off for the account",
        "access_disabled",
        "authenticate",
        answers=no(b"[ALERT] Your account is not enabled for IMAP use. (Failure)"),
    ),
    imap("Password expired", "password_expired", "authenticate", answers=no(b"[EXPIRED] Password expired")),
    imap(
        "Not entitled to the mailbox",
        "authorization_refused",
        "authenticate",
        answers=no(b"[AUTHORIZATIONFAILED] Not authorized to act for this user"),
    ),
    imap(
        "Too many connections of the account",
        "too_many_connections",
        "authenticate",
        answers=no(DOVECOT_LIMIT),
    ),
    imap(
        "Too many failed sign-ins",
        "login_throttled",
        "authenticate",
        answers=no(b"[LIMIT] Too many login attempts, please try again later"),
    ),
    imap(
        "Access token refused",
        "token_refused",
        "authenticate",
        credential=TOKEN,
        arrange=offers(b"AUTH=XOAUTH2 SASL-IR"),
        answers=no(b"[AUTHENTICATIONFAILED] Invalid credentials (Failure)"),
    ),
    smtp(
        "Access token refused",
        "token_refused",
        "authenticate",
        credential=TOKEN,
        arrange=offers(b"AUTH XOAUTH2"),
        answers={"AUTH": b"535 5.7.8 Username and Password not accepted."},
    ),
    smtp(
        "Sign-in required", "login_required", "send", answers={"MAIL": b"530 5.7.0 Authentication Required"}
    ),
)
AUTHORIZING = (
    oauth(
        "Permission withdrawn or lapsed",
        "oauth_expired",
        arrange=says(400, b'{"error": "invalid_grant", "error_description": "Token has been revoked."}'),
    ),
    oauth(
        "Client secret wrong or expired",
        "oauth_client_refused",
        arrange=says(401, b'{"error": "invalid_client", "error_description": "The secret has expired."}'),
    ),
    oauth("Token endpoint out of order", "oauth_unavailable", arrange=says(503, b"Service Unavailable")),
    oauth("Token endpoint not there", "oauth_unavailable", port="refusing"),
)
POP3 = (
    pop3(
        "TLS port, STARTTLS chosen",
        "tls_expected",
        "greet",
        security=STARTTLS,
        arrange=implicit,
        is_slow=True,
    ),
    pop3("STARTTLS port, TLS chosen", "plain_text_answered", "secure", arrange=plain_text),
    pop3("STARTTLS not offered", "starttls_missing", "secure", security=STARTTLS, arrange=without_starttls),
    pop3("Another server's greeting", "greeting_strange", "greet", arrange=says_only(b"* OK IMAP ready\r\n")),
    pop3(
        "Wrong password",
        "login_refused",
        "authenticate",
        answers={"AUTH": b"-ERR [AUTH] Authentication failed."},
    ),
    pop3(
        "POP3 switched off for the account",
        "access_disabled",
        "authenticate",
        answers={"AUTH": b"-ERR [SYS/PERM] Your account is not enabled for POP access."},
    ),
    pop3(
        "POP locked",
        "mailbox_locked",
        "authenticate",
        answers={"AUTH": b"-ERR [IN-USE] Mailbox is locked by another POP3 session"},
    ),
    pop3(
        "Temporary failure of the server",
        "login_throttled",
        "authenticate",
        answers={"AUTH": b"-ERR [SYS/TEMP] Temporary system problem. Please try again later."},
    ),
    pop3("Time-out: signing in", "timed_out", "authenticate", answers={"AUTH": b""}, is_slow=True),
    pop3("Dropped mid-way: opening the maildrop", "connection_lost", "open_inbox", answers={"STAT": None}),
)
SCENARIOS: tuple[Scenario, ...] = (
    *(*REACHING, *SECURING, *GREETING, *SIGNING_IN, *AUTHORIZING),
    *(*USING, *POP3, *SENDING),
)
