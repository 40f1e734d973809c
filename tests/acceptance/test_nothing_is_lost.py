"""Workers are killed, frozen past their leases, their broker is emptied: mail is neither lost nor doubled."""

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from pathlib import Path

import pytest

from bench.corpus import messages
from emailsync.management.selftest.certificates import Authority
from tests.installation import Installation, Worker
from tests.servers.dovecot import Dovecot
from tests.servers.postfix import Postfix
from tests.servers.postgres import Postgres
from tests.servers.process import wait_until
from tests.servers.redis import Redis

pytestmark = pytest.mark.servers

MAILBOXES = 5
RECEIVED = 5000
SENT = 300
WORKERS = 2
LEASE = 3.0
PATIENCE = 240.0
PASSWORD = "a password for tests"
SINK = "sink@example.com"

PREPARE = """
from datetime import timedelta
from django.utils import timezone
from emailsync.mail.composing import Draft
from emailsync.mail.parsing import Address
from mailboxes.choices import AddressStatus
from mailboxes.engine import switching
from mailboxes.models import Mailbox, WorkerState
from mailboxes.services import outgoing
from profiles.models import EmailSettings, Environment, ServerProfile
now = timezone.now()
environment = Environment.objects.create(slug="contoso", name="Contoso")
EmailSettings.objects.create(environment=environment)
profile = ServerProfile.objects.create(
    environment=environment, name="Real servers", ca_certificates=authority,
    incoming_location="localhost", incoming_port=imaps, outgoing_location="localhost", outgoing_port=smtps)
for name in names:
    mailbox = Mailbox(environment=environment, name=name, address=name, server_profile=profile,
        allow_credentials=True, user_name=name, password=password,
        address_status=AddressStatus.APPROVED, approved_on=now)
    mailbox.save(force_insert=True)
    switching.write_states([mailbox])
    WorkerState.objects.filter(mailbox=mailbox).update(is_enabled=True, due_at=now)
    for number in range(each):
        draft = Draft(sender=Address(name, name), to=(Address("", sink),), cc=(), bcc=(),
                      subject=f"{name} {number}", text="Hello. " * 400)
        outgoing.queue(mailbox, draft, by=None, now=now)
"""


class Havoc(threading.Thread):
    """Kills, freezes and empties until it is told to stop; whoever is killed is replaced."""

    def __init__(self, installation: Installation, redis: Redis | None, *, seed: int) -> None:
        """Start the workers that will suffer."""
        super().__init__(name="havoc", daemon=True)
        self.installation, self.redis = installation, redis
        self.random = random.Random(seed)
        self.workers = [Worker(installation, ()) for _ in range(WORKERS)]
        self.frozen: list[tuple[float, Worker]] = []
        self.endings: list[threading.Timer] = []
        self.done = threading.Event()
        self.counts: Counter[str] = Counter()

    def run(self) -> None:
        """Make trouble at odd moments."""
        while not self.done.wait(self.random.uniform(0.7, 2.0)):
            deed = self.random.choice([self._kill, self._kill, self._freeze, self._empty])
            deed()
            self.counts[deed.__name__.strip("_")] += 1
            self._thaw(older_than=LEASE * 2)

    def _kill(self) -> None:
        place = self.random.randrange(len(self.workers))
        self.workers[place].kill()
        self.workers[place].close()
        self.workers[place] = Worker(self.installation, ())

    def _freeze(self) -> None:
        """Freeze a worker past its lease; another takes its place meanwhile, and later both are there."""
        place = self.random.randrange(len(self.workers))
        self.workers[place].stop()
        self.frozen.append((time.monotonic(), self.workers[place]))
        self.workers[place] = Worker(self.installation, ())

    def _thaw(self, *, older_than: float) -> None:
        for frozen in [f for f in self.frozen if time.monotonic() - f[0] > older_than]:
            self.frozen.remove(frozen)
            frozen[1].go_on()
            # It wakes with old leases and answers from servers; then it is one worker too many.
            self.endings.append(threading.Timer(2.0, frozen[1].close))
            self.endings[-1].start()

    def _empty(self) -> None:
        if self.redis is not None:
            self.redis.empty()
            return
        for path in (self.installation.folder / "broker").glob("*.msg"):
            path.unlink(missing_ok=True)

    def was_enough(self) -> bool:
        """Say whether workers have suffered so often that the test means something."""
        return self.counts["kill"] >= 5 and self.counts["freeze"] >= 2 and self.counts["empty"] >= 1

    def close(self) -> None:
        """Stop, thaw everybody and leave fresh workers at work."""
        self.done.set()
        self.join()
        self._thaw(older_than=-1)

    def end_workers(self) -> None:
        """End all processes."""
        for worker in [*self.workers, *(worker for _, worker in self.frozen)]:
            worker.kill()
            worker.close()
        for ending in self.endings:
            ending.join()


