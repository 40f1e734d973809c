"""Draw the rows of the list of mailboxes.

In Python: as a template a row takes many times as long, and a page has up to 250 of them. What all rows have
in common is translated, looked up and drawn once, as a shape with places: {key}, {name}, and one for each
cell. Everything is put in by `fill`, which escapes.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial
from operator import attrgetter
from typing import Any
from uuid import UUID

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from emailsync.web.addresses import pattern
from emailsync.web.html import fill, joined, worded
from emailsync.web.templatetags.console import avatar, icon, moments, status
from mailboxes.choices import AddressStatus, MailboxKind
from mailboxes.views.mailbox_listing import PERSON, MailboxListing
from profiles.access import Permission
from profiles.choices import IncomingMethod

ICONS = {MailboxKind.USER: "user", MailboxKind.QUEUE: "queue", MailboxKind.FORWARD: "mail-arrow"}
DASH = "\N{EN DASH}"
MOMENT = "hide-s muted nowrap num"
ROW = """<tr role="row">
  <td class="sel" role="cell"><input type="checkbox" class="check rowcheck" name="ids" value="{key}" \
aria-label="{select}"{chosen}></td>
  <td role="rowheader"><div class="main">{avatar}<div><a href="{detail}">{name}</a>{below}</div></div></td>
  {cells}
  <td class="act" role="cell"><button type="button" class="btn subtle iconly" popovertarget="row-{key}" \
aria-label="{actions}">{more}</button>
    <div popover id="row-{key}" class="menu">{commands}</div></td>
