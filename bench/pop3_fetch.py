"""Fetching a maildrop over POP3 beside a loop of poplib's `retr`, the way most programs do it.

Both read the same mailbox from the same Dovecot over TLS, in turn, and end up with the exact bytes of every
message. Nothing is parsed or stored; what that costs is in `bench.initial_sync`.

    python -m bench.pop3_fetch [--messages 3000] [--rounds 3]
"""

import argparse
import poplib
import ssl
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bench.corpus import messages
from emailsync.mail.auth import Password
from emailsync.mail.endpoint import Endpoint, NetworkPolicy, Protocol, Security, parse_networks, parse_ports
from emailsync.mail.pop3 import open_pop3
from emailsync.mail.wire import Wire
from emailsync.management.selftest.certificates import Authority
from tests.servers.dovecot import Dovecot
from tests.servers.process import private_folder

USER, PASSWORD = "bench@example.com", "bench password"
GOAL_RATIO = 2.0


class Took(NamedTuple):
    """Hold what one reading of the whole mailbox took, in seconds, and the bytes it brought."""

    wall: float
    cpu: float
    size: int


def main() -> int:
    """Measure and print; return 0 when the goal is met."""
    arguments = _arguments()
    with private_folder("bench") as folder:
        authority = Authority(folder)
        with Dovecot(authority.server) as dovecot:
            dovecot.add_user(USER, PASSWORD)
            for content in messages(arguments.messages):
                dovecot.deliver(USER, content)
            peer, ours = list[Took](), list[Took]()
            _timed(lambda: _emailsync(dovecot, authority))  # Dovecot indexes a mailbox when it is first read.
            for number in range(1, arguments.rounds + 1):
                peer.append(_timed(lambda: _poplib(dovecot, authority.file)))
                ours.append(_timed(lambda: _emailsync(dovecot, authority)))
                if peer[-1].size != ours[-1].size:
                    print("The two did not receive the same bytes.")
                    return 1
                for name, took in (("poplib", peer[-1]), ("emailsync", ours[-1])):
                    print(f"round {number}: {name:9} {_figures(took, arguments.messages)}")
    ratio = statistics.median(theirs.wall / mine.wall for theirs, mine in zip(peer, ours, strict=True))
    cpu = statistics.median(theirs.cpu / mine.cpu for theirs, mine in zip(peer, ours, strict=True))
    print(f"emailsync is {ratio:.2f} times as fast (goal {GOAL_RATIO}), with {cpu:.2f} times less CPU")
    print("goal met" if ratio >= GOAL_RATIO else "goal NOT met")
    return 0 if ratio >= GOAL_RATIO else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("--messages", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def _timed(read: Callable[[], int]) -> Took:
    wall, cpu = time.perf_counter(), time.process_time()
    size = read()
    return Took(time.perf_counter() - wall, time.process_time() - cpu, size)


def _figures(took: Took, count: int) -> str:
    return f"{count / took.wall:6.0f} messages/s, {took.cpu * 1000 / count:.2f} ms of CPU a message"


def _poplib(dovecot: Dovecot, trusted: Path) -> int:
    context = ssl.create_default_context(cafile=str(trusted))
    client = poplib.POP3_SSL(dovecot.host, dovecot.ports.pop3s, context=context, timeout=60)
    client.user(USER)
    client.pass_(PASSWORD)
    count, _ = client.stat()
    size = sum(len(b"\r\n".join(client.retr(number)[1])) + 2 for number in range(1, count + 1))
    client.quit()
    return size


def _emailsync(dovecot: Dovecot, authority: Authority) -> int:
    policy = NetworkPolicy(
        allowed_ports=parse_ports("1-65535"), allowed_networks=parse_networks("127.0.0.0/8")
    )
    endpoint = Endpoint(Protocol.POP3, dovecot.host, dovecot.ports.pop3s, Security.TLS)
    wire = Wire(policy=policy, ca_certificates=authority.pem)
    with open_pop3(endpoint, Password(USER, PASSWORD), wire) as client:
        described = client.describe(client.ids_after(0), dates=False)
        return sum(message.body.size for message in client.fetch(described))


if __name__ == "__main__":
    sys.exit(main())
