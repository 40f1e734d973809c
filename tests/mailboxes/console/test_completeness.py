"""The tab Completeness."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailboxes.models import Mailbox, Reconciliation, WorkerState
from tests.mailboxes.emails.world import environment, mailbox, profile, queue_fast, reader, rosa

__all__ = ["environment", "mailbox", "profile", "queue_fast", "reader", "rosa"]


@pytest.fixture
def url(mailbox: Mailbox) -> str:
    return reverse("mailboxes:mailbox_completeness", args=["contoso", mailbox.pk])


def test_before_the_first_count_the_tab_says_when_it_comes(reader: Client, url: str) -> None:
    assert "once a day" in reader.get(url).content.decode()


def test_a_balanced_count_is_shown_line_by_line(reader: Client, url: str) -> None:
    later = timezone.now() + timedelta(days=1)
    Reconciliation.objects.update(
        due_on=later, counted_on=later, on_server=9, outcomes={"stored": 7, "duplicate": 2}
    )
    page = reader.get(url).content.decode()
    assert "Every message on the server is accounted for." in page
    assert "Duplicate of a stored message" in page
    assert "every 2s" not in page


def test_a_gap_is_named(reader: Client, url: str) -> None:
    now = timezone.now()
    Reconciliation.objects.update(due_on=now, counted_on=now, on_server=3, missed=2)
    assert "2 messages should have been read and were not." in reader.get(url).content.decode()


def test_count_now_makes_the_count_and_the_run_due_and_the_tab_asks_for_it(
    reader: Client, url: str, mailbox: Mailbox
) -> None:
    page = reader.post(url, headers={"HX-Request": "true"}).content.decode()
    assert 'hx-trigger="every 2s"' in page
    now = timezone.now()
    assert Reconciliation.objects.get().due_on <= now  # type: ignore[operator]
    assert WorkerState.objects.get(mailbox=mailbox, direction="incoming").due_at <= now  # type: ignore[operator]


def test_without_script_the_page_comes_back(reader: Client, url: str) -> None:
    assert reader.post(url).status_code == 302


def test_a_mailbox_that_does_not_receive_is_not_counted(reader: Client, url: str) -> None:
    WorkerState.objects.update(is_enabled=False)
    answer = reader.post(url, follow=True).content.decode()
    assert "Run Test &amp; Enable first" in answer
    assert Reconciliation.objects.get().due_on is None
