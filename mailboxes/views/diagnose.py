"""The question before Test & Enable, for chosen mailboxes and for all of a server profile."""

from dataclasses import dataclass
from typing import cast
from uuid import UUID

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.db.models.functions import Lower
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from emailsync.web.responses import Page, dialog_response, redirect_response, saved_response
from mailboxes import access as mailbox_access
from mailboxes.choices import Direction
from mailboxes.engine import claiming
from mailboxes.forms.diagnose import DiagnoseForm
from mailboxes.models import Alert, Job, Mailbox
from mailboxes.services import diagnosis
from mailboxes.services.editing import StartTooEarly
from mailboxes.views.mailbox_form import detail_page
from mailboxes.views.mailbox_list import list_page
from mailboxes.views.selection import Selection, chosen
from profiles.access import Permission, enter
from profiles.models import Environment, ServerProfile
from profiles.views import profile_list

#: The question names this many mailboxes and counts the rest.
NAMED = 5


@dataclass(frozen=True)
class Asked:
    """What is to be tested, and where the question stands."""

    environment: Environment
    mailboxes: QuerySet[Mailbox]
    url: str
    back_url: str
    page: Page
    selection: Selection | None = None
    profile: ServerProfile | None = None
    is_from_page: bool = False
    #: Only those are tested that a failure has stopped.
    is_again: bool = False


@require_http_methods(["GET", "HEAD", "POST"])
def mailbox_diagnose(request: HttpRequest, slug: str) -> HttpResponse:
    """Ask about, and then start, Test & Enable for the chosen mailboxes."""
    environment = enter(cast("User", request.user), slug)
    if request.method != "POST":  # a question that was reloaded, or left for the sign-in page
        return HttpResponseRedirect(reverse("mailboxes:mailbox_list", args=[slug]))
    selection = chosen(request, environment, Permission.DIAGNOSE)
    if not selection.count:
        title = _("Select a mailbox first") if selection.was_empty else _("These mailboxes are gone")
        return saved_response(
            request, selection.list_url, title=title, text=_("Nothing was tested."), intent="error"
        )
    back_url, page = selection.list_url, lambda: list_page(request, environment, state=selection.state)
    is_from_page = request.POST.get("from") == "mailbox" and selection.count == 1
    if is_from_page:
        pk = selection.names(1)[0].pk
        back_url = reverse("mailboxes:mailbox_detail", args=[slug, pk])
        page = lambda: detail_page(request, slug, pk, is_bound=False)  # noqa: E731
    return _question(
        request,
        Asked(
            environment=environment,
            mailboxes=selection.mailboxes,
            url=reverse("mailboxes:mailbox_diagnose", args=[slug]),
            back_url=back_url,
            page=page,
            selection=selection,
            is_from_page=is_from_page,
        ),
    )


@require_http_methods(["GET", "HEAD", "POST"])
def profile_diagnose(request: HttpRequest, slug: str, pk: UUID) -> HttpResponse:
    """Ask about, and then start, Test & Enable for all active mailboxes of a server profile.

    Or only for those that failures have stopped (`stopped`), or those that one alert gathers (`alert`).
    """
    user = cast("User", request.user)
    environment = enter(user, slug, Permission.DIAGNOSE)
    profile = get_object_or_404(ServerProfile, environment=environment, pk=pk)
    mailboxes: QuerySet[Mailbox] = Mailbox.objects.active().filter(
        environment=environment, server_profile=profile
    )
    back_url = reverse("profiles:profile_list", args=[slug])
    is_again = "stopped" in request.GET or "alert" in request.GET
    if is_again:
        mailboxes = _again(request, profile, mailboxes)
    if is_again and not mailboxes.exists():
        text = _("No mailbox of %(profile)s is stopped by a failure now.") % {"profile": profile.name}
        title = _("Nothing to enable again")
        return saved_response(request, back_url, title=title, text=text, intent="information")
    if not mailboxes.exists():
        return saved_response(
            request,
            back_url,
            title=_("Nothing to test"),
            text=_("No active mailbox uses %(profile)s yet. Choose it in a mailbox first.")
            % {"profile": profile.name},
            intent="warning",
        )
    return _question(
        request,
        Asked(
            environment=environment,
            mailboxes=mailbox_access.within(mailboxes, user, Permission.DIAGNOSE, environment=environment),
            url=request.get_full_path(),
            back_url=back_url,
            is_again=is_again,
            page=lambda: profile_list.list_page(environment, state=QueryDict()),
            profile=profile,
        ),
    )


