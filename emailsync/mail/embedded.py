"""The messages that a message carries as attachments (RFC 2046, section 5.2.1), byte for byte."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from emailsync.mail.closing import closed_on_failure
from emailsync.mail.incoming import RawBody, Spool
from emailsync.mail.mime import Leaf, Walker
from emailsync.mail.parsing import is_body

#: The second is for addresses that are not ASCII (RFC 6532).
MESSAGE_TYPES = frozenset({"message/rfc822", "message/global"})


@dataclass(frozen=True)
class Embedded:
    """Hold an attached message by its number among the attachments."""

    position: int
    body: RawBody


def is_message(content_type: str, filename: str) -> bool:
    """Say whether an attachment is a message; some programs attach one as mere bytes with a name."""
    return content_type in MESSAGE_TYPES or (
        content_type == "application/octet-stream" and filename.lower().endswith(".eml")
    )


def attached_messages(stream: BinaryIO) -> Iterator[Embedded]:
    """Yield the messages attached to the one in `stream`, those inside them not. Raises SpoolFailed."""
    leaves = (leaf for leaf in Walker(stream).leaves() if not is_body(leaf))
    for position, leaf in enumerate(leaves):
        if is_message(leaf.content_type, leaf.filename):
            yield Embedded(position, _spooled(leaf))


def _spooled(leaf: Leaf) -> RawBody:
    spool = Spool()
    with closed_on_failure(spool):
        for piece in leaf.decoded():
            spool.write(piece)
        return spool.finish()
