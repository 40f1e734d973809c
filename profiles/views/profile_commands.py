"""Commands on selected server profiles: edit, test, set as default, activate, deactivate, delete.

The rows that were ticked come as `ids`, the command as `action` ("delete", or "delete:ID" from a row's own
menu). What stops mail or destroys is asked first; the question names what stays as it is, and why. The
answer comes back with `confirm`, and the selection is read again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, cast
from uuid import UUID

from django.contrib.auth.models import User
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_http_methods

from emailsync.web.responses import dialog_response, redirect_response, saved_response
from profiles import access, services
from profiles.access import Permission
from profiles.models import Environment, ServerProfile
from profiles.views.profile_list import list_page

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise

#: A confirmation names this many mailboxes of a profile and counts the rest.
NAMED = 5


@dataclass(frozen=True)
class Doing:
    """Who does what, when."""

    profiles: list[ServerProfile]
    by: User
    now: datetime


@dataclass(frozen=True)
class Question:
    """What is asked before a command is carried out; `{}` stands for the profile, or "3 server profiles"."""

    title: "_StrOrPromise"
    text: "_StrOrPromise"
    button: "_StrOrPromise"
    #: Says why a profile must stay as it is, or nothing.
    obstacle: Callable[[ServerProfile], str]


@dataclass(frozen=True)
class Command:
    """A command: how it is carried out, what is said afterwards, and what is asked before."""

    run: Callable[[Doing], int]
    said: "_StrOrPromise"
    unchanged: "_StrOrPromise"
    then: "_StrOrPromise" = ""
    question: Question | None = None


@dataclass(frozen=True)
class Kept:
    """A selected profile that the command leaves alone, and why."""

    profile: ServerProfile
    reason: str
    mailboxes: list[object]


def _mailbox_count(profile: ServerProfile) -> int:
    return cast("int", getattr(profile, "mailbox_count"))  # noqa: B009  (an annotation that mypy does not know)


def _delete(doing: Doing) -> int:
    for profile in doing.profiles:
        services.delete_profile(profile, by=doing.by)
    return len(doing.profiles)


def _set_active(doing: Doing, *, active: bool) -> int:
    profiles = ServerProfile.objects.filter(pk__in=[profile.pk for profile in doing.profiles])
    return services.set_active(profiles, active=active, by=doing.by, now=doing.now)


COMMANDS = {
    "default": Command(
        run=lambda doing: int(services.set_default(doing.profiles[0], by=doing.by, now=doing.now)),
        said=gettext_lazy("{} is the default now"),
        unchanged=gettext_lazy("{} already was the default"),
        then=gettext_lazy("New mailboxes start with it. Existing ones stay as they are."),
    ),
    "activate": Command(
        run=lambda doing: _set_active(doing, active=True),
        said=gettext_lazy("{} activated"),
        unchanged=gettext_lazy("Nothing to activate: {} already active"),
        then=gettext_lazy("Mailboxes can use it now."),
    ),
    "deactivate": Command(
        run=lambda doing: _set_active(doing, active=False),
        said=gettext_lazy("{} deactivated"),
        unchanged=gettext_lazy("Nothing to deactivate: {} already inactive"),
        question=Question(
            gettext_lazy("Deactivate"),
            gettext_lazy(
                "Deactivate {}? Mailboxes that use it neither receive nor send until it is activated again."
            ),
            gettext_lazy("Deactivate"),
            obstacle=lambda profile: services.deactivation_obstacle(profile) if profile.is_active else "",
        ),
    ),
    "delete": Command(
        run=_delete,
        said=gettext_lazy("{} deleted"),
        unchanged=gettext_lazy("Nothing was deleted"),
        question=Question(
            gettext_lazy("Delete"),
            gettext_lazy("Delete {} with its alerts? This cannot be undone."),
            gettext_lazy("Delete"),
            obstacle=lambda profile: services.deletion_obstacle(profile, mailboxes=_mailbox_count(profile)),
        ),
    ),
}
#: Where commands on exactly one profile lead: dialogs on the page at hand.
ADDRESSES = {"edit": "profiles:profile_edit", "diagnose": "mailboxes:profile_diagnose"}
SINGLE = {*ADDRESSES, "default", "legacy"}
#: What a command needs; all others change profiles.
NEEDS = dict.fromkeys(("edit", "legacy"), Permission.READ_SETTINGS) | {"diagnose": Permission.DIAGNOSE}


@require_http_methods(["GET", "HEAD", "POST"])
def profile_command(request: HttpRequest, slug: str) -> HttpResponse:
    """Carry out a command on the selected server profiles, or ask first."""
    environment = access.enter(request.user, slug, Permission.READ_SETTINGS)
    if request.method != "POST":  # a question that was reloaded, or left for the sign-in page
        return HttpResponseRedirect(_back(request, environment))
    action, _sign, only = request.POST.get("action", "").partition(":")
    if action not in COMMANDS and action not in ADDRESSES and action != "legacy":
        raise Http404("There is no such command.")
    access.require(request.user, NEEDS.get(action, Permission.WRITE_PROFILES), environment)
    ids = [only] if only else request.POST.getlist("ids")
    found = selection(environment, ids)
    if action == "legacy" and not ids:
        return redirect_response(request, reverse("profiles:profile_create_full", args=[slug]))
    if not found or (action in SINGLE and len(found) > 1):
        return _not_selected(request, environment, is_empty=not ids, is_gone=not found)
    if action in SINGLE - {"default"}:
        return _lead(request, environment, action, found[0])
    command = COMMANDS[action]
    if command.question and "confirm" not in request.POST:
        return _ask(request, environment, action, command.question, found)
    return _carry_out(request, environment, action, found)


def _lead(
    request: HttpRequest, environment: Environment, action: str, profile: ServerProfile
) -> HttpResponse:
    """Go where a command on one profile leads: to a dialog here, or to the profile's own page."""
    if action in ADDRESSES:
        return HttpResponseRedirect(reverse(ADDRESSES[action], args=[environment.slug, profile.pk]))
    return redirect_response(request, reverse("profiles:profile_detail", args=[environment.slug, profile.pk]))


