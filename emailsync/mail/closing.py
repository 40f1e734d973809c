"""What is opened by steps is closed when one of them fails."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Protocol


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
