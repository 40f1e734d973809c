"""Access tokens of OAuth 2.0: brought by people or by the application itself, and renewed in time.

A provider may rotate the refresh token each time it is used, and the old one is worth nothing from then on.
So only the holder of the row's lease asks, and what came back is committed under its fence before anybody
signs in with it. Everybody else goes on with the present token while it lives, and waits when it does not.

Nobody can close the moment between the provider's answer and that commit. It is kept short: a commit just
before proves that the database takes what will come, and one that does not take it then is tried again. That
first commit also notes that somebody asked (`asked_on`): should the provider refuse later, people learn why.
"""

import logging
import time
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import F, Q
from django.utils import timezone

from emailsync.mail import oauth
from emailsync.mail.errors import AuthorizationBusy, ClientRefused, GrantExpired, GrantMissing, MailError
from emailsync.mail.wire import Deadline
from mailboxes.alerts import wall
from mailboxes.engine import eligibility, scheduling
from mailboxes.engine.reaching import PROBE_SECONDS, reveal, wire
from mailboxes.models import Mailbox, OAuthToken, OAuthVisit, WorkerState
from profiles.choices import OAuthGrant
from profiles.models import ServerProfile
from profiles.oauth import client_key, client_of, is_connected_by_people, provider_of

log = logging.getLogger(__name__)

#: How long before its end an access token is renewed, and how little life is enough to sign in once more.
RENEW_BEFORE = timedelta(minutes=5)
ENOUGH = timedelta(seconds=15)
#: Between two looks at a token that somebody else renews, in seconds.
PAUSE = 0.05
#: How often the exchange of a code is tried while the provider does not answer, and how far apart.
ATTEMPTS = 5
ATTEMPT_PAUSE = timedelta(seconds=10)
#: How often a token that nobody uses is looked after.
LOOK_AFTER = timedelta(days=1)


def access_token(mailbox: Mailbox, profile: ServerProfile) -> str:
    """Return an access token that opens `mailbox` now. Raises MailError; see `NotAuthorized`."""
    token = _token_of(mailbox, profile)
    if token.refusal:
        raise GrantExpired(token.refusal)
    if _lives(token, RENEW_BEFORE):
        return reveal(token.access_token)
    return _renewed(token, profile)


def forget(mailbox: Mailbox, profile: ServerProfile, access_token: str) -> bool:
    """Have a token that a mail server refused renewed at the next use; say whether that can help.

    It cannot when somebody just renewed it, and the server refuses the new one too.
    """
    token = _token_of(mailbox, profile)
    if reveal(token.access_token) != access_token:
        return True
    is_new = token.refreshed_on is not None and timezone.now() - token.refreshed_on < RENEW_BEFORE
    return not is_new and bool(
        OAuthToken.objects.filter(pk=token.pk, refreshed_on=token.refreshed_on).update(access_expires_on=None)
    )


def _token_of(mailbox: Mailbox, profile: ServerProfile) -> OAuthToken:
    key = client_key(profile)
    if profile.oauth_grant == OAuthGrant.CLIENT_CREDENTIALS:
        token, _made = OAuthToken.objects.get_or_create(server_profile=profile, defaults={"client_key": key})
        if token.client_key != key:
            ask_anew(profile, client_key=key)
            token.refresh_from_db()
        return token
    found = OAuthToken.objects.filter(mailbox=mailbox, client_key=key).first()
    if found is None:
        raise GrantMissing("Nobody has given the permission to open this mailbox with OAuth.")
    return found


def ask_anew(profile: ServerProfile, **changes: object) -> None:
    """Have an application prove again who it is, and nobody sign in with what it was given before.

    What one client secret has brought must go to no server that somebody with another one names.
    """
    own = OAuthToken.objects.filter(server_profile=profile)
    own.update(access_expires_on=None, fence=F("fence") + 1, leased_until=None, **changes)


def _lives(token: OAuthToken, rest: timedelta) -> bool:
    """Say whether the access token lives at least this much longer."""
    until = token.access_expires_on
    return bool(token.access_token) and until is not None and until - timezone.now() > rest


