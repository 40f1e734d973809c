"""A TCP proxy on loopback that makes the network as slow as one to another continent."""

import asyncio
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

PIECE = 256 * 1024


class DelayingProxy:
    """Hand on every byte to a local port, each way half of `round_trip` seconds later. Nothing else slows."""

    def __init__(self, port: int, *, round_trip: float) -> None:
        """Begin to listen; `port` of this proxy is known at once."""
        self._target, self._delay = port, round_trip / 2
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = int(server.sockets[0].getsockname()[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        await asyncio.gather(self._carry(reader, back), self._carry(there, writer))

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        """Read as fast as bytes come and write each when its time has come."""
        on_the_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        writing = self._loop.create_task(self._write(on_the_way, target))
        with suppress(ConnectionError):
            while data := await source.read(PIECE):
                on_the_way.put_nowait((self._loop.time() + self._delay, data))
        on_the_way.put_nowait((self._loop.time() + self._delay, b""))
        await writing

    async def _write(
        self, on_the_way: "asyncio.Queue[tuple[float, bytes]]", target: asyncio.StreamWriter
    ) -> None:
        with suppress(ConnectionError):
            while True:
                due, data = await on_the_way.get()
                await asyncio.sleep(max(0.0, due - self._loop.time()))
                if not data:
                    break
                target.write(data)
                await target.drain()
        target.close()
