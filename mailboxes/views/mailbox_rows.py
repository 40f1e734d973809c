"""Draw the rows of the list of mailboxes.

In Python: as a template a row takes six times as long, and a page has up to 250 of them. Everything is put in
by `fill`, which escapes; what all rows have in common is translated, looked up and drawn once.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from emailsync.web.addresses import pattern
from emailsync.web.html import fill, joined
from emailsync.web.templatetags.console import avatar, icon, moment, status
from mailboxes.choices import AddressStatus, MailboxKind
from mailboxes.models import Mailbox
from mailboxes.templatetags.mailbox_words import person
from mailboxes.views.mailbox_listing import MailboxListing
from profiles.access import Permission
from profiles.choices import IncomingMethod

ICONS = {MailboxKind.USER: "user", MailboxKind.QUEUE: "queue", MailboxKind.FORWARD: "mail-arrow"}
DASH = "\N{EN DASH}"
ROW = """<tr role="row">
  <td class="sel" role="cell"><input type="checkbox" class="check rowcheck" name="ids" value="{key}" \
aria-label="{select}"{chosen}></td>
  <td role="rowheader"><div class="main">{avatar}<div><a href="{detail}">{name}</a>{below}</div></div></td>
  {cells}
  <td class="act" role="cell"><button type="button" class="btn subtle iconly" popovertarget="row-{key}" \
aria-label="{actions}">{more}</button>
    <div popover id="row-{key}" class="menu">{commands}</div></td>
