"""Draw the mailboxes of a Test & Enable on the page of its job.

In Python, as the rows of the list of mailboxes are: a page has a hundred. What stands below a row is rare,
and comes from a template.
"""

from collections.abc import Iterable
from functools import cache, partial
from uuid import UUID

from django.http import QueryDict
from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from emailsync.web.addresses import pattern
from emailsync.web.html import fill, joined, worded
from emailsync.web.templatetags.console import avatar, icon, status
from mailboxes.models import Job
from mailboxes.services.progress import Row
from mailboxes.templatetags.mailbox_words import duration
from mailboxes.views.job_listing import DiagnosisListing

DASH = "\N{EN DASH}"
ROW = """<tr role="row"{state}>
  <td role="rowheader"><div class="main">{avatar}<div><a href="{url}">{name}</a>\
<span class="sub">{address}{steps}</span></div></div></td>
  <td role="cell" data-label="{incoming_label}">{incoming}</td>
  <td role="cell" data-label="{outgoing_label}">{outgoing}</td>
  <td class="lg" role="cell">{none}</td>
  <td class="end num muted nowrap" role="cell" data-label="{time_label}">{took}</td>
</tr>
{detail}"""
STEPS = """ · <a class="disclose" id="steps-{key}" href="{page}?{words}" hx-get="{page}?{words}" \
hx-target="#job" hx-swap="outerHTML show:none" hx-push-url="{page}?{words}" aria-expanded="{is_open}">{said}\
<span class="vh"> {of}</span>{chevron}</a>"""
DETAIL = '<tr role="row" class="detail"><td role="cell" colspan="5">{}</td></tr>'


class RowDrawing:
    """Draws the rows of one page of a job, of which the tests `opened` show their steps."""

    def __init__(self, job: Job, listing: DiagnosisListing, *, opened: set[int]) -> None:
        """Draw what all rows have in common, with places for what differs."""
        self._listing, self._opened = listing, opened
        self._status = cache(partial(status, kind="auto"))
        self._shape = fill(
            ROW,
            state="{state}",
            avatar="{avatar}",
            url=pattern("mailboxes:mailbox_detail", job.environment.slug, UUID).format("{mailbox}"),
            name="{name}",
            address="{address}",
            steps="{steps}",
            incoming_label=worded(_("Incoming")),
            incoming="{incoming}",
            outgoing_label=worded(_("Outgoing")),
            outgoing="{outgoing}",
            none=status("none"),
            time_label=worded(_("Time")),
            took="{took}",
            detail="{detail}",
        )
        self._steps_shape = fill(
            STEPS,
            key="{key}",
            page=job.get_absolute_url(),
            words="{words}",
            is_open="{is_open}",
            said=worded(_("Steps")),
            of=worded(_("of %(name)s")) % {"name": "{name}"},
            chevron=icon("chevron-right", "s", "chev"),
        )

    def draw(self, rows: Iterable[Row]) -> SafeString:
        """Draw the rows, each with what it tells below."""
        return joined([self._row(row) for row in rows])

    def _row(self, row: Row) -> SafeString:
        mailbox, detail = row.mailbox, ""
        if row.has_detail:
            detail = fill(DETAIL, render_to_string("mailboxes/_job_steps.html", {"row": row}))
        return fill(
            self._shape,
            state=SafeString(' class="hasdetail"' if detail else ""),
            avatar=avatar(mailbox.name, "wideonly"),
            mailbox=mailbox.pk,
            name=mailbox.name,
            address=mailbox.address,
            steps=self._steps(row),
            incoming=self._status(row.incoming),
            outgoing=self._status(row.outgoing),
            took=duration(row.took) if row.took else DASH,
            detail=detail,
        )

    def _steps(self, row: Row) -> SafeString:
        """Draw what opens or closes the steps of a test that has begun; a mailbox alone shows them always."""
        key = row.diagnosis.pk
        if self._listing.known.total == 1 or not row.diagnosis.started_on:
            return SafeString()
        return fill(
            self._steps_shape,
            key=key,
            words=page_words(self._listing, opened=self._opened ^ {key}),
            is_open="true" if row.is_open else "false",
            name=row.mailbox.name,
        )


def page_words(listing: DiagnosisListing, *, opened: set[int]) -> str:
    """Return the words after the question mark that show this page with these tests open."""
    words = QueryDict(mutable=True)
    words.update(listing.state)
    if listing.page > 1:
        words["page"] = str(listing.page)
    words.setlist("open", [str(pk) for pk in sorted(opened)])
    return words.urlencode()
