"""Alerts in the words of their reader."""

from datetime import UTC, datetime

import pytest

from mailboxes.alerts import wall
from mailboxes.alerts.presenting import Presenter
from mailboxes.models import Alert, Mailbox

LATER = datetime(2031, 3, 9, 14, 30, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "words", "shown"),
    [
        ("folder_renumbered_often", {"times": 5, "next_on": LATER.isoformat()}, "from 14:30, Mar 9 on"),
        ("oauth_expiring", {"date": LATER.date().isoformat()}, "ends on Mar 9, 2031"),
    ],
)
def test_times_and_days_are_written_as_people_read_them(
    mailbox: Mailbox, now: datetime, kind: str, words: dict[str, object], shown: str
) -> None:
    wall.raise_alert(kind, now=now, mailbox=mailbox, words=words)
    said = Presenter().present(Alert.objects.select_related("environment").get())
    assert shown in f"{said.title} {said.text}"
