"""What the console's templates are written with: icons, statuses, tips, times, form fields."""

import re
import zlib
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from functools import cache, lru_cache
from typing import Any

from django import template
from django.forms import BaseForm
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy, pgettext

from emailsync.web import icons, navigation, zone
from emailsync.web.forms import FieldError, field_errors
from emailsync.web.html import fill

register = template.Library()

TONES = 5
#: Value of a status: its icon, its word and the family its colour comes from.
STATUSES = {
    "success": ("success-f", gettext_lazy("Success"), "success"),
    "failure": ("error-f", gettext_lazy("Failure"), "failure"),
    "not_run": ("not-run", gettext_lazy("Not Run"), "notrun"),
    "testing": ("spinner", gettext_lazy("Testing"), "testing"),
    "running": ("spinner", gettext_lazy("Running"), "testing"),
    "sending": ("spinner", gettext_lazy("Sending"), "testing"),
    "queued": ("clock", gettext_lazy("Queued"), "none"),
    "waiting": ("clock", gettext_lazy("Waiting"), "none"),
    "pending_send": ("clock", gettext_lazy("Pending Send"), "none"),
    "skipped": ("minus", gettext_lazy("Skipped"), "none"),
    "none": ("minus", gettext_lazy("None"), "none"),
    "empty": ("minus", gettext_lazy("Empty"), "none"),
    "draft": ("edit", gettext_lazy("Draft"), "none"),
    "canceled": ("minus", gettext_lazy("Canceled"), "none"),
    "approved": ("success-f", gettext_lazy("Approved"), "success"),
    "pending": ("warning-f", gettext_lazy("Pending Approval"), "pending"),
    "rejected": ("error-f", gettext_lazy("Rejected"), "failure"),
    "enabled": ("success-f", gettext_lazy("Enabled"), "success"),
    "disabled": ("minus", gettext_lazy("Disabled"), "none"),
    "active": ("success-f", gettext_lazy("Active"), "success"),
    "inactive": ("minus", gettext_lazy("Inactive"), "none"),
    "done": ("success-f", gettext_lazy("Done"), "success"),
    "sent": ("success-f", gettext_lazy("Sent"), "success"),
    "received": ("success-f", gettext_lazy("Received"), "success"),
    "stored": ("success-f", gettext_lazy("Stored"), "success"),
    "failed": ("error-f", gettext_lazy("Failed"), "failure"),
    "stopped": ("error-f", gettext_lazy("Stopped"), "failure"),
    "uncertain": ("warning-f", gettext_lazy("Uncertain"), "pending"),
    "duplicate": ("minus", gettext_lazy("Duplicate"), "none"),
    "before_start": ("minus", gettext_lazy("Before the start date"), "none"),
    "not_wanted": ("minus", gettext_lazy("Not wanted"), "none"),
    "missed": ("clock", gettext_lazy("Overlooked, and being fetched"), "pending"),
    "gone": ("minus", gettext_lazy("No longer on the server"), "none"),
    "oversize": ("warning-f", gettext_lazy("Too large"), "pending"),
    "quarantined": ("warning-f", gettext_lazy("Quarantined"), "pending"),
    "error": ("error-f", gettext_lazy("Error"), "failure"),
    "warning": ("warning-f", gettext_lazy("Warning"), "pending"),
    "information": ("info-f", gettext_lazy("Information"), "information"),
}


@register.simple_tag
def icon(name: str, size: str = "", classes: str = "") -> SafeString:
    """Inline one icon; size "s" is 16 px."""
    return icons.draw(name, size, classes)


@register.simple_tag
def status(value: str | None, kind: str = "status", text: str = "") -> SafeString:
    """Show a status as an icon and a word; kind "badge" is for what needs attention.

    Kind "auto" makes a badge of a failure, a warning and what is running, and plain text of the rest.
    """
    drawing, word, family = STATUSES[str(value or "not_run")]
    if kind == "auto":
        kind = "badge" if family in {"failure", "pending", "testing"} else "status"
    if text:
        return _draw(kind, family, drawing, text)
    return _known_status(kind, family, drawing, str(word), gettext("Pending") if value == "pending" else "")


@lru_cache(maxsize=1024)
def _known_status(kind: str, family: str, drawing: str, word: str, short: str) -> SafeString:
    """Draw a status by its own word, once for all rows. Phones have room for one word beside two others."""
    label: SafeString | str = word
    if short:
        label = fill('<span class="wideonly">{}</span><span class="narrow">{}</span>', word, short)
    return _draw(kind, family, drawing, label)


def _draw(kind: str, family: str, drawing: str, label: str) -> SafeString:
    return fill(
        '<span class="{}" data-status="{}">{}<span>{}</span></span>', kind, family, icons.draw(drawing), label
    )


@register.simple_tag
def level_icon(level: str) -> SafeString:
    """Inline the icon of an alert's level."""
    return icons.draw(STATUSES[level][0])