def _renewed(token: OAuthToken, profile: ServerProfile) -> str:
    """Renew a token, or wait for whoever does."""
    patience = Deadline.after(PROBE_SECONDS)
    while (lease := scheduling.claim_running(OAuthToken, token.pk, now=timezone.now())) is None:
        if _lives(token, ENOUGH):
            return reveal(token.access_token)
        if not patience.remaining():
            raise AuthorizationBusy("The access token is being renewed, and that takes too long.")
        time.sleep(PAUSE)
        token = OAuthToken.objects.filter(pk=token.pk).first() or _gone()
    try:
        token.refresh_from_db()
        if not _lives(token, RENEW_BEFORE):
            return _renew(lease, token, profile)
        return reveal(token.access_token)
    except AuthorizationBusy as error:
        if not _lives(token, ENOUGH):
            raise
        log.warning("The access token %s is still good but could not be renewed: %s", token.pk, error)
        return reveal(token.access_token)
    finally:
        scheduling.release(lease)


def _gone() -> OAuthToken:
    raise GrantMissing("The mailbox was disconnected meanwhile.")


def _renew(lease: scheduling.Lease, token: OAuthToken, profile: ServerProfile) -> str:
    client = client_of(profile, secret=reveal(profile.oauth_client_secret))
    way = wire(profile, seconds=PROBE_SECONDS)
    if token.server_profile_id:
        tokens = oauth.ask_for_itself(client, way)
    else:
        with scheduling.fenced(lease, asked_on=timezone.now()):
            pass
        try:
            tokens = oauth.refresh(client, way, refresh_token=reveal(token.refresh_token))
        except GrantExpired as error:
            refusal = error if token.asked_on is None else _lost(error)
            with scheduling.fenced(lease, refusal=str(refusal)[:1000], asked_on=token.asked_on, due_at=None):
                pass
            raise refusal from error
        except ClientRefused:
            # That is an answer: nothing was replaced.
            with scheduling.fenced(lease, asked_on=token.asked_on):
                pass
            raise

    def keep() -> None:
        with scheduling.fenced(lease):
            _keep(token, tokens, profile, now=timezone.now())

    # The provider may never give it again.
    scheduling.insist(keep)
    return tokens.access_token


def _lost(error: GrantExpired) -> GrantExpired:
    return GrantExpired(eligibility.PERMISSION_LOST, server_reply=error.server_reply)


def _keep(token: OAuthToken, tokens: oauth.Tokens, profile: ServerProfile, *, now: datetime) -> None:
    """Write what a provider gave. Call it under a fence, before anybody signs in with it."""
    token.access_token = tokens.access_token
    token.access_expires_on = now + tokens.life
    if tokens.refresh_token:
        token.refresh_token = tokens.refresh_token
    idle = tokens.refresh_life or provider_of(profile).inactivity
    token.refresh_expires_on = now + idle if idle and token.refresh_token else None
    token.refreshed_on, token.refusal, token.due_at = now, "", now + LOOK_AFTER
    token.asked_on = None
    token.subject = tokens.subject[:320] or token.subject
    token.save(
        update_fields=[
            "access_token",
            "access_expires_on",
            "refresh_token",
            "refresh_expires_on",
            "refreshed_on",
            "asked_on",
            "refusal",
            "due_at",
            "subject",
        ]
    )


def exchange(visit_pk: str) -> None:
    """Exchange the code that somebody came back with, if it is still there to be done."""
    lease = scheduling.claim_running(OAuthVisit, visit_pk, now=timezone.now())
    if lease is None:
        return
    with scheduling.working(lease):
        visit = OAuthVisit.objects.select_related("mailbox__server_profile").get(pk=lease.pk)
        if lease.fence > ATTEMPTS:
            _end(lease, AuthorizationBusy("The exchange of the code never came to its end. Connect again."))
            scheduling.release(lease)
            return
        try:
            _exchange(lease, visit)
        except AuthorizationBusy as error:
            if lease.fence >= ATTEMPTS:
                _end(lease, error)
            scheduling.release(lease, queued_until=timezone.now() + ATTEMPT_PAUSE)
        except MailError as error:
            _end(lease, error)
            scheduling.release(lease)
        else:
            scheduling.release(lease)


