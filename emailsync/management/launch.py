"""The first lines of every child of the supervisor: it must never outlive its parent.

`python -m emailsync.management.launch FD MODULE ARGUMENTS…` runs a module as `python -m` would. The file
descriptor is the reading end of a pipe whose other end only the supervisor holds: it ends when the
supervisor does, however that died, and then this child's whole process group is killed. Linux kills the
child by itself as well (PR_SET_PDEATHSIG), which helps where Python cannot run. Killing is safe: what
matters is in committed rows.
"""

import ctypes
import os
import runpy
import signal
import sys
import threading

PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Ask Linux to kill this process when its parent ends; elsewhere the pipe alone must do."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _watch(descriptor: int) -> None:
    os.read(descriptor, 1)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def main() -> None:
    """Tie this process to its parent, then become the module named on the command line."""
    die_with_parent()
    # A forked process does not inherit the wish, and the web server forks its workers.
    os.register_at_fork(after_in_child=die_with_parent)
    descriptor, module = int(sys.argv[1]), sys.argv[2]
    threading.Thread(target=_watch, args=(descriptor,), name="parent-watch", daemon=True).start()
    sys.argv = [module, *sys.argv[3:]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
