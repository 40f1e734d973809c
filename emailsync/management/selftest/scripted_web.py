"""A web server that gives one answer to whatever it is asked: the token endpoint of an OAuth provider."""

import re

from emailsync.management.selftest.certificates import ServerCertificate
from emailsync.management.selftest.scripted import Peer, Scripted


class ScriptedWeb(Scripted):
    """Answer with a status and a body, over TLS."""

    def __init__(self, *, certificate: ServerCertificate | None = None, implicit_tls: bool = True) -> None:
        super().__init__(certificate=certificate, implicit_tls=implicit_tls)
        self.status, self.body = 200, b"{}"

    def serve(self, peer: Peer) -> None:
        size = 0
        while line := peer.line():
            self.heard.append(line)
            if found := re.fullmatch(rb"content-length: *(\d+)", line, re.IGNORECASE):
                size = int(found.group(1))
        self.heard.append(peer.exactly(size))
        head = b"HTTP/1.1 %d Told\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        peer.send(head % (self.status, len(self.body)) + self.body)
