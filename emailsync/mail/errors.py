"""What can go wrong with mail, as one tree of kinds.

Each kind has a stable `code`, says whether trying again may help (`permanent`), whom it concerns
(`scope`) and what an administrator can do about it (`remedy`). `str(error)` is a sentence, and
`server_reply` holds the server's own words, with every secret taken out.

    MailError
    ├── NotAllowed          PortNotAllowed  AddressForbidden  PlainNotAllowed
    ├── NotConnected        HostNotFound  LookupFailed  Unreachable  ConnectionRefused
    │                       TimedOut  DeadlineExceeded  ConnectionLost
    ├── NotSecured          TlsFailed (PlainTextAnswered, TlsExpected, TlsTooOld, TlsSuiteMissing)
    │                       CertificateInvalid (CertificateExpired, CertificateSelfSigned,
    │                       CertificateWrongHost, CertificateUnknownAuthority, CertificateNotPinned)
    │                       StartTlsMissing  EncryptionRequired
    ├── ProtocolViolation   GreetingStrange
    ├── ServerBusy          TooManyConnections  RateLimited  MailboxLocked
    ├── HostRefused
    ├── CommandRefused
    ├── SpoolFailed
    ├── NotSignedIn         LoginRefused (PasswordExpired, AuthorizationRefused, TokenRefused)  LoginRequired
    │                       LoginRefused (AppPasswordNeeded, OAuthNeeded, WebLoginRequired, AccountLocked,
    │                       AccessDisabled)  LoginMechanismMissing (LoginDisabled)  LoginThrottled
    ├── NotAuthorized       GrantMissing  GrantExpired  ClientRefused  AuthorizationBusy
    ├── FolderMissing       FolderForbidden  FolderRenumbered
    ├── QuotaExceeded
    └── MessageFailure      MessageVanished  MessageUnreadable  MessageTooLarge  MessageRefused
                            SenderRefused  RecipientsRefused (RelayDenied, Greylisted)  OutcomeUnknown
                            NotSeenArriving
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


class OutcomeClass(StrEnum):
    """What follows a failure: see `mailboxes.engine.policy`."""

    TRANSIENT = "transient"
    CONFIGURATION = "credential or configuration"
    MESSAGE = "one message"


def classified(*, scope: Scope, permanent: bool) -> OutcomeClass:
    """Return the class of a failure."""
    if scope is Scope.MESSAGE:
        return OutcomeClass.MESSAGE
    return OutcomeClass.CONFIGURATION if permanent else OutcomeClass.TRANSIENT


class MailError(Exception):
    """Describe a failure in words an administrator can act on."""

    code = "mail_error"
    title = gettext_noop("Failure of the mail server")
    permanent = False
    scope = Scope.PROFILE
    remedy = gettext_noop("Test the mailbox again. If it fails again, ask the operator of the mail server.")

    def __init__(self, sentence: str, *, server_reply: str = "", permanent: bool | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.server_reply = server_reply[:REPLY_LIMIT]
        #: What was said on the connection, without secrets; whoever opened it fills this in.
        self.transcript = ""
        if permanent is not None:
            self.permanent = permanent

    def __str__(self) -> str:
        return self.sentence

    @property
    def outcome_class(self) -> OutcomeClass:
        """Say what follows: trying again, waiting for a person, or giving up one message."""
        return classified(scope=self.scope, permanent=self.permanent)


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
        "Nothing needs to be done at once: the work goes on in the next run. If this repeats, the "
        "server is slow."
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


class NotSignedIn(MailError):
    code = "not_signed_in"
    title = gettext_noop("Not signed in")
    permanent = True
    scope = Scope.MAILBOX
    remedy = gettext_noop("Check the user name and the password of the mailbox.")


class LoginRefused(NotSignedIn):
    code = "login_refused"
    title = gettext_noop("Wrong user name or password")
    remedy = gettext_noop(
        "Enter the user name and password again. Some providers want an app password, or IMAP and SMTP "
        "to be switched on for the account."
    )


class PasswordExpired(LoginRefused):
    code = "password_expired"
    title = gettext_noop("Password expired")
    remedy = gettext_noop("Set a new password at the mail provider and enter it here.")


class AuthorizationRefused(LoginRefused):
    code = "authorization_refused"
    title = gettext_noop("Not entitled to the mailbox")
    remedy = gettext_noop("Grant the signing-in account full access to this mailbox at the mail server.")


class AppPasswordNeeded(LoginRefused):
    code = "app_password_needed"
    title = gettext_noop("App password needed")
    remedy = gettext_noop(
        "Make an app password in the security settings of the account at the mail provider, and enter it "
        "instead of the usual password."
    )


class OAuthNeeded(LoginRefused):
    code = "oauth_needed"
    title = gettext_noop("Sign-in with OAuth needed")
    scope = Scope.PROFILE
    remedy = gettext_noop(
        "Choose OAuth as the authentication type in the server profile and connect the mailbox: the "
        "provider takes passwords no more."
    )


class WebLoginRequired(LoginRefused):
    code = "web_login_required"
    title = gettext_noop("Sign-in on the web required")
    remedy = gettext_noop(
        "Sign in to the account once in a web browser and confirm that it was you, then run Test & "
        "Enable again."
    )


class AccountLocked(LoginRefused):
    code = "account_locked"
    title = gettext_noop("Account locked")
    remedy = gettext_noop(
        "Have the account unlocked, or its license renewed, at the mail provider, then run Test & Enable "
        "again."
    )


class AccessDisabled(LoginRefused):
    code = "access_disabled"
    title = gettext_noop("IMAP, POP3 or SMTP is switched off for the account")
    remedy = gettext_noop(
        "Switch on IMAP, POP3 or SMTP access in the settings of the account at the mail provider."
    )


class TokenRefused(LoginRefused):
    code = "token_refused"
    title = gettext_noop("Access token refused")
    remedy = gettext_noop(
        "Connect the mailbox again with Reconnect on its page. If that does not help, see that the account "
        "has a mailbox, and that IMAP, POP and SMTP are switched on for it."
    )


class LoginRequired(NotSignedIn):
    code = "login_required"
    title = gettext_noop("Sign-in required")
    scope = Scope.PROFILE
    remedy = gettext_noop("Enter a user name and a password: the server accepts nothing from strangers.")


class LoginMechanismMissing(NotSignedIn):
    code = "login_mechanism_missing"
    title = gettext_noop("No common way to sign in")
    scope = Scope.PROFILE
    remedy = gettext_noop(
        "Have sign-in by password switched on at the mail server, or choose another way to sign in."
    )


class LoginDisabled(LoginMechanismMissing):
    code = "login_disabled"
    title = gettext_noop("Sign-in by password disabled")
    remedy = gettext_noop(
        "Have sign-in by password (for Exchange Online: Authenticated SMTP) switched on for the mailbox, "
        "or sign in with OAuth."
    )


class LoginThrottled(NotSignedIn):
    code = "login_throttled"
    title = gettext_noop("Sign-in not possible just now")
    permanent = False
    remedy = gettext_noop(
        "Nothing needs to be done at once: it is tried again later. If this repeats, allow fewer connections."
    )


class NotAuthorized(MailError):
    """OAuth 2.0 gave no access token to sign in with (RFC 6749, section 5.2)."""

    code = "not_authorized"
    title = gettext_noop("Not authorized")
    permanent = True
    scope = Scope.MAILBOX
    remedy = gettext_noop("Connect the mailbox with Connect on its page.")


class GrantMissing(NotAuthorized):
    code = "oauth_not_connected"
    title = gettext_noop("Not connected with OAuth")


class GrantExpired(NotAuthorized):
    code = "oauth_expired"
    title = gettext_noop("Permission ended (OAuth)")
    remedy = gettext_noop("Connect the mailbox again with Reconnect on its page.")


class ClientRefused(NotAuthorized):
    code = "oauth_client_refused"
    title = gettext_noop("Registered application refused (OAuth)")
    scope = Scope.PROFILE
    remedy = gettext_noop(
        "Check the client id, the client secret and the tenant id in the server profile. The secret may have "
        "expired: make a new one where the application is registered, and enter it."
    )


class AuthorizationBusy(NotAuthorized):
    code = "oauth_unavailable"
    title = gettext_noop("OAuth provider does not answer")
    permanent = False
    scope = Scope.PROFILE
    remedy = gettext_noop(
        "Nothing needs to be done: it is tried again. If it goes on, check the token endpoint in the server "
        "profile and the network between this installation and it."
    )


class FolderMissing(MailError):
    code = "folder_missing"
    title = gettext_noop("Folder missing")
    permanent = True
    scope = Scope.MAILBOX
    remedy = gettext_noop(
        "Check that the account has a mailbox at this server: signing in to its webmail once often creates "
        "the INBOX."
    )


class FolderForbidden(MailError):
    code = "folder_forbidden"
    title = gettext_noop("Folder not accessible")
    permanent = True
    scope = Scope.MAILBOX
    remedy = gettext_noop("Grant the signing-in account the right to read (and change) this folder.")


class FolderRenumbered(MailError):
    code = "folder_renumbered"
    title = gettext_noop("Folder renumbered again and again")
    scope = Scope.MAILBOX
    remedy = gettext_noop(
        "Nothing needs to be done at once: the folder is compared with what is stored later. If this "
        "repeats, have the mailbox repaired at the mail server (its UIDVALIDITY changes)."
    )


class QuotaExceeded(MailError):
    code = "quota_exceeded"
    title = gettext_noop("Mailbox full")
    scope = Scope.MESSAGE
    remedy = gettext_noop("Make room in the mailbox, or have its quota raised.")


class MessageFailure(MailError):
    code = "message_failure"
    title = gettext_noop("Message failed")
    scope = Scope.MESSAGE
    remedy = gettext_noop("Look at the message and the server's answer.")


class MessageVanished(MessageFailure):
    code = "message_vanished"
    title = gettext_noop("Message gone")
    permanent = True
    remedy = gettext_noop("Nothing needs to be done: somebody removed the message from the server meanwhile.")


class MessageUnreadable(MessageFailure):
    """Name the messages that the server lists but does not hand out."""

    code = "message_unreadable"
    title = gettext_noop("Message withheld by the server")
    remedy = gettext_noop("Have the mailbox repaired at the mail server; the message is asked for again.")

    def __init__(self, sentence: str, *, uids: Sequence[int], server_reply: str = "") -> None:
        super().__init__(sentence, server_reply=server_reply)
        self.uids = tuple(uids)


class MessageTooLarge(MessageFailure):
    code = "message_too_large"
    title = gettext_noop("Message too large")
    permanent = True
    remedy = gettext_noop(
        "Send the message with smaller attachments, or have the limit of the mail server raised."
    )


class MessageRefused(MessageFailure):
    code = "message_refused"
    title = gettext_noop("Message refused")
    permanent = True
    remedy = gettext_noop("Read the server's answer, change the message and send it again.")


class SenderRefused(MessageFailure):
    code = "sender_refused"
    title = gettext_noop("Sender refused")
    permanent = True
    scope = Scope.MAILBOX
    remedy = gettext_noop("Allow the signing-in account to send from this address at the mail server.")


class RecipientsRefused(MessageFailure):
    """Name every recipient with the server's answer, those refused for good and those for now."""

    code = "recipients_refused"
    title = gettext_noop("Recipient refused")
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


class RelayDenied(RecipientsRefused):
    code = "relay_denied"
    title = gettext_noop("Relaying denied")
    remedy = gettext_noop(
        "Check that the server profile signs in for outgoing email, and that this server is the one that "
        "sends for the mailbox's domain."
    )


class Greylisted(RecipientsRefused):
    code = "greylisted"
    title = gettext_noop("Greylisted")
    permanent = False
    remedy = gettext_noop(
        "Nothing needs to be done: the server wants to see the message once more, and it is sent again "
        "by itself."
    )


class OutcomeUnknown(MessageFailure):
    code = "outcome_unknown"
    title = gettext_noop("Outcome unknown")
    permanent = True
    remedy = gettext_noop(
        "Look into the Sent folder, or ask the recipient, before sending it again: the connection broke "
        "when the server already had the message."
    )


class NotSeenArriving(MessageFailure):
    code = "not_seen_arriving"
    title = gettext_noop("Accepted, but not seen arriving")
    remedy = gettext_noop(
        "Look for the test message in the mailbox, its spam folder and the queue of the mail server. If "
        "it arrives late, nothing needs to be done."
    )
