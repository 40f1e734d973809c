"""What every tab of a mailbox's page begins with: the mailbox, its facts and its tabs.

    mailbox, context = mailbox_head(slug, pk, tab="alerts")
    return render(request, "mailboxes/mailbox_alerts.html", {**context, ...})

and in the template: {% include "mailboxes/_mailbox_head.html" %}
"""

from typing import Any
from uuid import UUID

from django.shortcuts import get_object_or_404

from mailboxes.choices import AlertLevel
from mailboxes.models import Alert, Mailbox


def mailbox_head(slug: str, pk: UUID, *, tab: str) -> tuple[Mailbox, dict[str, Any]]:
    """Return the mailbox (with both states annotated) and the context of the head, in two queries."""
    found = Mailbox.objects.with_states().select_related(
        "environment", "server_profile", "owner", "approved_by"
    )
    mailbox = get_object_or_404(found, environment__slug=slug, pk=pk)
    open_alerts = Alert.objects.open().filter(mailbox=mailbox).exclude(level=AlertLevel.INFORMATION).count()
    context = {"mailbox": mailbox, "environment": mailbox.environment, "tab": tab, "open_alerts": open_alerts}
    return mailbox, context
