"""What silence, and a connection that ends, mean at each step of a trial, and what to do about it there."""

from collections.abc import Mapping

from emailsync.mail.words import gettext_noop

_FIREWALL = gettext_noop(
    "Check the port in the server profile, and that the firewalls on the way let it through: they often "
    "swallow what they do not allow."
)
_WRONG_PORT = gettext_noop(
    "Check that the port belongs to the protocol and the encryption chosen in the server profile; the server "
    "may also be overloaded."
)
_SLOW = gettext_noop(
    "Try it again. If it repeats, look into the log of the mail server, or allow more time in the server "
    "profile (Timeout)."
)
_REFUSED_SILENTLY = gettext_noop(
    "Check the encryption and the port, whether the server limits connections, and whether it blocks the "
    "address of this installation."
)
_LOG = gettext_noop("Try it again. If it repeats, look into the log of the mail server for the reason.")

#: By code and step: the sentence and the remedy.
WORDS: Mapping[tuple[str, str], tuple[str, str]] = {
    ("timed_out", "connect"): (gettext_noop("The server did not answer the attempt to connect."), _FIREWALL),
    ("timed_out", "secure"): (gettext_noop("The server did not answer while TLS began."), _WRONG_PORT),
    ("timed_out", "greet"): (gettext_noop("The server took the connection but did not greet."), _WRONG_PORT),
    ("timed_out", "capabilities"): (gettext_noop("The server did not say in time what it can do."), _SLOW),
    ("timed_out", "authenticate"): (gettext_noop("The server did not answer the sign-in in time."), _SLOW),
    ("timed_out", "open_inbox"): (gettext_noop("The server did not open the INBOX in time."), _SLOW),
    ("timed_out", "send"): (gettext_noop("The server did not take the message in time."), _SLOW),
    ("connection_lost", "secure"): (
        gettext_noop("The server closed the connection while TLS began."),
        _REFUSED_SILENTLY,
    ),
    ("connection_lost", "greet"): (
        gettext_noop("The server closed the connection without a greeting."),
        _REFUSED_SILENTLY,
    ),
    ("connection_lost", "authenticate"): (
        gettext_noop("The server closed the connection during the sign-in."),
        _LOG,
    ),
    ("connection_lost", "open_inbox"): (
        gettext_noop("The server closed the connection while the INBOX was opened."),
        _LOG,
    ),
    ("connection_lost", "send"): (
        gettext_noop("The server closed the connection while the message was sent."),
        _LOG,
    ),
}
