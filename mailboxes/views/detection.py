"""Detect settings: the search for the mail servers of an address, followed while it runs."""

import json
from typing import Any, cast
from uuid import UUID

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from emailsync.web.responses import is_fragment, page_response, redirect_response, saved_response
from mailboxes.models import Detection
from mailboxes.services import detection
from profiles import access
from profiles.access import Permission
from profiles.models import Environment


@require_POST
def profile_detect(request: HttpRequest, slug: str) -> HttpResponse:
    """Begin a search; the fragment that follows it takes its place in the form of the server profile."""
    environment = access.enter(request.user, slug, Permission.WRITE_PROFILES)
    by = cast("User", request.user)
    try:
        found = detection.start(
            request.POST.get("address", ""), environment=environment, by=by, now=timezone.now()
        )
    except ValueError as error:
        if is_fragment(request):
            return render(request, "mailboxes/_detection.html", {"trouble": str(error)})
        back = reverse("profiles:profile_create_full", args=[slug])
        return saved_response(
            request, back, title=_("Nothing was searched for"), text=str(error), intent="error"
        )
    if is_fragment(request):
        return render(request, "mailboxes/_detection.html", _context(environment, found, request))
    return redirect_response(request, found.get_absolute_url())


@require_safe
def detection_detail(request: HttpRequest, slug: str, pk: UUID) -> HttpResponse:
    """Show how far a search has come, and what it found."""
    environment = access.enter(request.user, slug, Permission.WRITE_PROFILES)
    found = get_object_or_404(Detection, environment=environment, pk=pk)
    context = _context(environment, found, request)
    return page_response(request, "mailboxes/detection_detail.html", "mailboxes/_detection.html", context)


def _context(environment: Environment, found: Detection, request: HttpRequest) -> dict[str, Any]:
    found.environment = environment
    values = {"fill": "1", **found.found}
    is_full = bool(request.POST.get("full") or request.GET.get("full"))
    name = "profiles:profile_create_full" if is_full else "profiles:profile_create"
    return {
        "environment": environment,
        "detection": found,
        "is_full": is_full,
        "values_json": json.dumps({name: str(value) for name, value in values.items()}),
        "form_url": reverse(name, args=[environment.slug]),
        "fill_url": f"{reverse('profiles:profile_create_full', args=[environment.slug])}?{urlencode(values)}",
        "rows": [
            (title, found.found.get(f"{side}_location"), found.found.get(f"{side}_port"), source, security)
            for side, title in (("incoming", _("Incoming")), ("outgoing", _("Outgoing")))
            if (source := found.sources.get(side)) and (security := found.found.get(f"{side}_security"))
        ],
    }
