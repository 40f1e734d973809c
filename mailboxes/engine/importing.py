"""Create and change mailboxes from the rows of a file: each is judged before any is written.

`judge_row` writes nothing and finds every complaint at once; `write` writes the rows of which nothing is
wrong. Statements are few whatever the number of rows. A password is only ever taken in: no complaint repeats
it. The file itself is read in `mailboxes.engine.uploading`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import TextChoices
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.translation import gettext as _

from mailboxes.access import may_own
from mailboxes.choices import AddressStatus, MailboxKind, TrackIncoming
from mailboxes.engine.switching import in_pieces, reset, write_states
from mailboxes.models import Mailbox
from mailboxes.rules import setting_errors
from profiles.choices import IncomingMethod, OutgoingMethod
from profiles.models import ServerProfile

#: The columns of a file, in the order of the template. Each is a field of a mailbox.
COLUMNS = (
    "name",
    "address",
    "kind",
    "owner",
    "server_profile",
    "incoming",
    "outgoing",
    "allow_credentials",
    "user_name",
    "password",
    "server_account",
    "delete_after_processing",
    "process_email_from",
    "track_incoming",
    "is_active",
    "notes",
)
EXAMPLE = (
    "Support",
    "support@contoso.example",
    "queue",
    "",
    "",
    "server_side_synchronization",
    "server_side_synchronization",
    "yes",
    "support@contoso.example",
    "",
    "",
    "no",
    "",
    "all",
    "yes",
    "",
)
CREDENTIALS = ("allow_credentials", "user_name", "password")
#: A change of one of these makes the last test result meaningless.
CONNECTION = {"server_profile", "incoming", "outgoing", *CREDENTIALS}
PIECE = 500
WORDS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


@dataclass(frozen=True)
class Complaint:
    """What is wrong in one cell, or with one row when it names no column."""

    line: int
    column: str
    value: str
    text: str


@dataclass
class Plan:
    """What a file would do."""

    created: list[Mailbox] = field(default_factory=list)
    changed: dict[Any, set[str]] = field(default_factory=dict)
    existing: dict[Any, Mailbox] = field(default_factory=dict)
    reset: list[Any] = field(default_factory=list)
    complaints: list[Complaint] = field(default_factory=list)
    unchanged: int = 0

    @property
    def is_good(self) -> bool:
        """Tell whether the file can be written."""
        return not self.complaints

    @property
    def size(self) -> int:
        """Return how many mailboxes are created or changed."""
        return len(self.created) + len(self.existing)


@dataclass(frozen=True)
class World:
    """What the rows are judged against, asked for once."""

    start: Mailbox
    profiles: dict[str, ServerProfile]
    people: dict[str, User]
    existing: dict[str, Mailbox]
    updates: bool
    takes_credentials: bool
    by: User | None


def judge_row(plan: Plan, line: int, cells: dict[str, str], world: World) -> None:
    """Add to `plan` what a row would do, or everything that is wrong with it."""
    found = world.existing.get(cells.get("address", "").lower())
    mailbox = found or _new(world)
    before = {name: getattr(mailbox, name) for name in COLUMNS}
    complaints = _fill(mailbox, cells, world, is_new=found is None)
    if found is not None and not world.updates:
        complaints["address"] = _("A mailbox with this address exists. Tick “Update existing mailboxes”.")
    for name, text in setting_errors(mailbox).items():
        complaints.setdefault(name, str(text))
    for name in {**cells, **complaints}:  # as the columns stand in the file
        if name in complaints:
            shown = "" if name == "password" else cells.get(name, "")[:100]
            plan.complaints.append(Complaint(line, name, shown, complaints[name]))
    if complaints:
        return
    if found is None:
        plan.created.append(mailbox)
    else:
        _note_changes(plan, mailbox, before)


def _fill(mailbox: Mailbox, cells: dict[str, str], world: World, *, is_new: bool) -> dict[str, str]:
    """Put the cells on `mailbox`; returns what cannot be put there, by column."""
    complaints = {}
    for name, cell in cells.items():
        try:
            if cell:
                _read_cell(mailbox, name, cell, world, is_new=is_new)
        except ValueError as error:
            complaints[name] = str(error)
    if not cells.get("address"):
        complaints["address"] = _("Enter the address of the mailbox.")
    if not mailbox.name:
        complaints.setdefault("name", _("Enter a name."))
    if is_new and cells.get("user_name") and cells.get("password") and not cells.get("allow_credentials"):
        mailbox.allow_credentials = True
    return complaints


def _note_changes(plan: Plan, mailbox: Mailbox, before: dict[str, Any]) -> None:
    changed = {name for name in COLUMNS if _differs(before[name], getattr(mailbox, name), name)}
    if not changed:
        plan.unchanged += 1
        return
    plan.existing[mailbox.pk], plan.changed[mailbox.pk] = mailbox, changed
    if changed & CONNECTION:
        plan.reset.append(mailbox.pk)


def _new(world: World) -> Mailbox:
    start = world.start
    return Mailbox(
        environment_id=start.environment_id,
        server_profile=start.server_profile,
        incoming=start.incoming,
        outgoing=start.outgoing,
    )


def _differs(before: Any, after: Any, name: str) -> bool:
    return not before.is_same_as(after) if name == "password" else before != after


def _read_cell(mailbox: Mailbox, name: str, cell: str, world: World, *, is_new: bool) -> None:
    """Put a cell on `mailbox`. Raises ValueError with the sentence for its writer."""
    if name in CREDENTIALS and not world.takes_credentials:
        raise ValueError(_("Credentials are not taken over an unprotected connection. Use HTTPS."))
    if name == "address" and not is_new:
        return
    value: Any = cell
    if name in READERS:
        value = READERS[name](cell)
    elif name == "owner":
        value = world.people.get(cell)
        if value is None:
            raise ValueError(_("Nobody with this user name belongs to this environment."))
    elif name == "server_profile":
        value = world.profiles.get(cell)
        if value is None:
            raise ValueError(_("There is no server profile with this name in this environment."))
    if not is_new and value != getattr(mailbox, name):
        _check_change(mailbox, name, value, world)
    limit = getattr(Mailbox._meta.get_field(name), "max_length", None)
    if limit and isinstance(value, str) and len(value) > limit:
        raise ValueError(_("This is longer than %(limit)s characters.") % {"limit": limit})
    setattr(mailbox, name, value)


def _check_change(mailbox: Mailbox, name: str, value: Any, world: World) -> None:
    """Refuse what a file changes of no existing mailbox. Raises ValueError."""
    if name == "kind":
        raise ValueError(_("This is fixed once a mailbox exists."))
    if name == "server_account":
        raise ValueError(_("Change this on the page of the mailbox: its address has to be approved again."))
    if name == "owner" and not may_own(world.by, value.pk, mailbox.environment_id):
        raise ValueError(_("An owner reads the email, which you may not: you cannot become the owner."))


def _address(cell: str) -> str:
    try:
        validate_email(cell)
    except ValidationError as error:
        raise ValueError(_("This is not an email address.")) from error
    return cell


def _yes_or_no(cell: str) -> bool:
    if cell.lower() not in WORDS:
        raise ValueError(_("Write yes or no."))
    return WORDS[cell.lower()]


def _moment(cell: str) -> datetime:
    try:
        moment, day = parse_datetime(cell), parse_date(cell)
    except ValueError:
        moment = day = None
    if moment is None and day is not None:
        moment = datetime.combine(day, time())
    if moment is None:
        raise ValueError(_("Write a date as 2026-11-23, or with its time as 2026-11-23 09:30."))
    return moment if timezone.is_aware(moment) else timezone.make_aware(moment)


def _one_of(choices: type[TextChoices]) -> Callable[[str], str]:
    def read(cell: str) -> str:
        known = {str(each.value): str(each.value) for each in choices}
        known |= {str(each.label).lower(): str(each.value) for each in choices}
        if cell.lower() not in known:
            words = ", ".join(str(each.value) for each in choices)
            raise ValueError(_("Write one of: %(words)s.") % {"words": words})
        return known[cell.lower()]

    return read


READERS: dict[str, Callable[[str], Any]] = {
    "address": _address,
    "kind": _one_of(MailboxKind),
    "incoming": _one_of(IncomingMethod),
    "outgoing": _one_of(OutgoingMethod),
    "allow_credentials": _yes_or_no,
    "delete_after_processing": _yes_or_no,
    "process_email_from": _moment,
    "track_incoming": _one_of(TrackIncoming),
    "is_active": _yes_or_no,
}


@transaction.atomic
def write(plan: Plan, *, by: User | None, now: datetime) -> None:
    """Write the rows of which nothing is wrong. Raises IntegrityError when an address was taken meanwhile."""
    for mailbox in plan.created:
        mailbox.modified_by, mailbox.address_status = by, AddressStatus.PENDING
    Mailbox.objects.bulk_create(plan.created, batch_size=PIECE)
    write_states(plan.created)
    _update(list(plan.existing.values()), plan, by=by, now=now)
    for pks in in_pieces(plan.reset):
        reset(pks, now=now)


def _update(mailboxes: Sequence[Mailbox], plan: Plan, *, by: User | None, now: datetime) -> None:
    if not mailboxes:
        return
    for mailbox in mailboxes:
        mailbox.version += 1
        mailbox.modified_by, mailbox.modified_on = by, now
        if "password" in plan.changed[mailbox.pk]:  # sealed for its own row, so saved with it
            mailbox.save(update_fields=["password"])
    names = set().union(*plan.changed.values()) - {"password", "address"}
    Mailbox.objects.bulk_update(
        mailboxes, [*sorted(names), "version", "modified_by", "modified_on"], batch_size=PIECE
    )
