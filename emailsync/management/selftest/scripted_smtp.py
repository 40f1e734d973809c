"""A small SMTP server that behaves until it is told not to."""

from collections.abc import Callable

from emailsync.management.selftest.certificates import ServerCertificate
from emailsync.management.selftest.scripted import Peer, Scripted


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
