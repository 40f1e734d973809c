"""Turn the exceptions of the libraries and the answers of servers into kinds of MailError, in one place.

The table is read from the top, so the particular stands before the general: `SSLError` and `TimeoutError`
are kinds of `OSError`.
"""

import errno
import imaplib
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from imapclient.exceptions import ProtocolError

from emailsync.mail import errors
from emailsync.mail.errors import MailError

Clean = Callable[[str], str]


def _certificate(problem: BaseException, clean: Clean) -> MailError:
    reason = getattr(problem, "verify_message", "") or str(problem)
    return errors.CertificateInvalid(f"The server's certificate is not trusted: {clean(reason).rstrip('.')}.")


def _tls(problem: BaseException, clean: Clean) -> MailError:
    reason = str(getattr(problem, "reason", "") or "")
    if reason in {"WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"}:
        return errors.PlainTextAnswered("The server answered in plain text where TLS was expected.")
    if "UNEXPECTED_EOF" in reason or isinstance(problem, ssl.SSLEOFError):
        return errors.ConnectionLost("The server closed the connection while TLS was used.")
    words = reason.replace("_", " ").lower() or clean(str(problem))
    return errors.TlsFailed(f"TLS with the server failed: {words}.")


def _timeout(_problem: BaseException, _clean: Clean) -> MailError:
    return errors.TimedOut("The server did not answer in time.")


def _refused(_problem: BaseException, _clean: Clean) -> MailError:
    return errors.ConnectionRefused("The server refused the connection: nothing listens on this port.")


def _lost(_problem: BaseException, _clean: Clean) -> MailError:
    return errors.ConnectionLost("The server closed the connection.")


def _read_only(problem: BaseException, clean: Clean) -> MailError:
    return errors.FolderForbidden("The folder may only be read.", server_reply=clean(str(problem)))


def _imap_abort(problem: BaseException, clean: Clean) -> MailError:
    text = clean(str(problem))
    if "socket error" in text or "EOF" in text:
        return errors.ConnectionLost("The server closed the connection.")
    if "unexpected" in text or "unterminated" in text:
        return errors.ProtocolViolation("The server's answer is not IMAP.", server_reply=text)
    return imap_bye(text)


def _imap_refusal(problem: BaseException, clean: Clean) -> MailError:
    text = clean(str(problem))
    if text.startswith("b'* BYE"):
        return imap_bye(text)
    return imap_failure(text)


def _violation(problem: BaseException, clean: Clean) -> MailError:
    return errors.ProtocolViolation(
        "The server's answer could not be understood.", server_reply=clean(str(problem))
    )


def _network(problem: BaseException, clean: Clean) -> MailError:
    number = getattr(problem, "errno", None)
    if number in {errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.EBADF, errno.ESHUTDOWN}:
        return _lost(problem, clean)
    reason = getattr(problem, "strerror", None) or "network failure"
    return errors.Unreachable(f"The server cannot be reached: {clean(str(reason)).lower()}.")


def _lookup(_problem: BaseException, _clean: Clean) -> MailError:
    return errors.HostNotFound("The server's name is not known.")


ERRORS: tuple[tuple[type[BaseException], Callable[[BaseException, Clean], MailError]], ...] = (
    (ssl.SSLCertVerificationError, _certificate),
    (ssl.SSLError, _tls),
    (socket.gaierror, _lookup),
    (TimeoutError, _timeout),
    (ConnectionRefusedError, _refused),
    (ConnectionError, _lost),
    (OSError, _network),
    (ProtocolError, _violation),
    (imaplib.IMAP4.readonly, _read_only),
    (imaplib.IMAP4.abort, _imap_abort),
    (imaplib.IMAP4.error, _imap_refusal),
    (ValueError, _violation),
    (LookupError, _violation),
)


@contextmanager
def translated(clean: Clean) -> Iterator[None]:
    """Raise what the libraries raise as kinds of MailError; `clean` takes secrets out of replies."""
    try:
        yield
    except MailError:
        raise
    except tuple(kind for kind, _ in ERRORS) as problem:
        raise translate(problem, clean) from problem


def translate(problem: BaseException, clean: Clean) -> MailError:
    """Find the first line of the table that fits."""
    cause = _hidden_cause(problem)
    for kind, make in ERRORS:
        if isinstance(cause, kind):
            return make(cause, clean)
    raise cause


def _hidden_cause(problem: BaseException) -> BaseException:
    """Return the socket's own error where a library put a vague one in front of it."""
    vague = isinstance(problem, imaplib.IMAP4.abort) and "socket error" in str(problem)
    inner = problem.__context__
    if vague and isinstance(inner, OSError):
        return inner
    return problem


