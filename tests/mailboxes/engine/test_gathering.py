"""Messages taken from a server many at a time."""

from collections.abc import Iterator
from datetime import UTC, datetime
from unittest import mock

import pytest

from emailsync.mail.errors import ConnectionLost
from emailsync.mail.incoming import FetchedMessage, RawBody
from mailboxes.engine import reading


def arriving(asked: list[int], *, lost_after: int = 5) -> Iterator[FetchedMessage]:
    """Yield messages, noting each that was asked for, until the connection is lost."""
    for uid in range(lost_after):
        asked.append(uid)
        yield FetchedMessage(uid, datetime(2026, 1, 1, tzinfo=UTC), 3, RawBody(b"abc"))
    raise ConnectionLost("The server closed the connection.")


@pytest.mark.parametrize(
    ("limit", "value", "taken"),
    [
        ("GATHERED_MESSAGES", 3, 3),
        ("GATHERED_BYTES", 6, 2),
        ("GATHERED_SECONDS", -1.0, 1),
        ("GATHERED_SECONDS", 60.0, 5),
    ],
)
def test_so_many_are_taken_before_the_first_is_handed_on(limit: str, value: float, taken: int) -> None:
    asked: list[int] = []
    with mock.patch.object(reading, limit, value):
        assert next(reading.gathered(arriving(asked))).uid == 0
    assert len(asked) == taken


def test_what_came_before_a_failure_is_handed_on_before_it() -> None:
    handed = reading.gathered(arriving([]))
    assert [next(handed).uid for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ConnectionLost):
        next(handed)


def test_what_nobody_takes_any_more_is_closed() -> None:
    bodies = [mock.create_autospec(RawBody, instance=True, size=1) for _ in range(3)]
    now = datetime(2026, 1, 1, tzinfo=UTC)
    handed = reading.gathered(FetchedMessage(uid, now, 1, body) for uid, body in enumerate(bodies))
    assert next(handed).uid == 0
    handed.close()
    assert [body.close.called for body in bodies] == [False, True, True]
