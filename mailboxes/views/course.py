"""How a mailbox is doing: its readiness and its next and last run, synchronizing it now, and its tests."""

from datetime import datetime
from typing import Any, cast
from uuid import UUID

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from emailsync.web.responses import is_fragment, page_response, saved_response
from mailboxes.choices import Direction
from mailboxes.models import Diagnosis, Mailbox
from mailboxes.services import editing, last_run, progress, readiness
from mailboxes.views.head import mailbox_head
from profiles.access import Permission

#: How many earlier tests are listed.
EARLIER = 20


def course_context(mailbox: Mailbox, *, now: datetime, asked: datetime | None = None) -> dict[str, Any]:
    """Return what the card about readiness, next and last run is drawn from.

    `asked` is when somebody asked to synchronize now; while that is not done, the card asks again soon.
    """
    found = readiness.courses(mailbox, now=now)
    incoming = next(each for each in found if each.direction == Direction.INCOMING)
    done = asked is not None and _is_done(incoming, asked)
    url = reverse("mailboxes:mailbox_course", args=[mailbox.environment.slug, mailbox.pk])
    is_waiting = asked is not None and not done and incoming.word in {"running", "busy"}
    return {
        "courses": found,
        "incoming": incoming,
        "course_url": f"{url}?{urlencode({'asked': asked.isoformat()})}" if asked and is_waiting else url,
        "is_waiting": is_waiting,
        "changes_soon": is_waiting or any(each.is_tested_now for each in found),
        "said": _said(incoming) if asked and not is_waiting else "",
    }


def _is_done(incoming: readiness.Course, asked: datetime) -> bool:
    last = incoming.last
    return incoming.word != "busy" and last is not None and last.started_on >= asked


def _said(incoming: readiness.Course) -> str:
    last = incoming.last
    if incoming.word != "running" or last is None or last.ended_on is None:
        return _("Synchronizing did not succeed. The card says why.")
    return _("Synchronized now. %(what)s") % {"what": last_run.said(last)}


def results_context(mailbox: Mailbox) -> dict[str, Any]:
    """Return what the results of the tests of `mailbox` (with states) are drawn from."""
    attempted_by = getattr(mailbox, "attempted_by", None)
    tested = [getattr(mailbox, f"{direction}_tested_on", None) for direction in Direction.values]
    return {
        "completed_on": getattr(mailbox, "tested_on", None) or max(filter(None, tested), default=None),
        "attempted_by": User.objects.filter(pk=attempted_by).first() if attempted_by else None,
    }


def _card(
    request: HttpRequest, mailbox: Mailbox, head: dict[str, Any], *, now: datetime, asked: datetime | None
) -> HttpResponse:
    """Show the card, with whatever else on the page says how the mailbox is doing."""
    context = {
        **head,
        **course_context(mailbox, now=now, asked=asked),
        **results_context(mailbox),
        "is_fragment": True,
    }
    return page_response(request, "mailboxes/mailbox_detail.html", "mailboxes/_course.html", context)


@require_safe
def mailbox_course(request: HttpRequest, slug: str, pk: UUID) -> HttpResponse:
    """Show the card alone; it asks for itself again and again."""
    mailbox, head = mailbox_head(request.user, slug, pk, Permission.READ_MAILBOXES, tab="general")
    if not is_fragment(request):
        return saved_response(request, mailbox.get_absolute_url(), title=_("This is the mailbox's page"))
    asked = parse_datetime(request.GET.get("asked", "")) if request.GET.get("asked") else None
    return _card(request, mailbox, head, now=timezone.now(), asked=asked)


@require_POST
def mailbox_sync_now(request: HttpRequest, slug: str, pk: UUID) -> HttpResponse:
    """Have the Inbox looked at now; the card then says when that was done and what it brought."""
    mailbox, head = mailbox_head(request.user, slug, pk, Permission.DIAGNOSE, tab="general")
    now = timezone.now()
    is_enabled = editing.sync_now(mailbox, by=cast("User", request.user), now=now)
    if not is_enabled:
        title = _("Incoming email is not enabled")
        text = _("Run Test & Enable first; the page says what stands in the way.")
        return saved_response(request, mailbox.get_absolute_url(), title=title, text=text, intent="error")
    if not is_fragment(request):
        title = _("Incoming email is synchronized in a moment")
        return saved_response(request, mailbox.get_absolute_url(), title=title)
    return _card(request, mailbox, head, now=now, asked=now)


@require_safe
def mailbox_tests(request: HttpRequest, slug: str, pk: UUID) -> HttpResponse:
    """Show the tab Configuration test results: the latest test with its steps, and earlier ones."""
    mailbox, head = mailbox_head(request.user, slug, pk, Permission.READ_MAILBOXES, tab="tests")
    tests = Diagnosis.objects.filter(mailbox=mailbox).select_related("job__created_by").order_by("-pk")
    shown = list(tests[:EARLIER])
    for each in shown:
        each.mailbox = mailbox
        each.job.environment = mailbox.environment
    latest = shown[0] if shown else None
    rows = progress.rows(latest.job, [latest], opened=(), all_open=True, now=timezone.now()) if latest else []
    context = {
        **head,
        "latest": rows[0] if rows else None,
        "earlier": shown[1:],
        "is_running": latest is not None and latest.finished_on is None,
    }
    return page_response(request, "mailboxes/mailbox_tests.html", "mailboxes/_mailbox_tests.html", context)
