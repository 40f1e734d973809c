"""Change environments, server profiles and email settings.

Everything here that touches the default profile of an environment first locks the environment's row, so
that two people moving the default at once take turns, and there is never a moment with two defaults.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F, ProtectedError, Q, QuerySet
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from profiles import access, destinations, signals
from profiles.access import Permission
from profiles.choices import Role
from profiles.models import EmailSettings, Environment, Membership, ServerProfile, save_version

#: Slugs that would read like a command in an address.
RESERVED_SLUGS = frozenset({"new"})
#: Completes "You may not …".
CREATE_ENVIRONMENTS = gettext_lazy("create environments")
DEFAULT_STAYS = gettext_lazy("It is the default for new mailboxes. Set another profile as default first.")
#: A start date this far back brings no backlog worth a word.
NO_BACKLOG = timedelta(hours=1)
#: Settings that have addresses approved; who may not approve turns none of them off.
APPROVAL_RULES = ("process_only_approved_users", "process_only_approved_queues", "restrict_self_approval")


class NotPossible(Exception):
    """A rule stands in the way; the text says which one, and the way out."""


class NameTaken(NotPossible):
    """Another record of the same kind has this name."""


class SecretsHeldBack(NotPossible):
    """The profile would send stored secrets to another host; `errors` says by field what to do."""

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__(" ".join(errors.values()))
        self.errors = errors


# Environments


def environment_name_is_taken(environment: Environment) -> bool:
    """Say whether another environment has this name, in whatever letter case."""
    return Environment.objects.filter(name__iexact=environment.name).exclude(pk=environment.pk).exists()


@transaction.atomic
def save_environment(environment: Environment, *, by: User | None) -> Environment:
    """Save an environment; a new one gets its address from its name, and its email settings.

    Whoever creates one administers it. Raises StaleRecord when somebody saved it after it was read, and
    PermissionDenied.
    """
    environment.modified_by = by
    if not environment._state.adding:  # noqa: SLF001  (Django documents it)
        access.require(by, Permission.ADMINISTER, environment)
        save_version(environment)
        return environment
    access.require_superuser(by, to=CREATE_ENVIRONMENTS)
    environment.slug = free_slug(environment.name)
    environment.save(force_insert=True)
    EmailSettings.objects.create(environment=environment, modified_by=by)
    if by is not None:
        Membership.objects.create(
            environment=environment, user=by, role=Role.SYSTEM_ADMINISTRATOR, created_by=by
        )
    return environment


def free_slug(name: str) -> str:
    """Return the part of the address that `name` leads to, numbered when it is taken."""
    start = slugify(name)[:50].strip("-_") or "environment"
    alike = Environment.objects.filter(slug__startswith=start)
    taken = RESERVED_SLUGS | set(alike.values_list("slug", flat=True))
    slug, number = start, 1
    while slug in taken:
        number += 1
        slug = f"{start}-{number}"
    return slug


# Server profiles


def profile_name_is_taken(profile: ServerProfile) -> bool:
    """Say whether another profile of the environment has this name, in whatever letter case."""
    others = ServerProfile.objects.filter(environment=profile.environment_id).exclude(pk=profile.pk)
    return others.filter(name__iexact=profile.name).exists()


@transaction.atomic
def save_profile(
    profile: ServerProfile, *, by: User | None, now: datetime, entered: Collection[str] = ()
) -> frozenset[str]:
    """Save a validated profile; one that is the default takes over from the one before.

    Returns the directions whose connection has changed: the mailboxes of the profile are to be tested again.
    `entered` names the secrets that were entered for it now. Raises StaleRecord when somebody saved it after
    it was read, NameTaken, SecretsHeldBack when it would send others to a new host, and PermissionDenied.
    """
    access.require(by, Permission.WRITE_PROFILES, profile.environment_id)
    _lock(profile.environment_id)
    stored = ServerProfile.objects.filter(pk=profile.pk).first()
    if (stored is None or stored.name != profile.name) and profile_name_is_taken(profile):
        raise NameTaken(
            _("Another server profile is named %(name)s. Choose another name.") % {"name": profile.name}
        )
    if errors := destinations.obstacles(profile, stored, entered=entered, by=by):
        raise SecretsHeldBack(errors)
    redirected = destinations.redirections(profile, stored)
    profile.modified_by = by
    if profile.is_default:
        _give_up_default(profile.environment_id, to=profile.pk, by=by, now=now)
    changed: frozenset[str] = frozenset()
    if stored is None:
        profile.save(force_insert=True)
    else:
        changed = profile.changed_directions(stored)
        save_version(profile)
    if changed:
        signals.connection_changed.send(
            ServerProfile, profile=profile, directions=changed, redirected=redirected, now=now
        )
    if profile.is_default != bool(stored and stored.is_default):
        _note_moved_default(profile.environment_id, by=by, now=now)
    return changed


#: What a profile made from another one does not take over: who it is, its secrets, its fixed protocol.
NOT_COPIED = frozenset(
    {
        *("id", "name", "is_default", "is_active", "version", "created_on", "modified_on", "modified_by"),
        *("password", "outgoing_password", "oauth_client_secret", "server_type", "incoming_protocol"),
    }
)


def copy_of(profile: ServerProfile) -> ServerProfile:
    """Return an unsaved profile like `profile`, with the usual type and protocol and without its secrets."""
    copy = ServerProfile(name=(_("Copy of %(name)s") % {"name": profile.name})[:100])
    for field in ServerProfile._meta.concrete_fields:
        if field.name not in NOT_COPIED:
            setattr(copy, field.attname, getattr(profile, field.attname))
    if copy.incoming_protocol != profile.incoming_protocol:
        copy.incoming_port = None  # it belongs to the protocol
    return copy


@dataclass(frozen=True)
class Backlog:
    """What a start date in the past brings with it."""

    #: None means all mail there is.
    since: datetime | None
    #: The mailboxes that use the profile, and those among them that have not received anything yet.
    mailboxes: int
    fresh: int


def backlog(profile: ServerProfile, *, now: datetime) -> Backlog | None:
    """Return what the start date of `profile`, not saved yet, brings; nothing when it brings no old mail."""
    since = profile.process_email_from
    stored = ServerProfile.objects.filter(pk=profile.pk).values_list("process_email_from", flat=True)
    before = stored.first()
    if since == before or (since is not None and since > now - NO_BACKLOG):
        return None
    started = Q(states__direction="incoming", states__last_success_on__isnull=False)
    found = Backlog(since, profile.mailboxes.count(), profile.mailboxes.exclude(started).count())
    # Without a date all mail is fetched; nobody has to be told about it who has no mailboxes yet.
    return found if since is not None or found.mailboxes else None


@transaction.atomic
def set_default(profile: ServerProfile, *, by: User | None, now: datetime) -> bool:
    """Make `profile` what new mailboxes start with; returns whether it was not before.

    Raises NotPossible and PermissionDenied.
    """
    access.require(by, Permission.WRITE_PROFILES, profile.environment_id)
    return _set_default(profile, by=by, now=now)


def _set_default(profile: ServerProfile, *, by: User | None, now: datetime) -> bool:
    _lock(profile.environment_id)
    current = ServerProfile.objects.only("name", "is_active", "is_default").get(pk=profile.pk)
    if current.is_default:
        return False
    if not current.is_active:
        raise NotPossible(
            _("%(name)s is inactive. Activate it first, then set it as default.") % {"name": current.name}
        )
    _give_up_default(profile.environment_id, to=profile.pk, by=by, now=now)
    ServerProfile.objects.filter(pk=profile.pk).update(
        is_default=True, modified_by=by, modified_on=now, version=F("version") + 1
    )
    _note_moved_default(profile.environment_id, by=by, now=now)
    return True


def deactivation_obstacle(profile: ServerProfile) -> str:
    """Say why `profile` must stay active, or nothing."""
    return str(DEFAULT_STAYS) if profile.is_default else ""


def deletion_obstacle(profile: ServerProfile, *, mailboxes: int) -> str:
    """Say why `profile`, used by so many `mailboxes`, cannot be deleted, or nothing."""
    reasons = [str(DEFAULT_STAYS)] if profile.is_default else []
    if mailboxes:
        used = ngettext(
            "%(count)s mailbox uses it. Move it to another server profile first.",
            "%(count)s mailboxes use it. Move them to another server profile first.",
            mailboxes,
        )
        reasons.append(used % {"count": f"{mailboxes:,}"})
    return " ".join(reasons)


@transaction.atomic
def set_active(profiles: QuerySet[ServerProfile], *, active: bool, by: User | None, now: datetime) -> int:
    """Switch `profiles` on or off; returns how many changed.

    Runs under way are fenced off, and mailboxes of a profile that is on again are looked at at once.
    Raises NotPossible for the default profile, and PermissionDenied.
    """
    changing = list(profiles.exclude(is_active=active).only("name", "is_default", "environment"))
    for pk in sorted({profile.environment_id for profile in changing}):
        access.require(by, Permission.WRITE_PROFILES, pk)
        _lock(pk)
    found = ServerProfile.objects.filter(pk__in=[profile.pk for profile in changing])
    if not active:
        for profile in found.filter(is_default=True).only("name", "is_default"):
            stays = _("%(name)s stays active. %(reason)s")
            raise NotPossible(stays % {"name": profile.name, "reason": deactivation_obstacle(profile)})
    changed = found.update(is_active=active, modified_by=by, modified_on=now, version=F("version") + 1)
    keys = [profile.pk for profile in changing]
    signals.switched.send(ServerProfile, profiles=keys, active=active, now=now)
    return changed


@transaction.atomic
def delete_profile(profile: ServerProfile, *, by: User | None) -> None:
    """Delete a profile that nothing uses, with its alerts. Raises NotPossible and PermissionDenied."""
    access.require(by, Permission.WRITE_PROFILES, profile.environment_id)
    _lock(profile.environment_id)
    current = ServerProfile.objects.only("name", "is_default", "environment").get(pk=profile.pk)
    obstacle = deletion_obstacle(current, mailboxes=0)
    refused = _("%(name)s was not deleted. %(reason)s")
    if obstacle:
        raise NotPossible(refused % {"name": current.name, "reason": obstacle})
    try:
        current.delete()
    except ProtectedError as error:
        obstacle = deletion_obstacle(current, mailboxes=len(error.protected_objects))
        raise NotPossible(refused % {"name": current.name, "reason": obstacle}) from error


# Email settings


@transaction.atomic
def save_settings(
    settings: EmailSettings, *, server_profile: ServerProfile | None, by: User | None, now: datetime
) -> EmailSettings:
    """Save the email settings of an environment, and which profile new mailboxes start with.

    Raises StaleRecord when somebody saved them, or moved the default, after they were read, NotPossible, and
    PermissionDenied.
    """
    save_tracking(settings, by=by)
    chosen = server_profile.pk if server_profile else None
    default = ServerProfile.objects.filter(environment=settings.environment_id, is_default=True).first()
    if (default.pk if default else None) == chosen:
        return settings
    if server_profile:
        _set_default(server_profile, by=by, now=now)
    else:
        _give_up_default(settings.environment_id, to=None, by=by, now=now)
        _note_moved_default(settings.environment_id, by=by, now=now)
    settings.refresh_from_db(fields=["version"])
    return settings


@transaction.atomic
def save_tracking(settings: EmailSettings, *, by: User | None) -> EmailSettings:
    """Save the email settings of an environment and leave the default profile alone.

    Raises StaleRecord when somebody saved them after they were read, and PermissionDenied.
    """
    access.require(by, Permission.WRITE_SETTINGS, settings.environment_id)
    _lock(settings.environment_id)
    stored = EmailSettings.objects.filter(environment=settings.environment_id).first() or EmailSettings()
    if any(getattr(stored, name) and not getattr(settings, name) for name in APPROVAL_RULES):
        access.require(by, Permission.APPROVE, settings.environment_id)
    settings.modified_by = by
    if settings._state.adding:  # noqa: SLF001  (Django documents it)
        settings.save(force_insert=True)
    else:
        save_version(settings)
    return settings


def _lock(environment: int) -> None:
    """Have others who change what belongs to `environment` wait until this transaction ends."""
    Environment.objects.select_for_update().only("pk").get(pk=environment)


def _give_up_default(environment: int, *, to: UUID | None, by: User | None, now: datetime) -> None:
    others = ServerProfile.objects.filter(environment=environment, is_default=True)
    if to is not None:
        others = others.exclude(pk=to)
    others.update(is_default=False, modified_by=by, modified_on=now, version=F("version") + 1)


def _note_moved_default(environment: int, *, by: User | None, now: datetime) -> None:
    """Count the settings as changed: they show the default, and an open form of theirs would move it back."""
    EmailSettings.objects.filter(environment=environment).update(
        modified_by=by, modified_on=now, version=F("version") + 1
    )