</tr>"""
BUTTON = '<button type="submit" class="btn" name="action" value="{}:{}">{}</button>'
LINK = '<a href="{}">{}</a>'


class RowDrawing:
    """Draws rows for one page of one reader."""

    def __init__(self, listing: MailboxListing) -> None:
        """Look up what all rows have in common."""
        self._may, self._reader = listing.environment.may, listing.user
        self._urls = {
            name: pattern(f"mailboxes:mailbox_{name}", listing.environment.slug, UUID)
            for name in ("detail", "alerts", "emails")
        }
        self._select, self._actions = _("Select %(name)s"), _("Actions for %(name)s")
        self._more = icon("more")
        self._chosen = SafeString(" checked disabled" if listing.everything else "")
        self._words = {
            "open": _labelled("mail", _("Open")),
            "diagnose": _labelled("play", _("Test & Enable Mailbox")),
            "approve": _labelled("mail-check", _("Approve Email")),
            "alerts": _labelled("bell", _("Alerts")),
            "emails": _labelled("inbox", _("Emails")),
        }
        self._menus: dict[tuple[bool, bool], SafeString] = {}
        cells = _cells()
        self._cells = [cells[name] for name in cells if name in listing.shown]
        self._below = _below(listing)

    def draw(self, rows: Iterable[Mailbox]) -> SafeString:
        """Draw the rows of the list."""
        return joined([self._row(row) for row in rows])

    def _row(self, row: Mailbox) -> SafeString:
        named = {"name": row.name}
        return fill(
            ROW,
            key=row.pk,
            name=row.name,
            select=self._select % named,
            actions=self._actions % named,
            chosen=self._chosen,
            avatar=avatar(row.name, "wideonly"),
            detail=self._urls["detail"].format(row.pk),
            below=fill(self._below, row.address) if self._below else "",
            cells=joined([cell(row) for cell in self._cells]),
            more=self._more,
            commands=self._menu(row),
        )

    def _menu(self, row: Mailbox) -> SafeString:
        is_own, waits = row.owner_id == self._reader.pk, row.address_status != AddressStatus.APPROVED
        known = self._menus.get((is_own, waits))
        if known is None:
            known = self._menus[is_own, waits] = joined(self._commands(is_own=is_own, waits=waits))
        return fill(known, row.pk)

    def _commands(self, *, is_own: bool, waits: bool) -> Iterator[SafeString]:
        """Draw the commands of all rows that offer the same, with {0} for the key."""
        words, urls, key = self._words, self._urls, SafeString("{0}")
        yield fill(LINK, urls["detail"].format("{0}"), words["open"])
        if is_own or Permission.DIAGNOSE in self._may:
            yield fill(BUTTON, "diagnose", key, words["diagnose"])
        if waits and Permission.APPROVE in self._may:
            yield fill(BUTTON, "approve", key, words["approve"])
        if is_own or Permission.READ_ALERTS in self._may:
            yield fill(LINK, urls["alerts"].format("{0}"), words["alerts"])
        if is_own or Permission.READ_EMAIL in self._may:
            yield fill(LINK, urls["emails"].format("{0}"), words["emails"])


def _below(listing: MailboxListing) -> str:
    """Return how the address stands below the name, which is not where it has a column of its own."""
    if listing.fits:
        return '<span class="sub not-xl">{}</span>'
    return "" if "address" in listing.shown else '<span class="sub">{}</span>'


def _cells() -> Mapping[str, Callable[[Any], SafeString]]:
    """Return what draws the cell of each column but the name, in the order of the columns."""
    nobody, unset = _muted(_("Nobody")), _muted(_("Not set"))
    kinds = {kind: _cell("hide-s", _kind(kind)) for kind in MailboxKind}
    on_phones = {
        "approval": pgettext("address status", "Email"),
        "incoming": _("Incoming"),
        "outgoing": _("Outgoing"),
    }

    @cache
    def result(name: str, value: str) -> SafeString:
        cell = '<td role="cell" data-label="{}">{}</td>'
        return fill(cell, on_phones[name], status(value, "auto"))

    @cache
    def state(classes: str, value: str, kind: str = "status") -> SafeString:
        return _cell(classes, status(value, kind))

    def of_direction(name: str, method: str, value: str) -> SafeString:
        return result(name, "none" if method == IncomingMethod.NONE else value)

    return {
        "address": lambda row: _cell("hide-s xl", row.address),
        "regarding": lambda row: kinds[row.kind],
        "owner": lambda row: _cell("hide-s xl cap clip", person(row.owner) if row.owner else nobody),
        "profile": lambda row: _cell("hide-s cap clip", row.profile_name or unset),
        "approval": lambda row: result("approval", row.address_status),
        "incoming": lambda row: of_direction("incoming", row.incoming, row.incoming_status),
        "outgoing": lambda row: of_direction("outgoing", row.outgoing, row.outgoing_status),
        "act": lambda row: state("hide-s xl", row.act),
        "run": lambda row: state("hide-s lg", row.run_state or "not_run", "auto"),
        "tested": lambda row: _cell("hide-s lg muted nowrap num", moment(row.tested_on)),
        "start": lambda row: _moment(row.process_email_from),
        "approved_by": lambda row: _cell("hide-s cap clip", person(row.approved_by, DASH)),
        "approved_on": lambda row: _moment(row.approved_on),
        "attempted_by": lambda row: _cell("hide-s cap clip", row.attempted_by or DASH),
        "attempted_on": lambda row: _moment(row.attempted_on),
        "status": lambda row: state("hide-s", "active" if row.is_active else "inactive"),
    }


def _kind(kind: MailboxKind) -> SafeString:
    return fill('<span class="status" data-status="none">{}{}</span>', icon(ICONS[kind]), str(kind.label))


def _moment(value: datetime | None) -> SafeString:
    return _cell("hide-s muted nowrap num", moment(value, DASH))


def _cell(classes: str, content: str) -> SafeString:
    return fill(_empty_cell(classes), content)


@cache
def _empty_cell(classes: str) -> SafeString:
    return fill('<td class="{}" role="cell">{{}}</td>', classes)


def _muted(words: str) -> SafeString:
    return fill('<span class="muted">{}</span>', words)


def _labelled(drawing: str, words: str) -> SafeString:
    # A brace would be taken for a place to be filled.
    return fill("{}{}", icon(drawing), words.replace("{", "{{").replace("}", "}}"))
