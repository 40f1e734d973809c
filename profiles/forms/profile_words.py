"""What the form of a server profile says: labels, tips, and what is wrong."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy as _

from profiles.choices import AuthenticationType

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise

Words = Mapping[str, "_StrOrPromise"]

LABELS: Words = {
    "server_type": _("Email Server Type"),
    "name": _("Name"),
    "description": _("Description"),
    "owner": _("Owner"),
    "is_default": _("Set as default profile for new mailboxes"),
    "authentication_type": _("Authentication Type"),
    "user_name": _("User Name"),
    "password": _("Password"),
    "impersonation": _("Use Impersonation"),
    "use_same_settings_for_outgoing": _("Use same settings for Outgoing"),
    "outgoing_authentication_type": _("Outgoing Authentication Type"),
    "outgoing_user_name": _("Outgoing User Name"),
    "outgoing_password": _("Outgoing Password"),
    "outgoing_impersonation": _("Outgoing Impersonation"),
    "oauth_provider": _("OAuth provider"),
    "oauth_grant": _("Permission given by"),
    "oauth_tenant_id": _("Tenant Id"),
    "oauth_client_id": _("Client Id"),
    "oauth_client_secret": _("Client Secret"),
    "oauth_secret_expires_on": _("Client Secret expires on"),
    "oauth_authorization_url": _("Authorization endpoint"),
    "oauth_token_url": _("Token endpoint"),
    "oauth_scopes": _("Scopes"),
    "incoming_protocol": _("Incoming communication protocol"),
    "incoming_location": _("Incoming location"),
    "incoming_port": _("Incoming port"),
    "incoming_security": _("Use SSL for incoming"),
    "incoming_authentication_protocol": _("Incoming authentication protocol"),
    "outgoing_location": _("Outgoing location"),
    "outgoing_port": _("Outgoing port"),
    "outgoing_security": _("Use SSL for outgoing"),
    "outgoing_authentication_protocol": _("Outgoing authentication protocol"),
    "process_email_from": _("Process emails from"),
    "minimum_polling_interval": _("Minimum polling interval"),
    "maximum_concurrent_connections": _("Maximum concurrent connections"),
    "move_failed_to_undeliverable": _("Move failed emails to Undeliverable folder"),
    "append_to_sent": _("Add sent email to the Sent folder"),
    "alert_owner_on_major_events": _("Send an alert email to the owner on major events"),
    "timeout_enabled": _("Timeout mailbox connection"),
    "timeout_seconds": _("Timeout after"),
    "encoding_code_page": _("Encoding code page"),
    "ca_certificates": _("Additional trusted certificates"),
    "pinned_certificates": _("Pinned certificates"),
    "notes": _("Notes"),
}
#: The full form keeps the names of the form it replaces.
FULL_LABELS: Words = {
    "server_type": _("Server Type"),
    "authentication_type": _("Authenticate Using"),
    "outgoing_authentication_type": _("Authenticate Using"),
    "outgoing_user_name": _("User Name"),
    "outgoing_password": _("Password"),
    "outgoing_impersonation": _("Use Impersonation"),
    "incoming_location": _("Incoming Server Location"),
    "incoming_port": _("Incoming Port"),
    "incoming_security": _("Use SSL for Incoming Connection"),
    "incoming_authentication_protocol": _("Incoming Authentication Protocol"),
    "outgoing_location": _("Outgoing Server Location"),
    "outgoing_port": _("Outgoing Port"),
    "outgoing_security": _("Use SSL for Outgoing Connection"),
    "outgoing_authentication_protocol": _("Outgoing Authentication Protocol"),
    "process_email_from": _("Process Email From"),
    "minimum_polling_interval": _("Minimum Polling Interval in Minutes"),
    "maximum_concurrent_connections": _("Maximum Concurrent Connections"),
    "move_failed_to_undeliverable": _("Move Failed Emails to Undeliverable Folder"),
    "timeout_enabled": _("Timeout Mailbox Connection"),
    "timeout_seconds": _("Timeout a Single Mailbox Connection After"),
}
SECRET = _("Encrypted before it is stored, and never shown again.")
#: The names that the server types have for it stand beside it.
OAUTH = _("OAuth (Gmail OAuth, Oauth (Cross Tenant))")
#: What the panel calls the ways to sign in; the full form has the names of the one it replaces.
AUTHENTICATION: Words = {
    AuthenticationType.BY_USER_OR_QUEUE: _("Credential Specified by user or queue"),
    AuthenticationType.IN_PROFILE: _("Credential specified in email server profile"),
}
TIPS: Words = {
    "oauth_provider": _("Who gives the access tokens. Gmail has Google, Exchange Online Microsoft."),
    "oauth_grant": _(
        "Either each person connects their mailbox on its page, or the application has a permission for all "
        "mailboxes that an administrator of the mail system has given it."
    ),
    "oauth_tenant_id": _("The directory (tenant) id of the organization whose mailboxes these are."),
    "oauth_client_id": _("The id of your application where it is registered; also called Application Id."),
    "oauth_client_secret": SECRET,
    "oauth_secret_expires_on": _("As the provider shows it. You are told in time before that day."),
    "oauth_authorization_url": _("Where a person signs in and gives the permission."),
    "oauth_token_url": _("Where codes and refresh tokens are exchanged for access tokens."),
    "oauth_scopes": _("What is asked for, separated by spaces. Empty means what Google or Microsoft need."),
    "server_type": _("The kind of mail system this profile talks to. It cannot be changed later."),
    "name": _("What people recognise when they pick a profile for a mailbox."),
    "description": _("What this profile is for."),
    "is_default": _(
        "Mailboxes created later start with this profile. Only one profile is the default: turning this on "
        "takes it from the one before."
    ),
    "authentication_type": _(
        "Decides whose credentials are used to sign in: those on each mailbox, or one account stored here."
    ),
    "user_name": _("The account that signs in for every mailbox of this profile."),
    "password": SECRET,
    "impersonation": _("How that one account opens the mailboxes of others. None opens its own only."),
    "use_same_settings_for_outgoing": _("Sends with the same sign-in as it receives."),
    "outgoing_authentication_type": _("Whose credentials are used to sign in for sending."),
    "outgoing_user_name": _("The account that signs in to send for every mailbox of this profile."),
    "outgoing_password": SECRET,
    "outgoing_impersonation": _("How that one account sends for others."),
    "incoming_protocol": _("The protocol that reads mail. It cannot be changed later."),
    "incoming_location": _("The host that mail is read from: its name only, without imap:// and port."),
    "outgoing_location": _("The host that mail is sent through: its name only, without smtp:// and port."),
    "incoming_port": _("Leave it empty to use the usual port for this protocol and security."),
    "outgoing_port": _("Leave it empty to use the usual port for this protocol and security."),
    "incoming_security": _(
        "Encrypts the connection. TLS from the start is the usual choice. STARTTLS begins in the "
        "clear and is "
        "encrypted before anybody signs in."
    ),
    "outgoing_security": _(
        "Encrypts the connection. TLS from the start is usual on port 465, STARTTLS on port 587."
    ),
    "incoming_authentication_protocol": _(
        "How the password is given to the server. Auto Detect takes the best way that the server "
        "offers, Basic "
        "the plain one. Both only travel as safely as the connection is encrypted."
    ),
    "outgoing_authentication_protocol": _("The same for sending."),
    "process_email_from": _(
        "Mail that the server received before this moment is left alone. An earlier date brings older mail "
        "into mailboxes that start with this profile, and delays their new mail. A mailbox may begin later."
    ),
    "minimum_polling_interval": _(
        "The least time between two checks of a mailbox. 0 sets no minimum. It is a floor and no timetable: "
        "a busy installation may check less often."
    ),
    "maximum_concurrent_connections": _(
        "The most connections to the server at the same time. Raise it for more throughput, lower "
        "it when the "
        "server complains about too many."
    ),
    "move_failed_to_undeliverable": _(
        "Incoming mail that could not be stored is moved to a folder named Undeliverable on the "
        "server, where "
        "somebody can look at it. Turned off, or over POP3, it stays in the Inbox and is only recorded."
    ),
    "append_to_sent": _(
        "Keeps a copy of each sent email in the mailbox, over IMAP and apart from sending. Gmail, Exchange "
        "Online and some others do it themselves. POP3 mailboxes have no such folder."
    ),
    "alert_owner_on_major_events": _(
        "Sends an email to the owner of this profile when more than half of its mailboxes stopped working "
        "within an hour."
    ),
    "timeout_enabled": _(
        "Gives up on a server that does not answer in the time set here. Turned off, the installation's own "
        "limit of 30 seconds holds."
    ),
    "timeout_seconds": _("How long to wait for each answer of the server, up to 100 seconds."),
    "encoding_code_page": _(
        "The character set of outgoing text, such as iso-8859-1. Empty means UTF-8, which every "
        "mail program of "
        "today reads."
    ),
    "ca_certificates": _(
        "For servers whose certificate comes from an authority of your own. They are trusted "
        "beside the usual "
        "ones, by this profile alone."
    ),
    "pinned_certificates": _(
        "SHA-256 fingerprints of the servers' certificates or of their keys, one a line, for servers that no "
        "authority vouches for. With any, only these are trusted, and no other certificate, however valid. "
        "A failed Test & Enable shows the fingerprint; compare it with what the operator of the server says."
    ),
    "owner": _("Sees the alerts of this profile, the errors of its mailboxes, and gets its alert email."),
    "notes": _("For yourselves; nothing depends on them."),
}
PORT = _("A port is a number from 1 to 65535. Leave it empty for the usual one.")
ERRORS: Mapping[str, Words] = {
    "name": {"required": _("Enter a name that people will recognise when they pick a profile.")},
    "incoming_location": {"required": _("Enter the host that mail is read from, such as imap.example.org.")},
    "outgoing_location": {
        "required": _("Enter the host that mail is sent through, such as smtp.example.org.")
    },
    "incoming_port": {"min_value": PORT, "max_value": PORT, "invalid": PORT},
    "outgoing_port": {"min_value": PORT, "max_value": PORT, "invalid": PORT},
    "minimum_polling_interval": {
        "required": _("Enter the minutes between two checks; 0 sets no minimum."),
        "min_value": _("Enter 0 or more minutes."),
        "max_value": _("Enter at most 1440 minutes, which is a day."),
    },
    "maximum_concurrent_connections": {
        "required": _("Enter a number from 1 to 300; the usual one is 10."),
        "min_value": _("Allow at least 1 connection."),
        "max_value": _("Allow at most 300 connections."),
    },
    "timeout_seconds": {
        "required": _("Enter a number of seconds from 1 to 100."),
        "min_value": _("Wait at least 1 second."),
        "max_value": _("Wait at most 100 seconds."),
    },
}
TYPE_AGAIN = _("Passwords are never sent back to the browser. Type the password again.")
