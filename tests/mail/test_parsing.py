"""Reading messages, however they are made."""

import base64
import encodings
import hashlib
import io
import resource
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from emailsync.mail import parsing, special
from emailsync.mail.mime import PART_LIMIT, Walker
from emailsync.mail.parsing import Address, ParsedMessage, attachment_content, parse, parse_file
from emailsync.mail.plain import text_of
from emailsync.mail.splitting import split

CORPUS = Path(__file__).parent.parent / "corpus"
MULTIPART = b"Content-Type: multipart/mixed; boundary=%b\n\n--%b\n"
NAMES = sorted(path.stem for path in CORPUS.glob("*.eml"))


def raw(name: str) -> bytes:
    """Return the bytes of a message of the corpus."""
    return (CORPUS / f"{name}.eml").read_bytes()


def read(name: str) -> ParsedMessage:
    """Parse a message of the corpus."""
    return parse(raw(name))


def texts_of(message: ParsedMessage) -> list[str]:
    """List every text that will be stored."""
    people = [message.sender, *message.reply_to, *message.to, *message.cc, *message.bcc]
    return [
        message.message_id,
        message.in_reply_to,
        *message.references,
        message.subject,
        message.text,
        message.html,
        *message.defects,
        *(part for person in people if person for part in (person.name, person.address)),
        *(part for header in message.headers for part in header),
        *(
            part
            for file in message.attachments
            for part in (file.filename, file.content_type, file.content_id)
        ),
    ]


def check_storable(message: ParsedMessage) -> None:
    """Assert that a database takes every text of a message."""
    whole = "".join(texts_of(message))
    assert "\0" not in whole
    whole.encode()


@pytest.mark.parametrize("name", NAMES)
def test_every_message_of_the_corpus_can_be_stored(name: str) -> None:
    check_storable(read(name))


@pytest.mark.parametrize("name", NAMES)
def test_the_fast_and_the_tolerant_way_agree(name: str) -> None:
    message = parsing._read(Walker(io.BytesIO(raw(name))))
    taken = split(raw(name))
    assert taken is None or parsing._read(taken) == message


BOUNDARIES = st.sampled_from([b"b", b"c", b"bc", b"b--", b"a:b"])
LINE_ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"", b"\r\r\n", b" \r\n"])
LEAVES = st.sampled_from(
    [
        b"\r\nText",
        b"\n",
        b"No header",
        b"Content-Type: text/plain\r\n\r\n",
        b"X: y\n\ncaf\xe9\n",
        b"Content-Type: application/pdf; name=a\r\nContent-Transfer-Encoding: base64\r\n\r\nYWJj\r\nZA==\r\n",
        b"Content-Transfer-Encoding: base64\r\n\r\nYWJjZ",
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\n\xff=3D \r\n=",
        b"Content-Type: message/rfc822\r\n\r\nSubject: Inner\r\n\r\n",
    ]
)


def multipart(parts: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Put parts between boundaries, here and there not as it should be."""
    return st.tuples(
        st.sampled_from([b"mixed", b"digest"]),
        BOUNDARIES,
        st.lists(st.tuples(LINE_ENDS, parts), max_size=3),
        st.sampled_from([b"--", b"--", b"--", b"-", b"--\r\nAfterwards"]),
    ).map(
        lambda drawn: (
            b'Content-Type: multipart/%b; boundary="%b"\r\n\r\n' % drawn[:2]
            + b"".join(b"--%b\r\n%b%b" % (drawn[1], part, end) for end, part in drawn[2])
            + b"--%b%b" % (drawn[1], drawn[3])
        )
    )


@settings(max_examples=300, deadline=None)
@given(st.recursive(LEAVES, multipart, max_leaves=6))
@example(b"X" * 999 + b": no header, for it is too long\r\n\r\n")
@example(b"Subject: a\rb\r\n \0c\r\n\r\n")
def test_both_ways_agree_on_parts_within_parts(content: bytes) -> None:
    taken = split(content)
    assert taken is None or parsing._read(taken) == parsing._read(Walker(io.BytesIO(content)))


@pytest.mark.parametrize("name", NAMES)
def test_every_attachment_is_found_again_by_its_number(name: str) -> None:
    message = read(name)
    again = [attachment_content(raw(name), info.position) for info in message.attachments[:20]]
    assert [info for info, _ in again] == list(message.attachments[:20])
    assert [hashlib.sha256(content).hexdigest() for _, content in again] == [info.sha256 for info, _ in again]


def streamed(name: str) -> tuple[ParsedMessage, bytes]:
    """Parse a message of the corpus as if it were too large for memory."""
    content = raw(name)
    return parsing._read(Walker(_Dripping(content))), content


class _Dripping(io.BytesIO):
    """Give a few bytes at a time, so that everything is cut somewhere."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(7)


@pytest.mark.parametrize("name", [name for name in NAMES if (CORPUS / f"{name}.eml").stat().st_size < 20_000])
def test_a_message_read_in_small_pieces_is_the_same(name: str) -> None:
    message, content = streamed(name)
    assert message == parsing._read(Walker(io.BytesIO(content)))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=2000))
