"""The form of an environment's email settings. Only what the engine and the console honour stands here."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, cast

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from emailsync.web.concurrency import Conflict, Saved, VersionedForm
from emailsync.web.forms import Check, ConsoleForm
from profiles import services
from profiles.choices import ActMethod, IncomingMethod
from profiles.models import MAXIMUM_ATTACHMENT_KB, EmailSettings, ServerProfile

# Django's form is generic for the type checker only.
if TYPE_CHECKING:
    _ModelForm = forms.ModelForm[EmailSettings]
else:
    _ModelForm = forms.ModelForm

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
                raise forms.ValidationError(
                    f"{ending} is not a file ending. Write endings like exe; bat; js with semicolons between."
                )

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Count endings, not the blanks between them."""
        return self.to_python(initial) != self.to_python(data)


class EmailSettingsForm(VersionedForm, ConsoleForm, _ModelForm):
    """What new mailboxes start with, who must be approved, which alerts are kept, what may be attached."""

    server_profile = forms.ModelChoiceField(
        queryset=ServerProfile.objects.none(),
        required=False,
        label="Server Profile",
        empty_label="None",
        error_messages={"invalid_choice": "Choose an active server profile of this environment, or None."},
    )

    blocked_attachment_types = FileEndingsField(
        required=False,
        help_text="File endings, separated by semicolons.",
        widget=forms.Textarea(attrs={"rows": 3, "class": "mono", "spellcheck": "false"}),
    )

    units: ClassVar[Mapping[str, str]] = {"maximum_attachment_kb": "KB"}
    tips: ClassVar[Mapping[str, str]] = {
        "server_profile": "The default profile. It can also be set on the list of server profiles.",
        "notify_mailbox_owner": "The owner of a server profile is always told when the profile itself "
        "has trouble. Turn this on to show it to the owners of its mailboxes as well.",
        "maximum_attachment_kb": "Counts for each file of an email written here.",
        "blocked_attachment_types": "Files with these endings cannot be attached to an email written here.",
    }
    field_order = ("server_profile",)

    class Meta:
        model = EmailSettings
        fields: ClassVar[list[str]] = [
            "incoming",
            "outgoing",
            "act",
            "process_only_approved_users",
            "process_only_approved_queues",
            "restrict_self_approval",
            "alert_errors",
            "alert_warnings",
            "alert_information",
            "notify_mailbox_owner",
            "maximum_attachment_kb",
            "blocked_attachment_types",
        ]
        labels: ClassVar[dict[str, Any]] = {
            "incoming": "Incoming Email",
            "outgoing": "Outgoing Email",
            "act": "Appointments, Contacts, and Tasks",
            "process_only_approved_users": "Process emails only for approved users",
            "process_only_approved_queues": "Process emails only for approved queues",
            "restrict_self_approval": gettext_lazy("Restrict self-approval"),
            "maximum_attachment_kb": "Maximum file size for attachments",
        }
        help_texts: ClassVar[dict[str, Any]] = {
            "act": "IMAP and POP3 servers hold no appointments, contacts or tasks: the only choice is None.",
            "process_only_approved_users": "A mailbox of a user neither receives nor sends until an "
            "administrator has approved its address.",
            "process_only_approved_queues": "The same for mailboxes of queues.",
            "restrict_self_approval": gettext_lazy(
                "Otherwise the address of a user's own mailbox is approved when they test it, if it is the "
                "address of their account."
            ),
            "alert_errors": "What stopped, and how to mend it.",
            "alert_warnings": "What failed and will be tried again by itself.",
            "alert_information": "What succeeded, such as a test.",
            "maximum_attachment_kb": f"1 to {MAXIMUM_ATTACHMENT_KB:,} KB (128 MB). Many servers refuse "
            "messages with more than 32,768 KB (32 MB).",
        }
        widgets: ClassVar[dict[str, forms.Widget]] = {
            "process_only_approved_users": Check(),
            "process_only_approved_queues": Check(),
            "restrict_self_approval": Check(),
            "alert_errors": Check(),
            "alert_warnings": Check(),
            "alert_information": Check(),
        }
        error_messages: ClassVar[dict[str, dict[str, str]]] = {
            "maximum_attachment_kb": {
                "required": "Enter a size in KB; the usual one is 5120.",
                "min_value": "Enter at least 1 KB.",
                "max_value": f"Enter at most {MAXIMUM_ATTACHMENT_KB:,} KB, which is 128 MB.",
            },
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Offer the active profiles of the environment and the methods that work."""
        super().__init__(*args, **kwargs)
        profiles = ServerProfile.objects.active().filter(environment=self.instance.environment_id)
        self._profile_field.queryset = profiles
        self.initial["server_profile"] = _default_of(self.instance)
        incoming = [IncomingMethod.SERVER_SIDE, IncomingMethod.NONE]
        if self.instance.incoming == IncomingMethod.FORWARD_MAILBOX:
            incoming.append(IncomingMethod.FORWARD_MAILBOX)
        self._offer("incoming", [(method.value, method.label) for method in incoming])
        self._offer("act", [(ActMethod.NONE.value, ActMethod.NONE.label)])
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

    def _offer(self, name: str, choices: list[tuple[str, str]]) -> None:
        cast("forms.TypedChoiceField", self.fields[name]).choices = choices

    def _post_clean(self) -> None:
        """Give the instance the version that its reader saw."""
        version: Any = self.cleaned_data.get("version")
        if version is not None:
            self.instance.version = version
        super()._post_clean()  # type: ignore[misc]

    def meet(self, saved: Saved) -> Conflict:
        """Show what was saved meanwhile, the default profile among it."""
        conflict = super().meet(saved)
        default = cast("EmailSettings", saved).server_profile
        if self["server_profile"].data != (str(default.pk) if default else ""):
            words = default.name if default else "None"
            self.conflict = conflict = replace(conflict, saved={**conflict.saved, "server_profile": words})
        return conflict


def _default_of(settings: EmailSettings) -> Any:
    profiles = ServerProfile.objects.filter(environment=settings.environment_id, is_default=True)
    return profiles.values_list("pk", flat=True).first()
