"""The form of a server profile: where the servers are, how to secure the way, whose credentials to use."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, cast

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError

from emailsync.mail.endpoint import Protocol, Security, check_plain, default_port
from emailsync.web.concurrency import Conflict, Saved, VersionedForm
from emailsync.web.forms import ConsoleForm, SecretField
from profiles import access, rules, services
from profiles.choices import AuthenticationType, ConnectionSecurity, ServerType
from profiles.models import ServerProfile

# Django's form is generic for the type checker only.
if TYPE_CHECKING:
    _ModelForm = forms.ModelForm[ServerProfile]
else:
    _ModelForm = forms.ModelForm

PORT = "A port is a number from 1 to 65535. Leave it empty for the usual one."
SECRETS = ("password", "outgoing_password")
#: What has to be typed over a protected connection only.
CREDENTIALS = ("user_name", "password", "outgoing_user_name", "outgoing_password")
TYPE_AGAIN = "Passwords are never sent back to the browser. Type the password again."


def _typed_exactly(**attributes: str) -> forms.TextInput:
    """Return the control of a name that a phone must not correct."""
    return forms.TextInput(attrs={"spellcheck": "false", "autocapitalize": "off", **attributes})


class ServerProfileForm(VersionedForm, ConsoleForm, _ModelForm):
    """A new server profile or an existing one, whose type and protocol are fixed."""

    password = SecretField(required=False, max_length=250)
    outgoing_password = SecretField(required=False, max_length=250, label="Outgoing Password")
    timeout_seconds = forms.DecimalField(
        label="Timeout after",
        min_value=1,
        max_value=100,
        decimal_places=3,
        error_messages={
            "required": "Enter a number of seconds from 1 to 100.",
            "min_value": "Wait at least 1 second.",
            "max_value": "Wait at most 100 seconds.",
        },
    )

    units: ClassVar[Mapping[str, str]] = {"minimum_polling_interval": "min", "timeout_seconds": "s"}
    tips: ClassVar[Mapping[str, str]] = {
        "server_type": "The kind of mail system this profile talks to. It cannot be changed later.",
        "is_default": "Mailboxes created later start with this profile. Only one profile is the default: "
        "turning this on takes it from the one before.",
        "authentication_type": "Decides whose credentials are used to sign in: those on each mailbox, or "
        "one account stored here.",
        "user_name": "The account that signs in for every mailbox of this profile.",
        "password": "Encrypted before it is stored, and never shown again.",
        "impersonation": "How that one account opens the mailboxes of others. None opens its own only.",
        "use_same_settings_for_outgoing": "Sends with the same sign-in as it receives.",
        "outgoing_authentication_type": "Whose credentials are used to sign in for sending.",
        "outgoing_user_name": "The account that signs in to send for every mailbox of this profile.",
        "outgoing_password": "Encrypted before it is stored, and never shown again.",
        "outgoing_impersonation": "How that one account sends for others.",
        "incoming_protocol": "The protocol that reads mail. It cannot be changed later.",
        "incoming_security": "TLS from the start is the usual choice. STARTTLS begins in the clear and "
        "is encrypted before anybody signs in.",
        "outgoing_security": "TLS from the start is usual on port 465, STARTTLS on port 587.",
        "process_email_from": "Mail that the server received before this moment is left alone. An earlier "
        "date brings older mail into mailboxes that start with this profile, and delays their new mail.",
        "minimum_polling_interval": "The least time between two checks of a mailbox. 0 sets no minimum.",
        "maximum_concurrent_connections": "The most connections at the same time: per mailbox when mailboxes "
        "have their own credentials, otherwise for the whole profile. Lower it if the server complains.",
        "move_failed_to_undeliverable": "Incoming mail that could not be stored is moved to a folder named "
        "Undeliverable on the server, where somebody can look at it.",
        "alert_owner_on_major_events": "Sends an email to the owner when more than half of the profile's "
        "mailboxes stopped working within an hour.",
        "timeout_enabled": "Gives up on a server that does not answer in the time set here. Turned off, the "
        "installation's own limit of 30 seconds holds.",
        "timeout_seconds": "How long to wait for each answer of the server, up to 100 seconds.",
        "encoding_code_page": "The character set of outgoing text, such as iso-8859-1. Empty means UTF-8, "
        "which every mail program of today reads.",
        "ca_certificates": "For servers whose certificate comes from an authority of your own. They are "
        "trusted beside the usual ones, by this profile alone.",
        "owner": "Sees the alerts of this profile, and the errors of its mailboxes.",
        "notes": "For yourselves; nothing depends on them.",
    }
    field_order = (
        "server_type",
        "name",
        "description",
        "is_default",
        "authentication_type",
        "user_name",
        "password",
        "impersonation",
        "use_same_settings_for_outgoing",
        "outgoing_authentication_type",
        "outgoing_user_name",
        "outgoing_password",
        "outgoing_impersonation",
    )

    class Meta:
        model = ServerProfile
        fields: ClassVar[list[str]] = [
            "server_type",
            "name",
            "description",
            "is_default",
            "authentication_type",
            "user_name",
            "impersonation",
            "use_same_settings_for_outgoing",
            "outgoing_authentication_type",
            "outgoing_user_name",
            "outgoing_impersonation",
            "incoming_protocol",
            "incoming_location",
            "incoming_port",
            "incoming_security",
            "outgoing_location",
            "outgoing_port",
            "outgoing_security",
            "process_email_from",
            "minimum_polling_interval",
            "maximum_concurrent_connections",
            "move_failed_to_undeliverable",
            "alert_owner_on_major_events",
            "timeout_enabled",
            "encoding_code_page",
            "ca_certificates",
            "owner",
            "notes",
        ]
        labels: ClassVar[dict[str, str]] = {
            "server_type": "Email Server Type",
            "is_default": "Set as default profile for new mailboxes",
            "authentication_type": "Authentication Type",
            "user_name": "User Name",
            "impersonation": "Use Impersonation",
            "use_same_settings_for_outgoing": "Use same settings for Outgoing",
            "outgoing_authentication_type": "Outgoing Authentication Type",
            "outgoing_user_name": "Outgoing User Name",
            "outgoing_impersonation": "Outgoing Impersonation",
            "incoming_protocol": "Incoming communication protocol",
            "process_email_from": "Process emails from",
            "minimum_polling_interval": "Minimum polling interval",
            "move_failed_to_undeliverable": "Move failed emails to Undeliverable folder",
            "alert_owner_on_major_events": "Send an alert email to the owner on major events",
            "timeout_enabled": "Timeout mailbox connection",
            "ca_certificates": "Additional trusted certificates",
        }
        widgets: ClassVar[dict[str, forms.Widget]] = {
            "name": forms.TextInput(attrs={"autocomplete": "off"}),
            "description": forms.Textarea(attrs={"rows": 2, "placeholder": "What this profile is for"}),
            "user_name": _typed_exactly(autocomplete="off"),
            "outgoing_user_name": _typed_exactly(autocomplete="off"),
            "incoming_location": _typed_exactly(placeholder="imap.example.org"),
            "outgoing_location": _typed_exactly(placeholder="smtp.example.org"),
            "ca_certificates": forms.Textarea(
                attrs={
                    "rows": 3,
                    "class": "mono",
                    "spellcheck": "false",
                    "placeholder": "-----BEGIN CERTIFICATE-----",
                }
            ),
            "notes": forms.Textarea(attrs={"rows": 2}),
        }
        error_messages: ClassVar[dict[str, dict[str, str]]] = {
            "name": {"required": "Enter a name that people will recognise when they pick a profile."},
            "incoming_location": {
                "required": "Enter the host that mail is read from, such as imap.example.org."
            },
            "outgoing_location": {
                "required": "Enter the host that mail is sent through, such as smtp.example.org."
            },
            "incoming_port": {"min_value": PORT, "max_value": PORT, "invalid": PORT},
            "outgoing_port": {"min_value": PORT, "max_value": PORT, "invalid": PORT},
            "minimum_polling_interval": {
                "required": "Enter the minutes between two checks; 0 sets no minimum.",
                "min_value": "Enter 0 or more minutes.",
                "max_value": "Enter at most 1440 minutes, which is a day.",
            },
            "maximum_concurrent_connections": {
                "required": "Enter a number from 1 to 300; the usual one is 10.",
                "min_value": "Allow at least 1 connection.",
                "max_value": "Allow at most 300 connections.",
            },
        }

    def __init__(self, *args: Any, credentials_locked: bool, **kwargs: Any) -> None:
        """Offer only what works here; lock the credentials on an unprotected connection."""
        super().__init__(*args, **kwargs)
        self.credentials_locked = credentials_locked
        self.is_new = self.instance._state.adding  # noqa: SLF001  (Django documents it)
        self._offer("server_type", [(ServerType.OTHER.value, ServerType.OTHER.label)])
        self._offer("incoming_protocol", rules.supported_protocols())
        kinds = [(kind.value, kind.label) for kind in rules.SUPPORTED_AUTHENTICATION]
        self._offer("authentication_type", kinds)
        self._offer("outgoing_authentication_type", kinds)
        for name in ("incoming_security", "outgoing_security"):
            self._offer(name, self._securities(getattr(self.instance, name)))
        self._offer_owners()
        for name in SECRETS:
            cast("SecretField", self.fields[name]).saved = bool(getattr(self.instance, name))
        self.initial.setdefault("timeout_seconds", _seconds(self.instance.timeout_ms))
        self._lock()

    def _lock(self) -> None:
        if not self.is_bound:  # a refused form has its summary focused
            self.fields["server_type" if self.is_new else "name"].widget.attrs["autofocus"] = True
        if not self.is_new:
            self.fields["server_type"].disabled = self.fields["incoming_protocol"].disabled = True
        if self.credentials_locked:
            for name in CREDENTIALS:
                self.fields[name].disabled = True

    def _offer(self, name: str, choices: list[tuple[str, str]]) -> None:
        cast("forms.TypedChoiceField", self.fields[name]).choices = choices

    def _securities(self, current: str) -> list[tuple[str, str]]:
        """Leave out unencrypted connections where the operator did not open them, but never what is set."""
        plain = settings.NETWORK_POLICY.allow_plain or current == ConnectionSecurity.NONE
        kinds = [kind for kind in ConnectionSecurity if plain or kind != ConnectionSecurity.NONE]
        return [(kind.value, kind.label) for kind in kinds]

    def _offer_owners(self) -> None:
        field = cast("forms.ModelChoiceField[Any]", self.fields["owner"])
        field.queryset = access.people_of(self.instance.environment_id, and_owner=self.instance.owner_id)
        field.empty_label = "Nobody"
        field.label_from_instance = _full_name  # type: ignore[assignment,method-assign]

    @property
    def open_ports(self) -> str:
        """Say which ports may be used."""
        ports = settings.NETWORK_POLICY.allowed_ports
        return ", ".join(
            str(piece[0]) if len(piece) == 1 else f"{piece[0]} to {piece[-1]}" for piece in ports
        )

    @property
    def usual_ports(self) -> str:
        """Say which ports stand for empty ones."""
        protocols = [(Protocol(value), label) for value, label in rules.supported_protocols()]
        return "; ".join(
            f"{label} {default_port(protocol, Security.TLS)} with TLS, "
            f"{default_port(protocol, Security.STARTTLS)} with STARTTLS"
            for protocol, label in [*protocols, (Protocol.SMTP, "SMTP")]
        )

    # Checking

    def clean_name(self) -> str:
        """Refuse the name of another profile of this environment."""
        name: str = self.cleaned_data["name"]
        other = ServerProfile(pk=self.instance.pk, environment_id=self.instance.environment_id, name=name)
        if "name" in self.changed_data and services.profile_name_is_taken(other):
            raise ValidationError(f"Another server profile is named {name}. Choose another name.")
        return name

    def clean_password(self) -> str:
        """Refuse what could forge protocol lines."""
        return self._plain("password", what="The password")

    def clean_outgoing_password(self) -> str:
        """Refuse what could forge protocol lines."""
        return self._plain("outgoing_password", what="The outgoing password")

    def _plain(self, name: str, *, what: str) -> str:
        typed: str = self.cleaned_data[name]
        try:
            return check_plain(typed, what=what)
        except ValueError as error:
            raise ValidationError(str(error)) from error

    def full_clean(self) -> None:
        """Ask for typed passwords again when the form is refused: the browser shows those fields empty."""
        super().full_clean()
        if self.is_bound and self.errors:
            self._ask_for_passwords()

    def _ask_for_passwords(self) -> None:
        for name in SECRETS:
            typed = not self.fields[name].disabled and self.data.get(self.add_prefix(name))
            if typed and name not in self.errors:
                self.add_error(name, TYPE_AGAIN)

    def _post_clean(self) -> None:
        """Complete the instance before its rules run: version, timeout, and the passwords that were typed."""
        profile, typed = self.instance, self.cleaned_data
        if typed.get("version") is not None:
            profile.version = typed["version"]
        if "timeout_seconds" in typed:
            profile.timeout_ms = int(typed["timeout_seconds"] * 1000)
        for name in SECRETS:
            if typed.get(name):
                setattr(profile, name, typed[name])
        super()._post_clean()  # type: ignore[misc]
        self._forget_unused()

    def _forget_unused(self) -> None:
        """Keep no credentials that nothing would use any more."""
        profile = self.instance
        if profile.authentication_type != AuthenticationType.IN_PROFILE:
            profile.user_name, profile.password = "", ""
        if profile.use_same_settings_for_outgoing or (
            profile.outgoing_authentication_type != AuthenticationType.IN_PROFILE
        ):
            profile.outgoing_user_name, profile.outgoing_password = "", ""

    def _update_errors(self, errors: ValidationError) -> None:
        """Say one thing about a field: what it already complained about comes before the profile's rules."""
        if hasattr(errors, "error_dict"):
            fresh = {name: found for name, found in errors.error_dict.items() if name not in self.errors}
            if not fresh:
                return
            errors = ValidationError(cast("dict[str, Any]", fresh))
        super()._update_errors(errors)  # type: ignore[misc]

    def meet(self, saved: Saved) -> Conflict:
        """Show what was saved meanwhile, the timeout in the unit of the form."""
        conflict = super().meet(saved)
        timeout = _seconds(cast("ServerProfile", saved).timeout_ms)
        if self.fields["timeout_seconds"].has_changed(timeout, self["timeout_seconds"].data):
            self.conflict = conflict = replace(conflict, saved={**conflict.saved, "timeout_seconds": timeout})
        self._ask_for_passwords()
        return conflict


def _seconds(milliseconds: int) -> str:
    """Return a time as the form shows it: 30, or 2.5."""
    return f"{milliseconds / 1000:.3f}".rstrip("0").rstrip(".")


def _full_name(person: Any) -> str:
    return str(person.get_full_name() or person.get_username())
