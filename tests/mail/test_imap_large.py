"""An Inbox of a million messages: listed in windows, in little memory, whatever others do meanwhile."""

import re
from collections.abc import Callable
from pathlib import Path

from emailsync.mail.imap import SEARCH_WINDOW, ImapClient
from emailsync.management.selftest.scripted import Peer
from emailsync.management.selftest.scripted_imap import ScriptedImap

Opened = Callable[[ScriptedImap], ImapClient]
MILLION = 1_000_000


class Crowded(ScriptedImap):
    """Hold many messages without their bytes: the one at place n has the UID 2n."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.uids = range(2, 2 * count + 1, 2)
        #: How many messages others take away from the beginning of the folder after each search.
        self.expunged_each_time = 0
        self.on("EXAMINE", self._examine)
        self.on("UID SEARCH", self._search)

    @property
    def windows(self) -> list[bytes]:
        """Return the searches that were asked for."""
        return [line.partition(b" SEARCH ")[2] for line in self.heard if b" SEARCH " in line]

    def _examine(self, peer: Peer, tag: bytes, rest: bytes) -> None:
        peer.send(b"* %d EXISTS\r\n* OK [UIDVALIDITY 7] v\r\n" % len(self.uids))
        peer.send(b"* OK [UIDNEXT %d] n\r\n%s OK done\r\n" % (self.uids[-1] + 1, tag))

    def _search(self, peer: Peer, tag: bytes, rest: bytes) -> None:
        """Answer "[first:last] UID n:*" in one line."""
        asked = re.fullmatch(rb"(?:(\d+):(\d+|\*) )?UID (\d+):\*", rest)
        assert asked is not None
        first, last, above = asked.groups()
        end = len(self.uids) if last in {None, b"*"} else int(last)
        found = self.uids[int(first or 1) - 1 : end]
        found = found[max(0, -(-(int(above) - found[0]) // 2)) :] if found else found
        line = b"* SEARCH %s\r\n" % b" ".join(b"%d" % uid for uid in found)
        assert len(line) < 1_000_000
        self.uids = self.uids[self.expunged_each_time :]
        peer.send(line + b"* 1 EXPUNGE\r\n" * self.expunged_each_time + tag + b" OK done\r\n")


def peak_memory() -> int:
    """Return the highest resident memory, in bytes, since it was last forgotten (proc(5), clear_refs)."""
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) * 1024


def test_a_million_messages_are_listed_in_windows_and_little_memory(opened: Opened) -> None:
    with Crowded(MILLION) as server, opened(server) as client:
        Path("/proc/self/clear_refs").write_text("5")
        before = peak_memory()
        uids = client.ids_after(0)
        needed = peak_memory() - before
    assert (len(uids), uids[0], uids[-1]) == (MILLION, 2, 2 * MILLION)
    assert len(server.windows) == MILLION // SEARCH_WINDOW
    assert needed < 60_000_000


def test_what_is_new_in_a_large_folder_is_found_without_listing_the_rest(opened: Opened) -> None:
    with Crowded(MILLION) as server, opened(server) as client:
        assert list(client.ids_after(2 * MILLION - 4)) == [2 * MILLION - 2, 2 * MILLION]
    assert server.windows == [b"950001:* UID 1999997:*", b"900001:950000 UID 1999997:*"]


def test_a_server_that_looks_at_few_messages_at_once_is_asked_about_as_many(opened: Opened) -> None:
    with Crowded(2500) as server:
        server.capabilities += b" MESSAGELIMIT=1000"
        with opened(server) as client:
            assert list(client.ids_after(0)) == list(server.uids)
    assert server.windows == [b"1501:* UID 1:*", b"501:1500 UID 1:*", b"1:500 UID 1:*"]


def test_what_is_expunged_between_two_windows_hides_no_other_message(opened: Opened) -> None:
    with Crowded(3 * SEARCH_WINDOW) as server, opened(server) as client:
        server.expunged_each_time = 7
        uids = client.ids_after(0)
    assert uids[-1] == 6 * SEARCH_WINDOW
    assert set(server.uids) <= set(uids)
    assert len(set(uids)) == len(uids)
