"""A name service on loopback that answers what a test says."""

import socket
import threading
from types import TracebackType
from typing import Self

from dns import flags, message, rcode, rdataclass, rdatatype, rrset
from dns.resolver import Resolver


class NameServer:
    """Answer questions over UDP; use it in a `with` statement.

    `records` are by name and type: `{("_imaps._tcp.example.org", "SRV"): ["0 1 993 imap.example.org."]}`.
    """

    def __init__(self, records: dict[tuple[str, str], list[str]] | None = None) -> None:
        self.records = records or {}
        self.is_silent = False
        self.asked: list[tuple[str, str]] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def resolver(self) -> Resolver:
        """Return who asks this server and no other."""
        resolver = Resolver(configure=False)
        resolver.nameservers = ["127.0.0.1"]
        resolver.port = self._socket.getsockname()[1]
        return resolver

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # An empty datagram ends the loop: closing a socket does not wake who waits for it.
        self._socket.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            data, peer = self._socket.recvfrom(4096)
            if not data:
                return
            question = message.from_wire(data)
            if not self.is_silent:
                self._socket.sendto(self._answer(question).to_wire(), peer)

    def _answer(self, question: message.Message) -> message.Message:
        asked = question.question[0]
        kind = rdatatype.to_text(asked.rdtype)
        name = asked.name.to_text(omit_final_dot=True).lower()
        self.asked.append((name, kind))
        answer = message.make_response(question)
        answer.flags |= flags.RA
        found = self.records.get((name, kind))
        if found is None:
            answer.set_rcode(rcode.NXDOMAIN)
        else:
            answer.answer.append(rrset.from_text(asked.name, 60, rdataclass.IN, asked.rdtype, *found))
        return answer
