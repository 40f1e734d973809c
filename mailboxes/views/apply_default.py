"""Apply Default Email Settings: shown for verification, then applied, tested and enabled."""

from dataclasses import dataclass
from typing import Any, cast

from django.contrib.auth.models import User
from django.db.models.functions import Lower
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from emailsync.web.responses import dialog_response, redirect_response, saved_response
from mailboxes.choices import AddressStatus
from mailboxes.engine import changing as engine
from mailboxes.engine import claiming
from mailboxes.engine.changing import Outcome, Verdict
from mailboxes.models import Job, Mailbox
from mailboxes.services import changing
from mailboxes.services.changing import Defaults
from mailboxes.views.change_many import nothing_chosen, outcome_response, told
from mailboxes.views.origin import back_url, is_from_page, page_below
from mailboxes.views.selection import Selection, chosen
from profiles.access import Permission, enter
from profiles.choices import ActMethod, IncomingMethod, OutgoingMethod

#: The dialog shows this many mailboxes and counts the rest.
SHOWN = 8
#: What two methods mean, in few words.
WORDS = {
    (IncomingMethod.NONE, OutgoingMethod.NONE): gettext_lazy("Neither receives nor sends"),
    (IncomingMethod.NONE, OutgoingMethod.SERVER_SIDE): gettext_lazy("Sends"),
    (IncomingMethod.SERVER_SIDE, OutgoingMethod.NONE): gettext_lazy("Receives"),
    (IncomingMethod.SERVER_SIDE, OutgoingMethod.SERVER_SIDE): gettext_lazy("Receives and sends"),
    (IncomingMethod.FORWARD_MAILBOX, OutgoingMethod.NONE): gettext_lazy("Receives by forwarding"),
    (IncomingMethod.FORWARD_MAILBOX, OutgoingMethod.SERVER_SIDE): gettext_lazy(
        "Receives by forwarding, sends"
    ),
}


@dataclass(frozen=True)
class Row:
    """One mailbox of the dialog: what it has now, and what comes of it."""

    mailbox: Mailbox
    verdict: Verdict
    now: str
    after: str


@require_http_methods(["GET", "HEAD", "POST"])
def mailbox_apply_default(request: HttpRequest, slug: str) -> HttpResponse:
    """Show what the selected mailboxes have and would get; give it to them, test and enable them."""
    user = cast("User", request.user)
    environment = enter(user, slug, Permission.WRITE_MAILBOXES)
    if request.method != "POST":  # a dialog that was reloaded, or left for the sign-in page
        return HttpResponseRedirect(reverse("mailboxes:mailbox_list", args=[slug]))
    selection = chosen(request, environment, Permission.WRITE_MAILBOXES)
    if not selection.count:
        return nothing_chosen(request, selection)
    defaults = changing.defaults_of(environment)
    if defaults is None or "confirm" not in request.POST:
        return _dialog(request, selection, defaults)
    outcome, job = changing.apply_default(
        selection.mailboxes,
        defaults,
        environment=environment,
        by=user,
        now=timezone.now(),
        test="test" in request.POST and Permission.DIAGNOSE in environment.may,
        takes_over="takes_over" in request.POST,
    )
    if job is None:
        return outcome_response(
            request, selection, outcome, back=back_url(request, selection), leave=is_from_page(request)
        )
    return _follow(request, job, outcome)


def _follow(request: HttpRequest, job: Job, outcome: Outcome) -> HttpResponse:
    """Go to the page of the job; name there what was left out before it began."""
    if not outcome.skipped:
        return redirect_response(request, job.get_absolute_url())
    named = ", ".join(f"{skip.mailbox.name} ({skip.reason})" for skip in outcome.skipped[:SHOWN])
    return saved_response(
        request, job.get_absolute_url(), title=told(outcome)[0], text=named, intent="warning", leave=True
    )


def _dialog(request: HttpRequest, selection: Selection, defaults: Defaults | None) -> HttpResponse:
    environment = selection.environment
    user = cast("User", request.user)
    context: dict[str, Any] = {
        "environment": environment,
        "selection": selection,
        "defaults": defaults,
        "from_page": is_from_page(request),
        "may_test": Permission.DIAGNOSE in environment.may,
        "dialog_url": reverse("mailboxes:mailbox_apply_default", args=[environment.slug]),
        "back_url": back_url(request, selection),
    }
    if defaults is not None:
        unapproved = selection.mailboxes.exclude(address_status=AddressStatus.APPROVED)
        context |= {
            "preview": changing.look_ahead(
                selection.mailboxes, defaults.change, environment=environment, by=user
            ),
            "rows": _rows(selection, defaults),
            "further": max(selection.count - SHOWN, 0),
            "unapproved": unapproved.count(),
            "held_elsewhere": claiming.held_elsewhere(selection.mailboxes, environment).count(),
            "incoming": IncomingMethod(defaults.incoming).label,
            "outgoing": OutgoingMethod(defaults.outgoing).label,
            "act": ActMethod(defaults.act).label,
        }
    return dialog_response(
        request, "mailboxes/_apply_default.html", context, page=page_below(request, selection)
    )


def _rows(selection: Selection, defaults: Defaults) -> list[Row]:
    found = selection.mailboxes.select_related("server_profile").order_by(Lower("name"), "pk")
    mailboxes = list(
        found.only("name", "address", "kind", "incoming", "outgoing", "server_profile__name")[:SHOWN]
    )
    verdicts = engine.verdicts(
        Mailbox.objects.filter(pk__in=[mailbox.pk for mailbox in mailboxes]), defaults.change
    )
    rows = []
    for mailbox in mailboxes:
        after = defaults.change.values_for(mailbox.kind)
        rows.append(
            Row(
                mailbox,
                verdicts[mailbox.pk],
                now=_words(mailbox.incoming, mailbox.outgoing),
                after=_words(after["incoming"], after["outgoing"]),
            )
        )
    return rows


def _words(incoming: str, outgoing: str) -> str:
    return str(WORDS[IncomingMethod(incoming), OutgoingMethod(outgoing)])
