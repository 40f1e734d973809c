"""Signing in and out.

Attempts are limited by account and by address, the same for accounts that exist and those that do not. A
browser in which somebody signed in before has attempts of its own: strangers do not keep them out.
A fragment never is the sign-in page: when htmx meets it, the answer tells the script, which leads to the
sign-in and back, or keeps what was typed and asks to sign in beside it.
"""

import json
import secrets
from collections.abc import Callable
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Network, ip_address
from typing import Any
from urllib.parse import urlencode, urlsplit

from django import forms
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.contrib.auth.views import LoginView, LogoutView
from django.core import signing
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from emailsync.web.forms import ConsoleForm
from emailsync.web.throttle import Full, Taken, Throttle

WINDOW = timedelta(minutes=15)
#: What somebody may send who is not signed in, in bytes: a user name, a password and where to go then.
LARGEST_OF_STRANGERS = 64 * 1024
BY_ACCOUNT = Throttle(name="account", limit=10, window=WINDOW)
BY_ADDRESS = Throttle(name="address", limit=30, window=WINDOW)
#: Names a browser in which an account signed in; signed for that account, it is worth nothing for another.
KNOWN_BROWSER = "known-browser"
KNOWN_FOR = timedelta(days=180)
REFUSED = gettext_lazy("The user name or password is not correct. Both are case-sensitive.")


def client_address(request: HttpRequest) -> str:
    """Return the address the request came from; a proxy's word counts only where settings say so."""
    if getattr(settings, "TRUST_PROXY_HEADERS", False):
        # The last entry is the one our own proxy wrote; those before it are the client's claims.
        forwarded = str(request.META.get("HTTP_X_FORWARDED_FOR", "")).rpartition(",")[2].strip()
        if forwarded:
            return forwarded
    return str(request.META.get("REMOTE_ADDR", ""))


def network_of(address: str) -> str:
    """Return what one sender of requests has: an address, of IPv6 all of a /64 (RFC 6177)."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv4Address):
        return str(found)
    return str(found.ipv4_mapped or IPv6Network((found, 64), strict=False))


def in_words(wait: timedelta) -> str:
    """Say how long to wait."""
    seconds = int(wait.total_seconds())
    if seconds < 60:
        words = ngettext("%(number)s second", "%(number)s seconds", seconds)
        return words % {"number": seconds}
    minutes = -(-seconds // 60)
    return ngettext("%(number)s minute", "%(number)s minutes", minutes) % {"number": minutes}


class StrangersMiddleware(LoginRequiredMiddleware):
    """Ask strangers to sign in before anything is read that they send, and let them send little to sign in.

    Django reads a form into memory and writes files to the disk as soon as something asks for one field.
    """

    def process_view(
        self, request: HttpRequest, view_func: Callable[..., Any], view_args: Any, view_kwargs: Any
    ) -> HttpResponseBase | None:
        """Answer with the way to the sign-in, or not at all."""
        response = super().process_view(request, view_func, view_args, view_kwargs)
        is_stranger = response is None and not request.user.is_authenticated
        if is_stranger and int(request.META.get("CONTENT_LENGTH") or 0) > LARGEST_OF_STRANGERS:
            raise RequestDataTooBig("Nobody is signed in.")
        return response


def _signer(account: str) -> signing.TimestampSigner:
    return signing.TimestampSigner(salt=f"{KNOWN_BROWSER}:{account.casefold()}")


def _known_browser(request: HttpRequest, account: str) -> str:
    try:
        return _signer(account).unsign(request.COOKIES.get(KNOWN_BROWSER, ""), max_age=KNOWN_FOR)
    except signing.BadSignature:
        return ""


class SignInForm(ConsoleForm, AuthenticationForm):
    """Ask for user name and password; refuse without saying which was wrong."""

    def __init__(self, request: HttpRequest | None = None, *args: Any, **options: Any) -> None:
        """Word the fields and the refusal."""
        super().__init__(request, *args, **options)
        self.fields["username"].label = _("User name")
        self.error_messages = {**self.error_messages, "invalid_login": REFUSED, "inactive": REFUSED}
        self.wait: timedelta | None = None

    def clean(self) -> dict[str, Any]:
        """Count the attempt before the password is looked at."""
        account, request = self.cleaned_data.get("username"), self.request
        if not account or not self.cleaned_data.get("password") or request is None:
            return self.cleaned_data
        now, name, address = timezone.now(), account.casefold(), network_of(client_address(request))
        browser = _known_browser(request, name)
        subject = f"{name} in {browser}" if browser else name
        by_address = BY_ADDRESS.take(address, now=now)
        by_account = BY_ACCOUNT.take(subject, now=now) if isinstance(by_address, Taken) else None
        for outcome in (by_address, by_account):
            if isinstance(outcome, Full):
                self.wait = outcome.wait
                raise forms.ValidationError(
                    _("Too many attempts to sign in. Try again in %(wait)s.")
                    % {"wait": in_words(outcome.wait)},
                    code="throttled",
                )
        cleaned = super().clean()
        # Only a success comes here: it proves the person, so their mistakes before it are forgotten.
        BY_ACCOUNT.forget(subject)
        if isinstance(by_address, Taken):
            BY_ADDRESS.give_back(by_address)
        return cleaned


@method_decorator(login_not_required, name="dispatch")
class SignInView(LoginView):
    """The page that signs in."""

    authentication_form = SignInForm
    redirect_authenticated_user = True

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer htmx with a word for the script, everything else with the page."""
        if request.headers.get("HX-Request") == "true":
            return session_ended(request)
        return super().dispatch(request, *args, **kwargs)

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        """Sign in, and know the browser from now on."""
        response = super().form_valid(form)
        account = form.cleaned_data["username"]
        browser = _known_browser(self.request, account) or secrets.token_urlsafe(12)
        response.set_cookie(
            KNOWN_BROWSER,
            _signer(account).sign(browser),
            max_age=KNOWN_FOR,
            path=reverse("login"),
            secure=settings.SESSION_COOKIE_SECURE,
            httponly=True,
            samesite="Strict",
        )
        return response

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        """Show the page again, with the status that fits."""
        response = super().form_invalid(form)
        wait: timedelta | None = getattr(form, "wait", None)
        response.status_code = 429 if wait else 422
        if wait:
            response.headers["Retry-After"] = str(int(wait.total_seconds()))
        return response


@method_decorator(login_not_required, name="dispatch")
class SignOutView(LogoutView):
    """Ends the session."""

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Sign out, and have the browser forget the pages that its Back button would still show."""
        response = super().post(request, *args, **kwargs)
        response.headers["Clear-Site-Data"] = '"cache"'
        return response


def session_ended(request: HttpRequest) -> HttpResponse:
    """Tell the script that the session is over and where to sign in; afterwards one is back on the page."""
    page = urlsplit(request.headers.get("HX-Current-URL", ""))
    back = f"{page.path}?{page.query}" if page.query else page.path
    url = f"{reverse('login')}?{urlencode({'next': back or '/'})}"
    response = HttpResponse(status=401)
    response.headers["HX-Trigger"] = json.dumps({"session:ended": {"url": url}})
    return response
