"""Turn a draft into the bytes that are sent.

Headers are written here, because the standard library's folding breaks long Message-IDs into encoded
words and with them the threading of answers. Everything is 7-bit, except addresses that are not ASCII.
"""

import base64
import binascii
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from email.header import Header
from email.utils import format_datetime
from urllib.parse import quote

from emailsync.mail.endpoint import check_plain
from emailsync.mail.headers import Address

LINE = 76
HARD_LINE = 998
ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~. -]*")
TYPE = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)
ADDRESS = re.compile(r"[^\s<>()\[\],;:\\\"@]+@[^\s<>()\[\],;:\\\"@]+")


@dataclass(frozen=True)
class DraftAttachment:
    """Hold a file to be sent along."""

    filename: str
    content_type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class Draft:
    """Hold a message as a person wrote it."""

    sender: Address
    to: tuple[Address, ...]
    subject: str
    text: str
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    in_reply_to: str = ""
    references: tuple[str, ...] = ()
    attachments: tuple[DraftAttachment, ...] = ()
    html: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    #: The character set of the texts, where it can write them; else UTF-8.
    charset: str = "utf-8"

    @property
    def recipients(self) -> tuple[str, ...]:
        """Return every address the message goes to, once each."""
        return tuple(dict.fromkeys(address.address for address in (*self.to, *self.cc, *self.bcc)))


def new_message_id(domain: str) -> str:
    """Make an identifier that nobody else makes (RFC 5322, section 3.6.4)."""
    check_plain(domain, what="The domain")
    ascii_domain = domain.encode("idna").decode() if not domain.isascii() else domain
    return f"<{secrets.token_hex(16)}@{ascii_domain or 'localhost'}>"


def compose(draft: Draft, *, message_id: str, date: datetime) -> bytes:
    """Write a message with CRLF line ends and without Bcc; say in a sentence which field is wrong."""
    head = [
        ("From", _addresses((draft.sender,), what="The sender")),
        ("To", _addresses(draft.to, what="To") or "undisclosed-recipients:;"),
        ("Cc", _addresses(draft.cc, what="Cc")),
        ("Reply-To", _addresses(draft.reply_to, what="Reply-To")),
        ("Subject", _words(check_plain(draft.subject, what="The subject"))),
        ("Date", format_datetime(date)),
        ("Message-ID", _identifier(message_id, what="The Message-ID")),
        ("In-Reply-To", _identifier(draft.in_reply_to, what="In-Reply-To")),
        ("References", " ".join(_identifier(word, what="References") for word in draft.references)),
        *((_header_name(name), _words(check_plain(value, what=name))) for name, value in draft.headers),
        # By this others, and their rules, see that a message of theirs came back to them.
        ("X-Loop", draft.sender.address if draft.sender.address.isascii() else ""),
        ("MIME-Version", "1.0"),
    ]
    lines = b"".join(_fold(name, value) for name, value in head if value)
    return lines + _body(draft)


def _header_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", name) or name.lower() == "bcc":
        raise ValueError(f"“{name}” is not the name of a header that may be sent.")
    return name


def _identifier(text: str, *, what: str) -> str:
    check_plain(text, what=what)
    if text and (not text.isascii() or any(mark.isspace() for mark in text)):
        raise ValueError(f"{what} must be plain identifiers without spaces.")
    return text


def _addresses(addresses: tuple[Address, ...], *, what: str) -> str:
    return ", ".join(_address(address, what=what) for address in addresses)


def _address(address: Address, *, what: str) -> str:
    check_plain(address.name, what=what)
    check_plain(address.address, what=what)
    if not ADDRESS.fullmatch(address.address):
        raise ValueError(f"{what} must be addresses such as name@example.com.")
    local, _, domain = address.address.rpartition("@")
    try:
        ascii_domain = domain if domain.isascii() else domain.encode("idna").decode()
    except UnicodeError as problem:
        raise ValueError(f"{what} must be addresses such as name@example.com.") from problem
    if not address.name:
        return f"{local}@{ascii_domain}"
    return f"{_display_name(address.name)} <{local}@{ascii_domain}>"


