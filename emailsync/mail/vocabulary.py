"""What servers say when they refuse, in their own words, and which kind of failure each means.

Codes are judged first where they are precise; many servers give none, or give the same for everything. The
words are those of Gmail, Exchange and Outlook.com, Yahoo, iCloud, Dovecot, Cyrus, Courier, Postfix, Exim and
Sendmail. Each table is read from the top.
"""

import re
from collections.abc import Sequence

from emailsync.mail import errors
from emailsync.mail.errors import MailError
from emailsync.mail.words import gettext_noop

Words = tuple[re.Pattern[str], type[MailError], str]


def _words(pattern: str, kind: type[MailError], sentence: str) -> Words:
    return re.compile(pattern, re.IGNORECASE), kind, sentence


TOO_MANY_CONNECTIONS = _words(
    r"too many (open |simultaneous |concurrent )*(smtp |imap |pop3? )?(connections|sessions)"
    r"|(maximum|max\.?) (number of )?(simultaneous |concurrent )*(connections?|sessions?)"
    r"|connection limit|concurrent connections? limit|sender thread limit|exceeded.{0,20}connect",
    errors.TooManyConnections,
    gettext_noop("The server has too many connections from here or to this account."),
)
RATE_LIMITED = _words(
    r"rate.?limit|throttl|submissionquotaexceeded|(daily|hourly|sending|message|user).{0,25}(quota|limit)"
    r".{0,12}(exceed|reach|hit)|exceeded.{0,30}(sending|daily|hourly|messages? per|limit)"
    r"|too many (messages|mails|emails)\b|unusual rate|too much mail",
    errors.RateLimited,
    gettext_noop("The server limits how much may be sent or asked for, and the limit is reached."),
)
LOCKED_MAILBOX = _words(
    r"\[in-?use\]|\[login-delay\]|maildrop (is )?(already )?locked|(unable|cannot|can't|could not) (to )?"
    r"(get |obtain |acquire )?(the )?(exclusive )?lock|mailbox (is )?(already )?(locked|in use|busy)"
    r"|locked by (another|a) (pop|session)|another (pop3? )?session",
    errors.MailboxLocked,
    gettext_noop("Another session holds the mailbox, or the last one ended a moment ago."),
)

#: What a refused sign-in may mean, beyond a wrong password.
SIGN_IN: Sequence[Words] = (
    TOO_MANY_CONNECTIONS,
    LOCKED_MAILBOX,
    _words(
        r"too many (bad |failed |invalid |unsuccessful )*(log-?ins?|auth\w*|attempts|password)|auth\w* rate"
        r"|authenticated but not connected|rate.?limit|throttl",
        errors.LoginThrottled,
        gettext_noop("The server does not let anyone sign in just now."),
    ),
    _words(
        r"app(lication)?[ -](specific |code |)password|invalidsecondfactor|185833",
        errors.AppPasswordNeeded,
        gettext_noop("The account signs in with a second factor: programs need an app password."),
    ),
    _words(
        r"basic ?auth\w*( is)? (disabled|blocked|not)|basicauthblocked|security defaults|modern auth"
        r"|less secure app|oauth2? (is )?(required|needed)|only (x?oauth2?|oauthbearer)",
        errors.OAuthNeeded,
        gettext_noop("The provider takes no passwords for this account: it wants OAuth."),
    ),
    _words(
        r"smtpclientauthentication is disabled|smtp_auth_disabled|login is disabled"
        r"|password (auth\w*|log-?in)s? (is |are )?(disabled|not allowed|disallowed)",
        errors.LoginDisabled,
        gettext_noop("Signing in with a password is switched off at the server."),
    ),
    _words(
        r"not enabled for (imap|pop|smtp)|(imap|pop3?|smtp)[ -]?(access|service|protocol|use)? (is |was )?"
        r"(disabled|not (enabled|activated|allowed|permitted))",
        errors.AccessDisabled,
        gettext_noop("The account may not be used with this protocol: it is switched off."),
    ),
    _words(
        r"web ?login required|webalert|via your web browser"
        r"|please log ?in (to|at|via|with).{0,30}(web|browser|http)|78754|suspicious|verify (your|that)",
        errors.WebLoginRequired,
        gettext_noop("The provider wants somebody to sign in to the account in a web browser first."),
    ),
    _words(
        r"(account|user|mailbox)( is| has been| was)?( temporarily| currently)? "
        r"(locked|blocked|disabled|suspended|deactivated|inactive|restricted)|invalidlicen[cs]e|\[contactadmin\]",
        errors.AccountLocked,
        gettext_noop("The account is locked or switched off at the server."),
    ),
    _words(
        r"password (has |is )?expired|change your password|\[expired\]",
        errors.PasswordExpired,
        gettext_noop("The password has expired."),
    ),
)

#: What a refusal at any other place may mean.
REFUSALS: Sequence[Words] = (TOO_MANY_CONNECTIONS, RATE_LIMITED, LOCKED_MAILBOX)

GREYLISTED = re.compile(
    r"gr[ea]y-?list|postgrey|try again in \d+ (second|minute)|defer\w* for \d+ sec", re.IGNORECASE
)
RELAY = re.compile(r"relay|not permitted to send to|\b5\.7\.54\b", re.IGNORECASE)
BLOCK_LISTED = re.compile(
    r"block ?list|black ?list|\bdnsbl\b|\brbl\b|spamhaus|spamcop|barracuda|banned sending ip|client host "
    r"(rejected|blocked)|poor reputation|access denied, banned|no ptr|reverse dns",
    re.IGNORECASE,
)

#: How servers of other protocols greet, for those who took the wrong port.
STRANGERS: Sequence[tuple[re.Pattern[bytes], str]] = (
    (re.compile(rb"\* (OK|BYE|PREAUTH)\b", re.IGNORECASE), "IMAP"),
    (re.compile(rb"\+OK|-ERR", re.IGNORECASE), "POP3"),
    (re.compile(rb"220[ -].*\bFTP", re.IGNORECASE), "FTP"),
    (re.compile(rb"[2-5]\d\d[ -]"), "SMTP"),
    (re.compile(rb"SSH-"), "SSH"),
    (re.compile(rb"HTTP/|<(!|html)", re.IGNORECASE), "HTTP"),
)


def meaning(text: str, tables: Sequence[Words]) -> MailError | None:
    """Return the failure that the words of a server name, if they name one."""
    for words, kind, sentence in tables:
        if words.search(text):
            return kind(sentence, server_reply=text)
    return None


def stranger(line: bytes) -> str:
    """Return the name of the protocol that a first line belongs to, or nothing."""
    return next((name for greeting, name in STRANGERS if greeting.match(line)), "")


def recipients_kind(reply: str) -> tuple[type[errors.RecipientsRefused], str]:
    """Return what a refusal of every recipient means: greylisted, relaying denied, or neither.

    The sentence beside it has a place for their addresses.
    """
    if reply.startswith("4") and GREYLISTED.search(reply):
        return errors.Greylisted, "The server puts mail for {names} off for a while (greylisting)."
    if reply.startswith("5") and RELAY.search(reply):
        return errors.RelayDenied, "The server does not pass mail on to {names} for us."
    return errors.RecipientsRefused, "The server refused every recipient ({names})."
