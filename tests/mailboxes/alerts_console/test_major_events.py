"""The email to the owner of a profile when most of its mailboxes fail: once, and when it is over."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core.mail import EmailMessage
from django.utils import timezone

from mailboxes.alerts import wall
from mailboxes.engine import major_events
from mailboxes.models import Mailbox, WorkerState
from mailboxes.services import editing
from profiles.models import ServerProfile

GONE = wall.Cause("imap.contoso.example:993 does not answer.", "Check the firewall.", "timed_out")


@pytest.fixture
def boxes(mailbox: Mailbox, django_user_model: type[User]) -> list[Mailbox]:
    """Give the four mailboxes of a profile whose owner wants to be told."""
    olga = django_user_model.objects.create_user("olga", "olga@contoso.example")
    ServerProfile.objects.update(owner=olga, alert_owner_on_major_events=True)
    fields = {"environment": mailbox.environment, "server_profile": mailbox.server_profile}
    for n in range(3):
        editing.create(Mailbox(name=f"Box {n}", address=f"box{n}@contoso.example", **fields), by=None)
    return list(Mailbox.objects.select_related("server_profile__owner", "environment").order_by("name"))


def fail(mailbox: Mailbox) -> None:
    now = timezone.now()
    states = WorkerState.objects.filter(mailbox=mailbox, direction="incoming")
    states.update(status="failure", is_enabled=False, last_error_code="timed_out", last_error_on=now)
    major_events.look(mailbox, GONE, now=now)


def mend(mailbox: Mailbox) -> None:
    WorkerState.objects.filter(mailbox=mailbox).update(status="success", transient_failures=0)
    major_events.look_again(mailbox, now=timezone.now())


def test_more_than_half_of_the_mailboxes_make_one_email(
    boxes: list[Mailbox], mailoutbox: list[EmailMessage]
) -> None:
    fail(boxes[0])
    fail(boxes[1])
    assert not mailoutbox
    fail(boxes[2])
    fail(boxes[3])
    [sent] = mailoutbox
    assert sent.to == ["olga@contoso.example"]
    assert "3 of 4 mailboxes" in sent.body
    assert "does not answer" in sent.body
    assert "Check the firewall." in sent.body
    assert f"/server-profiles/{boxes[0].server_profile_id}/alerts/" in sent.body


def test_the_end_of_the_event_is_told_once(boxes: list[Mailbox], mailoutbox: list[EmailMessage]) -> None:
    for each in boxes:
        fail(each)
    mend(boxes[0])
    assert len(mailoutbox) == 1
    mend(boxes[1])
    mend(boxes[2])
    assert [sent.subject for sent in mailoutbox] == [
        "Most mailboxes of Contoso IMAP fail",
        "Most mailboxes of Contoso IMAP work again",
    ]


@pytest.mark.parametrize("state", [{"transient_failures": 1}, {"last_error_on": None}])
def test_a_single_failure_in_between_and_an_old_one_are_no_event(
    boxes: list[Mailbox], mailoutbox: list[EmailMessage], state: dict[str, object]
) -> None:
    old = timezone.now() - timedelta(hours=2)
    changes = {"status": "success", "last_error_on": timezone.now(), **state}
    if state.get("last_error_on", "") is None:
        changes = {"status": "failure", "last_error_on": old}
    WorkerState.objects.update(**changes)
    major_events.look(boxes[0], GONE, now=timezone.now())
    assert not mailoutbox


def test_an_owner_who_does_not_want_it_gets_none(
    boxes: list[Mailbox], mailoutbox: list[EmailMessage], tell: Callable[..., object]
) -> None:
    ServerProfile.objects.update(alert_owner_on_major_events=False)
    for each in Mailbox.objects.select_related("server_profile"):
        fail(each)
    assert not mailoutbox
