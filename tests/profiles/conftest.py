"""A small world for the screens of profiles: two people, an environment, profiles, mailboxes."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from mailboxes.choices import Direction
from mailboxes.models import Mailbox, WorkerState
from profiles import services
from profiles.models import EmailSettings, Environment, ServerProfile

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
HTMX = {"HX-Request": "true"}
NewProfile = Callable[..., ServerProfile]
NewMailbox = Callable[..., Mailbox]


@pytest.fixture
def person(db: None) -> User:
    """Give an administrator."""
    return User.objects.create_user(is_superuser=True, username="rosa", first_name="Rosa", last_name="Keller")


@pytest.fixture
def colleague(db: None) -> User:
    """Give another administrator."""
    return User.objects.create_user(is_superuser=True, username="paul", first_name="Paul", last_name="Brand")


@pytest.fixture
def client(person: User) -> Client:
    """Give a browser on this machine in which Rosa is signed in."""
    browser = Client(SERVER_NAME="localhost")
    browser.force_login(person)
    return browser


@pytest.fixture
def environment(db: None) -> Environment:
    """Give an environment."""
    return services.save_environment(Environment(name="Contoso"), by=None)


@pytest.fixture
def settings_row(environment: Environment) -> EmailSettings:
    """Give the email settings of the environment."""
    return EmailSettings.objects.get(environment=environment)


@pytest.fixture
def new_profile(environment: Environment) -> NewProfile:
    """Give a function that adds a server profile."""

    def add(name: str, **values: Any) -> ServerProfile:
        values = {"environment": environment, "incoming_port": 993, "outgoing_port": 465, **values}
        return ServerProfile.objects.create(
            name=name,
            incoming_location="imap.contoso.example",
            outgoing_location="smtp.contoso.example",
            **values,
        )

    return add


@pytest.fixture
def profile(new_profile: NewProfile) -> ServerProfile:
    """Give a server profile that is not the default."""
    return new_profile("Contoso IMAP")


@pytest.fixture
def new_mailbox(environment: Environment) -> NewMailbox:
    """Give a function that adds a mailbox with the same result in both directions."""

    def add(name: str, *, status: str = "not_run", **values: Any) -> Mailbox:
        values = {"environment": environment, "address": f"{name}@contoso.example", **values}
        mailbox = Mailbox.objects.create(name=name, **values)
        for direction in Direction.values:
            WorkerState.objects.create(
                mailbox=mailbox, direction=direction, status=status, is_enabled=status == "success"
            )
        return mailbox

    return add


@pytest.fixture
def typed() -> dict[str, str]:
    """Give what a browser sends for a new profile of which only the needed was typed."""
    return {
        "version": "1",
        "server_type": "other",
        "name": "Northwind",
        "authentication_type": "credentials_by_user_or_queue",
        "impersonation": "none",
        "use_same_settings_for_outgoing": "on",
        "outgoing_authentication_type": "credentials_by_user_or_queue",
        "outgoing_impersonation": "none",
        "incoming_protocol": "imap",
        "incoming_location": "imap.northwind.example",
        "incoming_port": "",
        "incoming_security": "tls",
        "outgoing_location": "smtp.northwind.example",
        "outgoing_port": "",
        "outgoing_security": "tls",
        "incoming_authentication_protocol": "auto_detect",
        "outgoing_authentication_protocol": "auto_detect",
        "minimum_polling_interval": "0",
        "append_to_sent": "auto",
        "maximum_concurrent_connections": "10",
        "timeout_enabled": "on",
        "timeout_seconds": "30",
    }


@pytest.fixture
def in_profile(typed: dict[str, str]) -> dict[str, str]:
    """Give what a browser sends for a profile with credentials of its own."""
    return {
        **typed,
        "authentication_type": "credentials_in_profile",
        "user_name": "relay",
        "password": "open sesame",
    }


def typed_from(profile: ServerProfile, typed: Mapping[str, str], **changes: str) -> dict[str, str]:
    """Return what a browser sends when somebody opened `profile` and typed `changes`."""
    shown = {name: str(getattr(profile, name)) for name in typed if hasattr(profile, name)}
    switches = {"use_same_settings_for_outgoing": "on", "timeout_enabled": "on"}
    return {**typed, **shown, **switches, "timeout_seconds": f"{profile.timeout_ms / 1000}", **changes}


def list_url(environment: Environment) -> str:
    """Return the address of the list of server profiles."""
    return reverse("profiles:profile_list", args=[environment.slug])


def create_url(environment: Environment) -> str:
    """Return the address of the panel for a new profile."""
    return reverse("profiles:profile_create", args=[environment.slug])


def edit_url(profile: ServerProfile) -> str:
    """Return the address of a profile's panel."""
    return reverse("profiles:profile_edit", args=[profile.environment.slug, profile.pk])


def command_url(environment: Environment) -> str:
    """Return the address that commands are sent to."""
    return reverse("profiles:profile_command", args=[environment.slug])
