"""People and roles of an environment: who belongs to it, what they are, adding and removing them."""

from typing import Any, ClassVar, cast

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Prefetch, QuerySet
from django.db.models.functions import Lower
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.text import get_text_list
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_safe

from emailsync.web.channel import is_protected
from emailsync.web.listing import Column, Listing
from emailsync.web.responses import dialog_response, page_response, saved_response
from profiles import access, people
from profiles.access import Permission
from profiles.choices import Role
from profiles.forms.people import ABOUT, AddPersonForm, EditPersonForm, RolesForm
from profiles.models import Environment, Membership, ServerProfile


class PeopleListing(Listing[User]):
    """The people of one environment with their roles."""

    columns: ClassVar = (
        Column("name", gettext_lazy("Name"), sort=(Lower("first_name"), Lower("last_name"), "username")),
        Column("email", gettext_lazy("Email address"), sort=(Lower("email"),)),
        Column("roles", gettext_lazy("Roles")),
        Column("seen", gettext_lazy("Last signed in"), sort=("last_login",), classes="lg"),
    )
    search: ClassVar = ("username", "first_name", "last_name", "email")
    default_sort: ClassVar[str] = "name"
    noun: ClassVar[tuple[Any, Any]] = (gettext_lazy("person"), gettext_lazy("people"))


def rows_of(environment: Environment) -> QuerySet[User]:
    """Return the people of an environment with their roles there, in `roles_here`."""
    here = Membership.objects.filter(environment=environment)
    rows = User.objects.filter(pk__in=here.values("user"))
    return rows.prefetch_related(Prefetch("memberships", queryset=here, to_attr="roles_here"))


def list_page(environment: Environment, *, state: QueryDict) -> tuple[str, dict[str, Any]]:
    """Return the template and context of the list; dialogs stand on it when there is no script."""
    context = {
        "environment": environment,
        "listing": PeopleListing(state, rows_of(environment), url=_list_url(environment)),
        "about": [(role.label, ABOUT[role]) for role in Role],
    }
    return "profiles/people_list.html", context


@require_safe
def people_list(request: HttpRequest, slug: str) -> HttpResponse:
    """Show who belongs to an environment."""
    environment = access.enter(request.user, slug, Permission.READ_SETTINGS)
    template, context = list_page(environment, state=request.GET)
    return page_response(request, template, "profiles/_people_rows.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def person_add(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the panel that adds somebody, or add them."""
    environment = access.enter(request.user, slug, Permission.ADMINISTER)
    form = AddPersonForm(
        request.POST or None,
        environment=environment,
        by=cast("User", request.user),
        credentials_locked=not is_protected(request),
        initial={Role.MEMBER.value: True},
    )
    if request.method == "POST" and form.is_valid() and _add(request, environment, form):
        title = _("%(name)s belongs to %(environment)s now") % {
            "name": _name(form.person),
            "environment": environment.name,
        }
        return saved_response(request, _list_url(environment), title=title)
    return _panel(request, environment, form, heading=_("Add somebody"))


@require_http_methods(["GET", "HEAD", "POST"])
def person_edit(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Show the panel of somebody's roles, or save them."""
    environment = access.enter(request.user, slug, Permission.ADMINISTER)
    person = get_object_or_404(rows_of(environment), pk=pk)
    memberships = Membership.objects.filter(environment=environment, user=person)
    form = EditPersonForm(
        request.POST or None,
        environment=environment,
        by=cast("User", request.user),
        memberships=memberships,
        person=person,
    )
    if request.method == "POST" and form.is_valid() and _save(request, environment, person, form):
        title = _("Roles of %(name)s saved") % {"name": _name(person)}
        # Who has just demoted themselves may see less than this list.
        return saved_response(
            request,
            _list_url(environment) if person != request.user else environment.get_absolute_url(),
            title=title,
            leave=person == request.user,
        )
    return _panel(request, environment, form, heading=_name(person), person=person)


@require_http_methods(["GET", "HEAD", "POST"])
def person_remove(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Ask whether somebody is to be removed from an environment, and do it."""
    environment = access.enter(request.user, slug, Permission.ADMINISTER)
    person = get_object_or_404(rows_of(environment), pk=pk)
    owned = ServerProfile.objects.filter(environment=environment, owner=person).order_by(Lower("name"))
    context = {
        "environment": environment,
        "person": person,
        "back_url": _list_url(environment),
        "owned": get_text_list(list(owned.values_list("name", flat=True)), _("and")),
    }
    if request.method == "POST":
        try:
            people.remove(environment, person, by=cast("User", request.user))
        except people.Refused as error:
            context["trouble"] = str(error)
        else:
            is_oneself = person == request.user and not request.user.is_superuser
            return saved_response(
                request,
                reverse("profiles:environment_list") if is_oneself else _list_url(environment),
                title=_("%(name)s was removed") % {"name": _name(person)},
                leave=is_oneself,
            )
    return dialog_response(
        request,
        "profiles/_person_remove.html",
        context,
        page=lambda: list_page(environment, state=QueryDict()),
        status=422 if "trouble" in context else 200,
    )


def _add(request: HttpRequest, environment: Environment, form: AddPersonForm) -> bool:
    """Add whom the form names, with a new account when it asks for one; the form tells what went wrong."""
    by, person = cast("User", request.user), cast("User", form.person)
    try:
        with transaction.atomic():
            if form.cleaned_data["is_new"]:
                password = form.cleaned_data["password"]
                people.create_account(person, password, environment=environment, by=by)
            people.set_roles(environment, person, form.wanted, by=by)
    except (people.Refused, ValidationError) as error:
        form.add_error(None, error.messages if isinstance(error, ValidationError) else str(error))
        return False
    return True


def _save(request: HttpRequest, environment: Environment, person: User, form: EditPersonForm) -> bool:
    by = cast("User", request.user)
    try:
        with transaction.atomic():
            seen = form.cleaned_data["seen"] or None
            people.set_roles(environment, person, form.wanted, by=by, seen=seen)
            if "email" in form.changed_data:
                people.set_email(person, form.cleaned_data["email"], by=by)
    except people.Refused as error:
        form.add_error(None, str(error))
        return False
    return True


def _panel(
    request: HttpRequest,
    environment: Environment,
    form: RolesForm,
    *,
    heading: str,
    person: User | None = None,
) -> HttpResponse:
    context = {
        "environment": environment,
        "form": form,
        "heading": heading,
        "person": person,
        "back_url": _list_url(environment),
    }
    return dialog_response(
        request,
        "profiles/_person_panel.html",
        context,
        page=lambda: list_page(environment, state=QueryDict()),
        status=422 if form.is_bound else 200,
    )


def _name(person: User | None) -> str:
    return (person.get_full_name() or person.get_username()) if person else ""


def _list_url(environment: Environment) -> str:
    return reverse("profiles:people_list", args=[environment.slug])