def _not_selected(
    request: HttpRequest, environment: Environment, *, is_empty: bool, is_gone: bool
) -> HttpResponse:
    """Say what has to be selected instead."""
    if is_empty:
        title = _("Select a server profile first")
    elif is_gone:
        title = _("These server profiles are gone")
    else:
        title = _("Select one server profile")
    text, back = _("Nothing was changed."), _back(request, environment)
    return saved_response(request, back, title=title, text=text, intent="error")


def selection(environment: Environment, ids: list[str]) -> list[ServerProfile]:
    """Return the profiles of `environment` that are among `ids`; what is no id at all names none."""
    profiles = environment.server_profiles.filter(pk__in=[pk for pk in map(_uuid, ids) if pk])
    return list(profiles.defer("password", "outgoing_password").annotate(mailbox_count=Count("mailboxes")))


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _back(request: HttpRequest, environment: Environment, found: list[ServerProfile] | None = None) -> str:
    """Return where a command came from: the page of the profile, or the list as it was."""
    if request.GET.get("from") == "profile":
        if found:
            return reverse("profiles:profile_detail", args=[environment.slug, found[0].pk])
        return reverse("profiles:profile_list", args=[environment.slug])
    url = reverse("profiles:profile_list", args=[environment.slug])
    return f"{url}?{request.GET.urlencode()}" if request.GET else url


def _named(profiles: list[ServerProfile]) -> str:
    """Return the name of one profile, the number of several."""
    number = len(profiles)
    several = ngettext("%(count)s server profile", "%(count)s server profiles", number)
    return profiles[0].name if number == 1 else several % {"count": f"{number:,}"}


def _ask(
    request: HttpRequest,
    environment: Environment,
    action: str,
    question: Question,
    found: list[ServerProfile],
) -> HttpResponse:
    reasons = {profile.pk: question.obstacle(profile) for profile in found}
    doable = [profile for profile in found if not reasons[profile.pk]]
    kept = [
        # One short question for each profile that cannot be deleted; few are selected at once.
        Kept(profile, reasons[profile.pk], _some_mailboxes(profile, environment))
        for profile in found
        if reasons[profile.pk]
    ]
    context = {
        "environment": environment,
        "action": action,
        "question": question,
        "text": str(question.text).format(_named(doable))
        if doable
        else _("Nothing that is selected can be changed this way."),
        "doable": doable,
        "kept": kept,
        "affected": sum(_mailbox_count(profile) for profile in doable) if action == "deactivate" else 0,
        "dialog_url": request.get_full_path(),
        "back_url": _back(request, environment, found),
    }
    return dialog_response(
        request,
        "profiles/_profile_question.html",
        context,
        page=lambda: list_page(environment, state=request.GET),
    )


def _some_mailboxes(profile: ServerProfile, environment: Environment) -> list[object]:
    """Return the first mailboxes of `profile`, for those who may see them."""
    if Permission.READ_MAILBOXES not in environment.may:
        return []
    return list(profile.mailboxes.only("name", "address")[:NAMED])


def _carry_out(
    request: HttpRequest, environment: Environment, action: str, found: list[ServerProfile]
) -> HttpResponse:
    command, names = COMMANDS[action], _named(found)
    doing = Doing(found, cast("User", request.user), timezone.now())
    try:
        changed = command.run(doing)
    except services.NotPossible as error:
        back, title = _back(request, environment, found), _("This is not possible")
        return saved_response(request, back, title=title, text=str(error), intent="error")
    if changed:
        is_gone = action == "delete"
        back = _back(request, environment, None if is_gone else found)
        title, text = str(command.said).format(names), str(command.then)
        leave = is_gone and request.GET.get("from") == "profile"
        return saved_response(request, back, title=title, text=text, leave=leave)
    verb = ngettext("{} is", "{} are", len(found)).format(names)
    title = str(command.unchanged).format(names if action == "default" else verb)
    return saved_response(request, _back(request, environment, found), title=title, intent="information")
