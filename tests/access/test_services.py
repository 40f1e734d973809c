from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from inspect import getmembers, isfunction, signature
from pkgutil import iter_modules
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet

import mailboxes.services
from emailsync.mail.composing import Draft
from emailsync.mail.parsing import Address
from mailboxes.choices import JobKind
from mailboxes.engine.changing import Change
from mailboxes.engine.uploading import Upload
from mailboxes.models import Alert, LedgerEntry, Mailbox, Message, OAuthVisit, WorkerState
from mailboxes.services import (
    approval,
    authorization,
    changing,
    completeness,
    detection,
    diagnosis,
    drafts,
    editing,
    importing,
    jobs,
    outgoing,
    received,
    wall,
)
from profiles import people, services
from profiles.models import EmailSettings, Environment, ServerProfile
from profiles.people import Wanted
from tests.access.visits import (
    ADMINISTER,
    APPROVE,
    BELONGS,
    CREDENTIALS,
    DELETE_ALERTS,
    DIAGNOSE,
    OWNER,
    READ_EMAIL,
    SUPERUSER,
    WRITE_MAILBOXES,
    WRITE_SETTINGS,
    Words,
)
from tests.access.world import NOW, SIGNED_IN, World

Call = Callable[[World, User], Any]


@dataclass(frozen=True)
class Service:
    """One call of a service, and who may make it."""

    function: Callable[..., Any]
    allowed: Words
    call: Call
    about: str = ""

    def __str__(self) -> str:
        """Name the call in the list of tests."""
        return f"{name_of(self.function)} {self.about}".strip()


def name_of(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__name__}"


def settings_of(world: World, **changes: Any) -> EmailSettings:
    found = EmailSettings.objects.get(environment=world.here.environment)
    for name, value in changes.items():
        setattr(found, name, value)
    return found


def again(record: Any, **changes: Any) -> Any:
    """Return a record read afresh, with changes that are not saved."""
    found = type(record).objects.get(pk=record.pk)
    for name, value in changes.items():
        setattr(found, name, value)
    return found


def one(record: Any) -> Any:
    return type(record).objects.filter(pk=record.pk)


def new_mailbox(world: World) -> Mailbox:
    return Mailbox(environment=world.here.environment, name="Pier", address="pier@outside.example")


def new_profile(world: World) -> ServerProfile:
    return ServerProfile(environment=world.here.environment, name="Pier", incoming_port=1, outgoing_port=1)


def oversize(world: World) -> Message:
    """Return a message of which only the header was kept, of a mailbox that receives."""
    found: Message = again(world.here.received["owned"], is_header_only=True)
    WorkerState.objects.filter(mailbox=found.mailbox).update(is_enabled=True)
    entry = LedgerEntry(mailbox=found.mailbox, uid=9, uidvalidity=1, outcome="oversize", seen_on=NOW)
    entry.message = found
    entry.save()
    return found


def quarantined(world: World, *which: str) -> QuerySet[Message]:
    """Return messages in quarantine."""
    found = Message.objects.filter(pk__in=[world.here.received[name].pk for name in which])
    found.update(is_quarantined=True)
    return found


def connectable(mailbox: Mailbox) -> Mailbox:
    """Return a mailbox whose profile asks people for a permission."""
    found: Mailbox = again(mailbox)
    assert found.server_profile is not None
    found.server_profile.authentication_type, found.server_profile.oauth_provider = "oauth", "google"
    return found


def visit(mailbox: Mailbox, by: User) -> str:
    """Have somebody be at the provider for a mailbox; return the state that they will bring back."""
    owner = mailbox.owner
    assert owner is not None
    _url, state = authorization.begin(connectable(mailbox), by=owner, redirect_uri="https://x", now=NOW)
    OAuthVisit.objects.update(user=by)
    return state


