"""Which mailboxes somebody may see or work on: all of an environment, or those they own."""

from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.expressions import Combinable
from django.http import Http404

from mailboxes.models import Diagnosis, Job, Mailbox, Reconciliation
from profiles import access
from profiles.access import Permission, Person
from profiles.models import Environment, Membership


def within(
    mailboxes: QuerySet[Mailbox], user: Person | None, permission: Permission, *, environment: Environment
) -> QuerySet[Mailbox]:
    """Return those of `mailboxes` with which `user` may do this in `environment`; None is the system.

    Raises PermissionDenied when that can be none: not in all of the environment, nor with one's own.
    """
    mailboxes = mailboxes.filter(environment=environment)
    if user is None or permission in access.permissions(user, environment):
        return mailboxes
    if permission in access.OWN and access.belongs(user, environment):
        return mailboxes.filter(owner=user.pk)
    raise access.refusal(permission)


def everywhere(user: Person, permission: Permission) -> Q:
    """Return the condition for mailboxes of all environments with which `user` may do this."""
    if user.is_superuser and user.is_active:
        return Q()
    condition = Q(environment__in=access.where(user, permission))
    if permission in access.OWN:
        condition |= Q(environment__in=list(access.memberships(user)), owner=user.pk)
    return condition


def is_owned_by_stranger() -> Combinable | Q:
    """Return the condition for mailboxes whose owner has no role in their environment or no account."""
    is_administrator = Q(owner__is_active=True, owner__is_superuser=True)
    roles = Membership.objects.filter(
        environment=OuterRef("environment"), user=OuterRef("owner"), user__is_active=True
    )
    return Q(owner__isnull=False) & ~is_administrator & ~Exists(roles)


def jobs(user: Person, environment: Environment) -> QuerySet[Job]:
    """Return the jobs of `environment` that `user` may follow.

    All of them, or those they started and those that test mailboxes they own.
    """
    found = Job.objects.filter(environment=environment)
    if Permission.READ_MAILBOXES in access.permissions(user, environment):
        return found
    own = Diagnosis.objects.filter(job=OuterRef("pk"), mailbox__owner=user.pk)
    return (
        found.filter(Q(created_by=user.pk) | Exists(own))
        if access.belongs(user, environment)
        else found.none()
    )


def reconciliations(user: Person, environment: Environment) -> QuerySet[Reconciliation]:
    """Return the counts of those mailboxes of `environment` that `user` may see. Raises PermissionDenied."""
    found = Reconciliation.objects.filter(environment=environment)
    if Permission.READ_MAILBOXES in access.permissions(user, environment):
        return found  # out of one index; the mailboxes need not be asked
    own = within(Mailbox.objects.all(), user, Permission.READ_MAILBOXES, environment=environment)
    return found.filter(mailbox__in=own.values("pk"))


def require(user: Person | None, permission: Permission, mailbox: Mailbox) -> None:
    """Let `user` do this with `mailbox`. Raises PermissionDenied."""
    access.require(user, permission, mailbox.environment_id, owner_id=mailbox.owner_id)


def require_each(user: Person | None, permission: Permission, mailboxes: QuerySet[Mailbox]) -> None:
    """Let `user` do this with all of `mailboxes`, wherever they are. Raises PermissionDenied."""
    if user is None or (user.is_superuser and user.is_active):
        return
    if mailboxes.exclude(everywhere(user, permission)).exists():
        raise access.refusal(permission)


def may(user: Person, permission: Permission, mailbox: Mailbox) -> bool:
    """Say whether `user` may do this with `mailbox`."""
    return access.may(user, permission, mailbox.environment_id, owner_id=mailbox.owner_id)


def permissions(user: Person, mailbox: Mailbox) -> frozenset[Permission]:
    """Return what `user` may do with `mailbox`."""
    given = access.permissions(user, mailbox.environment_id)
    is_own = mailbox.owner_id == user.pk and access.belongs(user, mailbox.environment_id)
    return given | access.OWN if is_own else given


def require_no_gain(by: Person | None, owner_id: int | None, environment: Environment | int) -> None:
    """Let `by` make `owner_id` the owner of existing mailboxes. Raises PermissionDenied.

    Owners read the email of their mailboxes: who may not read it does not give it to themselves.
    """
    if not may_own(by, owner_id, environment):
        raise access.refusal(Permission.READ_EMAIL)


def may_own(by: Person | None, owner_id: int | None, environment: Environment | int) -> bool:
    """Say whether `by` may make `owner_id` the owner of existing mailboxes; None is the system."""
    return by is None or owner_id != by.pk or access.may(by, Permission.READ_EMAIL, environment)


def enter(
    user: Person,
    slug: str,
    pk: UUID,
    permission: Permission,
    *,
    mailboxes: QuerySet[Mailbox] | None = None,
) -> tuple[Environment, Mailbox]:
    """Return an environment and one mailbox of it, from `mailboxes` when given.

    Both know what `user` may do: `environment.may` in all of it, `mailbox.may` with this one. Raises Http404
    for strangers and for a mailbox one may not see, and PermissionDenied without `permission`.
    """
    environment = access.enter(user, slug)
    found = Mailbox.objects.all() if mailboxes is None else mailboxes
    mailbox = found.filter(environment=environment, pk=pk).first()
    if mailbox is None:
        raise Http404("There is no such mailbox.")
    mailbox.environment = environment
    mailbox.may = permissions(user, mailbox)
    if permission not in mailbox.may:
        if Permission.READ_MAILBOXES not in mailbox.may:
            raise Http404("There is no such mailbox.")
        raise access.refusal(permission)
    return environment, mailbox
