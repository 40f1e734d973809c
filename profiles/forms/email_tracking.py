"""The form of email tracking: how an answer is recognised, and how tracking tokens are written."""

import re
from typing import Any, ClassVar

from django import forms
from django.utils.translation import gettext_lazy as _

from emailsync.mail.tracking import TokenStyle
from profiles.forms.email_settings import SettingsForm

PREFIX = re.compile(r"[^\s:]{1,20}")
#: The sender and the message of the example: the first of each.
FIRST = 1


class EmailTrackingForm(SettingsForm):
    """How email is recognised as an answer to email that is already stored."""

    folder_tracking = forms.BooleanField(required=False, disabled=True)
    track_by_category = forms.BooleanField(required=False, disabled=True)
    track_outgoing = forms.BooleanField(required=False, disabled=True, initial=True)

    inert = (
        (
            "folder_tracking",
            _("Use folder-level tracking for Exchange folders"),
            _("Without effect here: it needs Exchange. The Inbox of each mailbox is read."),
        ),
        (
            "track_by_category",
            _("Use categories to track emails"),
            _("Without effect here: IMAP and POP3 servers know no categories."),
        ),
        (
            "track_outgoing",
            _("Automatically track outgoing emails"),
            _("Always so here: what is sent from the console is kept, with its answers."),
        ),
        (
            "track_between_users_as_two",
            _("Track emails sent between users as two activities"),
            _("Always so here: the email of each mailbox is stored with that mailbox."),
        ),
    )
    tips: ClassVar[dict[str, Any]] = {
        "use_correlation": _(
            "Answers carry the number of the message they answer in their headers. This is the surest way."
        ),
        "use_tracking_token": _(
            "Some mail programs lose those headers. A token in the subject then still leads to the message."
        ),
        "use_smart_matching": _(
            "Compares the words of the subject and the people. It also finds what does not belong "
            "together, so "
            "leave it off where the other two suffice."
        ),
        "tracking_base_number": _("Tells installations apart whose people write to each other."),
    }

    class Meta(SettingsForm.Meta):
        fields: ClassVar[list[str]] = [
            "use_correlation",
            "use_tracking_token",
            "tracking_prefix",
            "tracking_base_number",
            "tracking_user_digits",
            "tracking_message_digits",
            "use_smart_matching",
            "track_between_users_as_two",
        ]
        labels: ClassVar[dict[str, Any]] = {
            "use_correlation": _("Use correlation to track email conversations"),
            "use_tracking_token": _("Use tracking tokens"),
            "tracking_prefix": _("Prefix"),
            "tracking_base_number": _("Base tracking number"),
            "tracking_user_digits": _("Number of digits for personal numbers"),
            "tracking_message_digits": _("Number of digits for message counter"),
            "use_smart_matching": _("Use smart matching"),
        }
        help_texts: ClassVar[dict[str, Any]] = {
            "tracking_prefix": _(
                "1 to 20 characters. Answers to email sent with another prefix are recognised by their "
                "headers only."
            ),
            "tracking_user_digits": _("1 to 10; longer numbers are written whole."),
            "tracking_message_digits": _("1 to 9; when they are used up, the count begins anew."),
        }
        error_messages: ClassVar[dict[str, dict[str, Any]]] = {
            "tracking_prefix": {"required": _("Enter a prefix of 1 to 20 characters, such as CRM.")},
            "tracking_base_number": {
                "required": _("Enter a number; the usual one is 0."),
                "min_value": _("Enter 0 or more."),
            },
            "tracking_user_digits": {
                "required": _("Enter a number from 1 to 10; the usual one is 3."),
                "min_value": _("Use at least 1 digit."),
                "max_value": _("Use at most 10 digits."),
            },
            "tracking_message_digits": {
                "required": _("Enter a number from 1 to 9; the usual one is 3."),
                "min_value": _("Use at least 1 digit."),
                "max_value": _("Use at most 9 digits."),
            },
        }
        widgets: ClassVar[dict[str, forms.Widget]] = {
            "tracking_prefix": forms.TextInput(attrs={"spellcheck": "false", "autocapitalize": "characters"})
        }

    def clean_tracking_prefix(self) -> str:
        """Refuse what could not be found again in a subject."""
        prefix: str = self.cleaned_data["tracking_prefix"].strip()
        if not PREFIX.fullmatch(prefix):
            raise forms.ValidationError(_("Leave out blanks and colons: the token is one word."))
        return prefix

    @property
    def example(self) -> str:
        """Return the token of the first message of the first person, or nothing while a field is wrong."""
        names = [name for name in self._meta.fields or () if name.startswith("tracking_")]
        if self.is_bound and any(name in self.errors for name in names):
            return ""
        values = self.cleaned_data if self.is_bound else self.initial
        return TokenStyle(*(values[name] for name in names)).token(user=FIRST, message=FIRST)
