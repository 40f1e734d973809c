"""Read the headers of received mail: whatever they contain, something readable comes out.

Every function here takes what strangers wrote, never raises and never hangs: patterns have bounds, and
what cannot be understood stays as it was.
"""

import binascii
import codecs
import encodings
import hashlib
import pkgutil
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from encodings.aliases import aliases
from functools import lru_cache
from typing import TypeVar
from urllib.parse import unquote_to_bytes

HEADERS_LIMIT = 256 * 1024
VALUE_LIMIT = 64 * 1024
COUNT_LIMIT = 2_000
ID_LIMIT = 998
REMEMBERED_LENGTH = 200
#: What `bytes.strip` takes away.
SPACE = " \t\n\r\v\f"

# Python's own codecs that are no character sets of mail, and some that would do harm or surprise.
NOT_CHARSETS = frozenset(
    {"unicode_escape", "raw_unicode_escape", "idna", "punycode", "undefined", "mbcs", "oem", "palmos"}
)
# Python is asked about no other name: it remembers each name that it does not know for ever.
KNOWN = frozenset(aliases).union(module.name for module in pkgutil.iter_modules(encodings.__path__))
# What mail calls by names that Python does not know, or knows too narrowly (WHATWG Encoding, section 4.2).
ALIASES = {
    "ansi": "cp1252",
    "cp-850": "cp850",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "iso-8859-1": "cp1252",
    "iso-8859-8-i": "iso8859_8",
    "ks_c_5601-1987": "cp949",
    "euc-kr": "cp949",
    "latin1": "cp1252",
    "us-ascii": "ascii",
    "utf-8mb4": "utf-8",
    "utf8mb4": "utf-8",
    "x-gbk": "gb18030",
    "x-mac-roman": "mac_roman",
    "x-sjis": "cp932",
    "shift_jis": "cp932",
    "x-unknown": "",
    "unknown-8bit": "",
}

HEADER_NAME = re.compile(rb"([!-9;-~]{1,998}?)[ \t]*:")
# A block of headers in which nothing is strange, up to and with its empty line.
REGULAR_BLOCK = re.compile(rb"(?:[!-9;-~]{1,998}+:.*+\n(?:[ \t].*+\n)*+)*+\r?\n")
REGULAR_HEADER = re.compile(rb"([!-9;-~]+):(.*\n(?:[ \t].*\n)*)")
FOLD = re.compile(r"[\r\n]+[ \t]?")
ENCODED_WORD = re.compile(r"=\?([^?\s*]{1,60})(?:\*[^?\s]{0,60})?\?([bBqQ])\?([^?]{0,4000})\?=")
BETWEEN_WORDS = re.compile(r"(\?=)[ \t\r\n]+(?==\?[^?\s]{1,120}\?[bBqQ]\?)")
PARAMETER = re.compile(
    r";\s{0,100}([^\s=;\"]{1,100})\s{0,100}=\s{0,100}(\"(?:[^\"\\]|\\.){0,8000}(?:\"|$)|[^;]{0,8000})"
)
CONTINUED = re.compile(r"(.+?)(?:\*(\d{1,3}))?(\*?)$")
MESSAGE_ID = re.compile(r"<[^<>\s]{1,996}>")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
SURROGATE = re.compile(r"[\ud800-\udfff]")
MONTH_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
MONTHS = {name: number for number, name in enumerate(MONTH_NAMES, start=1)}
# Dates as nearly all programs write them (RFC 5322, section 3.3).
USUAL_DATE = re.compile(
    rf"(?:[A-Za-z]{{3}}, )?(\d\d?) ({'|'.join(MONTH_NAMES)}) ([12]\d{{3}}) "
    r"((?:[01]\d|2[0-3]):\d\d(?::\d\d)?) ([+-](?:[01]\d|2[0-3])[0-5]\d)(?: \([A-Za-z]{1,9}\))?",
    re.ASCII,
)
# All of ASCII, and what begins other signs in the charsets that shift (RFC 1468, 1557, 1843, 2152).
ASCII_SIGNS = bytes(range(128)) + b"\x1b$B$3\x1b(B\x1b$)C\x0e!!\x0f~{<:~}+AGE-"


T = TypeVar("T")


@dataclass(frozen=True)
class Address:
    """Hold a name, which may be empty, and an address."""

    name: str
    address: str

    def __str__(self) -> str:
        return f"{self.name} <{self.address}>" if self.name else self.address


@dataclass(frozen=True)
class ContentType:
    """Hold a media type and its parameters."""

    value: str
    parameters: Mapping[str, str]


