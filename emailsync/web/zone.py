"""Times in the zone of the reader, which the browser tells in a cookie."""

from collections.abc import Callable
from zoneinfo import ZoneInfo, available_timezones

from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone

COOKIE = "zone"
KNOWN = available_timezones()


class TimeZoneMiddleware:
    """Show and read times in the zone of the browser; in UTC while it is unknown."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        """Keep the next handler."""
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Handle the request in the reader's zone."""
        name = request.COOKIES.get(COOKIE, "")
        with timezone.override(ZoneInfo(name) if name in KNOWN else None):
            return self.get_response(request)
