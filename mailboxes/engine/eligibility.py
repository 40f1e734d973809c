"""Why a direction of a mailbox may not be worked on: the checklist behind every run and every page."""

from dataclasses import dataclass

from mailboxes.choices import AddressStatus, Direction, MailboxKind
from mailboxes.models import Mailbox
from profiles.choices import AuthenticationType
from profiles.models import EmailSettings, ServerProfile


@dataclass(frozen=True)
class Blocker:
    """One reason and its remedy. `code` is a stable word; `is_approval` marks what approving mends."""

    code: str
    sentence: str
    remedy: str

    @property
    def is_approval(self) -> bool:
        """Say whether approving the address removes this blocker."""
        return self.code == "not_approved"


def approval_required(mailbox: Mailbox) -> bool:
    """Say whether the environment processes email of this kind of mailbox only once it is approved."""
    settings = EmailSettings.objects.filter(environment_id=mailbox.environment_id).first() or EmailSettings()
    if mailbox.kind == MailboxKind.USER:
        return settings.process_only_approved_users
    return settings.process_only_approved_queues


def blockers(mailbox: Mailbox, direction: str) -> list[Blocker]:
    """Return what stands in the way of `direction`, the most basic first; nothing means it may run.

    Whether the direction was tested and enabled is not asked here: tests need this answer first.
    """
    found = []
    label = Direction(direction).label.lower()
    if not mailbox.syncs(direction):
        found.append(
            Blocker(
                "method_none",
                f"The mailbox is not set to Server-Side Synchronization for {label} email.",
                f"Set the {label} method of the mailbox to Server-Side Synchronization.",
            )
        )
    if not mailbox.is_active:
        found.append(Blocker("mailbox_inactive", "The mailbox is inactive.", "Activate the mailbox."))
    profile = mailbox.server_profile
    if profile is None:
        found.append(
            Blocker(
                "profile_missing",
                "The mailbox has no server profile.",
                "Choose a server profile for the mailbox.",
            )
        )
    elif not profile.is_active:
        found.append(
            Blocker(
                "profile_inactive",
                f"The server profile {profile} is inactive.",
                "Activate the server profile, or choose another one for the mailbox.",
            )
        )
    else:
        found += _credential_blockers(mailbox, profile, direction)
    if mailbox.address_status != AddressStatus.APPROVED and approval_required(mailbox):
        found.append(
            Blocker(
                "not_approved",
                f"The address {mailbox.address} is not approved for email processing.",
                "Approve the address, then run Test & Enable.",
            )
        )
    return found


def authentication_type(profile: ServerProfile, direction: str) -> str:
    """Return whose credentials `direction` uses on this profile."""
    if direction == Direction.OUTGOING and not profile.use_same_settings_for_outgoing:
        return profile.outgoing_authentication_type
    return profile.authentication_type


def _credential_blockers(mailbox: Mailbox, profile: ServerProfile, direction: str) -> list[Blocker]:
    if authentication_type(profile, direction) != AuthenticationType.BY_USER_OR_QUEUE:
        return []
    if not mailbox.allow_credentials:
        return [
            Blocker(
                "credentials_not_allowed",
                "The server profile signs in with the mailbox's credentials, which it does not allow yet.",
                "Turn on Allow to Use Credentials for Email Processing and enter the user name and password.",
            )
        ]
    if not mailbox.user_name or not mailbox.password:
        return [
            Blocker(
                "credentials_missing",
                "The mailbox has no user name or no password.",
                "Enter the user name and password of the mailbox.",
            )
        ]
    return []
