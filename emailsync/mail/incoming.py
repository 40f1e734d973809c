"""What every client for incoming mail can do, whatever its protocol."""

import hashlib
import io
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import BinaryIO, Protocol, Self

from emailsync.mail.errors import SpoolFailed

# Messages above this size travel in pieces of this size and rest in a temporary file.
PIECE = 1024 * 1024
# No client takes a larger message than this, whoever asks for it.
LARGEST_MESSAGE = 512 * 1024 * 1024
# Of a longer header only the beginning is fetched, when nothing else is.
LONGEST_HEADER = 256 * 1024
# What the names begin with that were made here because the server gave a message none of its own (UIDL). A
# server's names hold no space (RFC 1939, section 7).
MADE_UP = "made up "


@dataclass(frozen=True)
class FolderStatus:
    """Hold what a server says about a folder without listing it."""

    uidvalidity: int
    uidnext: int
    messages: int
    #: The size of all messages together, where it is told as cheaply (POP3).
    octets: int = 0
    #: HIGHESTMODSEQ (RFC 7162), which any change moves; 0 where the server keeps none.
    modseq: int = 0


@dataclass(frozen=True, slots=True)
class RemoteMessage:
    """Describe a message on the server: its size is what the server claims.

    Over POP3 `uid` is its number in this conversation and `uidl` its lasting name.
    """

    uid: int
    size: int
    received_at: datetime
    uidl: str = ""

    @property
    def key(self) -> int | str:
        """Return what the message is known by from one conversation to the next."""
        return self.uidl or self.uid


class RawBody:
    """Hold the bytes of a message, in memory or in a temporary file."""

    __slots__ = ("_digest", "_file", "content", "size")

    def __init__(self, content: bytes | None, *, file: BinaryIO | None = None, size: int = 0) -> None:
        self.content = content
        self.size = size if content is None else len(content)
        self._file = file
        self._digest: bytes | None = None

    @property
    def sha256(self) -> bytes:
        """Return the digest of the bytes; for bytes in memory it is made when first asked for."""
        if self._digest is None:
            self._digest = hashlib.sha256(self.content or b"").digest()
        return self._digest

    def open(self) -> BinaryIO:
        """Return the bytes as a stream from the beginning; there is one stream per spooled body."""
        if self._file is None:
            return io.BytesIO(self.content or b"")
        self._file.seek(0)
        return self._file

    def close(self) -> None:
        """Give the temporary file back."""
        if self._file is not None:
            self._file.close()

    def __repr__(self) -> str:
        return f"<RawBody of {self.size} bytes, {'spooled' if self.content is None else 'in memory'}>"


class Spool:
    """Collect a large body in a temporary file, with its digest kept up as it grows."""

    def __init__(self) -> None:
        with _on_disk():
            self._file: BinaryIO = tempfile.TemporaryFile(prefix="emailsync-")  # noqa: SIM115
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, piece: bytes | memoryview) -> None:
        """Add bytes at the end."""
        with _on_disk():
            self._file.write(piece)
        self._hash.update(piece)
        self.size += len(piece)

    def finish(self) -> RawBody:
        """Turn what was collected into a body."""
        with _on_disk():
            self._file.flush()
        if self.size <= PIECE:
            content = self._read_back()
            return RawBody(content)
        body = RawBody(None, file=self._file, size=self.size)
        body._digest = self._hash.digest()  # noqa: SLF001 - both classes are one thought
        return body

    def _read_back(self) -> bytes:
        self._file.seek(0)
        content = self._file.read()
        self._file.close()
        return content

    def close(self) -> None:
        """Throw away what was collected."""
        with suppress(OSError):
            self._file.close()


@contextmanager
def _on_disk() -> Iterator[None]:
    """Tell a full disk from a failing network, which raises the same kind of exception."""
    try:
        yield
    except OSError as problem:
        raise SpoolFailed(f"A temporary file could not be written: {problem.strerror}.") from problem


@dataclass(frozen=True)
class FetchedMessage:
    """Hold a message as the server handed it out; `size` is what really came."""

    uid: int
    received_at: datetime
    size: int
    body: RawBody
    uidl: str = ""
    #: The size that the server had told.
    claimed: int = 0

    @property
    def key(self) -> int | str:
        """Return what the message is known by from one conversation to the next."""
        return self.uidl or self.uid


class IncomingClient(Protocol):
    """Read one mailbox's Inbox on a server."""

    @property
    def capabilities(self) -> frozenset[str]:
        """Return what the server says it can do, in capitals."""
        ...

    @property
    def folders(self) -> "FolderClient | None":
        """Return who can do things with folders, or nobody where the protocol knows none (POP3)."""
        ...

    @property
    def uidls(self) -> Mapping[int, str]:
        """Return the lasting names of the messages by their numbers in this conversation.

        It is empty where the numbers themselves last (IMAP). No name is given twice.
        """
        ...

    def status(self) -> FolderStatus:
        """Ask the cheap question whether anything has changed."""
        ...

    def ids_after(self, uid: int) -> Sequence[int]:
        """List the UIDs above this one, sorted."""
        ...

    def describe(self, uids: Sequence[int], *, dates: bool = True) -> list[RemoteMessage]:
        """Ask for sizes and dates; vanished messages are left out.

        Where dates cost extra (POP3), those of messages of ordinary size are asked for only with `dates`.
        """
        ...

    def fetch(self, messages: Sequence[RemoteMessage]) -> Iterator[FetchedMessage]:
        """Yield the messages, the next ones already on their way; vanished messages are left out."""
        ...

    def fetch_headers(self, messages: Sequence[RemoteMessage]) -> Iterator[FetchedMessage]:
        """Yield the headers of messages, and nothing of their bodies; what is not handed out is left out."""
        ...

    def delete(self, uids: Sequence[int]) -> None:
        """Remove messages from the server for good.

        It comes last: over POP3 only the end of the conversation makes it effective (RFC 1939, section 6).
        """
        ...

    def finish(self) -> None:
        """End the conversation, everything that was handed out being stored.

        Some POP3 servers remove then what was read (RFC 2449, section 6.7, EXPIRE 0).
        """
        ...

    def close(self) -> None:
        """End the conversation, whatever was stored; closing twice does no harm."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class FolderClient(IncomingClient, Protocol):
    """Read one mailbox that has folders."""

    def open_folder(self, folder: str = "INBOX", *, read_only: bool = True) -> FolderStatus:
        """Open a folder, which the following calls speak about."""
        ...

    def status(self, folder: str = "INBOX") -> FolderStatus:
        """Ask the cheap question whether anything has changed."""
        ...

    def move(self, uids: Sequence[int], folder: str) -> None:
        """Move messages into another folder of the mailbox, which is created when it is missing."""
        ...

    def append(self, folder: str, content: bytes, *, date: datetime) -> None:
        """Add a message to a folder as one that was seen."""
        ...

    def find_by_message_id(self, message_id: str, *, folders: Sequence[str]) -> str | None:
        """Return the first of the folders that holds a message with this Message-ID."""
        ...

    def sent_folder(self) -> str | None:
        """Return the folder for sent mail, if the server marks one."""
        ...
