"""How far a Test & Enable job has come, in the numbers and rows that its page shows."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Max, Q, QuerySet
from django.urls import reverse
from django.utils.translation import gettext as _

from mailboxes.choices import (
    UNFINISHED,
    AddressStatus,
    Direction,
    JobKind,
    ResultStatus,
    RunState,
    StepOutcome,
)
from mailboxes.engine.claiming import CLAIMED_ELSEWHERE
from mailboxes.engine.eligibility import NOT_APPROVED, authentication_type
from mailboxes.models import Diagnosis, DiagnosisStep, Job, Mailbox
from mailboxes.models.diagnosis import DiagnosisQuerySet
from profiles.access import Permission
from profiles.choices import AuthenticationType

#: A living worker takes a waiting test within a second or two.
PICK_UP = timedelta(seconds=20)

DONE = Q(state=RunState.DONE)
_FAILURE = Q(incoming=StepOutcome.FAILURE) | Q(outgoing=StepOutcome.FAILURE)
_SUCCESS = Q(incoming=StepOutcome.SUCCESS) | Q(outgoing=StepOutcome.SUCCESS)
#: Every diagnosis is in exactly one of these parts; the page can show each alone.
PARTS = {
    "failed": DONE & _FAILURE,
    "succeeded": DONE & _SUCCESS & ~_FAILURE,
    "skipped": (DONE & ~_SUCCESS & ~_FAILURE) | Q(state=RunState.CANCELED),
    "running": Q(state=RunState.RUNNING),
    "waiting": Q(state=RunState.QUEUED),
}

#: Causes that are mended in the mailbox, whatever step they stopped.
_CREDENTIALS = {
    *("login_refused", "password_expired", "app_password_needed", "login_mechanism_missing"),
    *("credentials_missing", "credentials_not_allowed", "credential_unreadable"),
}
_CONNECTION = {"oauth_not_connected", "oauth_expired", "token_refused"}
_MAILBOX = {
    *("method_none", "mailbox_inactive", "profile_missing", "forward_mailbox_missing"),
    *("mailbox_locked", "sender_refused", "folder_missing", "quota_exceeded"),
}


@dataclass(frozen=True)
class Counts:
    """The numbers of one job: how many mailboxes there are in each part."""

    succeeded: int
    failed: int
    skipped: int
    canceled: int
    running: int
    waiting: int

    @property
    def total(self) -> int:
        """Return how many mailboxes the job has."""
        return self.succeeded + self.failed + self.skipped + self.running + self.waiting

    @property
    def done(self) -> int:
        """Return how many mailboxes are tested."""
        return self.succeeded + self.failed + self.skipped - self.canceled

    @property
    def is_finished(self) -> bool:
        """Say whether nothing is left to do."""
        return not self.running and not self.waiting


def count(diagnoses: QuerySet[Diagnosis], *, unwritten: int = 0, is_canceled: bool = False) -> Counts:
    """Count `diagnoses` by part, in one query that an index answers.

    `unwritten` more are still to be written: they wait, or were canceled with their job.
    """
    numbers = dict.fromkeys((*PARTS, "canceled"), 0)
    groups = diagnoses.order_by().values_list("state", "incoming", "outgoing").annotate(number=Count("pk"))
    for state, incoming, outgoing, number in groups:
        numbers[_part(state, {incoming, outgoing})] += number
        numbers["canceled"] += number if state == RunState.CANCELED else 0
    for part in ("skipped", "canceled") if is_canceled else ("waiting",):
        numbers[part] += unwritten
    return Counts(**numbers)


def _part(state: str, results: set[str]) -> str:
    if state in UNFINISHED:
        return "running" if state == RunState.RUNNING else "waiting"
    if state == RunState.CANCELED:
        return "skipped"
    if StepOutcome.FAILURE in results:
        return "failed"
    return "succeeded" if StepOutcome.SUCCESS in results else "skipped"


def is_stalled(job: Job, diagnoses: DiagnosisQuerySet, *, now: datetime) -> bool:
    """Say whether work waits and no worker has given a sign of life for a while."""
    if job.is_finished or now - job.created_on <= PICK_UP:
        return False
    if job.kind != JobKind.DIAGNOSE:
        signs = [job.leased_until]
    elif diagnoses.unfinished().filter(leased_until__gt=now).exists():
        return False
    else:
        latest = diagnoses.order_by().aggregate(end=Max("finished_on"), lease=Max("leased_until"))
        signs = [latest["end"], latest["lease"], job.leased_until]
    return all(sign is None or now - sign > PICK_UP for sign in signs)


@dataclass(frozen=True)
class ShownStep:
    """One step as the page shows it, with the place where its failure is mended."""

    direction: str
    title: str
    outcome: str
    started_on: datetime
    duration_ms: int
    seen: str
    error_code: str
    remedy: str
    link: tuple[str, str] | None


@dataclass(frozen=True)
class Group:
    """The steps of one direction, in order."""

    title: str
    steps: Sequence[ShownStep]
    is_running: bool


@dataclass(frozen=True)
class Row:
    """One mailbox of a job."""

    diagnosis: Diagnosis
    mailbox: Mailbox
    incoming: str
    outgoing: str
    took: timedelta | None
    steps: Sequence[ShownStep]
    failures: Sequence[ShownStep]
    is_open: bool
    waits_for_approval: bool

    @property
    def has_detail(self) -> bool:
        """Say whether anything is told below the row."""
        return self.waits_for_approval or bool(self.failures) or (self.is_open and bool(self.groups))

    @property
    def groups(self) -> list[Group]:
        """Return the steps by direction; a direction without steps and without work under way is left out."""
        found = []
        runs = self.diagnosis.state == RunState.RUNNING
        for direction in Direction:
            steps = [step for step in self.steps if step.direction == direction]
            is_running = runs and not getattr(self.diagnosis, direction)
            if steps or is_running:
                title = _("Incoming email") if direction == Direction.INCOMING else _("Outgoing email")
                found.append(Group(title, steps, is_running))
            runs = runs and not is_running
        return found


def rows(
    job: Job, page: Sequence[Diagnosis], *, opened: Collection[int], all_open: bool = False, now: datetime
) -> list[Row]:
    """Return a page of diagnoses with the steps to be shown, in one query.

    Mailbox and profile are loaded, and the mailbox knows what its reader may do.

    Failed steps are always there, the rest only for rows that run or that the reader opened.
    """
    for diagnosis in page:
        diagnosis.mailbox.environment = job.environment
    wanted = (
        Q(outcome=StepOutcome.FAILURE) | Q(diagnosis__state=RunState.RUNNING) | Q(diagnosis__in=list(opened))
    )
    steps = DiagnosisStep.objects.filter(diagnosis__in=[diagnosis.pk for diagnosis in page])
    by_diagnosis: dict[int, list[DiagnosisStep]] = {}
    for step in steps if all_open else steps.filter(wanted):
        by_diagnosis.setdefault(step.diagnosis_id, []).append(step)
    return [
        _row(
            diagnosis, by_diagnosis.get(diagnosis.pk, []), is_open=all_open or diagnosis.pk in opened, now=now
        )
        for diagnosis in page
    ]


def _row(diagnosis: Diagnosis, steps: list[DiagnosisStep], *, is_open: bool, now: datetime) -> Row:
    mailbox = diagnosis.mailbox
    shown = [_shown(step, mailbox) for step in steps]
    end = diagnosis.finished_on or (now if diagnosis.state == RunState.RUNNING else None)
    took = end - diagnosis.started_on if end and diagnosis.started_on else None
    failures = [step for step in shown if step.outcome == StepOutcome.FAILURE]
    waits = mailbox.address_status != AddressStatus.APPROVED and any(
        step.error_code == NOT_APPROVED for step in failures
    )
    return Row(
        diagnosis=diagnosis,
        mailbox=mailbox,
        incoming=_status(diagnosis, mailbox, Direction.INCOMING),
        outgoing=_status(diagnosis, mailbox, Direction.OUTGOING),
        took=took,
        steps=shown,
        # A row that waits for approval says so in words of its own.
        failures=_distinct([step for step in failures if not (waits and step.error_code == NOT_APPROVED)]),
        is_open=is_open or diagnosis.state == RunState.RUNNING,
        waits_for_approval=waits,
    )


def _distinct(failures: list[ShownStep]) -> list[ShownStep]:
    """Leave out a cause that stopped both directions alike."""
    seen: set[tuple[str, str]] = set()
    kept = []
    for step in failures:
        cause = (step.error_code, step.seen)
        if cause not in seen:
            kept.append(step)
        seen.add(cause)
    return kept


def _status(diagnosis: Diagnosis, mailbox: Mailbox, direction: Direction) -> str:
    """Return the word for one direction: its result, or how far it has come."""
    result = getattr(diagnosis, direction)
    if result == StepOutcome.SKIPPED:
        return "none" if not mailbox.uses(direction) else StepOutcome.SKIPPED
    if result:
        return str(result)
    if not mailbox.syncs(direction):
        return "none"
    if diagnosis.state == RunState.CANCELED:
        return RunState.CANCELED
    if diagnosis.state == RunState.DONE:
        return ResultStatus.NOT_RUN
    return "testing" if diagnosis.state == RunState.RUNNING else "queued"


def _shown(step: DiagnosisStep, mailbox: Mailbox) -> ShownStep:
    return ShownStep(
        direction=step.direction,
        title=_(step.title),
        outcome=step.outcome,
        started_on=step.started_on,
        duration_ms=step.duration_ms,
        # A title often says already what was seen.
        seen="" if step.seen in step.title else _(step.seen),
        error_code=step.error_code,
        remedy=_(step.remedy),
        link=where_to_mend(step.error_code, direction=step.direction, mailbox=mailbox)
        if step.error_code
        else None,
    )


def where_to_mend(code: str, *, direction: str, mailbox: Mailbox) -> tuple[str, str]:
    """Return the label and address of the page where the cause `code` is mended.

    `mailbox.may` says whether its reader can: the label promises no command that they have not.
    """
    page, profile = mailbox.get_absolute_url(), mailbox.server_profile
    if code == NOT_APPROVED and Permission.APPROVE in mailbox.may:
        return _("Approve the address"), page
    may_give = Permission.GIVE_CREDENTIALS in mailbox.may
    if profile and code in _CONNECTION and may_give:
        is_new = code == "oauth_not_connected"
        return _("Connect the mailbox") if is_new else _("Reconnect the mailbox"), f"{page}#connection"
    is_own = code in _CREDENTIALS and not (
        profile and authentication_type(profile, direction) == AuthenticationType.IN_PROFILE
    )
    if profile and is_own and may_give:
        return _("Update credentials"), f"{page}#id_user_name"
    is_of_mailbox = is_own or code in {NOT_APPROVED, CLAIMED_ELSEWHERE, *_MAILBOX, *_CONNECTION}
    if profile is None or is_of_mailbox or Permission.READ_SETTINGS not in mailbox.environment.may:
        return _("Open mailbox"), page
    return _("Open server profile"), reverse(
        "profiles:profile_edit", args=[mailbox.environment.slug, profile.pk]
    )
