"""The form of an environment's email settings.

Rows that cannot have an effect with IMAP, POP3 and SMTP stand where people look for them, switched off and
with the reason.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, cast

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from emailsync.web.concurrency import Conflict, Saved, VersionedForm
from emailsync.web.forms import Check, ConsoleForm, ReasonedSelect
from profiles import services
from profiles.choices import UNRESOLVED_RECIPIENTS, ActMethod
from profiles.models import EmailSettings, ServerProfile

# Django's form is generic for the type checker only.
if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise

    _ModelForm = forms.ModelForm[EmailSettings]
else:
    _ModelForm = forms.ModelForm

#: Rows without an effect: the field, its label, and why.
INERT: tuple[tuple[str, "_StrOrPromise", "_StrOrPromise"], ...] = (
    (
        "sync_rights_managed_email",
        gettext_lazy("Sync information rights management-enabled emails to the server"),
        gettext_lazy(
            "Without effect here: rights protection is a matter of Exchange. Protected mail is stored "
            "as it comes."
        ),
    ),
    (
        "delete_appointments_on_ownership_change",
        gettext_lazy(
            "Allow to delete appointments if system auto detects changes that will result in change in "
            "ownership"
        ),
        gettext_lazy("Without effect here: IMAP and POP3 servers hold no appointments."),
    ),
    *UNRESOLVED_RECIPIENTS,
)
FILE_ENDING = re.compile(r"[a-z0-9][a-z0-9_+-]{0,19}")


class FileEndingsField(forms.CharField):
    """File endings, stored as "exe;bat" and shown as "exe; bat", so that lines break between them."""

    widget = forms.Textarea

    def prepare_value(self, value: Any) -> Any:
        """Show what is stored with room between the endings."""
        return value.replace("; ", ";").replace(";", "; ") if isinstance(value, str) else value

    def to_python(self, value: Any) -> str:
        """Bring the endings into one form: lower case, without dots, each once."""
        pieces = re.split(r"[;,\s]+", super().to_python(value) or "")
        endings = [piece.strip(".").lower() for piece in pieces if piece.strip(".")]
        return ";".join(dict.fromkeys(endings))

    def validate(self, value: Any) -> None:
        """Name the piece that is no file ending."""
        super().validate(value)
        for ending in value.split(";") if value else ():
            if not FILE_ENDING.fullmatch(ending):
                sentence = _(
                    "%(ending)s is not a file ending. Write endings like exe; bat; js with semicolons "
                    "between."
                )
                raise forms.ValidationError(sentence % {"ending": ending})

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Count endings, not the blanks between them."""
        return self.to_python(initial) != self.to_python(data)


