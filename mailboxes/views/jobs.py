"""Jobs: the list of what was asked for, and the page that follows one while it runs."""

from datetime import datetime, timedelta
from typing import Any, cast

from django.contrib.auth.models import User
from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from emailsync.web.responses import is_fragment, page_response, redirect_response, saved_response
from mailboxes import access as mailbox_access
from mailboxes.choices import JobKind, RunState
from mailboxes.engine import claiming
from mailboxes.models import Diagnosis, Job, Mailbox
from mailboxes.models.diagnosis import DiagnosisQuerySet
from mailboxes.services import diagnosis, jobs, progress
from mailboxes.views.job_listing import (
    DiagnosisListing,
    JobListing,
    RemarkListing,
    changed_words,
    jobs_of,
    left_out_words,
)
from mailboxes.views.job_rows import RowDrawing, page_words
from profiles import access
from profiles.access import Permission, Person
from profiles.models import ServerProfile

#: What the row of a test is drawn with.
SHOWN = (
    *("state", "incoming", "outgoing", "started_on", "finished_on", "mailbox"),
    *("mailbox__name", "mailbox__address", "mailbox__incoming", "mailbox__outgoing"),
    *("mailbox__address_status", "mailbox__environment", "mailbox__server_profile"),
    "mailbox__owner",
)


