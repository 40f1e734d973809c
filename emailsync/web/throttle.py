"""A limit on attempts, shared by all processes through Django's cache.

Each attempt takes one of a fixed number of slots, each of which frees itself after the window. Taking a
slot is `cache.add`, which only one process can win, so attempts side by side cannot slip past the limit
the way a counter that is read and then written would let them.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core.cache import cache


@dataclass(frozen=True)
class Taken:
    """A slot that was free."""

    key: str


@dataclass(frozen=True)
class Full:
    """All slots are taken; the first is free again in `wait`."""

    wait: timedelta


@dataclass(frozen=True)
class Throttle:
    """At most `limit` attempts within `window` for each subject."""

    name: str
    limit: int
    window: timedelta

    def _slots(self, subject: str) -> list[str]:
        # Subjects are typed by strangers: the digest keeps them out of the cache and their length bounded.
        digest = hashlib.sha256(subject.encode("utf-8", "replace")).hexdigest()[:32]
        return [f"throttle:{self.name}:{digest}:{number}" for number in range(self.limit)]

    def take(self, subject: str, *, now: datetime) -> Taken | Full:
        """Count an attempt of `subject`, or say how long to wait."""
        seconds = self.window.total_seconds()
        until = now.timestamp() + seconds
        slots = self._slots(subject)
        known = cache.get_many(slots)
        for key in slots:
            if key not in known and cache.add(key, until, timeout=seconds):
                return Taken(key)
        ends = [float(end) for end in known.values()]
        return Full(wait=timedelta(seconds=max(1.0, min(ends, default=until) - now.timestamp())))

    def give_back(self, taken: Taken) -> None:
        """Free one slot: the attempt did no harm."""
        cache.delete(taken.key)

    def forget(self, subject: str) -> None:
        """Free every slot of `subject`."""
        cache.delete_many(self._slots(subject))
