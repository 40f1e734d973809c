"""The page of a mailbox: why it is not syncing, when it goes on, its tests, and its end."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.storage import default_storage
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, DjangoCaptureOnCommitCallbacks, Settings

from mailboxes.choices import Direction, MailboxKind
from mailboxes.engine import heartbeat
from mailboxes.models import Diagnosis, LedgerEntry, Mailbox, Message, RawMessage, SyncClaim, WorkerState
from mailboxes.services import diagnosis, editing, readiness
from profiles.choices import IncomingMethod
from profiles.models import Environment, ServerProfile
from tests.mailboxes.console.conftest import NewMailbox

HTMX = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def alive(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a worker that signed a moment ago."""
    monkeypatch.setattr(heartbeat, "last_beat", timezone.now)


def run(mailbox: Mailbox, direction: str = "incoming", **changes: Any) -> None:
    """Have a direction tested and enabled, with `changes`."""
    values = {"status": "success", "is_enabled": True, "tested_on": timezone.now(), **changes}
    WorkerState.objects.filter(mailbox=mailbox, direction=direction).update(**values)


def incoming(mailbox: Mailbox) -> readiness.Course:
    mailbox = Mailbox.objects.select_related("environment", "server_profile").get(pk=mailbox.pk)
    return readiness.courses(mailbox, now=timezone.now())[0]


def problems(mailbox: Mailbox) -> list[str]:
    return [check.name for check in incoming(mailbox).checks if check.state == "problem"]


def test_a_running_mailbox_meets_every_condition(mailbox: Mailbox) -> None:
    run(mailbox, due_at=timezone.now() + timedelta(seconds=20))
    course = incoming(mailbox)
    assert (course.word, course.problems) == ("running", [])
    assert "polling interval" in course.why


BREAK: dict[str, tuple[Callable[[], object], str]] = {
    "inactive": (lambda: Mailbox.objects.update(is_active=False), "record"),
    "no profile": (lambda: Mailbox.objects.update(server_profile=None), "profile"),
    "profile inactive": (
        lambda: ServerProfile.objects.update(is_active=False, is_default=False),
        "profile",
    ),
    "no credentials": (lambda: Mailbox.objects.update(allow_credentials=False), "credentials"),
    "not approved": (
        lambda: Mailbox.objects.update(address_status="pending", approved_on=None),
        "approval",
    ),
    "not tested": (lambda: WorkerState.objects.update(is_enabled=False, status="not_run"), "tested"),
    "stopped": (lambda: WorkerState.objects.update(is_enabled=False, status="failure"), "tested"),
}


@pytest.mark.parametrize("what", BREAK)
def test_each_condition_that_is_not_met_is_named(mailbox: Mailbox, what: str) -> None:
    run(mailbox)
    change, named = BREAK[what]
    change()
    assert problems(mailbox) == [named]


def test_an_address_of_another_environment_is_told(mailbox: Mailbox, elsewhere: Environment) -> None:
    run(mailbox)
    theirs = editing.create(Mailbox(environment=elsewhere, name="S", address=mailbox.address), by=None)
    SyncClaim.objects.update_or_create(
        address=mailbox.address.lower(),
        defaults={"environment": elsewhere, "mailbox": theirs, "claimed_on": timezone.now()},
    )
    assert problems(mailbox) == ["claimed_elsewhere"]


