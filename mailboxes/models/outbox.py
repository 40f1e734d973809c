"""Outgoing mail. Bytes are composed once, when it is queued, and sent as they are."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from mailboxes.choices import OutgoingStatus, SentCopy
from mailboxes.models.mailbox import Mailbox
from mailboxes.models.message import Message
from profiles.models import Environment


class OutgoingMessageQuerySet(models.QuerySet["OutgoingMessage"]):
    """Named questions about outgoing mail."""

    def waiting(self) -> "OutgoingMessageQuerySet":
        """Return what is still to be sent."""
        return self.filter(status=OutgoingStatus.PENDING_SEND)

    def due(self, now: datetime) -> "OutgoingMessageQuerySet":
        """Return what may be tried now, oldest first."""
        return self.waiting().filter(next_attempt_at__lte=now).order_by("next_attempt_at", "pk")


class OutgoingMessage(models.Model):
    """One message on its way out."""

    mailbox = models.ForeignKey(Mailbox, on_delete=models.CASCADE, related_name="outgoing_messages")
    #: The mailbox's, repeated as in received messages.
    environment = models.ForeignKey(
        Environment, on_delete=models.CASCADE, related_name="+", db_index=False, editable=False
    )
    #: Fixed before the first attempt, so that every attempt and every bounce names the same message.
    message_id = models.CharField(max_length=250, unique=True)
    subject = models.TextField(blank=True)
    #: Addresses as typed, by header: lists of strings.
    to = models.JSONField(default=list)
    cc = models.JSONField(default=list)
    bcc = models.JSONField(default=list)
    #: The addresses of the envelope that no attempt has delivered yet, and those already accepted.
    recipients = models.JSONField(default=list)
    accepted = models.JSONField(default=list)
    #: Refused addresses with the server's answer.
    refused = models.JSONField(default=dict)
    #: What servers reported later, by accepted address: action and status of RFC 3464, their words, and when.
    reports = models.JSONField(default=dict)
    #: Whether a copy belongs into the folder for sent mail, and what became of it.
    sent_copy = models.CharField(max_length=10, choices=SentCopy, blank=True)
    sent_copy_attempts = models.PositiveSmallIntegerField(default=0)
    preview = models.CharField(max_length=200, blank=True)
    #: What a draft says, with its addresses as typed in `to`, `cc` and `bcc`; its files are `DraftFile`s.
    text = models.TextField(blank=True)
    edited_on = models.DateTimeField(null=True)
    content = models.BinaryField()
    size = models.PositiveBigIntegerField()
    attachment_count = models.PositiveIntegerField(default=0)
    answers = models.ForeignKey(Message, null=True, on_delete=models.SET_NULL, related_name="answered_by")
    #: Shared with the received messages of the same conversation: see `Message.conversation`.
    conversation = models.UUIDField(null=True)
    #: What stands at the end of the subject so that an answer is recognised; empty when the setting is off.
    tracking_token = models.CharField(max_length=60, blank=True)
    #: Hash of subject words and people; empty unless smart matching is on.
    smart_key = models.CharField(max_length=32, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_on = models.DateTimeField()
    #: The form it was written in: whatever that form posts, and however often, is this one message.
    once = models.CharField(max_length=40, blank=True)

    status = models.CharField(max_length=20, choices=OutgoingStatus, default=OutgoingStatus.PENDING_SEND)
    next_attempt_at = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(default=0)
    #: The fence of the attempt under way: only that attempt may report what the server said.
    attempt_fence = models.PositiveBigIntegerField(null=True)
    #: Committed just before the body goes out. Set and unanswered means nobody can know.
    data_started_at = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)
    server_reply = models.CharField(max_length=500, blank=True)
    error_code = models.CharField(max_length=100, blank=True)
    error = models.CharField(max_length=2000, blank=True)

    objects = OutgoingMessageQuerySet.as_manager()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=Q(status__in=OutgoingStatus.values), name="outgoing_status"),
            models.CheckConstraint(
                condition=~Q(status=OutgoingStatus.SENT) | Q(sent_at__isnull=False), name="sent_has_a_time"
            ),
            models.UniqueConstraint(
                fields=["mailbox", "once"], condition=~Q(once=""), name="one_message_per_form"
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(
                fields=["mailbox", "next_attempt_at"],
                condition=Q(status=OutgoingStatus.PENDING_SEND),
                name="outgoing_due",
            ),
            models.Index(fields=["mailbox", "-created_on", "-id"], name="outgoing_by_time"),
            models.Index(
                fields=["mailbox"],
                condition=Q(status=OutgoingStatus.UNCERTAIN) | Q(sent_copy=SentCopy.WANTED),
                name="outgoing_to_look_for",
            ),
            models.Index(fields=["conversation"], name="outgoing_by_conversation"),
            models.Index(
                fields=["tracking_token"], condition=~Q(tracking_token=""), name="outgoing_by_token"
            ),
            models.Index(fields=["smart_key"], condition=~Q(smart_key=""), name="outgoing_by_smart_key"),
            models.Index(fields=["environment", "-created_on", "-id"], name="outgoing_of_environment"),
            models.Index(
                fields=["environment", "-created_on", "-id"],
                condition=~Q(status=OutgoingStatus.SENT),
                name="outgoing_not_sent",
            ),
        ]

    def __str__(self) -> str:
        return self.subject or "(no subject)"

    def save(self, *args: Any, **options: Any) -> None:
        """Save the message in the environment of its mailbox."""
        self.environment_id = self.mailbox.environment_id
        super().save(*args, **options)


class DraftFile(models.Model):
    """A file attached to a draft; queued, it becomes part of the content."""

    draft = models.ForeignKey(OutgoingMessage, on_delete=models.CASCADE, related_name="files")
    filename = models.TextField()
    content_type = models.CharField(max_length=255)
    size = models.PositiveBigIntegerField()
    content = models.BinaryField()

    class Meta:
        ordering: ClassVar[list[str]] = ["draft", "pk"]

    def __str__(self) -> str:
        return self.filename


class CorrespondentQuerySet(models.QuerySet["Correspondent"]):
    """Named questions about people written to."""

    def note(self, environment: int, addresses: Iterable[str], *, now: datetime) -> None:
        """Remember that email to these `addresses` was sent from an environment."""
        rows = [
            Correspondent(environment_id=environment, address=address, written_on=now)
            for address in sorted(self.folded(addresses))
        ]
        self.bulk_create(rows, ignore_conflicts=True)

    def among(self, environment: int, addresses: Iterable[str]) -> set[str]:
        """Return which of `addresses` are remembered, as `folded` writes them."""
        found = self.filter(environment=environment, address__in=self.folded(addresses))
        return set(found.values_list("address", flat=True))

    @staticmethod
    def folded(addresses: Iterable[str]) -> set[str]:
        """Return `addresses` as they are remembered."""
        return {address.lower()[:254] for address in addresses}


class Correspondent(models.Model):
    """An address to which somebody of an environment has sent email from here."""

    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="correspondents")
    #: Lower-case.
    address = models.CharField(max_length=254)
    #: When it was written to first.
    written_on = models.DateTimeField()

    objects = CorrespondentQuerySet.as_manager()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["environment", "address"], name="one_correspondent_per_address"),
        ]

    def __str__(self) -> str:
        return self.address
