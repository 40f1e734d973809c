"""Take a message apart as it streams by: tolerant, in bounded memory, without ever failing.

This is the second opinion beside the fast parser and the only one for messages too large for memory. It
keeps to the bytes: a boundary is looked for where a line begins, whatever else is wrong, and what no
boundary ends lasts to the end. Bodies are decoded piece by piece as their reader asks for them.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from emailsync.mail.headers import (
    COUNT_LIMIT,
    HEADER_NAME,
    HEADERS_LIMIT,
    VALUE_LIMIT,
    ContentType,
    file_name,
    one_line,
    parse_content_type,
    split_headers,
)
from emailsync.mail.transfer import LINE_LIMIT, decode_base64, decode_quoted, decode_uu

WINDOW = 256 * 1024
BOUNDARY_LIMIT = 1_000
DEPTH_LIMIT = 50
PART_LIMIT = 1_000
PREAMBLE_LIMIT = 1024 * 1024

# What a message cannot be understood without is read however long its headers are.
NEEDED = frozenset(
    {b"from", b"to", b"cc", b"date", b"subject", b"message-id", b"in-reply-to", b"references"}
    | {b"content-type", b"content-transfer-encoding", b"content-disposition", b"content-id"}
)
UNIX_FROM = re.compile(rb">?From ")
TYPE = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)

#: Names and values, in their order.
Headers = tuple[tuple[str, str], ...]


class Source:
    """Read a stream in lines and up to boundaries."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._data = b""
        self._position = 0
        self._ended = False

    def line(self) -> bytes:
        """Return the next line with its end, or a piece of one that is too long, or nothing at the end."""
        while True:
            end = self._data.find(b"\n", self._position, self._position + LINE_LIMIT)
            if end >= 0 or len(self._data) - self._position >= LINE_LIMIT or not self._fill():
                break
        stop = end + 1 if end >= 0 else min(self._position + LINE_LIMIT, len(self._data))
        line = self._data[self._position : stop]
        self._position = stop
        return line

    def give_back(self, line: bytes) -> None:
        """Undo the reading of the last line."""
        self._position -= len(line)

    def until(self, boundaries: "Boundaries") -> Iterator[bytes]:  # noqa: C901 - one loop over one state
        """Yield what comes before the next boundary, and tell the boundaries which one it was."""
        boundaries.hit = None
        # What is before the position has been read already; the first line may be a boundary itself.
        search_from = self._position
        at_start = True
        while True:
            found = self._candidate(search_from, at_start=at_start)
            if found is None:
                held = self._held_back()
                if held > self._position:
                    yield self._take(held)
                    at_start = False
                if not self._fill():
                    if self._position < len(self._data):
                        yield self._take(len(self._data))
                    return
                search_from = self._position
                continue
            begin, line_start = found
            line_end = self._line_end(line_start)
            if line_end is None:
                if begin > self._position:
                    yield self._take(begin)
                    at_start = False
                if self._fill():
                    search_from = self._position
                    continue
                line_end = len(self._data)
            if boundaries.match(self._data[line_start:line_end]):
                if begin > self._position:
                    yield self._take(begin)
                self._position = line_end
                return
            search_from = line_start
            at_start = False

    def _candidate(self, search_from: int, *, at_start: bool) -> tuple[int, int] | None:
        """Return where the text before a line that begins with two dashes ends, and where the line begins."""
        data = self._data
        if at_start and data.startswith(b"--", self._position):
            return self._position, self._position
        found = data.find(b"\n--", search_from)
        if found < 0:
            return None
        begin = found - 1 if found > self._position and data[found - 1] == 13 else found
        return begin, found + 1

    def _line_end(self, start: int) -> int | None:
        """Return the end of a possible boundary line, None when more must be read to know it."""
        end = self._data.find(b"\n", start, start + BOUNDARY_LIMIT)
        if end >= 0:
            return end + 1
        return start + BOUNDARY_LIMIT if len(self._data) - start >= BOUNDARY_LIMIT else None

    def _held_back(self) -> int:
        """Return up to where no boundary can begin."""
        return max(self._position, len(self._data) - 4)

    def _take(self, stop: int) -> bytes:
        piece = self._data[self._position : stop]
        self._position = stop
        return piece

    def _fill(self) -> bool:
        if self._ended:
            return False
        more = self._stream.read(WINDOW)
        if not more:
            self._ended = True
            return False
        self._data = self._data[self._position :] + more
        self._position = 0
        return True


