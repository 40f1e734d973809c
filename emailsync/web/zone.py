"""Times in the zone and the language of the reader, which the browser tells: a cookie and a header.

The words of the console come from its own catalogues, in the languages of `settings.LANGUAGES`. Dates need
none: Django knows how each of its languages writes them, so they follow the reader's language already.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from django.http import HttpRequest, HttpResponseBase
from django.template.defaultfilters import date as format_date
from django.utils import timezone, translation
from django.utils.translation.trans_real import check_for_language, parse_accept_lang_header

COOKIE = "zone"
KNOWN = available_timezones()
_dates: ContextVar[str] = ContextVar("language of dates", default="en")


class TimeZoneMiddleware:
    """Show and read times in the zone of the browser, in UTC while it is unknown; write dates as it reads."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        """Keep the next handler."""
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Handle the request in the reader's zone."""
        name = request.COOKIES.get(COOKIE, "")
        language = language_of_dates(request.headers.get("Accept-Language", ""))
        with timezone.override(ZoneInfo(name) if name in KNOWN else None), dates_in(language):
            return self.get_response(request)


def language_of_dates(accepted: str) -> str:
    """Return the first language of an Accept-Language header (RFC 9110, 12.5.4) that dates can follow."""
    for code, _ in parse_accept_lang_header(accepted.lower()):
        for known in (code, code.partition("-")[0]):
            if known != "*" and check_for_language(known):
                return known
    return "en"


@contextmanager
def dates_in(language: str) -> Iterator[None]:
    """Write dates in `language` meanwhile."""
    token = _dates.set(language)
    try:
        yield
    finally:
        _dates.reset(token)


def foreign_language() -> str:
    """Return the language of dates where it is not that of the words around them, or nothing."""
    language = _dates.get()
    return (
        ""
        if language.partition("-")[0] == (translation.get_language() or "en").partition("-")[0]
        else language
    )


def write_day(day: date, *, with_year: bool) -> str:
    """Write a day: "Nov 20", "Nov 20, 2025", or as the reader's language does."""
    language = _dates.get()
    if language in {"en", "en-us"}:
        return _written(day, "M j, Y" if with_year else "M j", language)
    return _written(day, "DATE_FORMAT" if with_year else "MONTH_DAY_FORMAT", language)


def write_in_full(day: date) -> str:
    """Write a day with its weekday and its year."""
    language = _dates.get()
    weekday = _written(day, "l", language)
    written = _written(day, "F j, Y" if language in {"en", "en-us"} else "DATE_FORMAT", language)
    return f"{weekday}, {written}"


@lru_cache(maxsize=4096)
def _written(day: date, form: str, language: str) -> str:
    """Write a day as Django does, once: a list says the same few days in every row."""
    with translation.override(language):
        return format_date(day, form)
