"""Commands on selected mailboxes: approve, reject, test and enable, activate, deactivate.

The rows that were ticked come as `ids`, the command as `action` ("approve", or "approve:ID" from a row's
own menu). What destroys or reaches many records is asked first; the answer comes back with `confirm`.
Both times the selection is read again from the database, within the environment of the address.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import cast
from uuid import UUID

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from emailsync.web.responses import Page, dialog_response, redirect_response, saved_response
from mailboxes.choices import AddressStatus
from mailboxes.models import Mailbox
from mailboxes.services import approval, diagnosis, editing
from mailboxes.views.mailbox_form import detail_page
from mailboxes.views.mailbox_list import list_page
from profiles.models import Environment

#: A confirmation names this many mailboxes and counts the rest.
NAMED = 8


@dataclass(frozen=True)
class Question:
    """What is asked before a command is carried out; `{}` stands for "3 mailboxes"."""

    title: str
    text: str
    button: str = "OK"
    is_dangerous: bool = False


@dataclass(frozen=True)
class Doing:
    """Who does what, when and where."""

    environment: Environment
    mailboxes: QuerySet[Mailbox]
    by: User
    now: datetime


@dataclass(frozen=True)
class Command:
    """A command: how it is asked for, carried out, and what is said afterwards."""

    run: Callable[[Doing], int]
    said: str
    unchanged: str
    then: str = ""
    question: Question | None = None


COMMANDS = {
    "approve": Command(
        run=lambda doing: approval.approve(doing.mailboxes, by=doing.by, now=doing.now),
        said="{} approved",
        unchanged="Nothing to approve: {} already approved",
        then="Test and enable what is not running yet.",
        question=Question(
            "Approve Email",
            "Approve {}? Email for an approved address is processed as soon as its mailbox is tested "
            "and enabled.",
        ),
    ),
    "reject": Command(
        run=lambda doing: approval.reject(doing.mailboxes, by=doing.by, now=doing.now),
        said="{} rejected",
        unchanged="Nothing to reject: {} already rejected",
        question=Question(
            "Reject Email",
            "Reject {}? No email is received or sent for a rejected address until somebody approves it "
            "again. What is stored stays.",
            is_dangerous=True,
        ),
    ),
    "activate": Command(
        run=lambda doing: editing.set_active(doing.mailboxes, active=True, by=doing.by, now=doing.now),
        said="{} activated",
        unchanged="Nothing to activate: {} already active",
        then="Directions that were enabled run again.",
    ),
    "deactivate": Command(
        run=lambda doing: editing.set_active(doing.mailboxes, active=False, by=doing.by, now=doing.now),
        said="{} deactivated",
        unchanged="Nothing to deactivate: {} already inactive",
        question=Question(
            "Deactivate",
            "Deactivate {}? An inactive mailbox neither receives nor sends email until it is activated "
            "again. What is stored stays.",
            is_dangerous=True,
        ),
    ),
}
DIAGNOSE = Question(
    "Test & Enable Mailboxes",
    "Test {}? Incoming and outgoing email are tested on their own: signing in, opening the Inbox, and "
    "sending a message from the mailbox to itself. What succeeds is enabled. It runs in the background.",
)
#: What the confirmation counts.
ADDRESSES = ("approve", "reject")


@require_http_methods(["GET", "HEAD", "POST"])
def mailbox_command(request: HttpRequest, slug: str) -> HttpResponse:
    """Carry out a command on the selected mailboxes, or ask first."""
    environment = get_object_or_404(Environment, slug=slug)
    if request.method != "POST":  # a question that was reloaded, or left for the sign-in page
        return HttpResponseRedirect(_back(request, environment, []))
    action, _, only = request.POST.get("action", "").partition(":")
    mailboxes = selection(environment, [only] if only else request.POST.getlist("ids"))
    found = list(mailboxes)
    back = _back(request, environment, found)
    if not found:
        title = (
            "These mailboxes are gone" if request.POST.getlist("ids") or only else "Select a mailbox first"
        )
        return saved_response(request, back, title=title, text="Nothing was changed.", intent="error")
    if action == "edit":
        return _edit(request, found, back=back)
    question = DIAGNOSE if action == "diagnose" else _command(action).question
    if question and "confirm" not in request.POST:
        return _ask(request, environment, action, question, found, back=back)
    doing = Doing(environment, mailboxes, cast("User", request.user), timezone.now())
    if action == "diagnose":
        job = diagnosis.start(mailboxes, environment=environment, by=doing.by, now=doing.now)
        return redirect_response(request, job.get_absolute_url())
    return _carry_out(request, _command(action), doing, found, noun=_noun(action), back=back)


def selection(environment: Environment, ids: list[str]) -> QuerySet[Mailbox]:
    """Return the mailboxes of `environment` that are among `ids`; what is no id at all names none."""
    return Mailbox.objects.filter(environment=environment, pk__in=[pk for pk in map(_uuid, ids) if pk])


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _command(action: str) -> Command:
    if action not in COMMANDS:
        raise Http404("There is no such command.")
    return COMMANDS[action]


def _noun(action: str) -> tuple[str, str]:
    return ("email address", "email addresses") if action in ADDRESSES else ("mailbox", "mailboxes")


def counted(number: int, noun: tuple[str, str]) -> str:
    """Return a number with its noun: "1 mailbox", "3 mailboxes"."""
    return f"{number:,} {noun[0] if number == 1 else noun[1]}"


def _is_from_page(request: HttpRequest) -> bool:
    """Say whether the command was given on a mailbox's own page."""
    return request.POST.get("from") == "mailbox"


