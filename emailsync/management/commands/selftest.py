"""`manage.py selftest`: prove the installation without any mail account."""

import sys
import time
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from emailsync import health
from emailsync.management.selftest import journey, table
from emailsync.management.selftest.proving import prove


class Command(BaseCommand):
    """Lets every failure happen, then makes one journey that must work."""

    help = (
        "Prove the installation in a minute, without a mail account: every known failure of a mail server is "
        "produced and must be told apart, then a mailbox is tested, receives and sends in a throw-away "
        "database. Exit status 1 means that something is not as it should be."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare what can be done."""
        parser.add_argument("--write-table", type=Path, metavar="FILE", help="also write docs/faults.md")
        parser.add_argument("--journey", action="store_true", help="only the journey, in this database")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run it and exit with its status."""
        sys.exit(0 if (self._travel() if options["journey"] else self._run(options["write_table"])) else 1)

    def _travel(self) -> bool:
        try:
            for line in journey.travel():
                self.stdout.write(line)
        except journey.NotArrived as told:
            self.stdout.write(str(told))
            return False
        return True

    def _run(self, page: Path | None) -> bool:
        begun = time.monotonic()
        for complaint in health.complaints(timezone.now()):
            self.stdout.write(f"note  {complaint}")
        results, travelled = prove(), journey.run_apart()
        for line in table.for_terminal(results, travelled.told):
            self.stdout.write(line)
        for line in travelled.lines:
            self.stdout.write(f"{'ok    ' if travelled.arrived else 'WRONG '}{line}")
        if page is not None:
            page.write_text(table.for_docs(results, travelled.told), encoding="utf-8")
        judged = [each.is_expected for each in results] + [each.is_expected for each in travelled.told]
        is_well = travelled.arrived and all(judged)
        verdict = "everything works" if is_well else "something is wrong, see above"
        self.stdout.write(
            f"{sum(judged)} of {len(judged)} failures told as they should be; {verdict} "
            f"({time.monotonic() - begun:.0f} s)."
        )
        return is_well
