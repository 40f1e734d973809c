"""The mailboxes application."""

from django.apps import AppConfig
from django.db.models import Field


class MailboxesConfig(AppConfig):
    """Whose mail, and the work done on it."""

    name = "mailboxes"

    def ready(self) -> None:
        """Follow what happens to server profiles, which know nothing of mailboxes; add a comparison."""
        from mailboxes.models.lookups import Among
        from mailboxes.services import editing
        from profiles import signals

        Field.register_lookup(Among)
        signals.connection_changed.connect(editing.follow_connection, dispatch_uid="mailboxes")
        signals.roles_changed.connect(editing.follow_roles, dispatch_uid="mailboxes")
        signals.switched.connect(editing.follow_switch, dispatch_uid="mailboxes")
