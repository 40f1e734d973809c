"""What can go wrong with mail, as one tree of kinds.

Each kind has a stable `code`, says whether trying again may help (`permanent`), whom it concerns
(`scope`) and what an administrator can do about it (`remedy`). `str(error)` is a sentence, and
`server_reply` holds the server's own words, with every secret taken out.

    MailError
    ├── NotAllowed          PortNotAllowed  AddressForbidden  PlainNotAllowed
    ├── NotConnected        HostNotFound  LookupFailed  Unreachable  ConnectionRefused
    │                       TimedOut  DeadlineExceeded  ConnectionLost
    ├── NotSecured          TlsFailed (PlainTextAnswered, TlsExpected)  CertificateInvalid
    │                       StartTlsMissing  EncryptionRequired
    ├── ProtocolViolation
    ├── ServerBusy
    ├── CommandRefused
    ├── SpoolFailed
    ├── NotSignedIn         LoginRefused (PasswordExpired, AuthorizationRefused)  LoginRequired
    │                       LoginMechanismMissing  LoginThrottled
    ├── FolderMissing       FolderForbidden  FolderRenumbered
    ├── QuotaExceeded
    └── MessageFailure      MessageVanished  MessageUnreadable  MessageTooLarge  MessageRefused
                            SenderRefused  RecipientsRefused  OutcomeUnknown
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum

from emailsync.mail.words import gettext_noop

REPLY_LIMIT = 500


class Scope(StrEnum):
    """Whom a failure concerns: everyone on the server, one mailbox, or one message."""

    PROFILE = "profile"
    MAILBOX = "mailbox"
    MESSAGE = "message"


class MailError(Exception):
    """Describe a failure in words an administrator can act on."""

    code = "mail_error"
    permanent = False
    scope = Scope.PROFILE
    remedy = gettext_noop("Test the mailbox again. If it fails again, ask the operator of the mail server.")

    def __init__(self, sentence: str, *, server_reply: str = "", permanent: bool | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.server_reply = server_reply[:REPLY_LIMIT]
        if permanent is not None:
            self.permanent = permanent

    def __str__(self) -> str:
        return self.sentence


class NotAllowed(MailError):
    code = "not_allowed"
    permanent = True
    remedy = gettext_noop("Choose a server that this installation is allowed to reach.")


class PortNotAllowed(NotAllowed):
    code = "port_not_allowed"
    remedy = gettext_noop(
        "Choose one of the allowed ports in the server profile, or ask the operator of this installation "
        "to add the port to EMAILSYNC_ALLOWED_PORTS."
    )


class AddressForbidden(NotAllowed):
    code = "address_forbidden"
    remedy = gettext_noop(
        "Enter the public name of the mail server, or ask the operator of this installation to add its "
        "network to EMAILSYNC_ALLOWED_NETWORKS."
    )


class PlainNotAllowed(NotAllowed):
    code = "plain_not_allowed"
    remedy = gettext_noop("Choose TLS or STARTTLS in the server profile: passwords are not sent unencrypted.")


class NotConnected(MailError):
    code = "not_connected"
    remedy = gettext_noop(
        "Check the server's name and port in the server profile, and that the server is running."
    )


class HostNotFound(NotConnected):
    code = "host_not_found"
    permanent = True
    remedy = gettext_noop("Correct the server's name in the server profile: no address is known for it.")


class LookupFailed(NotConnected):
    code = "lookup_failed"
    remedy = gettext_noop(
        "Check the name service (DNS) of this installation; the name of the server could not be asked for."
    )


class Unreachable(NotConnected):
    code = "unreachable"
    remedy = gettext_noop("Check the network and the firewall between this installation and the mail server.")


class ConnectionRefused(NotConnected):
    code = "connection_refused"
    remedy = gettext_noop(
        "Check the port in the server profile, that the mail server is running, and that no firewall "
        "rejects the connection."
    )


class TimedOut(NotConnected):
    code = "timed_out"
    remedy = gettext_noop(
        "Check the port in the server profile and the firewall; the server may also be overloaded."
    )


class DeadlineExceeded(NotConnected):
    code = "deadline_exceeded"
    scope = Scope.MAILBOX
    remedy = gettext_noop(
        "Nothing needs to be done at once: the work goes on in the next run. If this repeats, the "
        "server is slow."
    )


class ConnectionLost(NotConnected):
    code = "connection_lost"
    remedy = gettext_noop(
        "Nothing needs to be done at once: it is tried again. If this repeats, look into the log of the "
        "mail server for the reason."
    )


class NotSecured(MailError):
    code = "not_secured"
    permanent = True
    remedy = gettext_noop("Check the encryption chosen in the server profile.")


class TlsFailed(NotSecured):
    code = "tls_failed"
    remedy = gettext_noop(
        "Check the encryption and port in the server profile; the server must offer TLS 1.2 or 1.3."
    )


class PlainTextAnswered(TlsFailed):
    code = "plain_text_answered"
    remedy = gettext_noop(
        "Choose STARTTLS in the server profile, or the port for TLS (993 for IMAP, 995 for POP3, 465 "
        "for SMTP)."
    )


class TlsExpected(TlsFailed):
    code = "tls_expected"
    remedy = gettext_noop(
        "Choose TLS in the server profile, or the port for STARTTLS (143 for IMAP, 110 for POP3, 587 "
        "for SMTP)."
    )


class CertificateInvalid(NotSecured):
    code = "certificate_invalid"
    remedy = gettext_noop(
        "Enter the server's name as its certificate says it, renew the certificate, or add the authority "
        "that signed it to the trusted certificates."
    )


class StartTlsMissing(NotSecured):
    code = "starttls_missing"
    remedy = gettext_noop(
        "Choose TLS and its port in the server profile, or have STARTTLS switched on at the mail server."
    )


class EncryptionRequired(NotSecured):
    code = "encryption_required"
    remedy = gettext_noop(
        "Choose TLS or STARTTLS in the server profile: the server takes no password otherwise."
    )


class ProtocolViolation(MailError):
    code = "protocol_violation"
    remedy = gettext_noop(
        "Check that the server profile names a mail server and the right port for its protocol."
    )


class ServerBusy(MailError):
    code = "server_busy"
    remedy = gettext_noop(
        "Nothing needs to be done at once: it is tried again later. If this repeats, allow fewer connections."
    )


class CommandRefused(MailError):
    code = "command_refused"
    scope = Scope.MAILBOX
    remedy = gettext_noop("Read the server's answer; the operator of the mail server can say what it means.")


class SpoolFailed(MailError):
    code = "spool_failed"
    remedy = gettext_noop("Make room on the disk for temporary files of this installation.")


class NotSignedIn(MailError):
    code = "not_signed_in"
    permanent = True
    scope = Scope.MAILBOX
    remedy = gettext_noop("Check the user name and the password of the mailbox.")


class LoginRefused(NotSignedIn):
    code = "login_refused"
    remedy = gettext_noop(
        "Enter the user name and password again. Some providers want an app password, or IMAP and SMTP "
        "to be switched on for the account."
    )


class PasswordExpired(LoginRefused):
    code = "password_expired"
    remedy = gettext_noop("Set a new password at the mail provider and enter it here.")


class AuthorizationRefused(LoginRefused):
    code = "authorization_refused"
    remedy = gettext_noop("Grant the signing-in account full access to this mailbox at the mail server.")


class LoginRequired(NotSignedIn):
    code = "login_required"
    scope = Scope.PROFILE
    remedy = gettext_noop("Enter a user name and a password: the server accepts nothing from strangers.")


class LoginMechanismMissing(NotSignedIn):
    code = "login_mechanism_missing"
    scope = Scope.PROFILE
    remedy = gettext_noop(
        "Have sign-in by password switched on at the mail server, or choose another way to sign in."
    )


class LoginThrottled(NotSignedIn):
    code = "login_throttled"
    permanent = False
    remedy = gettext_noop(
        "Nothing needs to be done at once: it is tried again later. If this repeats, allow fewer connections."
    )


class FolderMissing(MailError):
    code = "folder_missing"
    permanent = True
    scope = Scope.MAILBOX
    remedy = gettext_noop("Create the folder in the mailbox, or choose another folder.")


class FolderForbidden(MailError):
    code = "folder_forbidden"
    permanent = True
    scope = Scope.MAILBOX
    remedy = gettext_noop("Grant the signing-in account the right to read (and change) this folder.")


class FolderRenumbered(MailError):
    code = "folder_renumbered"
    scope = Scope.MAILBOX
    remedy = gettext_noop(
        "Nothing needs to be done at once: the folder is compared with what is stored later. If this "
        "repeats, have the mailbox repaired at the mail server (its UIDVALIDITY changes)."
    )


class QuotaExceeded(MailError):
    code = "quota_exceeded"
    scope = Scope.MAILBOX
    remedy = gettext_noop("Make room in the mailbox, or have its quota raised.")


class MessageFailure(MailError):
    code = "message_failure"
    scope = Scope.MESSAGE
    remedy = gettext_noop("Look at the message and the server's answer.")


class MessageVanished(MessageFailure):
    code = "message_vanished"
    permanent = True
    remedy = gettext_noop("Nothing needs to be done: somebody removed the message from the server meanwhile.")


class MessageUnreadable(MessageFailure):
    """Name the messages that the server lists but does not hand out."""

    code = "message_unreadable"
    remedy = gettext_noop("Have the mailbox repaired at the mail server; the message is asked for again.")

    def __init__(self, sentence: str, *, uids: Sequence[int], server_reply: str = "") -> None:
        super().__init__(sentence, server_reply=server_reply)
        self.uids = tuple(uids)


class MessageTooLarge(MessageFailure):
    code = "message_too_large"
    permanent = True
    remedy = gettext_noop(
        "Send the message with smaller attachments, or have the limit of the mail server raised."
    )


class MessageRefused(MessageFailure):
    code = "message_refused"
    permanent = True
    remedy = gettext_noop("Read the server's answer, change the message and send it again.")


class SenderRefused(MessageFailure):
    code = "sender_refused"
    permanent = True
    scope = Scope.MAILBOX
    remedy = gettext_noop("Allow the signing-in account to send from this address at the mail server.")


class RecipientsRefused(MessageFailure):
    """Name every recipient with the server's answer, those refused for good and those for now."""

    code = "recipients_refused"
    permanent = True
    remedy = gettext_noop("Correct the addresses of the recipients and send the message again.")

    def __init__(
        self,
        sentence: str,
        *,
        refused: Mapping[str, str],
        deferred: Mapping[str, str],
        server_reply: str = "",
    ) -> None:
        super().__init__(sentence, server_reply=server_reply, permanent=not deferred)
        self.refused = dict(refused)
        self.deferred = dict(deferred)


class OutcomeUnknown(MessageFailure):
    code = "outcome_unknown"
    permanent = True
    remedy = gettext_noop(
        "Look into the Sent folder, or ask the recipient, before sending it again: the connection broke "
        "when the server already had the message."
    )
