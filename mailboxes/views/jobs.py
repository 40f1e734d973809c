"""Test & Enable jobs: the list, and the page that follows one while it runs."""

from datetime import datetime, timedelta
from typing import Any, ClassVar, cast
from uuid import UUID

from django.contrib.auth.models import User
from django.db.models import Count, F, Q, QuerySet
from django.db.models.functions import Lower
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from emailsync.web.listing import Column, Facet, Listing
from emailsync.web.responses import dialog_response, page_response, redirect_response, saved_response
from mailboxes import access as mailbox_access
from mailboxes.choices import RunState
from mailboxes.models import Diagnosis, Job, Mailbox
from mailboxes.services import diagnosis, progress
from mailboxes.views.approval import counted
from profiles import access
from profiles.access import Permission, Person
from profiles.models import Environment, ServerProfile
from profiles.views.profile_list import list_page


class JobListing(Listing[Job]):
    """The jobs of one environment, newest first."""

    columns: ClassVar = (
        Column("started", "Started", sort=("created_on",)),
        Column("about", "Mailboxes", sort=("shown_total",)),
        Column("by", "Started by", sort=(Lower("created_by__username"),)),
        Column("enabled", "Enabled", sort=("shown_changed",)),
        Column("failed", "Failed", sort=("shown_failed",)),
        Column("took", "Time", sort=("took",), classes="lg end"),
    )
    search: ClassVar = ("created_by__username", "server_profile__name")
    facets: ClassVar = (
        Facet("running", "Running", Q(finished_on__isnull=True)),
        Facet("failed", "With failures", Q(shown_failed__gt=0)),
    )
    default_sort: ClassVar[str] = "-started"
    noun: ClassVar[tuple[str, str]] = ("job", "jobs")


class DiagnosisListing(Listing[Diagnosis]):
    """The mailboxes of one job. They keep their order while it runs."""

    columns: ClassVar = (Column("name", "Mailbox", sort=(Lower("mailbox__name"),)),)
    facets: ClassVar = (
        Facet("failed", "Failed", progress.DONE & progress.FAILED),
        Facet("enabled", "Enabled", progress.DONE & progress.SUCCEEDED & ~progress.FAILED),
        Facet("unfinished", "Unfinished", ~progress.DONE),
    )
    page_sizes: ClassVar = (50,)
    default_sort: ClassVar[str] = "name"
    noun: ClassVar[tuple[str, str]] = ("mailbox", "mailboxes")


def jobs_of(environment: Environment, *, user: Person) -> QuerySet[Job]:
    """Return the environment's jobs with the numbers that a row of the list shows.

    Who sees only some mailboxes sees the jobs on them, and only those mailboxes are counted.
    """
    numbers: dict[str, Any] = {
        "shown_total": F("total"),
        "shown_changed": F("changed"),
        "shown_failed": F("failed"),
    }
    if Permission.READ_MAILBOXES not in environment.may:
        own = Q(diagnoses__mailbox__owner=user.pk)
        failed = Q(diagnoses__incoming="failure") | Q(diagnoses__outgoing="failure")
        succeeded = Q(diagnoses__incoming="success") | Q(diagnoses__outgoing="success")
        done = own & Q(diagnoses__state=RunState.DONE)
        numbers = {
            "shown_total": Count("diagnoses", filter=own),
            "shown_changed": Count("diagnoses", filter=done & succeeded & ~failed),
            "shown_failed": Count("diagnoses", filter=done & failed),
        }
    jobs = mailbox_access.jobs(user, environment)
    return (
        jobs.select_related("created_by", "server_profile")
        .defer("server_profile__password", "server_profile__outgoing_password")
        .annotate(took=F("finished_on") - F("created_on"), **numbers)
    )


