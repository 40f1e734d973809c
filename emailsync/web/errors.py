"""Pages for what went wrong, each with a reference and a way out."""

import json
import logging
import sys

from django.core.exceptions import RequestDataTooBig, TooManyFieldsSent, TooManyFilesSent
from django.db import DatabaseError, InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils.encoding import escape_uri_path
from django.utils.translation import gettext, gettext_noop

from emailsync.web.security import reference_of
from emailsync.web.upgrading import is_of_another_version

logger = logging.getLogger(__name__)

TOO_LARGE = (RequestDataTooBig, TooManyFieldsSent, TooManyFilesSent)
#: What a browser or a proxy waits before it asks a database that is away once more, in seconds.
RETRY_AFTER = 10
#: What the script says where a command met a database that was not migrated.
UPGRADE = gettext_noop("The database is not upgraded yet")
MIGRATE = gettext_noop(
    "The person who runs this console must upgrade it with manage.py migrate and start again."
)


def _layout(request: HttpRequest) -> str:
    user = getattr(request, "user", None)
    return "base.html" if user is not None and user.is_authenticated else "plain.html"


def _static_page(request: HttpRequest, template: str, *, status: int) -> HttpResponse:
    """Render without request and context processors: nothing here may fail for a second time."""
    words = {"reference": reference_of(request), "again": request.path if request.method == "GET" else ""}
    return HttpResponse(render_to_string(template, words), status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Say that the request could not be understood, or that it was too large."""
    logger.info("Reference %s: bad request: %s", reference_of(request), type(exception).__name__)
    if isinstance(exception, TOO_LARGE):
        return _static_page(request, "413.html", status=413)
    return _static_page(request, "400.html", status=400)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Say what is not allowed and whom to ask."""
    words = {"layout": _layout(request), "reference": reference_of(request), "reason": str(exception)}
    return render(request, "403.html", words, status=403)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Say that there is no such page, and where to look."""
    logger.debug("Reference %s: not found: %s", reference_of(request), type(exception).__name__)
    words = {"layout": _layout(request), "path": request.path, "reference": reference_of(request)}
    return render(request, "404.html", words, status=404)


def server_error(request: HttpRequest) -> HttpResponse:
    """Own up to a fault of ours, or say that the database is away or not migrated.

    The reference leads to it in the log.
    """
    path = escape_uri_path(request.path)  # strangers write it, line breaks among it
    logger.error("Reference %s: %s %s failed.", reference_of(request), request.method, path)
    error = sys.exception()
    if isinstance(error, DatabaseError) and is_of_another_version(error):
        response = _static_page(request, "503_migrate.html", status=503)
        reference = gettext("Reference %(reference)s") % {"reference": reference_of(request)}
        said = {"title": gettext(UPGRADE), "text": f"{gettext(MIGRATE)} {reference}."}
        response.headers["HX-Trigger"] = json.dumps({"server:failed": said})
        return response
    if isinstance(error, (OperationalError, InterfaceError)):
        response = _static_page(request, "503.html", status=503)
        response.headers["Retry-After"] = str(RETRY_AFTER)
        return response
    return _static_page(request, "500.html", status=500)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Say that the form has expired; what was typed stays where it was typed.

    A form sent by htmx is renewed in place: the script puts the new token into it and asks to save again.
    """
    logger.info("Reference %s: form refused: %s", reference_of(request), reason)
    token = get_token(request)
    if request.headers.get("HX-Request") == "true":
        response = HttpResponse(status=403)
        response.headers["HX-Trigger"] = json.dumps({"form:expired": {"token": token}})
        return response
    return render(request, "403_csrf.html", {"reference": reference_of(request)}, status=403)
