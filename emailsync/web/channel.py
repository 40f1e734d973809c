"""How the console is reached: whether that is safe enough for passwords, and where others send people."""

from ipaddress import ip_address

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse


def callback_url(request: HttpRequest) -> str:
    """Return where OAuth providers send people back to; it has to be registered there letter by letter."""
    path = reverse("oauth_callback")
    return f"{settings.PUBLIC_URL}{path}" if settings.PUBLIC_URL else request.build_absolute_uri(path)


def is_protected(request: HttpRequest) -> bool:
    """Say whether credentials may be typed: over HTTPS, on this machine, or where the operator allows it.

    A proxy on this machine connects from loopback for browsers far away; they give the proxy's name as the
    host, so both ends are asked.
    """
    if request.is_secure() or settings.ALLOW_CREDENTIALS_ENTRY_VIA_NON_SECURE_CHANNELS:
        return True
    host = request.get_host().rpartition(":")[0] if _has_port(request.get_host()) else request.get_host()
    return _is_loopback(request.META.get("REMOTE_ADDR", "")) and _is_loopback(host.strip("[]"))


def _has_port(host: str) -> bool:
    return host.rpartition(":")[2].isdecimal() and not host.endswith("]")


def _is_loopback(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
