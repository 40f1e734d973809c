"""The form of a server profile, new or existing: in the side panel, and as a full page with tabs.

Both are one form, one way to save and one set of fragments; they differ in the template around them.
"""

from typing import Any, cast
from uuid import UUID

from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.urls import reverse
from django.utils import timezone
from django.utils.datastructures import MultiValueDict
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from emailsync.web.channel import callback_url, is_protected
from emailsync.web.responses import dialog_response, page_response, redirect_response, saved_response
from profiles import access, services
from profiles.access import Permission
from profiles.destinations import SECRETS
from profiles.forms.profile import ServerProfileForm
from profiles.models import Environment, ServerProfile, StaleRecord
from profiles.views.figures import add_figures
from profiles.views.profile_list import list_page


@require_http_methods(["GET", "HEAD", "POST"])
def profile_create(request: HttpRequest, slug: str, *, full: bool = False) -> HttpResponse:
    """Show the form for a new server profile, empty or made from another one, or create it."""
    environment = access.enter(request.user, slug, Permission.WRITE_PROFILES)
    user = cast("User", request.user)
    origin = _find(environment, request.GET["from"]) if "from" in request.GET else None
    start = services.copy_of(origin) if origin else ServerProfile(environment=environment, owner=user)
    is_filled = "fill" in request.POST or "fill" in request.GET
    form = ServerProfileForm(
        None if is_filled else request.POST or None,
        initial=_filled(request.POST or request.GET) if is_filled else None,
        instance=start,
        credentials_locked=not is_protected(request),
        full=full,
    )
    if request.method == "POST" and not is_filled and _save(request, form) is not None:
        title, text = _("%(name)s was created"), _("Mailboxes can use it now.")
        url = _full_url(form.instance) if full else _list_url(environment)
        named = title % {"name": form.instance.name}
        return saved_response(request, url, title=named, text=text, leave=full)
    context = {"origin": origin, "used_by": 0}
    return _show(request, environment, form, context, full=full)


@require_http_methods(["GET", "HEAD", "POST"])
def profile_edit(request: HttpRequest, slug: str, pk: UUID, *, full: bool = False) -> HttpResponse:
    """Show the form of an existing server profile, or save it."""
    environment = access.enter(request.user, slug, Permission.READ_SETTINGS)
    profile = _find(environment, str(pk))
    form = ServerProfileForm(
        request.POST or None,
        instance=profile,
        credentials_locked=not is_protected(request),
        full=full,
    )
    if Permission.WRITE_PROFILES not in environment.may:
        form.lock()
    used_by = profile.mailboxes.count()
    if request.method == "POST":
        access.require(request.user, Permission.WRITE_PROFILES, environment)
        changed = _save(request, form)
        if changed is not None:
            return _saved(request, form, used_by=used_by if changed else 0, full=full)
    return _show(request, environment, form, {"used_by": used_by}, full=full)


def _filled(data: QueryDict) -> dict[str, Any]:
    """Return what the form shows when detected settings were put among what was typed so far."""
    fields = {name: field for name, field in ServerProfileForm.base_fields.items() if name not in SECRETS}
    return {
        name: field.widget.value_from_datadict(data, MultiValueDict(), name)
        for name, field in fields.items()
        if name in data
    }


def _saved(request: HttpRequest, form: ServerProfileForm, *, used_by: int, full: bool) -> HttpResponse:
    """Say that a profile was saved, and how many mailboxes stopped because they connect otherwise now."""
    profile = form.instance
    if request.POST.get("then") == "test":
        url = reverse("mailboxes:profile_diagnose", args=[profile.environment.slug, profile.pk])
        return redirect_response(request, url)
    text = ""
    if used_by:
        text = ngettext(
            "%(count)s mailbox uses it and connects otherwise now: it is stopped until Test & Enable "
            "Mailboxes has tested it again.",
            "%(count)s mailboxes use it and connect otherwise now: they are stopped until Test & Enable "
            "Mailboxes has tested them again.",
            used_by,
        ) % {"count": f"{used_by:,}"}
    title = _("%(name)s was saved") % {"name": profile.name}
    url = _full_url(profile) if full else _list_url(profile.environment)
    intent = "warning" if used_by else "success"
    return saved_response(request, url, title=title, text=text, intent=intent, leave=full)


def _find(environment: Environment, pk: str) -> ServerProfile:
    """Return a profile of the environment. Raises Http404."""
    try:
        profile = ServerProfile.objects.filter(environment=environment, pk=UUID(pk)).first()
    except ValueError:
        profile = None
    if profile is None:
        raise Http404("There is no such server profile.")
    profile.environment = environment
    return profile


def _save(request: HttpRequest, form: ServerProfileForm) -> frozenset[str] | None:
    """Save the profile, if the form may be saved, and return the directions that connect otherwise now.

    Otherwise, and when something happened meanwhile, the form says so and keeps what was typed: None.
    """
    user, now = cast("User", request.user), timezone.now()
    if not form.is_valid() or not form.may_be_saved(by=user, now=now):
        return None
    try:
        return services.save_profile(form.instance, by=user, now=now, entered=form.entered)
    except StaleRecord:
        saved = ServerProfile.objects.select_related("modified_by").filter(pk=form.instance.pk).first()
        if saved is None:
            form.add_error(None, _("Somebody has deleted this server profile. Create a new one if needed."))
        else:
            form.meet(saved)
    except services.NameTaken as error:
        form.add_error("name", str(error))
    except services.SecretsHeldBack as error:
        form.hold_back(error.errors)
    return None


def _show(
    request: HttpRequest,
    environment: Environment,
    form: ServerProfileForm,
    context: dict[str, Any],
    *,
    full: bool,
) -> HttpResponse:
    shown: dict[str, Any] = {
        **context,
        "environment": environment,
        "form": form,
        "dialog_url": request.get_full_path(),
        "back_url": _list_url(environment),
        "callback_url": callback_url(request),
    }
    status = 422 if form.is_bound else 200
    if full:
        shown["profile"] = None if form.is_new else _with_figures(form.instance)
        return page_response(
            request, "profiles/profile_detail.html", "profiles/_profile_form.html", shown, status=status
        )
    return dialog_response(
        request,
        "profiles/_profile_panel.html",
        shown,
        page=lambda: list_page(environment, state=QueryDict()),
        status=status,
    )


def _with_figures(profile: ServerProfile) -> ServerProfile:
    """Return the saved profile with the numbers that the head of its page shows."""
    saved = ServerProfile.objects.select_related("owner", "environment").get(pk=profile.pk)
    return add_figures([saved])[0]


def _full_url(profile: ServerProfile) -> str:
    return reverse("profiles:profile_detail", args=[profile.environment.slug, profile.pk])


def _list_url(environment: Environment) -> str:
    return reverse("profiles:profile_list", args=[environment.slug])
