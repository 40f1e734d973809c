"""Initial sync of one mailbox from Dovecot over TLS: emailsync into PostgreSQL beside mbsync into a Maildir.

Both read the same mailbox from the same server in the same run, interleaved, three times each. emailsync
runs as in production: a Celery worker, parsed rows, raw bytes, ledger and cursor committed to a durable
PostgreSQL. mbsync runs with its defaults, which also sync every file to disk. The CPU time counted is all
that the worker's process uses, its ticker and heart included; server and database are not in it.

    python -m bench.initial_sync [--messages 10000] [--rounds 3]
"""

import argparse
import contextlib
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.corpus import large_message, messages
from emailsync.management.selftest.certificates import Authority
from tests.installation import Installation, Worker
from tests.servers.dovecot import Dovecot
from tests.servers.postgres import Postgres
from tests.servers.redis import Redis

USER, PASSWORD = "bench@example.com", "bench password"
GOAL_RATIO, GOAL_MEMORY_MB, GOAL_CPU_MS = 1.5, 120.0, 0.45
#: The goal for CPU is for messages of this size.
USUAL_SIZE = 20_000
LARGE = 50 * 1024 * 1024
PATIENCE = 600.0
#: A run is not cut short, however busy the machine is.
UNHURRIED = {"EMAILSYNC_RUN_DEADLINE": "1200"}

PREPARE = """
from django.utils import timezone
from mailboxes.choices import AddressStatus, Direction
from mailboxes.engine import switching
from mailboxes.models import Mailbox, WorkerState
from profiles.models import EmailSettings, Environment, ServerProfile
environment, _ = Environment.objects.get_or_create(slug=slug, defaults={"name": slug})
EmailSettings.objects.get_or_create(environment=environment)
profile, _ = ServerProfile.objects.get_or_create(
    environment=environment, name="Dovecot",
    defaults=dict(incoming_location="localhost", incoming_port=port, outgoing_location="localhost",
                  outgoing_port=465, ca_certificates=authority))
mailbox = Mailbox(
    environment=environment, name=user, address=user, server_profile=profile, allow_credentials=True,
    user_name=user, password=password, address_status=AddressStatus.APPROVED, approved_on=timezone.now())
mailbox.save(force_insert=True)
switching.write_states([mailbox])
WorkerState.objects.filter(mailbox=mailbox, direction=Direction.INCOMING).update(
    is_enabled=True, due_at=timezone.now())
"""


def main() -> int:
    """Measure, print both rates and the ratio, and say whether the goals were met."""
    arguments = _arguments()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="emailsync-bench-")))
        folder.chmod(0o755)
        (folder / "authority").mkdir()
        authority = Authority(folder / "authority")
        dovecot = stack.enter_context(Dovecot(authority.server))
        postgres = stack.enter_context(Postgres())
        redis = stack.enter_context(Redis())
        dovecot.add_user(USER, PASSWORD)
        size = 0
        for content in messages(arguments.messages):
            dovecot.deliver(USER, content)
            size += len(content)
        print(f"{arguments.messages} messages, {size / 1e6:.0f} MB, Dovecot over TLS on loopback")
        _mbsync(folder, dovecot, authority, "warm")
        database = postgres.create_database("bench")
        installation = Installation(
            folder / "data", database_url=database, broker_url=redis.url(), environment=UNHURRIED
        )
        peer, ours, cpu, peer_cpu = list[float](), list[float](), list[float](), list[float]()
        with installation.worker() as worker:
            for number in range(1, arguments.rounds + 1):
                used = _cpu_of_children()
                peer.append(arguments.messages / _mbsync(folder, dovecot, authority, str(number)))
                peer_cpu.append((_cpu_of_children() - used) * 1000 / arguments.messages)
                used = worker.cpu_seconds()
                prepare(installation, authority, f"round-{number}", dovecot.ports.imaps)
                ours.append(
                    arguments.messages / received_in(installation, f"round-{number}", arguments.messages)
                )
                cpu.append((worker.cpu_seconds() - used) * 1000 / arguments.messages)
                print(
                    f"round {number}: mbsync {peer[-1]:.0f} messages/s, emailsync {ours[-1]:.0f} messages/s, "
                    f"{peer_cpu[-1]:.2f} and {cpu[-1]:.2f} ms of CPU a message"
                )
            memory = worker.peak_memory_mb()
            large_memory = _large(installation, dovecot, authority, worker)
    usual = USUAL_SIZE * arguments.messages / size
    print(f"mbsync    {statistics.median(peer_cpu) * usual:6.2f} ms of CPU for a message of that size")
    return _report(peer, ours, statistics.median(cpu) * usual, memory, large_memory)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def _mbsync(folder: Path, dovecot: Dovecot, authority: Authority, label: str) -> float:
    """Return the seconds mbsync takes to copy the Inbox into a fresh Maildir."""
    target = folder / f"mbsync-{label}"
    target.mkdir()
    configuration = folder / "mbsyncrc"
    configuration.write_text(
        f'IMAPAccount bench\nHost localhost\nPort {dovecot.ports.imaps}\nUser {USER}\nPass "{PASSWORD}"\n'
        f"SSLType IMAPS\nCertificateFile {authority.file}\n\n"
        f"IMAPStore remote\nAccount bench\n\n"
        f"MaildirStore local\nPath {target}/\nInbox {target}/INBOX\nSubFolders Verbatim\n\n"
        f"Channel bench\nFar :remote:\nNear :local:\nPatterns INBOX\nCreate Near\nSync Pull\nSyncState *\n"
    )
    began = time.perf_counter()
    subprocess.run(["mbsync", "-q", "-c", str(configuration), "bench"], check=True)
    seconds = time.perf_counter() - began
    shutil.rmtree(target)
    return seconds


