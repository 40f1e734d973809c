"""The alerts walls: what stands on them, and taking it down."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from mailboxes.engine import jobs, orders
from mailboxes.models import Alert, Job, Mailbox
from mailboxes.services import wall
from profiles.choices import Role
from profiles.models import Membership, ServerProfile

HTMX = {"HX-Request": "true"}
Tell = Callable[..., Alert]
DELETE = "/alerts/delete/"


@pytest.fixture
def url(mailbox: Mailbox) -> str:
    """Give the address of the mailbox's wall."""
    return reverse("mailboxes:mailbox_alerts", args=["contoso", mailbox.pk])


def shown(client: Client, url: str) -> str:
    return client.get(url).content.decode()


def kinds(client: Client, url: str) -> list[str]:
    return [alert.kind for alert in client.get(url).context["listing"].rows]


def test_a_card_says_what_happened_what_to_do_and_where(reader: Client, url: str, tell: Tell) -> None:
    tell(error_code="login_refused", details="535 5.7.8 no")
    page = shown(reader, url)
    assert "Outgoing email for Billing is stopped" in page
    assert "The server refused the sign-in." in page
    assert "<b>What to do:</b> Type the password again." in page
    assert "Open server profile" in page
    assert "Open server profile" in page
    assert "login_refused" in page
    assert "535 5.7.8 no" in page


def test_a_wrong_password_leads_to_where_it_is_entered(
    reader: Client, url: str, tell: Tell, mailbox: Mailbox
) -> None:
    tell("incoming_stopped", error_code="app_password_needed")
    assert f'<a href="{mailbox.get_absolute_url()}#id_user_name">Update credentials' in shown(reader, url)


def test_a_wrong_password_of_the_profile_does_not_lead_to_the_mailboxs_credentials(
    reader: Client, url: str, tell: Tell
) -> None:
    ServerProfile.objects.update(authentication_type="credentials_in_profile")
    tell("incoming_stopped", error_code="login_refused")
    assert "Update credentials" not in shown(reader, url)
    assert "Open server profile" in shown(reader, url)


def test_who_may_not_enter_credentials_is_led_to_the_mailbox(auditor: Client, url: str, tell: Tell) -> None:
    tell("incoming_stopped", error_code="login_refused")
    assert "Update credentials" not in shown(auditor, url)
    assert "Open mailbox" in shown(auditor, url)


def test_each_mailbox_that_an_alert_gathers_leads_to_its_own_credentials(
    reader: Client, tell: Tell, mailbox: Mailbox
) -> None:
    gathered = tell("profile_failing", mailbox=None)
    tell("incoming_stopped", error_code="login_refused", parent=gathered)
    page = shown(reader, reverse("mailboxes:alert_members", args=[gathered.pk]))
    assert f'<a href="{mailbox.get_absolute_url()}#id_user_name">Update credentials' in page


def test_repeats_are_counted_on_one_card(reader: Client, url: str, tell: Tell) -> None:
    tell(count=7, first_seen_on=timezone.now())
    page = re.sub(r"<time[^>]*>", "", shown(reader, url))
    assert "7 times since today, " in page


def test_resolved_alerts_are_folded_away_below_the_open_ones(
    reader: Client, url: str, tell: Tell, now: datetime
) -> None:
    tell("incoming_stopped", resolved_on=now)
    tell("outgoing_stopped")
    assert kinds(reader, url) == ["outgoing_stopped"]
    fold = shown(reader, url).split('<details class="fold">')[1]
    assert "1 resolved" in fold
    assert 'class="resolved"' in fold
    assert "What to do:" not in fold
    assert kinds(reader, f"{url}?view=resolved") == ["incoming_stopped"]


def test_news_that_is_true_no_more_says_until_when_it_was(
    reader: Client, url: str, tell: Tell, now: datetime
) -> None:
    tell("configuration_succeeded", resolved_on=now)
    assert "Until" in shown(reader, f"{url}?view=resolved")
    assert "Resolved Nov" not in shown(reader, f"{url}?view=resolved")


@pytest.mark.parametrize(
    ("facet", "wanted"),
    [
        ("error", ["outgoing_stopped"]),
        ("warning", ["email_retrying"]),
        ("information", ["configuration_succeeded"]),
    ],
)
def test_levels_filter_and_are_counted(
    reader: Client, url: str, tell: Tell, facet: str, wanted: list[str]
) -> None:
    tell("outgoing_stopped")
    tell("email_retrying")
    tell("configuration_succeeded")
    assert kinds(reader, f"{url}?facet={facet}") == wanted
    choices = reader.get(url).context["listing"].facet_choices
    assert [choice.count for choice in choices] == [3, 1, 1, 1]


