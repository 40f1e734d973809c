"""An outgoing email's page: how it gets on, and what a person can do about it."""

from datetime import datetime
from email.message import EmailMessage
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from mailboxes.alerts import wall
from mailboxes.choices import OutgoingStatus
from mailboxes.models import Alert, Mailbox, OutgoingMessage
from tests.mailboxes.emails.world import outgoing

HTMX = {"HX-Request": "true"}


@pytest.fixture
def url(mailbox: Mailbox) -> str:
    """Give the address of the form of a new email."""
    return reverse("mailboxes:email_create", args=["contoso", mailbox.pk])


def address(name: str, message: OutgoingMessage) -> str:
    return reverse(f"mailboxes:{name}", args=["contoso", message.mailbox_id, message.pk])


@pytest.fixture
def make(mailbox: Mailbox, now: datetime) -> Any:
    """Give a function that saves a message in some state."""

    def save(status: OutgoingStatus, **changes: Any) -> OutgoingMessage:
        return outgoing(mailbox, now=now, status=status, **changes)

    return save


def page(client: Client, message: OutgoingMessage) -> str:
    return client.get(address("outgoing_detail", message)).content.decode()


def command(client: Client, message: OutgoingMessage, action: str, **more: str) -> OutgoingMessage:
    client.post(address("outgoing_command", message), {"action": action, **more})
    message.refresh_from_db()
    return message


@pytest.mark.parametrize("status", [OutgoingStatus.PENDING_SEND, OutgoingStatus.SENDING])
def test_an_unfinished_email_asks_how_it_gets_on(reader: Client, make: Any, status: OutgoingStatus) -> None:
    assert 'hx-trigger="every 2s, ' in page(reader, make(status))


@pytest.mark.parametrize("status", [OutgoingStatus.FAILED, OutgoingStatus.UNCERTAIN, OutgoingStatus.CANCELED])
def test_a_finished_email_asks_no_more(reader: Client, make: Any, status: OutgoingStatus) -> None:
    assert "every 2s" not in page(reader, make(status))


def test_nothing_new_is_an_empty_answer(reader: Client, make: Any) -> None:
    message = make(OutgoingStatus.PENDING_SEND)
    seen = reader.get(address("outgoing_detail", message)).context["seen"]
    assert reader.get(address("outgoing_detail", message), {"seen": seen}, headers=HTMX).status_code == 204


def test_a_sent_email_says_when(reader: Client, make: Any, now: datetime) -> None:
    shown = page(reader, make(OutgoingStatus.SENT, sent_at=now, server_reply="250 queued as 7F"))
    assert "Accepted by the mail server" in shown
    assert "250 queued as 7F" in shown
    assert "Thank you." in shown


def test_refused_recipients_are_named(reader: Client, make: Any, now: datetime) -> None:
    shown = page(reader, make(OutgoingStatus.SENT, sent_at=now, refused={"eve@b.example": "550 unknown"}))
    assert "Refused for 1 of its recipients" in shown
    assert "550 unknown" in shown


def test_a_failed_email_says_why_and_what_to_do(reader: Client, make: Any) -> None:
    shown = page(
        reader,
        make(OutgoingStatus.FAILED, error="The server refused the message.", error_code="message_refused"),
    )
    assert "The server refused the message." in shown
    assert 'value="retry"' in shown
    assert reader.get(address("outgoing_detail", OutgoingMessage.objects.get())).context["remedy"]


def test_a_failed_email_is_tried_again(reader: Client, make: Any) -> None:
    assert command(reader, make(OutgoingStatus.FAILED), "retry").status == OutgoingStatus.PENDING_SEND


def test_a_failed_email_is_taken_back_corrected_and_sent(reader: Client, url: str) -> None:
    form = {
        "to": "nobody@b.example, ana@b.example",
        "cc": "max@b.example",
        "subject": "Hi",
        "text": "One\nTwo",
    }
    file = SimpleUploadedFile("offer.pdf", b"%PDF", "application/pdf")
    reader.post(url, {**form, "once": "a", "attachments": file})
    message = OutgoingMessage.objects.get()
    OutgoingMessage.objects.update(status=OutgoingStatus.FAILED, refused={"nobody@b.example": "550 unknown"})
    answer = reader.post(address("outgoing_command", message), {"action": "edit"}, headers=HTMX)
    assert answer.headers["HX-Redirect"] == address("email_draft", message)
    page = reader.get(address("email_draft", message))
    assert page.context["form"].initial["to"] == "nobody@b.example, ana@b.example"
    assert page.context["form"].initial["text"].splitlines() == ["One", "Two"]
    assert "offer.pdf" in page.content.decode()
    reader.post(address("email_draft", message), {**form, "to": "ana@b.example", "once": message.once})
    message.refresh_from_db()
    assert (message.status, message.recipients) == (
        OutgoingStatus.PENDING_SEND,
        ["ana@b.example", "max@b.example"],
    )
    assert (message.attachment_count, message.refused) == (1, {})


