"""Connect a mailbox with OAuth 2.0: send its person to the provider, take them back, forget the permission.

Nothing here asks the provider anything: a worker exchanges the code (`mailboxes.engine.authorizing`).
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.utils.translation import gettext as _

from emailsync.mail import oauth
from mailboxes import access
from mailboxes.models import Alert, Mailbox, OAuthToken, OAuthVisit
from profiles.access import Permission
from profiles.choices import OAuthGrant
from profiles.models import ServerProfile
from profiles.oauth import client_key, client_of, is_connected_by_people, uses_oauth

#: How long somebody may stay at the provider.
VISIT = timedelta(minutes=15)


class NotConnectable(Exception):
    """The mailbox cannot be connected like this; the text says why and what to do."""


class VisitUnknown(Exception):
    """Nobody was sent to the provider like this, or it is too long ago."""


@dataclass(frozen=True)
class Connection:
    """How a mailbox stands with the provider, as its page shows it.

    The word is one of none (never connected), profile (the application has the permission), connected,
    expiring (its end is near, and it could not be renewed), unrenewable (the same, for want of a refresh
    token), ended, refused (both: it has to be connected again) and changed (the profile asks for another
    permission now).
    """

    word: str
    token: OAuthToken | None
    visit: OAuthVisit | None

    @property
    def is_being_made(self) -> bool:
        """Say whether a worker is about to exchange a code."""
        return self.visit is not None and self.visit.returned_on is not None and not self.visit.finished_on

    @property
    def problem(self) -> OAuthVisit | None:
        """Return the last visit when it brought nothing."""
        return self.visit if self.visit is not None and self.visit.problem else None


def connection(mailbox: Mailbox, *, now: datetime) -> Connection | None:
    """Return how `mailbox` stands with the provider; None when its profile does not sign in with OAuth."""
    profile = mailbox.server_profile
    if profile is None or not uses_oauth(profile):
        return None
    if profile.oauth_grant == OAuthGrant.CLIENT_CREDENTIALS:
        return Connection("profile", OAuthToken.objects.filter(server_profile=profile).first(), None)
    token = OAuthToken.objects.filter(mailbox=mailbox).select_related("connected_by").first()
    visit = OAuthVisit.objects.filter(mailbox=mailbox).order_by("-started_on").first()
    return Connection(_word(mailbox, profile, token, now=now), token, visit)


def _word(mailbox: Mailbox, profile: ServerProfile, token: OAuthToken | None, *, now: datetime) -> str:
    if token is None:
        return "none"
    if token.client_key != client_key(profile):
        return "changed"
    if token.refusal:
        return "refused"
    if token.ends_on is not None and token.ends_on <= now:
        return "ended"
    if not token.refresh_token:
        return "unrenewable"
    alerts = Alert.objects.open().filter(mailbox=mailbox, kind="oauth_expiring")
    return "expiring" if alerts.exists() else "connected"


def begin(mailbox: Mailbox, *, by: User, redirect_uri: str, now: datetime) -> tuple[str, str]:
    """Return where to send `by` to give the permission, and the state that proves that they came back.

    Keep the state in the session. Raises PermissionDenied and NotConnectable.
    """
    access.require(by, Permission.GIVE_CREDENTIALS, mailbox)
    profile = mailbox.server_profile
    if profile is None or not is_connected_by_people(profile):
        raise NotConnectable(_("The server profile of this mailbox does not ask people for a permission."))
    state, verifier = secrets.token_urlsafe(32), oauth.new_verifier()
    with transaction.atomic():
        OAuthVisit.objects.filter(mailbox=mailbox).delete()
        OAuthVisit.objects.filter(returned_on=None, started_on__lt=now - VISIT).delete()
        OAuthVisit.objects.create(
            mailbox=mailbox,
            user=by,
            state_digest=_digest(state),
            client_key=client_key(profile),
            redirect_uri=redirect_uri,
            verifier=verifier,
            started_on=now,
        )
    url = oauth.authorization_url(
        client_of(profile, secret=""),
        redirect_uri=redirect_uri,
        state=state,
        verifier=verifier,
        login_hint=mailbox.user_name or mailbox.address,
    )
    return url, state


def come_back(state: str, *, by: User, code: str, error: str, now: datetime) -> Mailbox:
    """Take somebody back from the provider with a code, or with what the provider said instead.

    The state must be one that this person's session holds. Raises VisitUnknown and PermissionDenied.
    """
    with transaction.atomic():
        found = OAuthVisit.objects.select_for_update(of=("self",)).select_related("mailbox__environment")
        visit = found.filter(
            state_digest=_digest(state), user=by, returned_on=None, started_on__gte=now - VISIT
        ).first()
        if visit is None:
            raise VisitUnknown
        access.require(by, Permission.GIVE_CREDENTIALS, visit.mailbox)
        visit.returned_on = now
        if code:
            visit.code = code
        else:
            visit.finished_on, visit.verifier = now, ""
            visit.problem = _said(error)
            visit.remedy = _("Connect again, and agree to what is asked.")
        visit.save()
    return visit.mailbox


def _said(error: str) -> str:
    if error == "access_denied":
        return _("The permission was not given.")
    shown = "".join(mark for mark in error if mark.isprintable())[:100]
    return _("The provider did not give the permission. It said: %(error)s") % {"error": shown or "—"}


def disconnect(mailbox: Mailbox, *, by: User) -> None:
    """Forget the permission. It stays valid at the provider until it is withdrawn there."""
    access.require(by, Permission.GIVE_CREDENTIALS, mailbox)
    with transaction.atomic():
        OAuthVisit.objects.filter(mailbox=mailbox).delete()
        OAuthToken.objects.filter(mailbox=mailbox).delete()


def _digest(state: str) -> str:
    return hashlib.sha256(state.encode()).hexdigest()
