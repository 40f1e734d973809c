"""The alerts walls: of a mailbox, of a server profile, of an environment, and of the person signed in.

What a wall shows is in its address: whose it is, level, cause, search, page. A command names the same
words, so that "delete all" means what was seen: the filter on every page, and nothing that came after.
"""

from typing import Any, cast
from uuid import UUID

from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from emailsync.web.responses import (
    dialog_response,
    is_fragment,
    page_response,
    redirect_response,
    saved_response,
)
from mailboxes import access as mailbox_access
from mailboxes.alerts.presenting import Presented, Presenter
from mailboxes.models import Alert, Job, Mailbox
from mailboxes.models.alert import AlertQuerySet
from mailboxes.services import wall
from mailboxes.views.alert_listing import AlertListing, Wall, where_to_mend, with_places, words_of
from mailboxes.views.head import mailbox_head
from profiles import access
from profiles.access import Permission
from profiles.models import Environment, ServerProfile
from profiles.views.figures import add_figures

#: How many mailboxes of an outage are listed at a time.
MEMBERS = 20


def _user(request: HttpRequest) -> User:
    return cast("User", request.user)


def _listing(request: HttpRequest, state: QueryDict, alerts: AlertQuerySet, *, url: str) -> AlertListing:
    return AlertListing(state, alerts, url=url, user=_user(request))


def _mailbox_wall(request: HttpRequest, state: QueryDict, mailbox: Mailbox, head: dict[str, Any]) -> Wall:
    url = reverse("mailboxes:mailbox_alerts", args=[mailbox.environment.slug, mailbox.pk])
    return Wall(
        listing=_listing(request, state, wall.of_mailbox(mailbox), url=url),
        scope={"mailbox": str(mailbox.pk)},
        template="mailboxes/mailbox_alerts.html",
        may_delete=Permission.DELETE_ALERTS in mailbox.may,
        head=head,
    )


def _profile_wall(
    request: HttpRequest, state: QueryDict, environment: Environment, profile: ServerProfile
) -> Wall:
    url = reverse("mailboxes:profile_alerts", args=[environment.slug, profile.pk])
    return Wall(
        listing=_listing(request, state, wall.of_profile(profile), url=url),
        scope={"profile": str(profile.pk)},
        template="mailboxes/profile_alerts.html",
        may_delete=access.may(
            _user(request), Permission.DELETE_ALERTS, environment, owner_id=profile.owner_id
        ),
        head={
            "environment": environment,
            "profile": profile,
            "crumb": _("%(profile)s: alerts") % {"profile": profile.name},
        },
    )


def _environment_wall(request: HttpRequest, state: QueryDict, environment: Environment) -> Wall:
    url = reverse("mailboxes:environment_alerts", args=[environment.slug])
    profiles = ServerProfile.objects.filter(environment=environment).only("pk", "name").order_by("name")
    return Wall(
        listing=_listing(request, state, wall.of_environment(environment), url=url),
        scope={"environment": environment.slug},
        template="mailboxes/environment_alerts.html",
        may_delete=Permission.DELETE_ALERTS in environment.may,
        head={"environment": environment},
        profiles=list(profiles),
    )


def _personal_wall(request: HttpRequest, state: QueryDict) -> Wall:
    user = _user(request)
    whose = state.get("whose") == "everybody"
    alerts = wall.of_everybody(user) if whose else wall.of_person(user)
    return Wall(
        listing=_listing(request, state, alerts, url=reverse("mailboxes:alert_list")),
        scope={},
        template="mailboxes/alert_list.html",
        may_delete=user.is_superuser,
        spans_environments=True,
    )


@require_safe
def mailbox_alerts(request: HttpRequest, slug: str, pk: UUID) -> HttpResponse:
    """Show the alerts about a mailbox."""
    mailbox, head = mailbox_head(_user(request), slug, pk, Permission.READ_ALERTS, tab="alerts")
    return _show(request, _mailbox_wall(request, request.GET, mailbox, head))


@require_safe
def profile_alerts(request: HttpRequest, slug: str, pk: UUID) -> HttpResponse:
    """Show the alerts about a server profile and the errors of its mailboxes."""
    environment = access.enter(_user(request), slug)
    found = ServerProfile.objects.select_related("owner")
    found = found.defer("password", "outgoing_password", "oauth_client_secret")
    profile = get_object_or_404(found, environment=environment, pk=pk)
    access.require(_user(request), Permission.READ_ALERTS, environment, owner_id=profile.owner_id)
    add_figures([profile])
    return _show(request, _profile_wall(request, request.GET, environment, profile))


