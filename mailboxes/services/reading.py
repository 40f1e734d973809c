"""Received and sent mail made readable: raw bytes, text, harmless HTML, attachments, safe file names."""

import mimetypes
import re
import unicodedata
from base64 import b64encode
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import BinaryIO

from django.utils.translation import gettext as _

from emailsync.mail.parsing import (
    AttachmentInfo,
    ParsedMessage,
    attachment_beginnings,
    attachment_content,
    parse,
    parse_file,
)
from mailboxes import sanitizing
from mailboxes.models import Message, RawMessage
from profiles.models import EmailSettings

#: Messages above this size are parsed from the stream, in bounded memory.
LARGE = 1024 * 1024
#: Pictures inside a message are written into the page that shows it, up to these sizes.
LARGEST_PICTURE = 4 * 1024 * 1024
PICTURES_TOGETHER = 12 * 1024 * 1024
MOST_PICTURES = 40
LONGEST_NAME = 120
#: Types that a browser might run or render if a person opens the downloaded file from its list.
ACTIVE_TYPES = re.compile(r"html|xml|script|message/|multipart/|x-ms|hta", re.IGNORECASE)
PLAIN_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,60}/[a-z0-9][a-z0-9!#$&^_.+-]{0,100}", re.IGNORECASE)


class RawMissing(Exception):
    """The bytes of a message are not where they were stored."""


def open_raw(message: Message) -> BinaryIO:
    """Open the bytes of `message` as the server delivered them. Raises RawMissing."""
    raw = RawMessage.objects.filter(message=message).first()
    if raw is None:
        raise RawMissing(_("The source of this message was removed from the database."))
    try:
        return raw.open()
    except FileNotFoundError as error:
        raise RawMissing(
            _(
                "The source of this message is missing from the data folder (raw/%(file)s). "
                "Restore it from a backup."
            )
            % {"file": raw.file}
        ) from error


def parsed(message: Message) -> ParsedMessage:
    """Parse the bytes of `message`. Raises RawMissing."""
    with open_raw(message) as stream:
        return parse_file(stream, size=message.size) if message.size > LARGE else parse(stream.read())


def is_restricted(message: Message) -> bool:
    """Say whether `message` is shown in a secure frame: there no picture on other servers is ever loaded."""
    return EmailSettings.objects.filter(environment=message.environment_id, use_secure_frames=True).exists()


def html_of(message: Message, *, remote_images: bool = False) -> sanitizing.SafeHtml:
    """Return the HTML of `message` for its frame, pictures that came with it included. Raises RawMissing.

    What the email settings block is not shown, and with secure frames on no `remote_images` either.
    """
    content = parsed(message)
    restricted = is_restricted(message)
    blocked = set(message.attachments.filter(is_blocked=True).values_list("position", flat=True))
    wanted = sanitizing.referenced_images(content.html)
    chosen: dict[str, AttachmentInfo] = {}
    room = PICTURES_TOGETHER
    for info in content.attachments:
        if info.position in blocked:
            continue
        name = sanitizing.content_id(info.content_id)
        fits = info.size <= min(LARGEST_PICTURE, room) and len(chosen) < MOST_PICTURES
        if name in wanted and name not in chosen and fits and info.content_type in sanitizing.IMAGE_TYPES:
            chosen[name] = info
            room -= info.size
    pictures = _written_out(message, chosen) if chosen else {}
    return sanitizing.sanitize(
        content.html, inline_images=pictures, remote_images=remote_images, restricted=restricted
    )


def _written_out(message: Message, pictures: dict[str, AttachmentInfo]) -> dict[str, str]:
    """Return the pictures as addresses that hold them (RFC 2397), the message being gone through once."""
    with open_raw(message) as stream:
        source = stream if message.size > LARGE else stream.read()
        positions = [info.position for info in pictures.values()]
        contents = attachment_beginnings(source, positions, length=LARGEST_PICTURE)
    return {
        name: f"data:{info.content_type};base64,{b64encode(contents[info.position]).decode('ascii')}"
        for name, info in pictures.items()
    }


def attachment(message: Message, position: int) -> tuple[AttachmentInfo, Iterator[bytes]]:
    """Return one attachment and its decoded bytes. Raises RawMissing, or LookupError when there is none."""
    stream = open_raw(message)
    try:
        info, chunks = attachment_content(stream, position)
    except LookupError:
        stream.close()
        raise
    return info, _closing(stream, chunks)


def _closing(stream: BinaryIO, chunks: Iterator[bytes]) -> Iterator[bytes]:
    with stream:
        yield from chunks


def safe_filename(name: str, *, fallback: str, content_type: str = "") -> str:
    """Return a name that is only a name: no folders, no controls, no change of the reading direction."""
    shown = "".join(c for c in name if unicodedata.category(c)[0] != "C").replace("\\", "/")
    shown = re.sub(r'[<>:"|?*]', "_", PurePosixPath(shown).name).strip(" .")
    if not shown:
        return fallback + (mimetypes.guess_extension(content_type) or "")
    stem, dot, ending = shown.rpartition(".")
    if dot and stem and len(ending) <= 20:
        return f"{stem[: LONGEST_NAME - len(ending) - 1]}.{ending}"
    return shown[:LONGEST_NAME]


def eml_name(message: Message) -> str:
    """Return what the file of a whole message is called."""
    return safe_filename(f"{message.subject[:80]}.eml", fallback="message.eml")


def safe_content_type(content_type: str) -> str:
    """Return a declared type if it is one and nothing a browser would run, else the type of mere bytes."""
    if PLAIN_TYPE.fullmatch(content_type) and not ACTIVE_TYPES.search(content_type):
        return content_type.lower()
    return "application/octet-stream"