def test_no_bytes_can_make_it_fail(content: bytes) -> None:
    check_storable(parse(content))


TOKENS = st.sampled_from(
    [
        *(
            b"\r\n",
            b"\n",
            b"\r",
            b"--b\r\n",
            b"--b--\r\n",
            b"=\r\n",
            b"=",
            b";",
            b'"',
            b"\\",
            b":",
            b"\0",
            b"\xff",
        ),
        *(
            b"=?utf-8?q?=C3?=",
            b"=?",
            b"?=",
            b"<",
            b">",
            b"(",
            b")",
            b",",
            b"*0*=",
            b"''",
            b"%",
            b"\t ",
            b"x" * 80,
        ),
        *(
            b"From: ",
            b"To: a@b, ",
            b"Subject: ",
            b"Date: Mon, 1 Jan 2024 00:00:00 +0000\r\n",
            b"References: <",
        ),
        *(
            b"Content-Type: text/plain; charset=utf-7\r\n",
            b"Content-Type: text/html\r\n\r\n<p",
            b"charset=utf-16",
        ),
        *(b"Content-Type: multipart/mixed; boundary=b\r\n", b"Content-Type: message/rfc822\r\n"),
        *(b"Content-Transfer-Encoding: base64\r\n", b"Content-Transfer-Encoding: quoted-printable\r\n"),
        *(
            b"Content-Transfer-Encoding: x-uuencode\r\n",
            b"begin 644 x\r\n",
            b"Content-Disposition: attachment",
        ),
    ]
)


@settings(max_examples=400, deadline=None)
@given(st.lists(TOKENS | st.binary(max_size=12), max_size=40).map(b"".join))
@example(b"Content-Type: text/plain; charset=unicode_escape\r\n\r\n\\ud800")
@example(b"Content-Type: text/plain; charset=idna\r\n\r\nxn--\xff")
@example(b"Date: Mon, 1 Jan 0001 00:00:00 +2359\r\n\r\n")
def test_no_nearly_right_message_can_make_it_fail(content: bytes) -> None:
    check_storable(parse(content))
    assert parse(content) == parsing._read(Walker(io.BytesIO(content)))


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from([name for name in NAMES if (CORPUS / f"{name}.eml").stat().st_size < 20_000]),
    place=st.floats(0, 1),
    width=st.integers(0, 40),
    token=TOKENS,
)
def test_no_damage_can_make_it_fail(name: str, place: float, width: int, token: bytes) -> None:
    content = raw(name)
    start = int(place * len(content))
    damaged = content[:start] + token + content[start + width :]
    message = parse(damaged)
    check_storable(message)
    assert message == parsing._read(Walker(io.BytesIO(damaged)))
    assert all(attachment_content(damaged, info.position)[0] == info for info in message.attachments)