def test_an_email_that_some_refused_is_written_to_them_again(
    reader: Client, make: Any, now: datetime
) -> None:
    message = make(
        OutgoingStatus.SENT, sent_at=now, refused={"eve@b.example": "550"}, accepted=["ana@b.example"]
    )
    wall.raise_alert("email_refused_in_part", now=now, mailbox=message.mailbox, about=str(message.pk))
    assert 'value="write_again"' in page(reader, message)
    answer = reader.post(address("outgoing_command", message), {"action": "write_again"}, headers=HTMX)
    draft = OutgoingMessage.objects.get(status=OutgoingStatus.DRAFT)
    assert answer.headers["HX-Redirect"] == address("email_draft", draft)
    assert (draft.to, draft.cc, draft.subject) == (["eve@b.example"], [], message.subject)
    assert "Thank you." in draft.text
    assert not Alert.objects.open().exists()


def test_an_email_that_nobody_refused_is_not_written_again(reader: Client, make: Any, now: datetime) -> None:
    command(reader, make(OutgoingStatus.SENT, sent_at=now), "write_again")
    assert OutgoingMessage.objects.count() == 1


def test_an_email_that_reached_somebody_is_not_edited(reader: Client, make: Any) -> None:
    message = make(OutgoingStatus.FAILED, accepted=["ana@b.example"])
    assert 'value="edit"' not in page(reader, message)
    assert command(reader, message, "edit").status == OutgoingStatus.FAILED


def test_editing_a_failed_email_resolves_its_alert(reader: Client, make: Any, now: datetime) -> None:
    message = make(OutgoingStatus.FAILED)
    wall.raise_alert("email_failed", now=now, mailbox=message.mailbox, about=str(message.pk))
    command(reader, message, "edit")
    assert not Alert.objects.open().exists()


def test_a_waiting_email_is_canceled(reader: Client, make: Any) -> None:
    assert command(reader, make(OutgoingStatus.PENDING_SEND), "cancel").status == OutgoingStatus.CANCELED


def test_what_is_sent_cannot_be_canceled(reader: Client, make: Any, now: datetime) -> None:
    message = make(OutgoingStatus.SENT, sent_at=now)
    answer = reader.post(address("outgoing_command", message), {"action": "cancel"}, follow=True)
    assert "so this can no longer be done" in answer.content.decode()


def test_with_htmx_the_new_state_takes_the_focus(reader: Client, make: Any) -> None:
    message = make(OutgoingStatus.PENDING_SEND)
    answer = reader.post(address("outgoing_command", message), {"action": "cancel"}, headers=HTMX)
    assert "Canceled" in answer.content.decode()
    assert "data-focus" in answer.content.decode()


@pytest.mark.parametrize("action", ["mark_sent", "send_again"])
def test_a_decision_is_asked_first(reader: Client, make: Any, action: str) -> None:
    message = make(OutgoingStatus.UNCERTAIN)
    assert command(reader, message, action).status == OutgoingStatus.UNCERTAIN
    dialog = reader.get(address("outgoing_command", message), {"action": action}, headers=HTMX)
    assert dialog.content.decode().strip().startswith("<dialog")


def test_an_uncertain_email_is_marked_as_sent(reader: Client, make: Any) -> None:
    message = make(OutgoingStatus.UNCERTAIN)
    assert command(reader, message, "mark_sent", confirmed="yes").status == OutgoingStatus.SENT


def test_an_uncertain_email_is_sent_again(reader: Client, make: Any) -> None:
    message = make(OutgoingStatus.UNCERTAIN)
    assert command(reader, message, "send_again", confirmed="yes").status == OutgoingStatus.PENDING_SEND


def test_without_script_the_question_stands_on_the_page(reader: Client, make: Any) -> None:
    shown = reader.get(address("outgoing_command", make(OutgoingStatus.UNCERTAIN)), {"action": "mark_sent"})
    assert "<html" in shown.content.decode()
    assert "<dialog" in shown.content.decode()


def test_an_unknown_command_is_not_found(reader: Client, make: Any) -> None:
    message = make(OutgoingStatus.PENDING_SEND)
    assert reader.post(address("outgoing_command", message), {"action": "explode"}).status_code == 404


def test_looking_changes_nothing(reader: Client, make: Any) -> None:
    message = make(OutgoingStatus.PENDING_SEND)
    assert reader.get(address("outgoing_command", message), {"action": "cancel"}).status_code == 404


def test_an_attachment_of_an_outgoing_email_is_downloaded(reader: Client, make: Any) -> None:
    letter = EmailMessage()
    letter.set_content("plain")
    letter.add_attachment(b"<script>", "text", "html", filename="a.html")
    message = make(OutgoingStatus.SENDING, content=letter.as_bytes())
    url = reverse("mailboxes:outgoing_attachment", args=["contoso", message.mailbox_id, message.pk, 0])
    assert url in page(reader, message)
    answer = reader.get(url)
    assert b"".join(answer) == b"<script>"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="a.html"'
    assert answer.headers["Content-Type"] == "application/octet-stream"
