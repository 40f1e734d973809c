"""Who may do what in an environment: roles, the permissions they give, and the one place that refuses.

People have roles in environments (`Membership`). A role is a set of permissions; several roles add up. Who
has no role in an environment is a stranger there and learns not even its name. Whoever has one may also do
`OWN` things with the mailboxes they own. An account with `is_superuser` administers the whole installation.

Services ask `require` with their actor, `by`; None is the system itself: commands, workers, provisioning.
"""

from enum import StrEnum
from typing import TYPE_CHECKING

from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from profiles.choices import Role
from profiles.models import Environment, Membership

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise

Person = User | AnonymousUser


class Permission(StrEnum):
    """One thing that a person may do in an environment. The value is the word that templates use."""

    #: See server profiles, email settings, people, and the environment's own page.
    READ_SETTINGS = "read_settings"
    #: Change the email settings.
    WRITE_SETTINGS = "write_settings"
    #: Create, change, switch and delete server profiles.
    WRITE_PROFILES = "write_profiles"
    #: Rename the environment and change who is what in it.
    ADMINISTER = "administer"
    #: See mailboxes, their test results and the jobs on them.
    READ_MAILBOXES = "read_mailboxes"
    #: Create, change, switch, import and delete mailboxes.
    WRITE_MAILBOXES = "write_mailboxes"
    #: Enter the user name and password of a mailbox.
    GIVE_CREDENTIALS = "give_credentials"
    #: Test & Enable, and sync now.
    DIAGNOSE = "diagnose"
    #: Approve and reject email addresses.
    APPROVE = "approve"
    #: See alerts.
    READ_ALERTS = "read_alerts"
    #: Mark alerts as read, and delete them.
    DELETE_ALERTS = "delete_alerts"
    #: Read email: subjects, people, bodies, attachments.
    READ_EMAIL = "read_email"
    #: Write, send, cancel and repeat email.
    SEND_EMAIL = "send_email"


EVERYTHING = frozenset(Permission)
#: Completes "You may not …".
WORDS = {
    Permission.READ_SETTINGS: gettext_lazy("see the settings of this environment"),
    Permission.WRITE_SETTINGS: gettext_lazy("change the email settings of this environment"),
    Permission.WRITE_PROFILES: gettext_lazy("change the server profiles of this environment"),
    Permission.ADMINISTER: gettext_lazy("administer this environment"),
    Permission.READ_MAILBOXES: gettext_lazy("see these mailboxes"),
    Permission.WRITE_MAILBOXES: gettext_lazy("change mailboxes in this environment"),
    Permission.GIVE_CREDENTIALS: gettext_lazy("enter the credentials of this mailbox"),
    Permission.DIAGNOSE: gettext_lazy("test these mailboxes"),
    Permission.APPROVE: gettext_lazy("approve or reject email addresses in this environment"),
    Permission.READ_ALERTS: gettext_lazy("see these alerts"),
    Permission.DELETE_ALERTS: gettext_lazy("delete these alerts"),
    Permission.READ_EMAIL: gettext_lazy("read email of this mailbox"),
    Permission.SEND_EMAIL: gettext_lazy("send email from this mailbox"),
}
EMAIL = frozenset({Permission.READ_EMAIL, Permission.SEND_EMAIL})
#: What everybody who belongs to an environment may do with the mailboxes they own.
OWN = frozenset(
    {
        Permission.READ_MAILBOXES,
        Permission.GIVE_CREDENTIALS,
        Permission.DIAGNOSE,
        Permission.READ_ALERTS,
        Permission.DELETE_ALERTS,
        *EMAIL,
    }
)
_WITH_MAILBOX_WRITE = frozenset(
    {
        Permission.WRITE_MAILBOXES,
        Permission.GIVE_CREDENTIALS,
        Permission.DIAGNOSE,
        Permission.DELETE_ALERTS,
    }
)
ROLES: dict[str, frozenset[Permission]] = {
    Role.SYSTEM_ADMINISTRATOR: frozenset(Permission) - EMAIL,
    Role.SYSTEM_CUSTOMIZER: frozenset(
        {
            Permission.READ_SETTINGS,
            Permission.WRITE_SETTINGS,
            Permission.WRITE_PROFILES,
            Permission.READ_ALERTS,
        }
    ),
    Role.MAILBOX_ADMINISTRATOR: frozenset(
        {Permission.READ_SETTINGS, Permission.READ_MAILBOXES, Permission.READ_ALERTS, *_WITH_MAILBOX_WRITE}
    ),
    Role.EMAIL_APPROVER: frozenset({Permission.READ_MAILBOXES, Permission.APPROVE}),
    Role.AUDITOR: frozenset({Permission.READ_SETTINGS, Permission.READ_MAILBOXES, Permission.READ_ALERTS}),
    Role.MEMBER: frozenset(),
}
#: Roles that reading everybody's email can be added to.
MAY_READ_EMAIL = frozenset({Role.SYSTEM_ADMINISTRATOR, Role.MAILBOX_ADMINISTRATOR})


