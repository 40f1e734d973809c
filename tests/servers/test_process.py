"""No private server outlives the test run."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import process
from tests.servers.ports import free_port
from tests.servers.process import require_program, wait_until

# The server is started by a thread that has ended.
STARTS_A_SERVER = """
import sys, threading, time
from pathlib import Path
from tests.servers.process import ServerProcess
servers = []
def start():
    servers.append(ServerProcess(["sleep", "60"], log=Path(sys.argv[1])))
thread = threading.Thread(target=start)
thread.start()
thread.join()
time.sleep(0.2)
print(servers[0].process.pid, servers[0].process.poll(), flush=True)
time.sleep(60)
"""

MAKES_A_FOLDER = """
import os, signal
from tests.servers.process import private_folder
with private_folder("abandoned") as folder:
    print(folder, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_server_outlives_the_thread_that_started_it_and_dies_with_a_killed_test_run(
    tmp_path: Path, project_folder: Path
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STARTS_A_SERVER, tmp_path / "log"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=project_folder,
    ) as run:
        assert run.stdout is not None
        server, ended = run.stdout.readline().split()
        run.send_signal(signal.SIGKILL)
    wait_until(lambda: not is_alive(int(server)), what="the server is gone")
    assert ended == "None"


def test_a_killed_test_run_leaves_no_folder(project_folder: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", MAKES_A_FOLDER],
        capture_output=True,
        text=True,
        cwd=project_folder,
        check=False,
    )
    folder = Path(run.stdout.strip())
    assert folder.is_absolute()
    wait_until(lambda: not folder.exists(), what=f"{folder} is gone")


def test_a_missing_program_skips_a_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"no-such-program .*Debian package nothing"):
        require_program("no-such-program", package="nothing")


def test_a_missing_program_fails_a_test_on_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no-such-program"):
        require_program("no-such-program", package="nothing")


def test_a_free_port_is_given_once() -> None:
    assert len({free_port() for _ in range(50)}) == 50


def test_a_waited_for_condition_that_stays_false_is_named() -> None:
    with pytest.raises(TimeoutError, match="pigs fly"):
        process.wait_until(lambda: False, what="pigs fly", seconds=0.05)


def is_alive(pid: int) -> bool:
    """Say whether the process runs; one that ended but was not collected does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
