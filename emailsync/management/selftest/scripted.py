"""Small IMAP and SMTP servers that behave until they are told not to.

Each connection is served by a thread. A test replaces the behaviour of single commands, with one of the
functions below or its own:

    with ScriptedImap() as server:
        server.on("LOGIN", refuse(b"[AUTHENTICATIONFAILED] Wrong"))
"""

import re
import socket
import ssl
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Self

from emailsync.management.selftest.certificates import ServerCertificate

PATIENCE = 10.0
BAD_THINGS = (OSError, ssl.SSLError)


class Peer:
    """Be the server's end of one connection."""

    def __init__(self, sock: socket.socket, stopped: threading.Event) -> None:
        sock.settimeout(PATIENCE)
        self.sock = sock
        self.secure = False
        self.held = b""
        self._stopped = stopped
        self._waiting = b""

    def line(self) -> bytes:
        """Return the next line without its end; raise when the client has gone."""
        while b"\n" not in self._waiting:
            self._waiting += self._receive()
        line, _, self._waiting = self._waiting.partition(b"\n")
        return line.rstrip(b"\r")

    def exactly(self, size: int) -> bytes:
        """Return so many bytes."""
        while len(self._waiting) < size:
            self._waiting += self._receive()
        content, self._waiting = self._waiting[:size], self._waiting[size:]
        return content

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.sock.sendall(data)

    @property
    def has_line(self) -> bool:
        """Say whether another line has come already."""
        return b"\n" in self._waiting

    def cut(self) -> None:
        """End the connection from any thread; its own then closes it."""
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)

    def hang_up(self) -> None:
        """Close the connection."""
        self.cut()
        self.sock.close()

    def keep_silent(self) -> None:
        """Say nothing until the client goes or the test ends."""
        self.sock.settimeout(0.05)
        while not self._stopped.is_set():
            try:
                if not self.sock.recv(65536):
                    break
            except TimeoutError:
                continue
        raise ConnectionResetError

    def begin_tls(self, certificate: ServerCertificate) -> None:
        """Take the client's handshake."""
        self.sock = _server_context(certificate).wrap_socket(self.sock, server_side=True)
        self.secure = True
        self._waiting = b""

    def _receive(self) -> bytes:
        more = self.sock.recv(65536)
        if not more:
            raise ConnectionResetError
        return more


class Scripted(ABC):
    """Listen on loopback and serve every connection in a thread."""

    host = "localhost"

    def __init__(self, *, certificate: ServerCertificate | None = None, implicit_tls: bool = False) -> None:
        self.certificate = certificate
        self.implicit_tls = implicit_tls
        self.heard: list[bytes] = []
        self.connections = 0
        self._stopped = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._peers: list[Peer] = []

    @property
    def port(self) -> int:
        """Return where the server listens."""
        return int(self._listener.getsockname()[1])

    @abstractmethod
    def serve(self, peer: Peer) -> None:
        """Talk to one client."""

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for peer in self._peers:
            # Closed here, its number might be taken by another file while its thread begins TLS.
            peer.cut()
        for thread in self._threads:
            thread.join(PATIENCE)

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stopped.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            # An answer of several pieces would wait for the acknowledgement of the first (RFC 896).
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            peer = Peer(sock, self._stopped)
            self._peers.append(peer)
            self._start(self._talk, peer)

    def _talk(self, peer: Peer) -> None:
        # Clients and tests cut these conversations at every place.
        with suppress(*BAD_THINGS):
            if self.implicit_tls and self.certificate is not None:
                peer.begin_tls(self.certificate)
            self.serve(peer)
        peer.hang_up()


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