@register.inclusion_tag("components/_tip.html")
def tip(identifier: str, about: str, text: str) -> dict[str, str]:
    """Put an (i) button beside a label; it opens `text`."""
    return {"id": identifier, "about": about, "text": text}


@register.inclusion_tag("components/_message.html")
def message_bar(intent: str, title: str, text: str = "") -> dict[str, str]:
    """Show a message where it was caused; intent is information, success, warning or error."""
    return {"intent": intent, "title": title, "text": text}


@register.inclusion_tag("components/_form_errors.html")
def form_errors(form: BaseForm) -> dict[str, Any]:
    """Sum up what is wrong with a form; each line leads to its field."""
    found: tuple[FieldError, ...] = field_errors(form)
    return {"form": form, "errors": found, "conflict": getattr(form, "conflict", None)}


@register.filter
def has_errors(form: BaseForm, names: str) -> bool:
    """Tell whether one of the fields "a b c" is wrong, so that its section must stand open."""
    return any(name in form.errors for name in names.split())


@register.filter
def tone(name: object) -> int:
    """Choose the avatar's colour of a name; the same name always has the same."""
    return zlib.crc32(str(name).casefold().encode()) % TONES


@register.filter
def initials(name: object) -> str:
    """Return the one or two letters that stand in an avatar."""
    words = re.findall(r"\w+", str(name))
    return "".join(word[0] for word in (words[:1] + words[-1:] if len(words) > 1 else words)).upper()


@register.simple_tag
def avatar(name: object, classes: str = "") -> SafeString:
    """Show the avatar of a person, a queue or a mailbox."""
    css = f"avatar {classes}".strip()
    shape = '<span class="{}" data-tone="{}" aria-hidden="true">{}</span>'
    return fill(shape, css, tone(name), initials(name) or "?")


@register.filter
def at(pattern: str, key: object) -> str:
    """Return the address that `emailsync.web.addresses.pattern` makes for the record of a row."""
    return pattern.format(key)


@register.filter
def about(sentence: str, name: object) -> str:
    """Put a name into a translated sentence, "Select %(name)s": quicker than a block in every row."""
    return sentence % {"name": name}


def _day(day: date, today: date, *, within: bool = False) -> str:
    ago = (today - day).days
    if ago == 0:
        return pgettext("within a sentence", "today") if within else gettext("Today")
    if ago == 1:
        return pgettext("within a sentence", "yesterday") if within else gettext("Yesterday")
    written, language = zone.write_day(day, with_year=day.year != today.year), zone.foreign_language()
    return fill('<span lang="{}">{}</span>', language, written) if language else written


def moments(*, within: bool = False) -> Callable[..., SafeString | str]:
    """Return what shows the many times of a page, each as `moment` does: its days are written once.

    With `within`, as `moment_within` does.
    """
    here, today = timezone.get_current_timezone(), timezone.localdate()
    written = cache(lambda day: (zone.write_in_full(day), _day(day, today, within=within)))

    def shown(value: datetime | None, empty: str = "") -> SafeString | str:
        if value is None:
            return empty or gettext("Never")
        local = value.astimezone(here)
        (in_full, said), clock = written(local.date()), local.time().isoformat("seconds")
        return fill(
            '<time datetime="{}" title="{}">{}, {}</time>',
            value.astimezone(UTC).isoformat(timespec="seconds"),
            f"{in_full}, {clock} {local.tzname()}",
            said,
            clock[:5],
        )

    return shown


@register.filter(expects_localtime=False)
def moment(value: datetime | None, empty: str = "") -> SafeString | str:
    """Show a time in the reader's zone: "Today, 09:42", "Nov 20, 11:05"."""
    return moments()(value, empty)


@register.filter(expects_localtime=False)
def moment_within(value: datetime | None) -> SafeString | str:
    """Show a time in the middle of a sentence: "today, 09:42"."""
    return moments(within=True)(value)


@register.filter(expects_localtime=False)
def day(value: datetime) -> str:
    """Name the day of a time in the reader's zone, to group a list by."""
    return _day(timezone.localdate(value), timezone.localdate())


@register.filter
def number(value: int) -> str:
    """Show a whole number with its thousands apart: "1,234"."""
    return number_format(value, use_l10n=True, force_grouping=True)


@register.filter
def milliseconds(value: int | None) -> str:
    """Show a duration: "40 ms", "1.4 s", "6 s", "2 min 5 s"."""
    if value is None:
        return "\N{EN DASH}"
    if value < 1000:
        return gettext("%(number)s ms") % {"number": value}
    if value < 60_000:
        return gettext("%(number)s s") % {"number": f"{value / 1000:.1f}" if value % 1000 else value // 1000}
    parts = {"minutes": value // 60_000, "seconds": value % 60_000 // 1000}
    return gettext("%(minutes)s min %(seconds)s s") % parts


@register.simple_tag(takes_context=True)
def navigation_links(context: Mapping[str, Any]) -> navigation.Navigation:
    """Return the navigation of the page at hand."""
    return navigation.build(context.get("request"), environment=context.get("environment"))
