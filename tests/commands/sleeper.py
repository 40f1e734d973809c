"""A program for the supervisor: says its process id, then does as told."""

import os
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    with Path(sys.argv[1]).open("a", encoding="ascii") as log:
        log.write(f"{os.getpid()}\n")
    if sys.argv[2] == "fork" and os.fork() == 0:
        with Path(sys.argv[1]).open("a", encoding="ascii") as log:
            log.write(f"{os.getpid()}\n")
    if sys.argv[2] == "fail":
        sys.stdout.write("cannot start\n")
        sys.exit(1)
    if sys.argv[2] == "finished":
        sys.exit(75)
    time.sleep(600)
