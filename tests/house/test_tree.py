"""What stands where, and what must stand nowhere."""

import re
import subprocess
from pathlib import Path

import pytest

ALLOWED_AT_THE_TOP = {
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Dockerfile",
    "LICENSE",
    "Makefile",
    "README.md",
    "bench",
    "compose.yaml",
    "docs",
    "locale",
    "emailsync",
    "mailboxes",
    "manage.py",
    "profiles",
    "pyproject.toml",
    "requirements",
    "static",
    "templates",
    "tests",
}
PRODUCTION = ("emailsync/", "mailboxes/", "profiles/", "manage.py")
# Written in pieces so that these rules do not find themselves.
WORDS = "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"])
UNFINISHED = re.compile(rf"\b({WORDS})\b|[Cc]oming soon")
MACHINE_PATH = re.compile(r"(?<![\w.])/(home|Users|root|work)/[\w.-]+")
COLLECTED = re.compile(r"^\s*(?:class|def)\s+(?:T|t)est\w*")


@pytest.fixture(scope="module")
def files(project_folder: Path) -> list[str]:
    """Give every file of the repository that git would take, except what was deleted."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=project_folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return sorted(path for path in listed.stdout.split("\0") if path and (project_folder / path).is_file())


@pytest.fixture(scope="module")
def texts(files: list[str], project_folder: Path) -> dict[str, str]:
    """Give the text of every text file by its path."""
    found = {}
    for path in files:
        content = (project_folder / path).read_bytes()
        if b"\0" not in content and not path.endswith(".eml"):
            found[path] = content.decode("utf-8", errors="replace")
    return found


def places(
    texts: dict[str, str], pattern: re.Pattern[str], *, among: str | tuple[str, ...] = ""
) -> list[str]:
    """Return `path:line: text` of every match in files whose path begins so."""
    return [
        f"{path}:{number}: {line.strip()[:120]}"
        for path, text in texts.items()
        if path.startswith(among)
        for number, line in enumerate(text.splitlines(), start=1)
        if pattern.search(line)
    ]


def of_kind(texts: dict[str, str], suffix: str) -> dict[str, str]:
    """Return the texts whose path ends so."""
    return {path: text for path, text in texts.items() if path.endswith(suffix)}


def test_nothing_stray_stands_at_the_top(files: list[str]) -> None:
    top = {path.split("/")[0] for path in files}
    assert {name for name in top if not name.startswith(".")} <= ALLOWED_AT_THE_TOP


def test_no_path_of_a_machine_is_named(texts: dict[str, str]) -> None:
    assert places(texts, MACHINE_PATH) == []


def test_nothing_is_marked_unfinished(texts: dict[str, str]) -> None:
    assert places(of_kind(texts, ".py") | of_kind(texts, ".html") | of_kind(texts, ".js"), UNFINISHED) == []


def test_no_production_name_looks_like_a_test(texts: dict[str, str]) -> None:
    assert places(of_kind(texts, ".py"), COLLECTED, among=PRODUCTION) == []


def test_production_does_not_import_tests(texts: dict[str, str]) -> None:
    imports = re.compile(r"^\s*(from|import) (tests|bench)\b")
    assert places(of_kind(texts, ".py"), imports, among=PRODUCTION) == []


def test_the_project_package_stays_empty(texts: dict[str, str]) -> None:
    assert texts["emailsync/__init__.py"].strip() == ""


def test_only_the_settings_read_the_environment(texts: dict[str, str]) -> None:
    # Starting children with a copy of the environment is not reading a setting.
    reads = re.compile(r"os\.getenv|os\.environ(\[|\.get)|environ\.Env")
    found = places(of_kind(texts, ".py"), reads, among=("emailsync/", "mailboxes/", "profiles/"))
    assert [
        place
        for place in found
        if not place.startswith("emailsync/settings.py:") and "PYTHONPATH" not in place
    ] == []
