"""What mail servers report about messages of ours, in the form made for it and in all the free ones."""

from collections.abc import Collection
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emailsync.mail.bounces import PART_LIMIT, Action, Bounce, read_bounce
from emailsync.mail.parsing import attachment_beginnings, parse

CORPUS = Path(__file__).parent.parent / "corpus" / "bounces"
OURS = "<4f1c0ffee@example.com>"
BEN = "ben@example.org"


def read(raw: bytes) -> Bounce | None:
    """Read a report from the bytes of a message."""
    return read_bounce(parse(raw), lambda numbers: attachment_beginnings(raw, numbers, length=PART_LIMIT))


def corpus(name: str) -> bytes:
    """Return a message of the corpus."""
    return (CORPUS / f"{name}.eml").read_bytes()


@pytest.mark.parametrize(
    ("name", "action", "status", "words"),
    [
        ("postfix", Action.FAILED, "5.1.1", "User unknown"),
        ("postfix-delayed", Action.DELAYED, "4.4.1", "Connection timed out"),
        ("delivered", Action.DELIVERED, "2.0.0", "queued as 7F"),
        ("exchange", Action.FAILED, "5.1.10", "Recipient not found"),
        ("exchange-old", Action.FAILED, "5.1.1", "account does not exist"),
        ("gmail", Action.FAILED, "5.1.1", "does not exist"),
        ("gmail-old", Action.FAILED, "5.1.1", "User unknown"),
        ("no-action", Action.FAILED, "5.2.2", "mailbox full"),
        ("exim", Action.FAILED, "5.1.1", "No such user here"),
        ("exim-delayed", Action.DELAYED, "4.3.0", "try again later"),
        ("qmail", Action.FAILED, "5.1.1", "unknown user"),
        ("sendmail", Action.FAILED, "5.1.1", "User unknown"),
        ("yahoo", Action.FAILED, "5.0.0", "mailbox is disabled"),
    ],
)
def test_a_report_names_the_message_the_recipient_and_the_reason(
    name: str, action: Action, status: str, words: str
) -> None:
    bounce = read(corpus(name))
    assert bounce is not None
    assert OURS in bounce.message_ids
    about = bounce.about([BEN, "cleo@example.org"])
    assert list(about) == [BEN]
    assert (about[BEN].action, about[BEN].status) == (action, status)
    assert words in about[BEN].text


@pytest.mark.parametrize("name", sorted(path.stem for path in CORPUS.glob("*.eml")))
def test_nothing_is_said_about_strangers(name: str) -> None:
    bounce = read(corpus(name))
    assert (
        bounce is None
        or bounce.about(["xben@example.org", "ben@example.org.evil.example", "a@b.example"]) == {}
    )


def test_what_a_person_writes_is_no_report() -> None:
    assert read(corpus("answer-of-a-person")) is None


def test_a_notice_without_any_message_of_ours_is_no_report() -> None:
    assert read(corpus("qmail").replace(b"Message-ID: <4f1c0ffee", b"X-Was: <4f1c0ffee")) is None


def test_a_server_that_says_nothing_of_failure_reports_none() -> None:
    raw = b"From: mailer-daemon@b.example\r\nIn-Reply-To: <a@b>\r\n\r\nben@example.org is fine\r\n"
    assert read(raw) is None


def test_names_are_compared_as_servers_compare_them() -> None:
    raw = corpus("postfix").replace(b"ben@example.org", b"ben@xn--bcher-kva.example")
    bounce = read(raw)
    assert bounce is not None
    assert list(bounce.about(["Ben@bücher.example"])) == ["Ben@bücher.example"]


def test_several_recipients_have_each_their_own_report() -> None:
    both = b"Status: 5.1.1\r\n\r\nFinal-Recipient: rfc822; cy@example.org\r\nStatus: 4.2.2\r\n"
    raw = corpus("no-action").replace(b"Status: 5.2.2 (mailbox full)\r\n", both)
    bounce = read(raw)
    assert bounce is not None
    about = bounce.about([BEN, "cy@example.org"])
    assert {name: report.action for name, report in about.items()} == {
        BEN: Action.FAILED,
        "cy@example.org": Action.DELAYED,
    }


def test_a_report_is_gone_through_once_however_many_messages_it_returns() -> None:
    part = b"--b\r\nContent-Type: message/rfc822\r\n\r\nMessage-ID: %s\r\n\r\n" % OURS.encode()
    raw = b"From: mailer-daemon@example.org\r\nSubject: failure notice\r\n"
    raw += b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + part * 15 + b"--b--\r\n"
    asked: list[Collection[int]] = []

    def contents(numbers: Collection[int]) -> dict[int, bytes]:
        asked.append(numbers)
        return attachment_beginnings(raw, numbers, length=PART_LIMIT)

    bounce = read_bounce(parse(raw), contents)
    assert bounce is not None
    assert bounce.message_ids == (OURS,)
    assert [sorted(numbers) for numbers in asked] == [list(range(15))]


@given(
    cut=st.integers(0, 3000), junk=st.binary(max_size=40), name=st.sampled_from(["postfix", "exim", "qmail"])
)
def test_no_report_however_broken_raises(cut: int, junk: bytes, name: str) -> None:
    raw = corpus(name)
    bounce = read(raw[:cut] + junk + raw[cut + 10 :])
    assert bounce is None or isinstance(bounce.about([BEN]), dict)
