"""Outlives the test run by a moment, and clears away what it still knows when standard input ends.

Each line is `+THING` when something was made and `-THING` when it is gone; a thing is a process group's
number or a folder's path. A pipe and not `prctl(PR_SET_PDEATHSIG)`, because that signal already comes when
the thread that started a server ends.
"""

import contextlib
import os
import shutil
import signal
import sys

things: set[str] = set()
for line in sys.stdin:
    (things.add if line.startswith("+") else things.discard)(line[1:].rstrip("\n"))
for group in filter(str.isdigit, things):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(int(group), signal.SIGKILL)
for folder in filter(os.path.isabs, things):
    shutil.rmtree(folder, ignore_errors=True)
