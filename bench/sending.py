"""Messages a second over one kept SMTP connection: emailsync beside smtplib, against the same fast sink.

Both send the same 3,000 messages of 8 KB to Postfix's smtp-sink on loopback, without encryption, in turn.
smtplib reuses its connection and calls `sendmail` with bytes, its fastest way. Then a worker's run sends some
of them, every status committed to a durable PostgreSQL.

    python -m bench.sending [--messages 3000] [--rounds 7] [--durable 500]
"""

import argparse
import contextlib
import smtplib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from emailsync.mail.endpoint import Endpoint, NetworkPolicy, Protocol, Security, parse_networks
from emailsync.mail.envelope import Letter
from emailsync.mail.smtp import open_smtp
from emailsync.mail.wire import Wire
from tests.installation import Installation
from tests.servers.ports import free_port
from tests.servers.postgres import Postgres
from tests.servers.process import ServerProcess, is_root, require_program, wait_until

GOAL_RATIO = 1.5
SENDER, RECIPIENT = "ana@example.com", "ben@example.org"
CONTENT = b"Subject: bench\r\n\r\n" + b"These are the same words in every line of the text.\r\n" * 150
POLICY = NetworkPolicy(
    allowed_ports=(range(1, 65536),), allowed_networks=parse_networks("127.0.0.0/8"), allow_plain=True
)

WORK = """
import time
from django.conf import settings
from django.utils import timezone
from emailsync.mail.smtp import open_smtp
from mailboxes.choices import AddressStatus, Direction
from mailboxes.engine import connecting, delivering
from mailboxes.models import Mailbox, OutgoingMessage, WorkerState
from profiles.models import EmailSettings, Environment, ServerProfile
now = timezone.now()
environment, _ = Environment.objects.get_or_create(slug="bench", defaults={"name": "Bench"})
EmailSettings.objects.get_or_create(environment=environment)
profile, _ = ServerProfile.objects.get_or_create(environment=environment, name="Sink", defaults=dict(
    incoming_location="localhost", incoming_port=993, outgoing_location="localhost", outgoing_port=port,
    outgoing_security="none"))
box, _ = Mailbox.objects.get_or_create(environment=environment, address=sender, defaults=dict(
    name=sender, server_profile=profile, allow_credentials=True, user_name=sender, password="none",
    address_status=AddressStatus.APPROVED, approved_on=now))
state, _ = WorkerState.objects.get_or_create(mailbox=box, direction=Direction.OUTGOING)
WorkerState.objects.filter(pk=state.pk).update(is_enabled=True, due_at=now)
OutgoingMessage.objects.all().delete()
OutgoingMessage.objects.bulk_create(
    OutgoingMessage(mailbox=box, environment=environment, message_id=f"<{n}@bench>", recipients=[recipient],
                    content=content.encode(), size=len(content), created_on=now, next_attempt_at=now)
    for n in range(count))
# The sink knows nobody, so nobody signs in.
connecting.open_outgoing = lambda box, *, seconds: open_smtp(
    profile.outgoing_endpoint, None, connecting.wire(profile, seconds=seconds))
began = time.perf_counter()
delivering.run(state.pk)
seconds = time.perf_counter() - began
sent = OutgoingMessage.objects.filter(status="sent").count()
assert sent == count, WorkerState.objects.values().get(pk=state.pk)
result = seconds
"""


def main() -> int:
    """Measure, print all rates and the ratio, and say whether the goal was met."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--durable", type=int, default=500)
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="emailsync-bench-")))
        port = free_port()
        account = ["-u", "nobody"] if is_root() else []
        sink = [require_program("smtp-sink", package="postfix"), *account, f"127.0.0.1:{port}", "100"]
        stack.callback(ServerProcess(sink, log=folder / "sink.log").close)
        wait_until(lambda: _greets(port), what="the sink listens")
        ratio = _compare(port, arguments.messages, arguments.rounds)
        postgres = stack.enter_context(Postgres())
        installation = Installation(
            folder / "data",
            database_url=postgres.create_database("bench"),
            environment={"EMAILSYNC_ALLOW_NON_SSL_EMAIL": "1", "EMAILSYNC_RUN_DEADLINE": "600"},
        )
        seconds = _worker(installation, port, arguments.durable)
        print(f"every status committed: {arguments.durable / seconds:.0f} messages/s")
    print("goal met" if ratio >= GOAL_RATIO else "goal NOT met")
    return 0 if ratio >= GOAL_RATIO else 1


def _compare(port: int, count: int, rounds: int) -> float:
    """Print the rates of both in turn and return the median of the ratios."""
    ratios = []
    for number in range(1, rounds + 1):
        peer, peer_cpu = _measure(lambda: _smtplib(port, count), count)
        ours, our_cpu = _measure(lambda: _library(port, count), count)
        ratios.append(ours / peer)
        print(
            f"round {number}: smtplib {peer:.0f} messages/s, {peer_cpu:.2f} ms of CPU each; "
            f"emailsync {ours:.0f} messages/s, {our_cpu:.2f} ms"
        )
    ratio = statistics.median(ratios)
    print(f"ratio {ratio:.2f} (median of {', '.join(f'{r:.2f}' for r in ratios)}; goal {GOAL_RATIO})")
    return ratio


def _measure(send: Callable[[], float], count: int) -> tuple[float, float]:
    """Return messages a second, and the milliseconds of our own CPU each took."""
    cpu = time.process_time()
    seconds = send()
    return count / seconds, 1000 * (time.process_time() - cpu) / count


def _greets(port: int) -> bool:
    try:
        with smtplib.SMTP("127.0.0.1", port, timeout=5) as client:
            return client.noop()[0] == 250
    except OSError:
        return False


def _smtplib(port: int, count: int) -> float:
    """Return the seconds that smtplib takes over one connection."""
    with smtplib.SMTP("127.0.0.1", port) as client:
        client.ehlo()
        began = time.perf_counter()
        for _ in range(count):
            client.sendmail(SENDER, [RECIPIENT], CONTENT)
        return time.perf_counter() - began


def _library(port: int, count: int) -> float:
    """Return the seconds that the protocol library takes over one connection."""
    endpoint = Endpoint(Protocol.SMTP, "127.0.0.1", port, Security.NONE)
    with open_smtp(endpoint, None, Wire(policy=POLICY)) as client:
        letters = (Letter(SENDER, (RECIPIENT,), CONTENT) for _ in range(count))
        began = time.perf_counter()
        sent = sum(
            outcome.result is not None for outcome in client.send_all(letters, before_body=lambda _: None)
        )
        seconds = time.perf_counter() - began
    if sent != count:
        raise RuntimeError(f"{sent} messages were taken, not {count}")
    return seconds


def _worker(installation: Installation, port: int, count: int) -> float:
    """Return the seconds that a worker's run takes, every status committed."""
    values = {"sender": SENDER, "recipient": RECIPIENT, "content": CONTENT.decode()}
    return float(installation.python(WORK, timeout=600, port=port, count=count, **values))


if __name__ == "__main__":
    sys.exit(main())