DRAFT = Draft(
    sender=Address(name="", address="a@outside.example"),
    to=(Address(name="", address="b@outside.example"),),
    subject="s",
    text="t",
)
WRITTEN = drafts.Written(to="", cc="", bcc="", subject="s", text="t")
UPLOAD = Upload(b"address,name\npier@outside.example,Pier\n", updates=False, takes_credentials=False)
SERVICES: list[Service] = [
    Service(
        wall.transcript_of,
        DIAGNOSE | OWNER,
        lambda w, by: wall.transcript_of(w.here.own_alert, by=by),
        "own",
    ),
    Service(
        wall.transcript_of,
        DIAGNOSE,
        lambda w, by: wall.transcript_of(w.here.other_alert, by=by),
        "other",
    ),
    Service(
        services.save_environment,
        SUPERUSER,
        lambda _, by: services.save_environment(Environment(name="Pier"), by=by),
        "new",
    ),
    Service(
        services.save_environment,
        ADMINISTER,
        lambda w, by: services.save_environment(again(w.here.environment), by=by),
    ),
    Service(
        services.save_profile,
        WRITE_SETTINGS,
        lambda w, by: services.save_profile(new_profile(w), by=by, now=NOW),
        "new",
    ),
    Service(
        services.save_profile,
        WRITE_SETTINGS,
        lambda w, by: services.save_profile(again(w.here.profile), by=by, now=NOW),
    ),
    Service(
        services.set_default,
        WRITE_SETTINGS,
        lambda w, by: services.set_default(w.here.profile, by=by, now=NOW),
    ),
    Service(
        services.set_active,
        WRITE_SETTINGS,
        lambda w, by: services.set_active(one(w.here.profile), active=False, by=by, now=NOW),
    ),
    Service(
        services.delete_profile,
        WRITE_SETTINGS,
        lambda w, by: services.delete_profile(again(w.here.spare), by=by),
    ),
    Service(
        services.save_settings,
        WRITE_SETTINGS,
        lambda w, by: services.save_settings(
            settings_of(w, alert_errors=False), server_profile=None, by=by, now=NOW
        ),
    ),
    Service(
        services.save_settings,
        ADMINISTER,
        lambda w, by: services.save_settings(
            settings_of(w, process_only_approved_users=False), server_profile=None, by=by, now=NOW
        ),
        "without approval",
    ),
    Service(
        people.set_roles,
        ADMINISTER,
        lambda w, by: people.set_roles(
            w.here.environment, w.people["member"], Wanted(frozenset({"auditor"})), by=by
        ),
    ),
    Service(
        people.set_email,
        SUPERUSER,
        lambda w, by: people.set_email(again(w.people["member"]), "x@outside.example", by=by),
    ),
    Service(
        people.remove, ADMINISTER, lambda w, by: people.remove(w.here.environment, w.people["member"], by=by)
    ),
    Service(
        people.create_account,
        ADMINISTER,
        lambda w, by: people.create_account(
            User(username="new"), "correct horse battery", environment=w.here.environment, by=by
        ),
    ),
    Service(approval.approve, APPROVE, lambda w, by: approval.approve(one(w.here.other), by=by, now=NOW)),
    Service(
        approval.approve, APPROVE, lambda w, by: approval.approve(one(w.here.owned), by=by, now=NOW), "owned"
    ),
    Service(approval.reject, APPROVE, lambda w, by: approval.reject(one(w.here.owned), by=by, now=NOW)),
    Service(editing.create, WRITE_MAILBOXES, lambda w, by: editing.create(new_mailbox(w), by=by)),
    Service(
        editing.update,
        WRITE_MAILBOXES,
        lambda w, by: editing.update(again(w.here.other, user_name="x"), by=by),
    ),
    Service(
        editing.update,
        WRITE_MAILBOXES,
        lambda w, by: editing.update(again(w.here.owned, name="x"), by=by),
        "owned",
    ),
    Service(
        editing.update,
        WRITE_MAILBOXES | OWNER,
        lambda w, by: editing.update(again(w.here.owned, user_name="x"), by=by),
        "credentials, owned",
    ),
    Service(
        editing.set_active,
        WRITE_MAILBOXES,
        lambda w, by: editing.set_active(one(w.here.owned), active=False, by=by, now=NOW),
    ),
    Service(
        editing.delete,
        WRITE_MAILBOXES,
        lambda w, by: editing.delete(again(w.here.owned), by=by, now=NOW),
    ),
    Service(
        editing.sync_now,
        DIAGNOSE | OWNER,
        lambda w, by: editing.sync_now(again(w.here.owned), by=by, now=NOW),
        "owned",
    ),
    Service(editing.sync_now, DIAGNOSE, lambda w, by: editing.sync_now(again(w.here.other), by=by, now=NOW)),
    Service(
        authorization.begin,
        CREDENTIALS | OWNER,
        lambda w, by: authorization.begin(
            connectable(w.here.owned), by=by, redirect_uri="https://x", now=NOW
        ),
    ),
    Service(
        authorization.come_back,
        CREDENTIALS | OWNER,
        lambda w, by: authorization.come_back(visit(w.here.owned, by), by=by, code="code", error="", now=NOW),
    ),
    Service(
        authorization.disconnect,
        CREDENTIALS | OWNER,
        lambda w, by: authorization.disconnect(again(w.here.owned), by=by),
    ),
    Service(
        diagnosis.start,
        DIAGNOSE,
        lambda w, by: diagnosis.start(one(w.here.other), environment=w.here.environment, by=by, now=NOW),
    ),
    Service(
        diagnosis.start,
        DIAGNOSE | OWNER,
        lambda w, by: diagnosis.start(one(w.here.owned), environment=w.here.environment, by=by, now=NOW),
        "owned",
    ),
    Service(outgoing.queue, READ_EMAIL, lambda w, by: outgoing.queue(w.here.other, DRAFT, by=by, now=NOW)),
    Service(
        editing.move,
        WRITE_MAILBOXES,
        lambda w, by: editing.move(
            one(w.here.owned), environment=w.here.environment, to=w.here.spare, by=by, now=NOW
        ),
    ),
    Service(drafts.save, READ_EMAIL, lambda w, by: drafts.save(w.here.other, WRITTEN, by=by, now=NOW)),
    Service(
        drafts.save,
        READ_EMAIL | OWNER,
        lambda w, by: drafts.save(w.here.owned, WRITTEN, by=by, now=NOW),
        "owned",
    ),
    Service(
        drafts.take_back, READ_EMAIL, lambda w, by: drafts.take_back(w.here.sent["other"], by=by, now=NOW)
    ),
    Service(
        drafts.write_again,
        READ_EMAIL,
        lambda w, by: drafts.write_again(
            again(w.here.sent["other"], status="sent", refused={"eve@b.example": "550"}), by=by, now=NOW
        ),
    ),
    Service(drafts.discard, READ_EMAIL, lambda w, by: drafts.discard(w.here.sent["other"], by=by)),
    Service(
        services.save_tracking,
        WRITE_SETTINGS,
        lambda w, by: services.save_tracking(settings_of(w, use_smart_matching=True), by=by),
    ),
    Service(
        services.save_tracking,
        ADMINISTER,
        lambda w, by: services.save_tracking(settings_of(w, process_only_approved_queues=False), by=by),
        "without approval",
    ),
    Service(
        editing.set_start,
        WRITE_MAILBOXES,
        lambda w, by: editing.set_start(again(w.here.owned), NOW, by=by, now=NOW),
    ),
    Service(approval.withdraw, APPROVE, lambda w, by: approval.withdraw(one(w.here.owned), by=by, now=NOW)),
    Service(
        importing.judge,
        WRITE_MAILBOXES,
        lambda w, by: importing.judge(UPLOAD, environment=w.here.environment, by=by),
    ),
    Service(
        importing.carry_out,
        WRITE_MAILBOXES,
        lambda w, by: importing.carry_out(UPLOAD, environment=w.here.environment, by=by, now=NOW),
    ),
    Service(
        importing.start,
        WRITE_MAILBOXES,
        lambda w, by: importing.start(UPLOAD, environment=w.here.environment, by=by, now=NOW, imports=True),
    ),
    Service(
        changing.look_ahead,
        WRITE_MAILBOXES,
        lambda w, by: changing.look_ahead(
            one(w.here.owned), Change({"notes": "x"}), environment=w.here.environment, by=by
        ),
    ),
    Service(
        changing.change_many,
        WRITE_MAILBOXES,
        lambda w, by: changing.change_many(
            one(w.here.owned), Change({"notes": "x"}), environment=w.here.environment, by=by, now=NOW
        ),
    ),
    Service(
        changing.apply_default,
        WRITE_MAILBOXES,
        lambda w, by: changing.apply_default(
            one(w.here.owned),
            changing.Defaults(w.here.profile, "none", "none", "none"),
            environment=w.here.environment,
            by=by,
            now=NOW,
            test=False,
        ),
    ),
    Service(
        outgoing.queue,
        READ_EMAIL | OWNER,
        lambda w, by: outgoing.queue(w.here.owned, DRAFT, by=by, now=NOW),
        "owned",
    ),
    Service(outgoing.retry, READ_EMAIL, lambda w, by: outgoing.retry(w.here.sent["other"], by=by, now=NOW)),
    Service(
        outgoing.cancel,
        READ_EMAIL | OWNER,
        lambda w, by: outgoing.cancel(w.here.sent["owned"], by=by, now=NOW),
    ),
    Service(
        outgoing.settle,
        READ_EMAIL,
        lambda w, by: outgoing.settle(w.here.sent["other"], sent=False, by=by, now=NOW),
    ),
    Service(
        jobs.start,
        APPROVE,
        lambda w, by: jobs.start(JobKind.APPROVE, environment=w.here.environment, targets=[], by=by, now=NOW),
        "approve",
    ),
    Service(
        detection.start,
        WRITE_SETTINGS,
        lambda w, by: detection.start("a@example.org", environment=w.here.environment, by=by, now=NOW),
    ),
    Service(
        received.read_again,
        READ_EMAIL,
        lambda w, by: received.read_again(
            quarantined(w, "owned", "other"), environment=w.here.environment, by=by, now=NOW
        ),
    ),
    Service(
        received.fetch_anyway,
        READ_EMAIL | OWNER,
        lambda w, by: received.fetch_anyway(oversize(w), by=by, now=NOW),
    ),
    Service(completeness.ask, DIAGNOSE, lambda w, by: completeness.ask(one(w.here.other), by=by, now=NOW)),
    Service(
        completeness.ask,
        DIAGNOSE | OWNER,
        lambda w, by: completeness.ask(one(w.here.owned), by=by, now=NOW),
        "owned",
    ),
    Service(
        completeness.ask_all,
        BELONGS,
        lambda w, by: completeness.ask_all(one(w.here.other), environment=w.here.environment, by=by, now=NOW),
    ),
    Service(jobs.cancel, DIAGNOSE, lambda w, by: jobs.cancel(w.here.job, by=by, now=NOW)),
]
#: Services that do only what the person may, and leave the rest alone.
SELECTIVE = {
    name_of(wall.delete),
    name_of(wall.deletable),
    name_of(wall.mark_read),
    name_of(wall.delete_all),
}


