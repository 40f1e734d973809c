"""The Emails of an environment: whose mail is shown, filters, conversations, commands on many."""

import time
import uuid
from datetime import datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from mailboxes import searching
from mailboxes.choices import OutgoingStatus, Reason
from mailboxes.models import Mailbox, Message, OutgoingMessage
from profiles.choices import Role
from profiles.models import Environment, Membership
from tests.mailboxes.emails.world import PLAIN, Receive, outgoing

HTMX = {"HX-Request": "true"}


@pytest.fixture
def url(environment: Environment) -> str:
    """Give the address of the list."""
    return reverse("mailboxes:environment_emails", args=["contoso"])


@pytest.fixture
def other(mailbox: Mailbox) -> Mailbox:
    """Give another mailbox of the environment, which nobody owns."""
    return Mailbox.objects.create(
        environment=mailbox.environment, name="Support", address="support@contoso.example"
    )


def signed_in_as(environment: Environment, role: str, **options: bool) -> tuple[User, Client]:
    user = User.objects.create_user(f"person-{role}")
    Membership.objects.create(environment=environment, user=user, role=role, **options)
    client = Client()
    client.force_login(user)
    return user, client


def subjects(client: Client, url: str) -> list[str]:
    return [row.subject for row in client.get(url).context["listing"].rows]


def test_mail_of_all_mailboxes_stands_in_one_list(
    reader: Client, url: str, mailbox: Mailbox, other: Mailbox, receive: Receive, now: datetime
) -> None:
    receive(subject="first")
    receive(subject="third", mailbox=other, received_at=now + timedelta(minutes=2))
    outgoing(other, now=now + timedelta(minutes=1), subject="second")
    assert subjects(reader, url) == ["third", "second", "first"]


def test_a_member_sees_the_mail_of_their_own_mailboxes_only(
    url: str, mailbox: Mailbox, other: Mailbox, receive: Receive
) -> None:
    member, client = signed_in_as(mailbox.environment, Role.MEMBER)
    Mailbox.objects.filter(pk=other.pk).update(owner=member)
    receive(subject="theirs", conversation=uuid.UUID(int=1))
    receive(subject="mine", mailbox=other, conversation=uuid.UUID(int=1))
    [row] = client.get(url).context["listing"].rows
    assert (row.subject, row.in_conversation) == ("mine", 1)


def test_an_administrator_without_mail_permission_sees_no_subject_of_others(
    url: str, mailbox: Mailbox, receive: Receive
) -> None:
    _user, client = signed_in_as(mailbox.environment, Role.SYSTEM_ADMINISTRATOR)
    receive()
    assert subjects(client, url) == []


def test_to_strangers_there_is_no_such_list(db: None, url: str, environment: Environment) -> None:
    client = Client()
    client.force_login(User.objects.create_user("stranger"))
    assert client.get(url).status_code == 404


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("mailbox=support", ["of support"]),
        ("status=quarantined", ["broken"]),
        ("status=oversize", ["large"]),
        ("status=failed", ["failed"]),
        ("kept=reply", ["an answer"]),
        ("files=1", ["with files"]),
        ("since=2026-11-24", ["of support"]),
        ("until=2026-11-20", ["an answer"]),
        ("facet=quarantined", ["broken"]),
        ("since=nonsense&status=x&kept=x&after=1-2&before=0-0-99999999999999999999", None),
    ],
)
def test_filters_leave_what_they_say(
    reader: Client,
    url: str,
    mailbox: Mailbox,
    other: Mailbox,
    receive: Receive,
    now: datetime,
    words: str,
    wanted: list[str] | None,
) -> None:
    receive(subject="of support", mailbox=other, received_at=now + timedelta(days=2))
    receive(subject="broken", is_quarantined=True)
    receive(subject="large", is_header_only=True)
    receive(subject="an answer", kept_because=Reason.REPLY, received_at=now - timedelta(days=5))
    receive(subject="with files", attachment_count=2)
    outgoing(mailbox, now=now, subject="failed", status=OutgoingStatus.FAILED)
    found = subjects(reader, f"{url}?{words}")
    assert found == wanted if wanted else len(found) == 6


def test_equal_times_lose_nothing_between_pages(
    reader: Client, url: str, mailbox: Mailbox, receive: Receive, now: datetime
) -> None:
    for number in range(20):
        receive(subject=f"in {number}")
        outgoing(mailbox, now=now, number=number, subject=f"out {number}")
    first = reader.get(url).context["listing"]
    second = reader.get(first.next_url).context["listing"]
    found = {row.key for row in [*first.rows, *second.rows]}
    assert (len(first.rows), len(found), second.next_url) == (25, 40, "")


