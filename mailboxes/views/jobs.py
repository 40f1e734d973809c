"""Jobs: the list of what was asked for, and the page that follows one while it runs."""

from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, ClassVar, cast

from django.contrib.auth.models import User
from django.db.models import Count, F, Q, QuerySet
from django.db.models.functions import Lower
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_POST, require_safe

from emailsync.web.listing import Column, Facet, Listing, View
from emailsync.web.listing_parts import Choice
from emailsync.web.responses import page_response, redirect_response, saved_response
from mailboxes import access as mailbox_access
from mailboxes.choices import UNFINISHED, JobKind, RunState
from mailboxes.models import Diagnosis, Job, JobRemark, Mailbox
from mailboxes.models.diagnosis import DiagnosisQuerySet
from mailboxes.services import diagnosis, jobs, progress
from profiles import access
from profiles.access import Permission, Person
from profiles.models import Environment


class JobListing(Listing[Job]):
    """The jobs of one environment, newest first."""

    columns: ClassVar = (
        Column("kind", gettext_lazy("Job"), sort=("kind",)),
        Column("by", gettext_lazy("Started by"), sort=(Lower("created_by__username"),)),
        Column("started", gettext_lazy("Started"), sort=("created_on",)),
        Column("progress", gettext_lazy("Progress"), sort=("shown_total",)),
        Column("result", gettext_lazy("Result"), sort=("shown_failed",)),
        Column("took", gettext_lazy("Duration"), sort=("took",), classes="lg end"),
    )
    search: ClassVar = (
        "title",
        "server_profile__name",
        "created_by__username",
        "created_by__first_name",
        "created_by__last_name",
    )
    views: ClassVar = (
        View("all", gettext_lazy("All Jobs")),
        *(View(kind.value, kind.label, Q(kind=kind.value)) for kind in JobKind),
    )
    facets: ClassVar = (
        Facet("running", gettext_lazy("Running"), Q(state__in=UNFINISHED)),
        Facet("failed", gettext_lazy("With failures"), Q(shown_failed__gt=0) | Q(state=RunState.FAILED)),
        Facet("canceled", gettext_lazy("Canceled"), Q(state=RunState.CANCELED)),
    )
    default_sort: ClassVar[str] = "-started"
    noun: ClassVar[tuple[Any, Any]] = (gettext_lazy("job"), gettext_lazy("jobs"))


class DiagnosisListing(Listing[Diagnosis]):
    """The mailboxes of one Test & Enable. They keep their order while it runs."""

    facets: ClassVar = (
        Facet("failed", gettext_lazy("Failed"), progress.PARTS["failed"]),
        Facet("running", gettext_lazy("Running"), progress.PARTS["running"]),
        Facet("waiting", gettext_lazy("Waiting"), progress.PARTS["waiting"]),
        Facet("skipped", gettext_lazy("Skipped"), progress.PARTS["skipped"]),
        Facet("succeeded", gettext_lazy("Succeeded"), progress.PARTS["succeeded"]),
    )
    page_sizes: ClassVar = (100,)
    noun: ClassVar[tuple[Any, Any]] = (gettext_lazy("mailbox"), gettext_lazy("mailboxes"))

    def __init__(
        self, state: QueryDict, queryset: QuerySet[Diagnosis], *, url: str, counts: progress.Counts
    ) -> None:
        """Take the numbers that are known already: counting a large job once is enough."""
        super().__init__(state, queryset.order_by("position"), url=url)
        self.known = counts

    @cached_property
    def _counts(self) -> dict[str, int]:
        facets = {f"facet_{facet.name}": getattr(self.known, facet.name) for facet in self.facets}
        return {"all_records": self.known.total, **facets}

    @property
    def _limit(self) -> int:
        return self.known.total

    def _facet_choice(self, title: Any, name: str, url: str, is_current: bool) -> Choice:  # noqa: FBT001
        return Choice(title, url, is_current, self._counts[name])

    @cached_property
    def rows(self) -> list[Diagnosis]:
        """Find the page in an index first: mailboxes of earlier pages need not be read."""
        start = (self.page - 1) * self.size
        pks = self.selected.order_by("position", "pk").values_list("pk", flat=True)[start : start + self.size]
        return list(self.selected.filter(pk__in=list(pks)).order_by("position", "pk"))


class RemarkListing(Listing[JobRemark]):
    """What a job left out, and why."""

    page_sizes: ClassVar = (100,)
    search: ClassVar = ("label", "sentence", "mailbox__name", "mailbox__address")
    noun: ClassVar[tuple[Any, Any]] = (gettext_lazy("remark"), gettext_lazy("remarks"))


