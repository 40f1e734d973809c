"""What monitors are told."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from emailsync import health
from mailboxes.engine import heartbeat

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin as a process whose clock never ticked, with the cache table of an installation."""
    call_command("createcachetable", verbosity=0)
    cache.clear()
    monkeypatch.setattr(heartbeat, "_last_beat", None)


def test_live_answers_without_a_login_and_without_the_database(client: Client) -> None:
    """A process that answers is alive."""
    response = client.get("/health/live")

    assert (response.status_code, response.json()) == (200, {"status": "alive"})


def test_ready_means_that_a_worker_signed_a_moment_ago(client: Client) -> None:
    """Everything is there and a worker lives."""
    heartbeat.beat(timezone.now())

    response = client.get("/health/ready")

    assert (response.status_code, response.json()) == (200, {"status": "ready"})


def test_without_any_worker_it_is_not_ready(client: Client) -> None:
    """The reason is a sentence."""
    response = client.get("/health/ready")

    assert response.status_code == 503
    assert response.json()["reasons"] == ["No worker is alive. Start one, or look at its log."]


def test_a_worker_that_fell_silent_is_not_alive() -> None:
    """The last sign is too old."""
    now = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    heartbeat.beat(now - timedelta(minutes=1))

    assert health.complaints(now) == ["No worker is alive. Start one, or look at its log."]


def test_a_clock_that_ticks_often_signs_seldom() -> None:
    """The database is not written twice a second."""
    first = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

    heartbeat.beat(first)
    heartbeat.beat(first + timedelta(seconds=1))

    assert heartbeat.last_beat() == first


def test_a_clock_signs_again_after_a_while() -> None:
    """The sign follows the clock."""
    first = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

    heartbeat.beat(first)
    heartbeat.beat(first + timedelta(seconds=6))

    assert heartbeat.last_beat() == first + timedelta(seconds=6)


def test_a_full_disk_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is mended by people, not by a restart."""
    now = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    heartbeat.beat(now)
    monkeypatch.setattr(health, "SMALLEST_FREE_SPACE", 2**63)

    assert health.complaints(now) == ["The disk with the data folder is full."]


def test_missing_tables_are_not_ready() -> None:
    """A database of an earlier version is named as such."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'mailboxes'")

    assert health.complaints(timezone.now()) == [
        "The database has not the tables of this version. Run: manage.py migrate"
    ]


def test_answers_are_never_kept_by_a_cache(client: Client) -> None:
    """A proxy must not answer for us."""
    assert "no-store" in client.get("/health/live").headers["Cache-Control"]


def test_nothing_but_looking_is_possible(client: Client) -> None:
    """Monitors read."""
    assert client.post("/health/live").status_code == 405
