"""Change many mailboxes at once: say beforehand what would change, then change it.

Mailboxes that are alike in everything the rules of the single form look at share one verdict. So each row is
judged, but the rules run once for each kind. Looking ahead, the database counts the kinds: a selection of a
hundred thousand costs one query. Changing, the rows are locked, read again and judged, and a batch takes the
same few statements whatever its size. Done twice, it changes nothing more.

A rule that looks at something new needs it in `_alike`, and in the `_example` that stands for its kind.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import NoneType
from typing import TYPE_CHECKING, Any, Self, cast
from uuid import UUID

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Count, F, Field, Q, QuerySet, Subquery
from django.db.models.expressions import Combinable
from django.utils.translation import gettext as _

from mailboxes import rules
from mailboxes.choices import MailboxKind, ResultStatus
from mailboxes.engine.switching import lock, reset
from mailboxes.models import Mailbox
from profiles.choices import OutgoingMethod
from profiles.models import ServerProfile

if TYPE_CHECKING:
    from mailboxes.models.mailbox import MailboxQuerySet

#: What many mailboxes may be given at once: all but what is each one's own.
COLUMNS = (
    "server_profile_id",
    "incoming",
    "outgoing",
    "act",
    "process_email_from",
    "track_incoming",
    "allow_credentials",
    "owner_id",
    "delete_after_processing",
)
#: Those with too many values to tell kinds apart: they are only compared with the new value.
WIDE = frozenset({"owner_id", "process_email_from"})
#: A change of one of these makes the last test result meaningless.
CONNECTION_FIELDS = (
    "address",
    "server_account",
    "server_profile_id",
    "incoming",
    "outgoing",
    "allow_credentials",
    "user_name",
)
#: How many rows are locked, judged and written together.
BATCH = 1000
#: How many of those left out for one reason are named beforehand.
NAMED = 3
#: Stand for any text, and any date that comes before a profile's, where a rule asks for no more.
SOMETHING = "x"
LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Change:
    """New values by column, None where one is cleared; a column that is not named stays as it is."""

    values: Mapping[str, Any]
    #: Whether a forward mailbox is given None for outgoing email, instead of being left out.
    spares_forward: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return this change in the words of JSON, for a job."""
        plain = (bool, int, NoneType)
        values = {
            name: value if isinstance(value, plain) else str(value) for name, value in self.values.items()
        }
        return {"values": values, "spares_forward": self.spares_forward}

    @classmethod
    def from_json(cls, words: Mapping[str, Any]) -> Self:
        """Return the change that `as_json` wrote."""
        values = {
            name: cast("Field[Any, Any]", Mailbox._meta.get_field(name)).to_python(value)
            for name, value in words["values"].items()
        }
        return cls(values, spares_forward=words["spares_forward"])

    def values_for(self, kind: str) -> dict[str, Any]:
        """Return what mailboxes of `kind` are to have."""
        values = dict(self.values)
        if self.spares_forward and kind == MailboxKind.FORWARD and "outgoing" in values:
            values["outgoing"] = OutgoingMethod.NONE
        return values


@dataclass(frozen=True)
class Verdict:
    """What a change does to mailboxes of one kind: the columns that differ, or why they are left out."""

    kind: str
    differs: frozenset[str]
    reason: str = ""

    @property
    def resets(self) -> bool:
        """Say whether the results of earlier tests become meaningless."""
        return not self.differs.isdisjoint(CONNECTION_FIELDS)


@dataclass(frozen=True)
class Skip:
    """How many mailboxes a change would leave out for one reason; the first ones by name."""

    reason: str
    number: int
    names: Sequence[str]

    @property
    def further(self) -> int:
        """Return how many more there are than names."""
        return self.number - len(self.names)


@dataclass(frozen=True)
class Preview:
    """What a change would do."""

    total: int
    #: How many mailboxes would change at all.
    changed: int
    #: On how many each column would change.
    columns: Mapping[str, int]
    #: How many would lose the result of a test, and stop until they are tested again.
    resets: int
    skips: Sequence[Skip]

    @property
    def skipped(self) -> int:
        """Return how many would be left out."""
        return sum(skip.number for skip in self.skips)


@dataclass(frozen=True)
class Skipped:
    """A mailbox that was left out, with its name and address, and why."""

    mailbox: Mailbox
    reason: str