# RFC 5530, section 3: what the words in brackets mean.
IMAP_CODES: dict[str, type[MailError]] = {
    "UNAVAILABLE": errors.ServerBusy,
    "INUSE": errors.ServerBusy,
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
CODE = re.compile(r"\[([A-Z-]+)[^\]]*\]", re.IGNORECASE)
TRY_LATER = re.compile(
    r"temporar|try again|later|too many|maximum number|rate.?limit|throttl|unavailable|overload"
    r"|exceeded.{0,20}connect",
    re.IGNORECASE,
)


def imap_login_failure(text: str) -> MailError:
    """Tell a wrong password from a server that is too busy to look (RFC 5530)."""
    kind = _imap_kind(text)
    if kind is errors.ServerBusy or (kind is None and TRY_LATER.search(text)):
        return errors.LoginThrottled("The server does not let anyone sign in just now.", server_reply=text)
    if kind is errors.EncryptionRequired:
        return kind("The server takes no password without encryption.", server_reply=text)
    if kind is errors.PasswordExpired:
        return kind("The password has expired.", server_reply=text)
    if kind is errors.AuthorizationRefused:
        return kind("The account may not act for this mailbox.", server_reply=text)
    return errors.LoginRefused("The server refused the user name or the password.", server_reply=text)


def imap_failure(text: str, *, sentence: str = "The server refused a command.") -> MailError:
    """Translate a NO or BAD by its code."""
    kind = _imap_kind(text) or (errors.ServerBusy if TRY_LATER.search(text) else errors.CommandRefused)
    return kind(sentence, server_reply=text)


def imap_bye(text: str) -> MailError:
    """Translate the server's farewell (RFC 9051, section 7.1.5)."""
    return errors.ServerBusy("The server ended the conversation.", server_reply=text)


def _imap_kind(text: str) -> type[MailError] | None:
    for code in CODE.findall(text):
        kind = IMAP_CODES.get(code.upper())
        if kind is not None:
            return kind
    return None


ENHANCED = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")
WANTS_ENCRYPTION = re.compile(r"starttls|encrypt|secure connection|\btls\b", re.IGNORECASE)
WANTS_ANOTHER_PASSWORD = re.compile(r"password|log in|sign in|credentials", re.IGNORECASE)
NO_PASSWORDS = "The server takes no password without encryption."
NOT_NOW = "The server does not let anyone sign in just now."


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

    def wants(self, words: re.Pattern[str]) -> bool:
        """Return whether the words are in the text."""
        return words.search(self.text) is not None

    def __str__(self) -> str:
        return f"{self.code} {self.text}" if self.code > 0 else self.text


Rule = tuple[Callable[[SmtpReply], bool], type[MailError], str]

# RFC 5321, section 4.2, and RFC 4954, section 6. The first rule that fits decides.
SMTP_RULES: tuple[Rule, ...] = (
    (lambda r: not r.is_smtp, errors.ProtocolViolation, "The server's answer is not SMTP."),
    (lambda r: r.code == 421, errors.ServerBusy, "The server ends the conversation for now."),
    (
        lambda r: (r.code == 530 or r.detail == ".7.0") and r.permanent and r.wants(WANTS_ENCRYPTION),
        errors.EncryptionRequired,
        "The server wants encryption first.",
    ),
    (lambda r: r.code == 530, errors.LoginRequired, "The server wants a sign-in first."),
    (lambda r: r.detail == ".2.2", errors.QuotaExceeded, "The mailbox is full."),
    (
        lambda r: r.permanent and (r.detail in {".3.4", ".2.3"} or (r.code == 552 and not r.detail)),
        errors.MessageTooLarge,
        "The message is too large for the server.",
    ),
    (lambda r: r.stage == "sender", errors.SenderRefused, "The server refused the sender."),
    (lambda r: r.stage in {"data", "body"}, errors.MessageRefused, "The server refused the message."),
    (lambda r: not r.permanent, errors.ServerBusy, "The server asks to try again later."),
    (lambda r: r.stage == "greeting", errors.CommandRefused, "The server does not take mail from here."),
    (lambda _: True, errors.CommandRefused, "The server refused a command."),
)

SMTP_LOGIN_RULES: tuple[Rule, ...] = (
    *SMTP_RULES[:2],
    (
        lambda r: r.code == 538 or (r.code in {530, 534} and r.wants(WANTS_ENCRYPTION)),
        errors.EncryptionRequired,
        NO_PASSWORDS,
    ),
    (
        lambda r: r.code in {500, 502, 503, 504} or (r.code == 534 and not r.wants(WANTS_ANOTHER_PASSWORD)),
        errors.LoginMechanismMissing,
        "The server does not take this kind of sign-in.",
    ),
    (lambda r: r.code == 432, errors.PasswordExpired, "The server wants a new password."),
    (lambda r: not r.permanent or "4" + r.detail in r.text.split(), errors.LoginThrottled, NOT_NOW),
    (lambda _: True, errors.LoginRefused, "The server refused the user name or the password."),
)


def smtp_failure(stage: str, code: int, text: str) -> MailError:
    """Translate a reply to a command; the stage is greeting, sender, data, body or command."""
    return _by_rule(SMTP_RULES, SmtpReply(stage, code, text))


def smtp_login_failure(code: int, text: str) -> MailError:
    """Translate the refusal of a sign-in."""
    return _by_rule(SMTP_LOGIN_RULES, SmtpReply("command", code, text))


def _by_rule(rules: tuple[Rule, ...], reply: SmtpReply) -> MailError:
    kind, sentence = next((kind, sentence) for fits, kind, sentence in rules if fits(reply))
    # A kind that is permanent by nature stays so where the sign-in or the encryption is concerned.
    own = reply.permanent if issubclass(kind, errors.MessageFailure | errors.QuotaExceeded) else None
    if kind is errors.CommandRefused:
        own = reply.permanent
    return kind(sentence, server_reply=str(reply), permanent=own)
