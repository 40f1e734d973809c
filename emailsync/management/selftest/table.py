"""The results of a selftest as tables: for the terminal, and for docs/faults.md."""

import shutil
import textwrap
from collections.abc import Iterator, Sequence

from emailsync.management.selftest.installation import Told
from emailsync.management.selftest.proving import Result

HEAD = """# What can go wrong, and what the console says

`manage.py selftest` lets each of these failures happen on servers of its own and checks what the probe says;
`manage.py selftest --write-table docs/faults.md` writes this page, and tests hold it true: it is what a run
says, and no code that the product can tell is missing. The words of the servers are those of real ones. Ports
and addresses stand for any others. HTTPS is the token endpoint of an OAuth provider.

The class says what follows:

- **transient**: it is tried again by itself, later each time; a direction that fails for too long is stopped,
  and tried again all the same;
- **credential or configuration**: the direction is stopped, somebody is told what to mend, and it is tried
  again slowly, and at once when something is changed;
- **one message**: only that message is concerned.

| Failure | Protocol | What the console says | What to do | Class |
| --- | --- | --- | --- | --- |
"""
CONDITIONS = """
## What emailsync itself finds

These are no failures of a server. They happen to a mailbox in a throw-away database.

| What | What the console says | What to do | Class |
| --- | --- | --- | --- |
"""


def for_terminal(results: Sequence[Result], told: Sequence[Told]) -> Iterator[str]:
    """Yield the lines of both tables."""
    for result in results:
        scenario = result.scenario
        head = f"{scenario.failure} ({scenario.protocol.upper()}, {scenario.security})"
        yield from _lines(result, head, expected=f"{scenario.code} at the step {scenario.step}")
    for each in told:
        yield from _lines(each, each.failure, expected=each.expected)


def _lines(result: Result | Told, head: str, *, expected: str) -> Iterator[str]:
    width = max(60, min(shutil.get_terminal_size().columns, 160))
    yield f"{'ok    ' if result.is_expected else 'WRONG '}{head}"
    text = f"{result.sentence} [{result.code or 'no failure'}; {result.outcome_class or 'no class'}]"
    yield from textwrap.wrap(text, width, initial_indent=" " * 9, subsequent_indent=" " * 9)
    if not result.is_expected:
        yield f"         Expected: {expected}."


def for_docs(results: Sequence[Result], told: Sequence[Told]) -> str:
    """Return the page."""
    failures = [_row(each, each.scenario.failure, each.scenario.protocol.upper()) for each in results]
    return "".join((HEAD, *failures, CONDITIONS, *(_row(each, each.failure) for each in told)))


def _row(result: Result | Told, *heads: str) -> str:
    cells = (*heads, f"{result.sentence} `{result.code}`", result.remedy, result.outcome_class)
    escaped = [cell.replace("|", "\\|") for cell in cells]
    return f"| {' | '.join(escaped)} |\n"