@dataclass(frozen=True)
class Outcome:
    """What a change did."""

    changed: int = 0
    unchanged: int = 0
    reset: int = 0
    skipped: tuple[Skipped, ...] = ()

    def __add__(self, other: "Outcome") -> "Outcome":
        return Outcome(
            changed=self.changed + other.changed,
            unchanged=self.unchanged + other.unchanged,
            reset=self.reset + other.reset,
            skipped=self.skipped + other.skipped,
        )


def preview(mailboxes: QuerySet[Mailbox], change: Change) -> Preview:
    """Return what `change` would do to `mailboxes`, without reading them one by one."""
    chosen = _compared(mailboxes.order_by(), change)
    numbers: Counter[Kind] = Counter()
    tested: Counter[Kind] = Counter()
    rows = chosen.values_list(*_alike(change), "is_tested")
    for *kind, is_tested, number in rows.annotate(number=Count("pk")):
        numbers[tuple(kind)] += number
        tested[tuple(kind)] += number if is_tested else 0
    columns: Counter[str] = Counter()
    refused: defaultdict[str, list[Kind]] = defaultdict(list)
    changed = resets = 0
    for kind, verdict in _judge(numbers, change).items():
        if verdict.reason:
            refused[verdict.reason].append(kind)
        elif verdict.differs:
            changed += numbers[kind]
            columns.update(dict.fromkeys(verdict.differs, numbers[kind]))
            resets += tested[kind] if verdict.resets else 0
    return Preview(
        total=numbers.total(),
        changed=changed,
        columns=columns,
        resets=resets,
        skips=[
            Skip(reason, sum(numbers[kind] for kind in kinds), _names(chosen, change, kinds))
            for reason, kinds in refused.items()
        ],
    )


def verdicts(mailboxes: QuerySet[Mailbox], change: Change) -> dict[UUID, Verdict]:
    """Return what `change` does to each of `mailboxes`, in their order."""
    found = _compared(mailboxes, change).values_list("pk", *_alike(change))
    rows = {pk: tuple(kind) for pk, *kind in found}
    judged = _judge(set(rows.values()), change)
    return {pk: judged[kind] for pk, kind in rows.items()}


def apply(pks: Sequence[UUID], change: Change, *, by: User | None, now: datetime) -> Outcome:
    """Change those mailboxes; each batch is a transaction of its own, and may be repeated."""
    outcome = Outcome()
    for start in range(0, len(pks), BATCH):
        outcome += _apply_batch(pks[start : start + BATCH], change, by=by, now=now)
    return outcome


@transaction.atomic
def _apply_batch(pks: Sequence[UUID], change: Change, *, by: User | None, now: datetime) -> Outcome:
    # What is judged is read once nobody can change it.
    judged = verdicts(Mailbox.objects.filter(pk__in=lock(pks)), change)
    updates: defaultdict[bool, list[UUID]] = defaultdict(list)
    reasons: dict[UUID, str] = {}
    resets: list[UUID] = []
    for pk, verdict in judged.items():
        if verdict.reason:
            reasons[pk] = verdict.reason
        elif verdict.differs:
            updates[verdict.kind == MailboxKind.FORWARD].append(pk)
            if verdict.resets:
                resets.append(pk)
    for is_forward, alike in updates.items():
        values = change.values_for(MailboxKind.FORWARD if is_forward else MailboxKind.USER)
        Mailbox.objects.filter(pk__in=alike).update(
            **values, modified_by=by, modified_on=now, version=F("version") + 1
        )
    if resets:
        reset(resets, now=now)
    changed = sum(map(len, updates.values()))
    return Outcome(
        changed=changed,
        unchanged=len(judged) - changed - len(reasons),
        reset=len(resets),
        skipped=_skipped(reasons) if reasons else (),
    )


def _skipped(reasons: Mapping[UUID, str]) -> tuple[Skipped, ...]:
    named = Mailbox.objects.filter(pk__in=reasons).only("name", "address").order_by("name", "pk")
    return tuple(Skipped(mailbox, reasons[mailbox.pk]) for mailbox in named)


#: What mailboxes have in common to share a verdict: the values of `_alike`.
Kind = tuple[Any, ...]


