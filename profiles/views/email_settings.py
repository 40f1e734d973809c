"""The email settings of an environment and how its email is tracked: forms on pages of their own."""

from typing import cast

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from emailsync.web.responses import page_response, saved_response
from profiles import access, services
from profiles.access import Permission
from profiles.forms.email_settings import EmailSettingsForm, SettingsForm
from profiles.forms.email_tracking import EmailTrackingForm
from profiles.models import EmailSettings, Environment, StaleRecord


@require_http_methods(["GET", "HEAD", "POST"])
def email_settings(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the email settings of an environment, or save them."""
    environment = _enter(request, slug)
    form = EmailSettingsForm(request.POST or None, instance=_settings_of(environment))
    if Permission.APPROVE not in environment.may:
        form.keep_approval()
    if request.method == "POST" and form.is_valid() and _save(request, form):
        return saved_response(request, request.path, title=_("Email settings saved"), leave=True)
    return _show(request, environment, form, name="email_settings")


@require_http_methods(["GET", "HEAD", "POST"])
def email_tracking(request: HttpRequest, slug: str) -> HttpResponse:
    """Show how the email of an environment is tracked, or save it."""
    environment = _enter(request, slug)
    form = EmailTrackingForm(request.POST or None, instance=_settings_of(environment))
    if request.method == "POST" and form.is_valid() and _save(request, form):
        return saved_response(request, request.path, title=_("Email tracking saved"), leave=True)
    return _show(request, environment, form, name="email_tracking")


@require_POST
def email_tracking_preview(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the tracking token that the typed values lead to; nothing is saved."""
    environment = access.enter(request.user, slug, Permission.READ_SETTINGS)
    form = EmailTrackingForm(request.POST, instance=_settings_of(environment))
    return render(request, "profiles/_token_preview.html", {"form": form})


def _enter(request: HttpRequest, slug: str) -> Environment:
    needed = Permission.WRITE_SETTINGS if request.method == "POST" else Permission.READ_SETTINGS
    return access.enter(request.user, slug, needed)


def _show(request: HttpRequest, environment: Environment, form: SettingsForm, *, name: str) -> HttpResponse:
    if Permission.WRITE_SETTINGS not in environment.may:
        form.lock()
    return page_response(
        request,
        f"profiles/{name}.html",
        f"profiles/_{name}.html",
        {"environment": environment, "form": form},
        status=422 if form.is_bound else 200,
    )


def _settings_of(environment: Environment) -> EmailSettings:
    found = EmailSettings.objects.filter(environment=environment).first()
    return found or EmailSettings(environment=environment)


def _save(request: HttpRequest, form: SettingsForm) -> bool:
    """Save the settings; when something happened meanwhile, the form says so and keeps what was typed."""
    by = cast("User", request.user)
    try:
        if isinstance(form, EmailSettingsForm):
            chosen = form.cleaned_data["server_profile"]
            services.save_settings(form.instance, server_profile=chosen, by=by, now=timezone.now())
        else:
            services.save_tracking(form.instance, by=by)
    except StaleRecord:
        form.meet(EmailSettings.objects.select_related("modified_by", "environment").get(pk=form.instance.pk))
        return False
    except services.NotPossible as error:
        form.add_error("server_profile", str(error))
        return False
    return True
