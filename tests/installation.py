"""A whole installation for tests and benchmarks: its own data folder, its own worker processes.

The processes are the ones that production runs. The test looks at the database from outside, with SQL.
"""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from emailsync.crypto.keyring import write_new_file
from tests.servers.process import ServerProcess

ROOT = Path(__file__).resolve().parent.parent
MIGRATE = """
from django.core.management import call_command
for command in ("migrate", "createcachetable"):
    call_command(command, verbosity=0)
"""


@dataclass
class Installation:
    """Settings of one installation and the ways to run its commands."""

    folder: Path
    database_url: str = ""
    broker_url: str = "filesystem://"
    allowed_ports: Sequence[int] = ()
    environment: dict[str, str] = field(default_factory=dict)
    #: An SQLite database with all tables, to begin with: making them takes seconds.
    tables: Path | None = None

    def __post_init__(self) -> None:
        """Make the folder, the keys and the tables."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_new_file(self.folder / "encryption.keys")
        if self.tables is not None:
            shutil.copy(self.tables, self.folder / "emailsync.sqlite3")
        self.database_url = self.database_url or f"sqlite:///{self.folder}/emailsync.sqlite3"
        if self.tables is None:
            self.python(MIGRATE)
        (self.folder / "broker" / "control").mkdir(parents=True, exist_ok=True)

    @property
    def variables(self) -> dict[str, str]:
        """Return the whole environment of the processes: nothing leaks in from outside."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "PYTHONPATH": str(ROOT),
            "DJANGO_SETTINGS_MODULE": "emailsync.settings",
            "EMAILSYNC_DATA_DIR": str(self.folder),
            "EMAILSYNC_SECRET_KEY": "for these tests alone, and long enough to be taken for a real one",
            "DATABASE_URL": self.database_url,
            "EMAILSYNC_BROKER_URL": self.broker_url,
            "EMAILSYNC_ALLOWED_NETWORKS": "127.0.0.0/8,::1/128",
            "EMAILSYNC_ALLOWED_PORTS": ",".join(str(port) for port in self.allowed_ports) or "1-65535",
            **self.environment,
        }

    def manage(self, *words: str, timeout: float = 180.0) -> str:
        """Run a management command and return what it printed."""
        return self._run([sys.executable, str(ROOT / "manage.py"), *words], timeout=timeout)

    def python(self, code: str, timeout: float = 120.0, **values: Any) -> Any:
        """Run `code` with Django set up, `values` as variables, and return what it left in `result`."""
        prologue = "import django, json, sys; django.setup(); result = None\n"
        prologue += "globals().update(json.load(sys.stdin))\n"
        epilogue = "\nprint(json.dumps(result))"
        printed = self._run(
            [sys.executable, "-c", prologue + code + epilogue], timeout=timeout, stdin=json.dumps(values)
        )
        return json.loads(printed.splitlines()[-1])

    def _run(self, command: list[str], *, timeout: float, stdin: str | None = None) -> str:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self.variables,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{command[:4]} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done.stdout

    @contextmanager
    def worker(self, *words: str) -> Iterator["Worker"]:
        """Run a Celery worker while the block lasts."""
        worker = Worker(self, words)
        try:
            yield worker
        finally:
            worker.close()

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of `query`, read by a connection of its own."""
        if self.database_url.startswith("sqlite"):
            connection = sqlite3.connect(self.database_url.removeprefix("sqlite:///"), timeout=30)
            try:
                return connection.execute(query).fetchall()
            finally:
                connection.close()
        with psycopg.connect(self.database_url) as remote:
            return remote.execute(query).fetchall()

    def execute(self, statement: str) -> None:
        """Change rows from outside, as a test's operator would."""
        with psycopg.connect(self.database_url) as remote:
            remote.execute(statement)

    def wait_until(self, query: str, *, equals: object, seconds: float) -> None:
        """Wait until the first value of `query` is `equals`."""
        end = time.monotonic() + seconds
        while (found := self.sql(query)[0][0]) != equals:
            if time.monotonic() > end:
                raise TimeoutError(f"{query} is {found!r}, not {equals!r}, after {seconds} s")
            time.sleep(0.2)


class Worker:
    """One Celery worker as a real process."""

    def __init__(self, installation: Installation, words: Sequence[str]) -> None:
        """Start it; it needs a moment before it takes work."""
        self.installation = installation
        self.log = installation.folder / f"worker-{time.time_ns()}.log"
        command = [sys.executable, "-m", "emailsync.management.worker", "--loglevel=INFO", *words]
        self.process = ServerProcess(command, log=self.log, environment=installation.variables)

    @property
    def pid(self) -> int:
        """Return the id of the process."""
        return self.process.process.pid

    def kill(self) -> None:
        """Kill it as a power cut would."""
        os.kill(self.pid, signal.SIGKILL)

    def stop(self) -> None:
        """Freeze it: its sockets stay open, its leases run out."""
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """End the freeze."""
        os.kill(self.pid, signal.SIGCONT)

    def peak_memory_mb(self) -> float:
        """Return the highest resident memory so far, in MB (10^6 bytes)."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6

    def cpu_seconds(self) -> float:
        """Return the processor time that the process has used so far, all its threads together."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        """End it at once."""
        self.process.close()
