"""What each kind of job does with one chunk of its targets.

A kind of work has a line in `WORKS`: a function that takes a job and returns what does one chunk of it. That
is called inside the transaction of its chunk, changes those targets that may be changed, and returns how many
it changed and a remark for each that it left out.
"""

import itertools
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import QuerySet
from django.db.models.functions import Lower
from django.utils.translation import gettext as _

from mailboxes.alerts import wall
from mailboxes.choices import AddressStatus, JobKind
from mailboxes.engine import approving, changing, importing, orders, rereading, switching
from mailboxes.engine.changing import Change
from mailboxes.engine.uploading import Upload
from mailboxes.models import Alert, Job, Mailbox, Message


@dataclass(frozen=True)
class Remark:
    """What a job says about one of its targets."""

    sentence: str
    mailbox: UUID | None = None
    label: str = ""


@dataclass(frozen=True)
class ChunkResult:
    """What became of one chunk."""

    changed: int
    remarks: Sequence[Remark] = ()


Work = Callable[[Sequence[str], datetime], ChunkResult]


def _mailboxes(job: Job, targets: Sequence[str]) -> QuerySet[Mailbox]:
    return Mailbox.objects.filter(environment=job.environment, pk__in=targets)


def _is_last(job: Job, targets: Sequence[str]) -> bool:
    return bool(targets[-1] == job.order.targets[-1])


def diagnose(job: Job) -> Work:
    """Write the diagnoses of a large Test & Enable; they are claimed one by one while the rest is written."""
    places = itertools.count(job.position)

    def write(targets: Sequence[str], _now: datetime) -> ChunkResult:
        pks = [UUID(target) for target in targets]
        orders.write_diagnoses(job, pks, places=itertools.islice(places, len(pks)))
        return ChunkResult(0)

    return write


def change(job: Job) -> Work:
    """Give mailboxes what they are to have in common."""
    wanted = Change.from_json(orders.payload(job))

    def work(targets: Sequence[str], now: datetime) -> ChunkResult:
        outcome = changing.apply([UUID(target) for target in targets], wanted, by=job.created_by, now=now)
        remarks = [Remark(skip.reason, skip.mailbox.pk, skip.mailbox.name) for skip in outcome.skipped]
        return ChunkResult(outcome.changed, remarks)

    return work


def apply_default(job: Job) -> Work:
    """Give mailboxes the default email settings; after the last one, test them all if that was asked."""
    work, wanted = change(job), orders.payload(job)

    def apply(targets: Sequence[str], now: datetime) -> ChunkResult:
        result = work(targets, now)
        if wanted["test"] and _is_last(job, targets):
            left_out = {remark.mailbox for remark in result.remarks}
            left_out |= set(job.remarks.values_list("mailbox", flat=True))
            _test(job, left_out, takes_over=wanted.get("takes_over", False), now=now)
        return result

    return apply


def move(job: Job) -> Work:
    """Have mailboxes use another server profile; after the last one, test them all if that was asked."""
    wanted = orders.payload(job)

    def work(targets: Sequence[str], now: datetime) -> ChunkResult:
        found = _mailboxes(job, targets)
        to = UUID(wanted["profile"])
        try:
            moved = switching.move(found, environment=job.environment, to=to, by=job.created_by, now=now)
        except switching.ProfileUnusable as error:
            return ChunkResult(0, [Remark(str(error), mailbox.pk, mailbox.name) for mailbox in found])
        if wanted["test"] and _is_last(job, targets):
            _test(job, (), takes_over=False, now=now)
        return ChunkResult(len(moved))

    return work


def _test(job: Job, left_out: Collection[UUID | None], *, takes_over: bool, now: datetime) -> None:
    """Start Test & Enable of all active targets of `job` but those that were left out."""
    named: list[tuple[str, UUID]] = []
    for targets in switching.in_pieces(job.order.targets):
        found = _mailboxes(job, targets).filter(is_active=True).values_list(Lower("name"), "pk")
        named += [row for row in found if row[1] not in left_out]
    pks = [pk for _, pk in sorted(named)]
    if not pks:
        return
    if job.created_by is not None:
        for some in switching.in_pieces(pks):
            approving.approve_own(Mailbox.objects.filter(pk__in=some), by=job.created_by, now=now)
    orders.start_tests(
        pks, environment=job.environment, by=job.created_by, now=now, takes_over=takes_over, follows=job
    )


def _each(command: Callable[[QuerySet[Mailbox], Job, datetime], int]) -> Callable[[Job], Work]:
    """Return the work of a command that leaves nothing out."""

    def opened(job: Job) -> Work:
        return lambda targets, now: ChunkResult(command(_mailboxes(job, targets), job, now))

    return opened


