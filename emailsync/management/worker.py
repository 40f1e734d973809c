"""A worker: `python -m emailsync.management.worker`, the same as `celery -A emailsync worker` in less memory.

Celery's own command loads a shell and a screen for terminals beside the worker, some 10 MB that stay.
"""

import argparse
import ctypes
import sys

from emailsync.celery import app

M_ARENA_MAX = -8  # malloc.h of the GNU C library


def share_one_heap() -> None:
    """Have all threads use one heap: several would each keep megabytes of mail that is stored already.

    Call it before any thread starts. Python's threads take turns anyway, so none waits for it.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    # Other C libraries have one heap.
    if set_option is not None:
        set_option(M_ARENA_MAX, 1)


def main() -> int:
    """Run until a signal ends it; returns the status to end with."""
    share_one_heap()
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
