"""A received message: its page, its HTML in a sandbox, its attachments, its source."""

from base64 import b64encode
from datetime import datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries, Settings

from mailboxes.models import LedgerEntry, Message, RawMessage
from mailboxes.services import reading
from profiles.models import EmailSettings
from tests.mailboxes.emails.world import Receive

PIXEL = b"\x89PNG\r\n\x1a\n pretend"
HOSTILE = b"<html><body><script>alert(1)</script><p onclick='alert(2)'>words</p></body></html>"


def letter(html: str = "", text: str = "", **headers: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Ana Bowman <ana@northpeak.example>"
    message["To"] = "billing@contoso.example"
    message["Subject"] = "A letter"
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    message.set_content(text or "plain words")
    if html:
        message.add_alternative(html, subtype="html")
    return message


def address(name: str, message: Message, *numbers: int) -> str:
    return reverse(f"mailboxes:{name}", args=["contoso", message.mailbox_id, message.pk, *numbers])


def test_the_page_names_sender_and_recipients(reader: Client, receive: Receive) -> None:
    page = reader.get(address("message_detail", receive())).content.decode()
    assert "Ana Bowman" in page
    assert "Billing &lt;billing@contoso.example&gt;" in page
    assert "max@contoso.example" in page
    assert "Please find the invoice." in page


def test_the_page_asks_as_many_questions_for_thirty_recipients_as_for_two(
    reader: Client, receive: Receive, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    message = receive(letter(Cc=", ".join(f"p{n}@contoso.example" for n in range(30))).as_bytes())
    # session, user, mailbox, its alerts, message, recipients, raw bytes, attachments, answers, bell
    with django_assert_max_num_queries(14):
        reader.get(address("message_detail", message))


def test_html_is_shown_by_a_frame_without_script_and_origin(reader: Client, receive: Receive) -> None:
    message = receive(letter(html="<p>words</p>").as_bytes())
    page = reader.get(address("message_detail", message))
    assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in page.content.decode()
    assert "<p>words</p>" not in page.content.decode()
    assert "frame-src 'self'" in page.headers["Content-Security-Policy"]


def test_the_frames_document_is_harmless_and_may_load_nothing(reader: Client, receive: Receive) -> None:
    message = receive(letter(html=HOSTILE.decode()).as_bytes())
    answer = reader.get(address("message_html", message))
    policy = answer.headers["Content-Security-Policy"]
    assert "<p>words</p>" in answer.content.decode()
    assert "script" not in answer.content.decode()
    assert "default-src 'none'; script-src 'none'" in policy
    assert "img-src data:" in policy
    assert "sandbox allow-popups allow-popups-to-escape-sandbox" in policy
    assert "allow-scripts" not in policy
    assert "allow-same-origin" not in policy
    assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_a_picture_of_the_message_is_shown_in_it(reader: Client, receive: Receive) -> None:
    message = letter(html='<img src="cid:logo@ana">')
    page_part = list(message.iter_parts())[1]
    assert isinstance(page_part, EmailMessage)
    page_part.add_related(PIXEL, "image", "png", cid="<logo@ana>")
    page = reader.get(address("message_html", receive(message.as_bytes()))).content.decode()
    assert f'<img src="data:image/png;base64,{b64encode(PIXEL).decode()}">' in page


def test_the_reader_is_told_of_pictures_that_were_not_loaded(reader: Client, receive: Receive) -> None:
    html = '<img src="https://evil.example/1.gif"><img src="https://evil.example/2.gif">'
    page = reader.get(address("message_html", receive(letter(html=html).as_bytes()))).content.decode()
    assert "2 pictures on other servers were not loaded" in page
    assert "evil.example" not in page


def test_the_text_face_shows_the_text_of_an_html_message(reader: Client, receive: Receive) -> None:
    message = receive(letter(html="<p>formatted</p>", text="plain words").as_bytes())
    page = reader.get(address("message_detail", message), {"show": "text"}).content.decode()
    assert "plain words" in page
    assert "<iframe" not in page


def test_the_headers_face_shows_every_header(reader: Client, receive: Receive) -> None:
    message = receive(letter(X_Mailer="Pigeon 1.0").as_bytes())
    page = reader.get(address("message_detail", message), {"show": "headers"}).content.decode()
    assert "X-Mailer" in page
    assert "Pigeon 1.0" in page


def test_markup_in_headers_text_and_source_is_shown_as_text(reader: Client, receive: Receive) -> None:
    message = receive(letter(text="<script>alert(1)</script>", X_Evil="<b>evil</b>").as_bytes())
    faces = ("text", "headers", "source")
    pages = [
        reader.get(address("message_detail", message), {"show": face}).content.decode() for face in faces
    ]
    assert "<script>alert" not in "".join(pages)
    assert "<b>evil" not in "".join(pages)


def test_the_source_is_downloaded_byte_for_byte(reader: Client, receive: Receive) -> None:
    raw = letter().as_bytes()
    answer = reader.get(address("message_raw", receive(raw)))
    assert b"".join(answer) == raw
    assert answer.headers["Content-Disposition"] == 'attachment; filename="A letter.eml"'


def test_the_source_can_be_read_as_plain_text(reader: Client, receive: Receive) -> None:
    answer = reader.get(address("message_raw", receive(HOSTILE)), {"show": "1"})
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    answer.close()


def test_an_attachment_is_saved_never_shown(reader: Client, receive: Receive) -> None:
    message = letter()
    message.add_attachment(HOSTILE, "text", "html", filename="invoice.html")
    answer = reader.get(address("message_attachment", receive(message.as_bytes()), 0))
    assert b"".join(answer) == HOSTILE
    assert answer.headers["Content-Disposition"] == 'attachment; filename="invoice.html"'
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_an_attachment_keeps_a_harmless_type_and_its_name(reader: Client, receive: Receive) -> None:
    message = letter()
    message.add_attachment(b"%PDF", "application", "pdf", filename="Rechnung März.pdf")
    answer = reader.get(address("message_attachment", receive(message.as_bytes()), 0))
    assert answer.headers["Content-Type"] == "application/pdf"
    assert "filename*=utf-8''Rechnung%20M%C3%A4rz.pdf" in answer.headers["Content-Disposition"]
    answer.close()


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Windows\\evil.exe", "evil.exe"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("a\r\nX: y.txt", "aX_ y.txt"),
        ('a"b<c>.txt', "a_b_c_.txt"),
        ("...", "fallback.pdf"),
        ("", "fallback.pdf"),
        ("x" * 300 + ".pdf", "x" * 116 + ".pdf"),
    ],
)
def test_a_file_name_is_only_a_name(name: str, wanted: str) -> None:
    assert reading.safe_filename(name, fallback="fallback", content_type="application/pdf") == wanted