approve = _each(lambda found, job, now: approving.approve(found, by=job.created_by, now=now))
reject = _each(
    lambda found, job, now: approving.withhold(found, AddressStatus.REJECTED, by=job.created_by, now=now)
)
activate = _each(lambda found, job, now: switching.set_active(found, active=True, by=job.created_by, now=now))
deactivate = _each(
    lambda found, job, now: switching.set_active(found, active=False, by=job.created_by, now=now)
)


def check_file(job: Job) -> Work:
    """Judge the rows of a file; when nothing is wrong with any, import them if that was asked."""
    wanted = orders.payload(job)
    upload = Upload.from_json(wanted)

    def check(targets: Sequence[str], now: datetime) -> ChunkResult:
        plan = upload.judge(job.environment, {int(target) for target in targets}, by=job.created_by)
        remarks = _complaints(plan)
        if wanted["imports"] and _is_last(job, targets) and not remarks and not job.remarks.exists():
            orders.start(
                JobKind.IMPORT,
                environment=job.environment,
                targets=job.order.targets,
                payload=wanted,
                by=job.created_by,
                now=now,
                title=job.title,
                follows=job,
            )
        return ChunkResult(plan.size, remarks)

    return check


def import_file(job: Job) -> Work:
    """Create and change mailboxes from a file; rows that were spoiled since the check are left out."""
    upload = Upload.from_json(orders.payload(job))

    def work(targets: Sequence[str], now: datetime) -> ChunkResult:
        lines = {int(target) for target in targets}
        plan = upload.judge(job.environment, lines, by=job.created_by, locks=True)
        importing.write(plan, by=job.created_by, now=now)
        return ChunkResult(plan.size, _complaints(plan))

    return work


def _complaints(plan: importing.Plan) -> list[Remark]:
    """Return one remark for each row of which something is wrong, naming its line and the columns."""
    remarks = []
    for line, complaints in itertools.groupby(plan.complaints, key=lambda complaint: complaint.line):
        sentences = [f"{each.column}: {each.text}" if each.column else each.text for each in complaints]
        remarks.append(Remark(" ".join(sentences), label=_("Line %(line)s") % {"line": line}))
    return remarks


def delete_alerts(job: Job) -> Work:
    """Delete alerts, but none that was seen again after it was asked."""
    until = datetime.fromisoformat(orders.payload(job)["until"])

    def work(targets: Sequence[str], now: datetime) -> ChunkResult:
        found = Alert.objects.filter(environment=job.environment, pk__in=map(int, targets))
        return ChunkResult(wall.delete(found.filter(last_seen_on__lte=until), now=now))

    return work


def read_again(job: Job) -> Work:
    """Read messages in quarantine again, and say which still cannot be read."""

    def work(targets: Sequence[str], now: datetime) -> ChunkResult:
        found = Message.objects.filter(environment=job.environment, pk__in=map(int, targets))
        remarks = []
        messages = list(found.filter(is_quarantined=True).select_related("mailbox").order_by("pk"))
        for message in messages:
            if failure := rereading.read_again(message, now=now):
                # Its subject is nothing for all who may follow a job.
                said = _("Message %(number)s still cannot be read: %(reason)s")
                words = {"number": message.pk, "reason": failure}
                remarks.append(Remark(said % words, message.mailbox.pk, message.mailbox.name))
        return ChunkResult(len(messages) - len(remarks), remarks)

    return work


def count(job: Job) -> Work:
    """Have Inboxes counted, and name the mailboxes that do not receive."""

    def work(targets: Sequence[str], now: datetime) -> ChunkResult:
        found = _mailboxes(job, targets)
        counted = switching.have_counted(found, now=now)
        sentence = _("Incoming email is not enabled, so there is nothing to count.")
        left_out = found.exclude(pk__in=counted).values_list("pk", "name")
        return ChunkResult(len(counted), [Remark(sentence, pk, name) for pk, name in left_out])

    return work


WORKS: dict[str, Callable[[Job], Work]] = {
    JobKind.DIAGNOSE: diagnose,
    JobKind.CHANGE: change,
    JobKind.APPLY_DEFAULT: apply_default,
    JobKind.APPROVE: approve,
    JobKind.REJECT: reject,
    JobKind.ACTIVATE: activate,
    JobKind.DEACTIVATE: deactivate,
    JobKind.MOVE: move,
    JobKind.CHECK_FILE: check_file,
    JobKind.IMPORT: import_file,
    JobKind.DELETE_ALERTS: delete_alerts,
    JobKind.READ_AGAIN: read_again,
    JobKind.COUNT: count,
}