def _alike(change: Change) -> list[str]:
    """Name all that the rules look at."""
    return [
        *("environment_id", "kind"),
        *(name for name in COLUMNS if name not in WIDE),
        *("has_user_name", "has_password", "is_early"),
        *(f"has_{name}" for name in sorted(WIDE & change.values.keys())),
    ]


_TESTED = (
    (Q(incoming_status__isnull=False) & ~Q(incoming_status=ResultStatus.NOT_RUN))
    | Q(incoming_enabled=True)
    | (Q(outgoing_status__isnull=False) & ~Q(outgoing_status=ResultStatus.NOT_RUN))
    | Q(outgoing_enabled=True)
)


def _compared(mailboxes: QuerySet[Mailbox], change: Change) -> QuerySet[Mailbox]:
    """Annotate as yes or no what has too many values, or stands elsewhere."""
    start: Combinable = F("server_profile__process_email_from")
    if "server_profile_id" in change.values:
        profile = ServerProfile.objects.filter(pk=change.values["server_profile_id"])
        start = Subquery(profile.values("process_email_from"))
    return (
        cast("MailboxQuerySet", mailboxes)
        .with_states()
        .annotate(
            has_user_name=~Q(user_name=""),
            has_password=~Q(password=""),
            is_early=Q(process_email_from__lt=start),
            is_tested=_TESTED,
            **{f"has_{name}": Q(**{name: change.values[name]}) for name in WIDE & change.values.keys()},
        )
    )


def _example(facts: Mapping[str, Any], change: Change) -> Mailbox:
    """Return a mailbox that stands for all of its kind."""
    mailbox = Mailbox(
        environment_id=facts["environment_id"],
        name=SOMETHING,
        address=SOMETHING,
        kind=facts["kind"],
        user_name=SOMETHING if facts["has_user_name"] else "",
        password=SOMETHING if facts["has_password"] else "",
        process_email_from=LONG_AGO if facts["is_early"] else None,
    )
    for name in COLUMNS:
        if name not in WIDE:
            setattr(mailbox, name, facts[name])
        elif name in change.values:
            value = change.values[name]
            another = SOMETHING if value is None else None
            setattr(mailbox, name, value if facts[f"has_{name}"] else another)
    return mailbox


def _judge(kinds: Collection[Kind], change: Change) -> dict[Kind, Verdict]:
    """Return what `change` does to mailboxes of each kind."""
    names = _alike(change)
    profile_pks = {dict(zip(names, kind, strict=True))["server_profile_id"] for kind in kinds}
    profiles = _profiles({*profile_pks, change.values.get("server_profile_id")} - {None})
    owner = change.values.get("owner_id")
    is_owner_gone = owner is not None and not get_user_model().objects.filter(pk=owner).exists()
    judged = {}
    for kind in kinds:
        facts = dict(zip(names, kind, strict=True))
        mailbox = _example(facts, change)
        values = change.values_for(mailbox.kind)
        differs = frozenset(name for name, value in values.items() if getattr(mailbox, name) != value)
        reason = ""
        if differs:
            for name in differs:
                setattr(mailbox, name, values[name])
            reason = _refusal(mailbox, profiles)
            if is_owner_gone:
                reason = _("The new owner has no account any more.")
        judged[kind] = Verdict(mailbox.kind, differs, reason)
    return judged


def _profiles(pks: Collection[UUID]) -> dict[UUID, ServerProfile]:
    secrets = ("password", "outgoing_password", "oauth_client_secret")
    return ServerProfile.objects.defer(*secrets, "ca_certificates").in_bulk(list(pks))


def _refusal(mailbox: Mailbox, profiles: Mapping[UUID, ServerProfile]) -> str:
    """Say why a mailbox may not be as it now is, if it may not."""
    if mailbox.server_profile_id:
        profile = profiles.get(mailbox.server_profile_id)
        if profile is None:
            return _("The server profile was deleted meanwhile.")
        mailbox.server_profile = profile
    return " ".join(rules.setting_errors(mailbox).values())


def _names(chosen: QuerySet[Mailbox], change: Change, kinds: Sequence[Kind]) -> list[str]:
    """Return the names of some of those of some kinds. Asked for the first, the database would sort all."""
    is_alike = Q()
    for kind in kinds:
        is_alike |= Q(**dict(zip(_alike(change), kind, strict=True)))
    return sorted(chosen.filter(is_alike).values_list("name", flat=True)[:NAMED])
