"""The forms that create and edit one mailbox. The rules themselves live in mailboxes/rules.py."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, cast

from django import forms
from django.contrib.auth.models import User
from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from emailsync.web.concurrency import VersionedForm
from emailsync.web.forms import ConsoleForm, SecretField
from mailboxes.access import may_own
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

NO_FORWARD_MAILBOX = gettext_lazy(
    "Forward Mailbox can be chosen once the environment has an active forward mailbox."
)


class _Methods(forms.Select):
    """A choice of methods, some of which are shown but cannot be chosen now."""

    unavailable: Collection[str] = ()

    def create_option(self, name: str, value: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        option = super().create_option(name, value, *args, **kwargs)
        if str(value) in self.unavailable:
            option["attrs"]["disabled"] = True
        return option


class _MailboxForm(ConsoleForm, _ModelForm):
    """What creating and editing share: this environment's choices, and a password that is only written."""

    password = SecretField(label=gettext_lazy("Password"), required=False, max_length=200)

    tips: ClassVar[Mapping[str, Any]] = {
        "owner": gettext_lazy("The person who sees this mailbox's alerts on their alerts wall."),
        "delete_after_processing": gettext_lazy("Removes mail from the server once it is stored here."),
        "allow_credentials": gettext_lazy(
            "Needed when the server profile takes its credentials from the user or queue. "
            "They are encrypted before they are stored."
        ),
        "server_account": gettext_lazy(
            "Whose mailbox an account or application of the server profile opens. Empty means the one with "
            "the email address. A change waits for approval, like a new address."
        ),
        "server_profile": gettext_lazy(
            "The mail servers this mailbox lives on. Only active profiles are offered."
        ),
        "incoming": gettext_lazy("None leaves all mail on the server."),
        "outgoing": gettext_lazy("None keeps this mailbox from sending."),
        "track_incoming": gettext_lazy(
            "Which of the mail that arrives in this mailbox is stored here. What it refuses is stored all "
            "the same when the mailbox of another recipient in this environment keeps it."
        ),
        "process_email_from": gettext_lazy(
            "Mail that the server received earlier is left alone. The later of this date and the server "
            "profile's counts. A date far back brings in all mail since then first and delays new mail."
        ),
    }

    class Meta:
        model = Mailbox
        fields: ClassVar[list[str]] = [
            "name",
            "owner",
            "address",
            "kind",
            "delete_after_processing",
            "track_incoming",
            "allow_credentials",
            "user_name",
            "server_account",
            "server_profile",
            "incoming",
            "outgoing",
            "act",
            "process_email_from",
            "notes",
        ]
        widgets: ClassVar[dict[str, forms.Widget]] = {
            "user_name": forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
            "server_account": forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
            "notes": forms.Textarea(attrs={"rows": 4}),
            "incoming": _Methods(),
        }
        labels: ClassVar[dict[str, Any]] = {
            "name": gettext_lazy("Name"),
            "owner": gettext_lazy("Owner"),
            "kind": gettext_lazy("Regarding"),
            "address": gettext_lazy("Email Address"),
            "delete_after_processing": gettext_lazy("Delete Emails after Processing"),
            "track_incoming": gettext_lazy("Incoming email that is kept"),
            "allow_credentials": gettext_lazy("Allow to Use Credentials for Email Processing"),
            "user_name": gettext_lazy("User Name"),
            "server_account": gettext_lazy("Account on the Server"),
            "server_profile": gettext_lazy("Server Profile"),
            "incoming": gettext_lazy("Incoming Email"),
            "outgoing": gettext_lazy("Outgoing Email"),
            "act": gettext_lazy("Appointments, Contacts, and Tasks"),
            "process_email_from": gettext_lazy("Process Email Received After"),
            "notes": gettext_lazy("Notes"),
        }
        help_texts: ClassVar[dict[str, Any]] = {
            "act": gettext_lazy("IMAP and POP3 hold no appointments, contacts or tasks."),
        }
        error_messages: ClassVar[dict[str, dict[str, Any]]] = {
            "name": {"required": gettext_lazy("Enter a name that people will recognise.")},
            "address": {
                "required": gettext_lazy(
                    "Enter the address of the mailbox, for example support@contoso.example."
                ),
                "invalid": gettext_lazy("This is not an email address. Write it as support@contoso.example."),
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
        field.empty_label = _("Not set")
        field.error_messages["invalid_choice"] = _("Choose an active server profile of this environment.")

    def _offer_owners(self) -> None:
        field = cast("forms.ModelChoiceField[Any]", self.fields["owner"])
        field.queryset = people_of(self.instance.environment_id, and_owner=self.instance.owner_id)
        field.empty_label = _("Nobody")
        field.label_from_instance = _full_name  # type: ignore[assignment, method-assign]

    def _offer_methods(self) -> None:
        """Leave out what this mailbox cannot do; what it could do later is shown with the reason."""
        incoming = [IncomingMethod.SERVER_SIDE, IncomingMethod.NONE]
        outgoing = [OutgoingMethod.SERVER_SIDE, OutgoingMethod.NONE]
        if self.instance.kind == MailboxKind.FORWARD:
            outgoing = [OutgoingMethod.NONE]
            self.fields["outgoing"].help_text = _("A forward mailbox only receives.")
        else:
            incoming.append(IncomingMethod.FORWARD_MAILBOX)
            self._offer_forwarding()
        self._offer("incoming", [(method.value, str(method.label)) for method in incoming])
        self._offer("outgoing", [(method.value, str(method.label)) for method in outgoing])
        self._offer("act", [(ActMethod.NONE.value, str(ActMethod.NONE.label))])

    def _offer_forwarding(self) -> None:
        others = Mailbox.objects.active().filter(
            environment=self.instance.environment_id, kind=MailboxKind.FORWARD
        )
        self.has_forward_mailbox = others.exists()
        if self.has_forward_mailbox or self.instance.incoming == IncomingMethod.FORWARD_MAILBOX:
            return
        field = self.fields["incoming"]
        field.help_text = NO_FORWARD_MAILBOX
        cast("_Methods", field.widget).unavailable = {IncomingMethod.FORWARD_MAILBOX}

    def clean_incoming(self) -> str:
        """Refuse the forward mailbox while there is none."""
        chosen = str(self.cleaned_data["incoming"])
        is_new = "incoming" in self.changed_data
        if chosen == IncomingMethod.FORWARD_MAILBOX and is_new and not self.has_forward_mailbox:
            raise forms.ValidationError(NO_FORWARD_MAILBOX)
        return chosen

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


class CreateForwardMailboxForm(_MailboxForm):
    """A new forward mailbox: nobody's, only receiving."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Leave out what a forward mailbox has not: a user or queue, and mail to choose from."""
        super().__init__(*args, **kwargs)
        for name in ("kind", "track_incoming", "notes"):
            del self.fields[name]


class EditMailboxForm(VersionedForm, _MailboxForm):
    """An existing mailbox. Whose it is stays as it was created."""

    is_forward = forms.BooleanField(label=gettext_lazy("Is Forward Mailbox"), required=False, disabled=True)

    def __init__(self, *args: Any, by: User, **kwargs: Any) -> None:
        """Fix the kind; deleting mail is a choice only where it is allowed, and so is owning it oneself."""
        super().__init__(*args, **kwargs)
        if by.pk != self.instance.owner_id and not may_own(by, by.pk, self.instance.environment_id):
            owner = cast("forms.ModelChoiceField[Any]", self.fields["owner"])
            others = people_of(self.instance.environment_id, and_owner=self.instance.owner_id)
            owner.queryset = others.exclude(pk=by.pk)
            owner.help_text = _("You are not offered: an owner reads the email, which you may not.")
        self.fields["kind"].disabled = True
        is_forward = self.instance.kind == MailboxKind.FORWARD
        self.initial["is_forward"] = is_forward
        if is_forward:
            self._offer("kind", [(MailboxKind.FORWARD.value, _("Nobody"))])
            del self.fields["track_incoming"]
        if self.instance.kind == MailboxKind.USER:
            field = self.fields["delete_after_processing"]
            field.disabled = True
            field.help_text = _("Mail of users always stays: only queue and forward mailboxes may delete it.")

    def _post_clean(self) -> None:
        """Give the instance the version that its reader saw."""
        version = self.cleaned_data.get("version")
        if version is not None:
            self.instance.version = version
        super()._post_clean()


def _full_name(person: Any) -> str:
    return str(person.get_full_name() or person.get_username())
