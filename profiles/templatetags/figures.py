"""How the numbers about mailboxes are said."""

from typing import Protocol

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from emailsync.web.templatetags.console import status

register = template.Library()


class Figures(Protocol):
    """An environment or a profile with the numbers of `views.figures`."""

    mailbox_count: int
    active: int
    failing: int
    working: int


@register.simple_tag
def mailbox_health(record: Figures) -> SafeString:
    """Say in an icon and a few words how the active mailboxes of `record` are doing."""
    if not record.active:
        words = "None active" if record.mailbox_count else "No mailboxes"
        return format_html('<span class="muted">{}</span>', words)
    if record.failing:
        return status("failure", "auto", f"{record.failing:,} failing")
    if record.working == record.active:
        return status("success", "status", "All working")
    if record.working:
        return status("not_run", "status", f"{record.working:,} of {record.active:,} working")
    return status("not_run", "status", "Not tested")


@register.filter
def mailboxes(number: int) -> str:
    """Return a number with its noun: "1 mailbox", "3 mailboxes"."""
    return f"{number:,} {'mailbox' if number == 1 else 'mailboxes'}"