def given_by(membership: Membership) -> frozenset[Permission]:
    """Return what one role of one person gives."""
    given = ROLES[membership.role]
    if membership.role == Role.MAILBOX_ADMINISTRATOR:
        if not membership.may_write_mailboxes:
            given -= _WITH_MAILBOX_WRITE
        if not membership.may_read_mailboxes:
            given -= {Permission.READ_MAILBOXES, Permission.READ_ALERTS}
    if membership.may_read_email and membership.role in MAY_READ_EMAIL:
        given |= EMAIL
    return given


def memberships(user: Person) -> dict[int, frozenset[Permission]]:
    """Return what `user` may do in each environment they belong to; asked once for each request's user."""
    known: dict[int, frozenset[Permission]] | None = getattr(user, "_memberships", None)
    if known is None:
        known = {}
        if user.is_authenticated and user.is_active:
            for membership in Membership.objects.filter(user=user.pk):
                here = known.get(membership.environment_id, frozenset())
                known[membership.environment_id] = here | given_by(membership)
        user._memberships = known  # type: ignore[union-attr]  # noqa: SLF001  (a request's user lives as long as it)
    return known


def permissions(user: Person, environment: Environment | int) -> frozenset[Permission]:
    """Return what `user` may do with everything in `environment`; strangers may do nothing."""
    if user.is_superuser and user.is_active:
        return EVERYTHING
    pk = environment if isinstance(environment, int) else environment.pk
    return memberships(user).get(pk, frozenset())


def belongs(user: Person, environment: Environment | int) -> bool:
    """Say whether `user` has any role in `environment`."""
    pk = environment if isinstance(environment, int) else environment.pk
    return (user.is_superuser and user.is_active) or pk in memberships(user)


def may(
    user: Person, permission: Permission, environment: Environment | int, *, owner_id: int | None = None
) -> bool:
    """Say whether `user` may do this in `environment`, or with a mailbox that `owner_id` owns."""
    if permission in permissions(user, environment):
        return True
    return permission in OWN and owner_id is not None and owner_id == user.pk and belongs(user, environment)


def require(
    by: Person | None,
    permission: Permission,
    environment: Environment | int,
    *,
    owner_id: int | None = None,
) -> None:
    """Let `by` go on; None is the system. Raises PermissionDenied with the sentence the page shows."""
    if by is not None and not may(by, permission, environment, owner_id=owner_id):
        raise refusal(permission)


def require_superuser(by: Person | None, *, to: "_StrOrPromise") -> None:
    """Let the administrators of the whole installation go on. Raises PermissionDenied."""
    if by is not None and not (by.is_superuser and by.is_active):
        raise PermissionDenied(
            _("You may not %(do_this)s. Only administrators of the installation may.") % {"do_this": to}
        )


def refusal(permission: Permission) -> PermissionDenied:
    """Return the exception that says what one may not do, and whom to ask."""
    return PermissionDenied(
        _("You may not %(do_this)s. Ask a System Administrator of the environment for the permission.")
        % {"do_this": WORDS[permission]}
    )


def where(user: Person, permission: Permission) -> list[int]:
    """Return the environments in all of which `user` may do this by a role; a superuser needs none."""
    return [pk for pk, given in memberships(user).items() if permission in given]


def environments_of(user: Person) -> QuerySet[Environment]:
    """Return the environments that `user` knows of."""
    if user.is_superuser and user.is_active:
        return Environment.objects.all()
    return Environment.objects.filter(pk__in=memberships(user))


def people_of(environment: Environment | int, *, and_owner: int | None = None) -> QuerySet[User]:
    """Return who may own something in `environment`: its people, and whoever owns it now."""
    pk = environment if isinstance(environment, int) else environment.pk
    here = Q(is_active=True, pk__in=Membership.objects.filter(environment=pk).values("user"))
    found = User.objects.filter(here | Q(pk=and_owner) if and_owner else here)
    return found.order_by("first_name", "last_name", "username")


def enter(user: Person, slug: str, permission: Permission | None = None) -> Environment:
    """Return the environment at `slug`, with `may` filled for templates.

    Raises Http404 for strangers, who learn nothing, and PermissionDenied for people of the environment
    without `permission`; None asks only that one belongs.
    """
    environment = Environment.objects.filter(slug=slug).first()
    if environment is None or not belongs(user, environment):
        raise Http404("There is no such environment.")
    environment.may = frozenset(permissions(user, environment))
    if permission is not None:
        require(user, permission, environment)
    return environment