def fingerprint(raw: bytes, size: int) -> str:
    """Return 32 hexadecimal digits that tell a message from all others by its header block and its size.

    `raw` may be the whole message, its header block, or its first HEADERS_LIMIT bytes; `size` is what the
    server calls its size, in bytes. The fingerprint is empty when the block is longer or has no Message-ID:
    then nothing in it need be the message's own.
    """
    end = min(len(raw), HEADERS_LIMIT - 1)
    if raw.startswith((b"\r\n", b"\n")):
        return ""
    for empty_line in (b"\n\r\n", b"\n\n"):
        found = raw.find(empty_line, 0, end)
        end = found if found >= 0 else end
    if end == HEADERS_LIMIT - 1:
        return ""
    block = b"\n" + raw[:end].rstrip(b"\r\n")
    if b"\nmessage-id:" not in block.lower():
        return ""
    return hashlib.sha256(b"%d\n%b" % (size, block)).hexdigest()[:32]


def storable(text: str) -> str:
    """Take out what no database takes: NUL and halves of characters."""
    if "\0" in text:
        text = text.replace("\0", "")
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        text = SURROGATE.sub("\ufffd", text)
    return text


def one_line(text: str) -> str:
    """Make a text fit on one line, without control characters."""
    if text.isprintable():
        return text.strip()
    return " ".join(CONTROL.sub(" ", storable(text)).split())


def remembered(read: Callable[[str], T]) -> Callable[[str], T]:
    """Keep what was read of short values: much of a header is the same in message after message."""
    kept = lru_cache(maxsize=256)(read)
    return lambda value: kept(value) if len(value) <= REMEMBERED_LENGTH else read(value)


@lru_cache(maxsize=256)
def find_charset(name: str) -> str | None:
    """Return Python's name of a character set, or None for one that nobody knows."""
    word = name.strip().strip("\"'").lower()
    word = ALIASES.get(word, word)
    word = encodings.normalize_encoding(word).replace(".", "_")
    if word not in KNOWN:
        return None
    try:
        found = codecs.lookup(word)
        "".encode(found.name)
    except (LookupError, ValueError):
        return None
    found_name = found.name.replace("-", "_")
    return None if found_name in NOT_CHARSETS else found.name


@lru_cache(maxsize=256)
def keeps_ascii(charset: str) -> bool:
    """Say whether text of ASCII alone is the same in a charset; one that nobody knows is taken for UTF-8."""
    known = find_charset(charset or "us-ascii") or "utf-8"
    try:
        return ASCII_SIGNS.decode(known) == ASCII_SIGNS.decode("ascii")
    except UnicodeError:
        return False


def decode_text(content: bytes, charset: str) -> tuple[str, str]:
    """Decode bytes by the charset they claim, or by what they look like; say what was wrong in a word."""
    known = find_charset(charset or "us-ascii")
    if content.isascii() and keeps_ascii(charset):
        return storable(content.decode("ascii")), "" if known is not None else "charset_unknown"
    defect = "charset_wrong" if known is not None else "charset_unknown"
    for candidate in (known, "utf-8"):
        if candidate is not None:
            try:
                return storable(content.decode(candidate)), "" if candidate == known else defect
            except (UnicodeError, ValueError):
                continue
    if known is not None and known != "ascii":
        return storable(content.decode(known, "replace")), defect
    return storable(content.decode("cp1252", "replace")), defect


def split_headers(lines: Iterator[bytes]) -> Iterator[tuple[str, str]]:
    """Join folded lines to names and raw values; lines that are no header must not come here."""
    name = b""
    value: list[bytes] = []
    for line in lines:
        if line[:1] in b" \t" and name:
            value.append(line)
            continue
        if name:
            yield name.decode("ascii"), _raw_text(b"".join(value))
        found = HEADER_NAME.match(line)
        name, value = (found.group(1), [line[found.end() :]]) if found else (b"", [])
    if name:
        yield name.decode("ascii"), _raw_text(b"".join(value))


def regular_headers(block: bytes) -> tuple[tuple[str, str], ...]:
    """Read a block that `REGULAR_BLOCK` found."""
    if block.isascii():
        text = block.decode("ascii").replace("\r\n", "\n")
        if "\r" not in text and "\0" not in text:
            lines = text.replace("\n ", " ").replace("\n\t", " ").split("\n")
            # After the last header come an empty line and its end.
            parts = [line.partition(":") for line in lines[:-2]]
            return tuple([(name, value.strip(SPACE)) for name, _, value in parts])
    return tuple((name.decode("ascii"), _raw_text(value)) for name, value in REGULAR_HEADER.findall(block))


def _raw_text(value: bytes) -> str:
    value = value[:VALUE_LIMIT].strip()
    if value.isascii():
        text = value.decode("ascii")
    else:
        text, _ = decode_text(value, "utf-8")
        if "\ufffd" in text:
            text = value.decode("cp1252", "replace")
    return FOLD.sub(" ", text).replace("\0", "") if "\n" in text or "\r" in text or "\0" in text else text


