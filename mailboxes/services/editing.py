"""Create and change mailboxes. Worker state is never saved here, only reset where a change calls for it."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import F, QuerySet
from django.utils.translation import gettext as _

from mailboxes import access, rules
from mailboxes.alerts import wall
from mailboxes.choices import AddressStatus, Direction
from mailboxes.engine import authorizing, braking, claiming, jobs, parking, switching
from mailboxes.engine.changing import CONNECTION_FIELDS
from mailboxes.engine.discarding import discard
from mailboxes.models import Alert, Diagnosis, Job, Mailbox, RawMessage, WorkerState
from profiles.access import Permission
from profiles.destinations import Redirection
from profiles.models import Environment, ServerProfile, save_version

#: What the owner of a mailbox may fill in without being allowed to change it otherwise.
CREDENTIALS = frozenset({"allow_credentials", "user_name", "password"})
BOOKKEEPING = frozenset({"version", "created_on", "modified_on", "modified_by_id"})


class AddressTaken(Exception):
    """Somebody else gave the address to a mailbox of the environment at the same moment."""


@contextmanager
def _unless_taken() -> Iterator[None]:
    """Write a mailbox. Raises AddressTaken where the database finds its address on another one."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        if "one_mailbox_per_address" not in str(error):
            raise
        raise AddressTaken(
            _("Another mailbox here got this address at the same moment. Open that one instead.")
        ) from error


@transaction.atomic
def create(mailbox: Mailbox, *, by: User | None) -> Mailbox:
    """Save a new mailbox, waiting for approval, with what workers keep of it. Raises AddressTaken."""
    access.require(by, Permission.WRITE_MAILBOXES, mailbox)
    mailbox.modified_by = by
    mailbox.address_status = AddressStatus.PENDING
    with _unless_taken():
        mailbox.save(force_insert=True)
    switching.write_states([mailbox])
    return mailbox


@transaction.atomic
def update(mailbox: Mailbox, *, by: User | None) -> Mailbox:
    """Save a changed mailbox. Raises AddressTaken, and StaleRecord when somebody saved it after it was read.

    A new address, or account on the server, waits for approval again. A change of how the mailbox connects
    resets its test results and stops both directions until they are tested again.
    """
    stored = Mailbox.objects.select_for_update(no_key=True).get(pk=mailbox.pk)
    _require_change(by, stored, mailbox)
    if (stored.address.lower(), stored.server_account) != (mailbox.address.lower(), mailbox.server_account):
        mailbox.address_status = AddressStatus.PENDING
        mailbox.approved_by, mailbox.approved_on = None, None
        claiming.release([mailbox.pk])
    if not mailbox.is_active:
        claiming.release([mailbox.pk])
    mailbox.modified_by = by
    with _unless_taken():
        save_version(mailbox)
    changed = any(getattr(stored, name) != getattr(mailbox, name) for name in CONNECTION_FIELDS)
    if changed or not stored.password.is_same_as(mailbox.password):
        switching.reset([mailbox.pk], now=mailbox.modified_on)
    if stored.owner_id != mailbox.owner_id:
        switching.make_due(Mailbox.objects.filter(pk=mailbox.pk), now=mailbox.modified_on)
    return mailbox


def _require_change(by: User | None, stored: Mailbox, changed: Mailbox) -> None:
    """Let `by` save what differs; credentials alone need less. Raises PermissionDenied."""
    if stored.owner_id != changed.owner_id:
        access.require_no_gain(by, changed.owner_id, stored.environment_id)
    fields = {field.attname for field in Mailbox._meta.concrete_fields} - CREDENTIALS - BOOKKEEPING
    is_more = any(getattr(stored, name) != getattr(changed, name) for name in fields)
    needed = Permission.WRITE_MAILBOXES if is_more else Permission.GIVE_CREDENTIALS
    if not is_more and by is not None and access.may(by, Permission.WRITE_MAILBOXES, stored):
        return
    access.require(by, needed, stored)


@transaction.atomic
def set_active(mailboxes: QuerySet[Mailbox], *, active: bool, by: User | None, now: datetime) -> int:
    """Switch `mailboxes` on or off; returns how many changed. Switched on, enabled ones are due at once."""
    access.require_each(by, Permission.WRITE_MAILBOXES, mailboxes)
    return switching.set_active(mailboxes, active=active, by=by, now=now)


class StartTooEarly(Exception):
    """The profile starts later than that; the text says when."""


