"""What the small servers share that behave until they are told not to: each connection has a thread."""

import socket
import ssl
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
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


def _server_context(certificate: ServerCertificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.key)
    return context
