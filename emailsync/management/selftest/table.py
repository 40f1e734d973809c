"""The results of a selftest as tables: for the terminal, and for docs/faults.md."""

import shutil
import textwrap
from collections.abc import Iterator, Sequence

from emailsync.management.selftest.proving import Result

HEAD = """# What can go wrong, and what the console says

`manage.py selftest` lets each of these failures happen on servers of its own and checks what the probe says;
`manage.py selftest --write-table docs/faults.md` writes this page, and a test holds it true. The words of the
servers are those of real ones. Ports and addresses stand for any others.

The class says what follows:

- **transient**: it is tried again by itself, later each time; a direction that fails for too long is stopped,
  and tried again all the same;
- **credential or configuration**: the direction is stopped, somebody is told what to mend, and it is tried
  again slowly, and at once when something is changed;
- **one message**: only that message is concerned.

| Failure | Protocol | What the console says | What to do | Class |
| --- | --- | --- | --- | --- |
"""


def for_terminal(results: Sequence[Result]) -> Iterator[str]:
    """Yield the lines of the table."""
    width = max(60, min(shutil.get_terminal_size().columns, 160))
    for result in results:
        mark = "ok    " if result.is_expected else "WRONG "
        scenario = result.scenario
        yield f"{mark}{scenario.failure} ({scenario.protocol.upper()}, {scenario.security})"
        text = f"{result.sentence} [{result.code or 'no failure'}; {result.outcome_class or 'no class'}]"
        yield from textwrap.wrap(text, width, initial_indent=" " * 9, subsequent_indent=" " * 9)
        if not result.is_expected:
            yield f"         Expected: {scenario.code} at the step {scenario.step}."


def for_docs(results: Sequence[Result]) -> str:
    """Return the page."""
    rows = [
        f"| {result.scenario.failure} | {result.scenario.protocol.upper()} | {_cell(result.sentence)} "
        f"`{result.code}` | {_cell(result.remedy)} | {result.outcome_class} |\n"
        for result in results
    ]
    return HEAD + "".join(rows)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
