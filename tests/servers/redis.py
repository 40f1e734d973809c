"""A private Redis that keeps nothing on disk."""

from types import TracebackType
from typing import Self

from tests.servers.ports import LOOPBACK, free_port, wait_until_listening
from tests.servers.process import ServerProcess, private_folder, require_program, run_as


class Redis:
    """A running Redis; use it in a `with` statement."""

    def __init__(self) -> None:
        """Choose the port."""
        self.port = free_port()

    def __enter__(self) -> Self:
        """Start; return when it answers."""
        require_program("redis-server", package="redis-server")
        self._private = private_folder("redis")
        self.folder = self._private.__enter__()
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the server."""
        self.stop()
        self._private.__exit__(kind, error, trace)

    def start(self) -> None:
        """Start, or start again after `stop`, empty."""
        program = require_program("redis-server", package="redis-server")
        settings = {
            "bind": LOOPBACK,
            "port": str(self.port),
            "save": "",
            "appendonly": "no",
            "dir": str(self.folder),
        }
        options = [word for name, value in settings.items() for word in (f"--{name}", value)]
        self._process = ServerProcess([program, *options], log=self.folder / "redis.log")
        try:
            wait_until_listening(self.port)
        except TimeoutError as error:
            self._process.close()
            raise RuntimeError(f"Redis did not start: {self._process.log_tail()}") from error

    def stop(self) -> None:
        """End the server; nobody listens until `start`."""
        self._process.close()

    def suspend(self) -> None:
        """Freeze the server: connections open, nothing answers."""
        self._process.suspend()

    def resume(self) -> None:
        """End the freeze."""
        self._process.resume()

    def url(self, database: int = 0) -> str:
        """Return the address as Celery takes it."""
        return f"redis://{LOOPBACK}:{self.port}/{database}"

    def empty(self) -> None:
        """Forget everything, as a restarted broker would."""
        run_as([require_program("redis-cli", package="redis-tools"), "-p", str(self.port), "flushall"])
