"""New email and Reply: what is asked, what is refused and named, what is queued."""

from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from mailboxes.choices import AddressStatus, Direction, OutgoingStatus
from mailboxes.forms.compose import split_addresses
from mailboxes.forms.quoting import prefixed
from mailboxes.models import Mailbox, Message, OutgoingMessage, WorkerState
from profiles.models import EmailSettings
from tests.mailboxes.emails.world import PLAIN, Receive

HTMX = {"HX-Request": "true"}


@pytest.fixture
def url(mailbox: Mailbox) -> str:
    """Give the address of the form."""
    return reverse("mailboxes:email_create", args=["contoso", mailbox.pk])


def reply_url(message: Message) -> str:
    return reverse("mailboxes:email_reply", args=["contoso", message.mailbox_id, message.pk])


def written(**changes: Any) -> dict[str, Any]:
    return {
        "to": "Jo Mercer <jo@fjordline.example>",
        "cc": "",
        "bcc": "",
        "subject": "Your order",
        "text": "Thank you.\r\nBilling",
        "once": "a",
    } | changes


def sent() -> OutgoingMessage:
    return OutgoingMessage.objects.get()


def content() -> EmailMessage:
    message = message_from_bytes(bytes(sent().content), policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def refused(client: Client, url: str, **changes: Any) -> str:
    answer = client.post(url, written(**changes))
    assert answer.status_code == 422
    assert not OutgoingMessage.objects.exists()
    return str(answer.content.decode())


def test_an_email_is_queued_and_its_page_follows(
    reader: Client, url: str, mailbox: Mailbox, rosa: User
) -> None:
    answer = reader.post(url, written())
    message = sent()
    assert answer.headers["Location"] == reverse(
        "mailboxes:outgoing_detail", args=["contoso", mailbox.pk, message.pk]
    )
    assert message.status == OutgoingStatus.PENDING_SEND
    assert message.recipients == ["jo@fjordline.example"]
    assert message.created_by == rosa
    assert content()["From"] == "Billing <billing@contoso.example>"
    assert content()["To"] == "Jo Mercer <jo@fjordline.example>"
    assert content().get_content().replace("\r\n", "\n").strip() == "Thank you.\nBilling"


def test_the_form_works_with_htmx(reader: Client, url: str) -> None:
    answer = reader.post(url, written(), headers=HTMX)
    assert answer.headers["HX-Redirect"].endswith(f"/emails/sent/{sent().pk}/")


def test_one_form_sent_twice_makes_one_email(reader: Client, url: str) -> None:
    first = reader.post(url, written())
    second = reader.post(url, written())
    assert OutgoingMessage.objects.count() == 1
    assert second.headers["Location"] == first.headers["Location"]


def test_two_forms_make_two_emails(reader: Client, url: str) -> None:
    reader.post(url, written(once="a"))
    reader.post(url, written(once="b"))
    assert OutgoingMessage.objects.count() == 2


def test_a_refused_form_can_be_sent_again(reader: Client, url: str) -> None:
    refused(reader, url, to="")
    assert reader.post(url, written()).status_code == 302


def test_names_commas_semicolons_and_lines_are_understood(reader: Client, url: str) -> None:
    people = '"Mercer, Jo" <jo@a.example>; max@b.example,\r\neve@c.example'
    reader.post(url, written(to=people, cc="kim@d.example"))
    assert sent().recipients == ["jo@a.example", "max@b.example", "eve@c.example", "kim@d.example"]
    assert content()["To"] == '"Mercer, Jo" <jo@a.example>, max@b.example, eve@c.example'


def test_a_list_is_cut_outside_quotes_only() -> None:
    text = '"Mercer, Jo" <jo@a.example>; Max <max@b.example>,,\n eve@c.example'
    assert split_addresses(text) == ['"Mercer, Jo" <jo@a.example>', "Max <max@b.example>", "eve@c.example"]


def test_blind_copies_are_in_the_envelope_and_in_no_header(reader: Client, url: str) -> None:
    reader.post(url, written(bcc="secret@fjordline.example"))
    assert sent().recipients == ["jo@fjordline.example", "secret@fjordline.example"]
    assert b"secret" not in bytes(sent().content)


def test_each_bad_address_is_named(reader: Client, url: str) -> None:
    page = refused(reader, url, to="jo@fjordline.example, nonsense, eve@, two@one@b.example")
    assert "“nonsense” is not an email address" in page
    assert "“eve@” is not an email address" in page
    assert "“two@one@b.example”" in page


def test_nothing_typed_is_lost(reader: Client, url: str) -> None:
    page = refused(
        reader, url, to="nonsense", cc="max@b.example", subject="My subject", text="My long letter"
    )
    assert 'value="nonsense"' in page
    assert 'value="max@b.example"' in page
    assert 'value="My subject"' in page
    assert "My long letter" in page


def test_somebody_must_be_written_to(reader: Client, url: str) -> None:
    assert "Enter at least one address to send to." in refused(reader, url, to="")


def test_a_blind_copy_alone_is_enough(reader: Client, url: str) -> None:
    assert reader.post(url, written(to="", bcc="jo@fjordline.example")).status_code == 302


@pytest.mark.parametrize("to", ["Jo\x00 <jo@a.example>", "Jo\x0b <jo@a.example>", "jo@a.example\x7f"])
def test_a_control_character_in_an_address_is_refused(reader: Client, url: str, to: str) -> None:
    refused(reader, url, to=to)


def test_a_line_break_begins_another_address_not_another_header(reader: Client, url: str) -> None:
    page = refused(reader, url, to="jo@a.example\r\nBcc: eve@evil.example")
    assert "“Bcc: eve@evil.example” is not an email address" in page


def test_a_header_cannot_be_injected_through_the_subject(reader: Client, url: str) -> None:
    assert "line break or control character" in refused(reader, url, subject="Hi\r\nBcc: eve@evil.example")


def test_attachments_travel(reader: Client, url: str) -> None:
    reader.post(url, written(attachments=[SimpleUploadedFile("März.pdf", b"%PDF", "application/pdf")]))
    [part] = list(content().iter_attachments())
    assert part.get_filename() == "März.pdf"
    assert part.get_payload(decode=True) == b"%PDF"
    assert sent().attachment_count == 1


def test_a_file_over_the_environments_limit_is_named_with_both_sizes(reader: Client, url: str) -> None:
    EmailSettings.objects.update(maximum_attachment_kb=1)
    page = refused(reader, url, attachments=[SimpleUploadedFile("big.pdf", b"x" * 2048)])
    assert "big.pdf is not attached: it has 2.0" in page
    assert "the limit for attachments is 1.0" in page


@pytest.mark.parametrize("name", ["setup.exe", "SETUP.EXE", "invoice.pdf.exe", "setup.exe. "])
def test_a_blocked_type_is_named(reader: Client, url: str, name: str) -> None:
    page = refused(reader, url, attachments=[SimpleUploadedFile(name, b"MZ")])
    assert "files of type .exe may not be sent" in page


def test_the_environment_decides_which_types_are_blocked(reader: Client, url: str) -> None:
    EmailSettings.objects.update(blocked_attachment_types="pdf")
    assert "files of type .pdf" in refused(reader, url, attachments=[SimpleUploadedFile("a.pdf", b"x")])


def test_a_refused_form_keeps_its_files_in_a_draft(reader: Client, url: str) -> None:
    answer = reader.post(
        url, written(to="nonsense", attachments=[SimpleUploadedFile("a.pdf", b"%PDF", "application/pdf")])
    )
    draft = sent()
    assert answer.status_code == 422
    assert draft.status == OutgoingStatus.DRAFT
    assert "a.pdf" in answer.content.decode()
    reader.post(url, written(draft=draft.pk))
    [part] = list(content().iter_attachments())
    assert part.get_payload(decode=True) == b"%PDF"
    assert sent().pk == draft.pk


def test_an_answer_goes_to_the_sender_and_quotes(reader: Client, receive: Receive) -> None:
    page = reader.get(reply_url(receive())).content.decode()
    assert 'value="Ana Bowman &lt;ana@northpeak.example&gt;"' in page
    assert 'value="Re: Invoice 20418"' in page
    assert "Ana Bowman wrote:\n&gt; Please find the invoice.\n&gt; Regards, Ana" in page


def test_an_answer_goes_where_reply_to_says(reader: Client, receive: Receive) -> None:
    message = receive(b'Reply-To: "Desk, Help" <desk@northpeak.example>\n' + PLAIN)
    assert (
        'value="&quot;Desk, Help&quot; &lt;desk@northpeak.example&gt;"'
        in reader.get(reply_url(message)).content.decode()
    )


def test_an_answer_continues_the_thread(reader: Client, receive: Receive) -> None:
    message = receive(
        b"References: <zero@a.example> <half@a.example>\nIn-Reply-To: <half@a.example>\n" + PLAIN
    )
    reader.post(reply_url(message), written(subject="Re: Invoice 20418"))
    assert content()["In-Reply-To"] == "<one@northpeak.example>"
    assert content()["References"] == "<zero@a.example> <half@a.example> <one@northpeak.example>"
    assert sent().answers == message


def test_an_answer_to_a_message_with_broken_identifiers_is_still_sent(
    reader: Client, receive: Receive
) -> None:
    message = receive(message_id="<öne two>", references="x <zero@a.example>", in_reply_to="")
    reader.post(reply_url(message), written())
    assert content()["In-Reply-To"] is None
    assert content()["References"] == "<zero@a.example>"


@pytest.mark.parametrize(
    ("subject", "wanted"),
    [("Hello", "Re: Hello"), ("RE: Hello", "RE: Hello"), ("", "Re:"), ("a\r\n b", "Re: a b")],
)
def test_re_stands_once_before_the_subject(subject: str, wanted: str) -> None:
    assert prefixed("Re:", subject).strip() == wanted


def test_the_form_says_beforehand_when_the_mailbox_cannot_send(
    reader: Client, url: str, mailbox: Mailbox
) -> None:
    Mailbox.objects.filter(pk=mailbox.pk).update(address_status=AddressStatus.PENDING)
    page = reader.get(url).content.decode()
    assert "Billing does not send at the moment." in page
    assert "is not approved for email processing" in page


def test_an_email_from_a_mailbox_that_cannot_send_waits(reader: Client, url: str, mailbox: Mailbox) -> None:
    WorkerState.objects.filter(mailbox=mailbox, direction=Direction.OUTGOING).update(is_enabled=False)
    page = reader.post(url, written(), follow=True).content.decode()
    assert sent().status == OutgoingStatus.PENDING_SEND
    assert "Waiting: Billing does not send at the moment." in page
    assert "Run Test &amp; Enable." in page


def test_a_message_of_another_mailbox_cannot_be_answered_here(reader: Client, receive: Receive) -> None:
    message = receive()
    url = reverse("mailboxes:email_reply", args=["elsewhere", message.mailbox_id, message.pk])
    assert reader.get(url).status_code == 404
