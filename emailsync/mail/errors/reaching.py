"""Failures before anybody is signed in, and of a server as a whole."""

from emailsync.mail.errors.base import MailError, Scope
from emailsync.mail.words import gettext_noop


class NotAllowed(MailError):
    code = "not_allowed"
    title = gettext_noop("Not allowed here")
    permanent = True
    remedy = gettext_noop("Choose a server that this installation is allowed to reach.")


class PortNotAllowed(NotAllowed):
    code = "port_not_allowed"
    title = gettext_noop("Port not allowed")
    remedy = gettext_noop(
        "Choose one of the allowed ports in the server profile, or ask the operator of this installation "
        "to add the port to EMAILSYNC_ALLOWED_PORTS."
    )


class AddressForbidden(NotAllowed):
    code = "address_forbidden"
    title = gettext_noop("Address not allowed")
    remedy = gettext_noop(
        "Enter the public name of the mail server, or ask the operator of this installation to add its "
        "network to EMAILSYNC_ALLOWED_NETWORKS."
    )


class PlainNotAllowed(NotAllowed):
    code = "plain_not_allowed"
    title = gettext_noop("Unencrypted connections not allowed")
    remedy = gettext_noop("Choose TLS or STARTTLS in the server profile: passwords are not sent unencrypted.")


class NotConnected(MailError):
    code = "not_connected"
    title = gettext_noop("No connection")
    remedy = gettext_noop(
        "Check the server's name and port in the server profile, and that the server is running."
    )


class HostNotFound(NotConnected):
    code = "host_not_found"
    title = gettext_noop("Server name not found")
    permanent = True
    remedy = gettext_noop("Correct the server's name in the server profile: no address is known for it.")


class LookupFailed(NotConnected):
    code = "lookup_failed"
    title = gettext_noop("Name service not answering")
    remedy = gettext_noop(
        "Check the name service (DNS) of this installation; the name of the server could not be asked for."
    )


class Unreachable(NotConnected):
    code = "unreachable"
    title = gettext_noop("No route to the server")
    remedy = gettext_noop("Check the network and the firewall between this installation and the mail server.")


class ConnectionRefused(NotConnected):
    code = "connection_refused"
    title = gettext_noop("Connection refused")
    remedy = gettext_noop(
        "Check the port in the server profile, that the mail server is running, and that no firewall "
        "rejects the connection."
    )


class TimedOut(NotConnected):
    code = "timed_out"
    title = gettext_noop("Server does not answer in time")
    remedy = gettext_noop(
        "Check the port in the server profile and the firewall; the server may also be overloaded."
    )


class DeadlineExceeded(NotConnected):
    code = "deadline_exceeded"
    title = gettext_noop("Time of the run used up")
    scope = Scope.MAILBOX
    remedy = gettext_noop(
        "Nothing needs to be done at once: the next run goes on, and is given more time. If this repeats, "
        "the server is slow."
    )


class ConnectionLost(NotConnected):
    code = "connection_lost"
    title = gettext_noop("Connection lost")
    remedy = gettext_noop(
        "Nothing needs to be done at once: it is tried again. If this repeats, look into the log of the "
        "mail server for the reason."
    )


class NotSecured(MailError):
    code = "not_secured"
    title = gettext_noop("Connection not encrypted")
    permanent = True
    remedy = gettext_noop("Check the encryption chosen in the server profile.")


class TlsFailed(NotSecured):
    code = "tls_failed"
    title = gettext_noop("TLS failed")
    remedy = gettext_noop(
        "Check the encryption and port in the server profile; the server must offer TLS 1.2 or 1.3."
    )


class PlainTextAnswered(TlsFailed):
    code = "plain_text_answered"
    title = gettext_noop("TLS chosen, but the port speaks plain text")
    remedy = gettext_noop(
        "Choose STARTTLS in the server profile, or the port for TLS (993 for IMAP, 995 for POP3, 465 "
        "for SMTP)."
    )


class TlsExpected(TlsFailed):
    code = "tls_expected"
    title = gettext_noop("The port speaks TLS at once")
    remedy = gettext_noop(
        "Choose TLS in the server profile, or the port for STARTTLS (143 for IMAP, 110 for POP3, 587 "
        "for SMTP)."
    )


class TlsTooOld(TlsFailed):
    code = "tls_too_old"
    title = gettext_noop("TLS of the server too old")
    remedy = gettext_noop(
        "Have TLS 1.2 or 1.3 switched on at the mail server: older versions are not safe and are not "
        "spoken here."
    )


class TlsSuiteMissing(TlsFailed):
    code = "tls_suite_missing"
    title = gettext_noop("No common TLS cipher suite")
    remedy = gettext_noop(
        "Have a current cipher suite switched on at the mail server, such as TLS_AES_256_GCM_SHA384 or "
        "ECDHE-RSA-AES128-GCM-SHA256."
    )


