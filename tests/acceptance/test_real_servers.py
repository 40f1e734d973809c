"""The main job as an operator runs it: PostgreSQL, Redis, Dovecot, Postfix, a worker, and no clicking."""

import hashlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from emailsync.management.selftest.certificates import Authority
from tests.installation import ROOT, Installation, Worker
from tests.servers.dovecot import Dovecot
from tests.servers.postfix import Postfix
from tests.servers.postgres import Postgres
from tests.servers.redis import Redis

pytestmark = pytest.mark.servers

PATIENCE = 120.0
#: Long enough for the worker's clock and its consumer to have noticed.
OUTAGE = 4.0
ANA, MALIK, SUPPORT, YUSUF = (f"{name}@example.org" for name in ("ana", "malik", "support", "yusuf"))
PASSWORD = "correct horse"
DESCRIPTION = """\
environments:
  - slug: contoso
    name: Contoso
    kind: production
    email_settings:
      server_profile: Contoso mail
      incoming: server_side_synchronization
      outgoing: server_side_synchronization
      process_only_approved_users: true
      process_only_approved_queues: true
    server_profiles:
      - name: Contoso mail
        server_type: other
        incoming_protocol: imap
        incoming_location: localhost
        incoming_port: {imap}
        incoming_security: tls
        outgoing_location: localhost
        outgoing_port: {smtp}
        outgoing_security: starttls
        authentication_type: credentials_by_user_or_queue
        ca_certificate_file: authority.pem
        process_email_from: 2020-01-01T00:00:00Z
        default: true
    mailboxes:
      - {{address: ana@example.org, name: Ana, user_name: ana,
         password_env: ANA_PASSWORD, approved: true}}
      - {{address: malik@example.org, name: Malik, user_name: malik,
         password_env: MALIK_PASSWORD, approved: true}}
      - {{address: yusuf@example.org, name: Yusuf, user_name: yusuf,
         password_env: YUSUF_PASSWORD, approved: true}}
      - {{address: support@example.org, name: Support, kind: queue, user_name: support,
         password_env: SUPPORT_PASSWORD, approved: false}}
"""
QUEUE = """
from django.utils import timezone
from emailsync.mail.composing import Draft
from emailsync.mail.parsing import Address
from mailboxes.models import Mailbox
from mailboxes.services import outgoing
mailbox = Mailbox.objects.get(address=sender)
to = (Address("", recipient),)
draft = Draft(sender=Address(mailbox.name, sender), to=to, subject=subject, text="Hello")
result = outgoing.queue(mailbox, draft, by=None, now=timezone.now()).message_id
"""
MAIL = (
    b"From: =?utf-8?q?S=C3=B8ren?= <soeren@northwind.example>\r\nTo: ana@example.org\r\n"
    b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe_%d?=\r\nMessage-ID: <%d@northwind.example>\r\n"
    b"Date: Mon, 02 Nov 2026 10:00:00 +0100\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nHello\r\n'
    b'--b\r\nContent-Type: text/csv\r\nContent-Disposition: attachment; filename="list.csv"\r\n\r\n1;2\r\n'
    b"--b--\r\n"
)


