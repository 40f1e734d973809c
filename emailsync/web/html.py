"""HTML for what a page says hundreds of times.

What every row has in common is filled in once, and leaves a shape with places for what differs:

    shape = fill('<a href="{}" title="{}">{}</a>', "{url}", worded(_("Open")), "{name}")
    joined(fill(shape, url=..., name=row.name) for row in rows)
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from html import escape
from string import Formatter

from django.utils.safestring import SafeString

_is_special = re.compile(r"""[&<>"']""").search


def fill(shape: str, *values: object, **named: object) -> SafeString:
    """Put values into a piece of HTML, all escaped but `SafeString`: an eighth of the work of `format_html`.

    A place is {}, {0} or {name}. Raises IndexError or KeyError when it has no value.
    """
    parts, places, names = _taken_apart(shape)
    drawn = parts.copy()
    given = [_escaped(value) for value in values]
    for place, number in places:
        drawn[place] = given[number]
    if names:
        said = {name: _escaped(value) for name, value in named.items()}
        for place, name in names:
            drawn[place] = said[name]
    return SafeString("".join(drawn))


@lru_cache(maxsize=256)
def _taken_apart(shape: str) -> tuple[list[str], list[tuple[int, int]], list[tuple[int, str]]]:
    """Return the parts of a shape with an empty one for each place, and which value stands where."""
    parts: list[str] = []
    places: list[tuple[int, int]] = []
    names: list[tuple[int, str]] = []
    for words, name, _, _ in Formatter().parse(shape):
        parts.append(words)
        if name is None:
            continue
        if name and not name.isdecimal():
            names.append((len(parts), name))
        else:
            places.append((len(parts), int(name or len(places))))
        parts.append("")
    return parts, places, names


def joined(parts: Iterable[str]) -> SafeString:
    """Put pieces of HTML one behind the other."""
    return SafeString("".join(parts))


def worded(words: str) -> str:
    """Return words to stand in a shape: a brace of theirs would be taken for a place."""
    return words.replace("{", "{{").replace("}", "}}")


def _escaped(value: object) -> str:
    if isinstance(value, SafeString):
        return value
    text = str(value)
    # A lazy text may be HTML already.
    return text if _is_special(text) is None or isinstance(text, SafeString) else escape(text)
