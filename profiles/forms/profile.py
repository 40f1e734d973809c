"""The form of a server profile: where the servers are, how to secure the way, whose credentials to use."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, cast

from django import forms
from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from emailsync.mail.endpoint import Protocol, Security, check_plain, default_port
from emailsync.web.concurrency import Conflict, Saved, VersionedForm
from emailsync.web.forms import ConsoleForm, ReasonedSelect, SecretField
from profiles import access, destinations, rules, services
from profiles.choices import (
    AuthenticationProtocol,
    AuthenticationType,
    ConnectionSecurity,
    IncomingProtocol,
    ServerType,
)
from profiles.destinations import SECRETS, Redirection
from profiles.forms import profile_words as words
from profiles.models import ServerProfile
from profiles.oauth import uses_oauth

# Django's form is generic for the type checker only.
if TYPE_CHECKING:
    _ModelForm = forms.ModelForm[ServerProfile]
else:
    _ModelForm = forms.ModelForm

#: What has to be typed over a protected connection only.
CREDENTIALS = ("user_name", "password", "outgoing_user_name", "outgoing_password", "oauth_client_secret")
#: Where the mail of whole types of servers is: host and security, by direction.
USUAL_SERVERS = {
    ServerType.GMAIL: {
        "incoming": ("imap.gmail.com", ConnectionSecurity.TLS),
        "outgoing": ("smtp.gmail.com", ConnectionSecurity.TLS),
    },
    ServerType.EXCHANGE_ONLINE: {
        "incoming": ("outlook.office365.com", ConnectionSecurity.TLS),
        "outgoing": ("smtp.office365.com", ConnectionSecurity.STARTTLS),
    },
}


def _typed_exactly(**attributes: str) -> forms.TextInput:
    """Return the control of a name that a phone must not correct."""
    return forms.TextInput(attrs={"spellcheck": "false", "autocapitalize": "off", **attributes})


class ServerProfileForm(VersionedForm, ConsoleForm, _ModelForm):
    """A new server profile or an existing one, whose type and protocol are fixed."""

    password = SecretField(required=False, max_length=250)
    outgoing_password = SecretField(required=False, max_length=250)
    oauth_client_secret = SecretField(required=False, max_length=250)
    timeout_seconds = forms.DecimalField(
        min_value=1,
        max_value=100,
        decimal_places=3,
        error_messages=dict(words.ERRORS["timeout_seconds"]),
    )

    units: ClassVar[Mapping[str, str]] = {"minimum_polling_interval": "min", "timeout_seconds": "s"}
    tips: ClassVar[words.Words] = words.TIPS
    #: Required by what else is chosen, and shown only then.
    marked: ClassVar[Collection[str]] = (
        *("incoming_location", "outgoing_location", "oauth_client_id"),
        *("user_name", "password", "outgoing_user_name", "outgoing_password"),
    )
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
        "oauth_provider",
        "oauth_grant",
        "oauth_tenant_id",
        "oauth_client_id",
        "oauth_client_secret",
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
            "oauth_provider",
            "oauth_grant",
            "oauth_tenant_id",
            "oauth_client_id",
            "oauth_secret_expires_on",
            "oauth_authorization_url",
            "oauth_token_url",
            "oauth_scopes",
            "incoming_protocol",
            "incoming_location",
            "incoming_port",
            "incoming_security",
            "incoming_authentication_protocol",
            "outgoing_location",
            "outgoing_port",
            "outgoing_security",
            "outgoing_authentication_protocol",
            "process_email_from",
            "minimum_polling_interval",
            "maximum_concurrent_connections",
            "move_failed_to_undeliverable",
            "append_to_sent",
            "alert_owner_on_major_events",
            "timeout_enabled",
            "encoding_code_page",
            "ca_certificates",
            "pinned_certificates",
            "owner",
            "notes",
        ]
        widgets: ClassVar[dict[str, forms.Widget]] = {
            "name": forms.TextInput(attrs={"autocomplete": "off"}),
            "description": forms.Textarea(
                attrs={"rows": 2, "placeholder": gettext_lazy("What this profile is for")}
            ),
            "user_name": _typed_exactly(autocomplete="off"),
            "outgoing_user_name": _typed_exactly(autocomplete="off"),
            "oauth_tenant_id": _typed_exactly(autocomplete="off"),
            "oauth_client_id": _typed_exactly(autocomplete="off"),
            "oauth_secret_expires_on": forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}),
            "oauth_authorization_url": _typed_exactly(placeholder="https://id.example.org/authorize"),
            "oauth_token_url": _typed_exactly(placeholder="https://id.example.org/token"),
            "oauth_scopes": _typed_exactly(),
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
            "pinned_certificates": forms.Textarea(
                attrs={
                    "rows": 2,
                    "class": "mono",
                    "spellcheck": "false",
                    "placeholder": "3A:5F:…",
                }
            ),
            "notes": forms.Textarea(attrs={"rows": 2}),
        }
        error_messages: ClassVar[Mapping[str, words.Words]] = words.ERRORS

    def __init__(self, *args: Any, credentials_locked: bool, full: bool = False, **kwargs: Any) -> None:
        """Say why what is listed does not work here; lock the credentials on an unprotected connection.

        `full` gives the labels of the full form.
        """
        super().__init__(*args, **kwargs)
        self.credentials_locked = credentials_locked
        self.is_new = self.instance._state.adding  # noqa: SLF001  (Django documents it)
        #: What is asked before a start date in the past is saved, and the answer that agrees to it.
        self.backlog: services.Backlog | None = None
        #: Likewise, where the mailboxes' own credentials will go.
        self.redirection: Redirection | None = None
        labels = {**words.LABELS, **words.FULL_LABELS} if full else words.LABELS
        for name, label in labels.items():
            self.fields[name].label = label
        for side in ("incoming", "outgoing"):
            # Known of some types of servers, and then filled in.
            self.fields[f"{side}_location"].required = False
        for name in ("oauth_provider", "oauth_grant"):
            self.fields[name].required = False
        self._list_choices({} if full else words.AUTHENTICATION)
        self._offer_owners()
        for name in SECRETS:
            cast("SecretField", self.fields[name]).saved = bool(getattr(self.instance, name))
        self.initial.setdefault("timeout_seconds", _seconds(self.instance.timeout_ms))
        self._lock()
        if not self.is_bound:  # a refused form has its summary focused
            first = "server_type" if self.is_new and not full else "name"
            self.fields[first].widget.attrs["autofocus"] = True

    def _list_choices(self, named: words.Words) -> None:
        self._list("server_type", ServerType.choices, rules.SERVER_TYPE_REASONS)
        kinds = [
            (kind.value, words.OAUTH if kind == AuthenticationType.OAUTH else named.get(kind, kind.label))
            for kind in rules.LISTED_AUTHENTICATION
        ]
        for name in ("authentication_type", "outgoing_authentication_type"):
            self._list(name, kinds, rules.AUTHENTICATION_REASONS)
        for side in ("incoming", "outgoing"):
            name = f"{side}_authentication_protocol"
            self._list(name, AuthenticationProtocol.choices, rules.MECHANISM_REASONS[side])
            security = f"{side}_security"
            self._offer(security, self._securities(getattr(self.instance, security)))

    def _lock(self) -> None:
        if not self.is_new:
            self.fields["server_type"].disabled = self.fields["incoming_protocol"].disabled = True
        if self.credentials_locked:
            for name in CREDENTIALS:
                self.fields[name].disabled = True

    def _offer(self, name: str, choices: Iterable[tuple[str, Any]]) -> None:
        cast("forms.TypedChoiceField", self.fields[name]).choices = list(choices)

    def _list(self, name: str, choices: Iterable[tuple[str, Any]], reasons: rules.Reasons) -> None:
        """List `choices`, those with a reason switched off; the profile's rules refuse them as well."""
        self.fields[name].widget = ReasonedSelect(reasons=reasons)
        self._offer(name, choices)

    def _securities(self, current: str) -> list[tuple[str, str]]:
        """Leave out unencrypted connections where the operator did not open them, but never what is set."""
        plain = settings.NETWORK_POLICY.allow_plain or current == ConnectionSecurity.NONE
        kinds = [kind for kind in ConnectionSecurity if plain or kind != ConnectionSecurity.NONE]
        return [(kind.value, str(kind.label)) for kind in kinds]

    def _offer_owners(self) -> None:
        field = cast("forms.ModelChoiceField[Any]", self.fields["owner"])
        field.queryset = access.people_of(self.instance.environment_id, and_owner=self.instance.owner_id)
        field.empty_label = _("Nobody")
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
        protocols = [(Protocol(value), label) for value, label in IncomingProtocol.choices]
        sentence = _("%(protocol)s %(tls)s with TLS, %(starttls)s with STARTTLS")
        return "; ".join(
            sentence
            % {
                "protocol": label,
                "tls": default_port(protocol, Security.TLS),
                "starttls": default_port(protocol, Security.STARTTLS),
            }
            for protocol, label in [*protocols, (Protocol.SMTP, "SMTP")]
        )

    # Checking

    def clean_name(self) -> str:
        """Refuse the name of another profile of this environment."""
        name: str = self.cleaned_data["name"]
        other = ServerProfile(pk=self.instance.pk, environment_id=self.instance.environment_id, name=name)
        if "name" in self.changed_data and services.profile_name_is_taken(other):
            raise ValidationError(
                _("Another server profile is named %(name)s. Choose another name.") % {"name": name}
            )
        return name

    def clean_owner(self) -> User | None:
        """Refuse who has no role here any more: nothing of this profile would be told to them."""
        owner: User | None = self.cleaned_data["owner"]
        if owner is not None and not access.belongs(owner, self.instance.environment_id):
            raise ValidationError(
                _(
                    "%(name)s has no role in this environment, or no account in use, and would not see the "
                    "alerts. Choose another owner, or Nobody."
                )
                % {"name": _full_name(owner)}
            )
        return owner

    def clean(self) -> dict[str, Any]:
        """Fill in the servers that belong to the type, where nothing was typed; POP3 has no folders."""
        typed: dict[str, Any] = super().clean() or self.cleaned_data
        if typed.get("incoming_protocol") == IncomingProtocol.POP3:
            typed["move_failed_to_undeliverable"] = False
        known = USUAL_SERVERS.get(typed.get("server_type", ""), {})
        for side in ("incoming", "outgoing"):
            name = f"{side}_location"
            if name not in typed or typed[name]:
                continue
            if side in known:
                typed[name], typed[f"{side}_security"] = known[side]
            else:
                self.add_error(name, words.ERRORS[name]["required"])
        return typed

    def clean_oauth_client_secret(self) -> str:
        """Refuse what could forge protocol lines."""
        return self._plain("oauth_client_secret", what=_("The client secret"))

    def clean_password(self) -> str:
        """Refuse what could forge protocol lines."""
        return self._plain("password", what=_("The password"))

    def clean_outgoing_password(self) -> str:
        """Refuse what could forge protocol lines."""
        return self._plain("outgoing_password", what=_("The outgoing password"))

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

    def may_be_saved(self, *, by: User, now: datetime) -> bool:
        """Say whether `by` may save the valid form.

        If not, errors say why, or `backlog` and `redirection` what has to be agreed to first.
        """
        stored = ServerProfile.objects.filter(pk=self.instance.pk).first()
        errors = destinations.obstacles(self.instance, stored, entered=self.entered, by=by)
        if errors:
            self.hold_back(errors)
            return False
        self.backlog = services.backlog(self.instance, now=now)
        self.redirection = destinations.redirection(self.instance, stored)
        if not self.agreement or self.data.get("agreed") == self.agreement:
            return True
        self._ask_for_passwords()
        return False

    def hold_back(self, errors: Mapping[str, str]) -> None:
        """Say at each field why stored secrets are not sent to another host."""
        for name, sentence in errors.items():
            self.add_error(name, sentence)
        self._ask_for_passwords()

    @property
    def entered(self) -> list[str]:
        """Return the secrets that were typed."""
        return [name for name in SECRETS if self.cleaned_data.get(name)]

    @property
    def agreement(self) -> str:
        """Return what the button that saves anyway sends: agreed to is this and nothing else."""
        asked = []
        if self.backlog:
            asked.append(self.backlog.since.isoformat() if self.backlog.since else "all")
        return " ".join([*asked, *(self.redirection.hosts if self.redirection else ())])

    def _ask_for_passwords(self) -> None:
        for name in SECRETS:
            typed = not self.fields[name].disabled and self.data.get(self.add_prefix(name))
            if typed and name not in self.errors:
                self.add_error(name, words.TYPE_AGAIN)

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
        if not uses_oauth(profile):
            profile.oauth_client_secret = ""
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
