"""Turn the exceptions of the libraries into kinds of MailError, in one place; `replies` does so with answers.

The table is read from the top, so the particular stands before the general: `SSLError` and `TimeoutError`
are kinds of `OSError`.
"""

import errno
import imaplib
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from imapclient.exceptions import ProtocolError

from emailsync.mail import errors
from emailsync.mail.errors import MailError
from emailsync.mail.replies import imap_bye, imap_failure
from emailsync.mail.words import gettext_noop

Clean = Callable[[str], str]


# OpenSSL's X509_V_ERR codes, from its x509_vfy.h.
CERTIFICATES: Mapping[int, tuple[type[MailError], str]] = {
    9: (errors.CertificateExpired, gettext_noop("The server's certificate is not valid yet.")),
    10: (errors.CertificateExpired, gettext_noop("The server's certificate has expired.")),
    18: (errors.CertificateSelfSigned, gettext_noop("The server signed its certificate itself.")),
    62: (errors.CertificateWrongHost, gettext_noop("The server's certificate is for another name.")),
    64: (errors.CertificateWrongHost, gettext_noop("The server's certificate is for another address.")),
    **dict.fromkeys(
        (2, 19, 20, 21, 27),
        (
            errors.CertificateUnknownAuthority,
            gettext_noop("The server's certificate comes from an authority that is not trusted here."),
        ),
    ),
}
PLAIN_TEXT = {"WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"}
TOO_OLD = {
    *("UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "WRONG_SSL_VERSION", "VERSION_TOO_LOW"),
    *("TLSV1_ALERT_INSUFFICIENT_SECURITY", "NO_PROTOCOLS_AVAILABLE"),
}
NO_SUITE = {
    *("NO_CIPHERS_AVAILABLE", "NO_SHARED_CIPHER", "SSLV3_ALERT_HANDSHAKE_FAILURE", "WRONG_CIPHER_RETURNED"),
    *("UNKNOWN_CIPHER_RETURNED", "NO_CIPHER_MATCH"),
}

#: How TLS ends that nobody refused: it was broken off, cleanly or not.
CLOSED_TLS = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)


def _certificate(problem: BaseException, clean: Clean) -> MailError:
    kind, sentence = CERTIFICATES.get(
        getattr(problem, "verify_code", 0),
        (errors.CertificateInvalid, gettext_noop("The server's certificate is not trusted.")),
    )
    reason = getattr(problem, "verify_message", "") or str(problem)
    return kind(sentence, server_reply=clean(reason))


def _tls(problem: BaseException, clean: Clean) -> MailError:
    reason = str(getattr(problem, "reason", "") or "")
    if reason in PLAIN_TEXT:
        return errors.PlainTextAnswered(
            gettext_noop("The server answered in plain text where TLS was expected.")
        )
    if reason in TOO_OLD:
        return errors.TlsTooOld(gettext_noop("The server speaks no TLS of version 1.2 or 1.3."))
    if reason in NO_SUITE:
        return errors.TlsSuiteMissing(
            gettext_noop("The server offers none of the cipher suites that are safe.")
        )
    # A server that is being restarted may end its TLS properly, in the middle of the handshake.
    if "UNEXPECTED_EOF" in reason or isinstance(problem, CLOSED_TLS):
        return errors.ConnectionLost(gettext_noop("The server closed the connection while TLS was used."))
    words = reason.replace("_", " ").lower() or clean(str(problem))
    return errors.TlsFailed(f"TLS with the server failed: {words}.")


def _timeout(_problem: BaseException, _clean: Clean) -> MailError:
    return errors.TimedOut(gettext_noop("The server did not answer in time."))


def _refused(_problem: BaseException, _clean: Clean) -> MailError:
    return errors.ConnectionRefused(
        gettext_noop("The server refused the connection: nothing listens on this port.")
    )


def _lost(_problem: BaseException, _clean: Clean) -> MailError:
    return errors.ConnectionLost(gettext_noop("The server closed the connection."))


def _read_only(problem: BaseException, clean: Clean) -> MailError:
    return errors.FolderForbidden(
        gettext_noop("The folder may only be read."), server_reply=clean(str(problem))
    )


def _imap_abort(problem: BaseException, clean: Clean) -> MailError:
    text = clean(str(problem))
    if "socket error" in text or "EOF" in text:
        return errors.ConnectionLost(gettext_noop("The server closed the connection."))
    if "unexpected" in text or "unterminated" in text:
        return errors.ProtocolViolation(gettext_noop("The server's answer is not IMAP."), server_reply=text)
    return imap_bye(text)


def _imap_refusal(problem: BaseException, clean: Clean) -> MailError:
    text = clean(str(problem))
    if text.startswith("b'* BYE"):
        return imap_bye(text)
    return imap_failure(text)


def _violation(problem: BaseException, clean: Clean) -> MailError:
    return errors.ProtocolViolation(
        gettext_noop("The server's answer could not be understood."), server_reply=clean(str(problem))
    )


def _network(problem: BaseException, clean: Clean) -> MailError:
    number = getattr(problem, "errno", None)
    if number in {errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.EBADF, errno.ESHUTDOWN}:
        return _lost(problem, clean)
    reason = getattr(problem, "strerror", None) or "network failure"
    return errors.Unreachable(f"The server cannot be reached: {clean(str(reason)).lower()}.")


def _lookup(_problem: BaseException, _clean: Clean) -> MailError:
    return errors.HostNotFound(gettext_noop("The server's name is not known."))


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
