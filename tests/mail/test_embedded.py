import io

from emailsync.mail.embedded import attached_messages
from emailsync.mail.parsing import attachment_content

INNER = b"From: a@example.org\r\nTo: b@example.org\r\nSubject: Inside\r\n\r\nLine one\r\n.\r\n\r\nLast line"
OUTER = (
    b"From: b@example.org\r\nSubject: Fwd\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/mixed; boundary="x"\r\n\r\n'
    b"--x\r\nContent-Type: text/plain\r\n\r\nSee attachment.\r\n"
    b'--x\r\nContent-Type: application/pdf; name="a.pdf"\r\n\r\nPDF\r\n'
    b"--x\r\nContent-Type: message/rfc822\r\nContent-Disposition: attachment\r\n\r\n"
    + INNER
    + b"\r\n--x--\r\n"
)


def test_an_attached_message_comes_out_byte_for_byte_under_its_number() -> None:
    (found,) = attached_messages(io.BytesIO(OUTER))
    assert (found.position, found.body.content) == (1, INNER)
    assert attachment_content(OUTER, 1)[1] == INNER


def test_a_message_attached_as_mere_bytes_is_known_by_its_name() -> None:
    disguised = OUTER.replace(
        b"message/rfc822\r\nContent-Disposition: attachment",
        b'application/octet-stream; name="inside.eml"',
    )
    assert [each.body.content for each in attached_messages(io.BytesIO(disguised))] == [INNER]


def test_messages_inside_an_attached_message_stay_inside() -> None:
    twice = OUTER.replace(b"--x", b"--y").replace(b'"x"', b'"y"').replace(INNER, OUTER)
    assert [each.body.content for each in attached_messages(io.BytesIO(twice))] == [OUTER]
