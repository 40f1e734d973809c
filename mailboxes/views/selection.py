"""The mailboxes that a command is for: the ticked ones, or all that match the list as it was shown.

A list's form posts `ids`, or `all=1` with `list`, the state of the list as it stands in the address. Either
is looked up again on the server, within the environment and what the person may do: a hundred thousand
mailboxes travel as a few words. A row's own menu names its mailbox in the command, "approve:ID". Undo sends
`stamp`, the moment of the person's own change: whatever somebody changed since is left alone.

    selection = chosen(request, environment, Permission.APPROVE)
    f"Approve {selection.count:,} addresses?", selection.names(8)
    approval.approve(selection.mailboxes, by=request.user, now=now)

A dialog includes `mailboxes/_selection.html`, so that its answer chooses the same again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast
from uuid import UUID

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.db.models.functions import Lower
from django.http import HttpRequest, QueryDict
from django.urls import reverse
from django.utils.dateparse import parse_datetime

from emailsync.web.listing import Listing
from mailboxes import access
from mailboxes.models import Mailbox
from mailboxes.views.mailbox_listing import listing_of
from profiles.access import Permission
from profiles.models import Environment


@dataclass(frozen=True)
class Selection:
    """What was chosen, and how to choose it again."""

    environment: Environment
    mailboxes: QuerySet[Mailbox]
    #: The fields of the form that choose the same again, as (name, value).
    hidden: tuple[tuple[str, str], ...]
    #: The list as it was shown.
    state: QueryDict

    @cached_property
    def count(self) -> int:
        """Return how many mailboxes are chosen."""
        return self.mailboxes.count()

    @property
    def was_empty(self) -> bool:
        """Tell whether nothing was named, as opposed to nothing that is still there."""
        return not any(name in {"ids", "all"} for name, _ in self.hidden)

    def names(self, limit: int) -> list[Mailbox]:
        """Return the first of them by name, with what a dialog says about each."""
        shown = self.mailboxes.only(
            "name", "address", "server_account", "kind", "is_active", "address_status"
        )
        return list(shown.order_by(Lower("name"), "pk")[:limit])

    @property
    def list_url(self) -> str:
        """Return the address of the list as it was shown."""
        url = reverse("mailboxes:mailbox_list", args=[self.environment.slug])
        return f"{url}?{self.state.urlencode()}" if self.state else url


def chosen(
    request: HttpRequest,
    environment: Environment,
    permission: Permission,
    *,
    listing: Callable[..., Listing[Any]] = listing_of,
) -> Selection:
    """Return the mailboxes that `request` posts, as far as its user may do this with them.

    `listing` returns the list of which all that match may have been chosen; its records have the keys of
    mailboxes. Raises PermissionDenied for who may do it with none.
    """
    user = cast("User", request.user)
    allowed = access.within(Mailbox.objects.all(), user, permission, environment=environment)
    state = QueryDict(request.POST.get("list", "").replace("\0", ""))
    words = [("list", state.urlencode())] if state else []
    only = request.POST.get("action", "").partition(":")[2]
    if request.POST.get("all") == "1" and not only:
        matching = listing(environment, user=user, state=state).selected.order_by()
        # Mailboxes looked up once more by their own keys would take twice as long.
        found = (
            access.within(matching, user, permission, environment=environment)
            if matching.model is Mailbox
            else allowed.filter(pk__in=matching.values("pk"))
        )
        return Selection(environment, found, (("all", "1"), *words), state)
    stamp = parse_datetime(request.POST.get("stamp", ""))
    if stamp is not None:
        return Selection(environment, allowed.filter(modified_on=stamp, modified_by=user), (), state)
    ids = [only] if only else request.POST.getlist("ids")
    found = allowed.filter(pk__in=[pk for pk in map(_uuid, ids) if pk])
    return Selection(environment, found, (*(("ids", pk) for pk in ids), *words), state)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
