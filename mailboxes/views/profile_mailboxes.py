"""The mailboxes of one server profile: the list on the profile's page, and moving them to another profile."""

from typing import Any, ClassVar, cast
from uuid import UUID

from django.contrib.auth.models import User
from django.db.models import Q, QuerySet
from django.db.models.functions import Lower
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_http_methods, require_safe

from emailsync.web.addresses import pattern
from emailsync.web.listing import Column, Facet, Listing
from emailsync.web.responses import dialog_response, page_response, redirect_response, saved_response
from mailboxes.choices import JobKind
from mailboxes.engine import orders, switching
from mailboxes.forms.move import MoveForm
from mailboxes.models import Mailbox
from mailboxes.models.mailbox import says
from mailboxes.services import editing, jobs
from mailboxes.views.mailbox_listing import FAILING, UNTRIED, WORKING
from profiles import access
from profiles.access import Permission
from profiles.models import Environment, ServerProfile
from profiles.views.figures import add_figures


class ProfileMailboxListing(Listing[Mailbox]):
    """The mailboxes that use one server profile."""

    columns: ClassVar = (
        Column("name", gettext_lazy("Name"), sort=(Lower("name"),)),
        Column("approval", gettext_lazy("Email approval"), sort=("address_status",)),
        Column("incoming", gettext_lazy("Incoming"), sort=("incoming_state__status",)),
        Column("outgoing", gettext_lazy("Outgoing"), sort=("outgoing_state__status",)),
    )
    facets: ClassVar = (
        Facet("working", gettext_lazy("Working"), WORKING),
        Facet("failing", gettext_lazy("Failing"), FAILING),
        Facet("untested", gettext_lazy("Not tested"), UNTRIED),
    )
    default_sort: ClassVar[str] = "name"
    noun: ClassVar[tuple[Any, Any]] = (gettext_lazy("mailbox"), gettext_lazy("mailboxes"))

    def says(self, word: str) -> Q:
        """Search in name and address."""
        return says(word)

    def fetch(self, page: QuerySet[Mailbox]) -> list[Mailbox]:
        """Return the rows of a page with their states; to count them and to sort them by name needs none."""
        keys = list(page.values_list("pk", flat=True))
        shown = Mailbox.objects.with_states().defer("password", "notes").in_bulk(keys)
        return [shown[key] for key in keys if key in shown]


def _profile(environment: Environment, pk: UUID) -> ServerProfile:
    """Return a profile with the numbers that its page shows. Raises Http404."""
    found = ServerProfile.objects.filter(environment=environment, pk=pk).select_related("owner")
    profile = found.defer("password", "outgoing_password", "oauth_client_secret").first()
    if profile is None:
        raise Http404("There is no such server profile.")
    profile.environment = environment
    return add_figures([profile])[0]


def _page(
    environment: Environment, profile: ServerProfile, *, state: QueryDict
) -> tuple[str, dict[str, Any]]:
    mailboxes = Mailbox.objects.beside_states().filter(environment=environment, server_profile=profile)
    url = reverse("mailboxes:profile_mailboxes", args=[environment.slug, profile.pk])
    context = {
        "environment": environment,
        "profile": profile,
        "listing": ProfileMailboxListing(state, mailboxes, url=url),
        "move_url": _move_url(environment, profile),
        "row_url": pattern("mailboxes:mailbox_detail", environment.slug, UUID),
    }
    return "mailboxes/profile_mailboxes.html", context


@require_safe
def profile_mailboxes(request: HttpRequest, slug: str, pk: UUID) -> HttpResponse:
    """Show the mailboxes that use a server profile."""
    environment = access.enter(request.user, slug, Permission.READ_SETTINGS)
    access.require(request.user, Permission.READ_MAILBOXES, environment)
    template, context = _page(environment, _profile(environment, pk), state=request.GET)
    return page_response(request, template, "mailboxes/_profile_mailbox_rows.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def profile_move(request: HttpRequest, slug: str, pk: UUID) -> HttpResponse:
    """Ask to which profile the chosen mailboxes of a profile, or all of them, move; then move them."""
    environment = access.enter(request.user, slug, Permission.WRITE_MAILBOXES)
    profile = _profile(environment, pk)
    ids = [key for key in map(_uuid, request.POST.getlist("ids")) if key]
    chosen = _chosen(environment, profile, ids)
    number = chosen.count()
    back = reverse("mailboxes:profile_mailboxes", args=[slug, pk])
    if not number:
        title, text = _("Nothing to move"), _("No mailbox uses this server profile.")
        return saved_response(request, back, title=title, text=text, intent="warning")
    others = environment.server_profiles.active().exclude(pk=pk).order_by("name")
    form = MoveForm(request.POST if "confirm" in request.POST else None, profiles=others)
    if form.is_bound and form.is_valid():
        return _move(request, profile, chosen, to=form.cleaned_data["target"], back=back)
    context = {
        "environment": environment,
        "profile": profile,
        "form": form,
        "number": number,
        "ids": ids,
        "has_others": others.exists(),
        "dialog_url": _move_url(environment, profile),
        "back_url": back,
    }
    return dialog_response(
        request,
        "mailboxes/_profile_move.html",
        context,
        page=lambda: _page(environment, profile, state=QueryDict()),
        status=422 if form.is_bound else 200,
    )


def _move(
    request: HttpRequest, profile: ServerProfile, chosen: QuerySet[Mailbox], *, to: ServerProfile, back: str
) -> HttpResponse:
    user, environment = cast("User", request.user), profile.environment
    if chosen.count() > orders.DIRECTLY:
        job = jobs.start(
            JobKind.MOVE,
            environment=environment,
            targets=chosen.order_by("pk").values_list("pk", flat=True),
            payload={"profile": str(to.pk), "test": request.POST.get("confirm") == "test"},
            by=user,
            now=timezone.now(),
            title=f"{profile.name} → {to.name}",
        )
        return redirect_response(request, job.get_absolute_url())
    try:
        moved = editing.move(chosen, environment=environment, to=to, by=user, now=timezone.now())
    except switching.ProfileUnusable as error:
        return saved_response(request, back, title=_("Nothing was moved"), text=str(error), intent="error")
    if request.POST.get("confirm") == "test":
        url = reverse("mailboxes:profile_diagnose", args=[environment.slug, to.pk])
        return redirect_response(request, url)
    title = ngettext(
        "%(count)s mailbox moved to %(name)s", "%(count)s mailboxes moved to %(name)s", moved
    ) % {"count": f"{moved:,}", "name": to.name}
    text = _("Run Test & Enable Mailboxes on it: until then they neither receive nor send.")
    return saved_response(request, back, title=title, text=text)


def _chosen(environment: Environment, profile: ServerProfile, ids: list[UUID]) -> QuerySet[Mailbox]:
    mailboxes = Mailbox.objects.filter(environment=environment, server_profile=profile)
    return mailboxes.filter(pk__in=ids) if ids else mailboxes


def _move_url(environment: Environment, profile: ServerProfile) -> str:
    return reverse("mailboxes:profile_move", args=[environment.slug, profile.pk])


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
