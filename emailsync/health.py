"""Liveness and readiness for monitors, and the sign of life that every worker's clock leaves.

`/health/live` says that this process answers; it asks nothing of the database. `/health/ready` says that
mail can be worked on now: the database answers and has this version's tables, stored secrets can be
opened, and some worker was alive within the last seconds. Neither needs a login nor tells a secret.
"""

import shutil
import threading
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.core.cache import cache
from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.exceptions import MigrationSchemaMissing
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from emailsync.checks import SMALLEST_FREE_SPACE, secrets_complaint

#: How often a worker signs; a clock that ticks faster signs only this often.
BEAT_EVERY = timedelta(seconds=5)
#: How old the last sign may be: three signs missed and a slow clock.
ALIVE_WITHIN = timedelta(seconds=25)
_KEY = "worker-beat"

_lock = threading.Lock()
_last_beat: datetime | None = None


def beat(now: datetime) -> None:
    """Sign that a worker's clock ticks; all workers share one sign, since one that lives is enough."""
    global _last_beat  # noqa: PLW0603  (one clock per process; its last sign belongs to the process)
    with _lock:
        if _last_beat is not None and timedelta() <= now - _last_beat < BEAT_EVERY:
            return
        _last_beat = now
    cache.set(_KEY, now.isoformat(), timeout=3600)


def last_beat() -> datetime | None:
    """Return when a worker last signed."""
    signed = cache.get(_KEY)
    return datetime.fromisoformat(signed) if signed else None


def complaints(now: datetime) -> list[str]:
    """Return why mail cannot be worked on now; an empty list means ready."""
    try:
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            return ["The database has not the tables of this version. Run: manage.py migrate"]
        found = [complaint] if (complaint := secrets_complaint(sample=5)) else []
        signed = last_beat()
    except (DatabaseError, InterfaceError, MigrationSchemaMissing):
        return ["The database does not answer."]
    if settings.DATA_DIR.exists() and shutil.disk_usage(settings.DATA_DIR).free < SMALLEST_FREE_SPACE:
        found.append("The disk with the data folder is full.")
    if signed is None or not now - signed < ALIVE_WITHIN:
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