@require_safe
def environment_alerts(request: HttpRequest, slug: str) -> HttpResponse:
    """Show every alert of an environment."""
    environment = access.enter(_user(request), slug, Permission.READ_ALERTS)
    return _show(request, _environment_wall(request, request.GET, environment))


@require_safe
def alert_list(request: HttpRequest) -> HttpResponse:
    """Show the wall of the person signed in, or everybody's."""
    return _show(request, _personal_wall(request, request.GET))


@require_safe
def alert_members(request: HttpRequest, pk: int) -> HttpResponse:
    """List the mailboxes that one alert of a server profile gathers, a page at a time."""
    user = _user(request)
    visible = wall.of_person(user) | wall.of_everybody(user)
    alert = get_object_or_404(visible.select_related("environment", "server_profile"), pk=pk)
    environment = alert.environment
    environment.may = frozenset(access.permissions(user, environment))
    asked = request.GET.get("after", "")
    after = int(asked) if asked.isascii() and asked.isdecimal() and len(asked) < 19 else 0
    found = with_places(alert.members.order_by("resolved_on", "pk"))
    if not access.may(user, Permission.READ_ALERTS, environment, owner_id=_owner_of(alert)):
        # The owner of a mailbox is told what befell its profile, not who else it befell.
        found = found.filter(mailbox__owner=user)
    rows = list(found[after : after + MEMBERS + 1])
    context = {
        "environment": environment,
        "alert": alert,
        "card": _words(alert, user),
        "rows": [(row, where_to_mend(row, user)) for row in rows[:MEMBERS]],
        "after": after + MEMBERS if len(rows) > MEMBERS else 0,
        "further": found.count() - after - MEMBERS,
        "may_open": Permission.READ_MAILBOXES in environment.may,
        "user_id": user.pk,
    }
    return page_response(request, "mailboxes/alert_members.html", "mailboxes/_alert_members.html", context)


@require_safe
def alert_transcript(request: HttpRequest, pk: int) -> HttpResponse:
    """Show what was said to the server before a failure, without secrets."""
    user = _user(request)
    alert = get_object_or_404(Alert.objects.select_related("environment", "server_profile", "mailbox"), pk=pk)
    if not access.belongs(user, alert.environment):
        raise Http404("There is no such alert.")
    transcript = wall.transcript_of(alert, by=user)
    if transcript is None:
        raise Http404("Nothing was recorded of this alert.")
    context = {
        "environment": alert.environment,
        "alert": alert,
        "card": _words(alert, user),
        "transcript": transcript,
    }
    return page_response(
        request, "mailboxes/alert_transcript.html", "mailboxes/_alert_transcript.html", context
    )


def _words(alert: Alert, user: User) -> Presented:
    owner, members = alert.mailbox.owner_id if alert.mailbox else None, wall.members_of([alert])
    return words_of(alert, members.get(alert.pk), user=user, owner_id=owner, presenter=Presenter())


def _owner_of(alert: Alert) -> int | None:
    return alert.server_profile.owner_id if alert.server_profile else None


def _show(request: HttpRequest, shown: Wall) -> HttpResponse:
    if request.GET.get("ask") == "delete":
        return _ask(request, shown)
    mark = request.GET.get("mark", "")
    if mark and is_fragment(request) and mark == shown.listing.mark:
        return HttpResponse(status=204)
    context = {**shown.context(), "is_fragment": is_fragment(request)}
    if mark and is_fragment(request):
        number = shown.listing.newer_than(mark)
        context["news"] = (
            ngettext("%(number)s new alert.", "%(number)s new alerts.", number) % {"number": number}
            if number
            else ""
        )
    return page_response(request, shown.template, "mailboxes/_wall_part.html", context)


def _ask(request: HttpRequest, shown: Wall) -> HttpResponse:
    listing = shown.listing
    context = {
        "listing": listing,
        "scope": shown.scope,
        "total": wall.deletable(
            cast("AlertQuerySet", listing.selected), by=None if shown.may_delete else _user(request)
        ).count(),
        "until": timezone.now().isoformat(),
        "dialog_url": reverse("mailboxes:alert_delete"),
        "back_url": listing.here,
    }
    return dialog_response(
        request, "mailboxes/_alerts_delete.html", context, page=lambda: (shown.template, shown.context())
    )


