"""An environment whose mail is stored as a worker would, without a server."""

import itertools
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from emailsync.mail.incoming import FetchedMessage, RawBody
from mailboxes.choices import AddressStatus, Direction, MailboxKind
from mailboxes.engine import scheduling, storing, tracking
from mailboxes.engine.preparing import prepare
from mailboxes.models import FolderCursor, Mailbox, WorkerState
from mailboxes.services import editing
from profiles.choices import IncomingMethod, OutgoingMethod
from profiles.models import EmailSettings, Environment, ServerProfile

NOW = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
Store = Callable[..., storing.Saved]
MakeMailbox = Callable[..., Mailbox]


@pytest.fixture(autouse=True)
def no_heart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Renew no lease from a thread beside a test: it would find no database between two of them."""
    monkeypatch.setattr(scheduling._heart, "hold", lambda _lease: None)


@pytest.fixture
def ada(django_user_model: type[User]) -> User:
    """Give an administrator of the installation."""
    return django_user_model.objects.create_superuser("ada", "ada@example.org", "a password")


@pytest.fixture
def environment(db: None) -> Environment:
    """Give an environment with its email settings."""
    found = Environment.objects.create(slug="contoso", name="Contoso")
    EmailSettings.objects.create(environment=found)
    return found


@pytest.fixture
def make_mailbox() -> MakeMailbox:
    """Give a function that makes an approved and enabled mailbox."""

    def make(environment: Environment, address: str, **changes: object) -> Mailbox:
        profile, _ = ServerProfile.objects.get_or_create(
            environment=environment,
            name="Servers",
            defaults={
                "incoming_location": "imap.example",
                "incoming_port": 993,
                "outgoing_location": "smtp.example",
                "outgoing_port": 465,
            },
        )
        mailbox = Mailbox(
            environment=environment,
            name=address,
            address=address,
            server_profile=profile,
            allow_credentials=True,
            user_name=address,
            password="a password",
        )
        for name, value in changes.items():
            setattr(mailbox, name, value)
        editing.create(mailbox, by=None)
        Mailbox.objects.filter(pk=mailbox.pk).update(address_status=AddressStatus.APPROVED, approved_on=NOW)
        WorkerState.objects.filter(mailbox=mailbox).update(is_enabled=True, due_at=NOW)
        return Mailbox.objects.select_related("server_profile", "environment").get(pk=mailbox.pk)

    return make


@pytest.fixture
def mailbox(environment: Environment, make_mailbox: MakeMailbox) -> Mailbox:
    """Give the mailbox that most tests are about."""
    return make_mailbox(environment, "ana@contoso.example")


@pytest.fixture
def forward(environment: Environment, make_mailbox: MakeMailbox) -> Mailbox:
    """Give a forward mailbox."""
    return make_mailbox(
        environment, "forward@contoso.example", kind=MailboxKind.FORWARD, outgoing=OutgoingMethod.NONE
    )


@pytest.fixture
def fed(environment: Environment, make_mailbox: MakeMailbox) -> Mailbox:
    """Give a mailbox that receives through the forward mailbox."""
    return make_mailbox(environment, "fred@contoso.example", incoming=IncomingMethod.FORWARD_MAILBOX)


@pytest.fixture
def store() -> Store:
    """Give a function that stores messages, given as bytes, in one batch."""
    numbers = itertools.count(1)

    def run(mailbox: Mailbox, *contents: bytes, uids: tuple[int, ...] = ()) -> storing.Saved:
        state = WorkerState.objects.get(mailbox=mailbox, direction=Direction.INCOMING)
        WorkerState.objects.filter(pk=state.pk).update(due_at=NOW, is_enabled=True, leased_until=None)
        lease = scheduling.claim_running(WorkerState, state.pk, now=timezone.now())
        assert lease is not None
        cursor = FolderCursor(mailbox=mailbox, uidvalidity=1)
        folder = storing.Folder(mailbox, cursor, tracking.Rules.of(mailbox.environment_id))
        prepared = [
            prepare(
                FetchedMessage(uid, NOW, len(content), RawBody(content)),
                unpack=folder.is_forward,
            )
            for uid, content in zip(uids or numbers, contents, strict=False)
        ]
        return storing.save(lease, folder, storing.Batch(prepared, [], 0), now=NOW)

    return run


def mail(
    number: int,
    *,
    sender: str = "ben@fjord.example",
    to: str = "ana@contoso.example",
    subject: str = "Order of May",
    headers: str = "",
) -> bytes:
    """Return a message with an identifier of its own."""
    head = f"From: {sender}\r\nTo: {to}\r\nSubject: {subject}\r\nMessage-ID: <{number}@fjord.example>\r\n"
    return f"{head}{headers}\r\nText {number}.\r\n".encode()


def answer(number: int, to: str, **options: str) -> bytes:
    """Return a message that answers the one with the identifier `to`."""
    return mail(number, headers=f"In-Reply-To: {to}\r\n", **options)


def forwarded(*inner: bytes, sender: str = "fred@contoso.example") -> bytes:
    """Return a message that carries others as attachments."""
    parts = b"".join(b"--x\r\nContent-Type: message/rfc822\r\n\r\n" + each + b"\r\n" for each in inner)
    return (
        (
            f"From: {sender}\r\nTo: forward@contoso.example\r\nSubject: Fwd\r\nMIME-Version: 1.0\r\n"
            'Content-Type: multipart/mixed; boundary="x"\r\n\r\n'
            "--x\r\nContent-Type: text/plain\r\n\r\nSee attachment.\r\n"
        ).encode()
        + parts
        + b"--x--\r\n"
    )
