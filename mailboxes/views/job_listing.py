"""The lists of jobs, of the mailboxes that one tests, and of what one left out."""

from functools import cached_property
from typing import Any, ClassVar

from django.db.models import Count, F, Q, QuerySet
from django.db.models.functions import Lower
from django.http import QueryDict
from django.utils.translation import gettext_lazy, ngettext

from emailsync.web.listing import Column, Facet, Listing, View
from emailsync.web.listing_parts import Choice
from mailboxes import access as mailbox_access
from mailboxes.choices import UNFINISHED, JobKind, RunState
from mailboxes.models import Diagnosis, Job, JobRemark
from mailboxes.services import progress
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

    @cached_property
    def rows(self) -> list[Job]:
        """Return the jobs of this page with the words for their results."""
        found = super().rows
        for job in found:
            changed, failed = getattr(job, "shown_changed"), getattr(job, "shown_failed")  # noqa: B009  (annotations)
            words = {
                "changed_words": changed_words(job.kind, changed) % {"number": f"{changed:,}"},
                "left_out_words": left_out_words(job.kind, failed) % {"number": f"{failed:,}"},
            }
            job.__dict__.update(words)
        return found


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


def changed_words(kind: str, number: int) -> str:
    """Return what came of most targets of a job; "%(number)s" is still to be filled in."""
    if kind == JobKind.CHECK_FILE:
        return ngettext("%(number)s to be imported", "%(number)s to be imported", number)
    if kind == JobKind.DELETE_ALERTS:
        return ngettext("%(number)s deleted", "%(number)s deleted", number)
    if kind == JobKind.COUNT:
        return ngettext("%(number)s to be counted", "%(number)s to be counted", number)
    if kind == JobKind.READ_AGAIN:
        return ngettext("%(number)s read", "%(number)s read", number)
    return ngettext("%(number)s changed", "%(number)s changed", number)


def left_out_words(kind: str, number: int) -> str:
    """Return what became of the targets that have a remark; "%(number)s" is still to be filled in."""
    if kind == JobKind.CHECK_FILE:
        return ngettext("%(number)s to be mended", "%(number)s to be mended", number)
    if kind == JobKind.READ_AGAIN:
        return ngettext("%(number)s still in quarantine", "%(number)s still in quarantine", number)
    return ngettext("%(number)s skipped", "%(number)s skipped", number)
