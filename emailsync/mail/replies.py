"""Turn what servers answer into kinds of MailError: by code where there is one, else by their words."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from emailsync.mail import errors
from emailsync.mail.errors import MailError
from emailsync.mail.vocabulary import BLOCK_LISTED, REFUSALS, SIGN_IN, Words, meaning
from emailsync.mail.words import gettext_noop

NO_PASSWORDS = gettext_noop("The server takes no password without encryption.")
NOT_NOW = gettext_noop("The server does not let anyone sign in just now.")
WRONG = gettext_noop("The server refused the user name or the password.")
REFUSED = gettext_noop("The server refused a command.")

# RFC 5530, section 3: what the words in brackets mean.
IMAP_CODES: dict[str, type[MailError]] = {
    "UNAVAILABLE": errors.ServerBusy,
    "INUSE": errors.MailboxLocked,
    "LIMIT": errors.ServerBusy,
    "SERVERBUG": errors.ServerBusy,
    "THROTTLED": errors.ServerBusy,
    "CORRUPTION": errors.CommandRefused,
    "EXPIRED": errors.PasswordExpired,
    "AUTHENTICATIONFAILED": errors.LoginRefused,
    "AUTHORIZATIONFAILED": errors.AuthorizationRefused,
    "CONTACTADMIN": errors.LoginRefused,
    "PRIVACYREQUIRED": errors.EncryptionRequired,
    "NOPERM": errors.FolderForbidden,
    "NONEXISTENT": errors.FolderMissing,
    "TRYCREATE": errors.FolderMissing,
    "OVERQUOTA": errors.QuotaExceeded,
}
IMAP_SENTENCES: dict[type[MailError], str] = {
    errors.ServerBusy: gettext_noop("The server cannot do it just now."),
    errors.FolderForbidden: gettext_noop("The account may not open this folder."),
    errors.QuotaExceeded: gettext_noop("The mailbox is full."),
}
CODE = re.compile(r"\[([A-Z-]+)[^\]]*\]", re.IGNORECASE)
POP3_CODE = re.compile(r"\[([A-Z/-]+)\]", re.IGNORECASE)
TRY_LATER = re.compile(
    r"temporar|try again|later|too many|maximum number|rate.?limit|throttl|unavailable|overload"
    r"|exceeded.{0,20}connect|bandwidth limit|system error|not connected",
    re.IGNORECASE,
)

OWN_FAILURE = re.compile(r"\bfail|\binternal\b|corrupt", re.IGNORECASE)


def imap_login_failure(text: str) -> MailError:
    """Tell a wrong password from all else that a refused sign-in may mean (RFC 5530)."""
    kind = _imap_kind(text)
    if kind is errors.EncryptionRequired:
        return kind(NO_PASSWORDS, server_reply=text)
    if (told := meaning(text, SIGN_IN)) is not None:
        return told
    passing = {errors.ServerBusy, errors.QuotaExceeded}
    if kind in passing or (kind is None and TRY_LATER.search(text)):
        return errors.LoginThrottled(NOT_NOW, server_reply=text)
    if kind is errors.AuthorizationRefused:
        return kind(gettext_noop("The account may not act for this mailbox."), server_reply=text)
    return errors.LoginRefused(WRONG, server_reply=text)


# What the status of a refused token may say, as HTTP or as the words of RFC 6750, section 3.1.
NOT_ENOUGH = {"403", "insufficient_scope"}
NOT_READY = {"temporarily_unavailable", "server_error"}


def token_failure(told: Mapping[str, str], text: str) -> MailError:
    """Translate the refusal of an access token, by the JSON that came before it (RFC 7628, section 3.2.2)."""
    status = told.get("status", "").lower()
    if status in NOT_READY or re.fullmatch(r"5\d\d", status) or TRY_LATER.search(text):
        return errors.LoginThrottled(NOT_NOW, server_reply=text)
    if status in NOT_ENOUGH:
        return errors.AuthorizationRefused(
            gettext_noop("The access token does not open this mailbox: it lacks a permission (scope)."),
            server_reply=text,
        )
    return errors.TokenRefused(gettext_noop("The server refused the access token."), server_reply=text)


def pop3_login_failure(text: str) -> MailError:
    """Translate the refusal of USER, PASS or AUTH by its code (RFC 2449, section 8, and RFC 3206)."""
    if (told := meaning(text, SIGN_IN)) is not None:
        return told
    code = _pop3_code(text)
    if code == "SYS/PERM":
        return errors.CommandRefused(
            gettext_noop("The server cannot open this mailbox."), server_reply=text, permanent=True
        )
    if code == "SYS/TEMP" or (code != "AUTH" and TRY_LATER.search(text)):
        return errors.LoginThrottled(NOT_NOW, server_reply=text)
    return errors.LoginRefused(WRONG, server_reply=text)


def pop3_failure(text: str, *, sentence: str = REFUSED) -> MailError:
    """Translate an -ERR by its code and its words."""
    if (told := meaning(text, REFUSALS)) is not None:
        return told
    code = _pop3_code(text)
    is_passing = code == "SYS/TEMP" or (not code and TRY_LATER.search(text))
    kind = errors.ServerBusy if is_passing else errors.CommandRefused
    return kind(sentence, server_reply=text, permanent=code == "SYS/PERM")


def _pop3_code(text: str) -> str:
    found = POP3_CODE.match(text)
    return found.group(1).upper() if found else ""


def imap_failure(text: str, *, sentence: str = REFUSED) -> MailError:
    """Translate a NO or BAD by its words and its code."""
    if (told := meaning(text, REFUSALS)) is not None:
        return told
    kind = _imap_kind(text) or (errors.ServerBusy if TRY_LATER.search(text) else errors.CommandRefused)
    return kind(IMAP_SENTENCES.get(kind, sentence), server_reply=text)


def imap_bye(text: str) -> MailError:
    """Translate the server's farewell (RFC 9051, section 7.1.5); one that fails at a message says so."""
    has_failed = OWN_FAILURE.search(text) is not None and TRY_LATER.search(text) is None
    kind = errors.ConnectionLost if has_failed else errors.ServerBusy
    return meaning(text, REFUSALS) or kind(
        gettext_noop("The server ended the conversation."), server_reply=text
    )


