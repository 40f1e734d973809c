"""The demo server's mail on disk, under pymap's in-memory backend.

pymap's dict backend forgets everything at its end, and its UIDVALIDITY with it. Here every message is a
file named by its UID, written before the server shows it, and the last UID given is written before the
message: after any end the same messages have the same UIDs under the same UIDVALIDITY, and no UID is ever
given twice (RFC 3501, section 2.3.1.1).
"""

import asyncio
import json
import os
import shutil
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from pymap.backend.dict.mailbox import MailboxData, MailboxSet, Message
from pymap.exceptions import NotSupportedError
from pymap.parsing.message import AppendMessage
from pymap.parsing.specials import ObjectId

#: Older mail leaves the demo's folders, so that a demo left running for weeks stays small.
KEEP = 400


class StoredMailbox(MailboxData):
    """One folder of one user."""

    def __init__(self, folder: Path, *caches: Any) -> None:
        """Take what the folder says about UIDs, or begin a new one."""
        super().__init__(*caches)
        self._folder = folder
        self._append_lock = asyncio.Lock()
        self._uid_file = folder / "uids.json"
        if self._uid_file.exists():
            uids = json.loads(self._uid_file.read_text(encoding="ascii"))
        else:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            uids = {"uidvalidity": int(time.time()), "last": 0}
        self._uid_validity, self._max_uid = uids["uidvalidity"], uids["last"]
        if not self._uid_file.exists():
            self._save_uids(self._max_uid)

    async def load(self) -> None:
        """Read the messages on disk into memory under their own UIDs."""
        last = self._max_uid
        for path in sorted(self._folder.glob("*.eml")):
            self._max_uid = int(path.stem) - 1
            when = datetime.fromtimestamp(path.stat().st_mtime, tz=UTC)
            await super().append(AppendMessage(path.read_bytes(), when, frozenset()))
        self._max_uid = last

    async def append(self, append_msg: AppendMessage, *, recent: bool = False) -> Message:
        """Write the message to disk, then show it."""
        async with self._append_lock:
            uid = self._max_uid + 1
            when = append_msg.when or datetime.now(UTC)
            self._save_uids(uid)
            path = self._path(uid)
            unfinished = path.with_suffix(".new")
            unfinished.write_bytes(append_msg.literal)
            os.utime(unfinished, (when.timestamp(), when.timestamp()))
            unfinished.replace(path)
            stored = AppendMessage(append_msg.literal, when, append_msg.flag_set)
            message = await super().append(stored, recent=recent)
        if len(self._messages) > KEEP:
            await self.delete([min(self._messages)])
        return message

    async def delete(self, uids: Iterable[int]) -> None:
        """Forget messages, on disk first."""
        gone = list(uids)
        for uid in gone:
            self._path(uid).unlink(missing_ok=True)
        await super().delete(gone)

    async def copy(self, uid: int, destination: MailboxData, *, recent: bool = False) -> int | None:
        """Store a copy in another folder, and return its UID there."""
        message = self._messages.get(uid)
        if message is None:
            return None
        copied = AppendMessage(
            self._path(uid).read_bytes(), message.internal_date, frozenset(message.permanent_flags)
        )
        return (await destination.append(copied, recent=recent)).uid

    async def move(self, uid: int, destination: MailboxData, *, recent: bool = False) -> int | None:
        """Copy, then delete: a crash between leaves two messages, never none."""
        new = await self.copy(uid, destination, recent=recent)
        if new is not None:
            await self.delete([uid])
        return new

    def _path(self, uid: int) -> Path:
        return self._folder / f"{uid:010}.eml"

    def _save_uids(self, last: int) -> None:
        unfinished = self._uid_file.with_suffix(".new")
        unfinished.write_text(json.dumps({"uidvalidity": self._uid_validity, "last": last}), encoding="ascii")
        unfinished.replace(self._uid_file)


class StoredMailboxSet(MailboxSet):
    """All folders of one user."""

    def __init__(self, folder: Path) -> None:
        """Prepare INBOX; `load` reads the mail."""
        super().__init__()
        self._root = folder
        self._stored_inbox = self._folder("INBOX")
        self._inbox = self._stored_inbox

    async def load(self) -> None:
        """Read every folder from disk."""
        await self._stored_inbox.load()
        for path in sorted(self._root.iterdir()):
            name = unquote(path.name)
            if name != "INBOX":
                folder = self._folder(name)
                await folder.load()
                self._set[name] = folder

    async def add_mailbox(self, name: str) -> ObjectId:
        """Create a folder."""
        if name in self._set:
            raise ValueError(name)
        self._set[name] = self._folder(name)
        return self._set[name].mailbox_id

    async def delete_mailbox(self, name: str) -> None:
        """Delete a folder with its mail."""
        await super().delete_mailbox(name)
        shutil.rmtree(self._root / quote(name, safe=""))

    async def rename_mailbox(self, before: str, after: str) -> None:
        """Refuse: nobody needs it here."""
        raise NotSupportedError

    def _folder(self, name: str) -> StoredMailbox:
        return StoredMailbox(self._root / quote(name, safe=""), self._content_cache, self._thread_cache)
