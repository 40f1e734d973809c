"""Test & Enable for one mailbox: walk the checklist and the probes, save each step as it comes, then decide.

A diagnosis that dies is claimed again when its lease ends and starts over: testing twice harms nobody.
One that dies again and again is ended, and says so.
"""

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from django.db.models import Case, F, PositiveBigIntegerField, Q, QuerySet, Value, When
from django.utils import timezone
from django.utils.translation import gettext_noop

from emailsync.mail.automatic import AUTOMATIC_HEADERS
from emailsync.mail.composing import Draft
from emailsync.mail.errors import MailError, Scope
from emailsync.mail.parsing import Address
from emailsync.mail.probing import Arrival, probe_incoming, probe_outgoing
from emailsync.mail.trial import SAID, Outcome, Step
from mailboxes.alerts import wall
from mailboxes.alerts.kinds import READY
from mailboxes.choices import Direction, ResultStatus, RunState, StepOutcome
from mailboxes.engine import (
    braking,
    claiming,
    connecting,
    eligibility,
    jobs,
    major_events,
    outcomes,
    parking,
    policy,
    scheduling,
)
from mailboxes.models import Diagnosis, DiagnosisStep, Job, Mailbox, WorkerState

log = logging.getLogger(__name__)

#: How often a test that does not come to its end is begun.
ATTEMPTS = 5
PROBE_SUBJECT = "Your mailbox is now connected to emailsync"
PROBE_TEXT = (
    "This message was sent by the connection test of emailsync, from this mailbox to itself.\n\n"
    "It shows that outgoing email works. You can delete it.\n"
)

CHANGED = eligibility.Blocker(
    "changed_meanwhile",
    gettext_noop("The mailbox or its server profile was changed while it was tested."),
    gettext_noop("Run Test & Enable again."),
)
BROKEN_OFF = eligibility.Blocker(
    "broken_off",
    f"The test was begun {ATTEMPTS} times and never came to its end.",
    gettext_noop("Look into the log of the workers for the reason, then run Test & Enable again."),
)
#: What was tested, for the alert that says so.
EMAIL: dict[str, str] = {
    Direction.INCOMING: gettext_noop("Incoming email"),
    Direction.OUTGOING: gettext_noop("Outgoing email"),
}
BOTH = gettext_noop("Incoming and outgoing email")


def run(diagnosis_pk: int) -> None:
    """Carry out one diagnosis, if it is still there to be done."""
    lease = scheduling.claim_running(Diagnosis, diagnosis_pk, now=timezone.now())
    if lease is None:
        return
    with scheduling.working(lease):
        _run(lease)


def _run(lease: scheduling.Lease) -> None:
    diagnosis = Diagnosis.objects.select_related("mailbox__server_profile", "job__created_by").get(
        pk=lease.pk
    )
    now, profile = timezone.now(), diagnosis.mailbox.server_profile
    if profile and scheduling.must_wait_for_place(profile, lease):
        return
    with scheduling.fenced(lease, incoming="", outgoing="", attempts=F("attempts") + 1):
        diagnosis.steps.all().delete()
        jobs.begin(diagnosis.job, now=now)
        WorkerState.objects.filter(mailbox=diagnosis.mailbox_id).update(
            attempted_by=diagnosis.job.created_by_id, attempted_on=now
        )
    if diagnosis.attempts >= ATTEMPTS:
        _give_up(lease, diagnosis)
        return
    position = 0
    results: dict[str, Outcome] = {}
    for direction in Direction.values:
        steps: list[Step] = []
        tested = settings_of(diagnosis.mailbox)
        mailbox = Mailbox.objects.select_related("server_profile", "environment").get(pk=diagnosis.mailbox_id)
        receives = mailbox.syncs(Direction.INCOMING) and results.get(Direction.INCOMING) is Outcome.SUCCESS
        for step in steps_of(mailbox, direction, takes_over=diagnosis.job.takes_over, sees_arrival=receives):
            with scheduling.fenced(lease):
                _save_step(diagnosis, step, position)
            position += 1
            steps.append(step)
        result, obstacle, now = _judge(steps), CHANGED, timezone.now()
        with scheduling.fenced(lease, **{direction: result.value}):
            if tested == settings_of(mailbox, lock=True):
                if result is not Outcome.SUCCESS or _hold(mailbox, direction, diagnosis.job, now=now):
                    _apply(mailbox, direction, steps, result, now=now)
                    results[direction] = result
                    continue
                obstacle = eligibility.claimed_elsewhere(mailbox)
        # The result is about settings that are no more, or about an address that another environment took
        # meanwhile: it must not enable anything.
        results[direction] = Outcome.FAILURE
        failed = _failed_step(direction, obstacle, now=now, permanent=True)
        with scheduling.fenced(lease, **{direction: Outcome.FAILURE.value}):
            _save_step(diagnosis, failed, position)
            if obstacle is not CHANGED:
                _apply(mailbox, direction, [failed], Outcome.FAILURE, now=now)
        position += 1
    _finish(lease, diagnosis, results)
    if Outcome.SUCCESS in results.values():
        major_events.look_again(mailbox, now=timezone.now())


