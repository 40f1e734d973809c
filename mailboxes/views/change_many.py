"""Change Multiple Records: one form for many mailboxes, with a summary that follows what is chosen.

The list opens the dialog by sending its selection. The dialog asks for the summary with `summary` (the
script, after each choice) or `review` (without script), and changes with `confirm`. Each time the selection
is read again from the database, within the environment of the address.
"""

from typing import Any, cast

from django.contrib.auth.models import User
from django.db.models import QuerySet
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
from mailboxes.models import Mailbox
from mailboxes.services import changing
from mailboxes.views.approval import selection
from mailboxes.views.mailbox_list import list_page
from profiles import access
from profiles.access import Permission
from profiles.models import Environment


@require_http_methods(["GET", "HEAD", "POST"])
def mailbox_change_many(request: HttpRequest, slug: str) -> HttpResponse:
    """Ask what the selected mailboxes are to have in common, say what that changes, and change it."""
    environment = access.enter(request.user, slug, Permission.WRITE_MAILBOXES)
    back = _list_url(request, environment)
    if request.method != "POST":  # a dialog that was reloaded, or left for the sign-in page
        return HttpResponseRedirect(back)
    by = cast("User", request.user)
    mailboxes = selection(environment, request.POST.getlist("ids"))
    is_asked = not request.POST.keys().isdisjoint({"confirm", "review", "summary"})
    form = ChangeManyForm(request.POST if is_asked else None, environment=environment)
    is_confirmed = "confirm" in request.POST
    if is_confirmed and form.is_valid():
        outcome = changing.change_many(
            mailboxes, form.change(), environment=environment, by=by, now=timezone.now()
        )
        return _tell(request, environment, outcome, back=back)
    context = {
        "environment": environment,
        "form": form,
        "back_url": back,
        "dialog_url": request.get_full_path(),
        **_selected(mailboxes),
        **_summary(form, mailboxes, environment=environment, by=by),
    }
    if "summary" in request.POST:
        return render(request, "mailboxes/_change_summary.html", {**context, "is_fragment": True})
    return dialog_response(
        request,
        "mailboxes/_change_many.html",
        context,
        page=lambda: list_page(request, environment, state=request.GET),
        status=422 if is_confirmed else 200,
    )
