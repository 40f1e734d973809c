"""Why is this mailbox not syncing? Every condition of a direction, met or not, with the way to mend it.

What may not run is decided by `mailboxes.engine.eligibility`, the same that every run asks; here its answers
get a place among the other conditions: tested, enabled, not paused, workers alive.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Exists, OuterRef
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from mailboxes.choices import AddressStatus, Direction, MailboxKind, ResultStatus
from mailboxes.engine import braking, heartbeat
from mailboxes.engine.eligibility import Blocker, authentication_type, blockers, reasons
from mailboxes.models import Alert, Mailbox, WorkerState
from mailboxes.services import progress
from mailboxes.services.last_run import LastRun, last_run
from profiles.choices import AuthenticationType, IncomingMethod

__all__ = ["Blocker", "Check", "Course", "courses", "interval", "reasons"]

OK, PROBLEM, WAITING = "ok", "problem", "waiting"
#: What is told of the credentials while a mailbox is being connected.
CONNECTING = ("credentials", WAITING)


@dataclass(frozen=True)
class Check:
    """One condition: whether it is met, what to do if not, and where or by which command of the page."""

    name: str
    state: str
    sentence: str
    remedy: str = ""
    link: tuple[str, str] | None = None
    command: tuple[str, str] | None = None


@dataclass(frozen=True)
class Course:
    """One direction: what it is doing, its conditions, when it goes on and why then."""

    direction: Direction
    #: running, busy, retrying, stopped, waiting or none.
    word: str
    checks: Sequence[Check]
    next_on: datetime | None = None
    why: str = ""
    last: LastRun | None = None
    #: Whether a worker is about to test it.
    is_tested_now: bool = False

    @property
    def problems(self) -> list[Check]:
        """Return the conditions that are not met, in the order in which they are to be mended."""
        return [check for check in self.checks if check.state != OK and check.name != "enabled"]


@dataclass(frozen=True)
class _Known:
    """What the conditions of both directions are judged by."""

    mailbox: Mailbox
    now: datetime
    remedies: Mapping[str, str]
    signed: datetime | None


def courses(mailbox: Mailbox, *, now: datetime) -> list[Course]:
    """Return how both directions of `mailbox` are doing, incoming first."""
    states = {state.direction: state for state in WorkerState.objects.filter(mailbox=mailbox)}
    open_alerts = Alert.objects.open().filter(mailbox=mailbox).exclude(error_code="")
    known = _Known(
        mailbox=mailbox,
        now=now,
        remedies={
            alert.error_code: _(str(alert.parameters.get("remedy", "")))
            for alert in open_alerts.order_by("last_seen_on")
        },
        signed=heartbeat.last_beat(),
    )
    return [_course(known, each, states.get(each) or WorkerState()) for each in Direction]


def _course(known: _Known, direction: Direction, state: WorkerState) -> Course:
    mailbox = known.mailbox
    is_incoming = direction == Direction.INCOMING
    if is_incoming and mailbox.incoming == IncomingMethod.FORWARD_MAILBOX:
        checks = _forwarded(known)
        word = "waiting" if any(check.state == PROBLEM for check in checks) else "running"
        why = _("Its email comes with the next run of the forward mailbox.")
        return Course(direction, word, checks, why=why if word == "running" else "")
    if not mailbox.syncs(direction):
        return Course(direction, "none", ())
    checks = _checks(known, direction, state)
    word = _word(known, state, checks)
    next_on: datetime | None = None
    why = ""
    if word == "stopped" and state.due_at:
        next_on, why = state.due_at, _("it is tested again by itself then")
    elif word in {"running", "busy", "retrying"}:
        next_on, why = _next(known, direction, state)
    is_tested_now = word == "waiting" and _is_tested_by_itself(state, now=known.now)
    return Course(direction, word, checks, next_on, why, last_run(mailbox, direction, state), is_tested_now)


def _word(known: _Known, state: WorkerState, checks: Sequence[Check]) -> str:
    conditions = [check for check in checks if check.name != "workers"]
    is_held_up = any(
        check.state == PROBLEM or (check.name, check.state) == CONNECTING for check in conditions
    )
    if is_held_up or not state.is_enabled:
        return "stopped" if state.status == ResultStatus.FAILURE else "waiting"
    if state.leased_until and state.leased_until > known.now:
        return "busy"
    is_doubtful = state.transient_failures or state.status == ResultStatus.FAILURE
    return "retrying" if is_doubtful else "running"


def _checks(known: _Known, direction: Direction, state: WorkerState) -> list[Check]:
    """Return the conditions of a direction, the most basic first."""
    mailbox = known.mailbox
    found = {blocker.code: blocker for blocker in reasons(mailbox, direction, now=known.now)}
    met = {
        "record": (("mailbox_inactive",), _("The mailbox is active.")),
        "profile": (
            ("profile_missing", "profile_inactive", "location_missing"),
            _("The server profile %(profile)s is active.") % {"profile": mailbox.server_profile},
        ),
        "credentials": (
            ("credentials_not_allowed", "credentials_missing", "oauth_not_connected", "oauth_expired"),
            _credentials_sentence(mailbox, direction),
        ),
        "approval": (("not_approved",), _approval_sentence(mailbox)),
    }
    checks: list[Check] = []
    for name, (codes, sentence) in met.items():
        standing = [found.pop(code) for code in codes if code in found]
        is_moot = name == "credentials" and any(
            check.name == "profile" and check.state != OK for check in checks
        )
        if standing:
            checks += [_blocked(name, blocker, direction, mailbox) for blocker in standing]
        elif not is_moot:
            checks.append(Check(name, OK, sentence))
    checks += [_blocked(blocker.code, blocker, direction, mailbox) for blocker in found.values()]
    is_blocked = any(check.state != OK for check in checks)
    checks += _brake_checks(mailbox, direction)
    checks += _run_checks(known, direction, state, is_blocked=is_blocked)
    return [*checks, _workers(known)]


def _blocked(name: str, blocker: Blocker, direction: Direction, mailbox: Mailbox) -> Check:
    commands = {
        "mailbox_inactive": ("activate", _("Activate")),
        "not_approved": ("approve", _("Approve Email")),
        "claimed_elsewhere": ("diagnose", _("Test & Enable Mailbox")),
    }
    if blocker.is_under_way:
        return Check(name, WAITING, blocker.sentence, blocker.remedy)
    command = commands.get(blocker.code)
    link = None if command else _link(blocker.code, direction, mailbox)
    return Check(name, PROBLEM, blocker.sentence, blocker.remedy, link, command)


def _credentials_sentence(mailbox: Mailbox, direction: Direction) -> str:
    profile = mailbox.server_profile
    kind = authentication_type(profile, direction) if profile else ""
    if kind == AuthenticationType.OAUTH:
        return _("It signs in with OAuth, and the permission is there.")
    if kind == AuthenticationType.IN_PROFILE:
        return _("The server profile signs in with an account of its own.")
    return _("User name and password are saved, and may be used.")


def _approval_sentence(mailbox: Mailbox) -> str:
    if mailbox.address_status == AddressStatus.APPROVED:
        return _("The address %(address)s is approved.") % {"address": mailbox.address}
    return _("The email settings do not ask for the approval of this address.")


def _run_checks(known: _Known, direction: Direction, state: WorkerState, *, is_blocked: bool) -> list[Check]:
    """Return whether the direction was tested, is enabled and is not paused."""
    mailbox, code = known.mailbox, state.last_error_code
    test = ("diagnose", _("Test & Enable Mailbox"))
    failure = Check(
        "tested",
        PROBLEM,
        _(state.last_error) or _("The last test failed."),
        known.remedies.get(code, "") or _("Mend it, then run Test & Enable."),
        _link(code, direction, mailbox) if code else None,
        test,
    )
    if state.status == ResultStatus.FAILURE and not state.is_enabled:
        # What a checklist above names is mended there; the test comes after that.
        tested = (
            Check("tested", WAITING, _("The last test failed."), _("Test it again afterwards."))
            if (is_blocked)
            else failure
        )
        return [tested, Check("enabled", WAITING, _("It is not enabled: a successful test enables it."))]
    if state.status == ResultStatus.NOT_RUN or not state.is_enabled:
        reason = _("It has not been tested since it was created or last changed.")
        to_do = _("Run Test & Enable.")
        untested = Check("tested", WAITING if is_blocked else PROBLEM, reason, to_do, command=test)
        if not is_blocked and _is_tested_by_itself(state, now=known.now):
            untested = Check("tested", WAITING, reason, _("It is tested by itself in a moment."))
        return [untested, Check("enabled", WAITING, _("It is not enabled: a successful test enables it."))]
    checks = [
        replace(failure, state=WAITING, command=None)
        if state.status == ResultStatus.FAILURE
        else Check("tested", OK, _("The last test succeeded.")),
        Check("enabled", OK, _("It is enabled for email processing.")),
    ]
    if state.transient_failures:
        words = {
            "attempt": state.transient_failures,
            "limit": settings.RETRY_LIMIT,
            "cause": _(state.last_error),
        }
        checks.append(
            Check(
                "failures",
                WAITING,
                _("Attempt %(attempt)s of %(limit)s failed. %(cause)s") % words,
                known.remedies.get(code, ""),
                _link(code, direction, mailbox) if code else None,
            )
        )
    else:
        checks.append(Check("failures", OK, _("It is not paused after failures.")))
    return checks


def _is_tested_by_itself(state: WorkerState, *, now: datetime) -> bool:
    """Say whether a worker is about to test a direction, or does."""
    return not state.is_enabled and state.due_at is not None and state.due_at <= now


def _brake_checks(mailbox: Mailbox, direction: Direction) -> list[Check]:
    """Return whether sign-ins at the host are paused because too many were refused."""
    brake = braking.brake_on(mailbox, direction)
    if brake is None:
        return []
    sentence = _("Sign-ins at %(host)s are paused: too many were refused.") % {"host": brake.host}
    at = {"at": date_format(localtime(brake.next_try_on), "DATETIME_FORMAT")}
    remedy = _("At %(at)s one mailbox tries again. Correct the credentials that were refused.") % at
    return [Check("brake", WAITING, sentence, remedy)]


def _workers(known: _Known) -> Check:
    if heartbeat.is_alive(known.signed, now=known.now):
        return Check("workers", OK, _("Workers are alive."))
    return Check(
        "workers",
        PROBLEM,
        _("No worker has given a sign of life lately, so nothing is received or sent."),
        _("The operator of this installation has to start one, or to look at its log."),
    )


def _forwarded(known: _Known) -> list[Check]:
    """Return the conditions of a mailbox whose mail comes through the forward mailbox."""
    mailbox = known.mailbox
    checks = []
    for blocker in blockers(mailbox, Direction.INCOMING):
        if blocker.code in {"mailbox_inactive", "not_approved"}:
            name = "record" if blocker.code == "mailbox_inactive" else "approval"
            checks.append(_blocked(name, blocker, Direction.INCOMING, mailbox))
    names = {check.name for check in checks}
    if "record" not in names:
        checks.append(Check("record", OK, _("The mailbox is active.")))
    if "approval" not in names:
        checks.append(Check("approval", OK, _approval_sentence(mailbox)))
    working = WorkerState.objects.filter(
        mailbox=OuterRef("pk"), direction=Direction.INCOMING, is_enabled=True
    )
    forward = (
        Mailbox.objects.active()
        .filter(environment=mailbox.environment_id, kind=MailboxKind.FORWARD)
        .annotate(receives=Exists(working))
        .order_by("-receives", "name")
        .first()
    )
    slug = mailbox.environment.slug
    if forward is None:
        to_do = _("Create one with New Forward Mailbox, or choose another method for incoming email.")
        create = reverse("mailboxes:forward_mailbox_create", args=[slug])
        missing = _("The environment has no active forward mailbox.")
        checks.append(Check("forward", PROBLEM, missing, to_do, (_("New Forward Mailbox"), create)))
    else:
        page = (
            _("Open %(name)s") % {"name": forward.name},
            reverse("mailboxes:mailbox_detail", args=[slug, forward.pk]),
        )
        if getattr(forward, "receives", False):
            checks.append(
                Check("forward", OK, _("The forward mailbox %(name)s receives.") % {"name": forward.name})
            )
        else:
            idle = _("The forward mailbox %(name)s does not receive.") % {"name": forward.name}
            checks.append(Check("forward", PROBLEM, idle, _("Test and enable it."), page))
    return [*checks, _workers(known)]


def _link(code: str, direction: Direction, mailbox: Mailbox) -> tuple[str, str] | None:
    """Return where a cause is mended, unless the page at hand is the place and nothing on it stands out."""
    label, url = progress.where_to_mend(code, direction=direction, mailbox=mailbox)
    page = mailbox.get_absolute_url()
    if url != page:
        return label, url.removeprefix(page)
    fields = {"method_none": direction.value, "profile_missing": "server_profile"}
    return (_("Go to the field"), f"#id_{fields[code]}") if code in fields else None


def interval(pause: timedelta) -> str:
    """Return a pause in words: "30 s", "5 min"."""
    seconds = int(pause.total_seconds())
    if seconds >= 60 and not seconds % 60:
        return _("%(number)s min") % {"number": seconds // 60}
    return _("%(number)s s") % {"number": seconds}


def _next(known: _Known, direction: Direction, state: WorkerState) -> tuple[datetime | None, str]:
    """Return when a direction goes on by itself, and why then."""
    if state.leased_until and state.leased_until > known.now:
        return None, _("It is running now.")
    if state.due_at is None:
        return None, _("It runs as soon as an email is sent from this mailbox.")
    if state.transient_failures:
        words = {"attempt": state.transient_failures, "limit": settings.RETRY_LIMIT}
        return state.due_at, _("paused after failure %(attempt)s of %(limit)s") % words
    if state.due_at <= known.now:
        return None, _("It is due now and starts as soon as a worker is free.")
    if direction == Direction.INCOMING:
        return state.due_at, _polling(known.mailbox)
    was_interrupted = state.status == ResultStatus.FAILURE
    return state.due_at, (
        _("it is tested again by itself then") if was_interrupted else _("an email that waits is tried then")
    )


def _polling(mailbox: Mailbox) -> str:
    """Say what decides how often the Inbox of `mailbox` is looked at."""
    profile = mailbox.server_profile
    minimum = timedelta(minutes=profile.minimum_polling_interval if profile else 0)
    if minimum > settings.POLL_INTERVAL:
        words = {"pause": interval(minimum)}
        return _("because the server profile's minimum polling interval is %(pause)s") % words
    words = {"pause": interval(settings.POLL_INTERVAL)}
    return _("%(pause)s after the last one, because that is the polling interval") % words
