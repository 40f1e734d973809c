"""Templates fit the strict content security policy, and scripts and sheets load nothing from elsewhere."""

import re
from pathlib import Path

import pytest

RULES = {
    "an inline script": re.compile(r"<script(?![^>]*\bsrc=)", re.IGNORECASE),
    "an inline style": re.compile(r"<style\b|\sstyle=[\"']", re.IGNORECASE),
    "an event attribute": re.compile(r"\son[a-z]+\s*=\s*[\"']", re.IGNORECASE),
    "an event attribute of htmx": re.compile(r"\s(?:data-)?hx-on\b", re.IGNORECASE),
    "a javascript: address": re.compile(r"javascript:", re.IGNORECASE),
    "an escape switched off": re.compile(r"\|\s*safe\b|autoescape\s+off"),
    "a resource from another host": re.compile(
        r"<(?:script|link|img|iframe)\b[^>]*(?:src|href)=[\"'](?:https?:)?//", re.IGNORECASE
    ),
}

# A received message is shown in a frame of its own, whose policy allows this one sheet and no script.
A_MESSAGE = "templates/mailboxes/message_html.html: <style"


def found(folder: Path, pattern: str, rule: re.Pattern[str]) -> list[str]:
    return [
        f"{path.relative_to(folder)}: {match.group().strip()}"
        for path in sorted(folder.glob(pattern))
        for match in rule.finditer(path.read_text())
    ]


@pytest.mark.parametrize("what", RULES)
def test_no_template_holds(project_folder: Path, what: str) -> None:
    assert set(found(project_folder, "templates/**/*.html", RULES[what])) <= {A_MESSAGE}


def test_our_script_evaluates_no_text(project_folder: Path) -> None:
    scripts = [path for path in (project_folder / "static").rglob("*.js") if "htmx" not in path.name]
    evaluates = re.compile(r"\beval\(|new Function\(|\.innerHTML\s*=|insertAdjacentHTML")
    assert [path.name for path in scripts if evaluates.search(path.read_text())] == []


def test_no_sheet_loads_from_elsewhere(project_folder: Path) -> None:
    assert found(project_folder, "static/**/*.css", re.compile(r"url\(\s*[\"']?(?:https?:)?//|@import")) == []
