"""How the numbers about mailboxes are said."""

from typing import Protocol

from django import template
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from emailsync.web.html import fill
from emailsync.web.templatetags.console import status

register = template.Library()


class Figures(Protocol):
    """An environment or a profile with the numbers of `views.figures`."""

    mailbox_count: int
    active: int
    failing: int
    working: int
    open_alerts: int


@register.simple_tag
def mailbox_health(record: Figures) -> SafeString:
    """Say in an icon and a few words how the active mailboxes of `record` are doing."""
    if not record.active:
        words = _("None active") if record.mailbox_count else _("No mailboxes")
        return fill('<span class="muted">{}</span>', words)
    numbers = {"number": f"{record.failing:,}", "active": f"{record.active:,}"}
    if record.failing:
        return status("failure", "auto", _("%(number)s of %(active)s failing") % numbers)
    if record.working == record.active:
        return status("success", "status", _("All working"))
    if record.working:
        numbers["number"] = f"{record.working:,}"
        return status("not_run", "status", _("%(number)s of %(active)s working") % numbers)
    return status("not_run", "status", _("Not tested"))


@register.filter
def mailboxes(number: int) -> str:
    """Return a number with its noun: "1 mailbox", "3 mailboxes"."""
    return ngettext("%(count)s mailbox", "%(count)s mailboxes", number) % {"count": f"{number:,}"}