def _hold(mailbox: Mailbox, direction: str, job: Job, *, now: datetime) -> bool:
    """Have this environment be the one that synchronizes the address; say whether it is."""
    if not mailbox.syncs(direction):
        return True
    return claiming.take(mailbox, takes_over=job.takes_over, by=job.created_by, now=now)


def settings_of(mailbox: Mailbox, *, lock: bool = False) -> tuple[object, ...]:
    """Return what a result depends on, as it is stored now, and locked if it is to stay so."""
    locked = Mailbox.objects.select_for_update(of=("self",), no_key=True)
    stored = locked if lock else Mailbox.objects.all()
    ways = ("address", "incoming", "outgoing", "allow_credentials", "user_name", "password")
    rights = ("address_status", "server_account", "is_active", "server_profile_id", "server_profile__version")
    return tuple(stored.values_list(*ways, *rights).get(pk=mailbox.pk))


def _give_up(lease: scheduling.Lease, diagnosis: Diagnosis) -> None:
    now = timezone.now()
    results = {}
    for position, direction in enumerate(Direction.values):
        step = _failed_step(direction, BROKEN_OFF, now=now)
        results[direction] = Outcome.FAILURE if diagnosis.mailbox.uses(direction) else Outcome.SKIPPED
        with scheduling.fenced(lease, **{direction: results[direction].value}):
            if results[direction] is Outcome.FAILURE:
                _save_step(diagnosis, step, position)
                _apply(diagnosis.mailbox, direction, [step], Outcome.FAILURE, now=now)
    _finish(lease, diagnosis, results)


def _failed_step(
    direction: str, blocker: eligibility.Blocker, *, now: datetime, permanent: bool = False
) -> Step:
    return Step(
        direction="incoming" if direction == Direction.INCOMING else "outgoing",
        name="preconditions",
        title=blocker.sentence,
        outcome=Outcome.FAILURE,
        started_at=now,
        duration_ms=0,
        error_code=blocker.code,
        remedy=blocker.remedy,
        permanent=permanent,
    )


def steps_of(
    mailbox: Mailbox, direction: str, *, takes_over: bool, sees_arrival: bool = False
) -> Iterator[Step]:
    """Return the steps of one direction: the checklist first, then the conversation with the server.

    With `sees_arrival` the message that outgoing email is tested with is looked for in the Inbox.
    """
    now = timezone.now()
    if not mailbox.uses(direction):
        return
    found = eligibility.blockers(mailbox, direction, takes_over=takes_over)
    if found:
        for blocker in found:
            yield _failed_step(direction, blocker, now=now, permanent=True)
        return
    if not mailbox.syncs(direction):
        yield _forward_step(mailbox, now=now)
        return
    profile = connecting.profile_of(mailbox)
    wire = connecting.mail_wire(profile, seconds=connecting.PROBE_SECONDS)
    try:
        braking.check(mailbox, direction, now=now)
        credential = connecting.credential(mailbox, direction)
    except MailError as error:
        blocker = eligibility.Blocker(error.code, str(error), error.remedy)
        yield replace(_failed_step(direction, blocker, now=now, permanent=error.permanent), name="credential")
        return
    if direction == Direction.INCOMING:
        steps = probe_incoming(profile.incoming_endpoint, credential, wire, now=now)
    else:
        draft = _probe_draft(mailbox)
        arrival = None
        if sees_arrival:
            arrival = Arrival(profile.incoming_endpoint, connecting.credential(mailbox, Direction.INCOMING))
        steps = probe_outgoing(
            profile.outgoing_endpoint, credential, wire, now=now, draft=draft, arrival=arrival
        )
    yield from braking.watched(steps, mailbox, direction)