</tr>"""
BUTTON = '<button type="submit" class="btn" name="action" value="{}:{{key}}">{}{}</button>'
LINK = '<a href="{}">{}{}</a>'
#: The shape of a cell, and what stands in it.
Cell = tuple[str, Callable[[Any], object]]


class RowDrawing:
    """Draws rows for one page of one reader."""

    def __init__(self, listing: MailboxListing) -> None:
        """Look up what all rows have in common."""
        self._listing, self._may, self._reader = listing, listing.environment.may, listing.user
        cells = [cell for name, cell in _cells().items() if name in listing.shown]
        self._cells = "".join(shape for shape, _value in cells)
        self._values = [value for _shape, value in cells]
        self._shape_of = cache(self._shape)

    def draw(self, rows: Iterable[Any]) -> SafeString:
        """Draw the rows of the list, as `with_what_is_shown` returns them."""
        return joined([self._row(row) for row in rows])

    def _row(self, row: Any) -> SafeString:
        shape = self._shape_of(row.owner_id == self._reader.pk, row.address_status != AddressStatus.APPROVED)
        return fill(
            shape,
            *[value(row) for value in self._values],
            key=row.pk,
            name=row.name,
            address=row.address,
            avatar=avatar(row.name, "wideonly"),
        )

    def _shape(self, is_own: bool, waits: bool) -> SafeString:  # noqa: FBT001 - asked for each row
        """Draw a row with its places: those of `ROW` that are not filled here, and {} for each cell."""
        urls = {
            name: pattern(f"mailboxes:mailbox_{name}", self._listing.environment.slug, UUID).format("{key}")
            for name in ("detail", "alerts", "emails")
        }
        named = {"name": "{name}"}
        return fill(
            ROW,
            key="{key}",
            select=worded(_("Select %(name)s")) % named,
            chosen=SafeString(" checked disabled" if self._listing.everything else ""),
            avatar="{avatar}",
            detail=urls["detail"],
            name="{name}",
            below=_below(self._listing),
            cells=SafeString(self._cells),
            actions=worded(_("Actions for %(name)s")) % named,
            more=icon("more"),
            commands=joined(self._commands(urls, is_own=is_own, waits=waits)),
        )

    def _commands(self, urls: Mapping[str, str], *, is_own: bool, waits: bool) -> Iterator[SafeString]:
        yield fill(LINK, urls["detail"], icon("mail"), worded(_("Open")))
        if is_own or Permission.DIAGNOSE in self._may:
            yield fill(BUTTON, "diagnose", icon("play"), worded(_("Test & Enable Mailbox")))
        if waits and Permission.APPROVE in self._may:
            yield fill(BUTTON, "approve", icon("mail-check"), worded(_("Approve Email")))
        if is_own or Permission.READ_ALERTS in self._may:
            yield fill(LINK, urls["alerts"], icon("bell"), worded(_("Alerts")))
        if is_own or Permission.READ_EMAIL in self._may:
            yield fill(LINK, urls["emails"], icon("inbox"), worded(_("Emails")))


def _below(listing: MailboxListing) -> SafeString:
    """Return how the address stands below the name, which is not where it has a column of its own."""
    if listing.fits:
        return SafeString('<span class="sub not-xl">{address}</span>')
    return SafeString("" if "address" in listing.shown else '<span class="sub">{address}</span>')


def _cells() -> Mapping[str, Cell]:
    """Return the cell of each column but the name, in the order of the columns."""
    nobody, unset, when = _muted(_("Nobody")), _muted(_("Not set")), moments()
    kinds = {kind: _kind(kind) for kind in MailboxKind}
    state, result = cache(status), cache(partial(status, kind="auto"))

    def of_direction(method: str, value: str) -> SafeString:
        return result("none" if method == IncomingMethod.NONE else value)

    return {
        "address": (_cell("hide-s xl"), lambda row: row.address),
        "regarding": (_cell("hide-s md"), lambda row: kinds[row.kind]),
        "owner": (_cell("hide-s xl cap clip"), _person("owner", nobody)),
        "profile": (_cell("hide-s cap clip"), lambda row: row.profile_name or unset),
        "approval": (
            _on_phones(pgettext("address status", "Email")),
            lambda row: result(row.address_status),
        ),
        "incoming": (
            _on_phones(_("Incoming")),
            lambda row: of_direction(row.incoming, row.incoming_status),
        ),
        "outgoing": (
            _on_phones(_("Outgoing")),
            lambda row: of_direction(row.outgoing, row.outgoing_status),
        ),
        "act": (_cell("hide-s xl"), lambda row: state(row.act)),
        "run": (_cell("hide-s lg"), lambda row: result(row.run_state or "not_run")),
        "tested": (_cell("hide-s lg muted nowrap num"), lambda row: when(row.tested_on)),
        "start": (_cell(MOMENT), lambda row: when(row.process_email_from, DASH)),
        "approved_by": (_cell("hide-s cap clip"), _person("approved_by", DASH)),
        "approved_on": (_cell(MOMENT), lambda row: when(row.approved_on, DASH)),
        "attempted_by": (_cell("hide-s cap clip"), lambda row: row.attempted_by or DASH),
        "attempted_on": (_cell(MOMENT), lambda row: when(row.attempted_on, DASH)),
        "status": (_cell("hide-s"), lambda row: state("active" if row.is_active else "inactive")),
    }


def _person(column: str, nobody: str) -> Callable[[Any], str]:
    """Return what names the person of a column, as `mailbox_words.person` does."""
    names = attrgetter(*(f"{column}__{name}" for name in PERSON))

    def named(row: Any) -> str:
        username, first, last = names(row)
        return nobody if username is None else f"{first} {last}".strip() or username

    return named


def _kind(kind: MailboxKind) -> SafeString:
    return fill('<span class="status" data-status="none">{}{}</span>', icon(ICONS[kind]), str(kind.label))


def _cell(classes: str) -> str:
    return f'<td class="{classes}" role="cell">{{}}</td>'


def _on_phones(label: str) -> str:
    """Return a cell that phones show as well, with a label."""
    return fill('<td role="cell" data-label="{}">{{}}</td>', worded(label))


def _muted(words: str) -> SafeString:
    return fill('<span class="muted">{}</span>', words)