class SettingsForm(VersionedForm, ConsoleForm, _ModelForm):
    """A part of the email settings; `inert` rows are shown and never change."""

    inert: ClassVar[tuple[tuple[str, "_StrOrPromise", "_StrOrPromise"], ...]] = ()

    class Meta:
        model = EmailSettings
        fields: ClassVar[list[str]] = []

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Switch off the rows without an effect."""
        super().__init__(*args, **kwargs)
        for name, label, reason in self.inert:
            field = self.fields[name]
            field.label, field.help_text, field.disabled = label, reason, True

    def _post_clean(self) -> None:
        """Give the instance the version that its reader saw."""
        version: Any = self.cleaned_data.get("version")
        if version is not None:
            self.instance.version = version
        super()._post_clean()  # type: ignore[misc]


class EmailSettingsForm(SettingsForm):
    """What new mailboxes start with, who must be approved, which alerts are kept, what may be attached."""

    server_profile = forms.ModelChoiceField(
        queryset=ServerProfile.objects.none(),
        required=False,
        label=gettext_lazy("Server Profile"),
        empty_label=gettext_lazy("None"),
        error_messages={
            "invalid_choice": gettext_lazy("Choose an active server profile of this environment, or None.")
        },
    )
    blocked_attachment_types = FileEndingsField(
        required=False,
        label=gettext_lazy("Blocked attachment types"),
        help_text=gettext_lazy("File endings, separated by semicolons."),
        widget=forms.Textarea(attrs={"rows": 3, "class": "mono", "spellcheck": "false"}),
    )
    enhanced_timeline = forms.BooleanField(required=False, disabled=True, initial=True)

    inert = (
        *INERT,
        (
            "enhanced_timeline",
            gettext_lazy("Enhanced email for Timeline"),
            gettext_lazy("Always so here: email is written on a page with everything it needs."),
        ),
    )
    units: ClassVar[Mapping[str, str]] = {"maximum_attachment_kb": "KB"}
    tips: ClassVar[Mapping[str, Any]] = {
        "server_profile": gettext_lazy(
            "The default profile. It can also be set on the list of server profiles."
        ),
        "incoming": gettext_lazy(
            "Server-Side Synchronization reads the mailbox itself. Forward Mailbox takes the person's "
            "mail out "
            "of a mailbox that collects it for many."
        ),
        "notify_mailbox_owner": gettext_lazy(
            "The owner of a server profile is always told when the profile itself has trouble. Turn "
            "this on to "
            "show it to the owners of its mailboxes as well."
        ),
        "maximum_attachment_kb": gettext_lazy(
            "Counts for each file, of email written here and of received email."
        ),
        "blocked_attachment_types": gettext_lazy(
            "Files with these endings cannot be attached to an email written here, and those of "
            "received email "
            "cannot be downloaded."
        ),
        "use_secure_frames": gettext_lazy(
            "Shows the HTML of a message in a frame of its own that may do nothing: no forms, no links that "
            "open by themselves, nothing from the network."
        ),
    }
    field_order = ("server_profile",)

    class Meta(SettingsForm.Meta):
        fields: ClassVar[list[str]] = [
            "incoming",
            "outgoing",
            "act",
            "process_only_approved_users",
            "process_only_approved_queues",
            "restrict_self_approval",
            "sync_rights_managed_email",
            "delete_appointments_on_ownership_change",
            "alert_errors",
            "alert_warnings",
            "alert_information",
            "notify_mailbox_owner",
            "maximum_attachment_kb",
            "blocked_attachment_types",
            "use_secure_frames",
            "send_to_unresolved_recipients",
            "unresolve_ambiguous_recipients",
            "apply_manual_resolution_to_similar",
        ]
        labels: ClassVar[dict[str, Any]] = {
            "incoming": gettext_lazy("Incoming Email"),
            "outgoing": gettext_lazy("Outgoing Email"),
            "act": gettext_lazy("Appointments, Contacts, and Tasks"),
            "process_only_approved_users": gettext_lazy("Process emails only for approved users"),
            "process_only_approved_queues": gettext_lazy("Process emails only for approved queues"),
            "restrict_self_approval": gettext_lazy("Restrict self-approval"),
            "alert_errors": gettext_lazy("Errors"),
            "alert_warnings": gettext_lazy("Warnings"),
            "alert_information": gettext_lazy("Information"),
            "notify_mailbox_owner": gettext_lazy("Notify mailbox owner"),
            "maximum_attachment_kb": gettext_lazy("Maximum file size for attachments"),
            "use_secure_frames": gettext_lazy("Use secure frames to restrict email message content"),
        }
        help_texts: ClassVar[dict[str, Any]] = {
            "act": gettext_lazy(
                "IMAP and POP3 servers hold no appointments, contacts or tasks: the only choice is None."
            ),
            "process_only_approved_users": gettext_lazy(
                "A mailbox of a user neither receives nor sends until an administrator has approved its "
                "address."
            ),
            "process_only_approved_queues": gettext_lazy("The same for mailboxes of queues."),
            "restrict_self_approval": gettext_lazy(
                "Otherwise the address of a user's own mailbox is approved when they test it, if it is the "
                "address of their account."
            ),
            "alert_errors": gettext_lazy("What stopped, and how to mend it."),
            "alert_warnings": gettext_lazy("What failed and will be tried again by itself."),
            "alert_information": gettext_lazy("What succeeded, such as a test."),
            "maximum_attachment_kb": gettext_lazy(
                "1 to 131,072 KB (128 MB). Many servers refuse messages with more than 32,768 KB (32 MB)."
            ),
        }
        widgets: ClassVar[dict[str, forms.Widget]] = {
            "process_only_approved_users": Check(),
            "process_only_approved_queues": Check(),
            "restrict_self_approval": Check(),
            "alert_errors": Check(),
            "alert_warnings": Check(),
            "alert_information": Check(),
            "act": ReasonedSelect(
                reasons={ActMethod.SERVER_SIDE: gettext_lazy("not with IMAP and POP3")},
                choices=ActMethod.choices,
            ),
        }
        error_messages: ClassVar[dict[str, dict[str, Any]]] = {
            "maximum_attachment_kb": {
                "required": gettext_lazy("Enter a size in KB; the usual one is 5120."),
                "min_value": gettext_lazy("Enter at least 1 KB."),
                "max_value": gettext_lazy("Enter at most 131,072 KB, which is 128 MB."),
            },
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Offer the active profiles of the environment."""
        super().__init__(*args, **kwargs)
        profiles = ServerProfile.objects.active().filter(environment=self.instance.environment_id)
        self._profile_field.queryset = profiles
        self.initial["server_profile"] = _default_of(self.instance)
        self.fields["act"].disabled = True

    def keep_approval(self) -> None:
        """Let nothing be turned off that has addresses approved: for readers who may not approve."""
        for name in services.APPROVAL_RULES:
            if getattr(self.instance, name):
                self.fields[name].disabled = True
                self.fields[name].help_text = _("Only people who may approve email addresses turn this off.")

    @property
    def _profile_field(self) -> "forms.ModelChoiceField[ServerProfile]":
        return cast("forms.ModelChoiceField[ServerProfile]", self.fields["server_profile"])

    def meet(self, saved: Saved) -> Conflict:
        """Show what was saved meanwhile, the default profile among it."""
        conflict = super().meet(saved)
        default = cast("EmailSettings", saved).server_profile
        if self["server_profile"].data != (str(default.pk) if default else ""):
            words = default.name if default else _("None")
            self.conflict = conflict = replace(conflict, saved={**conflict.saved, "server_profile": words})
        return conflict


def _default_of(settings: EmailSettings) -> Any:
    profiles = ServerProfile.objects.filter(environment=settings.environment_id, is_default=True)
    return profiles.values_list("pk", flat=True).first()