def test_the_list_asks_as_many_questions_for_a_full_page_as_for_two(
    reader: Client,
    url: str,
    mailbox: Mailbox,
    other: Mailbox,
    receive: Receive,
    now: datetime,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    for number in range(20):
        receive(mailbox=other, conversation=uuid.UUID(int=number % 3))
        outgoing(mailbox, now=now, number=number, conversation=uuid.UUID(int=number % 3))
    # session, user, environment; what is rare, received and sent, and the conversations of both
    with django_assert_max_num_queries(10):
        assert reader.get(f"{url}?q=example").context["listing"].rows[0].in_conversation > 1


def test_words_are_found_before_and_after_they_are_indexed(
    reader: Client, url: str, receive: Receive
) -> None:
    receive(PLAIN.replace(b"Regards", b"M\xc3\xb6bel"))
    before = subjects(reader, f"{url}?q=mobel invoice")
    searching.catch_up()
    assert before == subjects(reader, f"{url}?q=MÖBEL inv") == ["Invoice 20418"]
    assert subjects(reader, f"{url}?q=nvoice") == subjects(reader, f"{url}?q=%26|!:*") == []


def test_a_conversation_shows_both_ways_in_order_and_opens_the_newest(
    reader: Client, mailbox: Mailbox, other: Mailbox, receive: Receive, now: datetime
) -> None:
    number = uuid.uuid4()
    receive(conversation=number)
    outgoing(mailbox, now=now + timedelta(minutes=1), conversation=number, subject="Re: Invoice 20418")
    receive(mailbox=other, conversation=number, received_at=now + timedelta(minutes=2))
    page = reader.get(reverse("mailboxes:conversation", args=["contoso", number]))
    assert [turn.direction for turn in page.context["turns"]] == ["incoming", "outgoing", "incoming"]
    assert page.context["subject"] == "Invoice 20418"
    assert page.context["newest"] == page.context["turns"][-1]
    assert "Regards, Ana" in page.content.decode()


def test_a_conversation_among_others_does_not_exist(
    mailbox: Mailbox, other: Mailbox, receive: Receive
) -> None:
    member, client = signed_in_as(mailbox.environment, Role.MEMBER)
    Mailbox.objects.filter(pk=other.pk).update(owner=member)
    receive(conversation=uuid.UUID(int=5))
    url = reverse("mailboxes:conversation", args=["contoso", uuid.UUID(int=5)])
    assert client.get(url).status_code == 404


def statuses() -> list[str]:
    return list(OutgoingMessage.objects.order_by("pk").values_list("status", flat=True))


def test_many_are_canceled_and_sent_again_and_what_was_left_is_named(
    reader: Client, mailbox: Mailbox, now: datetime
) -> None:
    url = reverse("mailboxes:emails_command", args=["contoso"])
    waits = outgoing(mailbox, now=now)
    unsure = outgoing(mailbox, now=now, number=2, subject="Unsure", status=OutgoingStatus.UNCERTAIN)
    ids = [f"out-{waits.pk}", f"out-{unsure.pk}", "in-1", "out-x"]
    reader.post(url, {"action": "cancel", "ids": ids})
    assert statuses() == ["canceled", "uncertain"]
    answer = reader.post(url, {"action": "send_again", "ids": ids}, headers=HTMX)
    assert statuses() == ["pending_send", "uncertain"]
    assert "Unsure" in answer.headers["HX-Trigger"]


@pytest.mark.parametrize("back", ["//evil.example", "/\\\\evil.example", "https://evil.example", ""])
def test_a_command_leads_back_to_this_console_only(
    reader: Client, mailbox: Mailbox, now: datetime, back: str
) -> None:
    url = reverse("mailboxes:emails_command", args=["contoso"])
    ids = [f"out-{outgoing(mailbox, now=now).pk}"]
    answer = reader.post(url, {"action": "cancel", "ids": ids, "back": back})
    assert answer.headers["Location"] == reverse("mailboxes:environment_emails", args=["contoso"])


def test_mail_of_others_can_not_be_canceled(mailbox: Mailbox, now: datetime) -> None:
    _user, client = signed_in_as(mailbox.environment, Role.MEMBER)
    message = outgoing(mailbox, now=now)
    answer = client.post(
        reverse("mailboxes:emails_command", args=["contoso"]),
        {"action": "cancel", "ids": [f"out-{message.pk}"]},
        headers=HTMX,
    )
    assert statuses() == ["pending_send"]
    assert "Order confirmation" not in answer.headers["HX-Trigger"]


def test_new_email_asks_for_the_mailbox_to_send_from(
    reader: Client, mailbox: Mailbox, other: Mailbox
) -> None:
    page = reader.get(reverse("mailboxes:environment_email_create", args=["contoso"]) + "?q=supp")
    assert [one.name for one in page.context["mailboxes"]] == ["Support"]


def test_the_message_page_says_why_it_was_kept_and_what_it_answers(
    reader: Client, mailbox: Mailbox, receive: Receive, now: datetime
) -> None:
    asked = outgoing(mailbox, now=now, subject="Our question")
    message = receive(kept_because=Reason.REPLY, correlation="in_reply_to", correlated_with_outgoing=asked)
    message.attachments.create(
        position=0, filename="run.exe", content_type="x/y", size=1, is_blocked=True, blocked_because="type"
    )
    words = [mailbox.environment.slug, mailbox.pk, message.pk]
    page = reader.get(reverse("mailboxes:message_detail", args=words)).content.decode()
    assert "It answers a tracked email" in page
    assert "Our question" in page
    assert "Blocked: Files of this type are blocked." in page
    assert reader.get(reverse("mailboxes:message_attachment", args=[*words, 0])).status_code == 403


def test_pictures_on_other_servers_are_shown_when_asked_for(reader: Client, receive: Receive) -> None:
    html = PLAIN.replace(b"text/plain", b"text/html").replace(
        b"Please", b'<img src="https://a.example/x.png"> Please'
    )
    message: Message = receive(html)
    words = ["contoso", message.mailbox_id, message.pk]
    off = reader.get(reverse("mailboxes:message_html", args=words))
    on = reader.get(reverse("mailboxes:message_html_with_images", args=words))
    assert "a.example" not in off.content.decode()
    assert "https:" not in off.headers["Content-Security-Policy"]
    assert 'src="https://a.example/x.png"' in on.content.decode()
    assert "img-src data: https: http:" in on.headers["Content-Security-Policy"]
    assert "script-src 'none'" in on.headers["Content-Security-Policy"]


def test_a_run_of_accents_is_searched_like_any_other_letters() -> None:
    started = time.process_time()
    assert searching.words("Café", ["a" + "\u0345" * 30_000 + "\u0316" * 30_000], "") == " cafe a"
    assert time.process_time() - started < 1
