"""Undo transfer encodings piece by piece, whatever is wrong with them (RFC 2045, section 6)."""

import binascii
from collections.abc import Iterator

from pybase64 import b64decode

#: A line that is longer is taken in pieces.
LINE_LIMIT = 64 * 1024
NOT_BASE64 = bytes(
    set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")
)


def decode_base64(pieces: Iterator[bytes], defects: list[str]) -> Iterator[bytes]:
    """Yield what base64 holds; what is wrong with it is added to `defects`."""
    rest = b""
    for piece in pieces:
        # Padding ends a run; some programs join several encoded texts.
        *ended, rest = (rest + piece.translate(None, NOT_BASE64)).split(b"=")
        if ended:
            yield b"".join(_base64_run(run, defects) for run in ended if run)
        whole = len(rest) - len(rest) % 4
        if whole:
            yield b64decode(rest[:whole], validate=True)
            rest = rest[whole:]
    if rest:
        defects.append("base64_truncated")
        yield _base64_run(rest, defects)


def _base64_run(run: bytes, defects: list[str]) -> bytes:
    """Decode characters up to their padding; one character alone holds six bits, which is no byte."""
    if len(run) % 4 == 1:
        if "base64_broken" not in defects:
            defects.append("base64_broken")
        run = run[:-1]
    return b64decode(run + b"=" * (-len(run) % 4), validate=True)


def decode_quoted(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield what quoted-printable holds."""
    rest = b""
    for piece in pieces:
        data = rest + piece
        cut = data.rfind(b"\n") + 1
        if not cut and len(data) > LINE_LIMIT:
            cut = len(data) - 3
        rest = data[cut:]
        if cut:
            yield binascii.a2b_qp(_without_trailing_space(data[:cut]))
    if rest:
        yield binascii.a2b_qp(rest.rstrip(b" \t"))


def _without_trailing_space(data: bytes) -> bytes:
    """Remove the white space that transports add at line ends (RFC 2045, section 6.7, rule 3)."""
    if not any(mark in data for mark in (b" \n", b" \r\n", b"\t\n", b"\t\r\n")):
        return data
    lines = data.split(b"\n")
    last = lines.pop()
    stripped = [
        line[:-1].rstrip(b" \t") + b"\r" if line.endswith(b"\r") else line.rstrip(b" \t") for line in lines
    ]
    return b"\n".join([*stripped, last])


def decode_uu(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield what uuencode holds between its first and its last line."""
    rest = b""
    inside = False
    for piece in _with_end(pieces):
        *lines, rest = (rest + piece).split(b"\n")
        decoded: list[bytes] = []
        for line in lines:
            if line.startswith(b"begin "):
                inside = True
            elif line.strip() == b"end":
                inside = False
            elif inside:
                decoded.append(_uu_line(line.rstrip(b"\r")))
        yield b"".join(decoded)


def _with_end(pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield from pieces
    yield b"\n"


def _uu_line(line: bytes) -> bytes:
    try:
        return binascii.a2b_uu(line)
    except binascii.Error:
        # Some encoders miscount; this is how Python's own uu module mends it.
        length = (((line[0] - 32) & 63) * 4 + 5) // 3 if line else 0
        try:
            return binascii.a2b_uu(line[:length])
        except binascii.Error:
            return b""
