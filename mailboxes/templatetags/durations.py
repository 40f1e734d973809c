"""How long something took, in words."""

from datetime import timedelta

from django import template

from emailsync.web.templatetags.console import milliseconds

register = template.Library()


@register.filter
def duration(value: timedelta | None) -> str:
    """Show how long something took: "1.4 s", "2 min 5 s"."""
    return milliseconds(None if value is None else round(value / timedelta(milliseconds=1)))
