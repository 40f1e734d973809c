"""The mailboxes application."""

from django.apps import AppConfig


class MailboxesConfig(AppConfig):
    """Whose mail, and the work done on it."""

    name = "mailboxes"
