"""The lock files name every package by hash and no registry."""

import re
import tomllib
from pathlib import Path

import pytest

LOCKS = ("production", "run", "test")
PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]+\])?==(\S+)", re.MULTILINE)


def lock(project_folder: Path, name: str) -> str:
    return (project_folder / "requirements" / f"{name}.txt").read_text()


def pins(text: str) -> dict[str, str]:
    return {normal(name): version for name, version in PINNED.findall(text)}


def normal(name: str) -> str:
    """Return the package's name as PEP 503 writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_no_host(project_folder: Path, name: str) -> None:
    assert re.findall(r".*(?:://|index-url|find-links| @ ).*", lock(project_folder, name)) == []


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_of_a_lock_has_hashes(project_folder: Path, name: str) -> None:
    blocks = re.split(r"\n(?=\S)", lock(project_folder, name).strip())
    assert [block for block in blocks if "--hash=sha256:" not in block] == []


@pytest.mark.parametrize("name", ["production", "run"])
def test_a_smaller_lock_agrees_with_the_tests_lock(project_folder: Path, name: str) -> None:
    assert pins(lock(project_folder, name)).items() <= pins(lock(project_folder, "test")).items()


def test_every_declared_package_is_locked(project_folder: Path) -> None:
    project = tomllib.loads((project_folder / "pyproject.toml").read_text())
    declared = {normal(re.split(r"[\[<>=]", line)[0]) for line in project["project"]["dependencies"]}
    assert declared <= pins(lock(project_folder, "production")).keys()


def test_production_has_no_demo_and_no_test_packages(project_folder: Path) -> None:
    project = tomllib.loads((project_folder / "pyproject.toml").read_text())
    extras = [*project["project"]["optional-dependencies"]["demo"], *project["dependency-groups"]["test"]]
    unwanted = {normal(re.split(r"[\[<>=]", line)[0]) for line in extras}
    assert unwanted & pins(lock(project_folder, "production")).keys() == set()