def test_alerts_are_grouped_by_day(reader: Client, url: str, tell: Tell) -> None:
    now = timezone.now()
    tell("outgoing_stopped", last_seen_on=now)
    tell("incoming_stopped", last_seen_on=now)
    tell("email_retrying", last_seen_on=now - timedelta(days=1))
    days = reader.get(url).context["days"]
    assert [(name, cards.count("<li")) for name, cards in days] == [("Today", 2), ("Yesterday", 1)]


def test_nothing_can_be_deleted_from_an_empty_wall(reader: Client, url: str, tell: Tell) -> None:
    link = 'id="delete-all"'
    assert link not in shown(reader, url)
    assert "Delete all alerts" in shown(reader, url)
    tell()
    assert link in shown(reader, url)
    assert link not in shown(reader, f"{url}?facet=warning")


def test_days_begin_at_midnight_of_the_reader(reader: Client, url: str, tell: Tell) -> None:
    reader.cookies["zone"] = "Pacific/Kiritimati"
    moment = timezone.now().replace(hour=11, minute=0)
    tell("outgoing_stopped", last_seen_on=moment - timedelta(days=30))
    tell("incoming_stopped", last_seen_on=moment - timedelta(days=30, hours=2))
    assert len(reader.get(url).context["days"]) == 2


@pytest.mark.parametrize("words", ["sign-in", "login_refused", "535", "is stopped", "billing refused"])
def test_alerts_are_found_by_their_words_code_and_answer(
    reader: Client, url: str, tell: Tell, words: str
) -> None:
    tell("outgoing_stopped", error_code="login_refused", details="535 no")
    tell("configuration_succeeded", parameters={"mailbox": "Billing"})
    assert kinds(reader, f"{url}?q={words}") == ["outgoing_stopped"]


def test_an_empty_wall_says_what_it_is_for(reader: Client, url: str) -> None:
    assert "No alerts" in shown(reader, url)


def test_a_profiles_wall_shows_its_alerts_and_the_errors_of_its_mailboxes(
    reader: Client, tell: Tell, profile: ServerProfile
) -> None:
    tell("profile_failing", mailbox=None, server_profile=profile)
    tell("incoming_stopped")
    tell("email_retrying")
    url = reverse("mailboxes:profile_alerts", args=["contoso", profile.pk])
    assert set(kinds(reader, url)) == {"profile_failing", "incoming_stopped"}


def test_a_persons_wall_shows_what_is_theirs(
    reader: Client, tell: Tell, mailbox: Mailbox, rosa: User, django_user_model: type[User]
) -> None:
    tell("incoming_stopped")
    other = django_user_model.objects.create_user("olga", password="a password of hers")
    profile = ServerProfile.objects.create(
        environment=mailbox.environment,
        name="Other",
        owner=other,
        incoming_location="a",
        outgoing_location="b",
    )
    foreign = Mailbox.objects.create(
        environment=mailbox.environment,
        name="O",
        address="o@contoso.example",
        owner=other,
        server_profile=profile,
    )
    tell("outgoing_stopped", mailbox=foreign, server_profile=profile)
    assert kinds(reader, "/alerts/") == ["incoming_stopped"]
    assert set(kinds(reader, "/alerts/?whose=everybody")) == {"incoming_stopped", "outgoing_stopped"}


