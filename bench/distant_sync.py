"""Initial sync at 50 ms round-trip time: emailsync into PostgreSQL beside a loop over imaplib.

Both read the same mailbox from the same Dovecot over TLS, in turn, through a proxy that holds every byte
back for 25 ms each way (`bench/delaying.py`). The loop asks for one message at a time, as most programs do,
and throws it away; emailsync runs as in production and stores what it reads.

    python -m bench.distant_sync [--messages 3000] [--rounds 3]
"""

import argparse
import contextlib
import imaplib
import ssl
import statistics
import sys
import tempfile
import time
from pathlib import Path

from bench.corpus import messages
from bench.delaying import DelayingProxy
from bench.initial_sync import PASSWORD, UNHURRIED, USER, prepare, received_in
from emailsync.management.selftest.certificates import Authority
from tests.installation import Installation
from tests.servers.dovecot import Dovecot
from tests.servers.postgres import Postgres
from tests.servers.redis import Redis

ROUND_TRIP = 0.050
GOAL_RATIO = 30.0
#: Enough to know the loop's pace, which does not change.
LOOPED = 60


def main() -> int:
    """Measure, print both rates and the ratio, and say whether the goal was met."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=3_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="emailsync-bench-")))
        folder.chmod(0o755)
        (folder / "authority").mkdir()
        authority = Authority(folder / "authority")
        dovecot = stack.enter_context(Dovecot(authority.server))
        postgres = stack.enter_context(Postgres())
        redis = stack.enter_context(Redis())
        dovecot.add_user(USER, PASSWORD)
        for content in messages(arguments.messages):
            dovecot.deliver(USER, content)
        database = postgres.create_database("bench")
        installation = Installation(
            folder / "data", database_url=database, broker_url=redis.url(), environment=UNHURRIED
        )
        proxy = stack.enter_context(DelayingProxy(dovecot.ports.imaps, round_trip=ROUND_TRIP))
        stack.enter_context(installation.worker())
        ratios: list[float] = []
        for number in range(1, arguments.rounds + 1):
            loop = _looped(proxy.port, authority)
            prepare(installation, authority, f"round-{number}", proxy.port)
            ours = arguments.messages / received_in(installation, f"round-{number}", arguments.messages)
            ratios.append(ours / loop)
            print(
                f"round {number}: one at a time {loop:.1f} messages/s, emailsync {ours:.0f} messages/s, "
                f"ratio {ratios[-1]:.0f}"
            )
    ratio = statistics.median(ratios)
    print(f"ratio {ratio:.0f} (median; goal {GOAL_RATIO:.0f}) at {ROUND_TRIP * 1000:.0f} ms round-trip time")
    return 0 if ratio >= GOAL_RATIO else 1


def _looped(port: int, authority: Authority) -> float:
    """Return how many messages a second a loop reads that asks for one after the other."""
    context = ssl.create_default_context(cadata=authority.pem)
    with imaplib.IMAP4_SSL("localhost", port, ssl_context=context) as client:
        client.login(USER, PASSWORD)
        client.select("INBOX", readonly=True)
        began = time.perf_counter()
        for number in range(1, LOOPED + 1):
            client.fetch(str(number), "(BODY.PEEK[])")
        return LOOPED / (time.perf_counter() - began)


if __name__ == "__main__":
    sys.exit(main())