class Boundaries:
    """Hold the boundaries of the multiparts around a place, the innermost last."""

    def __init__(self) -> None:
        self._stack: list[bytes] = []
        #: What each line says after its dashes: of which level it is, and whether it closes it.
        self._lines: dict[bytes, tuple[int, bool]] = {}
        self.hit: tuple[int, bool] | None = None

    def push(self, boundary: bytes) -> int:
        """Enter a multipart and return its level."""
        self._stack.append(boundary)
        self._learn()
        return len(self._stack) - 1

    def leave(self, level: int) -> None:
        """Leave a multipart and all within it."""
        del self._stack[level:]
        self._learn()

    def _learn(self) -> None:
        self._lines = {}
        for level, boundary in enumerate(self._stack):
            self._lines |= {boundary: (level, False), boundary + b"--": (level, True)}

    def match(self, line: bytes) -> bool:
        """Note whether a line is one of the boundaries (RFC 2046, section 5.1.1)."""
        found = self._lines.get(line[2:].rstrip(b" \t\r\n"))
        if found is None:
            return False
        self.hit = found
        return True


@dataclass
class Description:
    """What its headers say of a part that is no multipart."""

    content_type: str
    charset: str
    disposition: str
    filename: str
    content_id: str
    encoding: str


@dataclass
class Leaf(Description):
    """Hold a part that is no multipart; its bytes must be read before the next part is asked for."""

    pieces: Iterator[bytes]
    defects: list[str] = field(default_factory=list)

    def decoded(self) -> Iterator[bytes]:
        """Yield the bytes without their transfer encoding (RFC 2045, section 6)."""
        if self.encoding == "base64":
            yield from decode_base64(self.pieces, self.defects)
        elif self.encoding == "quoted-printable":
            yield from decode_quoted(self.pieces)
        elif self.encoding in {"x-uuencode", "uuencode", "x-uue", "uue"}:
            yield from decode_uu(self.pieces)
        else:
            yield from self.pieces


