"""What every tab of a mailbox's page begins with: the mailbox, its facts and its tabs.

    mailbox, context = mailbox_head(request.user, slug, pk, Permission.READ_ALERTS, tab="alerts")
    return render(request, "mailboxes/mailbox_alerts.html", {**context, ...})

and in the template: {% include "mailboxes/_mailbox_head.html" %}
"""

from typing import Any
from uuid import UUID

from django.urls import reverse

from mailboxes import access
from mailboxes.models import Mailbox
from mailboxes.services import wall
from profiles.access import Permission, Person


def mailbox_head(
    user: Person, slug: str, pk: UUID, permission: Permission, *, tab: str
) -> tuple[Mailbox, dict[str, Any]]:
    """Return the mailbox (with both states annotated) and the context of the head, if `user` may see it."""
    found = Mailbox.objects.with_states().select_related("server_profile", "owner", "approved_by")
    environment, mailbox = access.enter(user, slug, pk, permission, mailboxes=found)
    open_alerts = wall.open_count(wall.of_mailbox(mailbox)) if Permission.READ_ALERTS in mailbox.may else 0
    context = {
        "mailbox": mailbox,
        "environment": environment,
        "tab": tab,
        "open_alerts": open_alerts,
        "commands_url": reverse("mailboxes:mailbox_command", args=[slug]),
    }
    return mailbox, context
