"""The controls of forms drawn in Python, letter for letter as Django's templates draw them.

A form has a dozen or two of them, and a list of options is a template for each: drawing them took half of the
time of a page with a form.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from django.utils.safestring import SafeString

from emailsync.web.html import fill, joined

Widget = Mapping[str, Any]


def attributes(widget: Widget) -> SafeString:
    """Draw attributes: one that is false stands nowhere, one that is true by its name alone."""
    return joined(
        fill(" {}", name) if value is True else fill(' {}="{}"', name, value)
        for name, value in widget["attrs"].items()
        if value is not False
    )


def _input(widget: Widget) -> SafeString:
    value = widget["value"]
    return fill(
        '<input type="{}" name="{}"{}{}>',
        widget["type"],
        widget["name"],
        "" if value is None else fill(' value="{}"', value),
        attributes(widget),
    )


def _option(widget: Widget) -> SafeString:
    return fill('<option value="{}"{}>{}</option>', widget["value"], attributes(widget), widget["label"])


def _group(name: object, options: list[Widget]) -> SafeString:
    drawn = joined(fill("\n  {}\n", _option(option)) for option in options)
    return fill('\n  <optgroup label="{}">{}\n  </optgroup>', name, drawn) if name else drawn


def _select(widget: Widget) -> SafeString:
    groups = joined(_group(name, options) for name, options, _index in widget["optgroups"])
    return fill('<select name="{}"{}>{}\n</select>', widget["name"], attributes(widget), groups)


def _textarea(widget: Widget) -> SafeString:
    return fill(
        '<textarea name="{}"{}>\n{}</textarea>', widget["name"], attributes(widget), widget["value"] or ""
    )


#: What draws the widgets of these of Django's templates; others are drawn as templates.
DRAWN: Final[Mapping[str, Callable[[Widget], SafeString]]] = {
    **{
        f"django/forms/widgets/{name}.html": _input
        for name in ("checkbox", "date", "datetime", "email", "hidden", "number", "password", "text", "url")
    },
    "django/forms/widgets/select.html": _select,
    "django/forms/widgets/textarea.html": _textarea,
}