class ScriptedSmtp(Scripted):
    """Take mail over SMTP, with a reply of the test's choice at each stage.

    The stages are "greeting", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "body", "RSET", "QUIT",
    and "RCPT <address>" for one recipient. A reply of None closes the connection, an empty one is silence.
    """

    def __init__(self, *, certificate: ServerCertificate | None = None, implicit_tls: bool = False) -> None:
        super().__init__(certificate=certificate, implicit_tls=implicit_tls)
        self.extensions = [b"PIPELINING", b"SIZE 1000000", b"8BITMIME", b"AUTH PLAIN LOGIN"]
        self.replies: dict[str, bytes | None] = {}
        self.bodies: list[bytes] = []
        self.after_starttls = b""
        #: How it answers: each line at once, what belongs together "in one segment", or "byte by byte".
        self.manner = ""
        #: Hang up after so many messages on a connection, as servers do that limit them.
        self.messages_per_connection: int | None = None
        #: Called when a body has come, before it is answered.
        self.after_body: Callable[[], None] = lambda: None
        self.stop_reading_body_after: int | None = None

    def serve(self, peer: Peer) -> None:
        self._reply(peer, "greeting", b"220 scripted ESMTP")
        taken, has_sender, has_recipient = 0, False, False
        while True:
            line = peer.line()
            self.heard.append(line)
            name = line.partition(b" ")[0].partition(b":")[0].upper().decode("ascii", "replace")
            if name == "EHLO":
                self._reply(peer, "EHLO", self._hello(peer))
            elif name == "STARTTLS" and self.certificate is not None:
                self._starttls(peer, self.certificate)
            elif name == "AUTH":
                self._auth(peer, line)
            elif name == "RCPT":
                address = line.partition(b"<")[2].partition(b">")[0].decode("utf-8", "replace")
                stage = f"RCPT {address}" if f"RCPT {address}" in self.replies else "RCPT"
                has_recipient |= has_sender and self._agrees(stage)
                self._reply(peer, stage, b"250 ok" if has_sender else b"503 5.5.1 MAIL first")
            elif name == "DATA":
                usual = b"354 go ahead" if has_recipient else b"554 5.5.1 for nobody?"
                taken += self._data(peer, usual=usual)
                has_sender = has_recipient = False
            elif name == "MAIL" and taken == self.messages_per_connection:
                peer.send(b"421 4.7.0 Too many messages on this connection\r\n")
                return
            elif name == "MAIL":
                has_sender = self._agrees("MAIL")
                self._reply(peer, "MAIL", b"250 ok")
            elif name == "QUIT":
                self._reply(peer, "QUIT", b"221 bye")
                return
            else:
                self._reply(peer, name, b"250 ok")

    def _hello(self, peer: Peer) -> bytes:
        offered = list(self.extensions)
        if self.certificate is not None and not peer.secure:
            offered.append(b"STARTTLS")
        lines = [b"scripted", *offered]
        return b"\r\n".join(
            b"250%s%s" % (b" " if number == len(lines) else b"-", line)
            for number, line in enumerate(lines, 1)
        )

    def _starttls(self, peer: Peer, certificate: ServerCertificate) -> None:
        reply = self.replies.get("STARTTLS", b"220 go ahead")
        self._reply(peer, "STARTTLS", b"220 go ahead")
        if reply is not None and reply.startswith(b"220"):
            if self.after_starttls:
                peer.send(self.after_starttls)
            peer.begin_tls(certificate)

    def _auth(self, peer: Peer, line: bytes) -> None:
        if "AUTH" not in self.replies and line.upper().startswith(b"AUTH LOGIN"):
            for challenge in (b"334 VXNlcm5hbWU6\r\n", b"334 UGFzc3dvcmQ6\r\n"):
                peer.send(challenge)
                self.heard.append(peer.line())
        self._reply(peer, "AUTH", b"235 welcome")

    def _agrees(self, stage: str) -> bool:
        return (self.replies.get(stage, b"250 ok") or b"").startswith(b"25")

    def _data(self, peer: Peer, *, usual: bytes) -> bool:
        reply = self.replies.get("DATA", usual)
        self._reply(peer, "DATA", usual)
        if reply is None or not reply.startswith(b"354"):
            return False
        body: list[bytes] = []
        if self.stop_reading_body_after is not None:
            peer.exactly(self.stop_reading_body_after)
            self._reply(peer, "body", b"250 ok")
            raise ConnectionResetError
        while (line := peer.line()) != b".":
            body.append(line)
        self.take(b"\r\n".join(body) + b"\r\n")
        self.after_body()
        self._reply(peer, "body", b"250 2.0.0 taken")
        return True

    def take(self, body: bytes) -> None:
        """Keep a message that was handed over whole."""
        self.bodies.append(body)

    def _reply(self, peer: Peer, stage: str, usual: bytes) -> None:
        reply = self.replies.get(stage, usual)
        if reply is None:
            raise ConnectionResetError
        if not reply:
            peer.keep_silent()
        peer.held += reply + b"\r\n"
        if self.manner == "in one segment" and peer.has_line:
            return
        size = 1 if self.manner == "byte by byte" else len(peer.held)
        for start in range(0, len(peer.held), size):
            peer.send(peer.held[start : start + size])
        peer.held = b""


def _pieces(uid_set: bytes) -> Iterator[range]:
    for piece in uid_set.split(b","):
        first, colon, last = piece.partition(b":")
        end = 2**32 if last == b"*" else int(last if colon else first)
        yield range(int(first), end + 1)


def _server_context(certificate: ServerCertificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.key)
    return context