def _forward_step(mailbox: Mailbox, *, now: datetime) -> Step:
    """Return the one step of a mailbox that connects nowhere because a forward mailbox receives for it."""
    names = ", ".join(eligibility.forward_mailboxes(mailbox).values_list("name", flat=True))
    return Step(
        direction="incoming",
        name="forward_mailbox",
        title=gettext_noop("Look for a forward mailbox that works"),
        outcome=Outcome.SUCCESS,
        started_at=now,
        duration_ms=0,
        seen=names,
    )


def _probe_draft(mailbox: Mailbox) -> Draft:
    own = Address(mailbox.name, mailbox.address)
    return Draft(
        sender=own,
        to=(replace(own),),
        subject=PROBE_SUBJECT,
        text=PROBE_TEXT,
        headers=AUTOMATIC_HEADERS,
    )


def _save_step(diagnosis: Diagnosis, step: Step, position: int) -> None:
    DiagnosisStep.objects.create(
        diagnosis=diagnosis,
        direction=step.direction,
        position=position,
        name=step.name,
        title=_shown(step.title)[:500],
        outcome=step.outcome.value,
        started_on=step.started_at,
        duration_ms=step.duration_ms,
        seen=_shown(step.seen),
        error_code=step.error_code,
        remedy=step.remedy,
    )


def _shown(text: str) -> str:
    """Return what a server said without what no database keeps and no page shows."""
    return "".join(mark if mark.isprintable() or mark == "\n" else " " for mark in text)


def _judge(steps: list[Step]) -> Outcome:
    if not steps:
        return Outcome.SKIPPED
    failed = any(step.outcome is Outcome.FAILURE for step in steps)
    return Outcome.FAILURE if failed else Outcome.SUCCESS


def _apply(mailbox: Mailbox, direction: str, steps: list[Step], result: Outcome, *, now: datetime) -> None:
    """Write the result to the direction: success enables it, a permanent failure stops it."""
    state = WorkerState.objects.filter(mailbox=mailbox, direction=direction)
    if result is Outcome.SKIPPED:
        state.update(status=ResultStatus.NOT_RUN, is_enabled=False, due_at=None)
        # A direction that nobody wants any more has no trouble either.
        for trouble in ("untested", "test_interrupted", "stopped", "retrying"):
            wall.resolve(f"{direction}_{trouble}", mailbox=mailbox, now=now)
    elif result is Outcome.SUCCESS:
        state.update(
            **outcomes.FORGOTTEN,
            status=ResultStatus.SUCCESS,
            tested_on=now,
            # Work that a stopped direction still had under way must not stop it again.
            fence=Case(
                When(is_enabled=False, then=F("fence") + 1),
                default=F("fence"),
                output_field=PositiveBigIntegerField(),
            ),
            is_enabled=Value(True),
            due_at=now if mailbox.syncs(direction) else None,
        )
        wall.resolve_direction(mailbox, direction, now=now)
        parking.resolve(mailbox, now=now)
        wall.resolve("taken_over", mailbox=mailbox, now=now)
        for step in steps:
            if step.outcome is Outcome.WARNING:
                wall.raise_alert(
                    f"{direction}_{step.error_code}", now=now, mailbox=mailbox, cause=cause_of(step)
                )
    else:
        _apply_failure(mailbox, direction, steps, state_rows=state, now=now)