@require_safe
def job_list(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the jobs of an environment."""
    environment = access.enter(request.user, slug)
    url = reverse("mailboxes:job_list", args=[slug])
    listing = JobListing(request.GET, jobs_of(environment, user=request.user), url=url)
    context = {
        "environment": environment,
        "listing": listing,
        "is_moving": any(not job.is_finished for job in listing.rows),
    }
    return page_response(request, "mailboxes/job_list.html", "mailboxes/_job_rows.html", context)


@require_safe
def job_detail(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Show how far a job has come, or the part that changes, which asks for itself while it is unfinished."""
    context = {**_page(request, slug, pk), "is_fragment": is_fragment(request)}
    return page_response(request, "mailboxes/job_detail.html", "mailboxes/_job_progress.html", context)


def _job(user: Person, slug: str, pk: int) -> tuple[Job, DiagnosisQuerySet]:
    """Return a job, and those of its diagnoses whose mailboxes `user` may see."""
    environment = access.enter(user, slug)
    found = mailbox_access.jobs(user, environment).select_related(
        "created_by", "canceled_by", "server_profile"
    )
    job = get_object_or_404(
        found.defer("server_profile__password", "server_profile__outgoing_password"), pk=pk
    )
    job.environment = environment
    diagnoses = Diagnosis.objects.filter(job=job)
    if Permission.READ_MAILBOXES not in environment.may:
        diagnoses = diagnoses.filter(mailbox__owner=user.pk)
    return job, diagnoses


def _page(request: HttpRequest, slug: str, pk: int) -> dict[str, Any]:
    job, diagnoses = _job(request.user, slug, pk)
    now = timezone.now()
    context: dict[str, Any] = {
        "environment": job.environment,
        "job": job,
        "is_stalled": progress.is_stalled(job, diagnoses, now=now),
        "took": (job.finished_on or now) - job.created_on,
        "may_cancel": not job.is_finished and not job.canceled_on and jobs.may_cancel(request.user, job),
    }
    if job.kind == JobKind.DIAGNOSE:
        context |= _tests(request, job, diagnoses, now=now)
    else:
        context |= _chunks(request, job)
    return {**context, "time_left": _time_left(job, context["done"], context["total"], now=now)}


def _tests(request: HttpRequest, job: Job, diagnoses: DiagnosisQuerySet, *, now: datetime) -> dict[str, Any]:
    sees_all = Permission.READ_MAILBOXES in job.environment.may
    counts = progress.count(
        diagnoses,
        unwritten=job.total - job.position if sees_all else 0,
        is_canceled=job.canceled_on is not None,
    )
    # A hundred mailboxes share few profiles: they are read once.
    profiles = ServerProfile.objects.defer("password", "outgoing_password", "oauth_client_secret")
    shown = (
        diagnoses.select_related("mailbox")
        .only(*SHOWN)
        .prefetch_related(Prefetch("mailbox__server_profile", profiles))
    )
    listing = DiagnosisListing(request.GET, shown, url=job.get_absolute_url(), counts=counts)
    opened = {
        int(word)
        for word in request.GET.getlist("open")
        if word.isascii() and word.isdecimal() and len(word) < 19
    }
    for row in listing.rows:
        row.mailbox.may = mailbox_access.permissions(request.user, row.mailbox)
    rows = progress.rows(job, listing.rows, opened=opened, all_open=counts.total == 1, now=now)
    return {
        "counts": counts,
        "total": counts.total,
        "done": counts.done,
        "failed": counts.failed,
        "listing": listing,
        "rows": RowDrawing(job, listing, opened=opened).draw(rows),
        "here": f"{job.get_absolute_url()}?{page_words(listing, opened=opened)}",
        "badges": _test_badges(counts),
        "may_repeat": counts.failed
        and (
            Permission.DIAGNOSE in job.environment.may or Permission.READ_MAILBOXES not in job.environment.may
        ),
    }


def _chunks(request: HttpRequest, job: Job) -> dict[str, Any]:
    remarks = job.remarks.select_related("mailbox").defer("mailbox__password", "mailbox__notes")
    listing = RemarkListing(request.GET, remarks, url=job.get_absolute_url())
    for remark in listing.rows:
        if remark.mailbox:
            remark.mailbox.environment = job.environment
    return {
        "total": job.total,
        "done": job.done,
        "failed": job.failed,
        "followers": list(job.followers.order_by("pk")) if job.is_finished else [],
        "listing": listing,
        "here": listing.here,
        "badges": _chunk_badges(job),
    }


def _test_badges(counts: progress.Counts) -> list[tuple[str, str]]:
    unconfigured = counts.skipped - counts.canceled
    return _badges(
        ("enabled", counts.succeeded, ngettext("%(number)s enabled", "%(number)s enabled", counts.succeeded)),
        ("failure", counts.failed, ngettext("%(number)s failed", "%(number)s failed", counts.failed)),
        (
            "skipped",
            unconfigured,
            ngettext("%(number)s not configured", "%(number)s not configured", unconfigured),
        ),
        (
            "canceled",
            counts.canceled,
            ngettext("%(number)s canceled", "%(number)s canceled", counts.canceled),
        ),
        ("testing", counts.running, ngettext("%(number)s testing", "%(number)s testing", counts.running)),
        ("waiting", counts.waiting, ngettext("%(number)s waiting", "%(number)s waiting", counts.waiting)),
    )


def _chunk_badges(job: Job) -> list[tuple[str, str]]:
    same = max(job.done - job.changed - job.failed, 0)
    left = 0 if job.is_finished and job.state == RunState.DONE else job.total - job.done
    return _badges(
        ("success", job.changed, changed_words(job.kind, job.changed)),
        ("warning", job.failed, left_out_words(job.kind, job.failed)),
        ("none", same, ngettext("%(number)s needed no change", "%(number)s needed no change", same)),
        (
            ("canceled", left, ngettext("%(number)s not begun", "%(number)s not begun", left))
            if job.is_finished
            else ("waiting", left, ngettext("%(number)s waiting", "%(number)s waiting", left))
        ),
    )


def _badges(*numbers: tuple[str, int, str]) -> list[tuple[str, str]]:
    """Return a status and a text for each number that is not zero."""
    return [(status, text % {"number": f"{number:,}"}) for status, number, text in numbers if number]


def _time_left(job: Job, done: int, total: int, *, now: datetime) -> timedelta | None:
    """Estimate from what is done, in full seconds; nothing while too little is known."""
    if job.is_finished or job.canceled_on or done < 3 or job.started_on is None:
        return None
    left = (now - job.started_on) / done * (total - done)
    return timedelta(seconds=round(left.total_seconds()))


@require_POST
def job_again(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Test those again that failed in a job, as a new job."""
    job, diagnoses = _job(request.user, slug, pk)
    failed = diagnoses.filter(progress.PARTS["failed"])
    mailboxes = Mailbox.objects.filter(pk__in=failed.values("mailbox"))
    if not mailboxes.exists():
        return saved_response(
            request,
            job.get_absolute_url(),
            title=_("Nothing failed"),
            text=_("There is nothing to test again."),
            leave=True,
        )
    user = cast("User", request.user)
    again = diagnosis.start(
        mailboxes,
        environment=job.environment,
        by=user,
        now=timezone.now(),
        server_profile=job.server_profile,
        takes_over=job.takes_over and claiming.may_take_over(mailboxes, environment=job.environment, by=user),
    )
    return redirect_response(request, again.get_absolute_url())


@require_POST
def job_cancel(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Begin nothing more of a job."""
    job, _diagnoses = _job(request.user, slug, pk)
    done = jobs.cancel(job, by=cast("User", request.user), now=timezone.now())
    return saved_response(
        request,
        job.get_absolute_url(),
        title=_("Job canceled") if done else _("The job is finished already"),
        text=_("What runs comes to its end. Nothing more is begun.") if done else "",
        intent="success" if done else "information",
        leave=True,
    )
