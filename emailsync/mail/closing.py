"""What is opened is closed: at the end of a `with` block, and when one of the steps of opening it fails."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Protocol, Self


class Closable(Protocol):
    """Whatever can be closed: a connection, a temporary file."""

    def close(self) -> None:
        """Give it back."""
        ...


@contextmanager
def closed_on_failure(thing: Closable) -> Iterator[None]:
    """Close `thing` when the block ends by an exception of any kind, which goes on; else leave it open."""
    with ExitStack() as stack:
        stack.callback(thing.close)
        yield
        stack.pop_all()


class Closing(ABC):
    """What a `with` block closes at its end, however that comes."""

    @abstractmethod
    def close(self) -> None:
        """End the conversation; closing twice does no harm."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
