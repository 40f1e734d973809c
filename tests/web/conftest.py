"""A small console of two screens, so that the foundation is tested without any product model."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.test import Client
from pytest_django import Settings

if TYPE_CHECKING:
    from django.contrib.auth.models import User

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
def rosa(db: None) -> "User":
    """Give somebody who may sign in."""
    person: User = get_user_model().objects.create_superuser(
        "rosa", "rosa@contoso.example", "a good long password", first_name="Rosa", last_name="Keller"
    )
    return person


@pytest.fixture
def signed_in(rosa: "User") -> Client:
    """Give Rosa's browser."""
    client = Client(raise_request_exception=False)
    client.force_login(rosa)
    return client
