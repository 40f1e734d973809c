"""Received mail: the raw bytes first, then the rows that lists and search need.

HTML and attachments are cut from the raw bytes when somebody asks for them.
"""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from mailboxes.choices import RecipientKind
from mailboxes.models.mailbox import Mailbox


class Message(models.Model):
    """One received message, stored once per mailbox whatever UIDs it had."""

    mailbox = models.ForeignKey(Mailbox, on_delete=models.CASCADE, related_name="messages")
    folder = models.CharField(max_length=255, default="INBOX")
    uidvalidity = models.PositiveBigIntegerField(null=True)
    uid = models.PositiveBigIntegerField(null=True)
    #: RFC 5322 Message-ID as written, angle brackets included; other people's are not unique.
    message_id = models.CharField(max_length=998, blank=True)
    in_reply_to = models.CharField(max_length=998, blank=True)
    references = models.TextField(blank=True)
    subject = models.TextField(blank=True)
    from_name = models.TextField(blank=True)
    from_address = models.CharField(max_length=998, blank=True)
    #: The Date header, as claimed by the sender.
    date = models.DateTimeField(null=True)
    #: INTERNALDATE: when the server received it.
    received_at = models.DateTimeField()
    stored_on = models.DateTimeField()
    size = models.PositiveBigIntegerField()
    #: SHA-256 of the raw bytes, hexadecimal.
    sha256 = models.CharField(max_length=64)
    preview = models.CharField(max_length=200, blank=True)
    has_html = models.BooleanField(default=False)
    attachment_count = models.PositiveIntegerField(default=0)
    #: What parsing had to forgive; a quarantined message has only its raw bytes and the reason.
    defects = models.JSONField(default=list)
    is_quarantined = models.BooleanField(default=False)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["mailbox", "sha256"], name="message_stored_once"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["mailbox", "-received_at", "-id"], name="message_by_time"),
            models.Index(fields=["mailbox", "message_id"], name="message_by_message_id"),
        ]

    def __str__(self) -> str:
        return self.subject or "(no subject)"


class Recipient(models.Model):
    """An address in To, Cc, Bcc or Reply-To, in the order of the header."""

    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="recipients")
    kind = models.CharField(max_length=10, choices=RecipientKind)
    position = models.PositiveIntegerField()
    name = models.TextField(blank=True)
    address = models.CharField(max_length=998, blank=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["message", "kind", "position"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["message", "kind", "position"], name="recipient_position"),
        ]

    def __str__(self) -> str:
        return f"{self.name} <{self.address}>" if self.name else self.address


class Attachment(models.Model):
    """One attachment by its place in the message; its bytes stay in the raw message."""

    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="attachments")
    position = models.PositiveIntegerField()
    filename = models.TextField(blank=True)
    content_type = models.CharField(max_length=255)
    #: Bytes after the transfer encoding is undone.
    size = models.PositiveBigIntegerField()
    sha256 = models.CharField(max_length=64)
    content_id = models.CharField(max_length=998, blank=True)
    is_inline = models.BooleanField(default=False)

    class Meta:
        ordering: ClassVar[list[str]] = ["message", "position"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["message", "position"], name="attachment_position"),
        ]

    def __str__(self) -> str:
        return self.filename or f"Attachment {self.position + 1}"


class RawMessage(models.Model):
    """The bytes of a message: in this row, or in a file named by their SHA-256 when they are large."""

    message = models.OneToOneField(Message, primary_key=True, on_delete=models.CASCADE, related_name="raw")
    content = models.BinaryField(null=True)
    file = models.CharField(max_length=100, blank=True)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=Q(content__isnull=False, file="") | (Q(content__isnull=True) & ~Q(file="")),
                name="raw_message_is_here_or_in_a_file",
            ),
        ]

    def __str__(self) -> str:
        return f"Raw message {self.message_id}"
