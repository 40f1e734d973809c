"""Ask for a search for the mail servers of an address. A worker does it: the web opens no connection."""

from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import transaction

from emailsync.mail.detecting import domain_of
from mailboxes.models import Detection
from profiles import access
from profiles.access import Permission
from profiles.models import Environment

#: How long the result of a search is kept.
KEPT = timedelta(days=1)


@transaction.atomic
def start(address: str, *, environment: Environment, by: User | None, now: datetime) -> Detection:
    """Write a search for the servers of `address`, or of a domain.

    Raises ValueError with a sentence when it is neither, and PermissionDenied.
    """
    access.require(by, Permission.WRITE_PROFILES, environment)
    domain = domain_of(address)
    if "." not in domain:
        raise ValueError("Enter an email address such as ana@example.org.")
    Detection.objects.filter(created_on__lt=now - KEPT).delete()
    return Detection.objects.create(environment=environment, domain=domain, created_by=by, created_on=now)
