"""The form of Change Multiple Records: every field starts at "No change", clearing is asked for by name."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, cast

from django import forms
from django.contrib.auth.models import User
from django.db.models import Field
from django.template.defaultfilters import date as format_date
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from emailsync.web.forms import Check, ConsoleForm, MomentField
from mailboxes.access import may_own
from mailboxes.choices import TrackIncoming
from mailboxes.engine.changing import Change
from mailboxes.models import Mailbox
from profiles.access import people_of
from profiles.choices import ActMethod, IncomingMethod, OutgoingMethod
from profiles.models import Environment

CLEAR = "clear"
NO_CHANGE = ("", _("No change"))
YES_OR_NO = [NO_CHANGE, ("yes", _("Yes")), ("no", _("No"))]
#: The columns behind the fields, where their names differ.
COLUMN = {"server_profile": "server_profile_id", "owner": "owner_id"}


class ChangeManyForm(ConsoleForm, forms.Form):
    """What many mailboxes are to have in common. Names, addresses and credentials are each one's own."""

    server_profile = forms.ChoiceField(label=_("Server Profile"), required=False)
    incoming = forms.ChoiceField(
        label=_("Incoming Email"),
        required=False,
        choices=[NO_CHANGE, *IncomingMethod.choices],
    )
    outgoing = forms.ChoiceField(
        label=_("Outgoing Email"), required=False, choices=[NO_CHANGE, *OutgoingMethod.choices]
    )
    act = forms.ChoiceField(
        label=_("Appointments, Contacts, and Tasks"),
        required=False,
        choices=[NO_CHANGE, (ActMethod.NONE.value, ActMethod.NONE.label)],
        help_text=_("IMAP and POP3 servers hold none, so the only choice is None."),
    )
    process_email_from = MomentField(label=_("Process Email Received After"), required=False)
    clear_process_email_from = forms.BooleanField(
        label=_("Clear: process all email"), required=False, widget=Check
    )
    track_incoming = forms.ChoiceField(
        label=_("Incoming email that is kept"), required=False, choices=[NO_CHANGE, *TrackIncoming.choices]
    )
    allow_credentials = forms.ChoiceField(
        label=_("Allow to Use Credentials for Email Processing"),
        required=False,
        choices=YES_OR_NO,
        help_text=_("User names and passwords are each mailbox's own: enter them on its page."),
    )
    owner = forms.ChoiceField(label=_("Owner"), required=False)
    delete_after_processing = forms.ChoiceField(
        label=_("Delete Emails after Processing"), required=False, choices=YES_OR_NO
    )

    tips: ClassVar[Mapping[str, str | Promise]] = {
        "server_profile": _("The mail servers these mailboxes live on. Only active profiles are offered."),
        "incoming": _("None leaves all mail on the server."),
        "outgoing": _("None keeps a mailbox from sending. A forward mailbox can have no other."),
        "process_email_from": _(
            "Mail that the server received earlier is left alone. The later of this date and the server "
            "profile's counts."
        ),
        "track_incoming": _(
            "Which of the mail that arrives in these mailboxes is stored here. What they refuse is stored "
            "all the same when the mailbox of another recipient in this environment keeps it."
        ),
        "delete_after_processing": _(
            "Removes mail from the server once it is stored here. Mail of users always stays."
        ),
    }
    #: The sections of the dialog, in its order.
    sections: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "method": ("server_profile", "incoming", "outgoing", "act", "process_email_from", "track_incoming"),
        "credentials": ("allow_credentials",),
        "general": ("owner", "delete_after_processing"),
    }

    def __init__(self, *args: Any, environment: Environment, by: User, **kwargs: Any) -> None:
        """Offer the active profiles of the environment, and those of its people whom `by` may make owners."""
        super().__init__(*args, **kwargs)
        profiles = environment.server_profiles.active().order_by("name").values_list("pk", "name")
        self._offer(
            "server_profile",
            [(CLEAR, _("Clear: no profile")), *((str(pk), name) for pk, name in profiles)],
        )
        self._offer(
            "owner",
            [
                (CLEAR, _("Clear: nobody")),
                *(
                    (str(person.pk), person.get_full_name() or person.get_username())
                    for person in people_of(environment)
                    if may_own(by, person.pk, environment)
                ),
            ],
        )

    def _offer(self, name: str, choices: list[tuple[str, Any]]) -> None:
        cast("forms.ChoiceField", self.fields[name]).choices = [NO_CHANGE, *choices]

    def clean(self) -> dict[str, Any]:
        """Refuse a date that is also to be cleared, and a form that changes nothing."""
        if self.cleaned_data.get("clear_process_email_from") and self.cleaned_data.get("process_email_from"):
            self.add_error("process_email_from", _("Enter a date or tick Clear, not both."))
        elif not self.errors and not self.touched:
            raise forms.ValidationError(
                _("Nothing is chosen yet. Choose what these mailboxes are to have in common.")
            )
        return self.cleaned_data

    @property
    def touched(self) -> list[str]:
        """Return the fields that are to change something, in the order of the dialog."""
        return [
            name
            for names in self.sections.values()
            for name in names
            if self.cleaned_data.get(name) or self.cleaned_data.get(f"clear_{name}")
        ]

    def change(self) -> Change:
        """Return what was asked for; call it on a valid form."""
        return Change({COLUMN.get(name, name): self._value(name) for name in self.touched})

    def _value(self, name: str) -> Any:
        value = self.cleaned_data[name]
        if value == CLEAR or self.cleaned_data.get(f"clear_{name}"):
            return None
        if name in {"allow_credentials", "delete_after_processing"}:
            return value == "yes"
        return cast("Field[Any, Any]", Mailbox._meta.get_field(name)).to_python(value)

    def words(self, name: str) -> str:
        """Say the new value of a field as its list does; empty when it is cleared."""
        value = self.cleaned_data[name]
        if not value or value == CLEAR:
            return ""
        if isinstance(value, datetime):
            return format_date(timezone.localtime(value), "DATETIME_FORMAT")
        offered = cast("list[tuple[str, object]]", cast("forms.ChoiceField", self.fields[name]).choices)
        return str(dict(offered)[value])
