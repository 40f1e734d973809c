"""What the browser is allowed to do with our pages, and the reference that names a failure.

The policy forbids everything that is not asked for: no inline script or style, no foreign origin, no
frame. A page that must differ says so at its view:

    @content_security(frame_src="'self'")          # the page that holds the frame of a message
    @content_security(frame_ancestors="'self'", sandbox="", style_src="'unsafe-inline'")   # its content
"""

import secrets
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from django.http import HttpRequest, HttpResponseBase

P = ParamSpec("P")
R = TypeVar("R", bound=HttpResponseBase)

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": (
        "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), "
        "microphone=(), payment=(), usb=()"
    ),
}
REFERENCE = "X-Reference"


def policy(**changes: str) -> str:
    """Return the content security policy with `changes`; `frame_src` means frame-src."""
    directives = POLICY | {name.replace("_", "-"): value for name, value in changes.items()}
    return "; ".join(f"{name} {value}".strip() for name, value in directives.items())


def content_security(
    **changes: str,
) -> Callable[[Callable[Concatenate[HttpRequest, P], R]], Callable[Concatenate[HttpRequest, P], R]]:
    """Give the responses of a view their own policy."""
    header = policy(**changes)

    def decorate(view: Callable[Concatenate[HttpRequest, P], R]) -> Callable[Concatenate[HttpRequest, P], R]:
        @wraps(view)
        def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> R:
            response = view(request, *args, **kwargs)
            response.headers["Content-Security-Policy"] = header
            return response

        return guarded

    return decorate


def reference_of(request: HttpRequest) -> str:
    """Return the word under which a failure of this request stands in the log."""
    known: Any = getattr(request, "reference", None)
    return str(known or "none")


class SecurityHeadersMiddleware:
    """Send the security headers with every response; name every request."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        """Keep the next handler."""
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Handle the request, then add what the response does not say itself."""
        word = secrets.token_hex(4)
        reference = f"{word[:4]}-{word[4:]}"
        request.reference = reference  # type: ignore[attr-defined]
        response = self.get_response(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers.setdefault("Content-Security-Policy", policy())
        if "'none'" in response.headers["Content-Security-Policy"].partition("frame-ancestors")[2]:
            response.headers.setdefault("X-Frame-Options", "DENY")
        if response.headers.get("Content-Type", "").startswith("text/html"):
            response.headers.setdefault("Cache-Control", "private, no-cache")
        response.headers[REFERENCE] = reference
        return response