@pytest.mark.parametrize("place", ["mailbox", "profile", "person"])
def test_a_wall_asks_as_many_questions_for_fifty_alerts_as_for_two(
    reader: Client,
    url: str,
    tell: Tell,
    profile: ServerProfile,
    place: str,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    for _ in range(50):
        tell()
    urls = {
        "mailbox": url,
        "profile": reverse("mailboxes:profile_alerts", args=["contoso", profile.pk]),
        "person": "/alerts/",
    }
    # session, user, environment, mailbox or profile, open alerts, counts, resolved ones, rows, the bell
    with django_assert_max_num_queries(9):
        reader.get(f"{urls[place]}?size=100")


def test_the_bell_counts_open_errors_and_warnings_once(
    reader: Client, tell: Tell, now: datetime, profile: ServerProfile
) -> None:
    tell("incoming_stopped")
    tell("email_retrying")
    tell("configuration_succeeded")
    tell("outgoing_stopped", resolved_on=now)
    tell("profile_failing", mailbox=None, server_profile=profile)
    assert reader.get("/alerts/").context["open_alert_count"] == 3


def delete(client: Client, **words: Any) -> Any:
    return client.post(DELETE, words)


def test_one_alert_is_deleted(reader: Client, url: str, tell: Tell, mailbox: Mailbox) -> None:
    gone, kept = tell("incoming_stopped"), tell("outgoing_stopped")
    answer = delete(reader, mailbox=mailbox.pk, alert=gone.pk, facet="error")
    assert list(Alert.objects.all()) == [kept]
    assert answer.headers["Location"] == f"{url}?facet=error"


def test_with_htmx_the_next_card_takes_the_focus(
    reader: Client, tell: Tell, mailbox: Mailbox, now: datetime
) -> None:
    first = tell("incoming_stopped", last_seen_on=now)
    second = tell("outgoing_stopped", last_seen_on=now - timedelta(minutes=1))
    third = tell("email_retrying", last_seen_on=now - timedelta(minutes=2))
    page = reader.post(DELETE, {"mailbox": mailbox.pk, "alert": second.pk}, headers=HTMX).content.decode()
    assert "<html" not in page
    assert f'id="delete-{first.pk}"' in page
    focused = page.index("data-focus")
    assert page.index(f'id="delete-{third.pk}"') < focused
    assert 'id="wall-said" hx-swap-oob="innerHTML">Alert deleted<' in page


def test_after_the_last_card_the_empty_wall_takes_the_focus(
    reader: Client, tell: Tell, mailbox: Mailbox
) -> None:
    page = reader.post(DELETE, {"mailbox": mailbox.pk, "alert": tell().pk}, headers=HTMX).content.decode()
    assert '<h2 tabindex="-1" data-focus>No alerts</h2>' in page


def test_an_alert_of_another_wall_is_not_deleted(
    reader: Client, tell: Tell, mailbox: Mailbox, profile: ServerProfile
) -> None:
    alert = tell("profile_failing", mailbox=None, server_profile=profile)
    delete(reader, mailbox=mailbox.pk, alert=alert.pk)
    assert Alert.objects.exists()


def test_delete_all_asks_first_and_names_the_count(reader: Client, url: str, tell: Tell) -> None:
    tell("incoming_stopped")
    tell("outgoing_stopped")
    tell("email_retrying")
    dialog = reader.get(f"{url}?facet=error&ask=delete", headers=HTMX).content.decode()
    assert dialog.strip().startswith("<dialog")
    assert "Delete the 2 alerts that the filters show" in dialog


def test_the_command_to_delete_all_follows_the_filter(reader: Client, url: str, tell: Tell) -> None:
    tell()
    part = reader.get(f"{url}?facet=error", headers=HTMX).content.decode()
    assert f'id="delete-all" href="{url}?facet=error&amp;ask=delete' in part
    assert 'hx-swap-oob="true"' in part


def test_the_counts_of_bell_and_tab_follow_a_deletion(reader: Client, tell: Tell, mailbox: Mailbox) -> None:
    tell("outgoing_stopped")
    gone = tell("incoming_stopped")
    part = reader.post(DELETE, {"mailbox": mailbox.pk, "alert": gone.pk}, headers=HTMX).content.decode()
    assert '<span id="tab-alerts" hx-swap-oob="true"><span class="pill bad">' in part
    assert '<span class="vh">1 open</span>' in part
    assert '<span id="alert-dot" hx-swap-oob="true"><span class="vh"> 1 unread</span>' in part


def test_without_script_the_question_stands_on_the_wall(reader: Client, url: str, tell: Tell) -> None:
    tell()
    page = reader.get(f"{url}?ask=delete").content.decode()
    assert "Delete one open alert" in page
    assert "<html" in page


def test_delete_all_takes_what_the_filter_shows_on_all_pages(
    reader: Client, tell: Tell, mailbox: Mailbox
) -> None:
    for _ in range(30):
        tell("outgoing_stopped")
    kept = tell("email_retrying")
    delete(reader, mailbox=mailbox.pk, all="yes", facet="error")
    assert list(Alert.objects.all()) == [kept]


def test_delete_all_leaves_what_came_after_the_question(
    reader: Client, tell: Tell, mailbox: Mailbox, now: datetime
) -> None:
    tell("outgoing_stopped", last_seen_on=now)
    kept = tell("incoming_stopped", last_seen_on=now + timedelta(seconds=5))
    delete(reader, mailbox=mailbox.pk, all="yes", until=(now + timedelta(seconds=1)).isoformat())
    assert list(Alert.objects.all()) == [kept]


@pytest.mark.parametrize("words", [{"mailbox": "x"}, {"profile": "x"}, {"mailbox": ""}])
def test_a_wall_that_does_not_exist_is_not_found(reader: Client, words: dict[str, str]) -> None:
    assert delete(reader, all="yes", **words).status_code == 404


def test_looking_deletes_nothing(reader: Client) -> None:
    assert reader.get(DELETE).status_code == 405


def test_markup_in_an_alert_is_shown_as_text(reader: Client, url: str, tell: Tell) -> None:
    evil = "<script>alert(1)</script>"
    tell(parameters={"mailbox": evil, "cause": evil, "remedy": evil}, error_code=evil, details=evil)
    assert evil not in shown(reader, url)


def test_a_kind_of_an_older_version_does_not_break_the_wall(reader: Client, url: str, tell: Tell) -> None:
    alert = tell()
    Alert.objects.filter(pk=alert.pk).update(kind="some_old_kind")
    assert "Some old kind" in shown(reader, url)


def test_strangers_are_asked_to_sign_in(url: str) -> None:
    assert Client().get("/alerts/").status_code == 302
    assert Client().post(DELETE, {"all": "yes"}).status_code == 302


@pytest.fixture
def many(tell: Tell, monkeypatch: pytest.MonkeyPatch) -> list[Alert]:
    """Give three alerts, and have more than one count as many."""
    monkeypatch.setattr(orders, "DIRECTLY", 1)
    return [tell("outgoing_stopped", key=str(number)) for number in range(3)]


def test_many_alerts_are_deleted_by_a_job(reader: Client, many: list[Alert], mailbox: Mailbox) -> None:
    response = delete(reader, mailbox=mailbox.pk, all="yes")
    job = Job.objects.get()
    assert response["Location"] == job.get_absolute_url()
    assert Alert.objects.count() == 3
    jobs.run(job.pk)
    assert not Alert.objects.exists()
    assert "3 deleted" in reader.get(job.get_absolute_url()).content.decode()


def test_a_job_leaves_what_was_seen_again_after_the_question(
    reader: Client, many: list[Alert], mailbox: Mailbox
) -> None:
    delete(reader, mailbox=mailbox.pk, all="yes")
    Alert.objects.filter(pk=many[0].pk).update(last_seen_on=timezone.now() + timedelta(seconds=5))
    jobs.run(Job.objects.get().pk)
    assert list(Alert.objects.all()) == [many[0]]


def test_all_are_marked_as_read_by_one_statement(
    reader: Client, many: list[Alert], mailbox: Mailbox, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    person = User.objects.get(pk=reader.session["_auth_user_id"])
    wall.mark_read(Alert.objects.filter(pk=many[0].pk), by=person)
    with django_assert_max_num_queries(1):
        assert wall.mark_read(Alert.objects.all(), by=person) == 2
    assert not Alert.objects.all().unread_by(person).exists()


@pytest.fixture
def auditor(mailbox: Mailbox) -> Client:
    """Give the browser of somebody who reads alerts, but nobody's email."""
    person = User.objects.create_user("aud")
    Membership.objects.create(user=person, environment=mailbox.environment, role=Role.AUDITOR)
    client = Client(SERVER_NAME="localhost")
    client.force_login(person)
    return client


@pytest.fixture
def refused(tell: Tell) -> Alert:
    """Give an alert about a recipient that was refused."""
    return tell(
        "email_refused_in_part",
        parameters={"mailbox": "Billing", "subject": "Hello", "refused": "secret@fabrikam.example"},
        details="secret@fabrikam.example: 550 No such user",
    )


def test_refused_recipients_are_named_to_who_may_read_the_email(
    reader: Client, url: str, refused: Alert
) -> None:
    assert "refused for secret@fabrikam.example" in shown(reader, url)


def test_refused_recipients_are_hidden_from_who_may_not_read_the_email(
    auditor: Client, url: str, refused: Alert
) -> None:
    page = shown(auditor, url)
    assert "you may not read this mailbox" in page
    assert "secret@" not in page


def test_who_forwarded_email_is_hidden_from_who_may_not_read_it(
    auditor: Client, url: str, tell: Tell
) -> None:
    tell("forward_for_nobody", parameters={"mailbox": "Billing", "sender": "secret@fabrikam.example"})
    assert "secret@" not in shown(auditor, url)


def test_the_cause_of_a_failure_is_hidden_where_it_names_recipients(
    auditor: Client, url: str, tell: Tell
) -> None:
    words = {"mailbox": "Billing", "cause": "The server refused every recipient (secret@fabrikam.example)."}
    tell("email_failed", parameters=words, error_code="recipients_refused")
    tell("email_failed", parameters={**words, "cause": "It is too large."}, error_code="message_too_large")
    page = shown(auditor, url)
    assert "secret@" not in page
    assert "It is too large." in page


def test_who_may_not_read_the_email_does_not_find_out_by_searching(
    auditor: Client, url: str, refused: Alert
) -> None:
    assert kinds(auditor, f"{url}?q=secret") == []
    assert kinds(auditor, f"{url}?q=Billing") == ["email_refused_in_part"]


def test_the_wall_of_a_profile_stands_on_the_page_of_the_profile(
    reader: Client, profile: ServerProfile
) -> None:
    page = shown(reader, reverse("mailboxes:profile_alerts", args=["contoso", profile.pk]))
    assert 'aria-label="Server profile sections"' in page
    assert 'aria-current="page">Alerts' in page
