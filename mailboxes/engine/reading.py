"""Read a mailbox's Inbox ahead: fetch and parse in one thread while another stores what came before.

The queue between the two bounds the memory. What goes wrong while reading is raised where the batches are
taken.
"""

import queue
import threading
import time
from array import array
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Self

from django.conf import settings

from emailsync.mail.errors import (
    BREAKING,
    DeadlineExceeded,
    FolderRenumbered,
    MailError,
    MessageUnreadable,
)
from emailsync.mail.incoming import FetchedMessage, FolderClient, IncomingClient, RemoteMessage
from mailboxes.choices import LedgerOutcome, TrackIncoming
from mailboxes.engine import storing
from mailboxes.engine.preparing import Prepared, prepare, prepare_header
from mailboxes.engine.recognising import Earlier
from mailboxes.models import FolderCursor
from mailboxes.models.ledger import Key

INBOX = "INBOX"
#: UIDs described (size, INTERNALDATE) before their messages are fetched. Between two windows nothing is on
#: its way for two round trips, so they are wide where that is cheap (IMAP) and no headers are kept beside.
WINDOW = 1_000
WIDE_WINDOW = 5_000
#: One transaction stores at most this many messages or bytes.
BATCH_MESSAGES = 200
BATCH_BYTES = 3 * 1024 * 1024
#: What a slow server has sent is stored after this many seconds at the latest.
BATCH_SECONDS = 10.0
#: So many messages or bytes are taken from the server, or for so long, before they are parsed one after the
#: other: the processor's caches do not hold the code for both, and mixed they take a tenth more of its time.
GATHERED_MESSAGES = 100
GATHERED_BYTES = 1024 * 1024
GATHERED_SECONDS = 1.0
#: Seconds: a message that was waited for so long alone is as good as one that breaks the conversation.
LONG_ENOUGH = 1800.0
#: Batches that may wait, fetched, while one is being stored. It bounds the memory.
BATCHES_AHEAD = 1


def numbers(client: IncomingClient, keys: Iterable[Key]) -> list[int]:
    """Return what the messages that the ledger knows by `keys` are called now; those gone are left out."""
    by_name = {name: number for number, name in client.uidls.items()}
    found = (key if isinstance(key, int) else by_name.get(key) for key in keys)
    return [number for number in found if number is not None]


def open_inbox(client: FolderClient, cursor: FolderCursor, *, read_only: bool) -> None:
    """Open the Inbox, and refuse to go on when its UIDs no longer mean what the cursor says."""
    if client.open_folder(INBOX, read_only=read_only).uidvalidity != cursor.uidvalidity:
        raise FolderRenumbered("The server gave the messages of the Inbox new numbers meanwhile.")


def gathered(messages: Iterable[FetchedMessage]) -> Generator[FetchedMessage, None, None]:
    """Yield the messages, many having been taken before the first of them is handed on.

    What came before a failure is handed on, and then the failure. Who stops has the rest closed.
    """
    group: deque[FetchedMessage] = deque()
    size, ends = 0, time.monotonic() + GATHERED_SECONDS
    try:
        for message in messages:
            group.append(message)
            size += message.body.size
            is_late = time.monotonic() > ends
            if is_late or len(group) >= GATHERED_MESSAGES or size >= GATHERED_BYTES:
                yield from _emptied(group)
                size, ends = 0, time.monotonic() + GATHERED_SECONDS
        yield from _emptied(group)
    except (MailError, Broken):
        yield from _emptied(group)
        raise
    finally:
        for message in group:
            message.body.close()


def _emptied(group: deque[FetchedMessage]) -> Iterator[FetchedMessage]:
    while group:
        yield group.popleft()


class Broken(Exception):
    """Fetching `message`, and nothing beside it, ended the conversation for this `reason`."""

    def __init__(self, message: RemoteMessage, reason: MailError) -> None:
        super().__init__(str(reason))
        self.message, self.reason = message, reason


