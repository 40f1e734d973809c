"""HTML for what a page says hundreds of times.

What every row has in common is filled in once, and leaves a shape with places for what differs:

    shape = fill('<a href="{}" title="{}">{}</a>', "{url}", worded(_("Open")), "{name}")
    joined(fill(shape, url=..., name=row.name) for row in rows)
"""

from collections.abc import Iterable
from html import escape

from django.utils.safestring import SafeString


def fill(shape: str, *values: object, **named: object) -> SafeString:
    """Put values into a piece of HTML, all escaped but `SafeString`: a third of the work of `format_html`."""
    return SafeString(
        shape.format(*map(_escaped, values), **{name: _escaped(value) for name, value in named.items()})
    )


def joined(parts: Iterable[str]) -> SafeString:
    """Put pieces of HTML one behind the other."""
    return SafeString("".join(parts))


def worded(words: str) -> str:
    """Return words to stand in a shape: a brace of theirs would be taken for a place."""
    return words.replace("{", "{{").replace("}", "}}")


def _escaped(value: object) -> str:
    if isinstance(value, SafeString):
        return value
    text = str(value)  # of a lazy text it may be HTML already
    return text if isinstance(text, SafeString) else escape(text)