def _display_name(name: str) -> str:
    if not name.isascii() or "=?" in name:
        return _words(name)
    if ATOM.fullmatch(name) and "." not in name:
        return name
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _words(text: str) -> str:
    """Encode what is not ASCII, and what would be read as encoded (RFC 2047)."""
    text = "".join(mark if mark >= " " and mark != "\x7f" else " " for mark in text)
    too_long = any(len(word) > HARD_LINE // 2 for word in text.split())
    if text.isascii() and "=?" not in text and not too_long:
        return text
    return Header(text, "utf-8", maxlinelen=LINE - 20).encode(linesep="\n").replace("\n", "")


def _fold(name: str, value: str) -> bytes:
    """Fold at spaces only, so that no word is changed (RFC 5322, section 2.2.3)."""
    lines = []
    line = f"{name}:"
    for word in value.split(" "):
        if len(line) + 1 + len(word) > LINE and line.strip() and word and line != f"{name}:":
            lines.append(line)
            line = ""
        line += f" {word}"
    lines.append(line)
    return "\r\n".join(lines).encode() + b"\r\n"


def _body(draft: Draft) -> bytes:
    text = _text_part(draft.text, "plain", charset=draft.charset)
    if draft.html:
        text = _multipart("alternative", [text, _text_part(draft.html, "html", charset=draft.charset)])
    if draft.attachments:
        text = _multipart("mixed", [text, *(_file_part(file) for file in draft.attachments)])
    return text


def _text_part(text: str, subtype: str, *, charset: str) -> bytes:
    lines = "\r\n".join(text.splitlines())
    try:
        content = lines.encode(charset)
    except UnicodeEncodeError:
        charset, content = "utf-8", lines.encode("utf-8", "replace")
    content = content + b"\r\n" if content else content
    plain = content.isascii() and b"\0" not in content and max(map(len, content.split(b"\r\n"))) <= LINE + 2
    if plain:
        return _part(f'text/{subtype}; charset="us-ascii"', "7bit", content)
    if sum(mark > 126 for mark in content) * 6 > len(content):
        return _part(f'text/{subtype}; charset="{charset}"', "base64", _base64(content))
    quoted = binascii.b2a_qp(content.replace(b"\r\n", b"\n"), istext=True)
    quoted = b"\r\n".join(quoted.splitlines()) + b"\r\n"
    return _part(f'text/{subtype}; charset="{charset}"', "quoted-printable", quoted)


def _file_part(file: DraftAttachment) -> bytes:
    name = check_plain(file.filename, what="The file name")
    if not TYPE.fullmatch(file.content_type):
        raise ValueError("The type of a file must look like application/pdf.")
    kind = file.content_type.lower()
    disposition = f"attachment; {_parameter('filename', name)}" if name else "attachment"
    if kind == "message/rfc822" and _is_seven_bit(file.content):
        return _part(kind, "7bit", file.content, disposition=disposition)
    if kind.startswith(("multipart/", "message/")):
        # These may not be base64 (RFC 2045, section 6.4).
        kind = "application/octet-stream"
    return _part(kind, "base64", _base64(file.content), disposition=disposition)


def _is_seven_bit(content: bytes) -> bool:
    """Say whether a message can travel inside another without being encoded (RFC 2045, section 2.7)."""
    lines = content.split(b"\r\n")
    broken = any(b"\n" in line or b"\r" in line or len(line) > HARD_LINE for line in lines)
    return content.isascii() and b"\0" not in content and not broken


def _parameter(name: str, value: str) -> str:
    """Write a parameter, in pieces where it is long or not ASCII (RFC 2231)."""
    if value.isascii() and value.isprintable() and len(value) <= 60:
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'{name}="{escaped}"'
    pieces = list(_cut(value, 50))
    if len(pieces) == 1:
        return f"{name}*=utf-8''{pieces[0]}"
    first = f"{name}*0*=utf-8''{pieces[0]}"
    return "; ".join([first, *(f"{name}*{number}*={piece}" for number, piece in enumerate(pieces[1:], 1))])


def _cut(text: str, width: int) -> Iterator[str]:
    """Encode a text in pieces, none of which ends within a character."""
    piece = ""
    for mark in text:
        coded = quote(mark, safe="")
        if len(piece) + len(coded) > width:
            yield piece
            piece = ""
        piece += coded
    yield piece


def _part(content_type: str, encoding: str, content: bytes, *, disposition: str = "") -> bytes:
    head = _fold("Content-Type", content_type) + _fold("Content-Transfer-Encoding", encoding)
    if disposition:
        head += _fold("Content-Disposition", disposition)
    return head + b"\r\n" + content


def _multipart(subtype: str, parts: list[bytes]) -> bytes:
    boundary = secrets.token_hex(20)
    head = _fold("Content-Type", f'multipart/{subtype}; boundary="{boundary}"')
    line = f"\r\n--{boundary}".encode()
    body = b"".join(line + b"\r\n" + part for part in parts)
    return head + body + line + b"--\r\n"


def _base64(content: bytes) -> bytes:
    return base64.encodebytes(content).replace(b"\n", b"\r\n")