def _exchange(lease: scheduling.Lease, visit: OAuthVisit) -> None:
    profile = visit.mailbox.server_profile
    if profile is None or not is_connected_by_people(profile) or client_key(profile) != visit.client_key:
        raise ClientRefused("The server profile was changed while the permission was given. Connect again.")
    tokens = oauth.exchange_code(
        client_of(profile, secret=reveal(profile.oauth_client_secret)),
        wire(profile, seconds=PROBE_SECONDS),
        code=reveal(visit.code),
        verifier=reveal(visit.verifier),
        redirect_uri=visit.redirect_uri,
    )
    now = timezone.now()
    with scheduling.fenced(lease, finished_on=now, code="", verifier=""):
        token, _made = OAuthToken.objects.get_or_create(mailbox=visit.mailbox)
        # Whoever renews the permission of before must not write over the new one.
        OAuthToken.objects.filter(pk=token.pk).update(
            fence=F("fence") + 1,
            leased_until=None,
            client_key=visit.client_key,
            connected_by=visit.user_id,
            connected_on=now,
            subject="",
        )
        token.refresh_from_db()
        token.refresh_token = ""
        _keep(token, tokens, profile, now=now)
        wall.resolve("oauth_expiring", mailbox=visit.mailbox, now=now)
        # What was stopped, or waited for this, is tested again at once: see `mailboxes.engine.recovering`.
        waits = Q(due_at__isnull=False) | Q(last_error_code__in=eligibility.MENDED_BY_CONNECTING)
        WorkerState.objects.filter(waits, mailbox=visit.mailbox).update(due_at=now)


def _end(lease: scheduling.Lease, error: MailError) -> None:
    reply = f" ({error.server_reply})" if error.server_reply else ""
    told = {"problem": f"{error}{reply}"[:1000], "remedy": str(error.remedy)[:1000]}
    with scheduling.fenced(lease, finished_on=timezone.now(), code="", verifier="", **told):
        pass


def look_after(token_pk: str) -> None:
    """Renew a permission that would lapse unused, and tell in time of what will end."""
    lease = scheduling.claim_running(OAuthToken, token_pk, now=timezone.now())
    if lease is None:
        return
    with scheduling.working(lease):
        token = OAuthToken.objects.select_related("server_profile", "mailbox__server_profile").get(
            pk=lease.pk
        )
        profile = token.server_profile or (token.mailbox.server_profile if token.mailbox else None)
        now = timezone.now()
        if profile is not None and client_key(profile) == token.client_key:
            _look_after(lease, token, profile, now=now)
        scheduling.release(lease, due_at=None if token.refusal else now + LOOK_AFTER)


def _look_after(lease: scheduling.Lease, token: OAuthToken, profile: ServerProfile, *, now: datetime) -> None:
    ahead = settings.EXPIRY_NOTICE
    until = token.refresh_expires_on
    if token.mailbox is not None and (until is None or until - now >= ahead):
        # Whoever signed in since may have renewed it.
        wall.resolve("oauth_expiring", mailbox=token.mailbox, now=now)
    elif token.mailbox is not None and until is not None:
        try:
            _renew(lease, token, profile)
        except MailError as error:
            log.warning("The permission %s could not be renewed: %s", token.pk, error)
            cause = wall.Cause.of(error)
            words = {"date": until.date().isoformat()}
            wall.raise_alert("oauth_expiring", now=now, mailbox=token.mailbox, cause=cause, words=words)
        else:
            wall.resolve("oauth_expiring", mailbox=token.mailbox, now=now)
    ends = profile.oauth_secret_expires_on
    if ends is not None and ends - now.date() <= ahead:
        if not wall.is_open("oauth_secret_expiring", profile=profile):
            words = {"date": ends.isoformat()}
            wall.raise_alert("oauth_secret_expiring", now=now, profile=profile, words=words)
    else:
        wall.resolve_of_profile("oauth_secret_expiring", profile=profile, now=now)
