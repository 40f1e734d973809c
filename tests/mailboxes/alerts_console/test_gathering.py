"""One outage is told once: alerts of mailboxes that fail alike stand under one alert of their profile."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from mailboxes.alerts import wall
from mailboxes.models import Alert, Mailbox
from mailboxes.services import editing
from mailboxes.services import wall as walls
from profiles.models import EmailSettings, ServerProfile

HTMX = {"HX-Request": "true"}
GONE = wall.Cause("imap.contoso.example:993 does not answer.", "Check the firewall.", "timed_out")
Others = Callable[[int], list[Mailbox]]


@pytest.fixture
def others(mailbox: Mailbox) -> Others:
    """Give a function that makes more mailboxes of the same profile."""

    def make(number: int) -> list[Mailbox]:
        fields = {"environment": mailbox.environment, "server_profile": mailbox.server_profile}
        return [
            editing.create(Mailbox(name=f"Box {n}", address=f"box{n}@contoso.example", **fields), by=None)
            for n in range(number)
        ]

    return make


@pytest.fixture
def fail(now: datetime) -> Callable[..., None]:
    """Give a function that has mailboxes fail for one reason."""

    def fail_all(*mailboxes: Mailbox, kind: str = "incoming_retrying", cause: wall.Cause = GONE) -> None:
        for each in mailboxes:
            wall.raise_alert(kind, now=now, mailbox=each, cause=cause)

    return fail_all


def on_environment(mailbox: Mailbox) -> list[str]:
    return list(walls.of_environment(mailbox.environment).open().values_list("kind", flat=True))


def test_one_failing_mailbox_speaks_for_itself(mailbox: Mailbox, fail: Callable[..., None]) -> None:
    fail(mailbox)
    fail(mailbox)
    assert on_environment(mailbox) == ["incoming_retrying"]


def test_five_hundred_failing_alike_are_one_alert(
    reader: Client, mailbox: Mailbox, others: Others, fail: Callable[..., None]
) -> None:
    fail(mailbox, *others(30))
    assert on_environment(mailbox) == ["incoming_retrying_together"]
    url = reverse("mailboxes:environment_alerts", args=["contoso"])
    assert (
        "Incoming email of 31 mailboxes of Contoso IMAP will be tried again"
        in reader.get(url).content.decode()
    )


def test_the_mailboxes_own_wall_still_shows_its_alert(
    reader: Client, mailbox: Mailbox, others: Others, fail: Callable[..., None]
) -> None:
    fail(mailbox, *others(2))
    page = reader.get(reverse("mailboxes:mailbox_alerts", args=["contoso", mailbox.pk])).content.decode()
    assert "Incoming email for Billing will be tried again" in page


def test_other_causes_and_other_profiles_stay_apart(
    mailbox: Mailbox, others: Others, fail: Callable[..., None]
) -> None:
    first, second = others(2)
    elsewhere = ServerProfile.objects.create(
        environment=mailbox.environment, name="Other", incoming_location="a", outgoing_location="b"
    )
    second.server_profile = elsewhere
    fail(mailbox, second)
    fail(first, cause=wall.Cause("Refused.", code="login_refused"))
    fail(first, kind="outgoing_retrying")
    assert sorted(on_environment(mailbox)) == ["incoming_retrying"] * 3 + ["outgoing_retrying"]


def test_the_last_mailbox_to_recover_resolves_the_outage(
    mailbox: Mailbox, others: Others, fail: Callable[..., None], now: datetime
) -> None:
    [other] = others(1)
    fail(mailbox, other)
    wall.resolve_direction(mailbox, "incoming", now=now)
    assert on_environment(mailbox) == ["incoming_retrying_together"]
    assert walls.members_of(Alert.objects.filter(mailbox=None)).popitem()[1] == walls.Members(open=1, all=2)
    wall.resolve_direction(other, "incoming", now=now)
    assert not Alert.objects.open().exists()


def test_a_mailbox_that_was_alone_leaves_nothing_behind(
    mailbox: Mailbox, fail: Callable[..., None], now: datetime
) -> None:
    fail(mailbox)
    wall.resolve_direction(mailbox, "incoming", now=now)
    assert list(Alert.objects.values_list("kind", "is_folded")) == [("incoming_retrying", False)]


def test_the_profiles_own_alert_takes_the_mailboxes_under_it(
    mailbox: Mailbox, profile: ServerProfile, others: Others, fail: Callable[..., None], now: datetime
) -> None:
    [other] = others(1)
    for each in (mailbox, other):
        fail(each, kind="incoming_stopped")
        wall.raise_alert("profile_failing", now=now, profile=profile, cause=GONE, about="timed_out:incoming")
    assert on_environment(mailbox) == ["profile_failing"]
    wall.resolve_direction(mailbox, "incoming", now=now)
    assert on_environment(mailbox) == ["profile_failing"]
    wall.resolve_direction(other, "incoming", now=now)
    assert on_environment(mailbox) == []


def test_deleting_the_outage_takes_its_mailboxes_along(
    reader: Client, mailbox: Mailbox, others: Others, fail: Callable[..., None]
) -> None:
    fail(mailbox, *others(3))
    outage = Alert.objects.get(mailbox=None)
    reader.post("/alerts/delete/", {"environment": "contoso", "alert": outage.pk})
    assert not Alert.objects.exists()


def test_the_owner_of_mailbox_and_profile_sees_the_outage_once(
    rosa: User, mailbox: Mailbox, others: Others, fail: Callable[..., None]
) -> None:
    EmailSettings.objects.update_or_create(environment=mailbox.environment)
    Mailbox.objects.update(owner=rosa)
    ServerProfile.objects.update(owner=rosa)
    fail(mailbox, *others(1), kind="incoming_stopped")
    assert list(walls.of_person(rosa).values_list("kind", flat=True)) == ["incoming_failing_together"]
    ServerProfile.objects.update(owner=None)
    assert list(walls.of_person(rosa).values_list("kind", flat=True)) == ["incoming_stopped"]


def test_the_mailboxes_of_an_outage_are_listed_a_page_at_a_time(
    reader: Client,
    mailbox: Mailbox,
    others: Others,
    fail: Callable[..., None],
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    fail(mailbox, *others(24))
    url = reverse("mailboxes:alert_members", args=[Alert.objects.get(mailbox=None).pk])
    with django_assert_max_num_queries(6):
        part = reader.get(url, headers=HTMX).content.decode()
    assert part.count("Open mailbox") + part.count("/mailboxes/") >= 20
    assert "and 5 more" in part
    assert "and" not in reader.get(f"{url}?after=20", headers=HTMX).content.decode().split("members")[1][:40]


def test_a_level_switched_off_writes_nothing_not_even_the_outage(
    mailbox: Mailbox, others: Others, fail: Callable[..., None]
) -> None:
    EmailSettings.objects.update_or_create(
        environment=mailbox.environment, defaults={"alert_warnings": False}
    )
    fail(mailbox, *others(2))
    assert not Alert.objects.exists()


def test_read_alerts_no_longer_count_on_the_bell_of_their_reader(
    reader: Client, rosa: User, mailbox: Mailbox, fail: Callable[..., None]
) -> None:
    Mailbox.objects.update(owner=rosa)
    fail(mailbox)
    assert walls.unread_count(rosa) == 1
    reader.post("/alerts/read/", {"alert": Alert.objects.get(is_folded=False).pk})
    assert walls.unread_count(rosa) == 0
    assert walls.of_person(rosa).open().count() == 1


def test_a_wall_without_news_answers_with_nothing_and_else_says_how_many(
    reader: Client, mailbox: Mailbox, fail: Callable[..., None], now: datetime
) -> None:
    url = reverse("mailboxes:mailbox_alerts", args=["contoso", mailbox.pk])
    news = reader.get(url).context["news_url"]
    assert reader.get(news, headers=HTMX).status_code == 204
    fail(mailbox)
    assert "1 new alert." in reader.get(news, headers=HTMX).content.decode()


def test_a_retry_is_told_in_the_zone_of_the_reader(reader: Client, mailbox: Mailbox, now: datetime) -> None:
    retry_at = now.replace(hour=10, minute=30)
    words = {"attempt": 1, "limit": 10, "retry_at": retry_at.isoformat()}
    wall.raise_alert("incoming_retrying", now=now, mailbox=mailbox, cause=GONE, words=words)
    reader.cookies["zone"] = "Asia/Kolkata"
    page = reader.get(reverse("mailboxes:mailbox_alerts", args=["contoso", mailbox.pk])).content.decode()
    assert "the next one starts at 16:00" in page


def test_subjects_are_for_those_who_may_read_the_email(
    mailbox: Mailbox, now: datetime, django_user_model: type[User]
) -> None:
    wall.raise_alert("email_failed", now=now, mailbox=mailbox, cause=GONE, words={"subject": "Layoffs"})
    olga = django_user_model.objects.create_user("olga")
    olga.memberships.create(environment=mailbox.environment, role="auditor")
    auditor = Client(SERVER_NAME="localhost")
    auditor.force_login(olga)
    url = reverse("mailboxes:environment_alerts", args=["contoso"])
    assert "“(hidden: you may not read" in auditor.get(url).content.decode()
    assert "An email from Billing" not in auditor.get(f"{url}?q=layoffs").content.decode()
    Mailbox.objects.update(owner=olga)
    assert "Layoffs" in auditor.get(url).content.decode()


def test_an_auditor_reads_alerts_and_deletes_none(
    mailbox: Mailbox, fail: Callable[..., None], django_user_model: type[User]
) -> None:
    fail(mailbox)
    olga = django_user_model.objects.create_user("olga")
    olga.memberships.create(environment=mailbox.environment, role="auditor")
    auditor = Client(SERVER_NAME="localhost")
    auditor.force_login(olga)
    page = auditor.get(reverse("mailboxes:environment_alerts", args=["contoso"])).content.decode()
    assert "will be tried again" in page
    assert "Delete all alerts" not in page
    alert = Alert.objects.get(is_folded=False)
    assert auditor.post("/alerts/delete/", {"environment": "contoso", "alert": alert.pk}).status_code == 403
    assert auditor.post("/alerts/delete/", {"all": "yes", "whose": "everybody"}).status_code == 302
    assert Alert.objects.filter(pk=alert.pk).exists()


def test_a_wall_of_many_days_is_shown_a_page_at_a_time(
    reader: Client, mailbox: Mailbox, now: datetime, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    fields = {
        "environment": mailbox.environment,
        "mailbox": mailbox,
        "kind": "incoming_stopped",
        "level": "error",
    }
    Alert.objects.bulk_create(
        Alert(
            **fields,
            key=str(n),
            first_seen_on=now,
            last_seen_on=now - timedelta(hours=n),
            resolved_on=now if n % 2 else None,
        )
        for n in range(400)
    )
    with django_assert_max_num_queries(9):
        page = reader.get(reverse("mailboxes:environment_alerts", args=["contoso"])).content.decode()
    assert "200 resolved" in page
    assert "Page 1 of 8" in page