@require_POST
def alert_delete(request: HttpRequest) -> HttpResponse:
    """Delete one alert of a wall, or all that its filter shows."""
    shown = _wall_of(request, Permission.DELETE_ALERTS)
    selected = cast("AlertQuerySet", shown.listing.selected)
    now = timezone.now()
    if "all" in request.POST:
        until = parse_datetime(request.POST.get("until", "")) or now
        deleted = wall.delete_all(selected, by=_user(request), now=now, until=until)
        if isinstance(deleted, list):
            return _follow(request, shown, deleted)
        words = ngettext("%(number)s alert deleted", "%(number)s alerts deleted", deleted)
        return saved_response(request, shown.listing.clear_url, title=words % {"number": f"{deleted:,}"})
    number = _number(request)
    rows = shown.listing.rows  # as they stood when somebody chose one of them
    known = shown.listing.alerts.filter(pk=number)
    deleted = wall.delete(known, by=_user(request), now=now)
    if not deleted and known.exists():
        raise access.refusal(Permission.DELETE_ALERTS)
    title = _("Alert deleted") if deleted else _("This alert is already gone")
    return _after(request, shown, number, among=rows, title=title)


def _follow(request: HttpRequest, shown: Wall, jobs: list[Job]) -> HttpResponse:
    """Go to the page of the job that deletes; of several, name the environments that they stand in."""
    if len(jobs) == 1:
        return redirect_response(request, jobs[0].get_absolute_url())
    title = _("The alerts are deleted in the background")
    names = ", ".join(job.environment.name for job in jobs)
    text = _("Follow it under Jobs of these environments: %(names)s.") % {"names": names}
    return saved_response(request, shown.listing.clear_url, title=title, text=text, intent="information")


@require_POST
def alert_read(request: HttpRequest) -> HttpResponse:
    """Mark one alert of a wall as read, or all open ones that its filter shows."""
    shown = _wall_of(request, Permission.READ_ALERTS)
    number = _number(request)
    alerts = shown.listing.alerts.filter(pk=number) if number else shown.listing.selected
    marked = wall.mark_read(alerts, by=_user(request))
    words = ngettext("%(number)s alert marked as read", "%(number)s alerts marked as read", marked)
    return _after(request, shown, number, among=shown.listing.rows, title=words % {"number": f"{marked:,}"})


def _after(
    request: HttpRequest, before: Wall, number: int, *, among: list[Alert], title: str
) -> HttpResponse:
    """Show the wall again; the card `number` takes the focus, or the one that came after it."""
    if not is_fragment(request):
        return saved_response(request, before.listing.here, title=title)
    rows = [alert.pk for alert in among]
    after = _wall_of(request, Permission.READ_ALERTS)
    left = [alert.pk for alert in after.listing.rows]
    focus = 0
    if number and left:
        position = rows.index(number) if number in rows else 0
        focus = number if number in left else left[min(position, len(left) - 1)]
    parts = {"is_fragment": True, "said": title, "empties": bool(number)}
    return render(request, "mailboxes/_wall_part.html", {**after.context(focus=focus), **parts})


def _number(request: HttpRequest) -> int:
    asked = request.POST.get("alert", "")
    return int(asked) if asked.isascii() and asked.isdecimal() and len(asked) < 19 else 0


def _wall_of(request: HttpRequest, permission: Permission) -> Wall:
    """Return the wall that a command comes from. Raises PermissionDenied, or Http404 for strangers."""
    state, user = request.POST, _user(request)
    if "mailbox" in state:
        known = Mailbox.objects.filter(pk=_uuid(state["mailbox"])).select_related("environment").first()
        if known is None:
            raise Http404("There is no such mailbox.")
        environment, mailbox = mailbox_access.enter(user, known.environment.slug, known.pk, permission)
        head = {"open_alerts": wall.open_count(wall.of_mailbox(mailbox)), "environment": environment}
        return _mailbox_wall(request, state, mailbox, head)
    if "profile" in state:
        profile = (
            ServerProfile.objects.filter(pk=_uuid(state["profile"])).select_related("environment").first()
        )
        if profile is None:
            raise Http404("There is no such server profile.")
        environment = access.enter(user, profile.environment.slug)
        access.require(user, permission, environment, owner_id=profile.owner_id)
        return _profile_wall(request, state, environment, profile)
    if "environment" in state:
        return _environment_wall(request, state, access.enter(user, state["environment"], permission))
    return _personal_wall(request, state)


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise Http404("There is no such wall.") from error