class CertificateInvalid(NotSecured):
    code = "certificate_invalid"
    title = gettext_noop("Certificate not trusted")
    remedy = gettext_noop(
        "Enter the server's name as its certificate says it, renew the certificate, or add the authority "
        "that signed it to the trusted certificates."
    )


class CertificateExpired(CertificateInvalid):
    code = "certificate_expired"
    title = gettext_noop("Certificate expired")
    remedy = gettext_noop(
        "Have the certificate of the mail server renewed. Until then nothing is sent or received through it."
    )


class CertificateSelfSigned(CertificateInvalid):
    code = "certificate_self_signed"
    title = gettext_noop("Certificate self-signed")
    remedy = gettext_noop(
        "Compare the fingerprint with the one its operator tells you, then enter it in the server "
        "profile (Pinned certificates), or have a certificate installed that an authority signed."
    )


class CertificateWrongHost(CertificateInvalid):
    code = "certificate_wrong_host"
    title = gettext_noop("Certificate of another server")
    remedy = gettext_noop(
        "Enter the server's name in the server profile as its certificate says it, or have the "
        "certificate renewed with this name."
    )


class CertificateUnknownAuthority(CertificateInvalid):
    code = "certificate_unknown_authority"
    title = gettext_noop("Certificate of an unknown authority")
    remedy = gettext_noop(
        "Enter the authority's certificate in the server profile (Additional trusted certificates), or "
        "have the server send its whole chain."
    )


class CertificateNotPinned(CertificateInvalid):
    code = "certificate_not_pinned"
    title = gettext_noop("Certificate is not the pinned one")
    remedy = gettext_noop(
        "Ask the operator of the mail server whether the certificate was renewed. If it was, enter the "
        "new fingerprint in the server profile; if not, somebody may be listening in between."
    )


class StartTlsMissing(NotSecured):
    code = "starttls_missing"
    title = gettext_noop("STARTTLS not offered")
    remedy = gettext_noop(
        "Choose TLS and its port in the server profile, or have STARTTLS switched on at the mail server."
    )


class EncryptionRequired(NotSecured):
    code = "encryption_required"
    title = gettext_noop("Plain sign-in disabled without encryption")
    remedy = gettext_noop(
        "Choose TLS or STARTTLS in the server profile: the server takes no password otherwise."
    )


class ProtocolViolation(MailError):
    code = "protocol_violation"
    title = gettext_noop("Answer not understood")
    remedy = gettext_noop(
        "Check that the server profile names a mail server and the right port for its protocol."
    )


class GreetingStrange(ProtocolViolation):
    code = "greeting_strange"
    title = gettext_noop("Strange greeting")
    permanent = True
    remedy = gettext_noop(
        "Check the server's name and the port in the server profile: another kind of server answers there."
    )


class ServerBusy(MailError):
    code = "server_busy"
    title = gettext_noop("Temporary failure of the server")
    remedy = gettext_noop(
        "Nothing needs to be done at once: it is tried again later. If this repeats, allow fewer connections."
    )


class TooManyConnections(ServerBusy):
    code = "too_many_connections"
    title = gettext_noop("Too many connections")
    remedy = gettext_noop(
        "It is tried again by itself. If this repeats, lower Maximum concurrent connections in the "
        "server profile, or close other programs that use the account."
    )


class RateLimited(ServerBusy):
    code = "rate_limited"
    title = gettext_noop("Sending or access limited for now")
    scope = Scope.MAILBOX
    remedy = gettext_noop(
        "It is tried again by itself when the limit allows more. If this repeats, send less at a time, "
        "or have the limit raised at the mail provider."
    )


class MailboxLocked(ServerBusy):
    code = "mailbox_locked"
    title = gettext_noop("Mailbox in use by another session")
    scope = Scope.MAILBOX
    remedy = gettext_noop(
        "It is tried again by itself. If this repeats, close the other program that reads this mailbox "
        "over POP3."
    )


class HostRefused(MailError):
    code = "host_refused"
    title = gettext_noop("This installation is refused")
    permanent = True
    remedy = gettext_noop(
        "Ask the operator of the mail server, or of the block list that its answer names, to accept the "
        "address of this installation."
    )


class CommandRefused(MailError):
    code = "command_refused"
    title = gettext_noop("Command refused")
    scope = Scope.MAILBOX
    remedy = gettext_noop("Read the server's answer; the operator of the mail server can say what it means.")


class SpoolFailed(MailError):
    code = "spool_failed"
    title = gettext_noop("No room for temporary files")
    remedy = gettext_noop("Make room on the disk for temporary files of this installation.")


#: How a conversation ends when the server fails at one message. That it takes long is no failure.
BREAKING = (ConnectionLost, TimedOut, ProtocolViolation)
