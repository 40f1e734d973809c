"""What follows a failure. Pure decisions; the engine acts on them."""

from dataclasses import dataclass
from datetime import timedelta

from emailsync.mail.errors import MailError, SpoolFailed


@dataclass(frozen=True)
class RetryIn:
    """Try again after `delay`; `attempt` counts the failures in a row so far."""

    delay: timedelta
    attempt: int


@dataclass(frozen=True)
class Disable:
    """Stop the direction (or the message) until a person has mended the cause."""

    reason: str


def after_failure(error: MailError, *, failures: int, delay: timedelta, limit: int) -> RetryIn | Disable:
    """Decide after the failure number `failures` in a row (the first is 1).

    Permanent errors disable at once; transient ones are retried `limit` times, `delay` apart, and then
    count as permanent under the same code. A full disk of ours is nobody's fault but ours: it is waited for.
    """
    if isinstance(error, SpoolFailed):
        return RetryIn(delay=delay, attempt=failures)
    if error.permanent or failures > limit:
        return Disable(reason=error.code)
    return RetryIn(delay=delay, attempt=failures)
