"""Answers that work for whole pages and for htmx alike.

A dialog is an address. Asked for by htmx it is a bare `<dialog>` that the script opens; asked for by the
browser it is the page it belongs to, with the dialog standing open on it.
"""

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

#: The id of the form in every dialog, see templates/components/dialog.html.
DIALOG_FORM = "dialog-form"
#: As many signs of HTML are kept out of templates.
LARGE = 50_000
#: The page under a dialog: its template and its context.
Page = Callable[[], tuple[str, Mapping[str, Any]]]
LEVELS = {
    "success": messages.SUCCESS,
    "information": messages.INFO,
    "warning": messages.WARNING,
    "error": messages.ERROR,
}


@dataclass(frozen=True)
class Undo:
    """The form behind a toast's button that takes back what was just done."""

    title: str
    url: str
    fields: Mapping[str, str]


def is_fragment(request: HttpRequest) -> bool:
    """Tell whether htmx asks for a part of the page at hand."""
    headers = request.headers
    return (
        headers.get("HX-Request") == "true"
        and headers.get("HX-Boosted") != "true"
        and (headers.get("HX-History-Restore-Request") != "true")
    )


def dialog_response(
    request: HttpRequest, template: str, context: Mapping[str, Any], *, page: Page, status: int = 200
) -> HttpResponse:
    """Show the dialog `template`; status 422 when its form was refused."""
    if is_fragment(request):
        response = render(request, template, {**context, "is_open": False}, status=status)
        if request.headers.get("HX-Target") == DIALOG_FORM:  # the dialog stays, its form is replaced
            response.headers["HX-Reselect"] = f"#{DIALOG_FORM}"
        response.headers["Vary"] = "HX-Request"
        return response
    below, below_context = page()
    whole = {**below_context, **context, "dialog_template": template, "is_open": True}
    return render(request, below, whole, status=status)


def page_response(
    request: HttpRequest, template: str, fragment: str, context: Mapping[str, Any], *, status: int = 200
) -> HttpResponse:
    """Show a page, or only its changing part when htmx asks for it."""
    html = _rendered(request, fragment if is_fragment(request) else template, context)
    return HttpResponse(html, status=status, headers={"Vary": "HX-Request"})


def _rendered(request: HttpRequest, template: str, context: Mapping[str, Any]) -> str:
    """Render a template. Hundreds of rows go in last: each block around them would copy them once more."""
    large = {
        name: value for name, value in context.items() if isinstance(value, SafeString) and len(value) > LARGE
    }
    places = {name: SafeString(secrets.token_hex()) for name in large}
    html: str = render_to_string(template, {**context, **places}, request)
    for name, place in places.items():
        html = html.replace(place, large[name])
    return html


def list_response(
    request: HttpRequest, template: str, fragment: str, context: Mapping[str, Any], *, here: str
) -> HttpResponse:
    """Show a list as a page or as a fragment; `here` is its address without the empty words of its form.

    Asked for by that address, the link or the list says itself whether it goes into the history.
    """
    response = page_response(request, template, fragment, context)
    if is_fragment(request) and request.get_full_path() != here:
        response.headers["HX-Push-Url"] = here
    return response


def saved_response(
    request: HttpRequest,
    redirect_to: str,
    *,
    title: str,
    text: str = "",
    intent: str = "success",
    leave: bool = False,
    undo: Undo | None = None,
) -> HttpResponse:
    """Say that something was done, close the dialog and refresh what is shown below it.

    With `leave` the browser goes to `redirect_to` even from a dialog, for instance to the page of a job.
    `undo` offers the way back beside the words.
    """
    if is_fragment(request) and not leave:
        events = {
            "toast": {
                "title": title,
                "text": text,
                "intent": intent,
                **({"undo": asdict(undo)} if undo else {}),
            },
            "records:changed": True,
            "dialog:close": True,
        }
        response = HttpResponse(status=200)
        response.headers["HX-Trigger"] = json.dumps(events)
        response.headers["HX-Reswap"] = "none"
        return response
    # Django drops a message without words, and with it the title.
    messages.add_message(request, LEVELS[intent], text or title, extra_tags=title)
    return redirect_response(request, redirect_to)


def redirect_response(request: HttpRequest, redirect_to: str) -> HttpResponse:
    """Send the browser to another page, from a page or from a fragment."""
    if is_fragment(request):
        response = HttpResponse(status=200)
        response.headers["HX-Redirect"] = redirect_to
        return response
    return HttpResponseRedirect(redirect_to)
