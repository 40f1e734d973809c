"""Received mail: the raw bytes first, then the rows that lists and search need.

HTML and attachments are cut from the raw bytes when somebody asks for them.
"""

from io import BytesIO
from typing import Any, BinaryIO, ClassVar, cast

from django.core.files.storage import default_storage
from django.db import models
from django.db.models import Q

from mailboxes.choices import AutomaticKind, BlockedBecause, Correlation, Reason, RecipientKind
from mailboxes.models.mailbox import Mailbox
from profiles.models import Environment

#: References that few rows have: an index without the others, and nothing to check for each row stored.
#: What is deleted while a batch refers to it leaves a number behind that leads nowhere.
SELDOM: dict[str, Any] = {"null": True, "db_index": False, "db_constraint": False}


class Message(models.Model):
    """One received message, stored once per mailbox whatever UIDs it had."""

    mailbox = models.ForeignKey(Mailbox, on_delete=models.CASCADE, related_name="messages")
    #: The mailbox's, repeated so that the mail of an environment comes out of one index in its order.
    environment = models.ForeignKey(
        Environment, on_delete=models.CASCADE, related_name="+", db_index=False, editable=False
    )
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
    #: SHA-256 of the raw bytes, hexadecimal; where only the header is kept, of the size and the header's.
    sha256 = models.CharField(max_length=64)
    preview = models.CharField(max_length=200, blank=True)
    has_html = models.BooleanField(default=False)
    attachment_count = models.PositiveIntegerField(default=0)
    #: What parsing had to forgive; a quarantined message has only its raw bytes and the reason.
    defects = models.JSONField(default=list)
    is_quarantined = models.BooleanField(default=False)
    #: Larger than the limit: `size` is what the server says, and the raw bytes are those of the header.
    is_header_only = models.BooleanField(default=False)

    #: What kind of machine sent it; empty for a person. Nothing that says something here is ever answered.
    automatic = models.CharField(max_length=10, choices=AutomaticKind, blank=True)
    #: Why it was kept; `get_kept_because_display` is the sentence for people.
    kept_because = models.CharField(max_length=30, choices=Reason, blank=True)
    #: "Accepting Entity": the mailbox of another recipient whose option kept it. NULL is the mailbox that was
    #: read. A mailbox that is deleted leaves a number behind, which says that it was somebody else's option.
    accepted_by = models.ForeignKey(Mailbox, related_name="+", on_delete=models.DO_NOTHING, **SELDOM)
    #: Shared by all messages and outgoing messages of one conversation, and by nothing else. Show one with
    #: Message.objects.filter(conversation=...) and OutgoingMessage.objects.filter(conversation=...), narrowed
    #: to the mailboxes that the person may read. NULL belongs to an older message that stands alone.
    conversation = models.UUIDField(null=True)
    #: How it was found to belong there, and the received or sent message that it answers: at most one of
    #: the two is set, and both are NULL again when that message is deleted.
    correlation = models.CharField(max_length=20, choices=Correlation, blank=True)
    correlated_with = models.ForeignKey(
        "self", related_name="correlated", on_delete=models.SET_NULL, **SELDOM
    )
    correlated_with_outgoing = models.ForeignKey(
        "mailboxes.OutgoingMessage", related_name="correlated", on_delete=models.SET_NULL, **SELDOM
    )
    #: Hash of subject words and people; empty unless smart matching is on.
    smart_key = models.CharField(max_length=32, blank=True)
    #: The message of the forward mailbox in which it came as an attachment.
    forwarded_in = models.ForeignKey("self", related_name="unpacked", on_delete=models.SET_NULL, **SELDOM)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["mailbox", "sha256"], name="message_stored_once"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["mailbox", "-received_at", "-id"], name="message_by_time"),
            models.Index(fields=["message_id", "mailbox"], name="message_by_message_id"),
            models.Index(fields=["conversation"], name="message_by_conversation"),
            models.Index(fields=["smart_key"], condition=~Q(smart_key=""), name="message_by_smart_key"),
            *(
                models.Index(fields=[name], condition=Q(**{f"{name}__isnull": False}), name=f"by_{name}")
                for name in ("correlated_with", "correlated_with_outgoing", "forwarded_in")
            ),
            models.Index(fields=["environment", "-received_at", "-id"], name="message_of_environment"),
            models.Index(
                fields=["environment", "-received_at", "-id"],
                condition=Q(is_quarantined=True),
                name="message_quarantined",
            ),
        ]

    def __str__(self) -> str:
        return self.subject or "(no subject)"

    def save(self, *args: Any, **options: Any) -> None:
        """Save the message in the environment of its mailbox."""
        self.environment_id = self.mailbox.environment_id
        super().save(*args, **options)


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
    #: Not handed out, because of the email settings when it came; the raw message still holds it.
    is_blocked = models.BooleanField(default=False)
    blocked_because = models.CharField(max_length=10, choices=BlockedBecause, blank=True)

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

    def open(self) -> BinaryIO:
        """Open the bytes. Raises FileNotFoundError when their file is not where it was stored."""
        if self.content is not None:
            return BytesIO(bytes(self.content))
        return cast("BinaryIO", default_storage.open(self.file, "rb"))
