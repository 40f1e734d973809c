"""Why a direction of a mailbox may not be worked on: the checklist behind every run and every page."""

from dataclasses import dataclass, replace
from datetime import datetime

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from mailboxes.choices import AddressStatus, Direction, MailboxKind
from mailboxes.engine import claiming
from mailboxes.models import Mailbox, OAuthToken, OAuthVisit
from mailboxes.models.mailbox import MailboxQuerySet
from profiles.choices import AuthenticationType
from profiles.models import EmailSettings, ServerProfile
from profiles.oauth import client_key, is_connected_by_people

#: The blocker that approving an address removes.
NOT_APPROVED = "not_approved"
#: Blockers that a change of the mailbox or of its server profile may remove.
MENDED_BY_CHANGE = frozenset(
    {
        *("profile_missing", "profile_inactive", "location_missing"),
        *("credentials_not_allowed", "credentials_missing"),
    }
)
#: Blockers that somebody removes who connects the mailbox with OAuth.
MENDED_BY_CONNECTING = frozenset({"oauth_not_connected", "oauth_expired"})

#: Of a renewal before, which the provider may have answered with another refresh token, no answer was stored.
PERMISSION_LOST = gettext_noop(
    "The provider no longer accepts the permission. It may have given a new one at the renewal before, of "
    "which the answer never arrived here or could not be stored."
)


@dataclass(frozen=True)
class Blocker:
    """One reason and its remedy. `code` is a stable word; `is_approval` marks what approving mends."""

    code: str
    sentence: str
    remedy: str
    #: Somebody is mending it, so that there is nothing to do but to wait.
    is_under_way: bool = False

    @property
    def is_approval(self) -> bool:
        """Say whether approving the address removes this blocker."""
        return self.code == NOT_APPROVED


def approval_required(mailbox: Mailbox) -> bool:
    """Say whether the environment processes email of this kind of mailbox only once it is approved."""
    settings = EmailSettings.objects.filter(environment_id=mailbox.environment_id).first() or EmailSettings()
    if mailbox.kind == MailboxKind.USER:
        return settings.process_only_approved_users
    return settings.process_only_approved_queues


def blockers(mailbox: Mailbox, direction: str, *, takes_over: bool = False) -> list[Blocker]:
    """Return what stands in the way of `direction`, the most basic first; nothing means it may run.

    Whether the direction was tested and enabled is not asked here: tests need this answer first. One that
    `takes_over` an address may do so from another environment.
    """
    found = []
    is_incoming = direction == Direction.INCOMING
    if not mailbox.uses(direction):
        found.append(
            Blocker(
                "method_none",
                _("The mailbox is not set to Server-Side Synchronization for incoming email.")
                if is_incoming
                else _("The mailbox is not set to Server-Side Synchronization for outgoing email."),
                _("Set the incoming method of the mailbox to Server-Side Synchronization.")
                if is_incoming
                else _("Set the outgoing method of the mailbox to Server-Side Synchronization."),
            )
        )
    if not mailbox.is_active:
        found.append(Blocker("mailbox_inactive", _("The mailbox is inactive."), _("Activate the mailbox.")))
    if is_incoming and mailbox.is_fed_by_forwarding:
        if not forward_mailboxes(mailbox).exists():
            found.append(_no_forward_mailbox())
    else:
        found += _connection_blockers(mailbox, direction)
        if not takes_over and claiming.is_held_elsewhere(mailbox):
            found.append(claimed_elsewhere(mailbox))
    if mailbox.address_status != AddressStatus.APPROVED and approval_required(mailbox):
        found.append(
            Blocker(
                NOT_APPROVED,
                _("The address %(address)s is not approved for email processing.")
                % {"address": mailbox.address},
                _("Approve the address; a test that waited for it is then repeated by itself."),
            )
        )
    return found


def reasons(mailbox: Mailbox, direction: str, *, now: datetime) -> list[Blocker]:
    """Return what stands in the way of `direction` as people are told it.

    A run only asks whether the permission is there, and lets the provider say that it has ended; people are
    told before, and know that they have just given it.
    """
    found = blockers(mailbox, direction) or _ended(mailbox, direction, now=now)
    if MENDED_BY_CONNECTING.isdisjoint(each.code for each in found):
        return found
    if not OAuthVisit.objects.under_way().filter(mailbox=mailbox).exists():
        return found
    sentence = _("The mailbox is being connected: a worker fetches the access token from the provider.")
    return [
        replace(each, sentence=sentence, remedy=_("This takes a moment."), is_under_way=True)
        if each.code in MENDED_BY_CONNECTING
        else each
        for each in found
    ]