def prepare(installation: Installation, authority: Authority, slug: str, port: int) -> None:
    """Add an environment with the mailbox, due now, on the IMAP server at `port`."""
    installation.python(PREPARE, slug=slug, port=port, authority=authority.pem, user=USER, password=PASSWORD)


def received_in(installation: Installation, slug: str, count: int) -> float:
    """Return the seconds from the start of a mailbox's first run until its last message is committed.

    A run that fails is tried again minutes later only, and so is one that is held up: both are told at once.
    """
    state = (
        "FROM mailboxes_workerstate s JOIN mailboxes_mailbox b ON b.id = s.mailbox_id "
        f"JOIN profiles_environment e ON e.id = b.environment_id "
        f"WHERE e.slug = '{slug}' AND s.direction = 'incoming'"
    )
    # Until its row is given back, a run may still write when it is due next.
    is_over = "s.lease_owner = '' AND (s.last_success_on IS NOT NULL OR s.last_error <> '' OR s.told <> '')"
    installation.wait_until(f"SELECT {is_over} {state}", equals=True, seconds=PATIENCE)
    ((seconds, items, error),) = installation.sql(
        "SELECT extract(epoch FROM s.last_success_on - s.last_started_on), s.last_items, "
        f"s.last_error || s.told {state}"
    )
    if seconds is None or items != count:
        raise RuntimeError(f"{items} messages were stored in one run, not {count}. {error}")
    # One that is only disabled would be tried again, enabled, and keep the address from the next round.
    installation.execute("UPDATE mailboxes_workerstate SET is_enabled = false, due_at = NULL")
    return float(seconds)


def _large(installation: Installation, dovecot: Dovecot, authority: Authority, worker: Worker) -> float:
    """Return the worker's peak memory after it has also received one large message."""
    dovecot.deliver(USER, large_message(LARGE))
    prepare(installation, authority, "large", dovecot.ports.imaps)
    installation.wait_until(
        f"SELECT count(*) FROM mailboxes_message WHERE size > {LARGE // 2}", equals=1, seconds=PATIENCE
    )
    return worker.peak_memory_mb()


def _cpu_of_children() -> float:
    """Return the processor time, in seconds, of the child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _report(peer: list[float], ours: list[float], cpu: float, memory: float, large_memory: float) -> int:
    ratios = [mine / theirs for mine, theirs in zip(ours, peer, strict=True)]
    ratio = statistics.median(ratios)
    print(f"mbsync    {statistics.median(peer):6.0f} messages/s (median)")
    print(f"emailsync {statistics.median(ours):6.0f} messages/s (median)")
    print(f"ratio     {ratio:6.2f} (median of {', '.join(f'{r:.2f}' for r in ratios)}; goal {GOAL_RATIO})")
    print(f"CPU       {cpu:6.2f} ms for a message of {USUAL_SIZE // 1000} KB (goal {GOAL_CPU_MS})")
    print(
        f"worker's peak memory {memory:.0f} MB, with a 50 MB message {large_memory:.0f} MB "
        f"(goal {GOAL_MEMORY_MB:.0f})"
    )
    is_fast = ratio >= GOAL_RATIO and cpu <= GOAL_CPU_MS
    met = is_fast and max(memory, large_memory) <= GOAL_MEMORY_MB
    print("goals met" if met else "goals NOT met")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
