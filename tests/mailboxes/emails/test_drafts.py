"""Drafts, reply to all, and forwarding: nothing half written is lost, nothing is sent twice."""

from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from mailboxes.choices import OutgoingStatus
from mailboxes.models import DraftFile, Mailbox, Message, OutgoingMessage
from profiles.choices import Role
from profiles.models import Membership
from tests.mailboxes.emails.world import PLAIN, Receive

STATE = {"HX-Request": "true", "HX-Target": "draft-state"}


@pytest.fixture
def url(mailbox: Mailbox) -> str:
    """Give the address of the form of a new email."""
    return reverse("mailboxes:email_create", args=["contoso", mailbox.pk])


def at(name: str, message: Message | OutgoingMessage) -> str:
    return reverse(f"mailboxes:{name}", args=["contoso", message.mailbox_id, message.pk])


def typed(**changes: Any) -> dict[str, Any]:
    return {"to": "half an addr", "cc": "", "bcc": "", "subject": "Hi", "text": "Half", "once": "a"} | changes


def pdf(name: str = "a.pdf") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, b"%PDF", "application/pdf")


def only() -> OutgoingMessage:
    return OutgoingMessage.objects.get()


def content() -> EmailMessage:
    message = message_from_bytes(bytes(only().content), policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def files() -> list[str | None]:
    return [part.get_filename() for part in content().iter_attachments()]


def test_the_clock_saves_what_was_typed_right_or_wrong(reader: Client, url: str) -> None:
    answer = reader.post(url, typed(action="save"), headers=STATE)
    assert answer.status_code == 200
    assert (only().status, only().to, only().text) == (OutgoingStatus.DRAFT, ["half an addr"], "Half")
    assert answer.headers["HX-Replace-Url"] == at("email_draft", only())
    reader.post(url, typed(action="save", text="More", draft=only().pk), headers=STATE)
    assert only().text == "More"


def test_an_empty_form_left_standing_is_no_draft(reader: Client, url: str) -> None:
    empty = dict.fromkeys(("to", "cc", "bcc", "subject", "text"), "")
    assert reader.post(url, typed(action="save", **empty), headers=STATE).status_code == 204
    assert not OutgoingMessage.objects.exists()


def test_a_draft_is_taken_up_again_as_it_was(reader: Client, url: str) -> None:
    answer = reader.post(url, typed(action="save", attachments=[pdf()]), follow=True)
    page = answer.content.decode()
    assert 'value="half an addr"' in page
    assert "a.pdf" in page


def test_a_file_is_held_when_it_is_chosen_and_a_blocked_one_named(reader: Client, url: str) -> None:
    chosen = [pdf(), SimpleUploadedFile("run.exe", b"MZ")]
    page = reader.post(url, typed(action="save", attachments=chosen), headers=STATE).content.decode()
    assert "run.exe is not attached: files of type .exe may not be sent" in page
    assert [file.filename for file in DraftFile.objects.all()] == ["a.pdf"]
    reader.post(url, typed(drop=DraftFile.objects.get().pk, draft=only().pk), headers=STATE)
    assert not DraftFile.objects.exists()


def test_a_sent_draft_is_one_email_with_its_files(reader: Client, url: str) -> None:
    reader.post(url, typed(action="save", attachments=[pdf()]), headers=STATE)
    draft_url = at("email_draft", only())
    reader.post(draft_url, typed(to="jo@a.example", action="send", attachments=[pdf("b.pdf")]))
    assert (only().status, files()) == (OutgoingStatus.PENDING_SEND, ["a.pdf", "b.pdf"])
    assert not DraftFile.objects.exists()
    assert reader.get(draft_url).headers["Location"] == at("outgoing_detail", only())


def test_saving_after_sending_makes_no_second_email(reader: Client, url: str) -> None:
    reader.post(url, typed(action="save"), headers=STATE)
    draft_url = at("email_draft", only())
    reader.post(draft_url, typed(to="jo@a.example"))
    reader.post(draft_url, typed(action="save"), headers=STATE)
    assert only().status == OutgoingStatus.PENDING_SEND


def test_a_form_sent_before_its_file_was_held_leaves_no_draft_behind(reader: Client, url: str) -> None:
    reader.post(url, typed(action="save", attachments=pdf()), headers=STATE)
    reader.post(url, typed(to="jo@fjordline.example"))
    assert (only().status, files()) == (OutgoingStatus.PENDING_SEND, ["a.pdf"])


@pytest.mark.parametrize("refused", [True, False])
def test_a_file_that_is_held_and_comes_again_is_attached_once(
    reader: Client, url: str, *, refused: bool
) -> None:
    reader.post(url, typed(action="save", attachments=pdf()), headers=STATE)
    if refused:
        reader.post(url, typed(attachments=pdf()))
    reader.post(url, typed(to="jo@fjordline.example", attachments=pdf()))
    assert files() == ["a.pdf"]


def test_a_form_saved_after_it_was_sent_may_be_kept_as_another(reader: Client, url: str) -> None:
    reader.post(url, typed(to="jo@fjordline.example"))
    answer = reader.post(url, typed(action="save"), headers=STATE)
    assert "This draft was sent or discarded meanwhile" in answer.content.decode()
    reader.post(url, typed(action="save", once=answer.context["once"]), headers=STATE)
    assert OutgoingMessage.objects.filter(status=OutgoingStatus.DRAFT).count() == 1


def test_an_answer_kept_as_a_draft_still_continues_the_thread(reader: Client, receive: Receive) -> None:
    message = receive()
    reader.post(at("email_reply", message), typed(action="save"))
    reader.post(at("email_draft", only()), typed(to="ana@northpeak.example"))
    assert content()["In-Reply-To"] == "<one@northpeak.example>"
    assert only().answers == message


def test_discarding_is_asked_first(reader: Client, url: str) -> None:
    reader.post(url, typed(action="save"), headers=STATE)
    command = at("outgoing_command", only())
    assert "Discard this draft?" in reader.get(f"{command}?action=discard").content.decode()
    reader.post(command, {"action": "discard", "confirmed": "yes"})
    assert not OutgoingMessage.objects.exists()


def test_a_draft_is_nothing_for_those_who_may_not_send(reader: Client, url: str, mailbox: Mailbox) -> None:
    reader.post(url, typed(action="save"), headers=STATE)
    auditor = User.objects.create_user("auditor")
    Membership.objects.create(environment=mailbox.environment, user=auditor, role=Role.AUDITOR)
    client = Client()
    client.force_login(auditor)
    assert client.get(at("email_draft", only())).status_code == 403


def test_reply_all_copies_everybody_but_oneself(reader: Client, receive: Receive) -> None:
    page = reader.get(at("email_reply_all", receive())).content.decode()
    assert 'value="Ana Bowman &lt;ana@northpeak.example&gt;"' in page
    assert 'value="jo@contoso.example, max@contoso.example"' in page


def with_files() -> bytes:
    letter = EmailMessage()
    letter["From"], letter["Subject"] = "Ana <ana@northpeak.example>", "Plans"
    letter.set_content("See both.")
    letter.add_attachment(b"one", "application", "pdf", filename="one.pdf")
    letter.add_attachment(b"two", "application", "pdf", filename="two.pdf")
    return letter.as_bytes(policy=policy.SMTP)


def test_forwarding_takes_the_attachments_that_were_left_chosen(reader: Client, receive: Receive) -> None:
    url = at("email_forward", receive(with_files()))
    page = reader.get(url).content.decode()
    assert "Fwd: Plans" in page
    assert "two.pdf" in page
    reader.post(url, typed(to="jo@a.example", original=["1"]))
    assert files() == ["two.pdf"]


def test_a_refused_forward_holds_the_chosen_attachments(reader: Client, receive: Receive) -> None:
    url = at("email_forward", receive(with_files()))
    reader.post(url, typed(original=["0"], attachments=[pdf()]))
    reader.post(at("email_draft", only()), typed(to="jo@a.example"))
    assert files() == ["one.pdf", "a.pdf"]


def test_a_message_is_forwarded_whole(reader: Client, receive: Receive) -> None:
    url = at("email_forward", receive(PLAIN.replace(b"\n", b"\r\n"))) + "?as=attachment"
    reader.post(url, typed(to="jo@a.example", original=["whole"]))
    [part] = list(content().iter_attachments())
    assert part.get_content_type() == "message/rfc822"
    assert part.get_filename() == "Invoice 20418.eml"
    assert part.get_content()["Subject"] == "Invoice 20418"
