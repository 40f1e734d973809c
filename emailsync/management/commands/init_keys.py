"""`manage.py init_keys`: the keys of a new installation, on machines where `up` is not used."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from emailsync.management import preparing


class Command(BaseCommand):
    """Creates the signing key and the encryption key in the data folder, if they are missing."""

    help = "Create the signing key and the encryption key in the data folder, if they are missing."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Create what is missing and say so."""
        try:
            preparing.make_data_folder()
            created = preparing.make_keys()
        except (OSError, DatabaseError) as error:
            raise CommandError(preparing.explain(error)) from error
        for item in created:
            self.stdout.write(f"Created the {item}. Keep a copy in a safe place.")
        if not created:
            self.stdout.write("All keys are there; nothing was changed.")
