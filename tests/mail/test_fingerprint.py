"""What a message is known by when the server has given it another number."""

import pytest

from emailsync.mail.headers import HEADERS_LIMIT, fingerprint

HEADER = b"Subject: Hello\r\nMessage-ID: <1@example.org>\r\n\r\n"


def test_a_message_and_its_header_alone_have_the_same() -> None:
    assert fingerprint(HEADER + b"Text\r\n\r\nMore\r\n", 99) == fingerprint(HEADER, 99) != ""


@pytest.mark.parametrize("header", [HEADER.replace(b"Hello", b"Hallo"), HEADER.replace(b"<1@", b"<2@")])
def test_another_header_has_another(header: bytes) -> None:
    assert fingerprint(header, 99) != fingerprint(HEADER, 99)


def test_another_size_has_another() -> None:
    assert fingerprint(HEADER, 98) != fingerprint(HEADER, 99)


def test_line_ends_may_be_short() -> None:
    short = HEADER.replace(b"\r\n", b"\n")
    assert fingerprint(short + b"Text\r\n\r\nMore", 9) == fingerprint(short, 9) != ""


@pytest.mark.parametrize(
    "message",
    [
        b"Subject: Hello\r\n\r\nMessage-ID: <1@example.org>\r\n",
        b"\r\nMessage-ID: <1@example.org>\r\n",
        b"Subject: Hello",
        b"",
        b"Message-ID: <1@example.org>\r\nX: " + b"x" * HEADERS_LIMIT,
    ],
    ids=["in the body", "no header", "cut", "empty", "endless"],
)
def test_a_message_that_nothing_tells_from_others_has_none(message: bytes) -> None:
    assert fingerprint(message, 99) == ""
