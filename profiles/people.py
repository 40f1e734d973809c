"""Who is what in an environment: give roles, change them, take them away.

Only those who administer an environment change its people, and nobody gives what they may not do there
themselves. An environment keeps at least one System Administrator.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from profiles import access, signals
from profiles.access import Permission
from profiles.choices import Role
from profiles.models import Environment, Membership


class Refused(Exception):
    """A rule stands in the way; the text says which one, and the way out."""


@dataclass(frozen=True)
class Wanted:
    """The roles that somebody is to have. The last three count for the roles that leave them open."""

    roles: frozenset[str]
    may_read_mailboxes: bool = True
    may_write_mailboxes: bool = True
    may_read_email: bool = False

    def switches(self, role: str) -> dict[str, bool]:
        """Return the columns of a membership with `role`."""
        is_open = role == Role.MAILBOX_ADMINISTRATOR
        return {
            "may_read_mailboxes": self.may_read_mailboxes or not is_open,
            "may_write_mailboxes": self.may_write_mailboxes or not is_open,
            "may_read_email": self.may_read_email and role in access.MAY_READ_EMAIL,
        }


def seal_of(memberships: Iterable[Membership]) -> str:
    """Return a word for what somebody is in an environment; it changes whenever that does."""
    switches = ("may_read_mailboxes", "may_write_mailboxes", "may_read_email")
    known = sorted((each.role, *(getattr(each, name) for name in switches)) for each in memberships)
    return hashlib.sha256(repr(known).encode()).hexdigest()[:16]


def find(word: str) -> User | None:
    """Return the account with exactly this user name or email address, if there is one and only one.

    Who administers another environment may have named an account of theirs like somebody's address.
    """
    same = Q(username=word) | (Q(email__iexact=word) if "@" in word else Q())
    found = list(User.objects.filter(same, is_active=True)[:2])
    return found[0] if len(found) == 1 else None


@transaction.atomic
def set_roles(
    environment: Environment, person: User, wanted: Wanted, *, by: User | None, seen: str | None = None
) -> None:
    """Give `person` exactly these roles in `environment`; none removes them. Raises Refused.

    `seen` is the `seal_of` what `by` saw: what somebody else changed since is not overwritten.
    """
    access.require(by, Permission.ADMINISTER, environment)
    # Two administrators who demote each other at once take turns.
    Environment.objects.select_for_update().only("pk").get(pk=environment.pk)
    before = list(Membership.objects.filter(environment=environment, user=person))
    if seen is not None and seen != seal_of(before):
        raise Refused(
            _("Somebody else changed these roles meanwhile. Open them again, then make your change.")
        )
    after = [
        Membership(environment=environment, user=person, role=role, created_by=by, **wanted.switches(role))
        for role in sorted(wanted.roles)
    ]
    if by is not None and not by.is_superuser:
        if (_given(after) - _given(before)) - access.permissions(by, environment):
            raise Refused(
                _("You may not read email in this environment, so you cannot give “Read email” to anybody.")
            )
        _keep_an_administrator(environment, person, after, by=by)
    Membership.objects.filter(environment=environment, user=person).exclude(role__in=wanted.roles).delete()
    for membership in after:
        Membership.objects.update_or_create(
            environment=environment,
            user=person,
            role=membership.role,
            defaults=wanted.switches(membership.role),
            create_defaults={**wanted.switches(membership.role), "created_by": by},
        )
    signals.roles_changed.send(
        Membership, environment=environment, person=person, has_role=bool(after), now=timezone.now()
    )


def remove(environment: Environment, person: User, *, by: User | None) -> None:
    """Take all roles of `person` in `environment` away. Raises Refused."""
    set_roles(environment, person, Wanted(frozenset()), by=by)


@transaction.atomic
def create_account(account: User, password: str, *, environment: Environment, by: User | None) -> User:
    """Save a new account that somebody who administers `environment` makes. Raises ValidationError."""
    access.require(by, Permission.ADMINISTER, environment)
    account.is_superuser = account.is_staff = False
    validate_password(password, account)
    account.set_password(password)
    account.full_clean()
    account.save(force_insert=True)
    return account


def set_email(person: User, email: str, *, by: User | None) -> None:
    """Change the address of an account: it says which mailbox somebody may approve as their own."""
    access.require_superuser(by, to=_("change the email address of an account"))
    person.email = email
    person.save(update_fields=["email"])


def _given(memberships: Iterable[Membership]) -> frozenset[Permission]:
    return frozenset().union(*(access.given_by(membership) for membership in memberships))


def _keep_an_administrator(
    environment: Environment, person: User, after: list[Membership], *, by: User
) -> None:
    administrators = Membership.objects.filter(
        environment=environment, role=Role.SYSTEM_ADMINISTRATOR, user__is_active=True
    )
    if any(membership.role == Role.SYSTEM_ADMINISTRATOR for membership in after):
        return
    if not administrators.filter(user=person).exists() or administrators.exclude(user=person).exists():
        return
    if person.pk == by.pk:
        raise Refused(
            _(
                "You are the last System Administrator of this environment, and nobody else could give the "
                "role back. Make somebody else System Administrator first."
            )
        )
    raise Refused(_("An environment keeps at least one System Administrator. Name another one first."))
