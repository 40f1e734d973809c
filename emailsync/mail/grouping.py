"""Messages that are handled a few together."""

from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar


class Sized(Protocol):
    """Something with a size in octets."""

    @property
    def size(self) -> int:
        """Return the octets."""


S = TypeVar("S", bound=Sized)


def grouped(items: Sequence[S], *, most: int, octets: int) -> Iterator[list[S]]:
    """Yield `items` in their order, so many at most, of so many octets together; a larger comes alone."""
    group: list[S] = []
    size = 0
    for item in items:
        if group and (len(group) == most or size + item.size > octets):
            yield group
            group, size = [], 0
        group.append(item)
        size += item.size
    if group:
        yield group