def test_without_a_worker_the_page_says_so(mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    run(mailbox)
    monkeypatch.setattr(heartbeat, "last_beat", lambda: None)
    assert problems(mailbox) == ["workers"]


def test_a_pause_after_failures_tells_the_attempt_and_the_next_one(
    mailbox: Mailbox, settings: Settings
) -> None:
    run(mailbox, transient_failures=3, last_error="It did not answer.", due_at=timezone.now())
    course = incoming(mailbox)
    assert course.word == "retrying"
    assert course.why == f"paused after failure 3 of {settings.RETRY_LIMIT}"


def test_what_stops_while_somebody_looks_is_said_all_over_the_page(client: Client, mailbox: Mailbox) -> None:
    run(mailbox)
    url = reverse("mailboxes:mailbox_course", args=[mailbox.environment.slug, mailbox.pk])
    run(mailbox, status="failure", is_enabled=False)
    page = client.get(url, headers=HTMX).content.decode()
    facts = page.split('id="facts" hx-swap-oob="true"')[1].split("</dl>")[0]
    results = page.split('id="results" hx-swap-oob="true"')[1].split("</dl>")[0]
    assert "Failure" in facts
    assert "Failure" in results
    assert 'id="tab-alerts" hx-swap-oob="true"' in page


def test_the_profiles_minimum_is_named_when_it_decides(mailbox: Mailbox) -> None:
    ServerProfile.objects.update(minimum_polling_interval=45)
    run(mailbox, due_at=timezone.now() + timedelta(minutes=40))
    assert "minimum polling interval is 45 min" in incoming(mailbox).why


def test_incoming_through_the_forward_mailbox_needs_one(mailbox: Mailbox, new_mailbox: NewMailbox) -> None:
    Mailbox.objects.update(incoming=IncomingMethod.FORWARD_MAILBOX)
    assert problems(mailbox) == ["forward"]
    forward = new_mailbox("Collector", kind=MailboxKind.FORWARD, outgoing="none")
    run(forward)
    assert incoming(mailbox).word == "running"


def test_the_last_run_is_told_with_its_numbers(mailbox: Mailbox) -> None:
    started = timezone.now() - timedelta(seconds=9)
    for uid, outcome in enumerate(["stored", "stored", "duplicate", "before_start"]):
        LedgerEntry.objects.create(
            mailbox=mailbox,
            uidvalidity=1,
            uid=uid + 1,
            outcome=outcome,
            seen_on=started + timedelta(seconds=1),
        )
    run(mailbox, last_started_on=started, last_success_on=started + timedelta(seconds=2), last_items=2)
    last = incoming(mailbox).last
    assert last is not None
    assert dict(last.counts) == {
        "Stored": 2,
        "Duplicate of a stored message": 1,
        "Before the start date": 1,
    }
    assert last.took == timedelta(seconds=2)


def test_the_page_offers_the_remedy_of_what_comes_first(client: Client, new_mailbox: NewMailbox) -> None:
    mailbox = new_mailbox("Ana", approved=False, allow_credentials=True, user_name="ana", password="secret")
    page = client.get(mailbox.get_absolute_url()).content.decode()
    card = page.partition('<section id="course"')[2].partition("</section>")[0]
    assert "is not approved for email processing." in card
    assert 'name="action" value="approve"' in card


def test_a_refused_password_leads_to_the_field(client: Client, mailbox: Mailbox) -> None:
    words = {"last_error_code": "login_refused", "last_error": "The server refused the password."}
    run(mailbox, status="failure", is_enabled=False, **words)
    page = client.get(mailbox.get_absolute_url()).content.decode()
    assert "The server refused the password." in page
    assert '<a href="#id_user_name">Update credentials</a>' in page


def test_sync_now_makes_the_inbox_due_and_says_when_it_was_done(client: Client, mailbox: Mailbox) -> None:
    run(mailbox, due_at=timezone.now() + timedelta(hours=1))
    url = reverse("mailboxes:mailbox_sync_now", args=["contoso", mailbox.pk])
    answer = client.post(url, headers=HTMX)
    state = WorkerState.objects.get(mailbox=mailbox, direction=Direction.INCOMING)
    assert state.due_at is not None
    assert state.due_at <= timezone.now()
    assert "every 2s" in answer.content.decode()
    again = answer.context["course_url"]
    assert "every 2s" in client.get(again, headers=HTMX).content.decode()
    now = timezone.now()
    run(mailbox, last_started_on=now, last_success_on=now, last_items=3, due_at=now + timedelta(minutes=1))
    done = client.get(again, headers=HTMX).content.decode()
    assert "every 15s" in done
    assert "Synchronized now. 3 new messages." in done


def test_sync_now_of_what_is_not_enabled_says_so(client: Client, mailbox: Mailbox) -> None:
    url = reverse("mailboxes:mailbox_sync_now", args=["contoso", mailbox.pk])
    assert "not enabled" in client.post(url, headers=HTMX).headers["HX-Trigger"]


def test_the_tests_of_a_mailbox_have_a_tab(
    client: Client, mailbox: Mailbox, person: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    url = reverse("mailboxes:mailbox_tests", args=["contoso", mailbox.pk])
    assert "Not tested yet" in client.get(url).content.decode()
    for _ in range(3):
        diagnosis.start(Mailbox.objects.all(), environment=mailbox.environment, by=person, now=timezone.now())
    Diagnosis.objects.update(state="done", incoming="success", outgoing="failure")
    with django_assert_max_num_queries(10):
        page = client.get(url).content.decode()
    assert "Latest test" in page
    assert page.count("/jobs/") >= 3


def test_deleting_asks_by_name_and_takes_the_files_of_large_messages_along(
    client: Client,
    mailbox: Mailbox,
    new_mailbox: NewMailbox,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    other = new_mailbox("Other")
    for name, boxes in (("aa/own", [mailbox]), ("aa/shared", [mailbox, other])):
        path = Path(default_storage.path(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"large")
        for box in boxes:
            now: datetime = timezone.now()
            fields = {"received_at": now, "stored_on": now, "size": 5, "sha256": name}
            RawMessage.objects.create(message=Message.objects.create(mailbox=box, **fields), file=name)
    url = reverse("mailboxes:mailbox_delete", args=["contoso", mailbox.pk])
    assert (
        "Delete the mailbox Support (support@contoso.example)"
        in client.get(url, headers=HTMX).content.decode()
    )
    with django_capture_on_commit_callbacks(execute=True):
        client.post(url, headers=HTMX)
    assert not Mailbox.objects.filter(pk=mailbox.pk).exists()
    assert not default_storage.exists("aa/own")
    assert default_storage.exists("aa/shared")


def test_a_forward_mailbox_is_nobodys_and_only_receives(client: Client, profile: ServerProfile) -> None:
    url = reverse("mailboxes:forward_mailbox_create", args=["contoso"])
    panel = client.get(url, headers=HTMX).content.decode()
    assert "as an attachment" in panel
    typed = {
        "name": "Collector",
        "address": "collector@contoso.example",
        "server_profile": str(profile.pk),
        "incoming": "server_side_synchronization",
        "outgoing": "none",
        "act": "none",
        "delete_after_processing": "on",
    }
    client.post(url, typed)
    made = Mailbox.objects.get()
    assert (made.kind, made.outgoing, made.delete_after_processing) == (MailboxKind.FORWARD, "none", True)
    page = client.get(made.get_absolute_url()).content.decode()
    assert "Is Forward Mailbox" in page


def test_forward_mailbox_is_offered_only_where_there_is_one(
    client: Client, mailbox: Mailbox, new_mailbox: NewMailbox
) -> None:
    page = client.get(mailbox.get_absolute_url()).content.decode()
    assert '<option value="forward_mailbox" disabled>' in page
    assert "once the environment has an active forward mailbox" in page
    new_mailbox("Collector", kind=MailboxKind.FORWARD, outgoing="none")
    assert '<option value="forward_mailbox">' in client.get(mailbox.get_absolute_url()).content.decode()


def test_a_member_gives_credentials_and_changes_nothing_else(
    mailbox: Mailbox, django_user_model: type[User]
) -> None:
    ana = django_user_model.objects.create_user("ana")
    ana.memberships.create(environment=mailbox.environment, role="member")
    Mailbox.objects.filter(pk=mailbox.pk).update(owner=ana)
    member = Client(SERVER_NAME="localhost")
    member.force_login(ana)
    page = member.get(mailbox.get_absolute_url()).content.decode()
    assert "You may enter the credentials." in page
    assert "Sync now" in page
    assert "Approve Email" not in page
    assert ">Delete<" not in page
    typed = {
        "version": mailbox.version,
        "name": "Mine",
        "allow_credentials": "on",
        "user_name": "ana",
        "password": "new",
    }
    member.post(mailbox.get_absolute_url(), typed)
    mailbox.refresh_from_db()
    assert (mailbox.name, mailbox.user_name, mailbox.password.reveal()) == ("Support", "ana", "new")


def test_what_a_failure_stopped_tells_when_it_is_tested_again(mailbox: Mailbox) -> None:
    now = timezone.now()
    WorkerState.objects.filter(mailbox=mailbox, direction="incoming").update(
        is_enabled=False, status="failure", stopped_on=now, due_at=now + timedelta(minutes=15)
    )
    course = readiness.courses(mailbox, now=now)[0]
    assert (course.word, course.why) == ("stopped", "it is tested again by itself then")
    assert course.next_on == now + timedelta(minutes=15)


def test_a_new_password_after_a_failed_test_is_said_to_be_tested_now(
    client: Client, mailbox: Mailbox
) -> None:
    WorkerState.objects.filter(mailbox=mailbox).update(
        is_enabled=False,
        status="failure",
        last_error_code="login_refused",
        due_at=timezone.now() + timedelta(minutes=15),
    )
    form = client.get(mailbox.get_absolute_url()).context["form"]
    typed = {
        **form.initial,
        "version": mailbox.version,
        "allow_credentials": "on",
        "password": "the right one",
    }
    typed = {name: value for name, value in typed.items() if value is not None}
    page = client.post(mailbox.get_absolute_url(), typed, follow=True).content.decode()
    assert "It is tested again by itself now." in page
    assert "It is tested by itself in a moment." in page
    assert "Run Test &amp; Enable." not in page
    assert "every 2s" in page


def test_an_interrupted_test_stops_nothing_that_is_enabled(mailbox: Mailbox) -> None:
    run(mailbox, status="failure", last_error_code="server_busy", last_error="Busy.", due_at=timezone.now())
    course = incoming(mailbox)
    assert course.word == "retrying"
    assert [check.name for check in course.problems] == ["tested"]
    assert problems(mailbox) == []
