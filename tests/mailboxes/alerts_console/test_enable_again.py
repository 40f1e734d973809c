"""What an outage stopped is enabled again by one command, and what was said to the server can be read."""

from datetime import datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from mailboxes.alerts import wall
from mailboxes.models import Alert, AlertTranscript, Job, Mailbox, WorkerState
from mailboxes.services import editing
from mailboxes.services.wall import transcript_of
from profiles.choices import Role
from profiles.models import Membership

HTMX = {"HX-Request": "true"}
REFUSED = wall.Cause(
    "The server refused the user name or the password.",
    "Enter it again.",
    "login_refused",
    transcript="S: * OK ready\nC: E1 AUTHENTICATE PLAIN •••\nS: E1 NO <b>no</b>",
)


@pytest.fixture
def outage(mailbox: Mailbox, now: datetime) -> list[Mailbox]:
    """Give three mailboxes that one failure stopped, beside one that works."""
    fields = {"environment": mailbox.environment, "server_profile": mailbox.server_profile}
    boxes = [
        editing.create(Mailbox(name=f"Box {n}", address=f"box{n}@contoso.example", **fields), by=None)
        for n in range(3)
    ]
    for each in boxes:
        WorkerState.objects.filter(mailbox=each, direction="incoming").update(
            is_enabled=False, status="failure", stopped_on=now
        )
        wall.raise_alert("incoming_stopped", now=now, mailbox=each, cause=REFUSED)
    return boxes


def _address(mailbox: Mailbox, query: str) -> str:
    slug, profile = mailbox.environment.slug, mailbox.server_profile_id
    return f"{reverse('mailboxes:profile_diagnose', args=[slug, profile])}?{query}"


def test_the_profile_enables_again_all_that_failures_stopped(
    reader: Client, mailbox: Mailbox, outage: list[Mailbox]
) -> None:
    asked = reader.get(_address(mailbox, "stopped=1"), headers=HTMX).content.decode()
    assert "Enable again what a failure stopped" in asked
    assert "Box 2" in asked
    assert mailbox.name not in asked
    reader.post(_address(mailbox, "stopped=1"), {"confirm": "1"}, headers=HTMX)
    assert Job.objects.get().total == 3


def test_the_alert_of_an_outage_offers_to_enable_its_mailboxes_again(
    reader: Client, mailbox: Mailbox, outage: list[Mailbox]
) -> None:
    alert = Alert.objects.get(mailbox=None)
    page = reader.get(reverse("mailboxes:environment_alerts", args=[mailbox.environment.slug]))
    assert f"?alert={alert.pk}" in page.content.decode()
    assert "Test and enable all 3 again" in page.content.decode()


def test_only_those_that_have_not_recovered_are_enabled_again(
    reader: Client, mailbox: Mailbox, outage: list[Mailbox], now: datetime
) -> None:
    alert = Alert.objects.get(mailbox=None)
    wall.resolve_direction(outage[0], "incoming", now=now)
    reader.post(_address(mailbox, f"alert={alert.pk}"), {"confirm": "1"}, headers=HTMX)
    assert Job.objects.get().total == 2


def test_nothing_is_asked_where_nothing_is_stopped(reader: Client, mailbox: Mailbox) -> None:
    answer = reader.get(_address(mailbox, "stopped=1"), headers=HTMX)
    assert "Enable again what a failure stopped" not in answer.content.decode()
    assert not Job.objects.exists()


def test_the_alert_opens_what_was_said_to_the_server(
    reader: Client, mailbox: Mailbox, outage: list[Mailbox]
) -> None:
    alert = Alert.objects.get(mailbox=outage[0])
    address = reverse("mailboxes:alert_transcript", args=[alert.pk])
    wall_page = reader.get(
        reverse("mailboxes:mailbox_alerts", args=[mailbox.environment.slug, outage[0].pk])
    ).content.decode()
    assert address in wall_page
    page = reader.get(address).content.decode()
    assert "C: E1 AUTHENTICATE PLAIN •••" in page
    assert "<b>no</b>" not in page


def test_whom_email_was_for_is_hidden_from_who_may_not_read_it(mailbox: Mailbox, now: datetime) -> None:
    said = "C: RCPT TO:<ben@example.org>\nS: 451 4.2.1 ben@example.org is busy"
    wall.raise_alert("outgoing_retrying", now=now, mailbox=mailbox, cause=wall.Cause("busy", transcript=said))
    person, alert = User.objects.create_user("dora"), Alert.objects.get(mailbox=mailbox)
    member = Membership.objects.create(
        environment=mailbox.environment, user=person, role=Role.SYSTEM_ADMINISTRATOR
    )

    def read() -> str:
        transcript = transcript_of(alert, by=User.objects.get(pk=person.pk))
        assert transcript is not None
        return transcript.text

    assert read() == "C: RCPT TO:<•••>\nS: 451 4.2.1 ••• is busy"
    member.may_read_email = True
    member.save()
    assert read() == said


def test_conversations_older_than_thirty_days_go_with_the_next_one(
    mailbox: Mailbox, outage: list[Mailbox], now: datetime
) -> None:
    AlertTranscript.objects.update(recorded_on=now - timedelta(days=31))
    wall.raise_alert("outgoing_stopped", now=now, mailbox=mailbox, cause=REFUSED)
    assert list(AlertTranscript.objects.values_list("alert__mailbox", flat=True)) == [mailbox.pk]
