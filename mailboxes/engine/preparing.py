"""Fetched messages made ready for their rows: parsed, digested, large ones put to rest as files."""

import hashlib
import logging
import os
import shutil
import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO

from django.core.files.storage import default_storage

from emailsync.mail.automatic import Automatic, automatic_kind
from emailsync.mail.bounces import PART_LIMIT, Bounce, read_bounce
from emailsync.mail.embedded import attached_messages, is_message
from emailsync.mail.errors import SpoolFailed
from emailsync.mail.headers import HEADERS_LIMIT, fingerprint
from emailsync.mail.incoming import FetchedMessage, RawBody
from emailsync.mail.parsing import ParsedMessage, attachment_beginnings, parse, parse_file
from mailboxes import searching

log = logging.getLogger(__name__)

#: Raw messages above this size are kept as files, content-addressed, instead of in the database.
FILE_THRESHOLD = 4 * 1024 * 1024
COPY_PIECE = 1024 * 1024
PREVIEW_CHARACTERS = 200
#: What a defect in a parser may raise. The message is quarantined with its bytes, and the next one follows.
PARSER_FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True)
class Seen:
    """What lists show of a message beside its headers, and what search finds it by.

    It is made where the message is parsed, not where it is stored: by then its memory is no longer at hand.
    """

    preview: str = ""
    words: str = ""
    automatic: Automatic = Automatic.NONE

    @classmethod
    def of(cls, parsed: ParsedMessage) -> "Seen":
        """Look at a message with its bodies."""
        beginning = parsed.beginning(searching.TEXT_CHARACTERS)
        sender = (parsed.sender,) if parsed.sender else ()
        people = map(str, (*sender, *parsed.to, *parsed.cc, *parsed.bcc, *parsed.reply_to))
        return cls(
            preview=" ".join(beginning[: PREVIEW_CHARACTERS * 4].split())[:PREVIEW_CHARACTERS],
            words=searching.words(parsed.subject, people, beginning),
            automatic=automatic_kind(parsed.raw_headers),
        )


@dataclass(frozen=True)
class Prepared:
    """A fetched message with what its rows need, made before the transaction opens."""

    source: FetchedMessage
    sha256: str
    fingerprint: str
    #: Without its bodies, which would take as much memory again.
    parsed: ParsedMessage | None
    failure: str
    content: bytes | None
    #: Empty for a large message that may turn out not to be wanted: see `at_rest`.
    file: str
    seen: Seen
    #: The messages attached to one of a forward mailbox; their "UIDs" are the numbers of the attachments.
    attached: "tuple[Prepared, ...]" = ()
    #: What it reports about messages that were sent from here, perhaps.
    bounce: Bounce | None = None
    #: Larger than the limit: the bytes are those of its header, while the source tells the size of all.
    is_header_only: bool = False

    def bounces(self) -> list[Bounce]:
        """Return what it, and what is attached to it, reports."""
        return [each.bounce for each in (self, *self.attached) if each.bounce]

    def close(self) -> None:
        """Give the temporary files back."""
        for each in (self, *self.attached):
            each.source.body.close()


def prepare(message: FetchedMessage, *, unpack: bool = False, keep: bool = True) -> Prepared:
    """Parse a message and put a large one's bytes to rest; what cannot be parsed is marked for quarantine.

    With `unpack` the messages attached to it are prepared too. Without `keep` no file is written yet.
    """
    body = message.body
    failure, parsed, bounce, seen = "", None, None, Seen()
    try:
        whole = body.content
        parsed = parse(whole) if whole is not None else parse_file(body.open(), size=body.size)
        bounce = read_bounce(parsed, partial(_beginnings, body))
        if bounce is not None:
            # It belongs to the conversation of the message that it is about.
            parsed.references += bounce.message_ids[:1]
        seen = Seen.of(parsed)
        parsed.texts = parsed.pages = ()
    except PARSER_FAILURES as error:
        log.exception("A message could not be parsed and is quarantined")
        # Nothing half read is stored beside it.
        parsed = bounce = None
        failure = f"This version of emailsync fails on reading it ({type(error).__name__})."
    content, file = None, ""
    if body.size <= FILE_THRESHOLD:
        content = body.content if body.content is not None else body.open().read()
    start = content if content is not None else body.open().read(HEADERS_LIMIT)
    known_by = fingerprint(start, message.claimed)
    sha256 = body.sha256.hex()
    prepared = Prepared(message, sha256, known_by, parsed, failure, content, file, seen, bounce=bounce)
    if keep:
        prepared = at_rest(prepared)
    return replace(prepared, attached=_attached(message, parsed)) if unpack and parsed else prepared


def _beginnings(body: RawBody, positions: Collection[int]) -> dict[int, bytes]:
    source = body.content if body.content is not None else body.open()
    return attachment_beginnings(source, positions, length=PART_LIMIT)


def prepare_header(message: FetchedMessage, *, size: int) -> Prepared:
    """Parse the header of a message of `size` bytes, too large to be fetched; of its body nothing is said.

    Its hash takes the size in: another message with the same header, stripped of its body, is not the same.
    """
    prepared = prepare(replace(message, size=size, claimed=size))
    parsed = prepared.parsed and replace(prepared.parsed, has_html=False, attachments=(), defects=())
    sha256 = hashlib.sha256(b"%d %b" % (size, message.body.sha256)).hexdigest()
    return replace(prepared, parsed=parsed, sha256=sha256, is_header_only=True)


def at_rest(prepared: Prepared) -> Prepared:
    """Return the message with its bytes where they are going to stay. Raises SpoolFailed."""
    if prepared.content is not None or prepared.file:
        return prepared
    body = prepared.source.body
    return replace(prepared, file=_keep_file(body.open(), prepared.sha256, size=body.size))


def restore(stored: Iterable[Prepared]) -> None:
    """Write those files anew that were discarded just before the rows naming them were committed.

    Call it after the commit, while the bodies are still there: see `mailboxes.engine.discarding`.
    """
    for each in stored:
        if each.file:
            _keep_file(each.source.body.open(), each.sha256, size=each.source.body.size)


def _attached(message: FetchedMessage, parsed: ParsedMessage) -> tuple[Prepared, ...]:
    if not any(is_message(each.content_type, each.filename) for each in parsed.attachments):
        return ()
    return tuple(
        prepare(_inner(message, each.position, each.body), keep=False)
        for each in attached_messages(message.body.open())
    )


def _inner(outer: FetchedMessage, position: int, body: RawBody) -> FetchedMessage:
    return FetchedMessage(position, outer.received_at, body.size, body)


def _keep_file(stream: IO[bytes], sha256: str, *, size: int) -> str:
    """Write a large message to storage under its hash, whole and on disk before any row names it.

    It gets that name only when all of it is there: a full disk or a power cut leaves no half message
    behind that would be taken for this one later. Raises SpoolFailed.
    """
    name = f"{sha256[:2]}/{sha256[2:4]}/{sha256}"
    path = Path(default_storage.path(name))
    unfinished = path.with_name(f"{sha256}.{uuid.uuid4().hex}.unfinished")
    try:
        if path.exists() and path.stat().st_size == size:
            return name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                shutil.copyfileobj(stream, file, COPY_PIECE)
                file.flush()
                os.fsync(file.fileno())
            unfinished.rename(path)
        finally:
            unfinished.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as error:
        raise SpoolFailed(
            f"A large message could not be written to the data folder: {error.strerror}."
        ) from error
    return name


def _sync_folder(folder: Path) -> None:
    """Have the names in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