@pytest.mark.parametrize(
    "content",
    [
        b"\r\n" + b"<" * 200_000,
        b"Content-Type: text/html\r\n\r\n" + b"<a" * 200_000,
        b"Content-Type: text/html\r\n\r\n" + b"<script>" * 50_000,
        b"Content-Type: text/html\r\n\r\n" + b"<!--" * 100_000,
        b"To: " + b"(" * 60_000 + b"\r\n\r\n",
        b"To: " + b'"' * 60_000 + b"\r\n\r\n",
        b"To: " + b"a@b," * 15_000 + b"\r\n\r\n",
        b"Subject: " + b"=?utf-8?q?" * 6_000 + b"\r\n\r\n",
        b"Subject: " + b"=?" * 30_000 + b"\r\n\r\n",
        b"Subject:" + b"\r\n \t" * 20_000 + b"x\r\n\r\n",
        b"Content-Type: a/b;" + b" x=" * 20_000 + b"\r\n\r\n",
        b"Content-Type: a/b;" + b' x="' * 15_000 + b"\r\n\r\n",
        b"References: " + b"<" * 60_000 + b"\r\n\r\n",
        b"Date: " + b"1 " * 30_000 + b"\r\n\r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n" * 100_000,
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"\n--" * 300_000,
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + b" " * 500_000 + b"x",
        b"Content-Transfer-Encoding: base64\r\n\r\n" + b"=A" * 100_000,
        b"X" * 500_000,
        b"a:\r\n" * 100_000,
        b"From: x" + b" " * 60_000 + b"y\r\n\r\n",
        b"To: a@b," + b" " * 60_000 + b"y\r\n\r\n",
        b"To: a@b" + b":" * 60_000 + b"\r\n\r\n",
        b"Content-Type: text/html\r\n\r\n" + b"<head>" * 150_000,
        b"Content-Type: text/html\r\n\r\n" + b"<head><body>" * 75_000,
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\n\n" * 900_000,
        b"".join(MULTIPART % (b"b" * depth, b"b" * depth) for depth in range(1, 50)) + b"\n\n--" * 300_000,
    ],
    ids=range(27),
)
def test_hostile_messages_take_no_longer_than_others(content: bytes) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    assert parse(content).text is not None
    parsing._read(Walker(io.BytesIO(content)))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - before < 3


@pytest.mark.parametrize(
    ("content", "limit"),
    [
        (b"".join(b"x%x:\n" % number for number in range(60_000)), 2_000_000),
        (b"Content-Transfer-Encoding: base64\n\n" + b"AAA=" * 200_000, 18_000_000),
        (b"Content-Transfer-Encoding: uuencode\n\nbegin 6 a\n" + b'"!!!!\n' * 100_000, 10_000_000),
    ],
    ids=["names of headers", "ends of base64", "lines of uuencode"],
)
def test_many_small_things_take_little_memory(content: bytes, limit: int) -> None:
    tracemalloc.start()
    parsing._read(Walker(io.BytesIO(content)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < limit


def test_charsets_that_nobody_knows_leave_nothing_behind() -> None:
    before = len(encodings._cache)
    parse(b"Subject:" + b"".join(b" =?utf-8%s?q?a?= =?x%d?q?b?=" % (b"-" * i, i) for i in range(50)))
    assert len(encodings._cache) <= before + 1


def test_a_plain_message_is_read() -> None:
    message = read("plain")
    assert message.sender == Address("Ann", "ann@example.com")
    assert message.to == (Address("Bob", "bob@example.org"),)
    assert message.subject == "plain"
    assert message.message_id == "<plain@example.com>"
    assert message.date == datetime(2024, 2, 5, 9, 20, 30, tzinfo=UTC)
    assert message.text == "Hello Bob,\n\nthis is plain.\n"
    assert message.defects == ()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("latin1-body", "Grüße aus Köln\n"),
        ("windows1252-as-latin1", "“quoted” € 5\n"),
        ("koi8r", "Привет, мир\n"),
        ("iso2022jp", "日本語のメール\n"),
        ("gb18030", "你好\uff0c世界 镕"),
        ("euckr", "안녕하세요\n"),
        ("shiftjis", "㈱テスト①\n"),
        ("utf16", "sixteen ✓"),
        ("unknown-charset", "héllo in utf-8\n"),
        ("wrong-charset-ascii", "actually utf-8: ü\n"),
        ("evil-charset-zip", "not compressed\n"),
        ("concatenated-base64", "HelloWorld"),
        ("nul-bytes", "beforeafter  end\n"),
        ("no-blank-line", "this line is no header and no blank line comes before it\nsecond line\n"),
        ("bare-lf", "bare line feeds"),
        ("missing-everything", "text without any other header\n"),
        ("boundary-missing", "--b\nContent-Type: text/plain\n\nnobody can tell the parts\n--b--\n"),
        ("boundary-never-used", "just text\n"),
        ("inner-unclosed", "inner"),
        ("bad-content-type", "still text\n"),
        ("unix-from", "body after a mailbox separator\n"),
        ("html-only", "Title\n\nOne & two\nthree\n\na b\n\n1 < 2 <tag>"),
        ("html-unclosed", "visible"),
        ("html-empty-plain", "only here"),
        ("alternative", "Hällo wörld"),
    ],
)
def test_the_text_is_what_people_read(name: str, text: str) -> None:
    assert read(name).text == text


