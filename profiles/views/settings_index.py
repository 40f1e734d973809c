"""What there is to find under Settings: the pages, and the rows of Email settings and Email tracking.

The rows are read off the forms, so that they are found by the very words they are shown with.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _

from profiles.access import Permission
from profiles.forms.email_settings import EmailSettingsForm, SettingsForm
from profiles.forms.email_tracking import EmailTrackingForm
from profiles.models import Environment


@dataclass(frozen=True)
class Entry:
    """A page of the settings, or one row on it."""

    #: The name of the page's address.
    name: str
    title: str
    about: str
    icon: str
    category: str
    url: str
    is_row: bool = False

    def matches(self, query: str) -> bool:
        """Say whether every word of `query` stands in the title or in what is said about it."""
        text = f"{self.title} {self.about}".casefold()
        return all(word in text for word in query.casefold().split())


def entries_for(environment: Environment) -> list[Entry]:
    """Return the pages and rows that exist in `environment` and that the person who entered it may see."""
    reads_settings = Permission.READ_SETTINGS in environment.may
    pages = [
        *(_email_pages() if reads_settings else ()),
        ("mailboxes:mailbox_list", _("Mailboxes"), _("Whose email is synchronized"), "inbox", "email"),
        (
            "mailboxes:completeness_list",
            _("Completeness"),
            _("What the servers hold, counted against what became of it"),
            "database",
            "email",
        ),
        (
            "mailboxes:environment_emails",
            _("Emails"),
            _("Received and sent, of all mailboxes"),
            "mail",
            "email",
        ),
        *(_other_pages() if reads_settings else ()),
        ("mailboxes:job_list", _("Jobs"), _("Tests and changes of many mailboxes"), "activity", "activity"),
    ]
    if Permission.READ_ALERTS in environment.may:
        about = _("What needs attention in this environment")
        pages.append(("mailboxes:environment_alerts", _("Alerts wall"), about, "flag", "activity"))
    found: list[Entry] = []
    for name, title, about, icon, category in pages:
        try:
            url = reverse(name, args=[environment.slug])
        except NoReverseMatch:
            continue  # only what exists is shown
        found.append(Entry(name, title, about, icon, category, url))
    rows = [row for page in found if (form := FORMS.get(page.name)) is not None for row in _rows(page, form)]
    return found + rows


#: The forms whose fields are rows of a page.
FORMS: dict[str, type[SettingsForm]] = {
    "profiles:email_settings": EmailSettingsForm,
    "profiles:email_tracking": EmailTrackingForm,
}


def _email_pages() -> Sequence[tuple[str, str, str, str, str]]:
    return (
        (
            "profiles:email_settings",
            _("Email settings"),
            _("Defaults for new mailboxes, approval, notifications, attachments"),
            "sliders",
            "email",
        ),
        (
            "profiles:email_tracking",
            _("Email tracking"),
            _("How answers are recognised, and tracking tokens"),
            "history",
            "email",
        ),
    )


def _other_pages() -> Sequence[tuple[str, str, str, str, str]]:
    return (
        (
            "profiles:profile_list",
            _("Server profiles"),
            _("Servers, ports and credentials that mailboxes use"),
            "server",
            "email",
        ),
        (
            "profiles:people_list",
            _("People and roles"),
            _("Administrators, approvers, auditors, and the owners of mailboxes"),
            "users",
            "people",
        ),
    )


def _rows(page: Entry, form: type[SettingsForm]) -> list[Entry]:
    labels: dict[str, Any] = {name: label for name, label, _reason in form.inert}
    fields: dict[str, forms.Field] = form.base_fields
    return [
        Entry(
            page.name,
            str(labels.get(name) or field.label),
            page.title,
            page.icon,
            page.category,
            f"{page.url}#id_{name}",
            is_row=True,
        )
        for name, field in fields.items()
    ]
