"""What every page of the console knows about mailboxes."""

from django.contrib.auth.models import User
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from mailboxes.services import wall


def alerts(request: HttpRequest) -> dict[str, object]:
    """Offer the number of unread open alerts of the person signed in; counted only by pages that show it."""
    user = getattr(request, "user", None)
    if not isinstance(user, User):
        return {}
    return {"open_alert_count": SimpleLazyObject(lambda: wall.unread_count(user))}
