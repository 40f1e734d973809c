"""Make plain text of HTML, for lists, searching and quoting. The result is text and never shown as HTML."""

import html
import re

SOURCE_LIMIT = 1024 * 1024
SKIPPED = frozenset({"script", "style", "head", "title", "template", "noscript"})
BREAKS = frozenset(
    {"br", "p", "div", "tr", "li", "ul", "ol", "table", "blockquote", "pre", "hr", "section", "article"}
    | {f"h{level}" for level in range(1, 7)}
)
#: Longer than the name of any character, such as &nbsp;
LONGEST_NAME = 64
#: A number of no character; Python refuses to read one of more than 4,300 digits.
LONG_NUMBER = re.compile(r"&#[0-9]{100,};?")


class Document:
    """Hold an HTML document, and look for its tags whatever their case."""

    def __init__(self, source: str) -> None:
        self.source = source
        # The only sign that small letters make longer; all others keep their places.
        self.lower = source.replace("\u0130", "i").lower()
        self._missing: set[str] = set()

    def find(self, mark: str, start: int) -> int:
        """Return where `mark` comes next; what does not come is looked for once, not from every place."""
        if mark in self._missing:
            return -1
        found = self.lower.find(mark, start)
        if found < 0:
            self._missing.add(mark)
        return found


def text_of(source: str, *, length: int = SOURCE_LIMIT) -> str:
    """Return what a reader would see of an HTML document, in lines: at least `length` characters of it."""
    source = source[:SOURCE_LIMIT]
    document = Document(source)
    parts: list[str] = []
    position = 0
    enough = 2 * length
    while position < len(source):
        if position > enough:
            text = _tidy(_unescaped("".join(parts)))
            # What follows may still change the end: a character's name, or a space.
            if len(text) > length + LONGEST_NAME:
                return text
            enough = 2 * position
        start = source.find("<", position)
        # A long text is looked at piece by piece too.
        until = min(start if start >= 0 else len(source), max(position, enough) + 1)
        parts.append(source[position:until])
        position = until
        if position == start:
            position, part = _tag(document, start)
            parts.append(part)
    return _tidy(_unescaped("".join(parts)))


def _unescaped(text: str) -> str:
    return html.unescape(LONG_NUMBER.sub("\ufffd", text))


def _tag(document: Document, start: int) -> tuple[int, str]:
    """Step over the tag at this place; return where to go on and what stands for it."""
    source, lower = document.source, document.lower
    if source.startswith("<!--", start):
        end = source.find("-->", start + 4)
        return (end + 3 if end >= 0 else len(source)), ""
    after = source[start + 1 : start + 2]
    if not (after.isalpha() or after in {"/", "!", "?"}):
        return start + 1, "&lt;"
    end = source.find(">", start)
    if end < 0:
        return len(source), ""
    words = lower[start + 1 : min(end, start + 40)].strip("/").split(maxsplit=1)
    name = words[0].rstrip("/") if words else ""
    if name in SKIPPED and after != "/":
        closing = document.find(f"</{name}", end)
        # A head that nobody closed ends where the body begins.
        if closing < 0:
            body = document.find("<body", end) if name == "head" else -1
            return (body if body >= 0 else end + 1 if name == "head" else len(source)), ""
        end = lower.find(">", closing)
        return (end + 1 if end >= 0 else len(source)), ""
    return end + 1, "\n" if name in BREAKS else " " if name in {"td", "th"} else ""


def _tidy(text: str) -> str:
    lines = (" ".join(line.split()) for line in text.splitlines())
    tidy: list[str] = []
    for line in lines:
        if line or (tidy and tidy[-1]):
            tidy.append(line)
    return "\n".join(tidy).strip()
