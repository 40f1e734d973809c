"""A private Redis that keeps nothing on disk."""

from tests.servers.ports import LOOPBACK, free_port
from tests.servers.process import Server, ServerProcess, require_program, run_as


class Redis(Server):
    """A running Redis; use it in a `with` statement."""

    label = "redis"

    def __init__(self) -> None:
        """Choose the port."""
        self.port = free_port()

    @property
    def listening_ports(self) -> tuple[int, ...]:
        """Return the port."""
        return (self.port,)

    def url(self, *, database: int = 0) -> str:
        """Return the address as Celery takes it."""
        return f"redis://{LOOPBACK}:{self.port}/{database}"

    def empty(self) -> None:
        """Forget everything, as a restarted broker would."""
        run_as([require_program("redis-cli", package="redis-tools"), "-p", str(self.port), "flushall"])

    def _prepare(self) -> None:
        settings = {
            "bind": LOOPBACK,
            "port": str(self.port),
            "save": '""',
            "appendonly": "no",
            "dir": str(self.folder),
        }
        (self.folder / "redis.conf").write_text(
            "".join(f"{name} {value}\n" for name, value in settings.items())
        )

    def _launch(self) -> ServerProcess:
        program = require_program("redis-server", package="redis-server")
        return ServerProcess([program, self.folder / "redis.conf"], log=self.folder / "redis.log")
