"""Fixtures of the screens about mail and alerts; both folders of tests import them."""

import hashlib
import itertools
from datetime import UTC, datetime
from typing import Any, Protocol

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client
from pytest_django import Settings

from emailsync.mail.parsing import ParsedMessage, parse
from mailboxes import searching
from mailboxes.choices import AddressStatus, Direction, OutgoingStatus, RecipientKind, ResultStatus
from mailboxes.models import (
    Attachment,
    Mailbox,
    Message,
    MessageWords,
    OutgoingMessage,
    OutgoingWords,
    RawMessage,
    Recipient,
    Reconciliation,
    WorkerState,
)
from profiles.models import EmailSettings, Environment, ServerProfile

PLAIN = b"""\
From: Ana Bowman <ana@northpeak.example>
To: Billing <billing@contoso.example>, jo@contoso.example
Cc: max@contoso.example
Subject: Invoice 20418
Date: Mon, 23 Nov 2026 09:40:00 +0100
Message-ID: <one@northpeak.example>
Content-Type: text/plain; charset=utf-8

Please find the invoice.
Regards, Ana
"""


class Receive(Protocol):
    """Store a message as a worker would."""

    def __call__(self, raw: bytes = PLAIN, **changes: Any) -> Message:
        """Store `raw`; `changes` override the columns."""


@pytest.fixture
def now() -> datetime:
    """Give a moment at noon."""
    return datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture
def queue_fast(settings: Settings) -> None:
    """Keep the cache in memory: the database's would count as queries."""
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "whitenoise" not in name]
    cache.clear()


@pytest.fixture
def rosa(db: None, queue_fast: None) -> User:
    """Give an administrator."""
    return User.objects.create_superuser(
        "rosa", "rosa@contoso.example", "a good long password", first_name="Rosa", last_name="Keller"
    )


@pytest.fixture
def reader(rosa: User) -> Client:
    """Give a browser in which Rosa is signed in."""
    client = Client()
    client.force_login(rosa)
    return client


@pytest.fixture
def environment(db: None) -> Environment:
    """Give an environment with its email settings."""
    found = Environment.objects.create(slug="contoso", name="Contoso")
    EmailSettings.objects.create(environment=found)
    return found


@pytest.fixture
def profile(environment: Environment, rosa: User) -> ServerProfile:
    """Give a server profile that Rosa owns."""
    return ServerProfile.objects.create(
        environment=environment,
        name="Contoso IMAP",
        owner=rosa,
        incoming_location="imap.contoso.example",
        incoming_port=993,
        outgoing_location="smtp.contoso.example",
        outgoing_port=465,
    )


@pytest.fixture
def mailbox(profile: ServerProfile, rosa: User) -> Mailbox:
    """Give a mailbox that is approved, tested and enabled."""
    found = Mailbox(
        environment=profile.environment,
        name="Billing",
        address="billing@contoso.example",
        kind="queue",
        owner=rosa,
        server_profile=profile,
        allow_credentials=True,
        user_name="billing",
        address_status=AddressStatus.APPROVED,
    )
    found.password = "a password"
    found.save()
    for direction in Direction:
        WorkerState.objects.create(
            mailbox=found, direction=direction, is_enabled=True, status=ResultStatus.SUCCESS
        )
    Reconciliation.objects.create(mailbox=found)
    return Mailbox.objects.select_related("environment", "server_profile").get(pk=found.pk)


@pytest.fixture
def receive(mailbox: Mailbox, now: datetime) -> Receive:
    """Give a function that stores a message as a worker would."""
    numbers = itertools.count(1)

    def store(raw: bytes = PLAIN, **changes: Any) -> Message:
        number = next(numbers)
        parsed = parse(raw)
        message = Message.objects.create(**_columns(mailbox, raw, parsed, number, now) | changes)
        RawMessage.objects.create(message=message, content=raw)
        _parts(message, parsed)
        return message

    return store


def _columns(
    mailbox: Mailbox, raw: bytes, parsed: ParsedMessage, number: int, now: datetime
) -> dict[str, Any]:
    return {
        "mailbox": mailbox,
        "uidvalidity": 1,
        "uid": number,
        "message_id": parsed.message_id,
        "in_reply_to": parsed.in_reply_to,
        "references": " ".join(parsed.references),
        "subject": parsed.subject,
        "from_name": parsed.sender.name if parsed.sender else "",
        "from_address": parsed.sender.address if parsed.sender else "",
        "date": parsed.date,
        "received_at": now,
        "stored_on": now,
        "size": len(raw),
        "sha256": hashlib.sha256(raw + str(number).encode()).hexdigest(),
        "preview": " ".join(parsed.text.split())[:200],
        "has_html": bool(parsed.html),
        "attachment_count": len(parsed.attachments),
    }


def _parts(message: Message, parsed: ParsedMessage) -> None:
    kinds = {
        RecipientKind.TO: parsed.to,
        RecipientKind.CC: parsed.cc,
        RecipientKind.BCC: parsed.bcc,
        RecipientKind.REPLY_TO: parsed.reply_to,
    }
    Recipient.objects.bulk_create(
        Recipient(message=message, kind=kind, position=position, name=person.name, address=person.address)
        for kind, people in kinds.items()
        for position, person in enumerate(people)
    )
    Attachment.objects.bulk_create(
        Attachment(
            message=message,
            position=info.position,
            filename=info.filename,
            content_type=info.content_type,
            size=info.size,
            sha256=info.sha256,
            content_id=info.content_id,
            is_inline=info.inline,
        )
        for info in parsed.attachments
    )
    people = [parsed.sender, *parsed.to, *parsed.cc, *parsed.bcc, *parsed.reply_to]
    MessageWords.objects.create(
        message=message, words=searching.words(message.subject, map(str, people), parsed.text)
    )


def outgoing(mailbox: Mailbox, *, now: datetime, number: int = 1, **changes: Any) -> OutgoingMessage:
    """Save an outgoing message in the state that a test is about."""
    columns: dict[str, Any] = {
        "mailbox": mailbox,
        "message_id": f"<{number}@contoso.example>",
        "subject": "Order confirmation",
        "to": ["Jo Mercer <jo@fjordline.example>"],
        "recipients": ["jo@fjordline.example"],
        "content": b"From: billing@contoso.example\r\nTo: jo@fjordline.example\r\n\r\nThank you.\r\n",
        "size": 70,
        "created_on": now,
        "next_attempt_at": now,
        "status": OutgoingStatus.PENDING_SEND,
    }
    message = OutgoingMessage.objects.create(**columns | changes)
    people = [*message.to, *message.cc, *message.bcc]
    OutgoingWords.objects.create(
        message=message, words=searching.words(message.subject, people, "Thank you.")
    )
    return message
