"""Outlives the test run by a moment: kills the process groups that it still knows when standard input ends.

Each line is `+GROUP` when a server has started and `-GROUP` when it is gone. A pipe and not
`prctl(PR_SET_PDEATHSIG)`, because that signal already comes when the thread that started a server ends.
"""

import contextlib
import os
import signal
import sys

groups: set[int] = set()
for line in sys.stdin:
    (groups.add if line.startswith("+") else groups.discard)(int(line[1:]))
for group in groups:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
