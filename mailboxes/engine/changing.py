"""Change many mailboxes at once: say beforehand what would change, then change it, each row judged.

Both halves ask `_judge`, which obeys the rules of the single form. Looking ahead, the database counts the
mailboxes that are alike in everything the rules look at, and one of each kind is judged: a selection of a
hundred thousand costs one query. Changing, each row is locked, read again and judged for itself; a batch
takes the same few statements whatever its size. Done twice, it changes nothing more.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _

from mailboxes import rules
from mailboxes.choices import Direction, MailboxKind, ResultStatus
from mailboxes.models import Mailbox, WorkerState
from profiles.choices import OutgoingMethod
from profiles.models import ServerProfile

#: What many mailboxes may be given at once: all but what is each one's own.
COLUMNS = (
    "server_profile_id",
    "incoming",
    "outgoing",
    "act",
    "process_email_from",
    "allow_credentials",
    "owner_id",
    "delete_after_processing",
)
#: A change of one of these makes the last test result meaningless.
CONNECTION_FIELDS = ("address", "server_profile_id", "incoming", "outgoing", "allow_credentials", "user_name")
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

    def values_for(self, mailbox: Mailbox) -> dict[str, Any]:
        """Return what `mailbox` is to have."""
        values = dict(self.values)
        if self.spares_forward and mailbox.kind == MailboxKind.FORWARD and "outgoing" in values:
            values["outgoing"] = OutgoingMethod.NONE
        return values


@dataclass(frozen=True)
class Verdict:
    """What a change does to one mailbox: the columns that differ, or why it is left out."""

    differs: frozenset[str]
    reason: str = ""

    @property
    def resets(self) -> bool:
        """Say whether the results of earlier tests become meaningless."""
        return not self.reason and not self.differs.isdisjoint(CONNECTION_FIELDS)


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
    """A mailbox that was left out, and why."""

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
    compared = _compared(mailboxes, change)
    kinds = list(compared.values(*_alike(change)).annotate(number=Count("pk")))
    targets = _Targets(change, (kind["server_profile_id"] for kind in kinds))
    columns: Counter[str] = Counter()
    refused: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    changed = resets = 0
    for kind in kinds:
        verdict = targets.judge(_example(kind, change))
        if verdict.reason:
            refused[verdict.reason].append(kind)
        elif verdict.differs:
            changed += kind["number"]
            columns.update(dict.fromkeys(verdict.differs, kind["number"]))
            resets += kind["number"] if verdict.resets and kind["is_tested"] else 0
    return Preview(
        total=sum(kind["number"] for kind in kinds),
        changed=changed,
        columns=columns,
        resets=resets,
        skips=[_skip(compared, reason, alike) for reason, alike in refused.items()],
    )


def apply(pks: Sequence[UUID], change: Change, *, by: User | None, now: datetime) -> Outcome:
    """Change those mailboxes; each batch is a transaction of its own, and may be repeated."""
    outcome = Outcome()
    for start in range(0, len(pks), BATCH):
        outcome += _apply_batch(pks[start : start + BATCH], change, by=by, now=now)
    return outcome


@transaction.atomic
def _apply_batch(pks: Sequence[UUID], change: Change, *, by: User | None, now: datetime) -> Outcome:
    found = Mailbox.objects.select_for_update().filter(pk__in=pks).defer("notes")
    # Everybody who locks several locks in this order.
    mailboxes = list(found.order_by("pk"))
    targets = _Targets(change, (mailbox.server_profile_id for mailbox in mailboxes))
    updates: defaultdict[tuple[tuple[str, Any], ...], list[UUID]] = defaultdict(list)
    skipped: list[Skipped] = []
    resets: list[UUID] = []
    for mailbox in mailboxes:
        verdict = targets.judge(mailbox)
        if verdict.reason:
            skipped.append(Skipped(mailbox, verdict.reason))
        elif verdict.differs:
            updates[tuple(change.values_for(mailbox).items())].append(mailbox.pk)
            if verdict.resets:
                resets.append(mailbox.pk)
    for values, alike in updates.items():
        Mailbox.objects.filter(pk__in=alike).update(
            **dict(values), modified_by=by, modified_on=now, version=F("version") + 1
        )
    if resets:
        reset(resets)
    changed = sum(map(len, updates.values()))
    return Outcome(
        changed=changed,
        unchanged=len(mailboxes) - changed - len(skipped),
        reset=len(resets),
        skipped=tuple(sorted(skipped, key=lambda skip: skip.mailbox.name.casefold())),
    )


def reset(
    mailbox_pks: Iterable[UUID] | QuerySet[Any, Any], *, directions: Iterable[str] = Direction.values
) -> None:
    """Forget the test results of mailboxes and stop them; work under way can commit nothing more."""
    WorkerState.objects.filter(mailbox__in=mailbox_pks, direction__in=list(directions)).update(
        status=ResultStatus.NOT_RUN,
        is_enabled=False,
        tested_on=None,
        due_at=None,
        fence=F("fence") + 1,
        leased_until=None,
        transient_failures=0,
        last_error_code="",
        last_error="",
    )


class _Targets:
    """What a change points at, read once for many mailboxes."""

    def __init__(self, change: Change, profile_pks: Iterable[UUID | None]) -> None:
        self._change = change
        wanted = {*profile_pks, change.values.get("server_profile_id")} - {None}
        secrets = ("password", "outgoing_password", "oauth_client_secret", "ca_certificates")
        self._profiles = ServerProfile.objects.defer(*secrets).in_bulk(list(wanted))
        owner = change.values.get("owner_id")
        self._is_owner_gone = owner is not None and not get_user_model().objects.filter(pk=owner).exists()

    def judge(self, mailbox: Mailbox) -> Verdict:
        """Give `mailbox` the new values, in memory alone, and say what comes of it."""
        values = self._change.values_for(mailbox)
        differs = frozenset(name for name, value in values.items() if getattr(mailbox, name) != value)
        if not differs:
            return Verdict(differs)
        for name in differs:
            setattr(mailbox, name, values[name])
        if self._is_owner_gone:
            return Verdict(differs, _("The new owner has no account any more."))
        if mailbox.server_profile_id:
            profile = self._profiles.get(mailbox.server_profile_id)
            if profile is None:
                return Verdict(differs, _("The server profile was deleted meanwhile."))
            mailbox.server_profile = profile
        return Verdict(differs, " ".join(rules.setting_errors(mailbox).values()))


#: Columns with too many values to count by: looking ahead, they are only compared.
_WIDE = frozenset({"owner_id", "process_email_from"})


def _compared(mailboxes: QuerySet[Mailbox], change: Change) -> QuerySet[Mailbox]:
    """Annotate all that the rules and the counts look at and that has many values, as yes or no."""
    if "server_profile_id" in change.values:
        profile = ServerProfile.objects.filter(pk=change.values["server_profile_id"]).first()
        start = profile.process_email_from if profile else None
        is_early = Q(process_email_from__lt=start) if start else Q(pk__in=[])
    else:
        is_early = Q(process_email_from__lt=F("server_profile__process_email_from"))
    tested = WorkerState.objects.filter(mailbox=OuterRef("pk")).exclude(
        status=ResultStatus.NOT_RUN, is_enabled=False
    )
    return Mailbox.objects.filter(pk__in=mailboxes.order_by().values("pk")).annotate(
        has_user_name=~Q(user_name=""),
        has_password=~Q(password=""),
        is_early=is_early,
        is_tested=Exists(tested),
        **{f"has_{name}": Q(**{name: change.values[name]}) for name in _WIDE & change.values.keys()},
    )


def _alike(change: Change) -> list[str]:
    """Return what mailboxes must have in common to share a verdict."""
    narrow = [name for name in COLUMNS if name not in _WIDE]
    compared = [f"has_{name}" for name in _WIDE & change.values.keys()]
    return [
        *("environment_id", "kind", *narrow),
        *("has_user_name", "has_password", "is_early", "is_tested", *compared),
    ]


def _example(kind: Mapping[str, Any], change: Change) -> Mailbox:
    """Return a mailbox that stands for all of its kind."""
    mailbox = Mailbox(
        environment_id=kind["environment_id"],
        name=SOMETHING,
        address=SOMETHING,
        kind=kind["kind"],
        user_name=SOMETHING if kind["has_user_name"] else "",
        password=SOMETHING if kind["has_password"] else "",
        process_email_from=LONG_AGO if kind["is_early"] else None,
    )
    for name in COLUMNS:
        if name not in _WIDE:
            setattr(mailbox, name, kind[name])
        elif name in change.values:
            value = change.values[name]
            another = SOMETHING if value is None else None
            setattr(mailbox, name, value if kind[f"has_{name}"] else another)
    return mailbox


def _skip(compared: QuerySet[Mailbox], reason: str, kinds: Sequence[Mapping[str, Any]]) -> Skip:
    is_alike = Q()
    for kind in kinds:
        is_alike |= Q(**{name: value for name, value in kind.items() if name != "number"})
    names = compared.filter(is_alike).order_by("name").values_list("name", flat=True)[:NAMED]
    return Skip(reason, sum(kind["number"] for kind in kinds), list(names))
