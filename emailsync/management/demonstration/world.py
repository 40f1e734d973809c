"""The demo in the database: an environment, one server profile and some mailboxes, all owned by `admin`."""

from datetime import datetime

from django.contrib.auth.models import User
from django.core.management.base import CommandError
from django.db import transaction
from django.utils import timezone

from emailsync.management.demonstration import state
from emailsync.management.demonstration.letters import ACCOUNTS, Account
from mailboxes.engine import defaults
from mailboxes.models import Mailbox
from mailboxes.services import approval, diagnosis, editing
from profiles import people
from profiles.choices import EnvironmentKind, Role
from profiles.models import EmailSettings, Environment, ServerProfile, save_version

SLUG = "contoso-demo"
PROFILE = "Contoso demo server"
WRONG_PASSWORD = "an-old-password"  # noqa: S105  (meant to be refused)


def prepare(*, now: datetime) -> None:
    """Create the environment once; later, only follow the server to other ports or certificates.

    What people changed or deleted in it stays changed or deleted.
    """
    admin = User.objects.filter(username="admin").first()
    environment = Environment.objects.filter(slug=SLUG).first()
    if environment is not None and not environment.is_demo:
        raise CommandError(f"An environment of yours has the address {SLUG}. Rename it to use the demo.")
    with transaction.atomic():
        if environment is None:
            _create(by=admin, now=now)
        else:
            _follow(environment)


def remove() -> bool:
    """Delete the environment with everything stored for it; say whether there was one."""
    environment = Environment.objects.filter(slug=SLUG, is_demo=True).first()
    if environment is None:
        return state.exists()
    with transaction.atomic():
        for mailbox in environment.mailboxes.all():
            editing.delete(mailbox, by=None, now=timezone.now())
        environment.delete()
    return True


def _create(*, by: User | None, now: datetime) -> None:
    environment = Environment(
        slug=SLUG, name="Contoso (demo)", kind=EnvironmentKind.SANDBOX, is_demo=True, modified_by=by
    )
    environment.full_clean()
    environment.save()
    EmailSettings.objects.get_or_create(environment=environment, defaults={"modified_by": by})
    if by is not None:
        people.set_roles(environment, by, people.Wanted(frozenset({Role.SYSTEM_ADMINISTRATOR.value})), by=by)
    profile = ServerProfile(
        environment=environment,
        name=PROFILE,
        description="The mail server that the demo runs on this machine.",
        owner=by,
        is_default=True,
        maximum_concurrent_connections=4,
        modified_by=by,
    )
    _point(profile)
    profile.full_clean()
    profile.save()
    mailboxes = [_create_mailbox(account, profile=profile, by=by) for account in ACCOUNTS]
    created = Mailbox.objects.filter(pk__in=[mailbox.pk for mailbox in mailboxes])
    approval.approve(created.filter(address__in=_addresses(is_approved=True)), by=by, now=now)
    diagnosis.start(
        created.filter(address__in=_addresses(is_tested=True)), environment=environment, by=by, now=now
    )


def _addresses(**wanted: bool) -> list[str]:
    return [
        account.address
        for account in ACCOUNTS
        if all(getattr(account, name) == value for name, value in wanted.items())
    ]


def _create_mailbox(account: Account, *, profile: ServerProfile, by: User | None) -> Mailbox:
    mailbox = defaults.new_mailbox(profile.environment)
    mailbox.kind = account.kind
    mailbox.server_profile = profile
    mailbox.name, mailbox.address, mailbox.owner = account.name, account.address, by
    mailbox.allow_credentials, mailbox.user_name = True, account.user_name
    password = state.load().passwords[account.user_name]
    mailbox.password = WRONG_PASSWORD if account.has_wrong_password else password
    mailbox.full_clean()
    return editing.create(mailbox, by=by)


def _point(profile: ServerProfile) -> None:
    server = state.load()
    profile.incoming_location = profile.outgoing_location = state.HOST
    profile.incoming_port, profile.outgoing_port = server.imap_port, server.smtp_port
    profile.ca_certificates = state.ca_certificate()


def _follow(environment: Environment) -> None:
    profile = environment.server_profiles.filter(name=PROFILE).first()
    if profile is None:
        return
    before = (profile.incoming_port, profile.outgoing_port, profile.ca_certificates)
    _point(profile)
    if (profile.incoming_port, profile.outgoing_port, profile.ca_certificates) != before:
        profile.full_clean()
        save_version(profile)
