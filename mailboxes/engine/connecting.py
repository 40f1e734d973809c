"""From rows to connections: endpoints, credentials and limits."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

from django.conf import settings

from emailsync.crypto.fields import Secret
from emailsync.mail.auth import BearerToken, Credential, Password
from emailsync.mail.certificates import parse_pins
from emailsync.mail.errors import DeadlineExceeded, MailError, TokenRefused
from emailsync.mail.incoming import IncomingClient
from emailsync.mail.registry import INCOMING, OUTGOING
from emailsync.mail.smtp import SmtpClient
from emailsync.mail.wire import Transcript, Wire
from mailboxes.choices import Direction
from mailboxes.engine import authorizing, braking
from mailboxes.engine.eligibility import authentication_type
from mailboxes.engine.reaching import PROBE_SECONDS, CredentialUnreadable, reveal, wire
from mailboxes.models import Mailbox, WorkerState
from profiles.choices import AuthenticationProtocol, AuthenticationType, Impersonation
from profiles.models import ServerProfile
from profiles.oauth import is_connected_by_people

__all__ = [
    "PROBE_SECONDS",
    "CredentialUnreadable",
    "credential",
    "open_incoming",
    "open_outgoing",
    "patience",
    "profile_of",
    "wire",
]

Client = TypeVar("Client", IncomingClient, SmtpClient)
#: Seconds that no conversation takes longer than.
LONGEST = 3600.0


def patience(state: WorkerState) -> float:
    """Return the seconds that a run may take: more after each in a row that was not given enough.

    One large message on a slow line would otherwise never get through, and hold up all that is behind it.
    """
    usual: float = settings.RUN_DEADLINE.total_seconds()
    if state.last_error_code != DeadlineExceeded.code:
        return usual
    return max(usual, min(usual * float(4**state.transient_failures), LONGEST))


def profile_of(mailbox: Mailbox) -> ServerProfile:
    """Return the profile of a mailbox that passed the checklist."""
    assert mailbox.server_profile is not None
    return mailbox.server_profile


def mail_wire(profile: ServerProfile, *, seconds: float) -> Wire:
    """Return how to talk to the mail servers of `profile`: with its pins, and recorded."""
    pins = parse_pins(profile.pinned_certificates)
    return replace(wire(profile, seconds=seconds), pins=pins, transcript=Transcript())


def credential(mailbox: Mailbox, direction: str) -> Credential:
    """Return who signs in for `direction` of `mailbox`. Raises MailError.

    One account of the profile opens the mailboxes of others by SASL authorization identity (RFC 4616) or
    as "user*master", and so does an application that has a permission of its own: those that were approved,
    whatever user name stands among the credentials, which owners enter. An access token is renewed first
    when it is about to end.
    """
    profile = profile_of(mailbox)
    kind = authentication_type(profile, direction)
    mechanisms = _mechanisms(profile, direction)
    if kind == AuthenticationType.BY_USER_OR_QUEUE:
        return _password(mailbox.user_name, mailbox.password, mechanisms=mechanisms)
    identity = mailbox.opened_as
    if kind == AuthenticationType.OAUTH:
        token = authorizing.access_token(mailbox, profile)
        if is_connected_by_people(profile) and mailbox.user_name:
            identity = mailbox.user_name  # the provider gave the token of whoever connected, and no other
        return _sendable(BearerToken, user_name=identity, token=token)
    own = direction == Direction.OUTGOING and not profile.use_same_settings_for_outgoing
    user_name = profile.outgoing_user_name if own else profile.user_name
    secret = profile.outgoing_password if own else profile.password
    impersonation = profile.outgoing_impersonation if own else profile.impersonation
    if impersonation == Impersonation.MASTER_USER:
        return _password(f"{identity}*{user_name}", secret, mechanisms=mechanisms)
    if impersonation == Impersonation.SASL_AUTHORIZATION_IDENTITY:
        return _password(user_name, secret, identity=identity, mechanisms=mechanisms)
    return _password(user_name, secret, mechanisms=mechanisms)


def _mechanisms(profile: ServerProfile, direction: str) -> tuple[str, ...]:
    """Return the SASL mechanisms that may carry a password: NTLM where it was chosen, over SMTP."""
    ntlm = profile.outgoing_authentication_protocol == AuthenticationProtocol.NTLM
    return ("NTLM",) if direction == Direction.OUTGOING and ntlm else Password.mechanisms


def _password(
    user_name: str, secret: Secret, *, mechanisms: tuple[str, ...], identity: str = ""
) -> Credential:
    words = {"user_name": user_name, "password": reveal(secret), "authorization_identity": identity}
    return _sendable(lambda **given: Password(mechanisms=mechanisms, **given), **words)


def _sendable(kind: Callable[..., Credential], **words: str) -> Credential:
    try:
        return kind(**words)
    except ValueError as error:
        raise CredentialUnreadable(str(error)) from error


@contextmanager
def open_incoming(mailbox: Mailbox, *, seconds: float) -> Iterator[IncomingClient]:
    """Give a signed-in client for the server that `mailbox` receives from, for so long. Raises MailError."""
    profile = profile_of(mailbox)
    endpoint, spoken = profile.incoming_endpoint, mail_wire(profile, seconds=seconds)
    opener = INCOMING[endpoint.protocol]
    with (
        _recorded(spoken),
        _signed_in(mailbox, Direction.INCOMING, lambda who: opener(endpoint, who, spoken)) as client,
    ):
        yield client


@contextmanager
def open_outgoing(mailbox: Mailbox, *, seconds: float) -> Iterator[SmtpClient]:
    """Give a signed-in client for the server that `mailbox` sends through, for so long. Raises MailError."""
    profile = profile_of(mailbox)
    endpoint, spoken = profile.outgoing_endpoint, mail_wire(profile, seconds=seconds)
    opener = OUTGOING[endpoint.protocol]
    with (
        _recorded(spoken),
        _signed_in(mailbox, Direction.OUTGOING, lambda who: opener(endpoint, who, spoken)) as client,
    ):
        yield client


@contextmanager
def _recorded(spoken: Wire) -> Iterator[None]:
    """Have a failure tell what was said before it."""
    try:
        yield
    except MailError as error:
        if spoken.transcript is not None:
            error.transcript = spoken.transcript.text()
        raise


def _signed_in(mailbox: Mailbox, direction: Direction, opener: Callable[[Credential], Client]) -> Client:
    """Sign in; once more where an access token was refused that may have been withdrawn before its time."""
    who = credential(mailbox, direction)
    try:
        with braking.watching(mailbox, direction):
            return opener(who)
    except TokenRefused:
        if not isinstance(who, BearerToken) or not authorizing.forget(
            mailbox, profile_of(mailbox), who.token
        ):
            raise
    with braking.watching(mailbox, direction):
        return opener(credential(mailbox, direction))
