"""A small IMAP server that behaves until it is told not to.

A test replaces the behaviour of single commands, with one of the functions below or its own:

    with ScriptedImap() as server:
        server.on("LOGIN", refuse(b"[AUTHENTICATIONFAILED] Wrong"))
"""

import re
from collections.abc import Callable, Iterator

from emailsync.management.selftest.certificates import ServerCertificate
from emailsync.management.selftest.scripted import Peer, Scripted

ImapBehaviour = Callable[[Peer, bytes, bytes], None]


class ScriptedImap(Scripted):
    """Serve one folder over IMAP."""

    def __init__(
        self,
        messages: dict[int, bytes] | None = None,
        *,
        certificate: ServerCertificate | None = None,
        implicit_tls: bool = False,
    ) -> None:
        super().__init__(certificate=certificate, implicit_tls=implicit_tls)
        self.messages = messages if messages is not None else {}
        self.greeting = b"* OK ready\r\n"
        self.capabilities = b"IMAP4rev1 AUTH=PLAIN SASL-IR UIDPLUS MOVE"
        self.uidvalidity = 7
        self.uidnext: int | None = None
        self.claimed_sizes: dict[int, int] = {}
        #: INTERNALDATE by UID, where it is another than that of all others.
        self.dates: dict[int, bytes] = {}
        self._behaviours: dict[str, ImapBehaviour] = {}

    def on(self, command: str, behaviour: ImapBehaviour) -> None:
        """Do something else for a command, such as "LOGIN" or "UID FETCH"."""
        self._behaviours[command] = behaviour

    def forget(self, command: str) -> None:
        """Do the usual again for a command."""
        del self._behaviours[command]

    def serve(self, peer: Peer) -> None:
        peer.send(self.greeting)
        while True:
            line = peer.line()
            self.heard.append(line)
            tag, _, rest = line.partition(b" ")
            words = rest.split(b" ")
            name = b" ".join(words[: 2 if words[0].upper() == b"UID" else 1]).upper().decode("latin-1")
            usual: ImapBehaviour = getattr(self, f"_do_{name.replace(' ', '_').lower()}", ok)
            behaviour = self._behaviours.get(name, usual)
            behaviour(peer, tag, rest[len(name) + 1 :])
            if name == "LOGOUT":
                return

    def fetched(self, uid: int, content: bytes, *, name: bytes = b"BODY[]") -> bytes:
        """Write the answer that carries a message."""
        return b"* %d FETCH (UID %d %s {%d}\r\n%s)\r\n" % (uid, uid, name, len(content), content)

    def chosen(self, uid_set: bytes) -> list[int]:
        """Return the UIDs of a set that exist."""
        return [uid for uid in sorted(self.messages) if any(uid in piece for piece in _pieces(uid_set))]

    def _do_capability(self, peer: Peer, tag: bytes, rest: bytes) -> None:
        offered = self.capabilities
        if self.certificate is not None and not peer.secure:
            offered += b" STARTTLS"
        peer.send(b"* CAPABILITY %s\r\n%s OK done\r\n" % (offered, tag))

    def _do_starttls(self, peer: Peer, tag: bytes, rest: bytes) -> None:
        if self.certificate is None:
            peer.send(tag + b" BAD no TLS here\r\n")
            return
        peer.send(tag + b" OK begin\r\n")
        peer.begin_tls(self.certificate)

    def _do_examine(self, peer: Peer, tag: bytes, rest: bytes) -> None:
        self._folder(peer)
        peer.send(tag + b" OK [READ-ONLY] done\r\n")

    def _do_select(self, peer: Peer, tag: bytes, rest: bytes) -> None:
        self._folder(peer)
        peer.send(tag + b" OK [READ-WRITE] done\r\n")

    def _folder(self, peer: Peer) -> None:
        peer.send(b"* %d EXISTS\r\n* OK [UIDVALIDITY %d] valid\r\n" % (len(self.messages), self.uidvalidity))
        peer.send(b"* OK [UIDNEXT %d] next\r\n" % self._next())

    def _do_status(self, peer: Peer, tag: bytes, rest: bytes) -> None:
        told = (len(self.messages), self._next(), self.uidvalidity)
        peer.send(b"* STATUS INBOX (MESSAGES %d UIDNEXT %d UIDVALIDITY %d)\r\n" % told)
        peer.send(tag + b" OK done\r\n")

    def _do_uid_search(self, peer: Peer, tag: bytes, rest: bytes) -> None:
        found = re.search(rb"UID ([\d:,*]+)", rest)
        named = re.search(rb'HEADER Message-ID "([^"]*)"', rest, re.IGNORECASE)
        uids = self.chosen(found.group(1)) if found else sorted(self.messages)
        if named:
            uids = [uid for uid in uids if named.group(1) in self.messages[uid]]
        if found and found.group(1).endswith(b":*") and self.messages:
            # RFC 9051, section 9: the last message belongs to n:* whatever n is.
            uids = sorted({*uids, max(self.messages)})
        peer.send(b"* SEARCH%s\r\n" % b"".join(b" %d" % uid for uid in uids))
        peer.send(tag + b" OK done\r\n")

    def _do_uid_fetch(self, peer: Peer, tag: bytes, rest: bytes) -> None:
        uid_set, _, items = rest.partition(b" ")
        piece = re.search(rb"BODY\.PEEK\[(HEADER)?\]<(\d+)\.(\d+)>", items)
        for uid in self.chosen(uid_set):
            content = self.messages[uid]
            if piece is not None:
                section, start, size = piece.group(1) or b"", int(piece.group(2)), int(piece.group(3))
                if section:
                    content = content[: content.find(b"\r\n\r\n") + 4]
                name = b"BODY[%s]<%d>" % (section, start)
                peer.send(self.fetched(uid, content[start : start + size], name=name))
            elif b"BODY" in items:
                peer.send(self.fetched(uid, content))
            else:
                size = self.claimed_sizes.get(uid, len(content))
                date = self.dates.get(uid, b" 5-Feb-2024 10:20:30 +0100")
                told = b'RFC822.SIZE %d INTERNALDATE "%s"' % (size, date)
                peer.send(b"* %d FETCH (UID %d %s)\r\n" % (uid, uid, told))
        peer.send(tag + b" OK done\r\n")

    def _do_logout(self, peer: Peer, tag: bytes, rest: bytes) -> None:
        peer.send(b"* BYE bye\r\n" + tag + b" OK done\r\n")

    def _next(self) -> int:
        return self.uidnext if self.uidnext is not None else max(self.messages, default=0) + 1


