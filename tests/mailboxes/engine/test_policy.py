"""What follows a failure, by its class, its number and its duration."""

from datetime import UTC, datetime, timedelta

import pytest

from emailsync.mail import errors
from mailboxes.engine import policy
from mailboxes.engine.policy import Disable, RetryIn, Streak

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
DELAY, LIMIT = timedelta(minutes=5), 10
BUSY, REFUSED = errors.ServerBusy("Busy."), errors.LoginRefused("No.")


def decide(
    error: errors.MailError, failures: int, lasted: timedelta | None = None, chance: float = 0.0
) -> RetryIn | Disable:
    """Ask what follows."""
    return policy.after_failure(
        error, failures=failures, delay=DELAY, limit=LIMIT, lasted=lasted, chance=lambda: chance
    )


def test_a_transient_failure_is_tried_again_five_minutes_later() -> None:
    assert decide(BUSY, 1) == RetryIn(DELAY, 1)


def test_delays_are_stretched_so_that_not_all_come_back_at_once() -> None:
    assert decide(BUSY, 1, chance=0.5) == RetryIn(timedelta(minutes=5, seconds=30), 1)


def test_a_failure_of_configuration_stops_at_once_under_its_code() -> None:
    assert decide(REFUSED, 1) == Disable("login_refused")


def test_the_eleventh_failure_after_long_enough_stops_under_the_same_code() -> None:
    assert decide(BUSY, 11, timedelta(minutes=50)) == Disable("server_busy")


def test_many_failures_in_a_short_time_stop_nothing() -> None:
    assert decide(BUSY, 30, timedelta(minutes=49)) == RetryIn(DELAY, 30)


def test_a_full_disk_of_ours_stops_nothing() -> None:
    assert decide(errors.SpoolFailed("Full."), 99, timedelta(days=9)) == RetryIn(DELAY, 99)


def counted(**more: object) -> Streak:
    """Count one more failure."""
    known = {"failures": 0, "before": 0, "since": None, "recovered_on": None, "now": NOW}
    return policy.counted(**known | more)  # type: ignore[arg-type]  # by name


def test_the_first_failure_begins_now() -> None:
    assert counted(since=NOW - timedelta(days=1)) == Streak(1, NOW)


def test_failures_in_a_row_count_from_the_first() -> None:
    since = NOW - timedelta(minutes=10)
    assert counted(failures=2, since=since) == Streak(3, since)


def test_a_recovery_that_does_not_last_counts_on() -> None:
    since = NOW - timedelta(minutes=20)
    again = counted(before=3, since=since, recovered_on=NOW - timedelta(minutes=4))
    assert again == Streak(4, since)


def test_a_recovery_that_lasts_is_believed() -> None:
    again = counted(before=3, since=NOW - timedelta(hours=1), recovered_on=NOW - timedelta(minutes=5))
    assert again == Streak(1, NOW)


@pytest.mark.parametrize(
    ("permanent", "tests", "expected"),
    [
        (False, 0, timedelta(minutes=5)),
        (False, 2, timedelta(minutes=20)),
        (False, 99, timedelta(hours=1)),
        (True, 0, timedelta(minutes=15)),
        (True, 3, timedelta(hours=2)),
        (True, 99, timedelta(hours=24)),
    ],
)
def test_a_stopped_direction_is_tested_more_and_more_seldom(
    permanent: bool,  # noqa: FBT001
    tests: int,
    expected: timedelta,
) -> None:
    assert policy.next_test(permanent=permanent, tests=tests, chance=lambda: 0.0) == expected