@pytest.mark.parametrize(
    "kind",
    [
        "text/html",
        "image/svg+xml",
        "application/xhtml+xml",
        "text/xml",
        "text/javascript",
        "x",
        "a/b; c\r\nd",
    ],
)
def test_a_type_that_could_run_becomes_mere_bytes(kind: str) -> None:
    assert reading.safe_content_type(kind) == "application/octet-stream"


def test_an_attachment_that_is_not_there_is_not_found(reader: Client, receive: Receive) -> None:
    assert reader.get(address("message_attachment", receive(), 7)).status_code == 404


def test_a_message_of_another_mailbox_is_not_found(reader: Client, receive: Receive) -> None:
    message = receive()
    url = reverse(
        "mailboxes:message_html", args=["contoso", "00000000-0000-0000-0000-000000000000", message.pk]
    )
    assert reader.get(url).status_code == 404


def test_a_quarantined_message_says_why_and_shows_its_source(reader: Client, receive: Receive) -> None:
    message = receive(b"garbage", is_quarantined=True, defects=["This version fails on it (RecursionError)."])
    page = reader.get(address("message_detail", message)).content.decode()
    assert "in quarantine" in page
    assert "This version fails on it (RecursionError)." in page
    assert "garbage" in page


def test_a_large_message_is_read_from_its_file(
    reader: Client, receive: Receive, settings: Settings, tmp_path: Path
) -> None:
    storage: dict[str, Any] = {"BACKEND": "django.core.files.storage.FileSystemStorage"}
    settings.STORAGES = settings.STORAGES | {"default": storage | {"OPTIONS": {"location": tmp_path}}}
    message = receive()
    (tmp_path / "raw").write_bytes(letter(text="from the file").as_bytes())
    RawMessage.objects.filter(message=message).update(content=None, file="raw")
    assert "from the file" in reader.get(address("message_detail", message)).content.decode()


