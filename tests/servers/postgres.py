"""A private PostgreSQL cluster."""

import os
import pwd
import shutil
import signal
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.servers.ports import LOOPBACK, free_port, wait_until_listening
from tests.servers.process import (
    ServerProcess,
    is_root,
    private_folder,
    require_program,
    run_as,
    unavailable,
)

_CONFIGURATION = """
listen_addresses = '{host}'
port = {port}
unix_socket_directories = '{folder}'
max_connections = 200
shared_buffers = 128MB
fsync = {fsync}
timezone = 'UTC'
log_timezone = 'UTC'
"""


class Postgres:
    """A running PostgreSQL that trusts everybody on loopback; use it in a `with` statement."""

    user = "postgres"

    def __init__(self, *, fsync: bool = True) -> None:
        """Choose the port; without fsync commits are faster and a crash may lose them."""
        self.port = free_port()
        self._fsync = fsync

    def __enter__(self) -> Self:
        """Make the cluster and start; return when it takes connections."""
        self._programs = _programs()
        self._account = _account()
        self._private = private_folder("postgres")
        self.folder = self._private.__enter__()
        if self._account is not None:
            os.chown(self.folder, self._account.pw_uid, self._account.pw_gid)
        self._data = self.folder / "data"
        options = ["--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions", "--no-sync"]
        initdb = [self._programs / "initdb", "--pgdata", self._data, f"--username={self.user}", *options]
        run_as(initdb, user=self._account, folder=self.folder)
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(
                _CONFIGURATION.format(
                    host=LOOPBACK,
                    port=self.port,
                    folder=self.folder,
                    fsync="on" if self._fsync else "off",
                )
            )
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the server and remove its cluster."""
        self.stop()
        self._private.__exit__(kind, error, trace)

    def start(self) -> None:
        """Start, or start again after `stop`; the data is still there."""
        # SIGINT is PostgreSQL's fast shutdown: it does not wait for clients.
        self._process = ServerProcess(
            [self._programs / "postgres", "-D", self._data],
            log=self.folder / "postgres.log",
            end_with=signal.SIGINT,
            user=self._account,
        )
        try:
            wait_until_listening(self.port)
            run_as([self._programs / "pg_isready", "--host", LOOPBACK, f"--port={self.port}", "--timeout=10"])
        except (TimeoutError, RuntimeError) as error:
            self._process.close()
            raise RuntimeError(f"PostgreSQL did not start: {self._process.log_tail()}") from error

    def stop(self) -> None:
        """End the server and every session; nobody listens until `start`."""
        self._process.close()

    def suspend(self) -> None:
        """Freeze the server: connections open, nothing answers."""
        self._process.suspend()

    def resume(self) -> None:
        """End the freeze."""
        self._process.resume()

    def url(self, database: str = "postgres") -> str:
        """Return the database's address as DATABASE_URL takes it."""
        return f"postgres://{self.user}@{LOOPBACK}:{self.port}/{database}"

    def create_database(self, name: str) -> str:
        """Make an empty database and return its address."""
        self._run("createdb", name)
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Remove a database, whoever is connected to it."""
        self._run("dropdb", "--force", name)

    def log(self) -> str:
        """Return the end of what PostgreSQL has logged."""
        return self._process.log_tail()

    def _run(self, program: str, *words: str) -> None:
        address = ["--host", LOOPBACK, f"--port={self.port}", f"--username={self.user}"]
        run_as([self._programs / program, *address, *words])


def _programs() -> Path:
    """Return the folder of PostgreSQL's programs, which Debian keeps out of everybody's PATH."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
    if versions:
        return versions[-1].parent
    found = shutil.which("postgres") or require_program("postgres", package="postgresql")
    return Path(found).resolve().parent


def _account() -> pwd.struct_passwd | None:
    """Return the account to run as: PostgreSQL refuses root, so Debian's own or nobody."""
    if not is_root():
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    return unavailable("PostgreSQL refuses root, and neither postgres nor nobody is an account here.")
