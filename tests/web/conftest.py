"""A small console of two screens, so that the foundation is tested without any product model."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client
from pytest_django import Settings

HERE = Path(__file__).parent
PROCESSORS = "django.template.context_processors.request", "django.contrib.auth.context_processors.auth"


@pytest.fixture(autouse=True)
def small_console(settings: Settings) -> None:
    """Serve tests/web/trial.py in place of the product's screens."""
    settings.ROOT_URLCONF = "tests.web.trial"
    settings.TEMPLATES = [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "DIRS": [HERE / "templates", settings.BASE_DIR / "templates"],
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [*PROCESSORS, "django.contrib.messages.context_processors.messages"]
            },
        }
    ]
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    cache.clear()


@pytest.fixture
def rosa(db: None) -> User:
    """Give somebody who may sign in."""
    return User.objects.create_superuser(
        "rosa", "rosa@contoso.example", "a good long password", first_name="Rosa", last_name="Keller"
    )


@pytest.fixture
def signed_in(rosa: User) -> Client:
    """Give Rosa's browser."""
    client = Client(raise_request_exception=False)
    client.force_login(rosa)
    return client


@pytest.fixture(scope="session")
def unsafe_async() -> Iterator[None]:
    """Let the ORM work beside Playwright's event loop, in the browser tests alone."""
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    yield
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """Drive Debian's Chromium, quietly and as root."""
    flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    flags += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    return {**browser_type_launch_args, "executable_path": "/usr/bin/chromium", "args": flags}
