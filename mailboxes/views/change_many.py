"""Change Multiple Records: one form for many mailboxes, with a summary that follows what is chosen.

The list opens the dialog by sending its selection. The dialog asks for the summary with `summary` (the
script, after each choice) or `review` (without script), and changes with `confirm`. Each time the selection
is looked up again.
"""

from collections.abc import Mapping
from typing import Any, cast

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from emailsync.web.responses import dialog_response, redirect_response, saved_response
from mailboxes.engine.changing import Outcome, Preview
from mailboxes.forms.change_many import COLUMN, ChangeManyForm
from mailboxes.models import Job
from mailboxes.services import changing
from mailboxes.views.mailbox_list import list_page
from mailboxes.views.selection import Selection, chosen
from profiles.access import Permission, enter


@require_http_methods(["GET", "HEAD", "POST"])
def mailbox_change_many(request: HttpRequest, slug: str) -> HttpResponse:
    """Ask what the selected mailboxes are to have in common, say what that changes, and change it."""
    user = cast("User", request.user)
    environment = enter(user, slug, Permission.WRITE_MAILBOXES)
    if request.method != "POST":  # a dialog that was reloaded, or left for the sign-in page
        return HttpResponseRedirect(reverse("mailboxes:mailbox_list", args=[slug]))
    selection = chosen(request, environment, Permission.WRITE_MAILBOXES)
    if not selection.count:
        return nothing_chosen(request, selection)
    is_asked = not request.POST.keys().isdisjoint({"confirm", "review", "summary"})
    form = ChangeManyForm(request.POST if is_asked else None, environment=environment, by=user)
    if "confirm" in request.POST and form.is_valid():
        outcome = changing.change_many(
            selection.mailboxes, form.change(), environment=environment, by=user, now=timezone.now()
        )
        if isinstance(outcome, Job):
            return redirect_response(request, outcome.get_absolute_url())
        return outcome_response(request, selection, outcome)
    return _dialog(request, selection, form)


def nothing_chosen(request: HttpRequest, selection: Selection) -> HttpResponse:
    """Say that a command has nothing to work on."""
    title = _("Select a mailbox first") if selection.was_empty else _("These mailboxes are gone")
    return saved_response(
        request, selection.list_url, title=title, text=_("Nothing was changed."), intent="error"
    )


def _dialog(request: HttpRequest, selection: Selection, form: ChangeManyForm) -> HttpResponse:
    """Show the dialog, or the summary alone when the script asks for it."""
    user = cast("User", request.user)
    preview = None
    if form.is_bound and form.is_valid():
        preview = changing.look_ahead(
            selection.mailboxes, form.change(), environment=selection.environment, by=user
        )
    context = {
        "environment": selection.environment,
        "selection": selection,
        "form": form,
        "preview": preview,
        "lines": _lines(form, preview) if preview else [],
        "brief": _brief(preview) if preview else "",
        "notes": _notes(form),
        "back_url": selection.list_url,
        "dialog_url": reverse("mailboxes:mailbox_change_many", args=[selection.environment.slug]),
    }
    if "summary" in request.POST:
        return render(request, "mailboxes/_change_summary.html", {**context, "is_fragment": True})
    return dialog_response(
        request,
        "mailboxes/_change_many.html",
        context,
        page=lambda: list_page(request, selection.environment, state=selection.state),
        status=422 if "confirm" in request.POST else 200,
    )


def _brief(preview: Preview) -> str:
    """Say beside the button what comes of it: the summary may stand out of sight."""
    numbers = {"number": f"{preview.changed:,}", "total": f"{preview.total:,}"}
    brief = _("Changes %(number)s of %(total)s") % numbers
    if preview.skipped:
        left_out = ngettext("%(number)s skipped", "%(number)s skipped", preview.skipped)
        brief = f"{brief}, {left_out % {'number': f'{preview.skipped:,}'}}"
    return brief


def _lines(form: ChangeManyForm, preview: Preview) -> list[str]:
    """Say for each field what it becomes, on how many, and on how many it is so already."""
    lines = []
    for name in form.touched:
        changed = preview.columns.get(COLUMN.get(name, name), 0)
        numbers = {
            "field": form.fields[name].label,
            "value": form.words(name),
            "number": f"{changed:,}",
            "total": f"{preview.total:,}",
        }
        if numbers["value"]:
            line = _("%(field)s becomes %(value)s on %(number)s of %(total)s.") % numbers
        else:
            line = _("%(field)s is cleared on %(number)s of %(total)s.") % numbers
        rest = preview.total - preview.skipped - changed
        if rest:
            had = ngettext("%(number)s has it already.", "%(number)s have it already.", rest)
            line = f"{line} {had % {'number': f'{rest:,}'}}"
        lines.append(line)
    return lines


def _notes(form: ChangeManyForm) -> Mapping[str, str]:
    """Say for each section how much of it is touched."""
    touched = set(form.touched) if form.is_bound else set()
    notes = {}
    for section, names in form.sections.items():
        number = len(touched.intersection(names))
        some = ngettext("%(number)s change", "%(number)s changes", number) % {"number": number}
        notes[section] = some if number else _("No change")
    return notes


def outcome_response(
    request: HttpRequest,
    selection: Selection,
    outcome: Outcome,
    *,
    back: str = "",
    leave: bool = False,
) -> HttpResponse:
    """Say what was changed; when mailboxes were left out, name each with the reason in the dialog."""
    title, text = told(outcome)
    back = back or selection.list_url
    if not outcome.skipped:
        intent = "success" if outcome.changed else "information"
        return saved_response(request, back, title=title, text=text, intent=intent, leave=leave)
    context: dict[str, Any] = {
        "environment": selection.environment,
        "title": title,
        "text": text,
        "skipped": outcome.skipped,
        "back_url": back,
    }
    response = dialog_response(
        request,
        "mailboxes/_change_outcome.html",
        context,
        page=lambda: list_page(request, selection.environment, state=selection.state),
    )
    response.headers["HX-Trigger"] = "records:changed"
    return response


def told(outcome: Outcome) -> tuple[str, str]:
    """Say in a title and a sentence what a change did."""
    changed, skipped = outcome.changed, len(outcome.skipped)
    title = ngettext("%(number)s mailbox changed", "%(number)s mailboxes changed", changed) % {
        "number": f"{changed:,}"
    }
    if not changed:
        title = _("Nothing changed")
    if skipped:
        left_out = ngettext("%(number)s skipped", "%(number)s skipped", skipped)
        title = f"{title}, {left_out % {'number': f'{skipped:,}'}}"
    sentences = []
    if outcome.reset:
        sentences.append(_("Test and enable them again: the change has reset test results."))
    if outcome.unchanged:
        had = ngettext("%(number)s needed no change.", "%(number)s needed no change.", outcome.unchanged)
        sentences.append(had % {"number": f"{outcome.unchanged:,}"})
    return title, " ".join(sentences)
