"""Stored messages as lines of JSON."""

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from emailsync.mail.parsing import parse
from mailboxes.choices import RecipientKind
from mailboxes.models import Attachment, Mailbox, Message, RawMessage, Recipient
from profiles.models import Environment

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
RAW = b"""\
From: =?utf-8?q?S=C3=B8ren?= <soren@northwind.example>
To: Ana Bowman <ana@contoso.example>, bo@contoso.example
Cc: Max <max@contoso.example>
Subject: Offer
Date: Sun, 1 Mar 2026 12:00:00 +0100
Message-ID: <one@northwind.example>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=x

--x
Content-Type: text/html; charset=utf-8

<p>Hello</p>
--x
Content-Type: text/csv
Content-Disposition: attachment; filename="prices.csv"

a;b
--x--
"""


@pytest.fixture
def mailbox() -> Mailbox:
    """Give a mailbox."""
    environment = Environment.objects.create(slug="contoso", name="Contoso")
    return Mailbox.objects.create(environment=environment, name="Ana", address="ana@contoso.example")


def store(mailbox: Mailbox, raw: bytes = RAW, **changes: Any) -> Message:
    """Store a message as a worker would."""
    parsed = parse(raw)
    values = {
        "uid": 7,
        "uidvalidity": 1,
        "message_id": parsed.message_id,
        "subject": parsed.subject,
        "from_name": parsed.sender.name if parsed.sender else "",
        "from_address": parsed.sender.address if parsed.sender else "",
        "date": parsed.date,
        "received_at": NOW,
        "stored_on": NOW,
        "size": len(raw),
        "sha256": hashlib.sha256(raw).hexdigest(),
        "has_html": bool(parsed.html),
    }
    message = Message.objects.create(mailbox=mailbox, **(values | changes))
    RawMessage.objects.create(message=message, content=raw)
    Recipient.objects.bulk_create(
        Recipient(message=message, kind=kind, position=position, name=found.name, address=found.address)
        for kind, addresses in ((RecipientKind.TO, parsed.to), (RecipientKind.CC, parsed.cc))
        for position, found in enumerate(addresses)
    )
    Attachment.objects.bulk_create(
        Attachment(
            message=message,
            position=found.position,
            filename=found.filename,
            content_type=found.content_type,
            size=found.size,
            sha256=found.sha256,
        )
        for found in parsed.attachments
    )
    return message


def export(capsys: pytest.CaptureFixture[str], address: str = "ana@contoso.example") -> list[dict[str, Any]]:
    """Run the command and read its lines."""
    call_command("export_emails", environment="contoso", mailbox=address)
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_line_says_everything_about_a_message(mailbox: Mailbox, capsys: pytest.CaptureFixture[str]) -> None:
    """Names and addresses apart, times with their zone, hashes of bytes."""
    store(mailbox)

    (line,) = export(capsys)

    assert line == {
        "uid": 7,
        "uidvalidity": 1,
        "message_id": "<one@northwind.example>",
        "subject": "Offer",
        "from": {"name": "Søren", "address": "soren@northwind.example"},
        "to": [
            {"name": "Ana Bowman", "address": "ana@contoso.example"},
            {"name": "", "address": "bo@contoso.example"},
        ],
        "cc": [{"name": "Max", "address": "max@contoso.example"}],
        "date": "2026-03-01T11:00:00+00:00",
        "received_at": "2026-03-01T12:00:00+00:00",
        "size": len(RAW),
        "sha256": hashlib.sha256(RAW).hexdigest(),
        "text": parse(RAW).text,
        "html": True,
        "attachments": [
            {
                "filename": "prices.csv",
                "type": "text/csv",
                "size": line["attachments"][0]["size"],
                "sha256": parse(RAW).attachments[0].sha256,
            }
        ],
    }


def test_messages_come_in_the_order_they_were_stored(
    mailbox: Mailbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also when the server received them in another one."""
    store(mailbox, uid=2)
    store(mailbox, RAW + b"\n", uid=1)

    assert [line["uid"] for line in export(capsys)] == [2, 1]


def test_a_message_without_a_sender_or_a_date_has_null(
    mailbox: Mailbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """Missing is not empty."""
    store(mailbox, b"Subject: nothing\n\nHello\n")

    (line,) = export(capsys)

    assert (line["from"], line["date"], line["to"]) == (None, None, [])


def test_a_quarantined_message_is_listed_without_text(
    mailbox: Mailbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its bytes are accounted for."""
    store(mailbox, is_quarantined=True)

    (line,) = export(capsys)

    assert (line["text"], line["size"]) == (None, len(RAW))


def test_lost_bytes_are_reported_and_stop_nothing(
    mailbox: Mailbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """The other messages follow."""
    lost = store(mailbox)
    RawMessage.objects.filter(message=lost).update(content=None, file="gone")
    store(mailbox, RAW + b"\n")

    call_command("export_emails", environment="contoso", mailbox="ana@contoso.example")

    printed = capsys.readouterr()
    assert [json.loads(line)["text"] is None for line in printed.out.splitlines()] == [True, False]
    assert "is missing from the data folder" in printed.err


def test_the_address_may_be_written_in_other_letters(
    mailbox: Mailbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in mail itself."""
    store(mailbox)

    assert len(export(capsys, "Ana@Contoso.example")) == 1


def test_an_unknown_environment_names_those_there_are(mailbox: Mailbox) -> None:
    """A typing mistake is seen at once."""
    with pytest.raises(CommandError, match=r"no environment 'contos'\. There are: contoso\."):
        call_command("export_emails", environment="contos", mailbox="ana@contoso.example")


def test_an_unknown_mailbox_is_a_sentence(mailbox: Mailbox) -> None:
    """Not an empty export."""
    with pytest.raises(CommandError, match=r"no mailbox with the address 'bo@contoso\.example'"):
        call_command("export_emails", environment="contoso", mailbox="bo@contoso.example")
