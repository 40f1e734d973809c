"""The forms that create and edit one mailbox. The rules themselves live in mailboxes/rules.py."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, cast

from django import forms
from django.db.models import Q

from emailsync.web.concurrency import VersionedForm
from emailsync.web.forms import ConsoleForm, SecretField
from mailboxes.choices import MailboxKind
from mailboxes.models import Mailbox
from profiles.access import people_of
from profiles.choices import ActMethod, IncomingMethod, OutgoingMethod
from profiles.models import ServerProfile

# Django's form is generic for the type checker only.
if TYPE_CHECKING:
    _ModelForm = forms.ModelForm[Mailbox]
else:
    _ModelForm = forms.ModelForm


class _MailboxForm(ConsoleForm, _ModelForm):
    """What creating and editing share: this environment's choices, and a password that is only written."""

    password = SecretField(required=False, max_length=200)

    tips: ClassVar[Mapping[str, str]] = {
        "owner": "The person who sees this mailbox's alerts on their alerts wall.",
        "delete_after_processing": (
            "Removes mail from the server once it is stored here. Mail of users always stays."
        ),
        "allow_credentials": (
            "Needed when the server profile takes its credentials from the user or queue. "
            "They are encrypted before they are stored."
        ),
        "server_profile": "The mail servers this mailbox lives on. Only active profiles are offered.",
        "incoming": "None leaves all mail on the server.",
        "outgoing": "None keeps this mailbox from sending.",
        "act": "IMAP and POP3 servers hold no appointments, contacts or tasks, so the only choice is None.",
        "process_email_from": (
            "Mail that the server received earlier is left alone. The later of this date and the server "
            "profile's counts. A date far back brings in all mail since then first and delays new mail."
        ),
    }

    class Meta:
        model = Mailbox
        fields: ClassVar[list[str]] = [
            "name",
            "address",
            "kind",
            "owner",
            "delete_after_processing",
            "allow_credentials",
            "user_name",
            "server_profile",
            "incoming",
            "outgoing",
            "act",
            "process_email_from",
            "notes",
        ]
        widgets: ClassVar[dict[str, forms.Widget]] = {
            "user_name": forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
            "notes": forms.Textarea(attrs={"rows": 3}),
        }
        labels: ClassVar[dict[str, str]] = {
            "address": "Email Address",
            "delete_after_processing": "Delete Emails after Processing",
            "allow_credentials": "Allow to Use Credentials for Email Processing",
            "user_name": "User Name",
            "server_profile": "Server Profile",
            "incoming": "Incoming Email",
            "outgoing": "Outgoing Email",
            "act": "Appointments, Contacts, and Tasks",
            "process_email_from": "Process Email Received After",
        }
        error_messages: ClassVar[dict[str, dict[str, str]]] = {
            "name": {"required": "Enter a name that people will recognise."},
            "address": {
                "required": "Enter the address of the mailbox, for example support@contoso.example.",
                "invalid": "This is not an email address. Write it as support@contoso.example.",
            },
        }

    def __init__(self, *args: Any, credentials_locked: bool, **kwargs: Any) -> None:
        """Offer what the instance's environment has; lock the credentials on an unprotected connection."""
        super().__init__(*args, **kwargs)
        self.credentials_locked = credentials_locked
        self._offer_profiles()
        self._offer_owners()
        self._offer_methods()
        password = cast("SecretField", self.fields["password"])
        password.saved = bool(self.instance.password)
        if credentials_locked:
            # All three: without a name and a password nothing can be allowed.
            for name in ("allow_credentials", "user_name", "password"):
                self.fields[name].disabled = True

    def _offer_profiles(self) -> None:
        usable = Q(is_active=True) | Q(pk=self.instance.server_profile_id)
        field = cast("forms.ModelChoiceField[ServerProfile]", self.fields["server_profile"])
        field.queryset = ServerProfile.objects.filter(usable, environment=self.instance.environment_id)
        field.empty_label = "Not set"
        field.error_messages["invalid_choice"] = "Choose an active server profile of this environment."

    def _offer_owners(self) -> None:
        field = cast("forms.ModelChoiceField[Any]", self.fields["owner"])
        field.queryset = people_of(self.instance.environment_id, and_owner=self.instance.owner_id)
        field.empty_label = "Nobody"
        field.label_from_instance = _full_name  # type: ignore[assignment, method-assign]

    def _offer_methods(self) -> None:
        """Leave out what this mailbox cannot do, but never what it already has."""
        mailbox = self.instance
        incoming = [IncomingMethod.SERVER_SIDE, IncomingMethod.NONE]
        if mailbox.incoming == IncomingMethod.FORWARD_MAILBOX:
            incoming.append(IncomingMethod.FORWARD_MAILBOX)
        outgoing = [OutgoingMethod.SERVER_SIDE, OutgoingMethod.NONE]
        if mailbox.kind == MailboxKind.FORWARD:
            outgoing = [OutgoingMethod.NONE]
        self._offer("incoming", [(method.value, method.label) for method in incoming])
        self._offer("outgoing", [(method.value, method.label) for method in outgoing])
        self._offer("act", [(ActMethod.NONE.value, ActMethod.NONE.label)])

    def _offer(self, name: str, choices: list[tuple[str, str]]) -> None:
        cast("forms.TypedChoiceField", self.fields[name]).choices = choices

    def _post_clean(self) -> None:
        """Put the typed password on the instance before its rules run; an empty one means unchanged."""
        typed = self.cleaned_data.get("password")
        if typed:
            self.instance.password = typed
        super()._post_clean()  # type: ignore[misc]


class CreateMailboxForm(_MailboxForm):
    """A new mailbox of a user or a queue; it starts from the environment's defaults."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Offer users and queues; notes can wait."""
        super().__init__(*args, **kwargs)
        self._offer("kind", [(kind.value, str(kind.label)) for kind in (MailboxKind.USER, MailboxKind.QUEUE)])
        if not self.is_bound:
            self.fields["kind"].widget.attrs["autofocus"] = True
        del self.fields["notes"]


class EditMailboxForm(VersionedForm, _MailboxForm):
    """An existing mailbox. Whose it is stays as it was created."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Fix the kind; deleting mail is a choice only where it is allowed."""
        super().__init__(*args, **kwargs)
        self.fields["kind"].disabled = True
        if self.instance.kind == MailboxKind.USER:
            self.fields["delete_after_processing"].disabled = True

    def _post_clean(self) -> None:
        """Give the instance the version that its reader saw."""
        version = self.cleaned_data.get("version")
        if version is not None:
            self.instance.version = version
        super()._post_clean()


def _full_name(person: Any) -> str:
    return str(person.get_full_name() or person.get_username())
