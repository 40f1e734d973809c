"""A small world for the mailbox screens: an environment, a profile, somebody signed in, mailboxes."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from mailboxes.choices import AddressStatus, Direction
from mailboxes.models import Mailbox, WorkerState
from mailboxes.services import editing
from profiles.models import EmailSettings, Environment, ServerProfile

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
NewMailbox = Callable[..., Mailbox]


@pytest.fixture
def person(db: None) -> User:
    """Give an administrator."""
    return User.objects.create_user(is_superuser=True, username="rosa", first_name="Rosa", last_name="Keller")


@pytest.fixture
def client(person: User) -> Client:
    """Give a browser in which Rosa is signed in."""
    browser = Client(SERVER_NAME="localhost")
    browser.force_login(person)
    return browser


@pytest.fixture
def environment(db: None) -> Environment:
    """Give an environment with its email settings."""
    made = Environment.objects.create(slug="contoso", name="Contoso")
    EmailSettings.objects.create(environment=made)
    return made


@pytest.fixture
def elsewhere(db: None) -> Environment:
    """Give another environment."""
    return Environment.objects.create(slug="fabrikam", name="Fabrikam")


@pytest.fixture
def profile(environment: Environment) -> ServerProfile:
    """Give the environment's default profile."""
    return ServerProfile.objects.create(
        environment=environment,
        name="Contoso IMAP",
        is_default=True,
        incoming_location="imap.contoso.example",
        incoming_port=993,
        outgoing_location="smtp.contoso.example",
        outgoing_port=465,
    )


@pytest.fixture
def new_mailbox(environment: Environment, profile: ServerProfile) -> NewMailbox:
    """Give a function that makes a mailbox; `incoming_state` and `outgoing_state` fill its worker states."""

    def make(
        name: str = "Support",
        *,
        incoming_state: dict[str, Any] | None = None,
        outgoing_state: dict[str, Any] | None = None,
        approved: bool = True,
        **fields: Any,
    ) -> Mailbox:
        address = f"{name.lower().replace(' ', '.')}@contoso.example"
        values = {"environment": environment, "server_profile": profile, "address": address, **fields}
        mailbox = editing.create(Mailbox(name=name, **values), by=None)
        if approved:
            Mailbox.objects.filter(pk=mailbox.pk).update(
                address_status=AddressStatus.APPROVED, approved_on=NOW
            )
            mailbox.refresh_from_db()
        states = WorkerState.objects.filter(mailbox=mailbox)
        states.filter(direction=Direction.INCOMING).update(**(incoming_state or {"last_items": 0}))
        states.filter(direction=Direction.OUTGOING).update(**(outgoing_state or {"last_items": 0}))
        return mailbox

    return make


@pytest.fixture
def mailbox(new_mailbox: NewMailbox) -> Mailbox:
    """Give an approved queue mailbox with credentials."""
    return new_mailbox(
        "Support",
        kind="queue",
        allow_credentials=True,
        user_name="support@contoso.example",
        password="old secret",
    )


@pytest.fixture
def list_url(environment: Environment) -> str:
    """Give the address of the mailbox list."""
    return reverse("mailboxes:mailbox_list", args=[environment.slug])


@pytest.fixture
def commands_url(environment: Environment) -> str:
    """Give the address that commands are sent to."""
    return reverse("mailboxes:mailbox_command", args=[environment.slug])