def jobs_of(environment: Environment, *, user: Person) -> QuerySet[Job]:
    """Return the environment's jobs with the numbers that a row of the list shows.

    Who sees only some mailboxes sees the jobs on them, and only those mailboxes are counted.
    """
    numbers: dict[str, Any] = {
        "shown_total": F("total"),
        "shown_done": F("done"),
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
            "shown_done": Count("diagnoses", filter=done),
            "shown_changed": Count("diagnoses", filter=done & succeeded & ~failed),
            "shown_failed": Count("diagnoses", filter=done & failed),
        }
    return (
        mailbox_access.jobs(user, environment)
        .select_related("created_by", "server_profile")
        .defer("server_profile__password", "server_profile__outgoing_password")
        .annotate(took=F("finished_on") - F("created_on"), **numbers)
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
    """Show how far a job has come; the same after every reload."""
    return render(request, "mailboxes/job_detail.html", _page(request, slug, pk))


@require_safe
def job_progress(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Show the part of a job's page that changes; it asks for itself again while the job is unfinished."""
    context = {**_page(request, slug, pk), "is_fragment": True}
    return render(request, "mailboxes/_job_progress.html", context)


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
    fragment_url = reverse("mailboxes:job_progress", args=[slug, pk])
    context: dict[str, Any] = {
        "environment": job.environment,
        "job": job,
        "is_stalled": progress.is_stalled(job, diagnoses, now=now),
        "took": (job.finished_on or now) - job.created_on,
        "may_cancel": not job.is_finished and not job.canceled_on and jobs.may_cancel(request.user, job),
    }
    if job.kind == JobKind.DIAGNOSE:
        context |= _tests(request, job, diagnoses, fragment_url=fragment_url, now=now)
    else:
        context |= _chunks(request, job, fragment_url=fragment_url)
    return {**context, "time_left": _time_left(job, context["done"], context["total"], now=now)}


def _tests(
    request: HttpRequest, job: Job, diagnoses: DiagnosisQuerySet, *, fragment_url: str, now: datetime
) -> dict[str, Any]:
    counts = progress.count(diagnoses)
    shown = diagnoses.select_related("mailbox__server_profile").defer(
        "mailbox__password",
        "mailbox__notes",
        "mailbox__server_profile__password",
        "mailbox__server_profile__outgoing_password",
    )
    listing = DiagnosisListing(request.GET, shown, url=job.get_absolute_url(), counts=counts)
    opened = {
        int(word)
        for word in request.GET.getlist("open")
        if word.isascii() and word.isdecimal() and len(word) < 19
    }
    rows = progress.rows(job, listing.rows, opened=opened, all_open=counts.total == 1, now=now)
    own_address = _addresses(listing, opened=opened)
    page_url = job.get_absolute_url()
    return {
        "counts": counts,
        "total": counts.total,
        "done": counts.done,
        "failed": counts.failed,
        "listing": listing,
        "rows": [
            _line(row, listing, opened=opened, page_url=page_url, fragment_url=fragment_url) for row in rows
        ],
        "poll_url": f"{fragment_url}?{own_address}",
        "here": f"{page_url}?{own_address}",
        "badges": _test_badges(counts),
        "may_repeat": counts.failed
        and (
            Permission.DIAGNOSE in job.environment.may or Permission.READ_MAILBOXES not in job.environment.may
        ),
    }


def _chunks(request: HttpRequest, job: Job, *, fragment_url: str) -> dict[str, Any]:
    remarks = job.remarks.select_related("mailbox").defer("mailbox__password", "mailbox__notes")
    listing = RemarkListing(request.GET, remarks, url=job.get_absolute_url())
    for remark in listing.rows:
        if remark.mailbox:
            remark.mailbox.environment = job.environment
    words = QueryDict(mutable=True)
    words.update({**listing.state, **({"page": str(listing.page)} if listing.page > 1 else {})})
    return {
        "total": job.total,
        "done": job.done,
        "failed": job.failed,
        "listing": listing,
        "poll_url": f"{fragment_url}?{words.urlencode()}",
        "here": listing.here,
        "badges": _chunk_badges(job),
    }


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
        ("success", job.changed, ngettext("%(number)s changed", "%(number)s changed", job.changed)),
        ("warning", job.failed, ngettext("%(number)s skipped", "%(number)s skipped", job.failed)),
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
    again = diagnosis.start(
        mailboxes,
        environment=job.environment,
        by=cast("User", request.user),
        now=timezone.now(),
        server_profile=job.server_profile,
        takes_over=job.takes_over,
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
