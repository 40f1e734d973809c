"""Draw the rows of the list of server profiles.

In Python: as a template a row takes several times as long. Everything is put in by `fill`, which escapes.
"""

from collections.abc import Iterable, Iterator
from typing import cast
from uuid import UUID

from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from emailsync.web.addresses import pattern
from emailsync.web.html import fill, joined
from emailsync.web.templatetags.console import icon
from profiles.access import Permission
from profiles.choices import AuthenticationType, ConnectionSecurity
from profiles.models import Environment, ServerProfile
from profiles.templatetags.figures import Figures, mailbox_health

#: Where rows lead.
ROW_URLS = {
    "edit": "profiles:profile_edit",
    "detail": "profiles:profile_detail",
    "mailboxes": "mailboxes:profile_mailboxes",
    "alerts": "mailboxes:profile_alerts",
    "move": "mailboxes:profile_move",
}
ROW = """<tr role="row">
  <td class="sel" role="cell"><input type="checkbox" class="check rowcheck" name="ids" value="{key}" \
aria-label="{select}"></td>
  <td role="rowheader"><div class="main"><span class="avatar sq wideonly" aria-hidden="true">{server}</span>\
<div><a href="{edit}" hx-get="{edit}" hx-target="#dialogs" hx-swap="innerHTML">{name}</a>{badges}\
<span class="sub nowrap">{type}</span></div></div></td>
  {incoming}
  {outgoing}
  <td class="lg" role="cell">{credentials}</td>
  <td class="end num" role="cell" data-label="{mailboxes_words}">{mailboxes}</td>
  <td role="cell" data-label="{result_words}"><div>{health}{alerts}</div></td>
  <td class="act" role="cell"><button type="button" class="btn subtle iconly" popovertarget="row-{key}" \
aria-label="{actions}">{more}</button>
    <div popover id="row-{key}" class="menu">{commands}</div></td>
</tr>"""
SERVER = """<td{} role="cell" data-label="{}"><div><span class="mono">{}</span>\
<span class="sub">{}, {}, {}</span></div></td>"""
BUTTON = '<button type="submit" class="btn" name="action" value="{}:{}">{}{}</button>'
LINK = '<a href="{}">{}{}</a>'
DIALOG = '<a href="{0}" hx-get="{0}" hx-target="#dialogs" hx-swap="innerHTML">{1}{2}</a>'