def _imap_kind(text: str) -> type[MailError] | None:
    for code in CODE.findall(text):
        kind = IMAP_CODES.get(code.upper())
        if kind is not None:
            return kind
    return None


ENHANCED = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")
WANTS_ENCRYPTION = re.compile(r"starttls|encrypt|secure connection|\btls\b", re.IGNORECASE)
LATER = gettext_noop("The server asks to try again later.")
NOT_FROM_HERE = gettext_noop("The server takes no mail from the address of this installation.")
WANTS_ANOTHER_PASSWORD = re.compile(r"password|log in|sign in|credentials", re.IGNORECASE)


@dataclass(frozen=True)
class SmtpReply:
    """Look at a reply of a mail server: its code, its enhanced code (RFC 3463) and its words."""

    stage: str
    code: int
    text: str

    @property
    def detail(self) -> str:
        """Return the enhanced code without its class, such as .7.1."""
        found = ENHANCED.search(self.text)
        return found.group(0)[1:] if found else ""

    @property
    def permanent(self) -> bool:
        """Return whether the reply says that trying again is of no use."""
        return self.code >= 500

    @property
    def is_smtp(self) -> bool:
        """Return whether this is the refusal of a mail server at all."""
        return 400 <= self.code < 600

    @property
    def is_passing(self) -> bool:
        """Return whether the reply is about the server's own state, and neither an address nor a policy."""
        return not self.permanent and not self.detail.startswith((".1.", ".7."))

    def wants(self, words: re.Pattern[str]) -> bool:
        """Return whether the words are in the text."""
        return words.search(self.text) is not None

    def __str__(self) -> str:
        return f"{self.code} {self.text}" if self.code > 0 else self.text


Rule = tuple[Callable[[SmtpReply], bool], type[MailError], str]

