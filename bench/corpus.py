"""Mixed mail for measuring: the same seed gives the same messages.

Sizes follow what mailboxes hold: a median near 10 KB, a mean near 20 KB, a tail up to 1 MB. A quarter is
plain, two fifths alternative, some HTML alone, a quarter carries attachments; ten charsets; three in a
hundred are malformed.
"""

import base64
import random
import string
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

SMALLEST, LARGEST = 1024, 1024 * 1024
_WORDS = ["".join(letters) for letters in zip(*[iter(string.ascii_lowercase * 40)] * 7, strict=False)]
_CHARSETS = ["utf-8", "iso-8859-1", "iso-8859-15", "windows-1252", "koi8-r", "iso-2022-jp", "gb18030"]
_CHARSETS += ["euc-kr", "windows-1251", "us-ascii"]


def messages(count: int, *, seed: int = 42) -> Iterator[bytes]:
    """Yield `count` distinct messages with CRLF line ends."""
    random_source = random.Random(seed)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(count):
        size = min(LARGEST, max(SMALLEST, int(random_source.lognormvariate(9.2, 1.15))))
        yield _message(random_source, number, size, start + timedelta(minutes=number))


def large_message(size: int) -> bytes:
    """Return one message of about `size` bytes, nearly all of it one attachment."""
    payload = random.Random(7).randbytes(size * 3 // 4)
    head = _headers(random.Random(7), 0, datetime(2026, 1, 1, tzinfo=UTC))
    head += 'Content-Type: multipart/mixed; boundary="large"\r\n\r\n'
    head += "--large\r\nContent-Type: text/plain\r\n\r\nSee attached.\r\n"
    part = "--large\r\nContent-Type: application/zip; name=large.zip\r\nContent-Transfer-Encoding: base64\r\n"
    part += 'Content-Disposition: attachment; filename="large.zip"\r\n\r\n'
    return head.encode() + part.encode() + _base64_lines(payload) + b"--large--\r\n"


def _headers(random_source: random.Random, number: int, date: datetime) -> str:
    sender = random_source.choice(_WORDS)
    lines = [f"Received: from relay{hop}.example by mx.example; {format_datetime(date)}" for hop in range(3)]
    lines += [
        f"From: {sender.title()} <{sender}@example.org>",
        "To: Somebody <somebody@example.com>, other@example.com",
        f"Subject: {' '.join(random_source.choices(_WORDS, k=6))} {number}",
        f"Date: {format_datetime(date)}",
        f"Message-ID: <{number}.{random_source.getrandbits(64):x}@example.org>",
        "MIME-Version: 1.0",
    ]
    return "\r\n".join(lines) + "\r\n"


def _message(random_source: random.Random, number: int, size: int, date: datetime) -> bytes:
    head = _headers(random_source, number, date)
    kind = random_source.random()
    charset = random_source.choice(_CHARSETS)
    if random_source.random() < 0.03:
        return _malformed(random_source, head, size)
    # An alternative says its text twice; beside an attachment it takes a third.
    text = _text(random_source, size if kind < 0.35 else size // 2 if kind < 0.75 else size // 3)
    plain = f"Content-Type: text/plain; charset={charset}\r\n\r\n{text}\r\n"
    if kind < 0.25:
        return (head + plain).encode("ascii")
    html = f"Content-Type: text/html; charset={charset}\r\n\r\n<html><body><p>{text}</p></body></html>\r\n"
    if kind < 0.35:
        return (head + html).encode("ascii")
    boundary = f"b{number}"
    if kind < 0.75:
        parts = [plain, html]
        body = "".join(f"--{boundary}\r\n{part}" for part in parts)
        head += f'Content-Type: multipart/alternative; boundary="{boundary}"\r\n\r\n'
        return (head + body + f"--{boundary}--\r\n").encode("ascii")
    data = _base64_lines(random_source.randbytes(max(300, size // 2)))
    head += (
        f'Content-Type: multipart/mixed; boundary="{boundary}"\r\n\r\n--{boundary}\r\n{plain}--{boundary}\r\n'
    )
    head += "Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n"
    head += f'Content-Disposition: attachment; filename="file{number}.pdf"\r\n\r\n'
    return head.encode("ascii") + data + f"--{boundary}--\r\n".encode("ascii")


def _malformed(random_source: random.Random, head: str, size: int) -> bytes:
    fault = random_source.randrange(3)
    text = _text(random_source, size)
    if fault == 0:
        return (head.replace("Subject: ", "Subject: caf\xe9 ") + "\r\n" + text).encode("latin-1")
    if fault == 1:
        return (head + "Content-Type: text/plain; charset=x-nobody-knows\r\n\r\n" + text).encode("ascii")
    return (head + 'Content-Type: multipart/mixed; boundary="gone"\r\n\r\n--gone\r\n\r\n' + text).encode(
        "ascii"
    )


def _text(random_source: random.Random, size: int) -> str:
    lines = []
    total = 0
    while total < size:
        line = " ".join(random_source.choices(_WORDS, k=9))
        lines.append(line)
        total += len(line) + 2
    return "\r\n".join(lines)


def _base64_lines(data: bytes) -> bytes:
    return base64.encodebytes(data).replace(b"\n", b"\r\n")
