"""What all private servers share: a folder, and a process that never outlives the test run."""

import atexit
import contextlib
import functools
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, ClassVar, NoReturn, Self, TypedDict

import pytest

from tests.servers.ports import is_listening, wait_until_listening

# Debian keeps servers outside the PATH of ordinary users.
_SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])


def require_program(name: str, *, package: str) -> str:
    """Return the program's path; without it skip the test, or fail it on CI, where nothing may be missing."""
    path = shutil.which(name, path=_SEARCH_PATH)
    if path is None:
        unavailable(f"The program {name} is not installed (Debian package {package}).")
    return path


def unavailable(reason: str) -> NoReturn:
    """Skip the running test for want of a server; on CI fail it instead."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@contextlib.contextmanager
def private_folder(name: str) -> Iterator[Path]:
    """Make a folder with a short path (a socket's may have 107 characters) and remove it at the end.

    Other users may walk through it: servers started by root drop to users of their own.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"emailsync-{name}-"))
    _tell_guardian(f"+{folder}")
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _tell_guardian(f"-{folder}")


def is_root() -> bool:
    """Say whether the tests run as root."""
    return os.geteuid() == 0


def current_user() -> pwd.struct_passwd:
    """Return the account that runs the tests."""
    return pwd.getpwuid(os.geteuid())


class Server(ABC):
    """A private server with its folder; use it in a `with` statement."""

    label: ClassVar[str]

    @property
    @abstractmethod
    def listening_ports(self) -> tuple[int, ...]:
        """Return the ports that answer once the server has started."""

    @abstractmethod
    def _prepare(self) -> None:
        """Write what the server needs into `self.folder`."""

    @abstractmethod
    def _launch(self) -> "ServerProcess":
        """Start the server's process."""

    def __enter__(self) -> Self:
        """Prepare and start; return when every port answers."""
        with contextlib.ExitStack() as stack:
            self.folder = stack.enter_context(private_folder(self.label))
            self._prepare()
            self.start()
            stack.callback(self.stop)
            self._ending = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the server and remove its folder."""
        self._ending.close()

    def start(self) -> None:
        """Start, or start again after `stop`; what is on its disk is still there."""
        self._process = self._launch()
        try:
            wait_until_listening(*self.listening_ports)
        except TimeoutError as error:
            self.stop()
            raise RuntimeError(f"{self.label} did not start: {error} {self.log()}") from error

    def stop(self) -> None:
        """End the server and every session; nobody listens until `start`."""
        self._process.close()
        wait_until(
            lambda: not any(map(is_listening, self.listening_ports)),
            what=f"{self.label} has let go of its ports",
        )

    def suspend(self) -> None:
        """Freeze the server: connections stay open, nothing answers."""
        self._process.suspend()

    def resume(self) -> None:
        """End the freeze."""
        self._process.resume()

    def log(self) -> str:
        """Return the end of what the server has logged."""
        return tail(self._process.log)


class ServerProcess:
    """A server in the foreground, in a process group of its own that the guardian kills if we are killed."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        log: Path,
        end_with: signal.Signals = signal.SIGTERM,
        patience: float = 5.0,
        user: pwd.struct_passwd | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        """Start the command, with what it prints in `log`; `close` kills it after `patience` seconds."""
        self.log = log
        self._end_with = end_with
        self._patience = patience
        self._command = [str(word) for word in command]
        with log.open("ab") as output:
            # Closed by close(); a with statement would wait for the server's end right here.
            self.process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
                **_identity(user),
            )
        _tell_guardian(f"+{self.process.pid}")

    def __repr__(self) -> str:
        """Name the program and its process."""
        return f"<{self._command[0]} {self.process.pid}>"

    def suspend(self) -> None:
        """Stop the server with its children, as if the machine hung."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a suspended server go on."""
        os.killpg(self.process.pid, signal.SIGCONT)

    def close(self) -> None:
        """End the server and everything it started."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(self._end_with)
            try:
                self.process.wait(timeout=self._patience)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        _tell_guardian(f"-{self.process.pid}")


@functools.cache
def _guardian() -> IO[bytes]:
    """Start this run's guardian and return the pipe that it listens to."""
    program = Path(__file__).with_name("guardian.py")
    # Unbuffered, so that each line is one write, whichever thread it comes from.
    process = subprocess.Popen(
        [sys.executable, "-S", program], stdin=subprocess.PIPE, bufsize=0, start_new_session=True
    )
    assert process.stdin is not None
    # Closes the pipe, and waits: nothing that started is left when we end by ourselves.
    atexit.register(process.communicate)
    return process.stdin


def _tell_guardian(line: str) -> None:
    _guardian().write(f"{line}\n".encode())


class Identity(TypedDict, total=False):
    """How subprocess names another user."""

    user: int
    group: int
    extra_groups: list[int]


def _identity(user: pwd.struct_passwd | None) -> Identity:
    if user is None:
        return {}
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def tail(path: Path) -> str:
    """Return the last lines of a log that may not exist yet."""
    return path.read_text(errors="replace")[-20_000:] if path.exists() else ""


def run_as(
    command: Sequence[str | Path], *, user: pwd.struct_passwd | None = None, folder: Path | None = None
) -> str:
    """Run a short command to its end and return what it printed; raise with its words when it fails."""
    done = subprocess.run(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        timeout=60,
        **_identity(user),
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def wait_until(condition: Callable[[], bool], *, what: str, seconds: float = 60.0) -> None:
    """Return when the condition holds; raise TimeoutError saying what did not come true."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"Not true after {seconds} s: {what}.")
        time.sleep(0.02)


def write_cold(path: Path, text: str = "") -> None:
    """Append to a file that Postfix reads, and date it back.

    A program of Postfix that finds a file of the last two seconds sleeps and reads it again.
    """
    with path.open("a") as file:
        file.write(text)
    earlier = time.time() - 10
    os.utime(path, (earlier, earlier))