class RowDrawing:
    """Draws the rows of one environment for one reader."""

    def __init__(self, environment: Environment) -> None:
        """Look up what all rows have in common."""
        self._may = environment.may
        self._urls = {name: pattern(url, environment.slug, UUID) for name, url in ROW_URLS.items()}
        self._create_url = reverse("profiles:profile_create", args=[environment.slug])
        self._words = {
            "select": _("Select %(name)s"),
            "actions": _("Actions for %(name)s"),
            "port": _("port %(port)s"),
            "incoming": _("Incoming"),
            "outgoing": _("Outgoing"),
            "plain": _("not encrypted"),
            "mailboxes": _("Mailboxes"),
            "result": _("Test result"),
            "by_user_or_queue": _("User or queue"),
            AuthenticationType.IN_PROFILE: _("Server profile"),
            AuthenticationType.OAUTH: _("OAuth"),
        }
        self._default = fill(' <span class="badge plain" data-status="brand">{}</span>', _("Default"))
        self._inactive = fill(' <span class="badge plain">{}</span>', _("Inactive"))
        self._server, self._more = icon("server"), icon("more")

    def draw(self, rows: Iterable[ServerProfile]) -> SafeString:
        """Draw the rows of the list; they carry figures."""
        return joined(self._row(row) for row in rows)

    def _row(self, row: ServerProfile) -> SafeString:
        named, words, figures = {"name": row.name}, self._words, cast("Figures", row)
        return fill(
            ROW,
            key=row.pk,
            name=row.name,
            select=words["select"] % named,
            actions=words["actions"] % named,
            server=self._server,
            edit=self._urls["edit"].format(row.pk),
            badges=joined(
                (self._default if row.is_default else "", self._inactive if not row.is_active else "")
            ),
            type=row.get_server_type_display(),
            incoming=self._incoming(row),
            outgoing=self._outgoing(row),
            credentials=words.get(row.authentication_type, words["by_user_or_queue"]),
            mailboxes_words=words["mailboxes"],
            mailboxes=self._mailboxes(row, figures.mailbox_count),
            result_words=words["result"],
            health=mailbox_health(figures),
            alerts=self._alerts(row, figures.open_alerts),
            more=self._more,
            commands=joined(self._commands(row, has_mailboxes=bool(figures.mailbox_count))),
        )

    def _incoming(self, row: ServerProfile) -> SafeString:
        protocol, port = row.get_incoming_protocol_display(), self._port(row.incoming_port)
        security = self._security(row.incoming_security)
        return fill(SERVER, "", self._words["incoming"], row.incoming_location, protocol, port, security)

    def _outgoing(self, row: ServerProfile) -> SafeString:
        port, security = self._port(row.outgoing_port), self._security(row.outgoing_security)
        return fill(
            SERVER,
            SafeString(' class="md"'),
            self._words["outgoing"],
            row.outgoing_location,
            "SMTP",
            port,
            security,
        )

    def _port(self, port: int | None) -> str:
        return self._words["port"] % {"port": port}

    def _security(self, security: str) -> str:
        return self._words["plain"] if security == ConnectionSecurity.NONE else security.upper()

    def _mailboxes(self, row: ServerProfile, count: int) -> SafeString | int:
        if not count or Permission.READ_MAILBOXES not in self._may:
            return count
        return fill('<a href="{}">{}</a>', self._urls["mailboxes"].format(row.pk), count)

    def _alerts(self, row: ServerProfile, count: int) -> SafeString | str:
        if not count or Permission.READ_ALERTS not in self._may:
            return ""
        words = ngettext("%(number)s open alert", "%(number)s open alerts", count) % {"number": count}
        return fill('<a class="sub block" href="{}">{}</a>', self._urls["alerts"].format(row.pk), words)

    def _commands(self, row: ServerProfile, *, has_mailboxes: bool) -> Iterator[SafeString]:
        key, urls, writes = row.pk, self._urls, Permission.WRITE_PROFILES in self._may
        if writes:
            yield fill(BUTTON, "edit", key, icon("edit"), _("Edit"))
        yield fill(LINK, urls["detail"].format(key), icon("external"), _("Open full form"))
        if Permission.DIAGNOSE in self._may:
            yield fill(BUTTON, "diagnose", key, icon("play"), _("Test & Enable Mailboxes"))
        if Permission.READ_ALERTS in self._may:
            yield fill(LINK, urls["alerts"].format(key), icon("bell"), _("Alerts"))
        if writes:
            yield from self._changes(row, has_mailboxes=has_mailboxes)

    def _changes(self, row: ServerProfile, *, has_mailboxes: bool) -> Iterator[SafeString]:
        key = row.pk
        yield SafeString("<hr>")
        if row.is_active and not row.is_default:
            yield fill(BUTTON, "default", key, icon("star"), _("Set as default"))
        copy = f"{self._create_url}?from={key}"
        yield fill(DIALOG, copy, icon("plus"), _("Create a new profile from this one"))
        if has_mailboxes and Permission.WRITE_MAILBOXES in self._may:
            yield fill(DIALOG, self._urls["move"].format(key), icon("arrow-right"), _("Move mailboxes"))
        if row.is_active:
            yield fill(BUTTON, "deactivate", key, icon("minus"), _("Deactivate"))
        else:
            yield fill(BUTTON, "activate", key, icon("power"), _("Activate"))
        yield fill(BUTTON, "delete", key, icon("trash"), _("Delete"))
