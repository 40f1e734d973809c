"""Change many mailboxes as somebody asks for it. The engine judges and writes; this asks who may."""

from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet

from mailboxes import access
from mailboxes.choices import JobKind
from mailboxes.engine import changing, orders
from mailboxes.engine.changing import Change, Outcome, Preview
from mailboxes.models import Job, Mailbox
from mailboxes.services import diagnosis, jobs
from profiles.access import Permission
from profiles.models import EmailSettings, Environment, ServerProfile


def look_ahead(
    mailboxes: QuerySet[Mailbox], change: Change, *, environment: Environment, by: User | None
) -> Preview:
    """Return what `change` would do to `mailboxes`."""
    access.require_no_gain(by, change.values.get("owner_id"), environment)
    return changing.preview(_of(mailboxes, environment=environment, by=by), change)


def change_many(
    mailboxes: QuerySet[Mailbox],
    change: Change,
    *,
    environment: Environment,
    by: User | None,
    now: datetime,
) -> Outcome | Job:
    """Change `mailboxes`, at once or, when they are many, by a job.

    Those that the rules refuse stay as they are, each with its reason.
    """
    access.require_no_gain(by, change.values.get("owner_id"), environment)
    chosen = _of(mailboxes, environment=environment, by=by)
    keys = chosen.order_by("pk").values_list("pk", flat=True)
    pks = orders.few(keys)
    if pks is None:
        return jobs.start(
            JobKind.CHANGE,
            environment=environment,
            targets=keys,
            payload=change.as_json(),
            by=by,
            now=now,
        )
    return changing.apply(pks, change, by=by, now=now)


@dataclass(frozen=True)
class Defaults:
    """What Apply Default Email Settings gives to a mailbox."""

    server_profile: ServerProfile
    incoming: str
    outgoing: str
    act: str

    @property
    def change(self) -> Change:
        """Return them as a change; a forward mailbox receives only, whatever the default for sending."""
        values = {
            "server_profile_id": self.server_profile.pk,
            "incoming": self.incoming,
            "outgoing": self.outgoing,
            "act": self.act,
        }
        return Change(values, spares_forward=True)


def defaults_of(environment: Environment) -> Defaults | None:
    """Return the default email settings now in force, if there is a default server profile."""
    settings = EmailSettings.objects.filter(environment=environment).first() or EmailSettings()
    profile = environment.server_profiles.filter(is_default=True).first()
    if profile is None:
        return None
    return Defaults(profile, settings.incoming, settings.outgoing, settings.act)


@transaction.atomic
def apply_default(
    mailboxes: QuerySet[Mailbox],
    defaults: Defaults,
    *,
    environment: Environment,
    by: User | None,
    now: datetime,
    test: bool,
    takes_over: bool = False,
) -> tuple[Outcome, Job | None]:
    """Give `mailboxes` the default email settings and, if asked, test and enable those that have them then.

    `takes_over` goes with the test, see `mailboxes.services.diagnosis.start`.
    Returns what was done at once, and the job that does the rest: the tests or, when the mailboxes are many,
    all of it.
    """
    chosen = _of(mailboxes, environment=environment, by=by)
    if test:
        access.within(chosen, by, Permission.DIAGNOSE, environment=environment)
    keys = chosen.order_by("pk").values_list("pk", flat=True)
    pks = orders.few(keys)
    if pks is None:
        payload = {**defaults.change.as_json(), "test": test, "takes_over": takes_over}
        kind = JobKind.APPLY_DEFAULT
        return Outcome(), jobs.start(
            kind, environment=environment, targets=keys, payload=payload, by=by, now=now
        )
    outcome = changing.apply(pks, defaults.change, by=by, now=now)
    applied = Mailbox.objects.filter(pk__in=pks).exclude(pk__in=[skip.mailbox.pk for skip in outcome.skipped])
    if not test or not applied.exists():
        return outcome, None
    return outcome, diagnosis.start(applied, environment=environment, by=by, now=now, takes_over=takes_over)


def _of(mailboxes: QuerySet[Mailbox], *, environment: Environment, by: User | None) -> QuerySet[Mailbox]:
    return access.within(mailboxes, by, Permission.WRITE_MAILBOXES, environment=environment)