def test_a_line_that_only_begins_like_a_boundary_is_text() -> None:
    assert read("boundary-prefix").text == "--abcdef is no boundary\n-- \nsignature\nsecond"


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("koi8r", "Привет"),
        ("iso2022jp", "こんにちは"),
        ("raw-8bit-subject", "Größe in UTF-8 roh"),
        ("raw-latin1-subject", "Größe roh"),
        ("rfc2047-split-word", "€€ split and more"),
        ("folded-weird", "one two   three"),
        ("control-characters", "con trol"),
        ("duplicate-headers", "dup"),
    ],
)
def test_subjects_are_decoded(name: str, subject: str) -> None:
    assert read(name).subject == subject


def test_names_with_encoded_commas_stay_whole() -> None:
    assert read("rfc2047-split-word").sender == Address("Müller, Max", "max@example.com")
    assert read("rfc2047-broken").to == (Address("Doe, John", "j@example.org"),)


def test_addresses_are_found_in_every_form() -> None:
    message = read("addresses")
    assert message.sender == Address('Doe, "J" John', "john@example.com")
    assert message.to == ()
    assert message.cc == (
        Address("", "a@example.com"),
        Address("B", "b@example.com"),
        Address("Cee", "c@example.com"),
    )
    assert message.bcc == (Address("", "d@example.com"),)
    assert message.reply_to[0] == Address("", "e@example.com")


def test_odd_message_ids_are_kept() -> None:
    message = read("message-id-odd")
    assert message.message_id == "not bracketed at all"
    assert message.in_reply_to == "<a@example.com>"
    assert message.references == ("<a@example.com>", "<b@example.com>")


@pytest.mark.parametrize("sign", ["a", "é", "識", "😀"])
def test_a_message_id_is_never_longer_than_an_index_takes(sign: str) -> None:
    parsed = parsing.parse(f"Message-ID: <{sign * 3000}@example.org>\r\n\r\nHello.\r\n".encode())
    assert 990 < len(parsed.message_id.encode()) <= 998


@pytest.mark.parametrize("name", ["bad-date", "date-overflow"])
def test_an_unreadable_date_is_a_defect(name: str) -> None:
    message = read(name)
    assert message.date is None
    assert "date_unreadable" in message.defects


def test_attachments_are_listed_with_their_bytes() -> None:
    image, report, notes = read("attachments").attachments
    assert (image.content_type, image.content_id, image.inline) == ("image/png", "logo@x", True)
    assert (report.filename, report.size, report.inline) == ("report 1.pdf", 768, False)
    assert report.sha256 == hashlib.sha256(bytes(range(256)) * 3).hexdigest()
    assert (notes.filename, notes.content_type) == ("notes.txt", "text/plain")


