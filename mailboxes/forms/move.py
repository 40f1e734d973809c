"""The form that moves the mailboxes of one server profile to another."""

from typing import Any

from django import forms
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from emailsync.web.forms import ConsoleForm
from profiles.models import ServerProfile


class MoveForm(ConsoleForm, forms.Form):
    """Which active profile of the environment the mailboxes use from now on."""

    target = forms.ModelChoiceField(
        queryset=ServerProfile.objects.none(),
        label=_("Move to"),
        empty_label=_("Choose a server profile"),
        error_messages={
            "required": _("Choose the server profile that the mailboxes use from now on."),
            "invalid_choice": _("Choose another active server profile of this environment."),
        },
    )

    def __init__(self, *args: Any, profiles: QuerySet[ServerProfile], **options: Any) -> None:
        """Offer `profiles`."""
        super().__init__(*args, **options)
        self.fields["target"].queryset = profiles  # type: ignore[attr-defined]