@transaction.atomic
def set_start(mailbox: Mailbox, start: datetime, *, by: User | None, now: datetime) -> None:
    """Have `mailbox` begin with mail received at `start` ("Start date for incoming email").

    Messages noted as older before, and inside now, are read by the next run. Raises StartTooEarly.
    """
    access.require(by, Permission.WRITE_MAILBOXES, mailbox)
    if wrong := rules.start_date_error(mailbox, start):
        raise StartTooEarly(wrong)
    found = Mailbox.objects.filter(pk=mailbox.pk)
    found.update(process_email_from=start, modified_by=by, modified_on=now, version=F("version") + 1)
    mailbox.refresh_from_db(fields=["process_email_from", "modified_on", "version"])
    switching.make_due(found, now=now)


@transaction.atomic
def move(
    mailboxes: QuerySet[Mailbox],
    *,
    environment: Environment,
    to: ServerProfile,
    by: User | None,
    now: datetime,
) -> int:
    """Have `mailboxes` use another active profile of `environment`; returns how many moved.

    What was tested on the old servers says nothing about the new ones: both directions stop until they are
    tested again. Raises ProfileUnusable and PermissionDenied.
    """
    found = access.within(mailboxes, by, Permission.WRITE_MAILBOXES, environment=environment)
    return len(switching.move(found, environment=environment, to=to.pk, by=by, now=now))


def follow_connection(
    *,
    profile: ServerProfile,
    directions: Collection[str],
    redirected: Mapping[str, Redirection],
    now: datetime,
    **_sent: object,
) -> None:
    """Stop the mailboxes of a profile that connects otherwise now, until they are tested again.

    What it was told of hosts that it no longer uses is over. Whose credentials or email go elsewhere is told.
    """
    found = Mailbox.objects.filter(server_profile=profile)
    switching.reset(found.values("pk"), directions=directions, now=profile.modified_on)
    authorizing.ask_anew(profile)
    hosts = {braking.host_of(profile, direction) for direction in Direction.values}
    wall.resolve_of_profile(braking.BRAKED, profile=profile, now=now, still_about=hosts)
    person = profile.modified_by
    for what, to in redirected.items():
        words = {
            "hosts": str(to),
            "number": to.mailboxes,
            "person": person.get_full_name() or person.get_username() if person else "manage.py",
        }
        wall.raise_alert(f"{what}_redirected", profile=profile, now=now, about=str(to), words=words)


def follow_switch(*, profiles: Collection[UUID], active: bool, now: datetime, **_sent: object) -> None:
    """Stop what runs on profiles that were switched off; look at the mailboxes at once, either way.

    They go on, or say why they do not.
    """
    found = Mailbox.objects.filter(server_profile__in=list(profiles))
    if not active:
        switching.stop_runs(found)
    switching.make_due(found, now=now, mends="profile_inactive" if active else "")


def follow_roles(
    *, environment: Environment, person: User, has_role: bool, now: datetime, **_sent: object
) -> None:
    """Have the mailboxes of somebody without a role say so, and of somebody with one no longer."""
    owned = Mailbox.objects.filter(environment=environment, owner=person)
    if has_role:
        wall.resolve_each(*parking.OWNER_KINDS.values(), mailboxes=owned.values("pk"), now=now)
    switching.make_due(owned, now=now)


@transaction.atomic
def delete(mailbox: Mailbox, *, by: User | None, now: datetime) -> None:
    """Delete a mailbox with everything stored for it, the files of its large messages among it.

    What a worker writes of it at the moment is waited for and goes with it; nothing is written after that.
    """
    access.require(by, Permission.WRITE_MAILBOXES, mailbox)
    if not switching.lock([mailbox.pk]):
        return  # somebody else did
    claiming.release([mailbox.pk])
    switching.stop_runs(Mailbox.objects.filter(pk=mailbox.pk))
    Mailbox.objects.select_for_update().only("pk").get(pk=mailbox.pk)
    raws = RawMessage.objects.filter(message__mailbox=mailbox).exclude(file="")
    files = set(raws.values_list("file", flat=True))
    alerts = Alert.objects.filter(mailbox=mailbox)
    parents = {alert.parent_id for alert in alerts.only("parent") if alert.parent_id}
    alerts.delete()
    wall.settle(parents, now=now)
    tested = list(Job.objects.filter(diagnoses__in=Diagnosis.objects.unfinished().filter(mailbox=mailbox)))
    mailbox.delete()
    for job in tested:
        # Its test may have been the last one that the job waited for.
        jobs.settle(job.pk, now=now)
    transaction.on_commit(lambda: discard(files))


@transaction.atomic
def sync_now(mailbox: Mailbox, *, by: User | None, now: datetime) -> bool:
    """Have the Inbox of a mailbox looked at now; says whether its incoming direction is enabled at all."""
    access.require(by, Permission.DIAGNOSE, mailbox)
    incoming = WorkerState.objects.filter(mailbox=mailbox, direction=Direction.INCOMING, is_enabled=True)
    return bool(incoming.update(due_at=now))
