"""Test & Enable from the command line, with the answers of a worker written here."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from mailboxes.choices import Direction, RunState, StepOutcome
from mailboxes.management.commands import diagnose
from mailboxes.models import Diagnosis, DiagnosisStep, Job, Mailbox
from mailboxes.services import diagnosis
from profiles.models import Environment

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def mailbox() -> Mailbox:
    """Give a mailbox."""
    environment = Environment.objects.create(slug="contoso", name="Contoso")
    return Mailbox.objects.create(environment=environment, name="Ana", address="ana@contoso.example")


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Give what a worker answers to everything asked from now on, by direction."""
    outcomes: dict[str, str] = {"incoming": "success", "outgoing": "success"}
    ask = diagnosis.start

    def start_and_answer(*args: Any, **options: Any) -> Job:
        job = ask(*args, **options)
        job.diagnoses.update(state=RunState.DONE, **outcomes)
        DiagnosisStep.objects.create(
            diagnosis=job.diagnoses.get(),
            direction=Direction.INCOMING,
            position=1,
            name="authenticate",
            title="The server refused the password.",
            outcome=outcomes["incoming"],
            started_on=NOW,
            remedy="Enter the password again.",
            error_code="" if outcomes["incoming"] == StepOutcome.SUCCESS else "login_refused",
        )
        return job

    monkeypatch.setattr(diagnosis, "start", start_and_answer)
    return outcomes


def test_without_wait_it_only_asks(mailbox: Mailbox, capsys: pytest.CaptureFixture[str]) -> None:
    """A worker does the rest."""
    call_command("diagnose", environment="contoso")

    assert Diagnosis.objects.get().state == RunState.QUEUED
    assert "is waiting for a worker" in capsys.readouterr().out


def test_success_of_everything_ends_well(
    mailbox: Mailbox, answer: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit status is 0."""
    call_command("diagnose", environment="contoso", wait=True)

    assert "ana@contoso.example: success" in capsys.readouterr().out


def test_one_failed_direction_fails(
    mailbox: Mailbox, answer: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The way out is printed under the step."""
    answer["incoming"] = "failure"

    with pytest.raises(CommandError, match="1 of 1 mailboxes did not succeed") as ended:
        call_command("diagnose", environment="contoso", wait=True)

    assert ended.value.returncode == 1
    assert "Enter the password again." in capsys.readouterr().out


def test_a_direction_that_is_not_configured_is_not_missed(mailbox: Mailbox, answer: dict[str, str]) -> None:
    """Skipped is right there."""
    Mailbox.objects.update(outgoing="none")
    answer["outgoing"] = "skipped"

    call_command("diagnose", environment="contoso", wait=True)

    assert Diagnosis.objects.get().outgoing == "skipped"


def test_a_configured_direction_that_was_skipped_fails(mailbox: Mailbox, answer: dict[str, str]) -> None:
    """Nothing was proved."""
    answer["outgoing"] = "skipped"

    with pytest.raises(CommandError):
        call_command("diagnose", environment="contoso", wait=True)


def test_programs_read_json(
    mailbox: Mailbox, answer: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing else is on the standard output."""
    answer["incoming"] = "failure"

    with pytest.raises(CommandError):
        call_command("diagnose", environment="contoso", json=True)

    (found,) = json.loads(capsys.readouterr().out)
    assert (found["mailbox"], found["success"], found["incoming"]) == (
        "ana@contoso.example",
        False,
        "failure",
    )
    assert found["steps"][0]["error_code"] == "login_refused"


def test_without_a_worker_it_says_so_and_gives_up_in_time(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was asked for stays asked for."""
    monkeypatch.setattr(diagnose, "PATIENCE", 0.0)
    monkeypatch.setattr(diagnose, "ASK_EVERY", 0.01)

    with pytest.raises(CommandError, match=r"Not finished after 0\.1 s") as ended:
        call_command("diagnose", environment="contoso", wait=True, timeout=0.1)

    assert ended.value.returncode == 3
    assert "Is one running?" in capsys.readouterr().err
    assert Diagnosis.objects.filter(state=RunState.QUEUED).exists()


def test_only_the_named_mailboxes_are_tested(mailbox: Mailbox) -> None:
    """In upper or lower case."""
    Mailbox.objects.create(environment=mailbox.environment, name="Bo", address="bo@contoso.example")

    call_command("diagnose", environment="contoso", mailbox=["BO@contoso.example"])

    assert [found.mailbox.name for found in Diagnosis.objects.all()] == ["Bo"]


def test_an_environment_without_mailboxes_is_not_a_success() -> None:
    """Nothing was tested."""
    Environment.objects.create(slug="contoso", name="Contoso")

    with pytest.raises(CommandError, match="has no mailboxes"):
        call_command("diagnose", environment="contoso", wait=True)