@pytest.fixture(params=["sqlite-and-files", "postgres-and-redis"])
def stores(request: pytest.FixtureRequest) -> Iterator[tuple[str, str, Redis | None]]:
    """Give the database and the broker: the embedded ones, and those of production."""
    if request.param == "sqlite-and-files":
        yield "", "filesystem://", None
        return
    with Postgres(fsync=False) as postgres, Redis() as redis:
        yield postgres.create_database("havoc"), redis.url(), redis


@dataclass(frozen=True)
class Mail:
    """The mail servers, and whose mailboxes hold what is to be received."""

    authority: Authority
    dovecot: Dovecot
    postfix: Postfix
    names: list[str]


@pytest.fixture(scope="module")
def mail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mail]:
    """Give mailboxes with 5,000 messages, which receiving leaves where they are."""
    authority = Authority(tmp_path_factory.mktemp("authority"))
    names = [f"box{number}@example.com" for number in range(MAILBOXES)]
    with Dovecot(authority.server) as dovecot, Postfix(authority.server, dovecot) as postfix:
        for name in [*names, SINK]:
            dovecot.add_user(name, PASSWORD)
        for number, content in enumerate(messages(RECEIVED)):
            dovecot.deliver(names[number % MAILBOXES], content)
        yield Mail(authority, dovecot, postfix, names)


def test_nothing_is_lost_or_doubled_while_workers_die(
    stores: tuple[str, str, Redis | None], mail: Mail, tmp_path: Path
) -> None:
    """Receive 5,000 messages and send 300 under havoc, then account for every one of them."""
    database, broker, redis = stores
    installation = Installation(
        tmp_path / "data",
        database_url=database,
        broker_url=broker,
        environment={
            "EMAILSYNC_LEASE": str(LEASE),
            "EMAILSYNC_WORKER_CONCURRENCY": "6",
            "EMAILSYNC_POLL_INTERVAL": "1",
            "EMAILSYNC_RETRY_DELAY": "1",
            "EMAILSYNC_RETRY_LIMIT": "100",
            "EMAILSYNC_LOG_LEVEL": "WARNING",
        },
    )
    installation.python(
        PREPARE,
        authority=mail.authority.pem,
        imaps=mail.dovecot.ports.imaps,
        smtps=mail.postfix.ports.smtps,
        names=mail.names,
        password=PASSWORD,
        each=SENT // MAILBOXES,
        sink=SINK,
    )
    havoc = Havoc(installation, redis, seed=53)
    try:
        havoc.start()
        wait_until(havoc.was_enough, what="Workers were killed and frozen")
        havoc.close()
        installation.wait_until("SELECT count(*) FROM mailboxes_message", equals=RECEIVED, seconds=PATIENCE)
        pending = "SELECT count(*) FROM mailboxes_outgoingmessage WHERE status IN ('pending_send', 'sending')"
        installation.wait_until(pending, equals=0, seconds=PATIENCE)
    finally:
        havoc.end_workers()
    _every_message_is_stored_once(installation, mail)
    wait_until(lambda: not mail.postfix.queued(), what="Postfix has delivered all that it took")
    _nothing_was_accepted_twice(installation, mail.dovecot)


def _every_message_is_stored_once(installation: Installation, mail: Mail) -> None:
    on_server = sum(len(mail.dovecot.messages(name)) for name in mail.names)
    ((stored, hashes, raws),) = installation.sql(
        "SELECT count(*), count(DISTINCT sha256), (SELECT count(*) FROM mailboxes_rawmessage) "
        "FROM mailboxes_message"
    )
    ((ledger, linked),) = installation.sql(
        "SELECT count(*), count(DISTINCT message_id) FROM mailboxes_ledgerentry WHERE outcome = 'stored'"
    )
    assert on_server == RECEIVED
    assert (stored, hashes, raws, ledger, linked) == (RECEIVED,) * 5


def _nothing_was_accepted_twice(installation: Installation, dovecot: Dovecot) -> None:
    arrived = Counter(message_from_bytes(content)["Message-ID"] for content in dovecot.messages(SINK))
    statuses = dict(installation.sql("SELECT message_id, status FROM mailboxes_outgoingmessage"))
    assert len(statuses) == SENT
    assert set(statuses.values()) <= {"sent", "uncertain"}
    assert {message_id: count for message_id, count in arrived.items() if count > 1} == {}
    missing = {
        message_id for message_id, status in statuses.items() if status == "sent" and not arrived[message_id]
    }
    assert missing == set()
