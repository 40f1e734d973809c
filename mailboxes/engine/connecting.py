"""From rows to connections: endpoints, credentials and limits. Only here are secrets revealed to sign in."""

from dataclasses import replace

from django.conf import settings
from django.utils.translation import gettext_noop

from emailsync.crypto.fields import Secret
from emailsync.crypto.keyring import KeyRingError, SecretUnreadable
from emailsync.mail.auth import Password
from emailsync.mail.errors import MailError, Scope
from emailsync.mail.incoming import IncomingClient
from emailsync.mail.registry import INCOMING, OUTGOING
from emailsync.mail.smtp import SmtpClient
from emailsync.mail.wire import Deadline, Wire
from mailboxes.choices import Direction
from mailboxes.engine.eligibility import authentication_type
from mailboxes.models import Mailbox
from profiles.choices import AuthenticationType, Impersonation
from profiles.models import ServerProfile

#: A probe may take this long in all, a sync or a delivery run RUN_DEADLINE.
PROBE_SECONDS = 60.0


class CredentialUnreadable(MailError):
    """A stored password cannot be opened, or is nothing that may be sent to a server."""

    code = "credential_unreadable"
    permanent = True
    scope = Scope.MAILBOX
    remedy = gettext_noop("Restore the encryption keys that it was saved with, or enter the password again.")


def profile_of(mailbox: Mailbox) -> ServerProfile:
    """Return the profile of a mailbox that passed the checklist."""
    assert mailbox.server_profile is not None
    return mailbox.server_profile


def wire(profile: ServerProfile, *, seconds: float | None = None) -> Wire:
    """Return how to talk to the servers of `profile`: policy, trust, timeout a call, deadline for all."""
    made = Wire(
        policy=settings.NETWORK_POLICY,
        deadline=Deadline.after(seconds or settings.RUN_DEADLINE.total_seconds()),
        ca_certificates=profile.ca_certificates,
    )
    return replace(made, timeout=profile.timeout_ms / 1000) if profile.timeout_enabled else made


def credential(mailbox: Mailbox, direction: str) -> Password:
    """Return who signs in for `direction` of `mailbox`. Raises CredentialUnreadable.

    One account of the profile opens the mailboxes of others by SASL authorization identity (RFC 4616) or
    as "user*master".
    """
    profile = profile_of(mailbox)
    if authentication_type(profile, direction) == AuthenticationType.BY_USER_OR_QUEUE:
        return _password(mailbox.user_name, mailbox.password)
    own = direction == Direction.OUTGOING and not profile.use_same_settings_for_outgoing
    user_name = profile.outgoing_user_name if own else profile.user_name
    secret = profile.outgoing_password if own else profile.password
    impersonation = profile.outgoing_impersonation if own else profile.impersonation
    identity = mailbox.user_name or mailbox.address
    if impersonation == Impersonation.MASTER_USER:
        return _password(f"{identity}*{user_name}", secret)
    if impersonation == Impersonation.SASL_AUTHORIZATION_IDENTITY:
        return _password(user_name, secret, identity=identity)
    return _password(user_name, secret)


def _password(user_name: str, secret: Secret, *, identity: str = "") -> Password:
    try:
        return Password(user_name=user_name, password=secret.reveal(), authorization_identity=identity)
    except (SecretUnreadable, KeyRingError, ValueError) as error:
        raise CredentialUnreadable(str(error)) from error


def open_incoming(mailbox: Mailbox, *, seconds: float | None = None) -> IncomingClient:
    """Return a signed-in client for the server that `mailbox` receives from. Raises MailError.

    It may be used for `seconds`, or as long as a run takes.
    """
    profile = profile_of(mailbox)
    endpoint = profile.incoming_endpoint
    return INCOMING[endpoint.protocol](
        endpoint, credential(mailbox, Direction.INCOMING), wire(profile, seconds=seconds)
    )


def open_outgoing(mailbox: Mailbox) -> SmtpClient:
    """Return a signed-in client for the server that `mailbox` sends through. Raises MailError."""
    profile = profile_of(mailbox)
    endpoint = profile.outgoing_endpoint
    return OUTGOING[endpoint.protocol](endpoint, credential(mailbox, Direction.OUTGOING), wire(profile))