def _ended(mailbox: Mailbox, direction: str, *, now: datetime) -> list[Blocker]:
    profile = mailbox.server_profile
    if profile is None or authentication_type(profile, direction) != AuthenticationType.OAUTH:
        return []
    token = OAuthToken.objects.filter(mailbox=mailbox).first() if is_connected_by_people(profile) else None
    if token is None or token.ends_on is None or token.ends_on > now:
        return []
    sentence = _("The permission to open this mailbox with OAuth has ended.")
    return [Blocker("oauth_expired", sentence, _("Choose Reconnect on the page of the mailbox."))]


def _no_forward_mailbox() -> Blocker:
    return Blocker(
        "forward_mailbox_missing",
        _(
            "The mailbox receives through a forward mailbox, and no forward mailbox of this environment "
            "works."
        ),
        _("Create a forward mailbox, or mend the one there is, and run Test & Enable for it first."),
    )


def forward_mailboxes(mailbox: Mailbox) -> MailboxQuerySet:
    """Return the forward mailboxes, active and enabled, through which `mailbox` may be given mail."""
    return Mailbox.objects.active().filter(
        environment=mailbox.environment_id,
        kind=MailboxKind.FORWARD,
        states__direction=Direction.INCOMING,
        states__is_enabled=True,
    )


def claimed_elsewhere(mailbox: Mailbox) -> Blocker:
    """Return what is said of an address that another environment holds; never which one: see SyncClaim."""
    return Blocker(
        claiming.CLAIMED_ELSEWHERE,
        _("Another environment synchronizes %(address)s.") % {"address": mailbox.address},
        _(
            "To take the address over, run Test & Enable with “Sync items from this environment only” "
            "ticked. The other environment stops and is told."
        ),
    )


def _connection_blockers(mailbox: Mailbox, direction: str) -> list[Blocker]:
    profile = mailbox.server_profile
    if profile is None:
        return [
            Blocker(
                "profile_missing",
                _("The mailbox has no server profile."),
                _("Choose a server profile for the mailbox."),
            )
        ]
    if not profile.is_active:
        return [
            Blocker(
                "profile_inactive",
                _("The server profile %(profile)s is inactive.") % {"profile": profile},
                _("Activate the server profile, or choose another one for the mailbox."),
            )
        ]
    return _location_blockers(profile, direction) or _credential_blockers(mailbox, profile, direction)


def _location_blockers(profile: ServerProfile, direction: str) -> list[Blocker]:
    if getattr(profile, f"{direction}_location") and getattr(profile, f"{direction}_port"):
        return []
    sentence = (
        _("The server profile %(profile)s names no server, or no port, for incoming email.")
        if direction == Direction.INCOMING
        else _("The server profile %(profile)s names no server, or no port, for outgoing email.")
    )
    remedy = _("Enter location and port in the server profile, or have them found with Detect settings.")
    return [Blocker("location_missing", sentence % {"profile": profile}, remedy)]


def authentication_type(profile: ServerProfile, direction: str) -> str:
    """Return whose credentials `direction` uses on this profile."""
    if direction == Direction.OUTGOING and not profile.use_same_settings_for_outgoing:
        return profile.outgoing_authentication_type
    return profile.authentication_type


def _credential_blockers(mailbox: Mailbox, profile: ServerProfile, direction: str) -> list[Blocker]:
    kind = authentication_type(profile, direction)
    if kind == AuthenticationType.OAUTH:
        return _connection_of(mailbox, profile)
    if kind != AuthenticationType.BY_USER_OR_QUEUE:
        return []
    if not mailbox.allow_credentials:
        return [
            Blocker(
                "credentials_not_allowed",
                _("The server profile signs in with the mailbox's credentials, which it does not allow yet."),
                _(
                    "Turn on Allow to Use Credentials for Email Processing and enter the user name and "
                    "password."
                ),
            )
        ]
    if not mailbox.user_name or not mailbox.password:
        return [
            Blocker(
                "credentials_missing",
                _("The mailbox has no user name or no password."),
                _("Enter the user name and password of the mailbox."),
            )
        ]
    return []


def _connection_of(mailbox: Mailbox, profile: ServerProfile) -> list[Blocker]:
    """Return whether somebody has to give, or give again, the permission to open `mailbox`."""
    if not is_connected_by_people(profile):
        return []
    token = OAuthToken.objects.filter(mailbox=mailbox).only("client_key", "refusal").first()
    if token is None:
        return [
            Blocker(
                "oauth_not_connected",
                _("The mailbox is not connected: nobody has given the permission to open it with OAuth."),
                _("Choose Connect on the page of the mailbox."),
            )
        ]
    if token.refusal or token.client_key != client_key(profile):
        return [
            Blocker(
                "oauth_expired",
                _refused(token)
                if token.refusal
                else _("The server profile uses another application than the one that got the permission."),
                _("Choose Reconnect on the page of the mailbox."),
            )
        ]
    return []


def _refused(token: OAuthToken) -> str:
    if token.asked_on is not None:
        return _(PERMISSION_LOST)
    return _("The provider no longer accepts the permission to open this mailbox.")