class Reader:
    """Fetches and parses ahead in a thread of its own, while the database stores what came before.

    Some servers end the conversation whenever a certain message is fetched. One by one (`carefully`) it shows
    which, and it is noted before the failure is raised. What was `withheld` before is asked for like that,
    after all others and with what is left of the time, and then Broken is raised.
    """

    def __init__(
        self,
        client: IncomingClient,
        folder: storing.Folder,
        *,
        known: set[Key],
        again: list[Key],
        withheld: list[Key],
        carefully: bool,
        earlier: Earlier | None,
    ) -> None:
        self._earlier = earlier
        self._withheld, self._carefully = withheld, carefully
        self._client, self._cursor, self._folder = client, folder.cursor, folder
        self._known, self._again, self._start = known, again, folder.mailbox.effective_start
        self._queue: queue.Queue[storing.Batch | BaseException | None] = queue.Queue(maxsize=BATCHES_AHEAD)
        # Somebody else's option may keep what it names them in: that only the message itself can tell.
        is_refusing = folder.mailbox.keeps == TrackIncoming.NONE
        self._is_nothing_wanted = is_refusing and not folder.rules.accepting().exists()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, name="mail-reader", daemon=True)
        self._is_exhausted = False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        # The reader may be waiting for room; taking what it offers lets it see the stop.
        while self._thread.is_alive():
            self._discard()
            self._thread.join(timeout=0.05)
        self._discard()

    def _discard(self) -> None:
        while not self._queue.empty():
            item = self._queue.get_nowait()
            if isinstance(item, storing.Batch):
                item.close()

    def is_exhausted(self) -> bool:
        """Say whether nothing is left to read after the batches already taken."""
        return self._is_exhausted and self._queue.empty()

    def batches(self) -> Iterator[storing.Batch]:
        """Return the batches in the order of their UIDs; raises what the reading raised."""
        while True:
            item = self._queue.get()
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item

    def _read(self) -> None:
        try:
            for batch in self._produce():
                self._put(batch)
                if self._stop.is_set():
                    return
            self._is_exhausted = True
            self._put(None)
        except BaseException as error:  # noqa: BLE001  (carried to the thread that waits, which raises it)
            self._put(error)

    def _put(self, item: storing.Batch | BaseException | None) -> None:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.2)
            except queue.Full:
                continue
            return

    def _produce(self) -> Iterator[storing.Batch]:
        if self._client.folders is not None:
            open_inbox(self._client.folders, self._cursor, read_only=True)
        after = self._client.ids_after(self._cursor.last_uid)
        names = self._client.uidls
        uids = array("Q", numbers(self._client, self._again))
        uids.extend(uid for uid in after if names.get(uid, uid) not in self._known)
        size = WINDOW if self._cursor.is_by_uidl or self._earlier else WIDE_WINDOW
        for at in range(0, len(uids), size):
            window = uids[at : at + size]
            described = self._client.describe(window, dates=self._start is not None)
            recognised = self._recognise(described)
            skipped = {each.remote.uid for each in recognised}
            rest = [message for message in described if message.uid not in skipped]
            noted = [storing.Noted(m, outcome) for m in rest if (outcome := self._without_fetching(m))]
            skipped |= {note.remote.uid for note in noted}
            wanted = [message for message in rest if message.uid not in skipped]
            last_uid = 0 if self._cursor.is_by_uidl else window[-1]
            last = storing.Batch([], noted, last_uid, recognised)
            try:
                yield from self._fetch(wanted, last, limit=LONG_ENOUGH if self._carefully else None)
            except Broken as broken:
                raise broken.reason from None
        if self._withheld:
            listed = self._client.describe(numbers(self._client, self._withheld))
            yield from self._fetch(listed, storing.Batch([], [], 0), limit=0.0)

    def _recognise(self, described: Sequence[RemoteMessage]) -> list[storing.Recognised]:
        """Return those that were here before the folder was renumbered, known by size and header."""
        if not self._earlier:
            return []
        return self._earlier.recognise(described, self._client.fetch_headers(described))

    def _without_fetching(self, message: RemoteMessage) -> LedgerOutcome | None:
        if self._start is not None and message.received_at < self._start:
            return LedgerOutcome.BEFORE_START
        if self._is_nothing_wanted:
            return LedgerOutcome.NOT_WANTED
        return None

    def _fetch(
        self, wanted: Sequence[RemoteMessage], last: storing.Batch, *, limit: float | None
    ) -> Iterator[storing.Batch]:
        """Yield the window's batches. `last`, with what is not fetched, moves the cursor to its end.

        With a `limit` they come one by one, and one that is not there after so many seconds is found out too.
        """
        large = {m.uid: m for m in wanted if m.size > settings.MAXIMUM_MESSAGE_SIZE}
        fitting = [message for message in wanted if message.uid not in large]
        waiting: list[Prepared] = []
        size = 0
        withheld: tuple[int, ...] = ()
        ends = time.monotonic() + BATCH_SECONDS
        try:
            for prepared in self._prepared(fitting, large, limit=limit):
                waiting.append(prepared)
                size += prepared.source.body.size
                is_late = time.monotonic() > ends
                if is_late or len(waiting) >= BATCH_MESSAGES or size >= BATCH_BYTES:
                    # The cursor may only pass UIDs of which all lower ones are accounted for.
                    yield storing.Batch(waiting, [], 0)
                    waiting, size, ends = [], 0, time.monotonic() + BATCH_SECONDS
        except MessageUnreadable as error:
            # Listed, asked for twice and not handed out. It is noted, told, and asked for again later.
            withheld = error.uids
        except Broken as broken:
            is_late = isinstance(broken.reason, DeadlineExceeded)
            note = storing.Noted(broken.message, LedgerOutcome.QUARANTINED, is_late=is_late)
            yield storing.Batch(waiting, [note], 0)
            raise
        except MailError:
            # What came before the trouble is kept, so that a failing server is read to its end bit by bit.
            if waiting:
                yield storing.Batch(waiting, [], 0)
            raise
        lost = [storing.Noted(m, LedgerOutcome.QUARANTINED) for m in fitting if m.uid in withheld]
        # Those of which not even the header was handed out.
        lost += [storing.Noted(m, LedgerOutcome.OVERSIZE) for m in large.values()]
        yield replace(last, prepared=waiting, noted=[*last.noted, *lost])

    def _prepared(
        self, fitting: Sequence[RemoteMessage], large: dict[int, RemoteMessage], *, limit: float | None
    ) -> Iterator[Prepared]:
        """Yield the headers of what is too large, taking it out of `large`, and then the others whole."""
        headers, whole = self._client.fetch_headers, self._client.fetch
        if limit is not None:
            headers, whole = partial(_one_by_one, headers, limit), partial(_one_by_one, whole, limit)
        for message in headers(list(large.values())):
            yield prepare_header(message, size=large.pop(message.uid).size)
        # Whether the others are wanted shows when all that they may answer is known, in the transaction.
        is_sure = self._folder.mailbox.keeps == TrackIncoming.ALL
        for message in gathered(whole(fitting)):
            yield prepare(message, unpack=self._folder.is_forward, keep=is_sure)


def _one_by_one(
    fetch: Callable[[Sequence[RemoteMessage]], Iterator[FetchedMessage]],
    limit: float,
    messages: Sequence[RemoteMessage],
) -> Iterator[FetchedMessage]:
    withheld: list[int] = []
    for message in messages:
        began = time.monotonic()
        try:
            yield from fetch([message])
        except MessageUnreadable as error:
            withheld += error.uids
        except (DeadlineExceeded, *BREAKING) as error:
            if isinstance(error, DeadlineExceeded) and time.monotonic() - began < limit:
                raise
            raise Broken(message, error) from error
    if withheld:
        raise MessageUnreadable(uids=withheld)
