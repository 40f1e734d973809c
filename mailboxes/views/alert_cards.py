"""Draw the cards of a wall.

In Python: as a template a card takes several times as long, and a wall has up to 35. What all cards have in
common is translated, looked up and drawn once. Everything is put in by `fill`, which escapes.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape

from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from emailsync.web.addresses import pattern
from emailsync.web.html import fill, joined, worded
from emailsync.web.templatetags.console import icon, level_icon, moments, number
from mailboxes.alerts.kinds import READY
from mailboxes.alerts.presenting import Presented
from mailboxes.choices import AlertLevel
from mailboxes.models import Alert
from mailboxes.services import wall

CARD = """<li data-level="{level}" id="alert-{key}"{state}>{icon}
  <h3><span class="vh">{said}{level_said}: </span>{title}</h3>
  <span class="x">{buttons}</span>
  <p>{text}</p>
  {remedy}
  <div class="meta">{meta}</div>
  {more}</li>"""
READ = """<button type="submit" class="btn subtle iconly" formaction="{url}" name="alert" value="{key}" \
id="read-{key}" aria-label="{label} {title}" title="{words}" hx-post="{url}" hx-target="#list" \
hx-swap="outerHTML show:none">{icon}</button>"""
DELETE = """<button type="submit" class="btn subtle iconly" name="alert" value="{key}" id="delete-{key}" \
aria-label="{label} {title}" title="{words}" hx-post="{url}" hx-target="#list" \
hx-swap="outerHTML show:none"{focus}>{icon}</button>"""
REMEDY = '<p class="remedy"><b>{}</b> {}</p>'
STRONG, PLAIN, PAIR = '<span class="strong">{}</span>', "<span>{}</span>", "{} {}"
LINK = '<a href="{}">{}<span class="vh">, {}</span></a>'
AGAIN = (
    '<a href="{0}" hx-get="{0}" hx-target="#dialogs" hx-swap="innerHTML">{1}<span class="vh">, {2}</span></a>'
)
MORE = '<details class="more"><summary>{}{}<span class="vh">: {}</span></summary>{}</details>'
MEMBERS = """<div hx-get="{0}" hx-trigger="toggle from:closest details once" hx-target="this" \
hx-swap="outerHTML"><a href="{0}">{1}</a></div>"""
DETAIL = '<dt>{}</dt><dd class="{}">{}</dd>'
SPOKEN = '<dt>{}</dt><dd><a href="{}">{}<span class="vh">: {}</span></a></dd>'


@dataclass(frozen=True)
class Card:
    """An alert with its words, the mailboxes it gathers, and what its reader may do with it."""

    alert: Alert
    words: Presented
    members: wall.Members | None
    may_delete: bool
    #: Whether its reader may test the mailbox or profile it is about, and so see what was said to the server.
    may_diagnose: bool

    @property
    def is_unread(self) -> bool:
        """Say whether it is open and its reader has not read it."""
        return self.alert.resolved_on is None and not getattr(self.alert, "is_read", False)

    @property
    def is_outage(self) -> bool:
        """Say whether it stopped mailboxes that can be enabled again together."""
        is_open = self.alert.resolved_on is None and self.alert.level == AlertLevel.ERROR
        return bool(is_open and self.members and self.members.open and self.alert.server_profile_id)


class CardDrawing:
    """Draws the cards of one wall for one reader."""

    def __init__(self, *, focus: int, spans_environments: bool) -> None:
        """Look up what all cards have in common; the card `focus` takes the focus."""
        self._focus, self._spans = focus, spans_environments
        self._moment, self._within = moments(), moments(within=True)
        self._read = fill(
            READ,
            url=reverse("mailboxes:alert_read"),
            key="{key}",
            label=worded(_("Mark as read:")),
            title="{title}",
            words=worded(_("Mark as read")),
            icon=icon("check", "s"),
        )
        self._delete = fill(
            DELETE,
            url=reverse("mailboxes:alert_delete"),
            key="{key}",
            label=worded(_("Delete:")),
            title="{title}",
            words=worded(_("Delete")),
            focus="{focus}",
            icon=icon("close", "s"),
        )
        self._more = fill(MORE, icon("chevron-right", "s", "chev"), "{}", "{}", "{}")
        self._remedy = fill(REMEDY, worded(_("What to do:")), "{}")
        self._since = fill(PLAIN, fill(PAIR, worded(_("since")), "{}"))
        self._levels = {level.value: (level_icon(level), str(level.label)) for level in AlertLevel}
        self._good = icon("success-f")
        self._resolved, self._unread = _("Resolved"), _("Unread")
        # News needs no mending: it was true so long.
        self._until = _("Until")
        self._mailbox, self._profile = fill(PLAIN, _("Mailbox")), fill(PLAIN, _("Server profile"))
        self._members_url = pattern("mailboxes:alert_members", int)
        self._transcript_url = pattern("mailboxes:alert_transcript", int)

    def draw(self, cards: Iterable[Card]) -> SafeString:
        """Draw several cards."""
        return joined([self._card(card) for card in cards])

    def _card(self, card: Card) -> SafeString:
        alert, words, resolved = card.alert, card.words, card.alert.resolved_on is not None
        is_good = alert.kind == READY
        said = self._resolved if resolved else self._unread if card.is_unread else ""
        state = ' class="resolved"' if resolved else ' class="unread"' if card.is_unread else ""
        level_icon, level_said = self._levels[alert.level]
        return fill(
            CARD,
            key=alert.pk,
            level="success" if is_good else alert.level,
            state=SafeString(state),
            icon=self._good if resolved or is_good else level_icon,
            said=f"{said} " if said else "",
            level_said=level_said,
            title=words.title,
            buttons=joined(self._buttons(card)),
            text=words.text,
            remedy=fill(self._remedy, words.remedy) if words.remedy and not resolved else "",
            meta=joined(self._meta(card, level_said)),
            more=joined((self._links(card), self._members(card), self._details(card))),
        )

    def _buttons(self, card: Card) -> Iterator[SafeString]:
        key, title = card.alert.pk, card.words.title
        if card.is_unread:
            yield fill(self._read, key=key, title=title)
        if card.may_delete:
            focus = SafeString(" data-focus" if key == self._focus else "")
            yield fill(self._delete, key=key, title=title, focus=focus)

    def _meta(self, card: Card, level: str) -> Iterator[SafeString | str]:
        alert = card.alert
        if alert.resolved_on:
            over = self._resolved if alert.level != AlertLevel.INFORMATION else self._until
            yield fill(STRONG, fill(PAIR, over, self._within(alert.resolved_on)))
        if self._spans:
            yield fill(PLAIN, alert.environment.name)
        yield self._mailbox if alert.mailbox_id else self._profile
        yield fill(PLAIN, level)
        yield self._moment(alert.last_seen_on)
        if card.members:
            yield fill(self._since, self._within(alert.first_seen_on))
        elif alert.count > 1:
            words = ngettext("once since %(since)s", "%(number)s times since %(since)s", alert.count)
            filled = escape(words) % {"number": alert.count, "since": self._within(alert.first_seen_on)}
            yield fill(STRONG, SafeString(filled))

    def _links(self, card: Card) -> SafeString:
        title = card.words.title
        links = [fill(LINK, url, label, title) for label, url in card.words.links]
        if card.is_outage and card.may_diagnose and card.members:
            alert, stopped = card.alert, card.members.open
            again = reverse(
                "mailboxes:profile_diagnose", args=[alert.environment.slug, alert.server_profile_id]
            )
            words = ngettext("Test and enable it again", "Test and enable all %(shown)s again", stopped)
            links.append(fill(AGAIN, f"{again}?alert={alert.pk}", words % {"shown": number(stopped)}, title))
        return fill('<div class="acts">{}</div>', joined(links)) if links else SafeString()

    def _members(self, card: Card) -> SafeString:
        """Draw what opens to the mailboxes that an alert gathers; they are fetched then."""
        members = card.members
        if not members:
            return SafeString()
        words = ngettext("%(shown)s mailbox", "%(shown)s mailboxes", members.all) % {
            "shown": number(members.all)
        }
        if members.recovered and card.alert.resolved_on is None:
            words += _(", %(recovered)s recovered") % {"recovered": number(members.recovered)}
        later = fill(MEMBERS, self._members_url.format(card.alert.pk), _("Show the mailboxes"))
        return fill(self._more, words, card.words.title, later)

    def _details(self, card: Card) -> SafeString:
        alert, words = card.alert, card.words
        if not (alert.error_code or alert.details):
            return SafeString()
        lines = []
        if alert.error_code:
            lines.append(fill(DETAIL, _("Email Server Error Code"), "mono", alert.error_code))
        if words.details:
            lines.append(fill(DETAIL, _("Server's answer"), "mono", words.details))
        if card.may_diagnose and getattr(alert, "has_transcript", False):
            url, show = self._transcript_url.format(alert.pk), _("Show what was said to the server")
            lines.append(fill(SPOKEN, _("Conversation"), url, show, words.title))
        lines.append(fill(DETAIL, _("First seen"), "num", self._moment(alert.first_seen_on)))
        shown = fill('<dl class="kv">{}</dl>', joined(lines))
        return fill(self._more, _("Details"), words.title, shown)
