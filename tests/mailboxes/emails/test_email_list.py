"""The Emails tab: received and sent mail in one list."""

from datetime import datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from mailboxes.choices import OutgoingStatus
from mailboxes.models import Mailbox
from tests.mailboxes.emails.world import PLAIN, Receive, outgoing

HTMX = {"HX-Request": "true"}


@pytest.fixture
def url(mailbox: Mailbox) -> str:
    """Give the address of the tab."""
    return reverse("mailboxes:mailbox_emails", args=["contoso", mailbox.pk])


def subjects(client: Client, url: str) -> list[str]:
    return [row.subject for row in client.get(url).context["listing"].rows]


def test_received_and_sent_mail_stand_in_one_list_by_time(
    reader: Client, url: str, mailbox: Mailbox, receive: Receive, now: datetime
) -> None:
    receive(subject="first", received_at=now)
    outgoing(mailbox, now=now + timedelta(minutes=1), subject="second")
    receive(subject="third", received_at=now + timedelta(minutes=2))
    assert subjects(reader, url) == ["third", "second", "first"]


def test_the_order_can_be_turned_round(
    reader: Client, url: str, mailbox: Mailbox, receive: Receive, now: datetime
) -> None:
    receive(subject="first", received_at=now)
    outgoing(mailbox, now=now + timedelta(minutes=1), subject="second")
    assert subjects(reader, f"{url}?sort=date") == ["first", "second"]


def test_pages_go_on_where_the_last_one_ended(
    reader: Client, url: str, mailbox: Mailbox, receive: Receive, now: datetime
) -> None:
    wanted = []
    for number in range(20):
        receive(subject=f"in {number}", received_at=now - timedelta(minutes=2 * number))
        outgoing(mailbox, now=now - timedelta(minutes=2 * number + 1), number=number, subject=f"out {number}")
        wanted += [f"in {number}", f"out {number}"]
    first = reader.get(url).context["listing"]
    second = reader.get(first.next_url).context["listing"]
    assert [row.subject for row in [*first.rows, *second.rows]] == wanted
    assert reader.get(second.previous_url).context["listing"].rows == first.rows


@pytest.mark.parametrize(
    ("facet", "wanted"),
    [
        ("", ["in", "waiting", "sending", "sent", "failed", "unsure"]),
        ("incoming", ["in"]),
        ("outgoing", ["waiting", "sending", "sent", "failed", "unsure"]),
        ("pending", ["waiting", "sending"]),
        ("failed", ["failed", "unsure"]),
    ],
)
def test_a_facet_leaves_what_it_says(
    reader: Client, url: str, mailbox: Mailbox, receive: Receive, now: datetime, facet: str, wanted: list[str]
) -> None:
    receive(subject="in", received_at=now)
    states = {
        "waiting": OutgoingStatus.PENDING_SEND,
        "sending": OutgoingStatus.SENDING,
        "sent": OutgoingStatus.SENT,
        "failed": OutgoingStatus.FAILED,
        "unsure": OutgoingStatus.UNCERTAIN,
    }
    for number, (subject, status) in enumerate(states.items(), start=1):
        outgoing(
            mailbox,
            now=now - timedelta(minutes=number),
            number=number,
            subject=subject,
            status=status,
            sent_at=now if status == OutgoingStatus.SENT else None,
        )
    page = reader.get(url, {"facet": facet})
    listing = page.context["listing"]
    assert [row.subject for row in listing.rows] == wanted
    assert [choice.count for choice in listing.facet_choices] == [6, 1, 5, 2, 2, 0, 0]


@pytest.mark.parametrize(
    "words",
    ["20418", "ana bowman", "NORTHPEAK", "jo@contoso", "max@contoso invoice", "find the inv"],
)
def test_received_mail_is_found_by_subject_sender_and_recipients(
    reader: Client, url: str, receive: Receive, words: str
) -> None:
    receive()
    receive(
        PLAIN.replace(b"Invoice 20418", b"Hello").replace(b"Ana Bowman <ana@northpeak", b"<eve@fjordline"),
        subject="x",
    )
    assert "Invoice 20418" in subjects(reader, f"{url}?q={words}")


