"""Find what a command's arguments name, or say what there is instead."""

from django.core.management.base import CommandError

from mailboxes.models import Mailbox
from profiles.models import Environment


def environment(slug: str) -> Environment:
    """Return the environment with this slug."""
    found = Environment.objects.filter(slug=slug).first()
    if found is None:
        known = ", ".join(Environment.objects.order_by("slug").values_list("slug", flat=True)[:20])
        raise CommandError(f"There is no environment {slug!r}. There are: {known or 'none yet'}.")
    return found


def mailbox(place: Environment, address: str) -> Mailbox:
    """Return the mailbox of `place` with this address, in upper or lower case."""
    found = Mailbox.objects.filter(environment=place, address__iexact=address.strip()).first()
    if found is None:
        raise CommandError(f"The environment {place.slug} has no mailbox with the address {address!r}.")
    return found
