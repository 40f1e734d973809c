"""What is said about a message before it is handed over by SMTP, and the form in which its bytes travel."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from emailsync.mail.endpoint import check_plain
from emailsync.mail.errors import MessageRefused, MessageTooLarge, RecipientsRefused, SenderRefused
from emailsync.mail.vocabulary import recipients_kind

PIECE = 256 * 1024
LINE_END = re.compile(rb"\r\n|\r|\n")
NOT_IN_ADDRESS = re.compile(r"[\s<>\x00-\x1f\x7f]")
ASCII_ONLY = "553 5.6.7 The server takes ASCII addresses only (no SMTPUTF8)."


@dataclass(frozen=True)
class Letter:
    """Hold a message to be handed over: who sends it, who receives it, and its bytes."""

    sender: str
    recipients: Sequence[str]
    content: bytes = field(repr=False)
    #: The caller's own name for it.
    key: int = 0


@dataclass(frozen=True)
class SendResult:
    """Say who was accepted, who was refused for good or for now with which reply, and the last reply."""

    accepted: tuple[str, ...]
    refused: dict[str, str]
    reply: str
    deferred: dict[str, str] = field(default_factory=dict)


class Envelope:
    """Hold the lines that announce a letter, and what the server said to each recipient."""

    def __init__(self, letter: Letter, extensions: Mapping[str, str]) -> None:
        """Write the lines. Raise MessageFailure for what need not even be tried."""
        self.letter = letter
        self.accepted: list[str] = []
        self.refused: dict[str, str] = {}
        self.deferred: dict[str, str] = {}
        _check_address(letter.sender, what="The sender")
        for recipient in letter.recipients:
            _check_address(recipient, what="A recipient")
        sender = ascii_domain(letter.sender)
        targets = {address: ascii_domain(address) for address in dict.fromkeys(letter.recipients)}
        if "SMTPUTF8" not in extensions:
            if not sender.isascii():
                raise SenderRefused(
                    f"The server does not send from {letter.sender}: it takes ASCII addresses only."
                )
            self.refused = {
                address: ASCII_ONLY for address, target in targets.items() if not target.isascii()
            }
        self.targets = [address for address in targets if address not in self.refused]
        if not self.targets:
            raise self.all_refused()
        options = _options(letter, extensions, addresses=(sender, *targets.values()))
        self.mail = f"MAIL FROM:<{sender}>{options}"
        self.lines = [f"RCPT TO:<{targets[address]}>" for address in self.targets]

    def note(self, address: str, code: int, reply: str) -> None:
        """Keep what the server said to a recipient."""
        if code in {250, 251, 252}:
            self.accepted.append(address)
        elif 400 <= code < 500:
            self.deferred[address] = reply
        else:
            self.refused[address] = reply

    def result(self, reply: str) -> SendResult:
        """Return what came of a letter that was taken for somebody."""
        return SendResult(tuple(self.accepted), self.refused, reply, self.deferred)

    def all_refused(self) -> RecipientsRefused:
        """Return what came of a letter that was taken for nobody."""
        replies = self.refused | self.deferred
        names = ", ".join(list(replies)[:5])
        first = next(iter(replies.values()), "")
        kind, sentence = recipients_kind(first)
        return kind(
            sentence.format(names=names),
            refused=self.refused,
            deferred=self.deferred,
            server_reply=first,
        )


def _options(letter: Letter, extensions: Mapping[str, str], *, addresses: Sequence[str]) -> str:
    """Return the parameters of MAIL: SIZE (RFC 1870), BODY (RFC 6152) and SMTPUTF8 (RFC 6531).

    Raise MessageTooLarge when the server has said that it does not take so much.
    """
    size, options = len(letter.content), ""
    if "SIZE" in extensions:
        limit = extensions["SIZE"]
        # Twenty digits are what it may have (RFC 1870, section 4).
        if re.fullmatch("[0-9]{1,20}", limit) and 0 < int(limit) < size:
            raise MessageTooLarge(f"The message has {size} bytes; the server takes up to {limit}.")
        options += f" SIZE={size}"
    is_wide = not all(map(str.isascii, addresses))
    if not letter.content.isascii():
        if "8BITMIME" in extensions:
            options += " BODY=8BITMIME"
        is_wide = is_wide or not letter.content.partition(b"\r\n\r\n")[0].isascii()
    return options + (" SMTPUTF8" if is_wide and "SMTPUTF8" in extensions else "")


def wire_form(content: bytes) -> bytes:
    """End every line with CRLF and double leading dots (RFC 5321, section 4.5.2).

    A lone CR or LF before a dot is what SMTP smuggling is made of; none is left.
    """
    if not content.count(b"\r\n") == content.count(b"\n") == content.count(b"\r"):
        content = LINE_END.sub(b"\r\n", content)
    if not content.endswith(b"\r\n"):
        content += b"\r\n"
    content = content.replace(b"\r\n.", b"\r\n..")
    return b"." + content if content.startswith(b".") else content


def wire_pieces(content: bytes) -> Iterator[bytes]:
    """Yield the wire form in pieces that end with a line, so that a large body is in memory once."""
    start = 0
    while len(content) - start > PIECE and (end := content.find(b"\n", start + PIECE) + 1) > 0:
        yield wire_form(content[start:end])
        start = end
    if start < len(content) or not content:
        yield wire_form(content[start:])


def _check_address(address: str, *, what: str) -> None:
    """Refuse what would end the path in a command."""
    try:
        check_plain(address, what=what)
    except ValueError as problem:
        raise MessageRefused(str(problem)) from problem
    if NOT_IN_ADDRESS.search(address):
        raise MessageRefused(f"{what} “{address}” is not an address.")


def ascii_domain(address: str) -> str:
    """Write the domain of an address as the name service knows it (RFC 5890); the rest stays."""
    if address.isascii():
        return address
    local, at, domain = address.rpartition("@")
    with suppress(UnicodeError):
        domain = domain.encode("idna").decode()
    return local + at + domain
