"""Take a message in memory apart at once where nothing in its structure is strange; `mime` reads the others.

Strange are headers that are no headers, boundaries that are missing, not closed or only begin like one, and
whatever goes beyond a limit. What each part holds is read by the same functions as in `mime`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from emailsync.mail.headers import (
    COUNT_LIMIT,
    REGULAR_BLOCK,
    REMEMBERED_LENGTH,
    VALUE_LIMIT,
    ContentType,
    parse_content_type,
    regular_headers,
)
from emailsync.mail.mime import (
    BOUNDARY_LIMIT,
    DEPTH_LIMIT,
    PART_LIMIT,
    Description,
    Headers,
    Leaf,
    describe,
    firsts,
)


class Strange(Exception):
    """The message needs the tolerant way."""


@dataclass
class Split:
    """Hold a message that was taken apart."""

    headers: Headers
    #: The first value of each header, by its name in small letters.
    values: Mapping[str, str]
    parts: list[Leaf]
    defects: list[str] = field(default_factory=list)

    def leaves(self) -> Iterator[Leaf]:
        """Yield the parts that are no multiparts, in their order."""
        for leaf in self.parts:
            yield leaf
            self.defects.extend(leaf.defects)


class Block(NamedTuple):
    """Hold the headers of a part, and what they say of it where it is no multipart."""

    headers: Headers
    values: Mapping[str, str]
    content_type: ContentType
    leaf: Description | None


def split(raw: bytes) -> Split | None:
    """Take a message apart, or return None when the tolerant way should look at it."""
    parts: list[Leaf] = []
    try:
        headers, values = _part(raw, 0, len(raw), parts, default="text/plain", depth=0)
    except Strange:
        return None
    return Split(headers, values, parts) if headers else None


def _part(
    raw: bytes, start: int, end: int, parts: list[Leaf], *, default: str, depth: int
) -> tuple[Headers, Mapping[str, str]]:
    """Add the leaves of what lies between two boundaries and return its headers, also as `values`."""
    block = REGULAR_BLOCK.match(raw, start)
    # The line end before a boundary is the boundary's, also where it ends the headers.
    if block is None or block.end() > min(end + len(b"\r\n"), start + VALUE_LIMIT):
        raise Strange
    is_short = block.end() - start <= REMEMBERED_LENGTH
    headers, values, content_type, leaf = (_remembered if is_short else _read)(block.group(), default)
    if leaf is not None:
        parts.append(Leaf(**vars(leaf), pieces=iter((raw[block.end() : end],))))
    else:
        boundary = content_type.parameters.get("boundary", "").rstrip().encode("utf-8", "replace")
        if depth == DEPTH_LIMIT or not 0 < len(boundary) < BOUNDARY_LIMIT // 2:
            raise Strange
        inner = "message/rfc822" if content_type.value == "multipart/digest" else "text/plain"
        for begin, until in _between(raw, block.end() - 1, end, b"\n--" + boundary):
            _part(raw, begin, until, parts, default=inner, depth=depth + 1)
    if len(headers) > COUNT_LIMIT or len(parts) > PART_LIMIT:
        raise Strange
    return headers, values


def _read(block: bytes, default: str) -> Block:
    headers = regular_headers(block)
    values = firsts(headers)
    content_type = parse_content_type(values.get("content-type") or default)
    is_multipart = content_type.value.startswith("multipart/")
    leaf = None if is_multipart else describe(values, content_type, default=default)
    return Block(headers, values, content_type, leaf)


#: The headers of inner parts are short, and much the same in message after message.
_remembered = lru_cache(maxsize=256)(_read)


def _between(raw: bytes, start: int, end: int, mark: bytes) -> Iterator[tuple[int, int]]:
    """Yield where the parts between lines of a boundary begin and end (RFC 2046, section 5.1.1)."""
    found = raw.find(mark, start, end)
    while found >= 0:
        after = found + len(mark)
        following = raw.find(mark, after, end)
        is_last = raw.startswith(b"--", after)
        line_end = raw.find(b"\n", after, end)
        rest = raw[after + 2 * is_last : line_end if line_end >= 0 else end]
        if rest.strip(b"\r") or is_last != (following < 0):
            raise Strange
        if is_last:
            return
        yield line_end + 1, following - (raw[following - 1] == ord("\r"))
        found = following
    raise Strange