# RFC 5321, section 4.2, and RFC 4954, section 6. The first rule that fits decides.
SMTP_RULES: tuple[Rule, ...] = (
    (lambda r: not r.is_smtp, errors.ProtocolViolation, gettext_noop("The server's answer is not SMTP.")),
    (
        lambda r: r.permanent and r.stage in {"greeting", "sender"} and r.wants(BLOCK_LISTED),
        errors.HostRefused,
        NOT_FROM_HERE,
    ),
    (lambda r: r.code == 421, errors.ServerBusy, gettext_noop("The server ends the conversation for now.")),
    (
        lambda r: (r.code == 530 or r.detail == ".7.0") and r.permanent and r.wants(WANTS_ENCRYPTION),
        errors.EncryptionRequired,
        gettext_noop("The server wants encryption first."),
    ),
    (lambda r: r.code == 530, errors.LoginRequired, gettext_noop("The server wants a sign-in first.")),
    (lambda r: r.detail == ".2.2", errors.QuotaExceeded, gettext_noop("The mailbox is full.")),
    (
        lambda r: r.permanent and (r.detail in {".3.4", ".2.3"} or (r.code == 552 and not r.detail)),
        errors.MessageTooLarge,
        gettext_noop("The message is too large for the server."),
    ),
    (lambda r: r.stage == "sender" and r.is_passing, errors.ServerBusy, LATER),
    (
        lambda r: r.stage == "sender",
        errors.SenderRefused,
        gettext_noop("The server refused the sender."),
    ),
    (
        lambda r: r.stage in {"data", "body"},
        errors.MessageRefused,
        gettext_noop("The server refused the message."),
    ),
    (lambda r: not r.permanent, errors.ServerBusy, LATER),
    (lambda r: r.stage == "greeting", errors.HostRefused, NOT_FROM_HERE),
    (lambda _: True, errors.CommandRefused, REFUSED),
)

SMTP_LOGIN_RULES: tuple[Rule, ...] = (
    SMTP_RULES[0],
    SMTP_RULES[2],
    (
        lambda r: r.code == 538 or (r.code in {530, 534} and r.wants(WANTS_ENCRYPTION)),
        errors.EncryptionRequired,
        NO_PASSWORDS,
    ),
    (
        lambda r: r.code in {500, 502, 503, 504} or (r.code == 534 and not r.wants(WANTS_ANOTHER_PASSWORD)),
        errors.LoginMechanismMissing,
        gettext_noop("The server does not take this kind of sign-in."),
    ),
    (lambda r: r.code == 432, errors.PasswordExpired, gettext_noop("The server wants a new password.")),
    (lambda r: not r.permanent or "4" + r.detail in r.text.split(), errors.LoginThrottled, NOT_NOW),
    (lambda _: True, errors.LoginRefused, WRONG),
)


def smtp_failure(stage: str, code: int, text: str) -> MailError:
    """Translate a reply to a command; the stage is greeting, sender, data, body or command."""
    reply = SmtpReply(stage, code, text)
    return _told(reply, REFUSALS) or _by_rule(SMTP_RULES, reply)


def smtp_login_failure(code: int, text: str) -> MailError:
    """Translate the refusal of a sign-in."""
    reply = SmtpReply("command", code, text)
    is_plain = reply.code in {530, 534, 538} and reply.wants(WANTS_ENCRYPTION)
    return (None if is_plain else _told(reply, SIGN_IN)) or _by_rule(SMTP_LOGIN_RULES, reply)


def _told(reply: SmtpReply, tables: Sequence[Words]) -> MailError | None:
    return meaning(str(reply), tables) if reply.is_smtp else None


def _by_rule(rules: tuple[Rule, ...], reply: SmtpReply) -> MailError:
    kind, sentence = next((kind, sentence) for fits, kind, sentence in rules if fits(reply))
    # A kind that is permanent by nature stays so where the sign-in or the encryption is concerned.
    own = reply.permanent if issubclass(kind, errors.MessageFailure | errors.QuotaExceeded) else None
    if kind is errors.CommandRefused:
        own = reply.permanent
    return kind(sentence, server_reply=str(reply), permanent=own)
