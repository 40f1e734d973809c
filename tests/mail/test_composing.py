"""Writing messages."""

import email
import email.policy
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emailsync.mail.composing import Draft, DraftAttachment, compose, new_message_id
from emailsync.mail.headers import Address
from emailsync.mail.parsing import ParsedMessage, attachment_content, parse

NOW = datetime(2024, 2, 5, 9, 20, 30, tzinfo=UTC)
ANN = Address("Ann", "ann@example.com")
BOB = Address("Bob", "bob@example.org")


def draft(
    *,
    sender: Address = ANN,
    to: tuple[Address, ...] = (BOB,),
    subject: str = "Hello",
    text: str = "Hello Bob\n",
    references: tuple[str, ...] = (),
    attachments: tuple[DraftAttachment, ...] = (),
    html: str = "",
) -> Draft:
    """Make a draft that differs in one thing from a plain one."""
    return Draft(
        sender=sender,
        to=to,
        subject=subject,
        text=text,
        references=references,
        attachments=attachments,
        html=html,
    )


def written(message: Draft) -> bytes:
    """Compose under a fixed identifier and date."""
    return compose(message, message_id="<1@example.com>", date=NOW)


def read_back(message: Draft) -> ParsedMessage:
    """Compose a draft and parse the result."""
    return parse(written(message))


def test_a_plain_message_is_plain() -> None:
    assert written(draft()) == (
        b"From: Ann <ann@example.com>\r\nTo: Bob <bob@example.org>\r\nSubject: Hello\r\n"
        b"Date: Mon, 05 Feb 2024 09:20:30 +0000\r\nMessage-ID: <1@example.com>\r\n"
        b"X-Loop: ann@example.com\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: text/plain; charset="us-ascii"\r\n'
        b"Content-Transfer-Encoding: 7bit\r\n\r\nHello Bob\r\n"
    )


def test_bcc_is_sent_to_and_not_shown() -> None:
    message = Draft(sender=ANN, to=(BOB,), bcc=(Address("", "cy@example.net"),), subject="x", text="y")
    assert message.recipients == ("bob@example.org", "cy@example.net")
    assert b"cy@example.net" not in written(message)


def test_without_visible_recipients_the_header_says_so() -> None:
    message = Draft(sender=ANN, to=(), bcc=(BOB,), subject="x", text="y")
    assert b"To: undisclosed-recipients:;\r\n" in written(message)


@settings(max_examples=200, deadline=None)
@given(
    name=st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=120).map(str.strip),
    subject=st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=300).map(str.strip),
    text=st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=1000),
)
def test_every_text_survives_and_travels_in_ascii(name: str, subject: str, text: str) -> None:
    content = written(draft(sender=Address(name, "ann@example.com"), subject=subject, text=text))
    message = parse(content)
    assert content.isascii()
    assert max(map(len, content.split(b"\r\n"))) <= 998
    assert message.sender is not None
    assert " ".join(message.sender.name.split()) == " ".join(name.split())
    assert " ".join(message.subject.split()) == " ".join(subject.split())
    assert message.text.strip() == text.strip() or message.text.rstrip("\n") == text.rstrip(" \t\n")
    assert message.defects == ()


@settings(max_examples=100, deadline=None)
@given(
    filename=st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=200),
    content=st.binary(max_size=300),
)
def test_every_attachment_survives(filename: str, content: bytes) -> None:
    raw = written(draft(attachments=(DraftAttachment(filename, "application/pdf", content),)))
    info, read = attachment_content(raw, 0)
    assert read == content
    assert info.filename == filename.replace("/", "_").replace("\\", "_").strip()[:255]


