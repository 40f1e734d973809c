"""The sign of life that every worker's clock leaves: the cheapest honest answer to "does anybody work?"."""

import threading
from datetime import datetime, timedelta

from django.core.cache import cache

#: How often a worker signs; a clock that ticks faster signs only this often.
BEAT_EVERY = timedelta(seconds=5)
#: How old the last sign may be: three signs missed and a slow clock.
ALIVE_WITHIN = timedelta(seconds=25)
_KEY = "worker-beat"

_lock = threading.Lock()
_last_beat: datetime | None = None


def beat(now: datetime) -> None:
    """Sign that a worker's clock ticks; all workers share one sign, since one that lives is enough."""
    global _last_beat  # noqa: PLW0603  (one clock per process; its last sign belongs to the process)
    with _lock:
        if _last_beat is not None and timedelta() <= now - _last_beat < BEAT_EVERY:
            return
        _last_beat = now
    cache.set(_KEY, now.isoformat(), timeout=3600)


def last_beat() -> datetime | None:
    """Return when a worker last signed."""
    signed = cache.get(_KEY)
    return datetime.fromisoformat(signed) if signed else None


def is_alive(signed: datetime | None, *, now: datetime) -> bool:
    """Say whether a worker that last signed then is taken to be alive."""
    return signed is not None and now - signed < ALIVE_WITHIN
