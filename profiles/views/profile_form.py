"""The panel of a server profile, new or existing."""

from typing import Any, cast
from uuid import UUID

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from emailsync.web.channel import is_protected
from emailsync.web.responses import dialog_response, redirect_response, saved_response
from profiles import access, services
from profiles.access import Permission
from profiles.forms.profile import ServerProfileForm
from profiles.models import Environment, ServerProfile, StaleRecord
from profiles.templatetags.figures import mailboxes
from profiles.views.profile_list import list_page

DELETED = "Somebody has deleted this server profile meanwhile. Create a new one if you need it."
#: A change of one of these is worth a test of the profile's mailboxes.
CONNECTION_FIELDS = frozenset(
    {
        "incoming_location",
        "incoming_port",
        "incoming_security",
        "outgoing_location",
        "outgoing_port",
        "outgoing_security",
        "authentication_type",
        "user_name",
        "password",
        "impersonation",
        "use_same_settings_for_outgoing",
        "outgoing_authentication_type",
        "outgoing_user_name",
        "outgoing_password",
        "outgoing_impersonation",
        "ca_certificates",
    }
)


@require_http_methods(["GET", "HEAD", "POST"])
def profile_create(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the panel for a new server profile, or create it."""
    environment = access.enter(request.user, slug, Permission.WRITE_PROFILES)
    start = ServerProfile(environment=environment, owner=cast("User", request.user))
    form = ServerProfileForm(
        request.POST or None, instance=start, credentials_locked=not is_protected(request)
    )
    if request.method == "POST" and form.is_valid() and _save(request, form):
        return saved_response(
            request,
            _list_url(environment),
            title=f"{form.instance.name} was created",
            text="Mailboxes can use it now.",
        )
    return _panel(request, environment, form, used_by=0)


@require_http_methods(["GET", "HEAD", "POST"])
def profile_edit(request: HttpRequest, slug: str, pk: UUID) -> HttpResponse:
    """Show the panel of an existing server profile, or save it."""
    needed = Permission.WRITE_PROFILES if request.method == "POST" else Permission.READ_SETTINGS
    environment = access.enter(request.user, slug, needed)
    profile = get_object_or_404(ServerProfile, environment=environment, pk=pk)
    profile.environment = environment
    used_by = profile.mailboxes.count()
    form = ServerProfileForm(
        request.POST or None, instance=profile, credentials_locked=not is_protected(request)
    )
    if Permission.WRITE_PROFILES not in environment.may:
        form.lock()
    if request.method == "POST" and form.is_valid() and _save(request, form):
        if request.POST.get("then") == "test":
            return redirect_response(request, reverse("mailboxes:profile_diagnose", args=[slug, pk]))
        text = ""
        if used_by and CONNECTION_FIELDS & set(form.changed_data):
            verb = "uses" if used_by == 1 else "use"
            text = f"{mailboxes(used_by)} {verb} it: run Test & Enable Mailboxes to be sure."
        return saved_response(
            request, _list_url(environment), title=f"{form.instance.name} was saved", text=text
        )
    return _panel(request, environment, form, used_by=used_by)


def _save(request: HttpRequest, form: ServerProfileForm) -> bool:
    """Save the profile; when something happened meanwhile, the form says so and keeps what was typed."""
    try:
        services.save_profile(form.instance, by=cast("User", request.user), now=timezone.now())
    except StaleRecord:
        saved = ServerProfile.objects.select_related("modified_by").filter(pk=form.instance.pk).first()
        if saved is None:
            form.add_error(None, DELETED)
        else:
            form.meet(saved)
        return False
    except services.NameTaken as error:
        form.add_error("name", str(error))
        return False
    return True


def _panel(
    request: HttpRequest, environment: Environment, form: ServerProfileForm, *, used_by: int
) -> HttpResponse:
    context: dict[str, Any] = {
        "environment": environment,
        "form": form,
        "used_by": used_by,
        "back_url": _list_url(environment),
    }
    return dialog_response(
        request,
        "profiles/_profile_panel.html",
        context,
        page=lambda: list_page(environment, state=QueryDict()),
        status=422 if form.is_bound else 200,
    )


def _list_url(environment: Environment) -> str:
    return reverse("profiles:profile_list", args=[environment.slug])
