"""Read lists of addresses as people really write them (RFC 5322, section 3.4)."""

import re
from collections.abc import Iterator

from emailsync.mail.headers import Address, decode_words, one_line, remembered

# White space is never given back: a long run of it would be tried at every place (possessive `+`).
SIMPLE = re.compile(r"\s*+([^\s,;:<>()\"@\[\]\\]+@[^\s,;:<>()\"@\\]+)\s*$")
NAMED = re.compile(
    r"\s*+(?:\"([^\"\\<>]*+)\"|([^,;:<>()\"@\[\]\\]*+))\s*+<([^\s,;:<>()\"@\\]+@[^\s,;:<>()\"@\\]+)>\s*$"
)
TOKEN = re.compile(
    r"""(?P<word>=\?[^?\s]{1,60}\?[bBqQ]\?[^?]{0,4000}\?=)
      | (?P<quoted>"(?:[^"\\]|\\.)*"?)
      | (?P<angle><[^<>]*>?)
      | (?P<comment>\((?:[^()\\]|\\.)*\)?)
      | (?P<mark>[,;:])
      | (?P<space>\s+)
      | (?P<atom>(?:(?!=\?)[^\s,;:<>"(])+|.)""",
    re.VERBOSE | re.DOTALL,
)
COUNT_LIMIT = 5_000


@remembered
def parse_addresses(value: str) -> tuple[Address, ...]:
    """Return the addresses of a header, those in groups too."""
    if not value:
        return ()
    usual = _usual(value)
    if usual is not None:
        return usual
    found = []
    for address in _scan(value):
        found.append(address)
        if len(found) == COUNT_LIMIT:
            break
    return tuple(found)


def _usual(value: str) -> tuple[Address, ...] | None:
    """Read one address, or a list of them, in the two usual forms; None when anything is not."""
    one = _one(value)
    if one is not None:
        return (one,)
    pieces = value.split(",")
    # A comma that is part of a name leaves a piece without an address, unless an encoded word hides one.
    if "=?" in value or not 1 < len(pieces) <= COUNT_LIMIT:
        return None
    found = [address for piece in pieces if (address := _one(piece)) is not None]
    return tuple(found) if len(found) == len(pieces) else None


def _one(text: str) -> Address | None:
    simple = SIMPLE.match(text)
    if simple is not None:
        return Address("", one_line(simple.group(1)))
    named = NAMED.match(text)
    if named is None:
        return None
    name = named.group(1) if named.group(1) is not None else named.group(2)
    return Address(one_line(decode_words(name)), one_line(named.group(3)))


def _scan(value: str) -> Iterator[Address]:
    text: list[str] = []
    comments: list[str] = []
    angle = ""
    # Whether it is in the text so far.
    has_at = False
    for token in TOKEN.finditer(value):
        kind, word = token.lastgroup, token.group()
        if kind == "mark" and word == ":" and not angle and not has_at:
            # What stood before a colon was the name of a group.
            text, comments = [], []
        elif kind == "mark" and word in ",;":
            yield from _address(text, comments, angle)
            text, comments, angle, has_at = [], [], "", False
        elif kind == "angle":
            angle = angle or word.strip("<> \t")
        elif kind == "comment":
            comments.append(word.strip("()"))
        elif kind == "quoted":
            inner = word[1:-1] if len(word) > 1 and word.endswith('"') else word[1:]
            text.append(re.sub(r"\\(.)", r"\1", inner))
            has_at = has_at or "@" in inner
        elif kind == "space":
            text.append(" ")
        else:
            text.append(word)
            has_at = has_at or "@" in word
    yield from _address(text, comments, angle)


def _address(text: list[str], comments: list[str], angle: str) -> Iterator[Address]:
    words = "".join(text).strip()
    if angle:
        # A route such as <@relay:user@host> is long dead (RFC 5322, section 4.4).
        address = angle.rpartition(":")[2] if angle.startswith("@") else angle
        yield Address(one_line(decode_words(words or " ".join(comments))), one_line(address))
    elif words:
        name = one_line(decode_words(" ".join(comments)))
        yield Address(name, one_line(words.replace(" ", "") if "@" in words else words))