class Walker:
    """Go through the parts of a message in their order."""

    def __init__(self, stream: BinaryIO) -> None:
        self._source = Source(stream)
        self._boundaries = Boundaries()
        self._parts = 0
        self.headers: Headers = ()
        self.values: Mapping[str, str] = {}
        self.defects: list[str] = []

    def read_top(self) -> None:
        """Read the headers of the message itself."""
        self.headers = self._read_headers(top=True)
        self.values = firsts(self.headers)

    def leaves(self) -> Iterator[Leaf]:
        """Yield the leaves, in their order; the headers of the message are there before the first."""
        self.read_top()
        yield from self._part(self.values, depth=0, default="text/plain")

    def _part(self, values: Mapping[str, str], *, depth: int, default: str) -> Iterator[Leaf]:
        content_type = parse_content_type(values.get("content-type") or default)
        boundary = content_type.parameters.get("boundary", "").rstrip().encode("utf-8", "replace")
        if content_type.value.startswith("multipart/") and boundary and depth < DEPTH_LIMIT:
            yield from self._multipart(values, content_type, boundary, depth=depth)
            return
        if content_type.value.startswith("multipart/"):
            self.note("nested_too_deep" if boundary else "boundary_missing")
            if not boundary:
                content_type = ContentType("text/plain", content_type.parameters)
        # Headers that ran into a boundary have no body.
        ended = self._boundaries.hit is not None
        pieces: Iterator[bytes] = iter(()) if ended else self._source.until(self._boundaries)
        yield from self._leaf(values, content_type, default=default, pieces=pieces)
        for _ in pieces:
            pass

    def _leaf(
        self,
        values: Mapping[str, str],
        content_type: ContentType,
        *,
        default: str,
        pieces: Iterator[bytes],
    ) -> Iterator[Leaf]:
        self._parts += 1
        if self._parts > PART_LIMIT:
            self.note("too_many_parts")
            return
        leaf = Leaf(**vars(describe(values, content_type, default=default)), pieces=pieces)
        yield leaf
        for defect in leaf.defects:
            self.note(defect)

    def _multipart(
        self, values: Mapping[str, str], content_type: ContentType, boundary: bytes, *, depth: int
    ) -> Iterator[Leaf]:
        default = "message/rfc822" if content_type.value == "multipart/digest" else "text/plain"
        level = self._boundaries.push(boundary)
        preamble = b""
        if self._boundaries.hit is None:
            preamble = self._skip(keep=PREAMBLE_LIMIT)
        if self._boundaries.hit is None or self._boundaries.hit[0] < level:
            # Then it was no multipart, whatever it says, and this is its text.
            self.note("boundary_not_found")
            text = ContentType("text/plain", content_type.parameters)
            yield from self._leaf(values, text, default=default, pieces=iter((preamble,)))
        # Who counts no further reads no further.
        while self._boundaries.hit == (level, False) and self._parts <= PART_LIMIT:
            self._boundaries.hit = None
            yield from self._part(firsts(self._read_headers()), depth=depth + 1, default=default)
        closed = self._boundaries.hit == (level, True)
        self._boundaries.leave(level)
        if closed:
            self._skip()
        elif self._parts <= PART_LIMIT:
            self.note("boundary_unclosed")

    def _skip(self, *, keep: int = 0) -> bytes:
        """Go to the next boundary; return so much of what lay before it."""
        kept = b""
        for piece in self._source.until(self._boundaries):
            if len(kept) < keep:
                kept += piece[: keep - len(kept)]
        return kept

    def _read_headers(self, *, top: bool = False) -> Headers:
        self._boundaries.hit = None
        return tuple(split_headers(self._header_lines(top=top)))

    def _header_lines(self, *, top: bool) -> Iterator[bytes]:
        """Yield the lines of headers, within limits; what goes beyond them is named as a defect."""
        size = value_size = count = 0
        seen: set[bytes] = set()
        keep = True
        previous = b""
        while line := self._source.line():
            found = HEADER_NAME.match(line)
            if previous and not previous.endswith(b"\n"):
                # A line too long to be read at once goes on.
                found, line_goes_on = None, True
            else:
                line_goes_on = line[:1] in b" \t" and count > 0
                if not line.strip(b"\r\n"):
                    return
                if line.startswith(b"--") and self._boundaries.match(line):
                    return
                if not (found or line_goes_on) and not self._skips(line, top=top and not previous):
                    self._source.give_back(line)
                    return
            previous = line
            if found is not None:
                name = found.group(1).lower()
                value_size = 0
                keep = size < HEADERS_LIMIT and count < COUNT_LIMIT
                keep = keep or (name in NEEDED and name not in seen)
                count += 1
                seen |= NEEDED & {name}
            elif not line_goes_on:
                keep = False
                continue
            value_size += len(line)
            if not keep or value_size > VALUE_LIMIT:
                self.note("headers_too_large")
                continue
            size += len(line)
            yield line
        if top:
            self.note("no_body")

    def _skips(self, line: bytes, *, top: bool) -> bool:
        """Return whether a line that is no header may stand among headers all the same."""
        if top and UNIX_FROM.match(line):
            return True
        self.note("header_broken" if line.startswith(b":") else "headers_not_ended")
        return line.startswith(b":")

    def note(self, defect: str) -> None:
        """Note what is wrong, once."""
        if defect not in self.defects:
            self.defects.append(defect)


def firsts(headers: Headers) -> dict[str, str]:
    """Return the first value of each header by its name in small letters."""
    return {name.lower(): value for name, value in reversed(headers)}


def describe(values: Mapping[str, str], content_type: ContentType, *, default: str) -> Description:
    """Describe a part by the first value of each of its headers."""
    disposition = parse_content_type(values.get("content-disposition", ""))
    return Description(
        content_type=content_type.value if TYPE.fullmatch(content_type.value) else default,
        charset=content_type.parameters.get("charset", ""),
        disposition=disposition.value,
        filename=file_name(disposition, content_type),
        content_id=one_line(values.get("content-id", "")).strip("<>"),
        encoding=values.get("content-transfer-encoding", "").partition(";")[0].strip().lower(),
    )