def _back(request: HttpRequest, environment: Environment, found: list[Mailbox]) -> str:
    if _is_from_page(request) and found:
        return reverse("mailboxes:mailbox_detail", args=[environment.slug, found[0].pk])
    url = reverse("mailboxes:mailbox_list", args=[environment.slug])
    return f"{url}?{request.GET.urlencode()}" if request.GET else url


def _edit(request: HttpRequest, found: list[Mailbox], *, back: str) -> HttpResponse:
    if len(found) == 1:
        return redirect_response(request, found[0].get_absolute_url())
    return saved_response(
        request, back, title="Select one mailbox to edit", text="Nothing was changed.", intent="error"
    )


def _ask(
    request: HttpRequest,
    environment: Environment,
    action: str,
    question: Question,
    found: list[Mailbox],
    *,
    back: str,
) -> HttpResponse:
    found.sort(key=lambda mailbox: mailbox.name.casefold())
    unapproved = [mailbox for mailbox in found if mailbox.address_status != AddressStatus.APPROVED]
    context = {
        "environment": environment,
        "action": action,
        "title": "Test & Enable Mailbox" if question is DIAGNOSE and len(found) == 1 else question.title,
        "question": question,
        "text": question.text.format(counted(len(found), _noun(action))),
        "named": found[:NAMED],
        "further": len(found) - NAMED if len(found) > NAMED else 0,
        "ids": [mailbox.pk for mailbox in found],
        "unapproved": len(unapproved) if action == "diagnose" else 0,
        "inactive": len([mailbox for mailbox in found if not mailbox.is_active])
        if action == "diagnose"
        else 0,
        "shows_approval": action in {*ADDRESSES, "diagnose"},
        "from_page": _is_from_page(request),
        "dialog_url": request.get_full_path(),
        "back_url": back,
    }
    return dialog_response(
        request, "mailboxes/_command_dialog.html", context, page=_below(request, environment, found)
    )


def _below(request: HttpRequest, environment: Environment, found: list[Mailbox]) -> Page:
    """Return the page that the dialog stands on when there is no script."""
    if _is_from_page(request):
        return lambda: detail_page(request, environment.slug, found[0].pk, is_bound=False)
    return lambda: list_page(request, environment, state=request.GET)


def _carry_out(
    request: HttpRequest,
    command: Command,
    doing: Doing,
    found: list[Mailbox],
    *,
    noun: tuple[str, str],
    back: str,
) -> HttpResponse:
    changed = command.run(doing)
    if changed:
        title, text = command.said.format(counted(changed, noun)), command.then
        rest = len(found) - changed
        text = f"{text} {counted(rest, noun)} needed no change.".strip() if rest else text
    else:
        verb = "is" if len(found) == 1 else "are"
        title, text = command.unchanged.format(f"{counted(len(found), noun)} {verb}"), ""
    intent = "success" if changed else "information"
    return saved_response(request, back, title=title, text=text, intent=intent, leave=_is_from_page(request))
