"""A small POP3 server that behaves until it is told not to."""

from collections.abc import Callable
from dataclasses import dataclass

from emailsync.management.selftest.certificates import ServerCertificate
from emailsync.management.selftest.scripted import Peer, Scripted

Pop3Behaviour = Callable[[Peer, bytes], None]


@dataclass(frozen=True)
class Letter:
    """A message in the maildrop."""

    uidl: bytes
    content: bytes


class ScriptedPop3(Scripted):
    """Serve one maildrop over POP3. What was marked goes when QUIT is heard, and not otherwise."""

    def __init__(
        self,
        letters: dict[bytes, bytes] | None = None,
        *,
        certificate: ServerCertificate | None = None,
        implicit_tls: bool = False,
    ) -> None:
        super().__init__(certificate=certificate, implicit_tls=implicit_tls)
        self.letters = [Letter(uidl, content) for uidl, content in (letters or {}).items()]
        self.greeting = b"+OK ready"
        self.capabilities = [b"SASL PLAIN LOGIN", b"USER", b"TOP", b"UIDL", b"PIPELINING", b"RESP-CODES"]
        self.claimed_sizes: dict[bytes, int] = {}
        self.after_stls = b""
        self.line_end = b"\r\n"
        #: So many bytes are sent on a connection, and then it is closed.
        self.cut_after: int | None = None
        self._behaviours: dict[str, Pop3Behaviour] = {}

    def on(self, command: str, behaviour: Pop3Behaviour) -> None:
        """Do something else for a command, such as "RETR"."""
        self._behaviours[command] = behaviour

    def serve(self, peer: Peer) -> None:
        session = _Session(self, peer)
        session.say(self.greeting)
        while True:
            line = peer.line()
            self.heard.append(line)
            word, _, rest = line.partition(b" ")
            name = word.upper().decode("ascii", "replace")
            if (behaviour := self._behaviours.get(name)) is not None:
                behaviour(peer, rest)
            else:
                getattr(session, f"do_{name.lower()}", session.unknown)(rest)
            if name == "QUIT":
                return


class _Session:
    """One client's view of the maildrop."""

    def __init__(self, server: ScriptedPop3, peer: Peer) -> None:
        self.server = server
        self.peer = peer
        self.letters = dict(enumerate(server.letters, 1))
        self.marked: set[int] = set()
        self._room = server.cut_after

    def send(self, data: bytes) -> None:
        """Send bytes, or as many as may be sent."""
        if self._room is not None:
            data, cut = data[: self._room], len(data) > self._room
            self._room -= len(data)
            if cut:
                self.peer.send(data)
                raise ConnectionResetError
        self.peer.send(data)

    def say(self, *lines: bytes) -> None:
        """Send lines."""
        self.send(b"".join(line + self.server.line_end for line in lines))

    def lines(self, lines: list[bytes]) -> None:
        """Send an answer with lines."""
        self.say(b"+OK", *lines, b".")

    def text(self, content: bytes) -> None:
        """Send an answer with a message, as RFC 1939 wants it."""
        end = self.server.line_end
        stuffed = content.replace(end + b".", end + b"..")
        stuffed = b"." + stuffed if stuffed.startswith(b".") else stuffed
        last = b"" if not stuffed or stuffed.endswith(end) else end
        self.send(b"+OK" + end + stuffed + last + b"." + end)

    def there(self) -> dict[int, Letter]:
        """Return the messages that are not marked."""
        return {number: letter for number, letter in self.letters.items() if number not in self.marked}

    def size(self, letter: Letter) -> int:
        """Return the size that the server claims."""
        return self.server.claimed_sizes.get(letter.uidl, len(letter.content))

    def chosen(self, rest: bytes) -> Letter | None:
        """Return the message that a command names, or refuse it."""
        letter = self.there().get(int(rest.split()[0]))
        if letter is None:
            self.say(b"-ERR no such message")
        return letter

    def unknown(self, rest: bytes) -> None:
        self.say(b"-ERR unknown command")

    def do_capa(self, rest: bytes) -> None:
        offered = list(self.server.capabilities)
        if self.server.certificate is not None and not self.peer.secure:
            offered.append(b"STLS")
        self.lines(offered)

    def do_stls(self, rest: bytes) -> None:
        if self.server.certificate is None:
            self.unknown(rest)
            return
        self.send(b"+OK begin\r\n" + self.server.after_stls)
        self.peer.begin_tls(self.server.certificate)

    def do_auth(self, rest: bytes) -> None:
        words = rest.split(b" ")
        questions = 2 if words[0] == b"LOGIN" else 1
        for _ in range(questions - len(words[1:])):
            self.say(b"+ ")
            self.server.heard.append(self.peer.line())
        self.say(b"+OK welcome")

    def do_user(self, rest: bytes) -> None:
        self.say(b"+OK")

    def do_pass(self, rest: bytes) -> None:
        self.say(b"+OK")

    def do_stat(self, rest: bytes) -> None:
        there = self.there().values()
        self.say(b"+OK %d %d" % (len(there), sum(self.size(letter) for letter in there)))

    def do_list(self, rest: bytes) -> None:
        self.lines([b"%d %d" % (number, self.size(letter)) for number, letter in self.there().items()])

    def do_uidl(self, rest: bytes) -> None:
        if b"UIDL" not in self.server.capabilities:
            self.unknown(rest)
            return
        self.lines([b"%d %s" % (number, letter.uidl) for number, letter in self.there().items()])

    def do_top(self, rest: bytes) -> None:
        if b"TOP" not in self.server.capabilities:
            self.unknown(rest)
        elif (letter := self.chosen(rest)) is not None:
            head, _, _ = letter.content.partition(b"\r\n\r\n")
            self.text(head + b"\r\n\r\n")

    def do_retr(self, rest: bytes) -> None:
        if (letter := self.chosen(rest)) is not None:
            self.text(letter.content)

    def do_dele(self, rest: bytes) -> None:
        if self.chosen(rest) is not None:
            self.marked.add(int(rest))
            self.say(b"+OK marked")

    def do_quit(self, rest: bytes) -> None:
        gone = {self.letters[number] for number in self.marked}
        self.server.letters = [letter for letter in self.server.letters if letter not in gone]
        self.say(b"+OK bye")


def answer(data: bytes) -> Pop3Behaviour:
    """Send bytes as they are."""
    return lambda peer, _: peer.send(data)


def hang_up(_peer: Peer, _rest: bytes) -> None:
    """Take a command and close."""
    raise ConnectionResetError
