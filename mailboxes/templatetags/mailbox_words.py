"""Words of the mailbox screens: how long something took, what somebody is called."""

from datetime import timedelta

from django import template
from django.contrib.auth.models import User
from django.utils.translation import gettext as _

from emailsync.mail import special
from emailsync.web.templatetags.console import milliseconds
from mailboxes.models import Attachment

register = template.Library()


@register.filter
def duration(value: timedelta | None) -> str:
    """Show how long something took: "1.4 s", "21 s", "2 min 5 s"."""
    if value is not None and timedelta(seconds=10) <= value < timedelta(minutes=1):
        return _("%(number)s s") % {"number": round(value.total_seconds())}
    return milliseconds(None if value is None else round(value / timedelta(milliseconds=1)))


@register.filter
def special_kind(file: Attachment) -> str:
    """Say what an attachment is that no program but a mail program opens, or nothing."""
    return _(found) if (found := special.named(file.content_type, file.filename)) else ""


@register.filter
def person(user: User | None, nobody: str = "") -> str:
    """Return the name of somebody, or `nobody`, which says so."""
    return user.get_full_name() or user.get_username() if user else nobody or _("Nobody")
