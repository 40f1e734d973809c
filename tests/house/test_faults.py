"""The page of faults has a row for every code that the product can tell, and the rows come from a run."""

import re
from pathlib import Path

import pytest

# Each is named so that all kinds of failures are there to be found.
import mailboxes.engine.braking
import mailboxes.engine.reaching  # noqa: F401
from emailsync.mail.errors import MailError
from mailboxes.engine import claiming
from mailboxes.services import progress

#: Kinds that only hold others together: nobody raises them.
BRANCHES = {
    *("mail_error", "not_allowed", "not_connected", "not_secured", "not_signed_in", "not_authorized"),
    "message_failure",
}
A_BLOCKER = re.compile(r'\bBlocker\(\s*"(\w+)"')


def kinds(of: type[MailError] = MailError) -> list[type[MailError]]:
    """Return a kind of failure with all kinds of it."""
    return [of, *(each for child in of.__subclasses__() for each in kinds(child))]


@pytest.fixture(scope="module")
def sources(project_folder: Path) -> dict[str, str]:
    """Give the program's text by path, without where failures are declared."""
    paths = [*(project_folder / "emailsync").rglob("*.py"), *(project_folder / "mailboxes").rglob("*.py")]
    return {str(path): path.read_text() for path in paths if path.parent.name != "errors"}


def test_every_code_has_a_row(project_folder: Path, sources: dict[str, str]) -> None:
    page = (project_folder / "docs" / "faults.md").read_text()
    blockers = {code for text in sources.values() for code in A_BLOCKER.findall(text)}
    codes = {kind.code for kind in kinds()} | blockers | {claiming.CLAIMED_ELSEWHERE}
    assert {"login_refused", "sign_ins_paused", "profile_inactive"} <= codes
    assert sorted(codes - BRANCHES - set(re.findall(r"`(\w+)` \|", page))) == []


def test_every_code_that_leads_to_a_place_exists(sources: dict[str, str]) -> None:
    blockers = {code for text in sources.values() for code in A_BLOCKER.findall(text)}
    known = {kind.code for kind in kinds()} | blockers
    assert sorted((progress._CREDENTIALS | progress._CONNECTION | progress._MAILBOX) - known) == []


def test_nobody_raises_what_only_holds_others_together(sources: dict[str, str]) -> None:
    names = {kind.__name__ for kind in kinds() if kind.code in BRANCHES}
    raised = re.compile(rf"\b(?:raise|return) (?:errors\.)?({'|'.join(names)})\(")
    assert [path for path, text in sources.items() if raised.search(text)] == []
    assert len(names) == len(BRANCHES)
