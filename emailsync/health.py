"""Liveness and readiness for monitors.

`/health/live` says that this process answers; it asks nothing of the database. `/health/ready` says that
mail can be worked on now: the database answers and has this version's tables, stored secrets can be
opened, and some worker was alive within the last seconds. Neither needs a login nor tells a secret.
"""

import shutil
from datetime import datetime

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.exceptions import MigrationSchemaMissing
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from emailsync.checks import SMALLEST_FREE_SPACE, secrets_complaint
from emailsync.web.upgrading import MIGRATE
from mailboxes.engine import heartbeat


def complaints(now: datetime) -> list[str]:
    """Return why mail cannot be worked on now; an empty list means ready."""
    try:
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            return [MIGRATE]
        found = [complaint] if (complaint := secrets_complaint(sample=5)) else []
        signed = heartbeat.last_beat()
    except (DatabaseError, InterfaceError, MigrationSchemaMissing):
        return ["The database does not answer."]
    if settings.DATA_DIR.exists() and shutil.disk_usage(settings.DATA_DIR).free < SMALLEST_FREE_SPACE:
        found.append("The disk with the data folder is full.")
    if not heartbeat.is_alive(signed, now=now):
        found.append("No worker is alive. Start one, or look at its log.")
    return found


@login_not_required
@never_cache
@require_safe
def live(_request: HttpRequest) -> JsonResponse:
    """Answer that this process answers."""
    return JsonResponse({"status": "alive"})


@login_not_required
@never_cache
@require_safe
def ready(_request: HttpRequest) -> JsonResponse:
    """Answer 200 when mail can be worked on now, else 503 with the reasons."""
    reasons = complaints(timezone.now())
    if reasons:
        response = JsonResponse({"status": "not ready", "reasons": reasons}, status=503)
        # Django would log an error each time a monitor asks; the answer itself is the news.
        response._has_been_logged = True  # type: ignore[attr-defined]  # noqa: SLF001
        return response
    return JsonResponse({"status": "ready"})
