"""Commands on selected mailboxes: approve, reject, test and enable, activate, deactivate.

The command comes as `action`, the mailboxes as `mailboxes.views.selection` describes. What destroys or
reaches many records is asked first; the answer comes back with `confirm`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, cast

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_http_methods

from emailsync.web.responses import Undo, dialog_response, redirect_response, saved_response
from mailboxes.choices import AddressStatus, JobKind
from mailboxes.engine import orders
from mailboxes.models import Mailbox
from mailboxes.services import approval, editing, jobs
from mailboxes.views.origin import back_url, is_from_page, page_below
from mailboxes.views.selection import Selection, chosen
from profiles.access import Permission, enter
from profiles.models import Environment

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise

OK = gettext_lazy("OK")
#: A confirmation names this many mailboxes and counts the rest.
NAMED = 8


@dataclass(frozen=True)
class Question:
    """What is asked before a command is carried out; `{}` stands for "3 mailboxes"."""

    title: "_StrOrPromise"
    text: "_StrOrPromise"
    button: "_StrOrPromise" = OK
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

    #: What carries it out on many mailboxes.
    kind: JobKind | None
    run: Callable[[Doing], int]
    said: "_StrOrPromise"
    unchanged: "_StrOrPromise"
    then: "_StrOrPromise" = ""
    #: The command that takes it back.
    undo: str = ""
    question: Question | None = None


COMMANDS = {
    "approve": Command(
        kind=JobKind.APPROVE,
        run=lambda doing: approval.approve(doing.mailboxes, by=doing.by, now=doing.now),
        said=gettext_lazy("{} approved"),
        unchanged=gettext_lazy("Nothing to approve: {} already approved"),
        then=gettext_lazy("Test and enable what is not running yet."),
        undo="withdraw",
        question=Question(
            gettext_lazy("Approve Email"),
            gettext_lazy(
                "Approve {}? Email for an approved address is processed as soon as its mailbox is tested "
                "and enabled."
            ),
        ),
    ),
    "reject": Command(
        kind=JobKind.REJECT,
        run=lambda doing: approval.reject(doing.mailboxes, by=doing.by, now=doing.now),
        said=gettext_lazy("{} rejected"),
        unchanged=gettext_lazy("Nothing to reject: {} already rejected"),
        question=Question(
            gettext_lazy("Reject Email"),
            gettext_lazy(
                "Reject {}? No email is received or sent for a rejected address until somebody approves it "
                "again. What is stored stays."
            ),
            is_dangerous=True,
        ),
    ),
    "withdraw": Command(
        kind=None,
        run=lambda doing: approval.withdraw(doing.mailboxes, by=doing.by, now=doing.now),
        said=gettext_lazy("{} returned to Pending Approval"),
        unchanged=gettext_lazy("Nothing to take back: {} waiting for approval"),
    ),
    "activate": Command(
        kind=JobKind.ACTIVATE,
        run=lambda doing: editing.set_active(doing.mailboxes, active=True, by=doing.by, now=doing.now),
        said=gettext_lazy("{} activated"),
        unchanged=gettext_lazy("Nothing to activate: {} already active"),
        then=gettext_lazy("Directions that were enabled run again."),
        undo="deactivate",
    ),
    "deactivate": Command(
        kind=JobKind.DEACTIVATE,
        run=lambda doing: editing.set_active(doing.mailboxes, active=False, by=doing.by, now=doing.now),
        said=gettext_lazy("{} deactivated"),
        unchanged=gettext_lazy("Nothing to deactivate: {} already inactive"),
        undo="activate",
        question=Question(
            gettext_lazy("Deactivate"),
            gettext_lazy(
                "Deactivate {}? An inactive mailbox neither receives nor sends email until it is activated "
                "again. What is stored stays."
            ),
            is_dangerous=True,
        ),
    ),
}
#: What one must be allowed for each command.
NEEDS = {
    "edit": Permission.READ_MAILBOXES,
    "apply_default": Permission.WRITE_MAILBOXES,
    "diagnose": Permission.DIAGNOSE,
    "approve": Permission.APPROVE,
    "reject": Permission.APPROVE,
    "withdraw": Permission.APPROVE,
    "activate": Permission.WRITE_MAILBOXES,
    "deactivate": Permission.WRITE_MAILBOXES,
}
#: Commands with a screen of their own, which is sent the same selection.
ELSEWHERE = {
    "edit": "mailboxes:mailbox_change_many",
    "apply_default": "mailboxes:mailbox_apply_default",
    "diagnose": "mailboxes:mailbox_diagnose",
}
#: What the confirmation counts.
ADDRESSES = ("approve", "reject", "withdraw")
#: What an address is that a command leaves as it is.
ALREADY = {"approve": AddressStatus.APPROVED, "reject": AddressStatus.REJECTED}


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
        title = _("Select a mailbox first") if selection.was_empty else _("These mailboxes are gone")
        return saved_response(
            request, selection.list_url, title=title, text=_("Nothing was changed."), intent="error"
        )
    if action in ELSEWHERE:
        return _hand_on(request, action, selection)
    question = COMMANDS[action].question
    if question and "confirm" not in request.POST:
        return _ask(request, action, question, selection)
    return _carry_out(request, action, selection)


def _start(request: HttpRequest, kind: JobKind, selection: Selection) -> HttpResponse:
    """Have a job carry out a command on many mailboxes, and go to its page."""
    job = jobs.start(
        kind,
        environment=selection.environment,
        targets=selection.mailboxes.order_by("pk").values_list("pk", flat=True),
        by=cast("User", request.user),
        now=timezone.now(),
    )
    return redirect_response(request, job.get_absolute_url())


def counted(number: int, action: str) -> str:
    """Return a number with what the command is about: "1 mailbox", "3 email addresses"."""
    words = (
        ngettext("%(number)s email address", "%(number)s email addresses", number)
        if action in ADDRESSES
        else ngettext("%(number)s mailbox", "%(number)s mailboxes", number)
    )
    return words % {"number": f"{number:,}"}


def _hand_on(request: HttpRequest, action: str, selection: Selection) -> HttpResponse:
    """Send the selection to the screen of the command; one mailbox is edited on its own page."""
    slug = selection.environment.slug
    if action == "edit" and selection.count == 1:
        pk = selection.names(1)[0].pk
        return redirect_response(request, reverse("mailboxes:mailbox_detail", args=[slug, pk]))
    # 307 keeps the method and what was posted.
    return HttpResponseRedirect(reverse(ELSEWHERE[action], args=[slug]), status=307)


def _ask(request: HttpRequest, action: str, question: Question, selection: Selection) -> HttpResponse:
    number, seen = selection.count, timezone.now()
    context = {
        "seen": seen.isoformat() if action == "approve" else "",
        "environment": selection.environment,
        "action": action,
        "title": question.title,
        "question": question,
        "text": f"{str(question.text).format(counted(number, action))} {_already(action, selection)}".strip(),
        "named": selection.names(NAMED),
        "further": max(number - NAMED, 0),
        "selection": selection,
        "shows_approval": action in ADDRESSES,
        "from_page": is_from_page(request),
        "dialog_url": request.path,
        "back_url": back_url(request, selection),
    }
    return dialog_response(
        request, "mailboxes/_command_dialog.html", context, page=page_below(request, selection)
    )


def _already(action: str, selection: Selection) -> str:
    """Say how many of the addresses a command leaves as they are."""
    if action not in ALREADY:
        return ""
    number = selection.mailboxes.filter(address_status=ALREADY[action]).count()
    if not number:
        return ""
    return ngettext(
        "%(number)s is so already and stays as it is.",
        "%(number)s are so already and stay as they are.",
        number,
    ) % {"number": f"{number:,}"}


def _changed_since(request: HttpRequest, selection: Selection) -> int:
    """Return how many addresses to be approved may be others than those that the question showed."""
    seen = parse_datetime(request.POST.get("seen", ""))
    if seen is None:
        return 0
    waiting = selection.mailboxes.exclude(address_status=AddressStatus.APPROVED)
    return waiting.filter(modified_on__gt=seen).count()


def _carry_out(request: HttpRequest, action: str, selection: Selection) -> HttpResponse:
    command = COMMANDS[action]
    if changed := _changed_since(request, selection):
        words = ngettext(
            "%(things)s was changed after you were asked. Look at it again, then approve it.",
            "%(things)s were changed after you were asked. Look at them again, then approve them.",
            changed,
        )
        title, text = _("Nothing was approved"), words % {"things": counted(changed, action)}
        return saved_response(request, back_url(request, selection), title=title, text=text, intent="warning")
    if command.kind and selection.count > orders.DIRECTLY:
        return _start(request, command.kind, selection)
    doing = Doing(selection.environment, selection.mailboxes, cast("User", request.user), timezone.now())
    # Carried out, the command may have changed what the list selects: these are read before.
    number, back = selection.count, back_url(request, selection)
    changed = command.run(doing)
    if changed:
        title, text = str(command.said).format(counted(changed, action)), str(command.then)
        if number > changed:
            rest = _("%(things)s needed no change.") % {"things": counted(number - changed, action)}
            text = f"{text} {rest}".strip()
    else:
        things = ngettext("%(things)s is", "%(things)s are", number) % {"things": counted(number, action)}
        title, text = str(command.unchanged).format(things), ""
    undo = None
    if changed and command.undo:
        fields = {"action": command.undo, "stamp": doing.now.isoformat(), "confirm": "1"}
        undo = Undo(_("Undo"), request.path, fields)
    return saved_response(
        request,
        back,
        title=title,
        text=text,
        intent="success" if changed else "information",
        leave=is_from_page(request),
        undo=undo,
    )
