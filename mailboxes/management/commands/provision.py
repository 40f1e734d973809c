"""`manage.py provision FILE`: an installation described as a file (docs/provisioning.md)."""

import os
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from mailboxes.management.provisioning.applying import Applier
from mailboxes.management.provisioning.document import Rejected, read
from profiles.models import StaleRecord


class Command(BaseCommand):
    """Creates or updates what a file describes, all of it or nothing."""

    help = "Create or update environments, profiles, settings and mailboxes as a YAML file describes them."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare FILE and --check."""
        parser.add_argument("file", type=Path, help="the YAML file")
        parser.add_argument("--check", action="store_true", help="say what would be done, and change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        """Apply the file and say what was done; the values are never printed."""
        path: Path = options["file"]
        # Which variables hold passwords is said by the file, so they cannot be settings.
        applier = Applier(folder=path.absolute().parent, variables=os.environ, now=timezone.now())
        try:
            report = applier.apply(read(path), only_check=options["check"])
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error.strerror}.") from error
        except Rejected as error:
            lines = [
                f"{path}:{c.line}: {c.key}: {c.sentence}".replace(": : ", ": ") for c in error.complaints
            ]
            raise CommandError("\n".join([*lines, "Nothing was changed."])) from error
        except StaleRecord as error:
            raise CommandError("Somebody edited one of these records meanwhile. Run it again.") from error
        for change in report.changes:
            self.stdout.write(f"{change}.")
        if not report.changes:
            self.stdout.write(
                f"Everything is as described ({report.unchanged} records); nothing was changed."
            )
        elif options["check"]:
            self.stdout.write("Only checked; nothing was changed.")
