"""`manage.py demo`: the demo environment and its mail server. `up --demo` calls --prepare and --serve."""

from importlib import import_module
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from emailsync.management.demonstration import state, world


class Command(BaseCommand):
    """Prepares, serves, removes or describes the demo."""

    requires_system_checks: list[str] = []
    help = "Say whether the demo is there; with --remove, delete its environment, its mail and its server."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare what can be done."""
        actions = parser.add_mutually_exclusive_group()
        actions.add_argument("--remove", action="store_true", help="delete the demo with everything in it")
        actions.add_argument(
            "--prepare", action="store_true", help="create the environment (done by up --demo)"
        )
        actions.add_argument("--serve", action="store_true", help="run the mail server (done by up --demo)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do the one thing asked for."""
        if options["serve"]:
            self._serve()
        elif options["prepare"]:
            world.prepare(now=timezone.now())
        elif options["remove"]:
            removed = world.remove()
            state.remove()
            self.stdout.write("The demo is removed." if removed else "There is no demo; nothing was changed.")
        else:
            self.stdout.write(
                "The demo is there." if state.exists() else "There is no demo. Start it: up --demo"
            )

    def _serve(self) -> None:
        if not state.exists():
            raise CommandError("There is no demo. Start it with: manage.py up --demo")
        # Imported here because only the extra `demo` installs what it needs.
        import_module("emailsync.management.demonstration.server").serve()
