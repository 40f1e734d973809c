"""Which hosts the stored secrets of a profile, and of the mailboxes that use it, are sent to.

Whoever may change a server profile could point it at a server of their own, and be sent what others have
entered. So a secret goes to another host only from the hands of somebody who knows it: it is entered again.
Mailboxes' own credentials cannot be, so whoever redirects those must be permitted to handle them.
"""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from emailsync.mail.errors import MailError
from emailsync.mail.https import endpoint_of
from profiles import access
from profiles.access import Permission
from profiles.choices import AuthenticationType, OAuthGrant
from profiles.models import ServerProfile
from profiles.models.server_profile import DIRECTIONS
from profiles.oauth import provider_of, uses_oauth

#: Stands for passwords and permissions that mailboxes keep themselves.
OF_MAILBOXES = "mailboxes"
SECRETS = ("password", "outgoing_password", "oauth_client_secret")


def _hosts(profile: ServerProfile) -> dict[str, set[str]]:
    """Return where each secret goes: those of the profile by field, those of its mailboxes together."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for side in DIRECTIONS:
        host = _host(profile, side)
        own = side == "outgoing" and not profile.use_same_settings_for_outgoing
        kind = profile.outgoing_authentication_type if own else profile.authentication_type
        if kind == AuthenticationType.IN_PROFILE:
            found["outgoing_password" if own else "password"].add(host)
        elif kind == AuthenticationType.OAUTH and profile.oauth_grant == OAuthGrant.CLIENT_CREDENTIALS:
            found["oauth_client_secret"].add(host)  # by what it is exchanged for
        else:
            found[OF_MAILBOXES].add(host)
    if uses_oauth(profile):
        found["oauth_client_secret"].add(_token_host(profile))
    return found


def _host(profile: ServerProfile, side: str) -> str:
    location: str = getattr(profile, f"{side}_location")
    return location.strip().rstrip(".").lower()


def _token_host(profile: ServerProfile) -> str:
    try:
        endpoint = endpoint_of(provider_of(profile).token_url)
    except (ValueError, MailError):
        return ""  # the rules refuse such a profile
    return f"{endpoint.host.lower()}:{endpoint.port}"


@dataclass(frozen=True)
class Redirection:
    """To which hosts something of so many mailboxes will go that did not go there before."""

    hosts: tuple[str, ...]
    mailboxes: int

    def __str__(self) -> str:
        return ", ".join(self.hosts)


def redirection(profile: ServerProfile, stored: ServerProfile | None) -> Redirection | None:
    """Return where a changed `profile` sends credentials that its mailboxes keep, if anywhere new."""
    if stored is None:
        return None
    fresh = _hosts(profile)[OF_MAILBOXES] - _hosts(stored)[OF_MAILBOXES]
    kept = Q(oauth_token__isnull=False) | ~Q(password="")
    number = stored.mailboxes.filter(kept).count() if fresh else 0
    return Redirection(tuple(sorted(fresh)), number) if number else None


def redirections(profile: ServerProfile, stored: ServerProfile | None) -> dict[str, Redirection]:
    """Return what of its mailboxes a changed `profile` leads to hosts it did not go to before.

    "credentials" that mailboxes keep, and "email" alone where the profile signs in: another host with another
    password asks nobody who knows the old one, and whoever runs that host reads what is sent.
    """
    led = {"credentials": redirection(profile, stored), "email": _email_redirection(profile, stored)}
    return {what: found for what, found in led.items() if found}


def _email_redirection(profile: ServerProfile, stored: ServerProfile | None) -> Redirection | None:
    if stored is None:
        return None
    after, before = ({_host(each, side) for side in DIRECTIONS} for each in (profile, stored))
    fresh = after - before - _hosts(profile)[OF_MAILBOXES]
    number = stored.mailboxes.count() if fresh else 0
    return Redirection(tuple(sorted(fresh)), number) if number else None


def obstacles(
    profile: ServerProfile, stored: ServerProfile | None, *, entered: Collection[str], by: User | None
) -> dict[str, str]:
    """Return why `by` may not have secrets sent to hosts of a changed `profile`, by field; None may.

    `entered` names the profile's secrets that were entered again.
    """
    if stored is None or by is None:
        return {}
    before, after = _hosts(stored), _hosts(profile)
    errors = {}
    for name in SECRETS:
        fresh = after[name] - before[name]
        if fresh and name not in entered and getattr(stored, name) and getattr(profile, name):
            errors[name] = _(
                "Enter it again: it will be sent to %(hosts)s, where it has not been sent before."
            ) % {"hosts": ", ".join(sorted(fresh))}
    found = redirection(profile, stored)
    if found and not access.may(by, Permission.GIVE_CREDENTIALS, profile.environment_id):
        sentence = ngettext(
            "%(number)s mailbox keeps credentials of its own, which would be sent to %(hosts)s. Only who "
            "may handle them, such as a System Administrator, can change this.",
            "%(number)s mailboxes keep credentials of their own, which would be sent to %(hosts)s. Only who "
            "may handle them, such as a System Administrator, can change this.",
            found.mailboxes,
        ) % {"number": f"{found.mailboxes:,}", "hosts": found}
        moved = [side for side in DIRECTIONS if _host(profile, side) in found.hosts]
        errors |= {f"{side}_location": sentence for side in moved}
    return errors
