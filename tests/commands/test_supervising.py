"""The supervisor and its children, as real processes."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Protocol

import psutil
import pytest

from emailsync.management import supervising

#: Generous, because the machine may be busy.
PATIENCE = 90.0


class Run:
    """One supervisor with one child."""

    def __init__(self, folder: Path, project_folder: Path, *, behaviour: str) -> None:
        self.log = folder / "pids"
        self.output = folder / "output"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-u", "-m", "tests.commands.supervise", str(self.log), behaviour],
                cwd=project_folder,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def pids(self, count: int) -> list[int]:
        """Wait until the child wrote so many process ids, and return them."""
        wait_for(lambda: self.log.exists() and len(self.log.read_text().split()) >= count)
        return [int(word) for word in self.log.read_text().split()]


def wait_for(condition: Callable[[], bool]) -> None:
    """Return when the condition holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "It did not happen in time."
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Say whether the process runs; one that only waits to be reaped does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def start(tmp_path: Path, project_folder: Path) -> Iterator[Callable[[str], Run]]:
    """Give a function that starts a supervisor."""
    runs: list[Run] = []

    def begin(behaviour: str) -> Run:
        runs.append(Run(tmp_path, project_folder, behaviour=behaviour))
        return runs[-1]

    yield begin
    for run in runs:
        run.process.kill()
        run.process.wait()


def test_a_killed_child_is_started_again(start: Callable[[str], Run]) -> None:
    """Whatever killed it."""
    run = start("sleep")
    (first,) = run.pids(1)

    os.kill(first, signal.SIGKILL)

    assert is_alive(run.pids(2)[1])


def test_a_child_that_cannot_start_is_tried_less_and_less(start: Callable[[str], Run]) -> None:
    """Half a second, one, two: never a busy loop."""
    run = start("fail")
    began = time.monotonic()

    run.pids(4)

    assert time.monotonic() - began > 3.0


def test_what_a_child_says_is_shown_with_its_name(start: Callable[[str], Run]) -> None:
    """And why it ended."""
    run = start("fail")

    run.pids(2)

    said = run.output.read_text()
    assert "sleeper | cannot start\n" in said
    assert "sleeper | ended with status 1; starting again in 0.5 s\n" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_everything(start: Callable[[str], Run], number: signal.Signals) -> None:
    """Within a few seconds, and without a traceback."""
    run = start("sleep")
    pids = run.pids(1)
    wait_for(lambda: "ready" in run.output.read_text())

    run.process.send_signal(number)

    assert run.process.wait(timeout=PATIENCE) == 0
    assert not any(is_alive(pid) for pid in pids)
    assert "Traceback" not in run.output.read_text()


def test_a_killed_supervisor_leaves_no_orphan(start: Callable[[str], Run]) -> None:
    """Neither the child nor what the child forked."""
    run = start("fork")
    pids = run.pids(2)

    run.process.kill()

    wait_for(lambda: not any(is_alive(pid) for pid in pids))


def test_what_a_killed_child_forked_dies_before_it_is_started_again(start: Callable[[str], Run]) -> None:
    """Two generations never run beside each other."""
    run = start("fork")
    parent, forked = run.pids(2)

    os.kill(parent, signal.SIGKILL)
    run.pids(4)

    assert not is_alive(forked)


def test_without_the_kernels_help_the_pipe_is_enough(tmp_path: Path, project_folder: Path) -> None:
    """Other systems have no death signal: the end of the pipe kills the whole group."""
    lifeline, held = os.pipe()
    log = tmp_path / "pids"
    child = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "emailsync.management.launch",
            str(lifeline),
            "tests.commands.sleeper",
            str(log),
            "fork",
        ],
        cwd=project_folder,
        pass_fds=(lifeline,),
        start_new_session=True,
    )
    wait_for(lambda: log.exists() and len(log.read_text().split()) == 2)
    forked = int(log.read_text().split()[1])

    os.close(held)

    assert child.wait(timeout=PATIENCE) == -signal.SIGKILL
    wait_for(lambda: not is_alive(forked))
    os.close(lifeline)


@pytest.fixture
def in_order() -> Iterator[tuple[supervising.Supervisor, int, socket.socket]]:
    """Give a supervisor of two, its lifeline, and the port that the first is said to listen on."""
    door = socket.socket()
    door.bind(("127.0.0.1", 0))
    sleep = ("tests.commands.sleeper", (os.devnull, "sleep"))
    programs = [
        supervising.Program("first", *sleep, (door.getsockname(),)),
        supervising.Program("second", *sleep),
    ]
    supervisor = supervising.Supervisor(programs, environment=os.environ, output=sys.stdout)
    lifeline, held = os.pipe()
    with door:
        yield supervisor, lifeline, door
    for child in supervisor.children:
        child.kill_group()
    os.close(lifeline)
    os.close(held)


def test_a_program_waits_until_the_one_before_it_listens(
    in_order: tuple[supervising.Supervisor, int, socket.socket],
) -> None:
    """The demo's mailboxes are tested as soon as there is a worker: their server comes first."""
    supervisor, lifeline, door = in_order

    supervisor._look(lifeline=lifeline, now=100.0)
    assert [child.is_running() for child in supervisor.children] == [True, False]

    door.listen()
    supervisor._look(lifeline=lifeline, now=101.0)
    assert [child.is_running() for child in supervisor.children] == [True, True]


def test_a_program_waits_no_longer_than_the_time_set(
    in_order: tuple[supervising.Supervisor, int, socket.socket],
) -> None:
    """A demo that cannot start keeps nobody from working."""
    supervisor, lifeline, _ = in_order

    supervisor._look(lifeline=lifeline, now=100.0)
    supervisor._look(lifeline=lifeline, now=100.0 + supervising.LISTENS_WITHIN)

    assert [child.is_running() for child in supervisor.children] == [True, True]


class Look(Protocol):
    """Have a child looked at, at the monotonic time `now`."""

    def __call__(self, child: supervising.Child, *, now: float) -> None: ...


@pytest.fixture
def look() -> Iterator[Look]:
    """Give a function that looks at a child as its supervisor does."""
    lifeline, held = os.pipe()
    yield partial(supervising.Child.look, lifeline=lifeline)
    os.close(lifeline)
    os.close(held)


def child_that(behaviour: str) -> supervising.Child:
    """Return a child that is not started yet."""
    program = supervising.Program("quick", "tests.commands.sleeper", (os.devnull, behaviour))
    return supervising.Child(program, environment=os.environ, output=sys.stdout)


def test_a_child_with_nothing_left_to_do_is_not_started_again(look: Look) -> None:
    """The demo's server ends when the demo is removed."""
    child = child_that("finished")
    look(child, now=100.0)
    wait_for(lambda: not child.is_running())

    look(child, now=160.0)
    look(child, now=1000.0)

    assert not child.is_running()
    assert child.is_finished


def test_the_pause_begins_anew_after_a_good_while(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that ran for a minute is not punished for an old failure."""
    child = child_that("fail")
    monkeypatch.setattr(child, "_pause", 8.0)
    look(child, now=100.0)
    wait_for(lambda: not child.is_running())

    look(child, now=160.0)

    assert child._start_at == 160.0 + supervising.FIRST_PAUSE
