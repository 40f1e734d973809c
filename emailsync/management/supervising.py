"""A small supervisor: it starts children in order, starts the dead again, and stops all of them together.

A child that ends is started again after a pause that doubles while it keeps ending at once, so that a
child which cannot start costs nothing. Every child leads a process group of its own and ends with the
supervisor, even when that is killed (see launch.py).
"""

import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType
from typing import IO, TextIO

#: A child ends with this status when it has nothing to do any more; it is not started again.
FINISHED = 75

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 15.0
#: A child that lived this long was well: the next pause is the first one again.
WELL_AFTER = 20.0
#: How long a child may take to stop by itself.
GRACE = 5.0
LOOK_EVERY = 0.1
#: After this long the next programs start, whether or not the ones before them listen.
LISTENS_WITHIN = 30.0


@dataclass(frozen=True)
class Program:
    """What a child runs: a module as `python -m` would, with arguments."""

    name: str
    module: str
    arguments: tuple[str, ...] = ()
    #: Where it listens, as host and port; the programs after it need it and start once it does.
    listens_on: tuple[tuple[str, int], ...] = ()


class Child:
    """One program and the process that runs it now."""

    def __init__(self, program: Program, *, environment: Mapping[str, str], output: TextIO) -> None:
        """Prepare the child; `start` runs it."""
        self.program = program
        self._environment = dict(environment)
        self._output = output
        self._process: subprocess.Popen[str] | None = None
        self._started = 0.0
        self._pause = FIRST_PAUSE
        self._start_at = 0.0
        self.is_finished = False
        self._awaited_until = math.inf if program.listens_on else 0.0

    @property
    def pid(self) -> int | None:
        """Return the process id while it runs."""
        return self._process.pid if self._process else None

    def look(self, *, lifeline: int, now: float) -> None:
        """Start the child when it is due, and notice its end."""
        if self._process is None:
            if not self.is_finished and now >= self._start_at:
                self._start(lifeline=lifeline, now=now)
            return
        status = self._process.poll()
        if status is None:
            return
        self.kill_group()
        self._process = None
        if status == FINISHED:
            self.is_finished = True
            return
        self._pause = FIRST_PAUSE if now - self._started > WELL_AFTER else self._pause
        self._start_at = now + self._pause
        self._say(f"ended with status {status}; starting again in {self._pause:g} s")
        self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def is_awaited(self, *, now: float) -> bool:
        """Say whether the programs after it must still wait until it listens."""
        if now < self._awaited_until and (self.is_finished or all(map(_listens, self.program.listens_on))):
            self._awaited_until = now
        return now < self._awaited_until

    def ask_to_stop(self) -> None:
        """Ask the process to end by itself."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def is_running(self) -> bool:
        """Say whether the process still runs."""
        return self._process is not None and self._process.poll() is None

    def kill_group(self) -> None:
        """Kill the process and everything it started."""
        if self._process is None:
            return
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        finally:
            self._process.wait()

    def _start(self, *, lifeline: int, now: float) -> None:
        program = self.program
        launch = [sys.executable, "-m", "emailsync.management.launch", str(lifeline), program.module]
        self._started = now
        self._awaited_until = min(self._awaited_until, now + LISTENS_WITHIN)
        self._process = subprocess.Popen(  # noqa: S603  (the command is ours)
            [*launch, *program.arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(lifeline,),
            start_new_session=True,
            text=True,
            errors="replace",
        )
        threading.Thread(target=self._relay, args=(self._process.stdout,), daemon=True).start()

    def _relay(self, lines: IO[str]) -> None:
        with lines:
            for line in lines:
                if line.strip():
                    self._say(line.rstrip())

    def _say(self, line: str) -> None:
        # A terminal that was closed must not stop us from reading: the child would wait for ever.
        with suppress(OSError, ValueError):
            self._output.write(f"{self.program.name:<6} | {line}\n")
            self._output.flush()


class Supervisor:
    """Runs programs until a signal asks it to stop."""

    def __init__(
        self, programs: Sequence[Program], *, environment: Mapping[str, str], output: TextIO
    ) -> None:
        """Prepare the children."""
        self.children = [Child(program, environment=environment, output=output) for program in programs]
        self._is_stopping = False

    def run(self, *, is_ready: Callable[[], bool], when_ready: Callable[[], None]) -> None:
        """Keep the children running until SIGINT, SIGTERM or SIGHUP; call `when_ready` once."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._stop)
        # Only this process holds the writing end: when it is gone, whatever the reason, children notice.
        lifeline, held = os.pipe()
        was_ready = False
        try:
            while not self._is_stopping:
                self._look(lifeline=lifeline, now=time.monotonic())
                if not was_ready and is_ready():
                    was_ready = True
                    when_ready()
                time.sleep(LOOK_EVERY)
        finally:
            self._stop_children()
            os.close(held)
            os.close(lifeline)

    def _look(self, *, lifeline: int, now: float) -> None:
        for child in self.children:
            child.look(lifeline=lifeline, now=now)
            if child.is_awaited(now=now):
                return

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._is_stopping = True

    def _stop_children(self) -> None:
        for child in self.children:
            child.ask_to_stop()
        end = time.monotonic() + GRACE
        while time.monotonic() < end and any(child.is_running() for child in self.children):
            time.sleep(LOOK_EVERY / 2)
        for child in self.children:
            child.kill_group()


def _listens(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=1.0).close()
    except OSError:
        return False
    return True
