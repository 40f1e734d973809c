"""The project's own application: system checks and management commands."""

from django.apps import AppConfig


class EmailsyncConfig(AppConfig):
    """Loads the checks when Django starts."""

    name = "emailsync"
    label = "emailsync"

    def ready(self) -> None:
        """Register the system checks and what only a live database needs."""
        from emailsync import checks

        checks.load()