def _again(request: HttpRequest, profile: ServerProfile, mailboxes: QuerySet[Mailbox]) -> QuerySet[Mailbox]:
    """Return those of `mailboxes` that an outage has stopped."""
    asked = request.GET.get("alert", "")
    if not asked:
        return diagnosis.stopped(mailboxes)
    number = int(asked) if asked.isascii() and asked.isdecimal() and len(asked) < 19 else 0
    alert = get_object_or_404(Alert, server_profile=profile, mailbox=None, pk=number)
    return diagnosis.stopped_by(alert, mailboxes)


def _question(request: HttpRequest, asked: Asked) -> HttpResponse:
    person = cast("User", request.user)
    number = asked.mailboxes.count()
    only = _only(asked) if number == 1 else None
    is_answer = "confirm" in request.POST or "look" in request.POST
    form = DiagnoseForm(
        request.POST if is_answer else None,
        number=number,
        may_take_over=claiming.may_take_over(asked.mailboxes, environment=asked.environment, by=person),
        asks_start=asked.is_from_page and only is not None and _may_set_start(request, only),
    )
    if "look" in request.POST:
        return render(request, "mailboxes/_diagnose_backlog.html", {"is_past": _is_past(form)})
    if "confirm" in request.POST and form.is_valid():
        job = _start(request, asked, form)
        if job:
            return redirect_response(request, job.get_absolute_url())
    outlook = diagnosis.look_ahead(asked.mailboxes, environment=asked.environment, person=person)
    shown = asked.mailboxes.only("name", "address", "is_active", "address_status")
    context = {
        "environment": asked.environment,
        "form": form,
        "outlook": outlook,
        "mailbox": only,
        "profile": asked.profile,
        "is_again": asked.is_again,
        "left_out": _left_out(asked),
        "selection": asked.selection,
        "from_page": asked.is_from_page,
        "named": list(shown.order_by(Lower("name"), "pk")[:NAMED]),
        "further": max(number - NAMED, 0),
        "is_past": form.is_bound and _is_past(form),
        "dialog_url": asked.url,
        "back_url": asked.back_url,
    }
    return dialog_response(
        request,
        "mailboxes/_diagnose.html",
        context,
        page=asked.page,
        status=422 if "confirm" in request.POST else 200,
    )


def _only(asked: Asked) -> Mailbox:
    return asked.mailboxes.select_related("server_profile", "owner").get()


def _left_out(asked: Asked) -> int:
    """Count the mailboxes of the profile that are not tested because they are inactive."""
    if asked.profile is None or asked.is_again:
        return 0
    return Mailbox.objects.filter(server_profile=asked.profile, is_active=False).count()


def _may_set_start(request: HttpRequest, mailbox: Mailbox) -> bool:
    may_write = mailbox_access.may(cast("User", request.user), Permission.WRITE_MAILBOXES, mailbox)
    return mailbox.syncs(Direction.INCOMING) and may_write


def _is_past(form: DiagnoseForm) -> bool:
    form.is_valid()
    start = form.cleaned_data.get("start")
    return bool(start and start < timezone.now())


def _start(request: HttpRequest, asked: Asked, form: DiagnoseForm) -> Job | None:
    """Start the job; a date that is refused stands in the form."""
    try:
        return diagnosis.start(
            asked.mailboxes,
            environment=asked.environment,
            by=cast("User", request.user),
            now=timezone.now(),
            server_profile=asked.profile,
            takes_over=form.cleaned_data.get("takes_over", False),
            start_date=form.cleaned_data.get("start"),
        )
    except StartTooEarly as refused:
        form.add_error("start", str(refused))
    return None
