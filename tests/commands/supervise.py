"""Runs the supervisor with one sleeper, for tests that kill it."""

import os
import sys
from pathlib import Path

from emailsync.management.supervising import Program, Supervisor


def say_ready() -> None:
    """Tell the test."""
    sys.stdout.write("ready\n")


if __name__ == "__main__":
    programs = [Program("sleeper", "tests.commands.sleeper", tuple(sys.argv[1:]))]
    supervisor = Supervisor(programs, environment=os.environ, output=sys.stdout)
    supervisor.run(is_ready=Path(sys.argv[1]).exists, when_ready=say_ready)
