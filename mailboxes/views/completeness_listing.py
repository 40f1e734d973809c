"""What the page Completeness lists: the last count of every Inbox of an environment."""

from datetime import datetime
from typing import Any, ClassVar

from django.contrib.auth.models import User
from django.db.models import F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Lower
from django.http import QueryDict
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from emailsync.web.listing import Column, Facet, Listing
from mailboxes import access
from mailboxes.choices import Direction, Standing
from mailboxes.models import Mailbox, Reconciliation, WorkerState
from mailboxes.models.mailbox import says
from mailboxes.models.reconciliation import URGENCY
from profiles.models import Environment


class CompletenessListing(Listing[Reconciliation]):
    """The last count of each mailbox, the most urgent first."""

    columns: ClassVar = (
        Column(
            "name",
            gettext_lazy("Mailbox"),
            sort=(Lower("mailbox__name"),),
            requires=Q(mailbox__environment=F("environment")),
            is_filled=True,
        ),
        Column("result", gettext_lazy("Result")),
        Column("on_server", gettext_lazy("On the server"), sort=("on_server",), classes="end"),
        Column("stored", gettext_lazy("Stored"), classes="end"),
        Column("kept_out", gettext_lazy("Kept out"), classes="why"),
        Column("gap", gettext_lazy("Gap"), sort=("missed",), classes="end"),
        Column("counted", gettext_lazy("Counted on"), sort=("counted_on",), classes="mid"),
    )
    facets: ClassVar = (
        Facet("gaps", gettext_lazy("With gaps"), Q(standing=Standing.GAP)),
        Facet("complete", gettext_lazy("Complete"), Q(standing=Standing.COMPLETE)),
        Facet("uncounted", gettext_lazy("Not counted"), Q(standing=Standing.NOT_COUNTED)),
    )
    noun: ClassVar[tuple[Any, Any]] = (gettext_lazy("mailbox"), gettext_lazy("mailboxes"))
    offers_all: ClassVar[bool] = True

    def says(self, word: str) -> Q:
        """Search in name and address of the mailbox."""
        return says(word, of="mailbox__")

    @property
    def title(self) -> str:
        """Return the name of the page."""
        return _("Completeness")

    @property
    def is_moving(self) -> bool:
        """Tell whether an Inbox on this page is to be counted now."""
        return any(getattr(row, "is_waiting", False) for row in self.rows)

    def fetch(self, page: QuerySet[Reconciliation]) -> list[Reconciliation]:
        """Return the rows of a page, each knowing whether it is counted soon, and if not, why."""
        keys, now = list(page.values_list("pk", flat=True)), timezone.now()
        state = WorkerState.objects.filter(mailbox=OuterRef("pk"), direction=Direction.INCOMING)
        rows = (
            Reconciliation.objects.filter(pk__in=keys)
            .select_related("mailbox")
            .defer("mailbox__password", "mailbox__notes", "mailbox__search_text")
            .annotate(
                is_enabled=Subquery(state.values("is_enabled")[:1]),
                stopped_on=Subquery(state.values("stopped_on")[:1]),
            )
        )
        found = {row.pk: _told(row, now=now) for row in rows}
        return [found[key] for key in keys if key in found]


def _told(row: Any, *, now: datetime) -> Reconciliation:
    """Say of a count whether it is to be made now (`is_waiting`), and what keeps it from that (`why`)."""
    mailbox: Mailbox = row.mailbox
    row.why = ""
    if not mailbox.is_active:
        row.why = _("The mailbox is inactive.")
    elif mailbox.is_fed_by_forwarding:
        row.why = _("It receives through the forward mailbox, which is counted.")
    elif not mailbox.syncs(Direction.INCOMING):
        row.why = _("It does not receive email.")
    elif not row.is_enabled:
        row.why = (
            _("A failure stopped incoming email.") if row.stopped_on else _("Incoming email is not enabled.")
        )
    row.is_waiting = bool(not row.why and row.due_on and row.due_on <= now)
    if not row.why and not row.is_waiting and row.counted_on is None and not row.trouble:
        row.why = (
            _("It will be counted within a day.") if row.due_on else _("The Inbox has not been read yet.")
        )
    return row  # type: ignore[no-any-return]


def completeness_of(environment: Environment, *, user: User, state: QueryDict) -> CompletenessListing:
    """Return the list that `state` asks for, of the mailboxes that `user` may see."""
    return CompletenessListing(
        state,
        access.reconciliations(user, environment).order_by(*URGENCY),
        url=reverse("mailboxes:completeness_list", args=[environment.slug]),
    )