@pytest.mark.parametrize(
    ("name", "filename"),
    [
        ("rfc2231-name", "€ rates of 2024.pdf"),
        ("rfc2047-name", "Übersicht.pdf"),
        ("name-latin1", "Übersicht.pdf"),
        ("name-traversal", ".._.._etc_pass_wd.pdf"),
        ("nul-in-name", "ab.pdf"),
    ],
)
def test_file_names_are_decoded_and_harmless(name: str, filename: str) -> None:
    (attachment,) = read(name).attachments
    assert attachment.filename == filename


@pytest.mark.parametrize(
    "disposition",
    [
        "attachment; filename*=utf-8''M%C3%A4rz%3B.pdf",
        "attachment; filename=x.pdf; filename*=UTF-8'de'M%C3%A4rz%3B.pdf",
        "attachment; filename*0*=iso-8859-1''M%E4; filename*1=\"rz;\"; filename*2=.pdf",
        'attachment; filename="=?utf-8?q?M=C3=A4rz=3B.pdf?="',
        "=?utf-8?q?attachment=3B_filename=3D=22M=C3=A4rz=3B=2E?=\r\n =?utf-8?q?pdf=22?=",
    ],
)
def test_file_names_are_read_in_every_form(disposition: str) -> None:
    message = parse(f"Content-Type: text/plain\r\nContent-Disposition: {disposition}\r\n\r\nText".encode())
    assert [each.filename for each in message.attachments] == ["März;.pdf"]


def test_a_named_text_is_an_attachment_even_inline() -> None:
    message = read("inline-text-with-name")
    assert message.text == "body"
    assert [file.filename or file.content_type for file in message.attachments] == [
        "log.txt",
        "text/calendar",
    ]


def test_a_message_within_is_one_attachment_as_it_came() -> None:
    (attachment,) = read("nested-message").attachments
    _, content = attachment_content(raw("nested-message"), 0)
    assert (attachment.content_type, attachment.filename) == ("message/rfc822", "fwd.eml")
    assert content.startswith(b"From: c@example.com\r\nSubject: inner\r\n")
    assert content.endswith(b"--c--\r\n")


def test_the_parts_of_a_digest_are_messages() -> None:
    assert [file.content_type for file in read("digest").attachments] == ["message/rfc822"] * 2


def test_binary_attachments_keep_every_byte() -> None:
    _, content = attachment_content(raw("binary-attachment"), 0)
    assert content == bytes(range(256)) + b"\r\n\r\n--not\r\n"


def test_uuencoded_attachments_are_decoded() -> None:
    assert attachment_content(raw("uuencode"), 0)[1] == b"hello"


@pytest.mark.parametrize(
    ("name", "defect"),
    [
        ("huge-header", "headers_too_large"),
        ("many-headers", "headers_too_large"),
        ("deep-nesting", "nested_too_deep"),
        ("many-parts", "too_many_parts"),
        ("truncated-base64", "base64_truncated"),
        ("garbage-base64", "base64_broken"),
        ("truncated-multipart", "boundary_unclosed"),
        ("boundary-missing", "boundary_missing"),
        ("boundary-never-used", "boundary_not_found"),
        ("unknown-charset", "charset_unknown"),
        ("wrong-charset-utf8", "charset_wrong"),
        ("no-blank-line", "headers_not_ended"),
        ("no-body", "no_body"),
    ],
)
def test_what_is_wrong_is_said(name: str, defect: str) -> None:
    assert defect in read(name).defects


def test_headers_after_a_huge_one_are_still_read() -> None:
    message = read("huge-header")
    assert dict(message.headers)["X-After"] == "still here"
    assert message.text == "body\n"


def test_structure_is_understood_after_any_number_of_headers() -> None:
    many = b"".join(b"X-%d: x\r\n" % number for number in range(5000))
    message = parse(many + b"Content-Type: text/html\r\nSubject: late\r\n\r\n<p>page</p>")
    assert (message.subject, message.html) == ("late", "<p>page</p>")


def test_headers_are_kept_in_their_order() -> None:
    names = [name for name, _ in read("duplicate-headers").headers]
    assert names[:3] == ["From", "To", "Subject"]
    assert names[6:] == ["Subject", "From", "Content-Type", "Content-Type"]


