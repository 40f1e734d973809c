"""`manage.py selftest`: every failure is told apart, and the page that says so is true."""

from collections.abc import Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from pytest_django import DjangoDbBlocker

from emailsync.management.commands import selftest
from emailsync.management.selftest import journey, table
from emailsync.management.selftest.failures import SCENARIOS
from emailsync.management.selftest.proving import Result, prove
from emailsync.management.selftest.scenarios import Scenario

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def results() -> list[Result]:
    """Give what came of every scenario."""
    return prove()


@pytest.fixture(scope="module")
def travelled(django_db_blocker: DjangoDbBlocker) -> journey.Travelled:
    """Give how the journey ended, which touches no database of ours."""
    with django_db_blocker.block():
        return journey.run_apart()


def _name(scenario: Scenario) -> str:
    return f"{scenario.protocol}: {scenario.failure}"


@pytest.mark.parametrize("scenario", SCENARIOS, ids=_name)
def test_a_failure_is_told_apart_at_its_step(results: Sequence[Result], scenario: Scenario) -> None:
    result = results[SCENARIOS.index(scenario)]
    assert (result.code, result.step) == (scenario.code, scenario.step)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=_name)
def test_a_failure_has_a_sentence_and_a_way_out(results: Sequence[Result], scenario: Scenario) -> None:
    result = results[SCENARIOS.index(scenario)]
    assert result.sentence.endswith(".")
    assert result.remedy.endswith(".")


def test_the_page_of_failures_is_what_the_selftest_says(
    results: Sequence[Result], travelled: journey.Travelled
) -> None:
    assert (ROOT / "docs/faults.md").read_text(encoding="utf-8") == table.for_docs(results, travelled.told)


def test_each_condition_of_the_installation_is_told_with_a_way_out(travelled: journey.Travelled) -> None:
    assert [each.failure for each in travelled.told if not each.is_expected] == []
    assert [each.failure for each in travelled.told if not each.remedy.endswith(".")] == []


def _run(monkeypatch: pytest.MonkeyPatch, results: list[Result], *, arrives: bool) -> tuple[object, str]:
    monkeypatch.setattr(selftest, "prove", lambda: results)
    travelled = journey.Travelled(arrives, ["Receive: a message is stored"], [])
    monkeypatch.setattr(journey, "run_apart", lambda: travelled)
    said = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("selftest", stdout=said)
    return ended.value.code, said.getvalue()


def test_all_well_is_status_0(db: None, monkeypatch: pytest.MonkeyPatch, results: Sequence[Result]) -> None:
    status, said = _run(monkeypatch, list(results), arrives=True)
    assert status == 0
    assert f"{len(SCENARIOS)} of {len(SCENARIOS)} failures told as they should be; everything works" in said


def test_a_failure_told_wrongly_is_status_1(
    db: None, monkeypatch: pytest.MonkeyPatch, results: Sequence[Result]
) -> None:
    status, said = _run(monkeypatch, [replace(results[0], code="timed_out")], arrives=True)
    assert status == 1
    assert "WRONG Name not found" in said
    assert "Expected: host_not_found at the step resolve." in said


def test_a_journey_that_ends_early_is_status_1(
    db: None, monkeypatch: pytest.MonkeyPatch, results: Sequence[Result]
) -> None:
    status, said = _run(monkeypatch, list(results), arrives=False)
    assert status == 1
    assert "WRONG Receive" in said


def test_the_journey_leaves_nothing_and_touches_no_database_of_ours(travelled: journey.Travelled) -> None:
    assert [line.partition(":")[0] for line in travelled.lines] == ["Test & Enable", "Receive", "Send"]
    assert travelled.arrived
