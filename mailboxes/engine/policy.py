"""What follows a failure. Pure decisions; the engine acts on them.

There are three classes of failure (`emailsync.mail.errors.OutcomeClass`). A transient one is tried again,
later and not all at the same moment; when it has failed too often *and* for too long, it stops the direction
under the same code. One of credentials or configuration stops it at once. One of a single message touches
nothing else. A direction that stopped is tested again all the same, more and more seldom: nothing stays
stopped for ever because of something that passed.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from emailsync.mail.errors import MailError, SpoolFailed

#: A direction that works again is believed to have recovered after so long; failing earlier counts on.
STABLE = timedelta(minutes=5)
#: Delays are stretched by up to this part, so that not all come back at the same moment.
JITTER = 0.2
#: The pause before a stopped direction is tested again: the first, doubled each time, and the longest.
AFTER_TRANSIENT = (timedelta(minutes=5), timedelta(hours=1))
AFTER_CONFIGURATION = (timedelta(minutes=15), timedelta(hours=24))

Chance = Callable[[], float]


@dataclass(frozen=True)
class RetryIn:
    """Try again after `delay`; `attempt` counts the failures in a row so far."""

    delay: timedelta
    attempt: int


@dataclass(frozen=True)
class Disable:
    """Stop the direction (or the message) until the cause is mended."""

    reason: str


@dataclass(frozen=True)
class Streak:
    """Failures in a row, and when the first of them was."""

    failures: int
    since: datetime


def counted(
    *,
    failures: int,
    before: int,
    since: datetime | None,
    recovered_on: datetime | None,
    now: datetime,
) -> Streak:
    """Count one more failure.

    `failures` have been met in a row since the last success. After one that did not last (`recovered_on`),
    those `before` it count on.
    """
    if not failures and recovered_on is not None and now - recovered_on < STABLE:
        failures = before
    elif not failures:
        since = None
    return Streak(failures + 1, since or now)


def after_failure(
    error: MailError,
    *,
    failures: int,
    delay: timedelta,
    limit: int,
    lasted: timedelta | None = None,
    chance: Chance = random.random,
) -> RetryIn | Disable:
    """Decide after the failure number `failures` in a row (the first is 1).

    Permanent errors disable at once. Transient ones are retried `limit` times, `delay` apart, and then count
    as permanent under the same code; where it is known how long they have `lasted`, not before that many
    delays have passed: somebody who tries again and again by hand uses nothing up. A full disk of ours is
    nobody's fault but ours: it is waited for.
    """
    pause = _stretched(delay, chance)
    if isinstance(error, SpoolFailed):
        return RetryIn(delay=pause, attempt=failures)
    is_over = failures > limit and (lasted is None or lasted >= limit * delay)
    if error.permanent or is_over:
        return Disable(reason=error.code)
    return RetryIn(delay=pause, attempt=failures)


def next_test(*, permanent: bool, tests: int, chance: Chance = random.random) -> timedelta:
    """Return how long a stopped direction waits for its next test, after so many `tests` since it stopped."""
    first, longest = AFTER_CONFIGURATION if permanent else AFTER_TRANSIENT
    return _stretched(min(first * 2 ** min(tests, 10), longest), chance)


def _stretched(delay: timedelta, chance: Chance) -> timedelta:
    return delay * (1 + JITTER * chance())