def decode_words(text: str) -> str:
    """Decode the encoded words of a header (RFC 2047), also where they stand against its rules."""
    if "=?" not in text:
        return text
    joined = BETWEEN_WORDS.sub(r"\1", text)
    parts: list[str] = []
    waiting: list[bytes] = []
    charset = ""
    end = 0
    for word in ENCODED_WORD.finditer(joined):
        content = _word_bytes(word.group(2), word.group(3))
        adjacent = word.start() == end
        # A character of several bytes may be cut in two between adjacent words.
        if waiting and not (adjacent and word.group(1).lower() == charset):
            parts.append(decode_text(b"".join(waiting), charset)[0])
            waiting = []
        parts.append(joined[end : word.start()])
        end = word.end()
        if content is None:
            parts.append(word.group(0))
        else:
            waiting.append(content)
            charset = word.group(1).lower()
    if waiting:
        parts.append(decode_text(b"".join(waiting), charset)[0])
    parts.append(joined[end:])
    return storable("".join(parts))


def _word_bytes(encoding: str, text: str) -> bytes | None:
    raw = text.encode("utf-8", "replace")
    if encoding in "qQ":
        return binascii.a2b_qp(raw.replace(b" ", b"_"), header=True)
    try:
        return binascii.a2b_base64(raw + b"=" * (-len(raw) % 4))
    except binascii.Error:
        return None


@remembered
def parse_content_type(value: str) -> ContentType:
    """Read a Content-Type or Content-Disposition with its parameters (RFC 2045, 2231)."""
    # Some programs encode the whole of it, against all rules.
    value = decode_words(value) if value.startswith("=?") else value
    kind, semicolon, _ = value.partition(";")
    kind = kind.strip().lower()
    if not semicolon:
        return ContentType(kind, {})
    plain: dict[str, str] = {}
    pieces: dict[str, list[tuple[int, bool, str]]] = {}
    for found in PARAMETER.finditer(value, value.index(";")):
        name, content = found.group(1).lower(), _unquote(found.group(2))
        extended = CONTINUED.match(name) if "*" in name else None
        if extended is not None and (extended.group(2) or extended.group(3)):
            number = int(extended.group(2) or 0)
            pieces.setdefault(extended.group(1), []).append((number, bool(extended.group(3)), content))
        else:
            plain.setdefault(name, content)
    plain.update((name, _joined(parts)) for name, parts in pieces.items())
    return ContentType(kind, plain)


def _unquote(text: str) -> str:
    text = text.strip()
    if text[:1] != '"':
        return text
    text = text[1:-1] if text.endswith('"') and len(text) > 1 else text[1:]
    # Only these are escaped in earnest: a lone backslash is part of a Windows path.
    return re.sub(r'\\(["\\])', r"\1", text) if "\\" in text else text


def _joined(pieces: list[tuple[int, bool, str]]) -> str:
    """Join the pieces of an extended parameter (RFC 2231, sections 3 and 4)."""
    charset = ""
    content = b""
    for number, extended, piece in sorted(pieces, key=lambda found: found[0]):
        text = piece
        if extended and number == 0 and piece.count("'") >= 2:
            charset, _, text = piece.split("'", 2)
        raw = text.encode("utf-8", "replace")
        content += unquote_to_bytes(raw) if extended else raw
    return decode_text(content, charset or "utf-8")[0]


def file_name(disposition: ContentType, content_type: ContentType) -> str:
    """Return the name a part was given, safe to offer for a download."""
    name = disposition.parameters.get("filename") or content_type.parameters.get("name") or ""
    return clean_file_name(decode_words(name)) if name else ""


def clean_file_name(name: str) -> str:
    """Replace path separators and control characters."""
    name = CONTROL.sub("", storable(name)).replace("/", "_").replace("\\", "_").strip()
    return name[:255]


def message_ids(value: str) -> tuple[str, ...]:
    """Return the message identifiers in a header, with their angle brackets."""
    return tuple(MESSAGE_ID.findall(value))


def message_id(value: str) -> str:
    """Return the one message identifier of a header, or what stands in its place.

    At most ID_LIMIT bytes of UTF-8: it is indexed, and no index of PostgreSQL takes a value of 2,704 bytes.
    """
    found = MESSAGE_ID.search(value)
    name = storable(found.group(0) if found else one_line(value))
    return name[:ID_LIMIT] if name.isascii() else name.encode()[:ID_LIMIT].decode("utf-8", "ignore")


def parse_date(value: str) -> datetime | None:
    """Read a date as UTC; without a zone it counts as UTC."""
    usual = USUAL_DATE.fullmatch(value)
    if usual is None:
        return _any_date(value)
    try:
        return moment(*usual.groups())
    except ValueError:
        return None


def moment(day: str, month: str, year: str, clock: str, zone: str) -> datetime:
    """Return a time such as "1", "Jan", "2026", "12:34:56", "+0100" as UTC.

    Raise ValueError when there is no such time, LookupError when there is no such month.
    """
    text = f"{year}-{MONTHS[month]:02}-{day.strip():0>2}T{clock}{zone}"
    return datetime.fromisoformat(text).astimezone(UTC)


def _any_date(value: str) -> datetime | None:
    """Read a date in any of the forms that are met."""
    try:
        found = parsedate_to_datetime(value)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
