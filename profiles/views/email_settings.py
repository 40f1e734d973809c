"""The email settings of an environment, a form on a page of its own."""

from typing import cast

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from emailsync.web.responses import page_response, saved_response
from profiles import access, services
from profiles.access import Permission
from profiles.forms.email_settings import EmailSettingsForm
from profiles.models import EmailSettings, Environment, StaleRecord


@require_http_methods(["GET", "HEAD", "POST"])
def email_settings(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the email settings of an environment, or save them."""
    needed = Permission.WRITE_SETTINGS if request.method == "POST" else Permission.READ_SETTINGS
    environment = access.enter(request.user, slug, needed)
    form = EmailSettingsForm(request.POST or None, instance=_settings_of(environment))
    if Permission.WRITE_SETTINGS not in environment.may:
        form.lock()
    elif Permission.APPROVE not in environment.may:
        form.keep_approval()
    if request.method == "POST" and form.is_valid() and _save(request, form):
        return saved_response(request, request.path, title="Email settings saved", leave=True)
    context = {"environment": environment, "form": form}
    return page_response(
        request,
        "profiles/email_settings.html",
        "profiles/_email_settings.html",
        context,
        status=422 if form.is_bound else 200,
    )


def _settings_of(environment: Environment) -> EmailSettings:
    found = EmailSettings.objects.filter(environment=environment).first()
    return found or EmailSettings(environment=environment)


def _save(request: HttpRequest, form: EmailSettingsForm) -> bool:
    """Save the settings; when something happened meanwhile, the form says so and keeps what was typed."""
    try:
        services.save_settings(
            form.instance,
            server_profile=form.cleaned_data["server_profile"],
            by=cast("User", request.user),
            now=timezone.now(),
        )
    except StaleRecord:
        form.meet(EmailSettings.objects.select_related("modified_by", "environment").get(pk=form.instance.pk))
        return False
    except services.NotPossible as error:
        form.add_error("server_profile", str(error))
        return False
    return True
