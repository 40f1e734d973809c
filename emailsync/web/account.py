"""The page of one's own account: name, email address, password. What one may do where is not decided here."""

from typing import Any, ClassVar, cast

from django import forms
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.forms import PasswordChangeForm
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from emailsync.web.channel import is_protected
from emailsync.web.forms import ConsoleForm
from emailsync.web.responses import saved_response
from emailsync.web.signin import BY_ACCOUNT, in_words
from emailsync.web.throttle import Full


class NameForm(ConsoleForm, forms.ModelForm):  # type: ignore[type-arg]
    """What one is called.

    The address says which mailbox somebody may approve without asking: only administrators of the
    installation, who may approve everything, change it themselves.
    """

    class Meta:
        model = User
        fields: ClassVar[list[str]] = ["first_name", "last_name", "email"]
        labels: ClassVar[dict[str, Any]] = {
            "first_name": gettext_lazy("First name"),
            "last_name": gettext_lazy("Last name"),
            "email": gettext_lazy("Email address"),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Lock the address where changing it would give a permission."""
        super().__init__(*args, **kwargs)
        if not self.instance.is_superuser:
            self.fields["email"].disabled = True
            self.fields["email"].help_text = _(
                "Only administrators of the installation change it: you may approve the mailbox with this "
                "address yourself."
            )


class PasswordForm(ConsoleForm, PasswordChangeForm):
    """A new password, with the old one as proof."""

    def __init__(self, *args: Any, credentials_locked: bool, **kwargs: Any) -> None:
        """Word the fields; lock them on an unprotected connection."""
        super().__init__(*args, **kwargs)
        self.credentials_locked = credentials_locked
        labels = {
            "old_password": _("Current password"),
            "new_password1": _("New password"),
            "new_password2": _("New password, again"),
        }
        for name, label in labels.items():
            self.fields[name].label = label
            self.fields[name].help_text = ""
            self.fields[name].disabled = credentials_locked
            self.fields[name].widget.attrs.pop("autofocus", None)
        self.fields["new_password1"].help_text = _(
            "At least 8 characters; not a common password, not only digits, nothing like your name."
        )

    def clean_old_password(self) -> str:
        """Count the attempt with those to sign in: whoever finds a session open must not try for ever."""
        name = self.user.get_username().casefold()
        outcome = BY_ACCOUNT.take(name, now=timezone.now())
        if isinstance(outcome, Full):
            words = _("Too many attempts. Try again in %(wait)s.")
            raise forms.ValidationError(words % {"wait": in_words(outcome.wait)})
        password: str = super().clean_old_password()
        BY_ACCOUNT.forget(name)
        return password


@sensitive_post_parameters("old_password", "new_password1", "new_password2")
@require_http_methods(["GET", "HEAD", "POST"])
def account(request: HttpRequest) -> HttpResponse:
    """Show one's own account, or save one of its two forms."""
    user = cast("User", request.user)
    wanted = request.POST.get("form", "") if request.method == "POST" else ""
    # A refused form leaves typed values on its instance; the page goes on showing what is saved.
    name_form = NameForm(request.POST if wanted == "name" else None, instance=User.objects.get(pk=user.pk))
    password_form = PasswordForm(
        user, request.POST if wanted == "password" else None, credentials_locked=not is_protected(request)
    )
    if wanted == "name" and name_form.is_valid():
        name_form.save()
        return saved_response(request, request.path, title=_("Your account was saved"), leave=True)
    if wanted == "password" and not password_form.credentials_locked and password_form.is_valid():
        password_form.save()
        # Everywhere else this account is signed out; here it stays.
        update_session_auth_hash(request, user)
        return saved_response(request, request.path, title=_("Your password was changed"), leave=True)
    context = {"name_form": name_form, "password_form": password_form}
    return render(request, "account.html", context, status=422 if wanted else 200)
