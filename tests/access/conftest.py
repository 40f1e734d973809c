"""The world that the tests of permissions walk through, built once for each module."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction
from pytest_django import DjangoDbBlocker

from tests.access.world import World, build


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[World]:
    """Give the world; what a test changes in it is undone after the test, all of it after the module."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield build()
        transaction.set_rollback(True)


@pytest.fixture(autouse=True)
def _each_in_its_own_transaction(world: World, db: None) -> None:
    """Undo what a test has changed."""


@pytest.fixture(autouse=True)
def _fast_cache(settings: Any) -> None:
    """Keep the cache in memory."""
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "whitenoise" not in name]
