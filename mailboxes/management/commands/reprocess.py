"""`manage.py reprocess`: read messages in quarantine again, after an upgrade of the parser for instance."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction
from django.utils import timezone

from mailboxes.engine import rereading
from mailboxes.management import selecting
from mailboxes.models import Message


class Command(BaseCommand):
    """Reads what is in quarantine again, and says what still cannot be read."""

    help = "Read messages in quarantine again. What can be read now takes its place among the others."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare whose messages."""
        parser.add_argument("--environment", metavar="SLUG", help="all environments, unless one is named")

    def handle(self, *args: Any, **options: Any) -> None:
        """Read them one by one, each in a transaction of its own."""
        found = Message.objects.filter(is_quarantined=True)
        if options["environment"]:
            found = found.filter(environment=selecting.environment(options["environment"]))
        read = 0
        pks = list(found.order_by("pk").values_list("pk", flat=True))
        for pk in pks:
            with transaction.atomic():
                message = found.select_related("mailbox").filter(pk=pk).first()
                if message is None:
                    continue
                failure = rereading.read_again(message, now=timezone.now())
            read += not failure
            if failure:
                self.stdout.write(
                    f"Message {pk} of {message.mailbox.address} still cannot be read: {failure}"
                )
        self.stdout.write(f"{read} of {len(pks)} messages in quarantine are read now.")
