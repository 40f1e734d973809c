"""CSV as spreadsheets write it, in and out: any of three separators, a mark or none, quoted line ends.

What goes out cannot become a formula: a cell that begins like one gets an apostrophe before it.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

LARGEST = 10 * 1024 * 1024
MOST_ROWS = 50_000
SEPARATORS = ",;\t"
#: Spreadsheets compute a cell that begins so.
FORMULA = ("=", "+", "-", "@", "\t", "\r")
#: Tells spreadsheets that the file is UTF-8.
MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"


class Unreadable(Exception):
    """The file as a whole cannot be read; the message is for its sender."""


@dataclass(frozen=True)
class Row:
    """One record: the line it begins on, and its cells in the order of the columns."""

    line: int
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Sheet:
    """A table with a head."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def read(content: bytes) -> Sheet:
    """Return the table in `content`; empty lines are left out. Raises Unreadable."""
    if len(content) > LARGEST:
        raise Unreadable(
            _("The file is larger than %(limit)s MB. Split it.") % {"limit": LARGEST // 1024 // 1024}
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Unreadable(
            _("Line %(line)s is not UTF-8. In your spreadsheet, save the file as “CSV UTF-8”.")
            % {"line": line}
        ) from error
    if "\0" in text:
        raise Unreadable(_("This is not a text file. Save the table as CSV (UTF-8)."))
    rows = _rows(text, separator=_separator(text))
    if not rows:
        raise Unreadable(_("The file is empty. Start from the template."))
    head, *records = rows
    if len(records) > MOST_ROWS:
        raise Unreadable(_("The file has more than %(limit)s rows. Split it.") % {"limit": f"{MOST_ROWS:,}"})
    return Sheet(tuple(cell.strip() for cell in head.cells), tuple(records))


def _separator(text: str) -> str:
    """Return the separator that the head has most of."""
    head = next((line for line in text.splitlines() if line.strip()), "")
    return max(SEPARATORS, key=head.count)


def _rows(text: str, *, separator: str) -> list[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows, line = [], 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append(Row(line, tuple(cells)))
            line = reader.line_num + 1
    except csv.Error as error:
        raise Unreadable(
            _("Line %(line)s cannot be read: a quotation mark is open or stands in the wrong place.")
            % {"line": line}
        ) from error
    return rows


def write(rows: Iterable[Sequence[object]]) -> Iterator[bytes]:
    """Write rows as CSV, piece by piece; the first is the head."""
    out = io.StringIO()
    writer = csv.writer(out)
    out.write(MARK)
    for row in rows:
        writer.writerow([harmless(str(cell)) for cell in row])
        yield out.getvalue().encode()
        out.seek(0)
        out.truncate()


def harmless(cell: str) -> str:
    """Return a cell that no spreadsheet computes."""
    return f"'{cell}" if cell.startswith(FORMULA) else cell


def as_typed(cell: str) -> str:
    """Return what `harmless` was given."""
    return cell[1:] if cell[:1] == "'" and cell[1:].startswith(FORMULA) else cell
