"""Turn the bytes of a message into what people read. Bad mail never raises and is never lost.

Most messages are taken apart at once (`splitting`); those with anything strange about them are read the
tolerant way (`mime`). Both give the same parts in the same order, so an attachment has one
number for ever. What was wrong with a message is listed in `defects`; its raw bytes are kept by the
caller in any case.
"""

import hashlib
import io
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import BinaryIO, overload

from emailsync.mail.addresses import parse_addresses
from emailsync.mail.headers import (
    Address,
    decode_text,
    decode_words,
    message_id,
    message_ids,
    one_line,
    parse_date,
    storable,
)
from emailsync.mail.mime import Headers, Leaf, Walker
from emailsync.mail.plain import text_of
from emailsync.mail.splitting import Split, split

__all__ = [
    "Address",
    "AttachmentInfo",
    "ParsedMessage",
    "attachment_beginnings",
    "attachment_content",
    "parse",
    "parse_file",
]

TEXT_LIMIT = 4 * 1024 * 1024
# Above this messages are read piece by piece: that takes a tenth of the memory.
FAST_LIMIT = 1024 * 1024
SUBJECT_LIMIT = 4_000
REFERENCES_LIMIT = 500
BODY_TYPES = frozenset({"text/plain", "text/html"})


@dataclass(frozen=True)
class AttachmentInfo:
    """Describe an attachment; the digest is that of its decoded bytes."""

    position: int
    filename: str
    content_type: str
    size: int
    sha256: str
    content_id: str
    inline: bool


@dataclass
class ParsedMessage:
    """Hold what people read of a message."""

    message_id: str
    in_reply_to: str
    references: tuple[str, ...]
    subject: str
    sender: Address | None
    reply_to: tuple[Address, ...]
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    bcc: tuple[Address, ...]
    date: datetime | None
    #: The bodies as they came, plain ones and HTML.
    texts: tuple[str, ...]
    pages: tuple[str, ...]
    has_html: bool
    attachments: tuple[AttachmentInfo, ...]
    #: The headers as they came, and the first value of each by its name in small letters.
    raw_headers: Headers
    values: Mapping[str, str]
    defects: tuple[str, ...]

    @cached_property
    def headers(self) -> Headers:
        """Return the headers as people read them."""
        return tuple((name, _readable(value)) for name, value in self.raw_headers)

    @cached_property
    def text(self) -> str:
        """Return what people read, in lines: the plain bodies, or what HTML says where there are none."""
        return "\n".join(map(_with_newlines, self.texts)) if self._is_plain else text_of(self.html)

    @cached_property
    def html(self) -> str:
        """Return the bodies in HTML."""
        return "\n".join(map(_with_newlines, self.pages))

    def beginning(self, length: int) -> str:
        """Return so many characters of `text`, without the work of making all of it."""
        if self._is_plain:
            # A line end may take two characters.
            return "\n".join(_with_newlines(text[: 2 * length]) for text in self.texts)[:length]
        return text_of("\n".join(self.pages), length=length)[:length]

    @property
    def _is_plain(self) -> bool:
        return any(text and not text.isspace() for text in self.texts)


@dataclass
class Collected:
    """Gather the bodies and attachments of a message."""

    texts: list[str] = field(default_factory=list)
    pages: list[str] = field(default_factory=list)
    attachments: list[AttachmentInfo] = field(default_factory=list)
    defects: list[str] = field(default_factory=list)
    _room: int = TEXT_LIMIT

    def add_body(self, content_type: str, content: bytes, charset: str) -> None:
        """Add a body that people read."""
        if len(content) > self._room:
            content = content[: self._room]
            self.defects.append("text_too_large")
        self._room -= len(content)
        text, defect = decode_text(content, charset)
        if defect:
            self.defects.append(defect)
        (self.texts if content_type == "text/plain" else self.pages).append(text)

    def add_attachment(self, description: Leaf, *, size: int, digest: str) -> None:
        """Add an attachment under the next number."""
        self.attachments.append(_attachment(description, len(self.attachments), size=size, digest=digest))


def parse(raw: bytes) -> ParsedMessage:
    """Parse a message in memory."""
    return _read(_take_apart(raw))


def parse_file(stream: BinaryIO, *, size: int) -> ParsedMessage:
    """Parse a message too large for memory; attachments are digested as they pass by."""
    return parse(stream.read()) if size <= FAST_LIMIT else _read(Walker(stream))


@overload
def attachment_content(source: bytes, position: int) -> tuple[AttachmentInfo, bytes]: ...


@overload
def attachment_content(source: BinaryIO, position: int) -> tuple[AttachmentInfo, Iterator[bytes]]: ...


