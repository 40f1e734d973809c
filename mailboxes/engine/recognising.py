"""Recognise the messages of a renumbered folder by size and header, without loading their bodies again.

The ledger remembers of every fetched message a fingerprint of its header block and of what the server
called its size. A message under a new UID with the same fingerprint is the message of then: its header has
a Message-ID of its own, or there would be no fingerprint. Of what is not recognised the body is loaded, and
known by its SHA-256 at the latest.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from django.core.files.storage import default_storage
from django.db.models import QuerySet
from django.db.models.functions import Substr

from emailsync.mail.headers import HEADERS_LIMIT, fingerprint
from emailsync.mail.incoming import FetchedMessage, RemoteMessage
from mailboxes.engine.storing import Recognised
from mailboxes.models import FolderCursor, LedgerEntry

#: Entries without a fingerprint that get theirs in one go.
FILLED_AT_ONCE = 200


class Earlier:
    """The messages of a folder under its numbers of before: 16 bytes each, so that a million fit."""

    def __init__(self, cursor: FolderCursor) -> None:
        """Read the ledger; entries from before fingerprints were kept get theirs first."""
        entries = LedgerEntry.objects.filter(
            mailbox=cursor.mailbox_id, folder=cursor.folder, uid__isnull=False
        ).exclude(uidvalidity=cursor.uidvalidity)
        _fill_in(entries)
        #: The fingerprints' first 64 bits in order: hexadecimal digits, which all collations order alike.
        self._begin, self._entries = array("Q"), array("Q")
        known = (
            entries.exclude(fingerprint="").order_by("fingerprint", "uid").values_list("fingerprint", "pk")
        )
        for mark, pk in known.iterator(chunk_size=5_000):
            self._begin.append(_beginning(mark))
            self._entries.append(pk)

    def __bool__(self) -> bool:
        """Say whether anything can be recognised."""
        return bool(self._begin)

    def recognise(
        self, messages: Sequence[RemoteMessage], headers: Iterable[FetchedMessage]
    ) -> list[Recognised]:
        """Return those of the messages that were here before; `headers` are taken one at a time.

        Where more of them look alike than did before, none is recognised: one may be new.
        """
        sizes = {message.uid: message.size for message in messages}
        marks = {each.uid: fingerprint(each.body.content or b"", sizes[each.uid]) for each in headers}
        alike: dict[str, list[RemoteMessage]] = defaultdict(list)
        for message in messages:
            if mark := marks.get(message.uid, ""):
                alike[mark].append(message)
        recognised: list[Recognised] = []
        for mark, group in alike.items():
            begin = _beginning(mark)
            entries = self._entries[bisect_left(self._begin, begin) : bisect_right(self._begin, begin)]
            if len(group) <= len(entries):
                recognised += map(Recognised, group, entries)
        return recognised


def _beginning(mark: str) -> int:
    return int(mark[:16], 16)


def _fill_in(entries: "QuerySet[LedgerEntry]") -> None:
    """Take the fingerprints of what was stored before they were kept from the stored bytes."""
    without = entries.filter(fingerprint="", message__raw__isnull=False).order_by("pk")
    after = 0
    while chunk := list(
        without.filter(pk__gt=after)
        .annotate(start=Substr("message__raw__content", 1, HEADERS_LIMIT))
        .values_list("pk", "size", "start", "message__raw__file")[:FILLED_AT_ONCE]
    ):
        after = chunk[-1][0]
        marks = {pk: fingerprint(_start(start, file), size) for pk, size, start, file in chunk}
        made = [LedgerEntry(pk=pk, fingerprint=mark) for pk, mark in marks.items() if mark]
        LedgerEntry.objects.bulk_update(made, ["fingerprint"])


def _start(content: Any, file: str) -> bytes:
    if not file:
        return bytes(content or b"")
    with default_storage.open(file) as stream:
        return bytes(stream.read(HEADERS_LIMIT))