def test_an_attachment_that_is_not_there_is_a_lookup_error() -> None:
    with pytest.raises(LookupError):
        attachment_content(raw("attachments"), 3)


def big_message(size: int) -> tuple[bytes, bytes]:
    """Make a message with one large attachment, and return that too."""
    content = b"0123456789abcdef" * (size // 16)
    head = (
        b"From: a@example.com\r\nSubject: big\r\nContent-Type: multipart/mixed; boundary=q\r\n\r\n"
        b"--q\r\nContent-Type: text/plain\r\n\r\nthe text\r\n"
        b"--q\r\nContent-Type: application/zip; name=big.zip\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    )
    return head + base64.encodebytes(content).replace(b"\n", b"\r\n") + b"\r\n--q--\r\n", content


def test_a_message_read_from_a_file_is_the_same_as_from_memory() -> None:
    message, content = big_message(6_000_000)
    parsed = parse_file(io.BytesIO(message), size=len(message))
    assert parsed == parse(message)
    assert parsed.attachments[0].sha256 == hashlib.sha256(content).hexdigest()


def read_back(stream: BinaryIO) -> bytes:
    """Read the first attachment of a stream."""
    return b"".join(attachment_content(stream, 0)[1])


def test_a_large_attachment_comes_in_pieces() -> None:
    message, content = big_message(6_000_000)
    assert read_back(io.BytesIO(message)) == content


def test_a_small_attachment_comes_from_a_stream_too() -> None:
    assert read_back(io.BytesIO(raw("uuencode"))) == b"hello"


def test_more_text_than_anybody_reads_is_cut_and_said() -> None:
    message = parse(b"Content-Type: text/plain\r\n\r\n" + b"many words " * 600_000)
    assert len(message.text) == parsing.TEXT_LIMIT
    assert "text_too_large" in message.defects


def test_html_becomes_lines() -> None:
    page = "<div>One<div>Two</div></div><ul><li>a<li>b</ul><p>x&nbsp;y &lt; z &#128512;"
    assert text_of(page).split() == ["One", "Two", "a", "b", "x", "y", "<", "z", "😀"]


def test_a_number_of_no_character_does_not_make_it_fail() -> None:
    assert text_of("a&#" + "9" * 5000 + ";b") == "a\ufffdb"


def test_tags_are_found_behind_signs_whose_small_letters_take_more_room() -> None:
    assert text_of("<p>" + "İ" * 50 + "<style>p</style><p>son") == "İ" * 50 + "\nson"


def test_scripts_and_styles_are_no_text() -> None:
    assert text_of("<STYLE>p</STYLE>a<script >b</script >c<head><title>t</title></head>d") == "acd"


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("tnef", [special.TNEF]),
        ("smime-encrypted", [special.ENCRYPTED]),
        ("pgp-encrypted", [special.PGP_CONTROL, special.PGP_ENCRYPTED]),
        ("calendar", [special.CALENDAR]),
        ("attachments", ["", "", ""]),
    ],
)
def test_what_only_mail_programs_open_is_named_and_kept(name: str, kinds: list[str]) -> None:
    found = read(name).attachments
    assert [special.named(info.content_type, info.filename) for info in found] == kinds
    assert all(attachment_content(raw(name), info.position)[1] for info in found)


def test_of_ten_thousand_parts_the_first_are_listed_and_the_rest_is_told_of() -> None:
    parts = [b"--b\r\nContent-Type: a/b\r\n\r\n%d\r\n" % number for number in range(10_000)]
    many = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"".join(parts) + b"--b--\r\n"
    message = parse(many)
    assert len(message.attachments) == PART_LIMIT
    assert message.defects == ("too_many_parts",)


def test_a_header_of_a_megabyte_hides_nothing_before_it() -> None:
    message = parse(b"Subject: before\r\nX-Long: " + b"y" * 1_000_000 + b"\r\n\r\nbody\r\n")
    assert (message.subject, message.text) == ("before", "body\n")
    assert message.defects == ("headers_too_large",)
