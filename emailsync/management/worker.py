"""A worker: `python -m emailsync.management.worker`, the same as `celery -A emailsync worker` in less memory.

Celery's own command loads a shell and a screen for terminals beside the worker, some 10 MB that stay.
"""

import argparse
import sys

from emailsync.celery import app


def main() -> int:
    """Run until a signal ends it; returns the status to end with."""
    parser = argparse.ArgumentParser(prog="emailsync.management.worker", description=__doc__)
    parser.add_argument("--queues", help="take from these alone, separated by commas")
    parser.add_argument("--loglevel", default="WARNING")
    arguments = parser.parse_args()
    worker = app.Worker(
        queues=arguments.queues,
        loglevel=arguments.loglevel,
        quiet=True,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


if __name__ == "__main__":
    sys.exit(main())
