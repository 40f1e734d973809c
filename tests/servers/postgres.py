"""A private PostgreSQL cluster."""

import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path

from tests.servers.ports import LOOPBACK, free_port
from tests.servers.process import (
    Server,
    ServerProcess,
    is_root,
    require_program,
    run_as,
    unavailable,
    wait_until,
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


class Postgres(Server):
    """A running PostgreSQL that trusts everybody on loopback; use it in a `with` statement."""

    label = "postgres"
    user = "postgres"

    def __init__(self, *, fsync: bool = True) -> None:
        """Choose the port; without fsync commits are faster and a crash may lose them."""
        self.port = free_port()
        self._fsync = fsync

    @property
    def listening_ports(self) -> tuple[int, ...]:
        """Return the port."""
        return (self.port,)

    def start(self) -> None:
        """Start, or start again after `stop`; return when it takes connections."""
        super().start()
        ask: list[str | Path] = [
            self._programs / "pg_isready",
            "--host",
            LOOPBACK,
            f"--port={self.port}",
            "--quiet",
        ]
        wait_until(lambda: subprocess.run(ask, check=False).returncode == 0, what="PostgreSQL is ready")

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

    def _prepare(self) -> None:
        self._programs = _programs()
        self._account = _account()
        if self._account is not None:
            os.chown(self.folder, self._account.pw_uid, self._account.pw_gid)
        options = ["--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions", "--no-sync"]
        initdb: list[str | Path] = [
            self._programs / "initdb",
            "--pgdata",
            self._data,
            f"--username={self.user}",
            *options,
        ]
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

    def _launch(self) -> ServerProcess:
        # SIGINT is PostgreSQL's fast shutdown: it does not wait for clients.
        return ServerProcess(
            [self._programs / "postgres", "-D", self._data],
            log=self.folder / "postgres.log",
            end_with=signal.SIGINT,
            patience=60.0,
            user=self._account,
        )

    @property
    def _data(self) -> Path:
        return self.folder / "data"

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
