"""The page of pains names tests that exist, and one at least for each pain."""

import ast
import re
from pathlib import Path

import pytest

PAINS = 25 + 6
ROW = re.compile(r"^\| (\d+) \| .+$", re.MULTILINE)
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")


@pytest.fixture(scope="module")
def rows(project_folder: Path) -> dict[int, list[tuple[str, str]]]:
    """Give the tests that each row names, as file and function, by the number of the pain."""
    page = (project_folder / "docs" / "pains.md").read_text()
    return {int(row.group(1)): NAMED.findall(row.group()) for row in ROW.finditer(page)}


def defined_in(file: Path) -> set[str]:
    """Return the tests that a file defines, in classes too; none when there is no such file."""
    tree = ast.parse(file.read_text()) if file.is_file() else ast.Module(body=[], type_ignores=[])
    return {each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)}


def test_every_pain_has_a_row_with_tests(rows: dict[int, list[tuple[str, str]]]) -> None:
    assert sorted(rows) == list(range(1, PAINS + 1))
    assert [number for number, named in rows.items() if not named] == []


def test_every_test_that_is_named_exists(
    rows: dict[int, list[tuple[str, str]]], project_folder: Path
) -> None:
    named = {each for row in rows.values() for each in row}
    found = {file: defined_in(project_folder / "tests" / file) for file, _ in named}
    assert [f"{file}::{name}" for file, name in sorted(named) if name not in found[file]] == []
