"""A file of mailboxes as somebody sent it: its head, and its rows judged all at once or some at a time."""

import base64
import zlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Self

from django.contrib.auth.models import User
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils.translation import gettext as _

from mailboxes.engine import defaults, sheet
from mailboxes.engine.importing import COLUMNS, Complaint, Plan, World, judge_row
from mailboxes.engine.sheet import Row, Sheet, Unreadable
from mailboxes.engine.switching import in_pieces
from mailboxes.models import Mailbox
from profiles import access
from profiles.models import Environment


class Upload:
    """A file, and what its sender allows it to do."""

    def __init__(self, content: bytes, *, updates: bool, takes_credentials: bool) -> None:
        """Read the file. Raises Unreadable when it cannot be, or its head is wrong."""
        self.content = content
        self.updates = updates
        self.takes_credentials = takes_credentials
        self.sheet = sheet.read(content)
        #: The column of each cell; those that no mailbox is changed by are empty.
        self.columns = _columns(self.sheet)
        #: The line that each address stands in first.
        self.first_lines: dict[str, int] = {}
        for row in self.sheet.rows:
            self.first_lines.setdefault(self._address(row), row.line)

    @property
    def lines(self) -> list[int]:
        """Return the line that each row begins on."""
        return [row.line for row in self.sheet.rows]

    @property
    def ignored(self) -> list[str]:
        """Return the columns that are not read."""
        return [name for name, known in zip(self.sheet.columns, self.columns, strict=True) if not known]

    def as_json(self) -> dict[str, Any]:
        """Return this file in the words of JSON, for a job."""
        packed = base64.b64encode(zlib.compress(self.content)).decode()
        return {"file": packed, "updates": self.updates, "takes_credentials": self.takes_credentials}

    @classmethod
    def from_json(cls, words: Mapping[str, Any]) -> Self:
        """Return the file that `as_json` wrote."""
        content = zlib.decompress(base64.b64decode(words["file"]))
        return cls(content, updates=words["updates"], takes_credentials=words["takes_credentials"])

    def judge(
        self,
        environment: Environment,
        lines: Collection[int] | None = None,
        *,
        by: User | None,
        locks: bool = False,
    ) -> Plan:
        """Return what the file would do in `environment`, or everything that is wrong with it.

        With `lines`, only the rows that begin on one of them are looked at. Existing mailboxes are matched by
        address and only changed with `updates`; empty cells and missing columns leave them as they are.
        `locks` keeps those found from being changed until the transaction ends.
        """
        rows = [row for row in self.sheet.rows if lines is None or row.line in lines]
        world = World(
            start=defaults.new_mailbox(environment),
            profiles={profile.name: profile for profile in environment.server_profiles.all()},
            people=self._people(rows, environment),
            existing=self._existing(rows, environment, locks=locks),
            updates=self.updates,
            takes_credentials=self.takes_credentials,
            by=by,
        )
        plan = Plan()
        for row in rows:
            complaint = self._misfit(row)
            if complaint:
                plan.complaints.append(complaint)
            else:
                judge_row(plan, row.line, self._cells(row), world)
        return plan

    def _misfit(self, row: Row) -> Complaint | None:
        """Return what is wrong with a row as one of this file."""
        if len(row.cells) > len(self.columns):
            text = _("This row has more cells than the head has columns.")
            return Complaint(row.line, "", "", text)
        address = self._address(row)
        first = self.first_lines[address]
        if address and first != row.line:
            text = _("The same address stands in line %(line)s.") % {"line": first}
            return Complaint(row.line, "address", address, text)
        return None

    def _cells(self, row: Row) -> dict[str, str]:
        named = zip(self.columns, map(str.strip, row.cells), strict=False)
        return {name: cell if name == "password" else sheet.as_typed(cell) for name, cell in named if name}

    def _address(self, row: Row) -> str:
        place = self.columns.index("address")
        return sheet.as_typed(row.cells[place].strip()).lower() if place < len(row.cells) else ""

    def _existing(self, rows: Sequence[Row], environment: Environment, *, locks: bool) -> dict[str, Mailbox]:
        found = Mailbox.objects.filter(environment=environment).alias(key=Lower("address"))
        existing: dict[str, Mailbox] = {}
        for some in in_pieces(sorted({self._address(row) for row in rows})):
            mailboxes = found.filter(key__in=some).select_related("server_profile").order_by("pk")
            if locks:
                mailboxes = mailboxes.select_for_update(of=("self",), no_key=True)
            existing |= {mailbox.address.lower(): mailbox for mailbox in mailboxes}
        return existing

    def _people(self, rows: Sequence[Row], environment: Environment) -> dict[str, User]:
        """Return those of the environment whom rows name as owners: its people, and who owns something."""
        if "owner" not in self.columns:
            return {}
        here = Q(pk__in=access.people_of(environment).values("pk"))
        known = User.objects.filter(here | Q(pk__in=environment.mailboxes.values("owner")))
        names = {self._cells(row).get("owner", "") for row in rows}
        return {user.username: user for user in known.filter(username__in=names)}


def _columns(table: Sheet) -> list[str]:
    """Return the names of the head's columns, empty for those that are not known. Raises Unreadable."""
    names = [name.lower().replace(" ", "_") for name in table.columns]
    columns = [name if name in COLUMNS else "" for name in names]
    known = [name for name in columns if name]
    if len(set(known)) < len(known):
        raise Unreadable(_("The head names a column twice."))
    if "address" not in known:
        raise Unreadable(
            _("The head has no column “address”, which tells mailboxes apart. Known are: %(known)s.")
            % {"known": ", ".join(COLUMNS)}
        )
    return columns
