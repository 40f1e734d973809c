"""Commands on selected server profiles: edit, test, set as default, activate, deactivate, delete.

The rows that were ticked come as `ids`, the command as `action` ("delete", or "delete:ID" from a row's own
menu). What stops mail or destroys is asked first; the question names what stays as it is, and why. The
answer comes back with `confirm`, and the selection is read again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import cast
from uuid import UUID

from django.contrib.auth.models import User
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from emailsync.web.responses import dialog_response, saved_response
from profiles import access, services
from profiles.access import Permission
from profiles.models import Environment, ServerProfile
from profiles.views.profile_list import list_page

#: A confirmation names this many mailboxes of a profile and counts the rest.
NAMED = 5
NOTHING_DOABLE = "Nothing that is selected can be changed this way."


@dataclass(frozen=True)
class Doing:
    """Who does what, when."""

    profiles: list[ServerProfile]
    by: User
    now: datetime


@dataclass(frozen=True)
class Question:
    """What is asked before a command is carried out; `{}` stands for the profile, or "3 server profiles"."""

    title: str
    text: str
    button: str
    #: Says why a profile must stay as it is, or nothing.
    obstacle: Callable[[ServerProfile], str]


@dataclass(frozen=True)
class Command:
    """A command: how it is carried out, what is said afterwards, and what is asked before."""

    run: Callable[[Doing], int]
    said: str
    unchanged: str
    then: str = ""
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
        said="{} is the default now",
        unchanged="{} already was the default",
        then="New mailboxes start with it. Existing ones stay as they are.",
    ),
    "activate": Command(
        run=lambda doing: _set_active(doing, active=True),
        said="{} activated",
        unchanged="Nothing to activate: {} already active",
        then="Mailboxes can use it now.",
    ),
    "deactivate": Command(
        run=lambda doing: _set_active(doing, active=False),
        said="{} deactivated",
        unchanged="Nothing to deactivate: {} already inactive",
        question=Question(
            "Deactivate",
            "Deactivate {}? Mailboxes that use it neither receive nor send until it is activated again.",
            "Deactivate",
            obstacle=lambda profile: services.deactivation_obstacle(profile) if profile.is_active else "",
        ),
    ),
    "delete": Command(
        run=_delete,
        said="{} deleted",
        unchanged="Nothing was deleted",
        question=Question(
            "Delete",
            "Delete {} with its alerts? This cannot be undone.",
            "Delete",
            obstacle=lambda profile: services.deletion_obstacle(profile, mailboxes=_mailbox_count(profile)),
        ),
    ),
}
#: Where commands on exactly one profile lead.
ADDRESSES = {"edit": "profiles:profile_edit", "diagnose": "mailboxes:profile_diagnose"}
SINGLE = {*ADDRESSES, "default"}
#: What a command needs; all others change profiles.
NEEDS = {"edit": Permission.READ_SETTINGS, "diagnose": Permission.DIAGNOSE}


@require_http_methods(["GET", "HEAD", "POST"])
def profile_command(request: HttpRequest, slug: str) -> HttpResponse:
    """Carry out a command on the selected server profiles, or ask first."""
    environment = access.enter(request.user, slug, Permission.READ_SETTINGS)
    back = _back(request, environment)
    if request.method != "POST":  # a question that was reloaded, or left for the sign-in page
        return HttpResponseRedirect(back)
    action, _, only = request.POST.get("action", "").partition(":")
    if action not in COMMANDS and action not in ADDRESSES:
        raise Http404("There is no such command.")
    access.require(request.user, NEEDS.get(action, Permission.WRITE_PROFILES), environment)
    found = selection(environment, [only] if only else request.POST.getlist("ids"))
    if not found:
        is_empty = not (only or request.POST.getlist("ids"))
        title = "Select a server profile first" if is_empty else "These server profiles are gone"
        return saved_response(request, back, title=title, text="Nothing was changed.", intent="error")
    if action in SINGLE and len(found) > 1:
        title = "Select one server profile"
        return saved_response(request, back, title=title, text="Nothing was changed.", intent="error")
    if action in ADDRESSES:
        return HttpResponseRedirect(reverse(ADDRESSES[action], args=[slug, found[0].pk]))
    command = COMMANDS[action]
    if command.question and "confirm" not in request.POST:
        return _ask(request, environment, action, command.question, found, back=back)
    return _carry_out(request, command, found, back=back)


def selection(environment: Environment, ids: list[str]) -> list[ServerProfile]:
    """Return the profiles of `environment` that are among `ids`; what is no id at all names none."""
    profiles = environment.server_profiles.filter(pk__in=[pk for pk in map(_uuid, ids) if pk])
    return list(profiles.defer("password", "outgoing_password").annotate(mailbox_count=Count("mailboxes")))


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _back(request: HttpRequest, environment: Environment) -> str:
    url = reverse("profiles:profile_list", args=[environment.slug])
    return f"{url}?{request.GET.urlencode()}" if request.GET else url


def _named(profiles: list[ServerProfile]) -> str:
    """Return the name of one profile, the number of several."""
    return profiles[0].name if len(profiles) == 1 else f"{len(profiles):,} server profiles"


def _ask(
    request: HttpRequest,
    environment: Environment,
    action: str,
    question: Question,
    found: list[ServerProfile],
    *,
    back: str,
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
        "text": question.text.format(_named(doable)) if doable else NOTHING_DOABLE,
        "doable": doable,
        "kept": kept,
        "affected": sum(_mailbox_count(profile) for profile in doable) if action == "deactivate" else 0,
        "dialog_url": request.get_full_path(),
        "back_url": back,
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
    request: HttpRequest, command: Command, found: list[ServerProfile], *, back: str
) -> HttpResponse:
    doing = Doing(found, cast("User", request.user), timezone.now())
    try:
        changed = command.run(doing)
    except services.NotPossible as error:
        return saved_response(request, back, title="This is not possible", text=str(error), intent="error")
    if changed:
        return saved_response(request, back, title=command.said.format(_named(found)), text=command.then)
    verb = "is" if len(found) == 1 else "are"
    words = _named(found) if "default" in command.unchanged else f"{_named(found)} {verb}"
    return saved_response(request, back, title=command.unchanged.format(words), intent="information")
