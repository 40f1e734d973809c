"""`manage.py export_emails`: a line of JSON for every stored message of a mailbox (docs/provisioning.md)."""

import json
import os
import sys
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db.models import Prefetch

from mailboxes.choices import RecipientKind
from mailboxes.management import selecting
from mailboxes.models import Attachment, Message, Recipient
from mailboxes.services import reading

CHUNK = 200


class Command(BaseCommand):
    """Prints the stored messages of one mailbox as lines of JSON, in the order they were stored."""

    help = "Print one JSON object per stored message of a mailbox."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare which mailbox."""
        parser.add_argument("--environment", required=True, metavar="SLUG")
        parser.add_argument("--mailbox", required=True, metavar="ADDRESS")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print line by line; memory does not grow with the mailbox."""
        mailbox = selecting.mailbox(selecting.environment(options["environment"]), options["mailbox"])
        messages = (
            Message.objects.filter(mailbox=mailbox)
            .order_by("pk")
            .prefetch_related(
                Prefetch("recipients", queryset=Recipient.objects.order_by("position")),
                Prefetch("attachments", queryset=Attachment.objects.order_by("position")),
            )
        )
        try:
            for message in messages.iterator(chunk_size=CHUNK):
                self.stdout.write(json.dumps(self._describe(message), ensure_ascii=False))
        except BrokenPipeError:
            # The reader (such as `head`) has had enough; Python must not complain when it flushes.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def _describe(self, message: Message) -> dict[str, Any]:
        recipients = list(message.recipients.all())
        sender = {"name": message.from_name, "address": message.from_address}
        return {
            "uid": message.uid,
            "uidvalidity": message.uidvalidity,
            "message_id": message.message_id,
            "subject": message.subject,
            "from": sender if any(sender.values()) else None,
            "to": _addresses(recipients, RecipientKind.TO),
            "cc": _addresses(recipients, RecipientKind.CC),
            "date": _moment(message.date),
            "received_at": _moment(message.received_at),
            "size": message.size,
            "sha256": message.sha256,
            "text": self._text(message),
            "html": message.has_html,
            "attachments": [
                {
                    "filename": attachment.filename,
                    "type": attachment.content_type,
                    "size": attachment.size,
                    "sha256": attachment.sha256,
                }
                for attachment in message.attachments.all()
            ],
        }

    def _text(self, message: Message) -> str | None:
        if message.is_quarantined or message.is_header_only:
            return None
        try:
            return reading.parsed(message).text
        except reading.RawMissing as error:
            self.stderr.write(f"Message {message.pk}: {error}")
            return None


def _addresses(recipients: list[Recipient], kind: RecipientKind) -> list[dict[str, str]]:
    return [{"name": r.name, "address": r.address} for r in recipients if r.kind == kind]


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