@pytest.mark.parametrize("words", ["confirmation", "jo@fjordline", "Mercer order", "Müller"])
def test_outgoing_mail_is_found_by_subject_and_recipients(
    reader: Client, url: str, mailbox: Mailbox, now: datetime, words: str
) -> None:
    outgoing(mailbox, now=now, cc=["Max Müller <max@fjordline.example>"])
    outgoing(mailbox, now=now, number=2, subject="Other", to=["eve@bluefern.example"])
    assert subjects(reader, f"{url}?q={words}") == ["Order confirmation"]


def test_mail_of_other_mailboxes_is_not_shown(
    reader: Client, url: str, mailbox: Mailbox, receive: Receive
) -> None:
    other = Mailbox.objects.create(
        environment=mailbox.environment, name="Other", address="other@contoso.example"
    )
    receive(mailbox=other)
    assert subjects(reader, url) == []


@pytest.mark.parametrize(
    ("state", "shown"),
    [("", "3+ 2+ 1 1 0 0 2+"), ("q=invoice", "1+ 1+ 0 0 0 0 1+"), ("q=other", "1 0 1 1 0 0 0")],
)
def test_numbers_of_facets_tell_that_there_are_older_emails(
    reader: Client,
    url: str,
    mailbox: Mailbox,
    receive: Receive,
    now: datetime,
    monkeypatch: pytest.MonkeyPatch,
    state: str,
    shown: str,
) -> None:
    monkeypatch.setattr("mailboxes.views.email_listing.COUNTED", 2)
    monkeypatch.setattr("mailboxes.views.email_listing.COUNTED_BY_SEARCH", 1)
    for number in range(3):
        receive(subject=f"Invoice {number}", is_quarantined=True)
    outgoing(mailbox, now=now, number=1, subject="Other", status=OutgoingStatus.PENDING_SEND)
    choices = reader.get(f"{url}?{state}").context["listing"].facet_choices
    assert " ".join(f"{each.count}{'+' if each.is_more else ''}" for each in choices) == shown


def test_a_list_asks_as_many_questions_for_fifty_emails_as_for_two(
    reader: Client,
    url: str,
    mailbox: Mailbox,
    receive: Receive,
    now: datetime,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    for number in range(50):
        receive()
        outgoing(mailbox, now=now, number=number)
    # session, user, environment, mailbox, its alerts; received and sent, their conversations, two counts
    with django_assert_max_num_queries(12):
        reader.get(f"{url}?q=invoice")


def test_news_are_sent_only_when_there_are_some(reader: Client, url: str, receive: Receive) -> None:
    receive()
    seen = reader.get(url).context["listing"].signature
    assert reader.get(url, {"seen": seen}, headers=HTMX).status_code == 204
    receive(subject="Something new")
    answer = reader.get(url, {"seen": seen}, headers=HTMX)
    assert "Something new" in answer.content.decode()
    assert "<html" not in answer.content.decode()


def test_a_changed_status_is_news(reader: Client, url: str, mailbox: Mailbox, now: datetime) -> None:
    message = outgoing(mailbox, now=now)
    seen = reader.get(url).context["listing"].signature
    type(message).objects.update(status=OutgoingStatus.SENDING)
    assert reader.get(url, {"seen": seen}, headers=HTMX).status_code == 200


def test_an_empty_mailbox_says_what_comes_next(reader: Client, url: str) -> None:
    assert "No emails yet" in reader.get(url).content.decode()


def test_strangers_are_asked_to_sign_in(url: str) -> None:
    assert Client().get(url).status_code == 302


def test_markup_in_a_subject_is_shown_as_text(reader: Client, url: str, receive: Receive) -> None:
    receive(subject="<img src=x onerror=alert(1)>", from_name="<script>alert(1)</script>")
    page = reader.get(url).content.decode()
    assert "&lt;img src=x" in page
    assert "<script>alert" not in page