def ok(peer: Peer, tag: bytes, rest: bytes) -> None:
    """Agree to anything."""
    peer.send(tag + b" OK done\r\n")


def refuse(text: bytes, *, status: bytes = b"NO") -> ImapBehaviour:
    """Refuse a command."""
    return lambda peer, tag, _: peer.send(tag + b" " + status + b" " + text + b"\r\n")


def say(data: bytes) -> ImapBehaviour:
    """Send bytes as they are, and then agree."""
    return lambda peer, tag, _: peer.send(data + tag + b" OK done\r\n")


def say_and_hang_up(data: bytes) -> ImapBehaviour:
    """Send bytes as they are and close."""

    def behave(peer: Peer, tag: bytes, rest: bytes) -> None:
        peer.send(data)
        raise ConnectionResetError

    return behave


def never_answer(peer: Peer, tag: bytes, rest: bytes) -> None:
    """Take a command and say nothing."""
    peer.keep_silent()


def say_for_ever(data: bytes) -> ImapBehaviour:
    """Send the same again and again until the client has had enough."""

    def behave(peer: Peer, tag: bytes, rest: bytes) -> None:
        while True:
            peer.send(data)

    return behave


def _pieces(uid_set: bytes) -> Iterator[range]:
    for piece in uid_set.split(b","):
        first, colon, last = piece.partition(b":")
        end = 2**32 if last == b"*" else int(last if colon else first)
        yield range(int(first), end + 1)
