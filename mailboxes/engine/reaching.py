"""What every conversation of the engine begins with: a bounded wire, and secrets as text for the server."""

from dataclasses import replace

from django.conf import settings
from django.utils.translation import gettext_noop

from emailsync.crypto.fields import Secret
from emailsync.crypto.keyring import KeyRingError, SecretUnreadable
from emailsync.mail.errors import MailError, Scope
from emailsync.mail.wire import Deadline, Wire
from profiles.models import ServerProfile

#: A probe may take this long in all, and so may a question to an OAuth provider.
PROBE_SECONDS = 60.0


class CredentialUnreadable(MailError):
    """A stored password cannot be opened, or is nothing that may be sent to a server."""

    code = "credential_unreadable"
    permanent = True
    scope = Scope.MAILBOX
    remedy = gettext_noop("Restore the encryption keys that it was saved with, or enter the password again.")


def reveal(secret: Secret) -> str:
    """Return the text of `secret`. Raises CredentialUnreadable."""
    try:
        return secret.reveal()
    except (SecretUnreadable, KeyRingError) as error:
        raise CredentialUnreadable(str(error)) from error


def wire(profile: ServerProfile, *, seconds: float) -> Wire:
    """Return how to talk to the servers of `profile`: policy, trust, timeout a call, deadline for all."""
    made = Wire(
        policy=settings.NETWORK_POLICY,
        deadline=Deadline.after(seconds),
        ca_certificates=profile.ca_certificates,
    )
    return replace(made, timeout=profile.timeout_ms / 1000) if profile.timeout_enabled else made