def attachment_content(
    source: bytes | BinaryIO, position: int
) -> tuple[AttachmentInfo, bytes | Iterator[bytes]]:
    """Return an attachment by its number; of a stream, which must be able to go back, as an iterator.

    Raise LookupError when the message has no such attachment.
    """
    if isinstance(source, bytes):
        leaf = _attachment_leaf(_take_apart(source), position)
        content = b"".join(leaf.decoded())
        return _attachment(leaf, position, size=len(content), digest=_hex(content)), content
    start = source.tell()
    size = source.seek(0, io.SEEK_END) - start
    source.seek(start)
    if size <= FAST_LIMIT:
        info, content = attachment_content(source.read(), position)
        return info, iter((content,))
    leaf = _attachment_leaf(Walker(source), position)
    length, digest = _measure(leaf.decoded())
    info = _attachment(leaf, position, size=length, digest=digest)
    source.seek(start)
    return info, _attachment_leaf(Walker(source), position).decoded()


def attachment_beginnings(
    source: bytes | BinaryIO, positions: Collection[int], *, length: int
) -> dict[int, bytes]:
    """Return the first bytes of some attachments by their numbers, having gone through the message once."""
    message = _take_apart(source) if isinstance(source, bytes) else Walker(source)
    found: dict[int, bytes] = {}
    for position, leaf in enumerate(leaf for leaf in message.leaves() if not is_body(leaf)):
        if position in positions:
            found[position] = _up_to(length, leaf.decoded())
        if len(found) == len(positions):
            break
    return found


def _attachment_leaf(message: Split | Walker, position: int) -> Leaf:
    attachments = (leaf for leaf in message.leaves() if not is_body(leaf))
    found = next(itertools.islice(attachments, position, None), None) if position >= 0 else None
    if found is None:
        raise LookupError(f"The message has no attachment number {position}.")
    return found


def _take_apart(raw: bytes) -> Split | Walker:
    return (split(raw) if len(raw) <= FAST_LIMIT else None) or Walker(io.BytesIO(raw))


def _read(message: Split | Walker) -> ParsedMessage:
    collected = Collected()
    for leaf in message.leaves():
        if is_body(leaf):
            collected.add_body(leaf.content_type, _up_to(TEXT_LIMIT + 1, leaf.decoded()), leaf.charset)
        else:
            size, digest = _measure(leaf.decoded())
            collected.add_attachment(leaf, size=size, digest=digest)
    collected.defects.extend(message.defects)
    return _message(message.headers, message.values, collected)


def is_body(leaf: Leaf) -> bool:
    """Say whether people read this part as text of the message itself."""
    return leaf.content_type in BODY_TYPES and leaf.disposition != "attachment" and not leaf.filename


def _attachment(leaf: Leaf, position: int, *, size: int, digest: str) -> AttachmentInfo:
    return AttachmentInfo(
        position=position,
        filename=leaf.filename,
        content_type=leaf.content_type,
        size=size,
        sha256=digest,
        content_id=leaf.content_id,
        inline=leaf.disposition == "inline" or (not leaf.disposition and bool(leaf.content_id)),
    )


def _up_to(limit: int, pieces: Iterable[bytes]) -> bytes:
    """Join pieces up to a size and let the rest pass by."""
    kept: list[bytes] = []
    size = 0
    for piece in pieces:
        if size < limit:
            kept.append(piece[: limit - size])
            size += len(piece)
    return b"".join(kept)


def _measure(pieces: Iterable[bytes]) -> tuple[int, str]:
    digest = hashlib.sha256()
    size = 0
    for piece in pieces:
        digest.update(piece)
        size += len(piece)
    return size, digest.hexdigest()


def _hex(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _message(headers: Headers, values: Mapping[str, str], collected: Collected) -> ParsedMessage:
    date = parse_date(values["date"]) if "date" in values else None
    if "date" in values and date is None:
        collected.defects.append("date_unreadable")
    senders = parse_addresses(values.get("from", ""))
    return ParsedMessage(
        message_id=message_id(values.get("message-id", "")),
        in_reply_to=message_id(values.get("in-reply-to", "")),
        references=message_ids(values.get("references", ""))[:REFERENCES_LIMIT],
        subject=one_line(decode_words(values.get("subject", "")))[:SUBJECT_LIMIT],
        sender=senders[0] if senders else None,
        reply_to=parse_addresses(values.get("reply-to", "")),
        to=parse_addresses(values.get("to", "")),
        cc=parse_addresses(values.get("cc", "")),
        bcc=parse_addresses(values.get("bcc", "")),
        date=date,
        texts=tuple(collected.texts),
        pages=tuple(collected.pages),
        has_html=any(collected.pages),
        attachments=tuple(collected.attachments),
        raw_headers=headers,
        values=values,
        defects=tuple(dict.fromkeys(collected.defects)),
    )


def _readable(value: str) -> str:
    return value if value.isascii() and "=?" not in value else storable(decode_words(value))


def _with_newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
