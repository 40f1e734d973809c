"""The project's own application: system checks and management commands."""

from typing import Any

from django.apps import AppConfig
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.db.models import Field


class EmailsyncConfig(AppConfig):
    """Loads the checks when Django starts."""

    name = "emailsync"
    label = "emailsync"

    def ready(self) -> None:
        """Register the system checks, a comparison, and what only a live database needs."""
        from emailsync import checks
        from emailsync.web.lookups import Among

        checks.load()
        Field.register_lookup(Among)
        connection_created.connect(plan_for_lists, dispatch_uid="plan_for_lists")


def plan_for_lists(*, connection: BaseDatabaseWrapper, **_: Any) -> None:
    """Have PostgreSQL plan for short questions: its defaults are made for disks that seek and for long ones.

    Lists are found by indexes that memory holds. Starting helpers and compiling cost more than answering, and
    the helpers would take the processors of the workers.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('random_page_cost', '1.1', false), set_config('jit', 'off', false), "
                "set_config('max_parallel_workers_per_gather', '0', false)"
            )
