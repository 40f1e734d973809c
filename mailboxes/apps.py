"""The mailboxes application."""

from django.apps import AppConfig


class MailboxesConfig(AppConfig):
    """Whose mail, and the work done on it."""

    name = "mailboxes"

    def ready(self) -> None:
        """Follow what happens to server profiles, which know nothing of mailboxes."""
        from mailboxes.services import editing
        from profiles import signals

        signals.connection_changed.connect(editing.follow_connection, dispatch_uid="mailboxes")
        signals.roles_changed.connect(editing.follow_roles, dispatch_uid="mailboxes")
        signals.switched.connect(editing.follow_switch, dispatch_uid="mailboxes")