@require_safe
def job_list(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the jobs of an environment."""
    environment = access.enter(request.user, slug)
    url = reverse("mailboxes:job_list", args=[slug])
    jobs = jobs_of(environment, user=request.user)
    context = {"environment": environment, "listing": JobListing(request.GET, jobs, url=url)}
    return page_response(request, "mailboxes/job_list.html", "mailboxes/_job_rows.html", context)


@require_safe
def job_detail(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Show how far a job has come; the same after every reload."""
    return render(request, "mailboxes/job_detail.html", _progress(request, slug, pk))


@require_safe
def job_progress(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Show the part of a job's page that changes; it asks for itself again while the job is unfinished."""
    return render(
        request, "mailboxes/_job_progress.html", {**_progress(request, slug, pk), "is_fragment": True}
    )


def _progress(request: HttpRequest, slug: str, pk: int) -> dict[str, Any]:
    job, diagnoses = _job(request.user, slug, pk)
    now = timezone.now()
    counts = progress.count(job, diagnoses, now=now)
    shown = diagnoses.select_related("mailbox__server_profile")
    listing = DiagnosisListing(request.GET, shown, url=job.get_absolute_url())
    opened = {
        int(word)
        for word in request.GET.getlist("open")
        if word.isascii() and word.isdecimal() and len(word) < 19
    }
    rows = progress.rows(job, listing.rows, opened=opened, all_open=counts.total == 1, now=now)
    own_address = _addresses(listing, opened=opened)
    page_url = job.get_absolute_url()
    fragment_url = reverse("mailboxes:job_progress", args=[slug, pk])
    return {
        "environment": job.environment,
        "job": job,
        "counts": counts,
        "listing": listing,
        "rows": [
            _line(row, listing, opened=opened, page_url=page_url, fragment_url=fragment_url) for row in rows
        ],
        "poll_url": f"{fragment_url}?{own_address}",
        "here": f"{page_url}?{own_address}",
        "is_finished": counts.is_finished,
        "is_stalled": counts.is_stalled(now=now),
        "badges": _badges(counts),
        "time_left": _time_left(job, counts, now=now),
        "took": (job.finished_on or now) - job.created_on,
    }


def _job(user: Person, slug: str, pk: int) -> tuple[Job, QuerySet[Diagnosis]]:
    """Return a job, and those of its diagnoses whose mailboxes `user` may see."""
    environment = access.enter(user, slug)
    found = Job.objects.select_related("created_by", "server_profile")
    job = get_object_or_404(found, environment=environment, pk=pk)
    job.environment = environment
    if Permission.READ_MAILBOXES in environment.may:
        return job, Diagnosis.objects.filter(job=job)
    own = Diagnosis.objects.filter(job=job, mailbox__owner=user.pk)
    if not own.exists():
        raise Http404("There is no such job.")
    return job, own


def _addresses(listing: DiagnosisListing, *, opened: set[int]) -> str:
    """Return the words after the question mark that show this page with these rows open."""
    words = QueryDict(mutable=True)
    words.update(listing.state)
    if listing.page > 1:
        words["page"] = str(listing.page)
    words.setlist("open", [str(pk) for pk in sorted(opened)])
    return words.urlencode()


def _line(
    row: progress.Row, listing: DiagnosisListing, *, opened: set[int], page_url: str, fragment_url: str
) -> dict[str, Any]:
    """Return a row with the addresses that open or close its steps."""
    words = _addresses(listing, opened=opened ^ {row.diagnosis.pk})
    return {"row": row, "url": f"{page_url}?{words}", "fragment_url": f"{fragment_url}?{words}"}


def _badges(counts: progress.Counts) -> list[tuple[str, str]]:
    """Return a status and a text for each number that is not zero."""
    shown = [
        ("enabled", f"{counts.enabled} enabled", counts.enabled),
        ("failure", f"{counts.failed} failed", counts.failed),
        ("skipped", f"{counts.skipped} not configured", counts.skipped),
        ("testing", f"{counts.running} testing", counts.running),
        ("waiting", f"{counts.waiting} waiting", counts.waiting),
    ]
    return [(status, text) for status, text, number in shown if number]


def _time_left(job: Job, counts: progress.Counts, *, now: datetime) -> timedelta | None:
    """Estimate from what is done, in full seconds; nothing while too little is known."""
    if counts.is_finished or counts.done < 3 or not counts.running:
        return None
    left = (now - job.created_on) / counts.done * (counts.total - counts.done)
    return timedelta(seconds=round(left.total_seconds()))


@require_POST
def job_again(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Test those again that failed in a job, as a new job."""
    job, diagnoses = _job(request.user, slug, pk)
    failed = diagnoses.filter(progress.DONE & progress.FAILED)
    mailboxes = Mailbox.objects.filter(pk__in=failed.values("mailbox"))
    if not mailboxes.exists():
        return saved_response(
            request,
            job.get_absolute_url(),
            title="Nothing failed",
            text="There is nothing to test again.",
            leave=True,
        )
    user = cast("User", request.user)
    again = diagnosis.start(mailboxes, environment=job.environment, by=user, now=timezone.now())
    return redirect_response(request, again.get_absolute_url())


@require_http_methods(["GET", "HEAD", "POST"])
def profile_diagnose(request: HttpRequest, slug: str, pk: UUID) -> HttpResponse:
    """Ask about, and then start, Test & Enable for all active mailboxes of a server profile."""
    environment = access.enter(request.user, slug, Permission.DIAGNOSE)
    profile = get_object_or_404(ServerProfile, environment=environment, pk=pk)
    mailboxes = Mailbox.objects.active().filter(environment=environment, server_profile=profile)
    number = mailboxes.count()
    back = reverse("profiles:profile_list", args=[slug])
    if not number:
        return saved_response(
            request,
            back,
            title="Nothing to test",
            text=f"No active mailbox uses {profile.name} yet. Choose it in a mailbox first.",
            intent="warning",
        )
    if request.method == "POST":
        user = cast("User", request.user)
        job = diagnosis.start(
            mailboxes, environment=environment, by=user, now=timezone.now(), server_profile=profile
        )
        return redirect_response(request, job.get_absolute_url())
    context = {
        "environment": environment,
        "profile": profile,
        "number": counted(number, "diagnose"),
        "back_url": back,
    }
    return dialog_response(
        request,
        "mailboxes/_profile_diagnose.html",
        context,
        page=lambda: list_page(environment, state=QueryDict()),
    )
