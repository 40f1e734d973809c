"""The page of alerts has every kind, with modules and tests that exist; and each kind has its words."""

import re
from pathlib import Path

import pytest

from mailboxes.alerts.kinds import KINDS, Kind
from mailboxes.choices import AlertLevel
from tests.house.test_pains import NAMED, defined_in

#: The events of the admin center, which come first, and what else is told.
EVENTS, OTHERS = 21, 18
ROW = re.compile(r"^\| (\d+) \|(.+)\|$", re.MULTILINE)
CODE = re.compile(r"`(\w+)`")
MODULE = re.compile(r"`((?:engine|services)/\w+\.py)`")
NO_ALERT = "—"


@pytest.fixture(scope="module")
def rows(project_folder: Path) -> dict[int, list[str]]:
    """Give the cells of each row by its number: event, kinds, modules, what resolves it, tests."""
    page = (project_folder / "docs" / "alerts.md").read_text()
    return {int(row.group(1)): row.group(2).split("|") for row in ROW.finditer(page)}


def test_every_event_has_a_row_with_kinds_and_tests_or_says_why_not(rows: dict[int, list[str]]) -> None:
    assert sorted(rows) == list(range(1, EVENTS + OTHERS + 1))
    for _event, kinds, modules, resolved_by, tests in rows.values():
        if kinds.strip() == NO_ALERT:
            assert tests.strip().startswith("Not here: ")
        else:
            assert CODE.search(kinds)
            assert MODULE.search(modules)
            assert resolved_by.strip()
            assert NAMED.search(tests)


def test_every_kind_has_a_row_and_every_row_names_kinds(rows: dict[int, list[str]]) -> None:
    named = {kind for cells in rows.values() for kind in CODE.findall(cells[1])}
    assert named == set(KINDS)


def test_every_module_that_is_named_raises_alerts(rows: dict[int, list[str]], project_folder: Path) -> None:
    named = {module for cells in rows.values() for module in MODULE.findall(cells[2])}
    texts = {module: (project_folder / "mailboxes" / module).read_text() for module in named}
    raises = re.compile(r"wall\.raise_alert\(|recording\.alert\(|\balert\(")
    assert [module for module, text in sorted(texts.items()) if not raises.search(text)] == []


def test_every_test_that_is_named_exists(rows: dict[int, list[str]], project_folder: Path) -> None:
    named = {each for cells in rows.values() for each in NAMED.findall(cells[4])}
    found = {file: defined_in(project_folder / "tests" / file) for file, _ in named}
    assert [f"{file}::{name}" for file, name in sorted(named) if name not in found[file]] == []


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_each_kind_says_what_happened_what_follows_and_what_to_do(kind: Kind) -> None:
    assert kind.title
    assert kind.text.endswith((".", "{cause}"))
    assert kind.remedy or kind.level == AlertLevel.INFORMATION


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_what_is_gathered_is_gathered_under_a_kind_of_the_same_level(kind: Kind) -> None:
    assert not kind.gathered_as or KINDS[kind.gathered_as].level == kind.level
