"""What is read by a shortcut is read as without it."""

import io
from encodings.aliases import aliases

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from emailsync.mail import addresses, headers
from emailsync.mail.headers import REGULAR_BLOCK, keeps_ascii, regular_headers, split_headers
from emailsync.mail.parsing import parse
from emailsync.mail.plain import LONGEST_NAME

ASCII = st.binary(max_size=40).map(lambda content: bytes(sign & 127 for sign in content))
FEW = settings(max_examples=300, deadline=None)


@FEW
@given(
    st.lists(
        st.sampled_from(
            [
                b"Subject:",
                b"X-Y: a",
                b"\r\n",
                b"\n",
                b"\r\n ",
                b"\n\t",
                b" ",
                b"\x0b",
                b"\x1c",
                b"=?utf-8?q?a?=",
            ]
        )
        | ASCII,
        max_size=12,
    ).map(b"".join)
)
def test_regular_headers_are_those_of_the_tolerant_way(content: bytes) -> None:
    block = REGULAR_BLOCK.match(content + b"\r\nEnd: of it\r\n\r\n")
    assume(block is not None and b"\0" not in block.group())
    lines = io.BytesIO(block.group()).readlines()[:-1] if block else []
    assert regular_headers(b"".join([*lines, b"\r\n"])) == tuple(split_headers(iter(lines)))


@FEW
@given(
    st.tuples(
        st.sampled_from(["", "Mon, ", "Xyz, "]),
        st.sampled_from(["1", "01", "29", "31", "32"]),
        st.sampled_from([" Jan ", " Feb ", " Dec ", " feb ", " Foo "]),
        st.sampled_from(["2024", "1999", "2025", "0050", "9999", "99"]),
        st.sampled_from([" 00:00:00 ", " 23:59:60 ", " 24:00 ", " 9:05:01 ", " 12:34 "]),
        st.sampled_from(["+0000", "-0000", "+0530", "-1145", "+2359", "+2400", "+0060", "GMT", "", "-0030"]),
        st.sampled_from(["", " (UTC)", " (a (b))", " "]),
    ).map("".join)
)
def test_a_usual_date_is_the_same_moment(value: str) -> None:
    assert headers.parse_date(value) == headers._any_date(value)


PIECES = [
    "a@b.example",
    "c@d.example",
    "Ana",
    '"Doe, J" ',
    '"',
    "<e@f.example>",
    "<",
    ">",
    ", ",
    ",",
    " ",
    ";",
]
PIECES += [":", "(x)", "@", "\\", "=?utf-8?q?a@b,_c?= ", "=?utf-8?b?w6k=?= ", "é", "\t", "[1]"]


@FEW
@given(st.lists(st.sampled_from(PIECES), max_size=10).map("".join))
def test_usual_addresses_are_those_of_the_careful_way(value: str) -> None:
    usual = addresses._usual(value)
    assert usual is None or usual == tuple(addresses._scan(value))


@pytest.mark.parametrize("charset", sorted(filter(keeps_ascii, set(aliases.values()))))
@settings(max_examples=30, deadline=None)
@given(
    content=st.lists(st.sampled_from([b"\x1b$B", b"\x1b(", b"~{", b"+A", b"-", b"\x0e"]) | ASCII).map(
        b"".join
    )
)
def test_ascii_is_decoded_alike_by_all_charsets_that_keep_it(charset: str, content: bytes) -> None:
    known = headers.find_charset(charset) or "utf-8"
    assert content.decode(known) == content.decode("ascii")


@pytest.mark.parametrize("charset", ["iso-2022-jp", "iso-2022-kr", "hz-gb-2312", "utf-7", "utf-16", "cp037"])
def test_charsets_that_shift_are_left_to_the_decoder(charset: str) -> None:
    assert headers.find_charset(charset)
    assert not keeps_ascii(charset)


@FEW
@given(
    st.lists(st.sampled_from(["a", "words ", "\r\n", "\r", "\n", " ", "é"]), max_size=60).map("".join),
    st.integers(0, 30),
)
def test_the_beginning_of_a_plain_text_is_its_own(text: str, length: int) -> None:
    message = parse(b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + text.encode())
    assert message.beginning(length) == message.text[:length]


PAGE_PIECES = [
    "words ",
    "&amp",
    "&am",
    "p;",
    "&nbsp;",
    "&#12",
    "345;",
    "<br>",
    "<p>",
    "<b>",
    "<td>",
    "<",
    " ",
]
PAGE_PIECES += ["\r\n", "<style>x", "</style>", "<head>", "<body>", "<!--", "-->", "a" * LONGEST_NAME]


@FEW
@given(
    st.lists(
        st.sampled_from(PAGE_PIECES),
        max_size=200,
    ).map("".join),
    st.integers(0, 60),
)
def test_the_beginning_of_a_page_is_its_own(page: str, length: int) -> None:
    message = parse(b"Content-Type: text/html; charset=utf-8\r\n\r\n" + page.encode())
    assert message.beginning(length) == message.text[:length]