def services_with_an_actor() -> Iterator[str]:
    names = [f"mailboxes.services.{module.name}" for module in iter_modules(mailboxes.services.__path__)]
    for module in map(import_module, ["profiles.services", "profiles.people", *names]):
        for name, function in getmembers(module, isfunction):
            is_own = function.__module__ == module.__name__ and not name.startswith("_")
            if is_own and "by" in signature(function).parameters:
                yield name_of(function)


@pytest.mark.parametrize("name", sorted(services_with_an_actor()))
def test_every_service_with_an_actor_stands_in_the_table(name: str) -> None:
    assert name in {name_of(service.function) for service in SERVICES} | SELECTIVE


@pytest.mark.parametrize("service", SERVICES, ids=str)
def test_a_service_serves_only_those_who_may(world: World, service: Service) -> None:
    assert {role for role in SIGNED_IN if is_let_through(world, service, role)} == service.allowed


def is_let_through(world: World, service: Service, role: str) -> bool:
    """Say whether somebody's call is not refused; what it changes is undone."""
    person = User.objects.get(pk=world.people[role].pk)
    with transaction.atomic():
        try:
            service.call(world, person)
        except PermissionDenied:
            return False
        finally:
            transaction.set_rollback(True)
    return True


@pytest.mark.parametrize("role", SIGNED_IN)
def test_only_those_alerts_are_deleted_that_somebody_may_delete(world: World, role: str) -> None:
    person = User.objects.get(pk=world.people[role].pk)
    wall.delete(Alert.objects.all(), by=person, now=NOW)
    left = set(Alert.objects.values_list("pk", flat=True))
    here = {world.here.own_alert.pk: DELETE_ALERTS | OWNER, world.here.other_alert.pk: DELETE_ALERTS}
    assert {pk for pk in here if pk not in left} == {pk for pk, may in here.items() if role in may}


def test_the_system_is_never_refused(world: World) -> None:
    approval.reject(one(world.here.other), by=None, now=NOW)