def _apply_failure(
    mailbox: Mailbox,
    direction: str,
    steps: list[Step],
    *,
    state_rows: QuerySet[WorkerState],
    now: datetime,
) -> None:
    failure = next(step for step in steps if step.outcome is Outcome.FAILURE)
    retry_at = now + policy.next_test(permanent=failure.permanent, tests=0)
    # What the checklist asks for is done by somebody, who then tests it; all else may pass by itself.
    tested_again = None if failure.name == "preconditions" and failure.permanent else retry_at
    noted = {
        "status": ResultStatus.FAILURE,
        "tested_on": now,
        "last_error_code": failure.error_code,
        "last_error": failure.title[:2000],
        "last_error_on": now,
        "tests_since": 0,
    }
    if not failure.permanent:
        # One that is enabled goes on, and shows by itself whether it works; without work it is tested again.
        state_rows.filter(Q(is_enabled=False) | Q(due_at=None)).update(due_at=tested_again)
        state_rows.update(**noted)
        tested_again = state_rows.values_list("due_at", flat=True).first()
    else:
        state_rows.filter(is_enabled=True).update(stopped_on=now)
        state_rows.update(**noted, is_enabled=False, due_at=tested_again)
    if failure.name == "preconditions" and parking.holds_up_all(mailbox, failure.error_code):
        # Both directions wait for the same, so one test counts once.
        if direction == next(each for each in Direction if mailbox.uses(each)):
            parking.tell(mailbox, cause_of(failure), now=now)
    elif not failure.permanent and state_rows.filter(is_enabled=False, stopped_on__isnull=False).exists():
        # It is stopped still: what a run had said of it stands, with the cause of now.
        cause = cause_of(failure)
        wall.resolve_direction(mailbox, direction, now=now, but=(f"{direction}_stopped", cause.code))
        outcomes.tell_stopped(mailbox, direction, cause, retry_at=retry_at, now=now)
    else:
        tell_untested(mailbox, direction, failure, retry_at=tested_again, now=now)


def cause_of(step: Step) -> wall.Cause:
    """Return what an alert says of a step that failed."""
    return wall.Cause(step.title, step.remedy, step.error_code, step.seen.removeprefix(SAID), step.transcript)


def tell_untested(
    mailbox: Mailbox, direction: str, failure: Step, *, retry_at: datetime | None, now: datetime
) -> None:
    """Say that a test failed, or was interrupted, and when it is repeated by itself."""
    cause = cause_of(failure)
    kind = f"{direction}_untested" if failure.permanent else f"{direction}_test_interrupted"
    words = {"retry_at": retry_at.isoformat() if retry_at else ""}
    if failure.permanent:
        wall.resolve_direction(mailbox, direction, now=now, but=(kind, failure.error_code))
    wall.raise_alert(kind, now=now, mailbox=mailbox, cause=cause, words=words)
    if failure.permanent and failure.scope is Scope.PROFILE and mailbox.server_profile:
        about = f"{failure.error_code}:{direction}"
        wall.raise_alert("profile_failing", now=now, profile=mailbox.server_profile, cause=cause, about=about)


def _finish(lease: scheduling.Lease, diagnosis: Diagnosis, results: dict[str, Outcome]) -> None:
    now = timezone.now()
    done = [direction for direction, outcome in results.items() if outcome is Outcome.SUCCESS]
    with scheduling.fenced(lease, state=RunState.DONE, finished_on=now):
        if done and StepOutcome.FAILURE not in [outcome.value for outcome in results.values()]:
            wall.raise_alert(
                READY,
                now=now,
                mailbox=diagnosis.mailbox,
                words={"tested": BOTH if len(done) > 1 else EMAIL[done[0]]},
            )
        outcomes = [outcome.value for outcome in results.values()]
        has_failed = StepOutcome.FAILURE in outcomes
        jobs.count(
            diagnosis.job,
            changed=not has_failed and StepOutcome.SUCCESS in outcomes,
            failed=has_failed,
        )
        jobs.settle(diagnosis.job_id, now=now)
    scheduling.release(lease)
