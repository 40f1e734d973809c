"""The database and the broker go away while a worker runs: it waits, and goes on by itself."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.installation import Installation, Worker
from tests.servers.ports import free_port, is_listening
from tests.servers.postgres import Postgres
from tests.servers.redis import Redis

pytestmark = pytest.mark.servers

#: Long enough for the worker's clock and its consumer to have noticed.
OUTAGE = 4.0
PATIENCE = 60.0
# Nobody listens there: Test & Enable ends quickly with a failure, which is a finished piece of work.
DESCRIPTION = """
environments:
  - slug: contoso
    name: Contoso
    server_profiles:
      - name: Contoso mail
        incoming_location: 127.0.0.1
        incoming_port: {port}
        outgoing_location: 127.0.0.1
        outgoing_port: {port}
        default: true
    mailboxes:
      - {{address: ana@contoso.example, name: Ana, user_name: ana, password: x, approved: true}}
"""
READY = """
from django.utils import timezone
from emailsync import health
result = health.complaints(timezone.now())
"""


class World:
    """One installation with one worker, and the servers under it."""

    def __init__(self, folder: Path, postgres: Postgres, redis: Redis) -> None:
        self.postgres, self.redis = postgres, redis
        self.installation = Installation(
            folder, database_url=postgres.create_database("outages"), broker_url=redis.url()
        )
        description = folder / "contoso.yaml"
        description.write_text(DESCRIPTION.format(port=free_port()))
        self.installation.manage("provision", str(description))

    def ask(self) -> None:
        """Ask for Test & Enable."""
        self.installation.manage("diagnose", "--environment", "contoso")

    def expect_it(self) -> None:
        """Wait until every Test & Enable that was asked for is finished."""
        unfinished = "SELECT count(*) FROM mailboxes_diagnosis WHERE state <> 'done'"
        self.installation.wait_until(unfinished, equals=0, seconds=PATIENCE)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Give an installation on a PostgreSQL and a Redis of its own: they will be stopped."""
    with Postgres(fsync=False) as postgres, Redis() as redis:
        yield World(tmp_path_factory.mktemp("outages") / "data", postgres, redis)


@pytest.fixture
def world(installed: World) -> Iterator[World]:
    """Give the installation with its servers and its key as they were, whatever a test did to them."""
    keys = installed.installation.folder / "encryption.keys"
    kept = keys.read_text()
    yield installed
    keys.write_text(kept)
    for server in (installed.postgres, installed.redis):
        if not all(map(is_listening, server.listening_ports)):
            server.start()


@pytest.fixture(scope="class")
def worker(installed: World) -> Iterator[Worker]:
    """Give a worker that has already worked."""
    with installed.installation.worker() as running:
        installed.ask()
        installed.expect_it()
        yield running


class TestOneWorker:
    """Whatever goes away, it is the same process that goes on."""

    def test_a_broker_that_comes_back_is_used_again(self, world: World, worker: Worker) -> None:
        """Work asked for meanwhile is done by the same process."""
        world.redis.stop()
        world.ask()
        time.sleep(OUTAGE)
        world.redis.start()

        world.expect_it()

        assert worker.process.process.poll() is None

    def test_a_database_that_comes_back_is_used_again(self, world: World, worker: Worker) -> None:
        """The same process goes on."""
        world.postgres.stop()
        time.sleep(OUTAGE)
        world.postgres.start()
        world.ask()

        world.expect_it()

        assert worker.process.process.poll() is None

    def test_readiness_follows_the_worker(self, world: World, worker: Worker) -> None:
        """A living worker makes the installation ready."""
        assert world.installation.python(READY) == []


def test_a_worker_can_start_before_the_database(world: World) -> None:
    """Machines start in any order."""
    world.postgres.stop()
    with world.installation.worker() as running:
        time.sleep(OUTAGE)
        world.postgres.start()
        world.ask()

        world.expect_it()

        assert running.process.process.poll() is None


def test_readiness_names_a_database_that_is_away(world: World) -> None:
    """Monitors get a sentence, not an error page."""
    world.postgres.stop()

    assert world.installation.python(READY) == ["The database does not answer."]


def test_a_worker_with_the_wrong_key_ends_at_once(world: World) -> None:
    """It never takes work that it could only spoil."""
    (world.installation.folder / "encryption.keys").write_text(f"other:{'A' * 43}=\n")
    with world.installation.worker() as running:
        assert running.process.process.wait(timeout=PATIENCE) == 3

    assert "emailsync.E002" in running.log.read_text()