@dataclass
class World:
    """One installation on real servers, and a worker that runs all the time."""

    installation: Installation
    dovecot: Dovecot
    postfix: Postfix
    postgres: Postgres
    redis: Redis
    worker: Worker
    description: Path

    def manage(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command that may fail."""
        return subprocess.run(
            [sys.executable, ROOT / "manage.py", *words],
            cwd=ROOT,
            env=self.installation.variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )

    def diagnose(self, *addresses: str) -> subprocess.CompletedProcess[str]:
        """Test & Enable some mailboxes, or all, and wait."""
        chosen = [word for address in addresses for word in ("--mailbox", address)]
        return self.manage("diagnose", "--environment", "contoso", "--wait", *chosen)

    def export(self, address: str) -> list[dict[str, Any]]:
        """Return what is stored of a mailbox."""
        done = self.manage("export_emails", "--environment", "contoso", "--mailbox", address)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def deliver(self, number: int, *, to: str = "ana") -> str:
        """Put a new message into an INBOX and return the hash of its bytes."""
        content = MAIL % (number, number)
        self.dovecot.deliver(to, content)
        return hashlib.sha256(content).hexdigest()

    def expect_stored(self, *hashes: str, seconds: float = PATIENCE) -> None:
        """Wait until every one of the messages is stored, once."""
        listed = ", ".join(f"'{sha256}'" for sha256 in hashes)
        query = f"SELECT count(*) FROM mailboxes_message WHERE sha256 IN ({listed})"
        self.installation.wait_until(query, equals=len(hashes), seconds=seconds)

    def send(self, subject: str, *, sender: str = ANA, recipient: str = MALIK) -> str:
        """Hand over an email to be sent and return its Message-ID."""
        found: str = self.installation.python(QUEUE, sender=sender, recipient=recipient, subject=subject)
        return found

    def expect_received(self, message_id: str) -> None:
        """Wait until the product itself has received what it sent, once."""
        query = f"SELECT count(*) FROM mailboxes_message WHERE message_id = '{message_id}'"
        self.installation.wait_until(query, equals=1, seconds=PATIENCE)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Give an installation whose two good mailboxes were tested and enabled."""
    folder = tmp_path_factory.mktemp("world")
    with ExitStack() as stack:
        authority = Authority(folder)
        dovecot = stack.enter_context(Dovecot(authority.server))
        postfix = stack.enter_context(Postfix(authority.server, dovecot))
        postgres = stack.enter_context(Postgres(fsync=False))
        redis = stack.enter_context(Redis())
        for name in ("ana", "malik", "yusuf", "support"):
            dovecot.add_user(name, PASSWORD, addresses=[f"{name}@example.org"])
        installation = Installation(
            folder / "data",
            database_url=postgres.create_database("world"),
            broker_url=redis.url(),
            environment={
                "EMAILSYNC_POLL_INTERVAL": "2",
                "EMAILSYNC_RETRY_DELAY": "2",
                # A run that the outage interrupts keeps its mailbox until its lease ends.
                "EMAILSYNC_LEASE": "10",
                "ANA_PASSWORD": PASSWORD,
                "MALIK_PASSWORD": PASSWORD,
                "YUSUF_PASSWORD": "an old password",
                "SUPPORT_PASSWORD": PASSWORD,
            },
        )
        description = folder / "contoso.yaml"
        description.write_text(DESCRIPTION.format(imap=dovecot.ports.imaps, smtp=postfix.ports.submission))
        installation.manage("provision", str(description))
        worker = stack.enter_context(installation.worker())
        world = World(installation, dovecot, postfix, postgres, redis, worker, description)
        done = world.diagnose(ANA, MALIK)
        assert done.returncode == 0, done.stdout + done.stderr + tail_of(worker)
        yield world


def tail_of(worker: Worker) -> str:
    """Return the end of a worker's log."""
    return worker.log.read_text()[-3000:]


def test_good_mailboxes_succeed_with_exit_status_0(world: World) -> None:
    done = world.diagnose(ANA)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{ANA}: success" in done.stdout
    assert "All 1 mailboxes succeeded." in done.stdout


def test_a_wrong_password_is_told_with_the_servers_words_and_exit_status_1(world: World) -> None:
    done = world.diagnose(YUSUF)
    assert done.returncode == 1
    assert f"{YUSUF}: NOT successful" in done.stdout
    assert "[AUTHENTICATIONFAILED]" in done.stdout
    assert re.search(r"535 5\.7\.8", done.stdout)


def test_a_mailbox_nobody_approved_waits_with_exit_status_1(world: World) -> None:
    done = world.diagnose(SUPPORT)
    assert done.returncode == 1
    assert "approv" in done.stdout
    assert world.dovecot.messages("support") == []


def test_one_bad_mailbox_is_enough_for_exit_status_1(world: World) -> None:
    done = world.diagnose()
    assert done.returncode == 1
    assert "2 of 4 mailboxes did not succeed." in done.stderr


def test_a_second_provisioning_changes_nothing(world: World) -> None:
    before = world.installation.sql("SELECT id, version, password FROM mailboxes_mailbox ORDER BY id")
    assert "nothing was changed" in world.installation.manage("provision", str(world.description))
    assert world.installation.sql("SELECT id, version, password FROM mailboxes_mailbox ORDER BY id") == before


def test_new_mail_is_stored_by_itself_and_exported_as_it_came(world: World) -> None:
    delivered = world.deliver(1)
    world.expect_stored(delivered)
    (found,) = [message for message in world.export(ANA) if message["sha256"] == delivered]
    assert found["subject"] == "Grüße 1"
    assert found["from"] == {"name": "Søren", "address": "soeren@northwind.example"}
    assert found["text"].strip() == "Hello"
    assert [file["filename"] for file in found["attachments"]] == ["list.csv"]
    assert found["size"] == len(MAIL % (1, 1))


def test_what_is_sent_arrives_in_the_other_mailbox_and_is_received_there(world: World) -> None:
    message_id = world.send("Grüße an Malik")
    world.expect_received(message_id)
    (found,) = [message for message in world.export(MALIK) if message["message_id"] == message_id]
    assert found["from"]["address"] == ANA
    assert re.fullmatch(r"Grüße an Malik CRM:\d{7}", found["subject"])
    ((status,),) = world.installation.sql(
        f"SELECT status FROM mailboxes_outgoingmessage WHERE message_id = '{message_id}'"
    )
    assert status == "sent"


def test_servers_that_were_away_are_used_again_and_nothing_is_lost(world: World) -> None:
    waiting = world.send("Written before the outage")
    world.postgres.stop()
    world.redis.stop()
    delivered = world.deliver(2)
    time.sleep(OUTAGE)
    world.postgres.start()
    world.redis.start()
    later = world.deliver(3)
    world.expect_stored(delivered, later)
    world.expect_received(waiting)
    world.expect_received(world.send("Written after the outage"))
    assert world.worker.process.process.poll() is None


def test_a_mail_server_that_was_away_is_used_again_and_nothing_is_lost(world: World) -> None:
    world.dovecot.stop()
    failing = "SELECT count(*) > 0 FROM mailboxes_workerstate WHERE transient_failures > 0"
    world.installation.wait_until(failing, equals=True, seconds=PATIENCE)
    delivered = world.deliver(4)
    world.dovecot.start()
    world.expect_stored(delivered)


def test_nothing_secret_is_in_the_workers_log(world: World) -> None:
    log = world.worker.log.read_text()
    assert PASSWORD not in log
    assert "an old password" not in log
