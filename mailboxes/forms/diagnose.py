"""What is asked before a test: taking addresses over, and from when on incoming email counts."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from emailsync.web.forms import Check, ConsoleForm, MomentField


class DiagnoseForm(ConsoleForm, forms.Form):
    """The options of Test & Enable."""

    takes_over = forms.BooleanField(
        required=False,
        widget=Check,
        help_text=_(
            "An address is synchronized by one environment only. With the tick it is taken over from the one "
            "that does it now: it stops there, and the people there are told."
        ),
    )
    start = MomentField(
        label=_("Start date for incoming email"),
        required=False,
        help_text=_(
            "Email that the server received earlier is left alone. Must be later than Process Email From of "
            "the server profile."
        ),
    )

    def __init__(self, *args: Any, number: int, asks_start: bool, may_take_over: bool, **kwargs: Any) -> None:
        """Name one mailbox or many; ask for a start date, and to take addresses over, only when told."""
        super().__init__(*args, **kwargs)
        self.fields["takes_over"].label = ngettext(
            "Sync items with this mailbox from this environment only, even if it was set to sync with a "
            "different environment",
            "Sync items with these mailboxes from this environment only, even if they were set to sync with "
            "a different environment",
            number,
        )
        if not may_take_over:
            del self.fields["takes_over"]
        if not asks_start:
            del self.fields["start"]
