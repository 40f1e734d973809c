"""Commands on selected mailboxes: approve, reject, test and enable, activate, deactivate.

The command comes as `action`, the mailboxes as `mailboxes.views.selection` describes. What destroys or
reaches many records is asked first; the answer comes back with `confirm`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from emailsync.web.responses import Page, dialog_response, redirect_response, saved_response
from mailboxes.choices import AddressStatus
from mailboxes.models import Mailbox
from mailboxes.services import approval, diagnosis, editing
from mailboxes.views.mailbox_form import detail_page
from mailboxes.views.mailbox_list import list_page
from mailboxes.views.selection import Selection, chosen
from profiles.access import Permission, enter
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
#: What one must be allowed for each command.
NEEDS = {
    "edit": Permission.READ_MAILBOXES,
    "apply_default": Permission.WRITE_MAILBOXES,
    "diagnose": Permission.DIAGNOSE,
    "approve": Permission.APPROVE,
    "reject": Permission.APPROVE,
    "activate": Permission.WRITE_MAILBOXES,
    "deactivate": Permission.WRITE_MAILBOXES,
}
#: Commands with a screen of their own, which is sent the same selection.
ELSEWHERE = {
    "edit": "mailboxes:mailbox_change_many",
    "apply_default": "mailboxes:mailbox_apply_default",
}
#: What the confirmation counts.
ADDRESSES = ("approve", "reject")


@require_http_methods(["GET", "HEAD", "POST"])
def mailbox_command(request: HttpRequest, slug: str) -> HttpResponse:
    """Carry out a command on the selected mailboxes, or ask first."""
    environment = enter(cast("User", request.user), slug)
    if request.method != "POST":  # a question that was reloaded, or left for the sign-in page
        return HttpResponseRedirect(reverse("mailboxes:mailbox_list", args=[slug]))
    action = request.POST.get("action", "").partition(":")[0]
    if action not in NEEDS:
        raise Http404("There is no such command.")
    selection = chosen(request, environment, NEEDS[action])
    if not selection.count:
        title = "Select a mailbox first" if selection.was_empty else "These mailboxes are gone"
        return saved_response(
            request, selection.list_url, title=title, text="Nothing was changed.", intent="error"
        )
    if action in ELSEWHERE:
        return _hand_on(request, action, selection)
    question = DIAGNOSE if action == "diagnose" else COMMANDS[action].question
    if question and "confirm" not in request.POST:
        return _ask(request, action, question, selection)
    doing = Doing(environment, selection.mailboxes, cast("User", request.user), timezone.now())
    if action == "diagnose":
        job = diagnosis.start(doing.mailboxes, environment=environment, by=doing.by, now=doing.now)
        return redirect_response(request, job.get_absolute_url())
    return _carry_out(request, action, doing, selection)


def _noun(action: str) -> tuple[str, str]:
    return ("email address", "email addresses") if action in ADDRESSES else ("mailbox", "mailboxes")


def counted(number: int, noun: tuple[str, str]) -> str:
    """Return a number with its noun: "1 mailbox", "3 mailboxes"."""
    return f"{number:,} {noun[0] if number == 1 else noun[1]}"


def _is_from_page(request: HttpRequest) -> bool:
    """Say whether the command was given on a mailbox's own page."""
    return request.POST.get("from") == "mailbox"


def _back(request: HttpRequest, selection: Selection) -> str:
    if _is_from_page(request):
        pk = selection.names(1)[0].pk
        return reverse("mailboxes:mailbox_detail", args=[selection.environment.slug, pk])
    return selection.list_url


def _hand_on(request: HttpRequest, action: str, selection: Selection) -> HttpResponse:
    """Send the selection to the screen of the command; one mailbox is edited on its own page."""
    slug = selection.environment.slug
    if action == "edit" and selection.count == 1:
        pk = selection.names(1)[0].pk
        return redirect_response(request, reverse("mailboxes:mailbox_detail", args=[slug, pk]))
    # 307 keeps the method and what was posted.
    return HttpResponseRedirect(reverse(ELSEWHERE[action], args=[slug]), status=307)


def _ask(request: HttpRequest, action: str, question: Question, selection: Selection) -> HttpResponse:
    number, mailboxes = selection.count, selection.mailboxes
    tests = action == "diagnose"
    context = {
        "environment": selection.environment,
        "action": action,
        "title": "Test & Enable Mailbox" if tests and number == 1 else question.title,
        "question": question,
        "text": question.text.format(counted(number, _noun(action))),
        "named": selection.names(NAMED),
        "further": max(number - NAMED, 0),
        "selection": selection,
        "unapproved": mailboxes.exclude(address_status=AddressStatus.APPROVED).count() if tests else 0,
        "inactive": mailboxes.filter(is_active=False).count() if tests else 0,
        "shows_approval": action in {*ADDRESSES, "diagnose"},
        "from_page": _is_from_page(request),
        "dialog_url": request.path,
        "back_url": _back(request, selection),
    }
    return dialog_response(
        request, "mailboxes/_command_dialog.html", context, page=_below(request, selection)
    )


def _below(request: HttpRequest, selection: Selection) -> Page:
    """Return the page that the dialog stands on when there is no script."""
    environment = selection.environment
    if _is_from_page(request):
        pk = selection.names(1)[0].pk
        return lambda: detail_page(request, environment.slug, pk, is_bound=False)
    return lambda: list_page(request, environment, state=selection.state)


def _carry_out(request: HttpRequest, action: str, doing: Doing, selection: Selection) -> HttpResponse:
    command, noun = COMMANDS[action], _noun(action)
    # Carried out, the command may have changed what the list selects: these are read before.
    number, back = selection.count, _back(request, selection)
    changed = command.run(doing)
    if changed:
        title, text = command.said.format(counted(changed, noun)), command.then
        rest = number - changed
        text = f"{text} {counted(rest, noun)} needed no change.".strip() if rest else text
    else:
        verb = "is" if number == 1 else "are"
        title, text = command.unchanged.format(f"{counted(number, noun)} {verb}"), ""
    intent = "success" if changed else "information"
    return saved_response(request, back, title=title, text=text, intent=intent, leave=_is_from_page(request))
