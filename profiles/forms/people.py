"""The forms that add somebody to an environment and say what they are in it."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from django import forms
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from emailsync.web.forms import Check, ConsoleForm, SecretField
from profiles import access, people
from profiles.access import Permission
from profiles.choices import Role
from profiles.models import Environment, Membership

#: What each role is for, in one sentence.
ABOUT: Mapping[str, Any] = {
    Role.SYSTEM_ADMINISTRATOR: gettext_lazy(
        "Does everything here: people, settings, server profiles and mailboxes, and approves email addresses."
    ),
    Role.SYSTEM_CUSTOMIZER: gettext_lazy(
        "Changes the email settings and the server profiles, but sees no mailboxes."
    ),
    Role.MAILBOX_ADMINISTRATOR: gettext_lazy("Creates, changes and tests mailboxes, and reads their alerts."),
    Role.EMAIL_APPROVER: gettext_lazy("Sees the mailboxes, and approves or rejects their email addresses."),
    Role.AUDITOR: gettext_lazy("Sees everything except email, and changes nothing."),
    Role.MEMBER: gettext_lazy(
        "Sees only the mailboxes they own: their email and their alerts. May enter credentials and test them."
    ),
}


class RolesForm(ConsoleForm, forms.Form):
    """What somebody is in an environment."""

    tips: ClassVar[Mapping[str, Any]] = {
        "may_read_email": gettext_lazy(
            "For System Administrators and Mailbox Administrators. Nobody reads other people's email unless "
            "this is turned on; who may not read email cannot turn it on."
        )
    }

    may_read_mailboxes = forms.BooleanField(label=gettext_lazy("Read on Mailbox"), required=False)
    may_write_mailboxes = forms.BooleanField(label=gettext_lazy("Write on Mailbox"), required=False)
    may_read_email = forms.BooleanField(
        label=gettext_lazy("Read email"),
        required=False,
        help_text=gettext_lazy("Subjects, text and attachments of every mailbox of this environment."),
    )

    def __init__(
        self,
        *args: Any,
        environment: Environment,
        by: User,
        memberships: Iterable[Membership] = (),
        **kwargs: Any,
    ) -> None:
        """Show what is given by `memberships`; Read email can be given only by those who have it."""
        given = {membership.role: membership for membership in memberships}
        mailboxes = given.get(Role.MAILBOX_ADMINISTRATOR)
        may_read_email = any(membership.may_read_email for membership in given.values())
        initial = {
            **{role: role in given for role in Role.values},
            "may_read_mailboxes": mailboxes is None or mailboxes.may_read_mailboxes,
            "may_write_mailboxes": mailboxes is None or mailboxes.may_write_mailboxes,
            "may_read_email": may_read_email,
        }
        super().__init__(*args, initial={**initial, **kwargs.pop("initial", {})}, **kwargs)
        self.environment, self.by = environment, by
        for role in Role:
            self.fields[role.value] = forms.BooleanField(
                label=role.label, help_text=ABOUT[role], required=False, widget=Check()
            )
        if not may_read_email and Permission.READ_EMAIL not in access.permissions(by, environment):
            self.fields["may_read_email"].disabled = True

    @property
    def roles(self) -> list[Any]:
        """Return the fields of the roles, in order."""
        return [self[role] for role in Role.values]

    @property
    def wanted(self) -> people.Wanted:
        """Return the roles that were chosen."""
        chosen = self.cleaned_data
        return people.Wanted(
            frozenset(role for role in Role.values if chosen[role]),
            may_read_mailboxes=chosen["may_read_mailboxes"],
            may_write_mailboxes=chosen["may_write_mailboxes"],
            may_read_email=chosen["may_read_email"],
        )

    def clean(self) -> dict[str, Any]:
        """Want one role at least: without any, somebody does not belong to the environment."""
        cleaned = super().clean() or self.cleaned_data
        if not any(cleaned.get(role) for role in Role.values):
            raise forms.ValidationError(_("Choose at least one role. To take all of them away, use Remove."))
        return cleaned


class EditPersonForm(RolesForm):
    """Somebody who belongs to an environment; administrators of the installation change their address too."""

    email = forms.EmailField(
        label=gettext_lazy("Email address"),
        max_length=254,
        required=False,
        help_text=gettext_lazy("They may approve the mailbox with this address themselves."),
    )

    #: What the roles were when they were shown.
    seen = forms.CharField(widget=forms.HiddenInput(), required=False)

    def __init__(self, *args: Any, person: User, memberships: Iterable[Membership], **kwargs: Any) -> None:
        """Show the address of the account, and lock it for most."""
        shown = list(memberships)
        initial = {"email": person.email, "seen": people.seal_of(shown)}
        super().__init__(*args, initial=initial, memberships=shown, **kwargs)
        self.fields["email"].disabled = not self.by.is_superuser


class AddPersonForm(RolesForm):
    """Somebody who is to belong to an environment: an account that exists, or a new one."""

    who = forms.CharField(
        label=gettext_lazy("User name or email address"),
        max_length=150,
        help_text=gettext_lazy("Written exactly as in their account."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        error_messages={"required": gettext_lazy("Enter a user name or an email address.")},
    )
    is_new = forms.BooleanField(
        label=gettext_lazy("Create a new account"),
        required=False,
        help_text=gettext_lazy("For somebody who cannot sign in to this console yet."),
    )
    first_name = forms.CharField(label=gettext_lazy("First name"), max_length=150, required=False)
    last_name = forms.CharField(label=gettext_lazy("Last name"), max_length=150, required=False)
    email = forms.EmailField(label=gettext_lazy("Email address"), max_length=254, required=False)
    password = SecretField(
        label=gettext_lazy("Initial password"),
        required=False,
        max_length=250,
        help_text=gettext_lazy("Tell it to them in person. They change it under their account."),
    )

    def __init__(self, *args: Any, credentials_locked: bool, **kwargs: Any) -> None:
        """Lock the password on an unprotected connection."""
        super().__init__(*args, **kwargs)
        self.credentials_locked = credentials_locked
        if not self.is_bound:
            self.fields["who"].widget.attrs["autofocus"] = True
        if credentials_locked:
            for name in ("is_new", "password"):
                self.fields[name].disabled = True
        #: The account that was found, or the one to be created.
        self.person: User | None = None

    def clean(self) -> dict[str, Any]:
        """Find the account, or see whether a new one can be made."""
        cleaned = super().clean()
        if not (who := cleaned.get("who")):
            return cleaned
        if cleaned.get("is_new"):
            self._clean_account(who)
            return cleaned
        self.person = people.find(who)
        if self.person is None:
            self.add_error(
                "who",
                _(
                    "Nobody has exactly this user name or email address. Correct it, or turn on "
                    "“Create a new account”."
                ),
            )
        elif Membership.objects.filter(environment=self.environment, user=self.person).exists():
            self.add_error("who", _("They belong to this environment already. Change their roles instead."))
        return cleaned

    def _clean_account(self, username: str) -> None:
        cleaned, password = self.cleaned_data, self.cleaned_data.get("password")
        names = {name: cleaned.get(name, "") for name in ("first_name", "last_name", "email")}
        self.person = User(username=username, **names)
        if User.objects.filter(username__iexact=username).exists():
            self.add_error("who", _("This user name is taken. Choose another one."))
        if not password:
            self.add_error("password", _("Enter an initial password."))
            return
        try:
            self.person.clean_fields(exclude=["password"])
        except forms.ValidationError as error:
            self.add_error("who", error.message_dict.get("username", error.messages))
        try:
            validate_password(password, self.person)
        except forms.ValidationError as error:
            self.add_error("password", error)