def test_a_message_whose_file_is_gone_says_so(reader: Client, receive: Receive) -> None:
    message = receive()
    RawMessage.objects.filter(message=message).update(content=None, file="gone/away")
    page = reader.get(address("message_detail", message))
    assert page.status_code == 200
    assert "Restore it from a backup" in page.content.decode()
    assert reader.get(address("message_raw", message)).status_code == 404


def test_the_frame_of_a_message_whose_file_is_gone_says_so(reader: Client, receive: Receive) -> None:
    message = receive(letter(html="<p>words</p>").as_bytes())
    RawMessage.objects.filter(message=message).update(content=None, file="gone/away")
    assert "Restore it from a backup" in reader.get(address("message_html", message)).content.decode()


def test_a_message_is_gone_through_once_for_all_its_pictures(reader: Client, receive: Receive) -> None:
    message = letter(html="".join(f'<img src="cid:p{number}@x">' for number in range(5)))
    for number in range(5):
        picture = PIXEL + bytes([number])
        message.add_attachment(picture, "image", "png", cid=f"<p{number}@x>", disposition="inline")
    kept = receive(message.as_bytes())
    with CaptureQueriesContext(connection) as queries:
        shown = reading.html_of(kept).html
    assert [shown.count(b64encode(PIXEL + bytes([number])).decode()) for number in range(5)] == [1] * 5
    assert sum('FROM "mailboxes_rawmessage"' in query["sql"] for query in queries) == 2


def test_the_html_of_a_message_without_html_is_not_found(reader: Client, receive: Receive) -> None:
    assert reader.get(address("message_html", receive())).status_code == 404


def test_a_message_above_the_limit_shows_its_headers_and_offers_to_fetch_it(
    reader: Client, receive: Receive
) -> None:
    message = receive(is_header_only=True, size=200 * 1024 * 1024)
    page = reader.get(address("message_detail", message)).content.decode()
    assert "only its header was fetched" in page
    assert "200.0" in page
    assert "Fetch anyway" in page
    assert ">Forward<" not in page


def test_fetching_it_is_asked_for_once(reader: Client, receive: Receive, now: datetime) -> None:
    message = receive(is_header_only=True)
    LedgerEntry.objects.create(
        mailbox=message.mailbox, uid=9, uidvalidity=1, message=message, outcome="oversize", seen_on=now
    )
    reader.post(address("message_command", message), {"action": "fetch"})
    assert LedgerEntry.objects.asked_for().get().message == message
    page = reader.get(address("message_detail", message)).content.decode()
    assert "It is being fetched" in page
    assert "Fetch anyway" not in page


def test_the_page_of_what_is_being_fetched_comes_anew_once_it_is_there(
    reader: Client, receive: Receive, now: datetime
) -> None:
    message = receive(is_header_only=True)
    asked = LedgerEntry.objects.create(
        mailbox=message.mailbox, uid=9, uidvalidity=1, message=message, outcome="oversize", seen_on=now
    )
    reader.post(address("message_command", message), {"action": "fetch"})
    answer = reader.get(address("message_detail", message), headers={"HX-Request": "true"})
    assert (answer.status_code, "HX-Refresh" in answer.headers) == (204, False)
    asked.delete()
    answer = reader.get(address("message_detail", message), headers={"HX-Request": "true"})
    assert answer.headers["HX-Refresh"] == "true"


def test_what_is_no_longer_on_the_server_is_not_asked_for(reader: Client, receive: Receive) -> None:
    message = receive(is_header_only=True)
    answer = reader.post(address("message_command", message), {"action": "fetch"}, follow=True)
    assert "no longer on the server" in answer.content.decode()


@pytest.mark.parametrize("query", ["show=html", "show=html&images=1"])
def test_a_secure_frame_offers_no_pictures_from_other_servers(
    reader: Client, receive: Receive, query: str
) -> None:
    message = receive(letter(html='<img src="https://evil.example/1.gif">').as_bytes())
    offered = reader.get(f"{address('message_detail', message)}?{query}").content.decode()
    assert "Show them" in offered or "Hide them" in offered
    EmailSettings.objects.update_or_create(
        environment=message.environment, defaults={"use_secure_frames": True}
    )
    page = reader.get(f"{address('message_detail', message)}?{query}").content.decode()
    assert "Pictures on other servers are not loaded." in page
    assert "Show them" not in page
