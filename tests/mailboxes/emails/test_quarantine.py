"""Messages in quarantine, read again when the parser has learned to."""

from collections.abc import Callable
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import DataError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from emailsync.mail.parsing import parse
from mailboxes.alerts import wall
from mailboxes.choices import JobKind, Reason, RunState
from mailboxes.engine import jobs, preparing, rows
from mailboxes.models import Alert, Job, JobRemark, LedgerEntry, Message
from tests.mailboxes.emails.world import PLAIN, Receive

Quarantine = Callable[..., Message]


@pytest.fixture
def quarantine(receive: Receive) -> Quarantine:
    """Give a function that stores a message as if the parser had failed on it."""

    def store(raw: bytes = PLAIN) -> Message:
        blank = {"subject": "", "from_name": "", "from_address": "", "message_id": "", "preview": ""}
        message = receive(raw, **blank, is_quarantined=True, defects=["This version fails on it (KeyError)."])
        message.recipients.all().delete()
        now = timezone.now()
        LedgerEntry.objects.create(
            mailbox=message.mailbox,
            uid=message.uid,
            uidvalidity=message.uidvalidity,
            message=message,
            outcome="quarantined",
            reason="unreadable",
            seen_on=now,
        )
        wall.raise_alert("message_quarantined", now=now, mailbox=message.mailbox, about=str(message.uid))
        return message

    return store


@pytest.fixture(params=["parse", "read_bounce"])
def still_broken(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the parser fail as before, or what reads on where it has ended."""

    def fail(*_: object) -> None:
        raise KeyError

    monkeypatch.setattr(preparing, request.param, fail)


def command(message: Message) -> str:
    return reverse("mailboxes:message_command", args=["contoso", message.mailbox_id, message.pk])


def work() -> Job:
    """Do the job that was asked for, as a worker would."""
    job = Job.objects.get(kind=JobKind.READ_AGAIN)
    jobs.run(job.pk)
    return Job.objects.get(pk=job.pk)


def test_a_message_read_again_gets_its_rows_and_keeps_its_place(
    reader: Client, quarantine: Quarantine
) -> None:
    message = quarantine()
    answer = reader.post(command(message), {"action": "read_again"})
    assert work().changed == 1
    assert answer.headers["Location"] == Job.objects.get().get_absolute_url()
    again = Message.objects.get()
    assert (again.pk, again.subject, again.is_quarantined) == (message.pk, "Invoice 20418", False)
    assert again.defects == []
    assert again.stored_on == message.stored_on
    assert again.recipients.count() == 3
    assert bytes(again.raw.content or b"") == PLAIN


def test_its_ledger_says_stored_and_its_alert_is_resolved(reader: Client, quarantine: Quarantine) -> None:
    reader.post(command(quarantine()), {"action": "read_again"})
    work()
    assert LedgerEntry.objects.get().outcome == "stored"
    assert not Alert.objects.open().exists()


def test_the_job_that_read_it_leads_to_the_emails(reader: Client, quarantine: Quarantine) -> None:
    reader.post(command(quarantine()), {"action": "read_again"})
    page = reader.get(work().get_absolute_url()).content.decode()
    emails = reverse("mailboxes:environment_emails", args=["contoso"])
    assert f'<a href="{emails}">Open the emails</a>' in page
    assert 'id="job-progress">Done' in page


def test_the_last_one_read_again_resolves_what_was_told_under_numbers_of_before(
    reader: Client, quarantine: Quarantine
) -> None:
    message = quarantine()
    LedgerEntry.objects.update(uid=70, uidvalidity=8)
    reader.post(command(message), {"action": "read_again"})
    work()
    assert not Alert.objects.open().exists()


def test_what_the_mailbox_would_not_keep_is_kept_because_somebody_asked(
    reader: Client, quarantine: Quarantine
) -> None:
    message = quarantine()
    message.mailbox.track_incoming = "in_response"
    message.mailbox.save()
    reader.post(command(message), {"action": "read_again"})
    work()
    assert Message.objects.get().kept_because == Reason.ASKED_FOR


def test_what_still_cannot_be_read_stays_with_the_new_reason(
    reader: Client, quarantine: Quarantine, still_broken: None
) -> None:
    message = quarantine()
    Message.objects.update(defects=["an older reason"])
    reader.post(command(message), {"action": "read_again"})
    assert work().failed == 1
    assert Message.objects.get().defects == ["This version of emailsync fails on reading it (KeyError)."]
    assert "still cannot be read: This version of emailsync fails" in JobRemark.objects.get().sentence
    assert Alert.objects.open().exists()


def test_what_the_database_refuses_stays_and_holds_up_nothing(
    reader: Client, quarantine: Quarantine, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = quarantine()

    def refuse(*_: object) -> None:
        raise DataError

    monkeypatch.setattr(rows.Rows, "insert", refuse)
    reader.post(command(message), {"action": "read_again"})
    assert work().state == RunState.DONE
    message.refresh_from_db()
    assert (message.is_quarantined, message.defects) == (True, ["The database does not take it (DataError)."])


def test_many_are_read_again_from_the_list(reader: Client, quarantine: Quarantine, receive: Receive) -> None:
    ids = [f"in-{quarantine(PLAIN + b'%d' % number).pk}" for number in range(3)] + [f"in-{receive().pk}"]
    reader.post(reverse("mailboxes:emails_command", args=["contoso"]), {"action": "read_again", "ids": ids})
    job = work()
    assert (job.total, job.changed) == (3, 3)
    assert not Message.objects.filter(is_quarantined=True).exists()


def test_reading_again_twice_does_nothing_twice(reader: Client, quarantine: Quarantine) -> None:
    message = quarantine()
    reader.post(command(message), {"action": "read_again"})
    work()
    answer = reader.post(command(message), {"action": "read_again"})
    assert answer.headers["Location"].endswith(f"/received/{message.pk}/")
    assert Job.objects.count() == 1


def test_the_page_and_the_list_offer_it(reader: Client, quarantine: Quarantine) -> None:
    message = quarantine()
    page = reader.get(reverse("mailboxes:message_detail", args=["contoso", message.mailbox_id, message.pk]))
    assert 'value="read_again"' in page.content.decode()
    emails = reader.get(reverse("mailboxes:environment_emails", args=["contoso"]) + "?facet=quarantined")
    assert f'value="in-{message.pk}"' in emails.content.decode()


def test_the_command_reads_all_of_them_and_names_what_it_cannot(
    quarantine: Quarantine, monkeypatch: pytest.MonkeyPatch
) -> None:
    quarantine()
    broken = quarantine(b"Subject: broken\r\n\r\n")

    def fail_on_one(raw: bytes) -> object:
        if b"broken" in raw:
            raise KeyError
        return parse(raw)

    monkeypatch.setattr(preparing, "parse", fail_on_one)
    out = StringIO()
    call_command("reprocess", environment="contoso", stdout=out)
    assert f"Message {broken.pk} of billing@contoso.example still cannot be read" in out.getvalue()
    assert "1 of 2 messages in quarantine are read now." in out.getvalue()


def test_nobody_is_answered_whom_the_parser_did_not_find(reader: Client, quarantine: Quarantine) -> None:
    message = quarantine()
    address = reverse("mailboxes:message_detail", args=["contoso", message.mailbox_id, message.pk])
    page = reader.get(address).content.decode()
    assert "What stopped the reader: This version fails on it (KeyError)." in page
    assert 'aria-hidden="true">?</span>' in page
    assert "/forward/" in page
    assert "/reply" not in page