def test_the_standard_library_reads_the_same() -> None:
    raw = written(
        draft(
            subject="Grüße " * 30,
            text="Schöne Grüße\n" * 20,
            html="<p>Schöne Grüße</p>",
            attachments=(DraftAttachment("Übersicht „2024“.pdf", "application/pdf", b"%PDF"),),
        )
    )
    message = email.message_from_bytes(raw, policy=email.policy.default)
    body, page = message.get_body(("plain",)), message.get_body(("html",))
    (attachment,) = message.iter_attachments()
    assert message["subject"].strip() == ("Grüße " * 30).strip()
    assert body is not None
    assert page is not None
    assert body.get_content().splitlines() == ["Schöne Grüße"] * 20
    assert page.get_content().splitlines() == ["<p>Schöne Grüße</p>"]
    assert attachment.get_filename() == "Übersicht „2024“.pdf"
    assert not message.defects


def test_long_message_ids_are_never_broken() -> None:
    references = tuple(f"<{'x' * 120}{number}@example.com>" for number in range(20))
    content = written(draft(references=references))
    assert parse(content).references == references
    assert b"=?" not in content


def test_a_name_with_a_comma_is_quoted() -> None:
    assert b'From: "Doe, \\"J\\" John" <j@example.com>\r\n' in written(
        draft(sender=Address('Doe, "J" John', "j@example.com"))
    )


@pytest.mark.parametrize(
    "name", ['"', "\\", 'a"b', '"a"', "a\\", "=?utf-8?q?x?=", "(a)", "<a>", "a@b", "a: b;"]
)
def test_names_of_marks_alone_survive(name: str) -> None:
    assert read_back(draft(sender=Address(name, "ann@example.com"))).sender == Address(
        name, "ann@example.com"
    )


def test_a_domain_that_is_not_ascii_travels_as_its_ascii_name() -> None:
    assert b"<bob@xn--bcher-kva.example>" in written(draft(to=(Address("Bob", "bob@bücher.example"),)))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"subject": "a\r\nBcc: evil@example.com"}, "subject"),
        ({"subject": "a\0"}, "subject"),
        ({"sender": Address("Ann\nX: y", "ann@example.com")}, "sender"),
        ({"sender": Address("Ann", "ann@example.com\r\nX: y")}, "sender"),
        ({"to": (Address("", "no address"),)}, "To"),
        ({"to": (Address("", "a@b, c@d"),)}, "To"),
        ({"references": ("<a@b>\r\nX: y",)}, "References"),
        ({"attachments": (DraftAttachment("a\r\nb", "a/b", b""),)}, "file name"),
        ({"attachments": (DraftAttachment("a", "a/b\r\nX: y", b""),)}, "type of a file"),
    ],
)
def test_what_would_break_a_header_is_refused_by_name(change: dict[str, object], field: str) -> None:
    with pytest.raises(ValueError, match=field):
        written(draft(**change))  # type: ignore[arg-type]  # each case changes another field


def test_further_headers_can_be_given() -> None:
    message = Draft(
        sender=ANN, to=(BOB,), subject="x", text="y", headers=(("Auto-Submitted", "auto-generated"),)
    )
    assert b"Auto-Submitted: auto-generated\r\n" in written(message)


@pytest.mark.parametrize("name", ["Bcc", "X: y", "", "X\r\nY"])
def test_a_header_that_may_not_be_sent_is_refused(name: str) -> None:
    message = Draft(sender=ANN, to=(BOB,), subject="x", text="y", headers=((name, "z"),))
    with pytest.raises(ValueError, match="header"):
        written(message)


@pytest.mark.parametrize(
    ("content", "content_type"),
    [(b"Subject: x\r\n\r\na", "message/rfc822"), ("Subject: ä".encode(), "application/octet-stream")],
)
def test_an_attached_message_is_one_where_it_may_travel_unencoded(content: bytes, content_type: str) -> None:
    (info,) = read_back(draft(attachments=(DraftAttachment("x.eml", "message/rfc822", content),))).attachments
    assert (info.filename, info.content_type) == ("x.eml", content_type)


def test_message_ids_are_never_the_same() -> None:
    ids = {new_message_id("example.com") for _ in range(100)}
    assert len(ids) == 100
    assert all(word.startswith("<") and word.endswith("@example.com>") for word in ids)
