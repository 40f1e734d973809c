"""HTML for what a page says hundreds of times."""

from html import escape

from django.utils.safestring import SafeString


def fill(shape: str, *values: object, **named: object) -> SafeString:
    """Put values into a piece of HTML, all escaped but `SafeString`: `format_html` in a third of its time."""
    return SafeString(
        shape.format(*map(_escaped, values), **{name: _escaped(value) for name, value in named.items()})
    )


def _escaped(value: object) -> str:
    return value if isinstance(value, SafeString) else escape(str(value))
