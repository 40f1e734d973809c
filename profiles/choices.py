"""The fixed sets that profiles and mailboxes choose from, with the labels the console shows."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class EnvironmentKind(models.TextChoices):
    """What an environment is for."""

    PRODUCTION = "production", _("Production")
    SANDBOX = "sandbox", _("Sandbox")


class Role(models.TextChoices):
    """What somebody is in an environment; `profiles.access` says what each role may do."""

    SYSTEM_ADMINISTRATOR = "system_administrator", _("System Administrator")
    SYSTEM_CUSTOMIZER = "system_customizer", _("System Customizer")
    MAILBOX_ADMINISTRATOR = "mailbox_administrator", _("Mailbox Administrator")
    EMAIL_APPROVER = "email_approver", _("Email Approver")
    AUDITOR = "auditor", _("Auditor")
    MEMBER = "member", _("Member")


class ServerType(models.TextChoices):
    """The kind of mail system a profile talks to; fixed after creation."""

    EXCHANGE_ONLINE = "exchange_online", _("Exchange Online")
    EXCHANGE_SERVER = "exchange_server", _("Exchange Server (On Prem)")
    GMAIL = "gmail", _("Gmail")
    OTHER = "other", _("Other (IMAP/POP,SMTP)")


class IncomingProtocol(models.TextChoices):
    """The protocol that reads mail."""

    IMAP = "imap", _("IMAP")
    POP3 = "pop3", _("POP3")


class ConnectionSecurity(models.TextChoices):
    """How a connection is encrypted."""

    TLS = "tls", _("TLS from the start")
    STARTTLS = "starttls", _("STARTTLS")
    NONE = "none", _("None")


class AuthenticationType(models.TextChoices):
    """Where the sign-in for the mail server comes from (the console's "Authenticate Using")."""

    BY_USER_OR_QUEUE = "credentials_by_user_or_queue", _("Credentials Specified by a User or Queue")
    IN_PROFILE = "credentials_in_profile", _("Credentials Specified in Email Server Profile")
    WINDOWS_INTEGRATED = "windows_integrated", _("Windows Integrated Authentication")
    ANONYMOUS = "anonymous", _("Without Credentials (Anonymous)")
    OAUTH = "oauth", _("OAuth")


class OAuthProvider(models.TextChoices):
    """Who gives access tokens."""

    GOOGLE = "google", _("Google")
    MICROSOFT = "microsoft", _("Microsoft")
    OTHER = "other", _("Other")


class OAuthGrant(models.TextChoices):
    """Whose permission an access token stands for (RFC 6749, section 1.3)."""

    AUTHORIZATION_CODE = "authorization_code", _("The person of each mailbox (authorization code)")
    CLIENT_CREDENTIALS = "client_credentials", _("The application, for all mailboxes (client credentials)")


class AuthenticationProtocol(models.TextChoices):
    """The mechanism used to sign in."""

    AUTO_DETECT = "auto_detect", _("Auto Detect")
    NEGOTIATE = "negotiate", _("Negotiate")
    NTLM = "ntlm", _("NTLM")
    BASIC = "basic", _("Basic")
    OAUTH = "oauth", _("OAuth")


class Impersonation(models.TextChoices):
    """How one account of the profile opens the mailboxes of others."""

    NONE = "none", _("None")
    SASL_AUTHORIZATION_IDENTITY = "sasl_authorization_identity", _("SASL authorization identity")
    MASTER_USER = "master_user", _('Master user ("user*master")')


class IncomingMethod(models.TextChoices):
    """How a mailbox receives mail."""

    NONE = "none", _("None")
    SERVER_SIDE = "server_side_synchronization", _("Server-Side Synchronization or Email Router")
    FORWARD_MAILBOX = "forward_mailbox", _("Forward Mailbox")


class OutgoingMethod(models.TextChoices):
    """How a mailbox sends mail."""

    NONE = "none", _("None")
    SERVER_SIDE = "server_side_synchronization", _("Server-Side Synchronization or Email Router")


class AppendToSent(models.TextChoices):
    """Whether sent mail is added to the Sent folder of its mailbox."""

    AUTO = "auto", _("Auto: unless the mail server does it itself")
    ALWAYS = "always", _("Always")
    NEVER = "never", _("Never")


class ActMethod(models.TextChoices):
    """How appointments, contacts and tasks are synchronized; IMAP and POP3 know none."""

    NONE = "none", _("None")
    SERVER_SIDE = "server_side_synchronization", _("Server-Side Synchronization")


#: Rows of Email settings that have no effect here: the name of the field, its label and why. The page shows
#: them where the admin center does, switched off.
UNRESOLVED_RECIPIENTS = (
    (
        "send_to_unresolved_recipients",
        _("People can send emails with unresolved recipients"),
        _("Always allowed here: there are no contact records that an address could be resolved to."),
    ),
    (
        "unresolve_ambiguous_recipients",
        _("If there are multiple possible recipient matches in To, CC, BCC, set them as unresolved"),
        _("Without effect here: an address is itself, and never stands for one of several records."),
    ),
    (
        "apply_manual_resolution_to_similar",
        _(
            "When someone manually resolves an unresolved email address, apply it to all similar "
            "unresolved addresses"
        ),
        _("Without effect here: no address is ever unresolved, so nobody has to resolve one."),
    ),
)
