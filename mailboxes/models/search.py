"""The words by which mail is found, in a table of their own: see mailboxes/searching.py."""

from typing import ClassVar

from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.db.models import Q

from mailboxes.models.message import Message
from mailboxes.models.outbox import OutgoingMessage


class EmailWords(models.Model):
    """What a search looks at: the words as text until PostgreSQL has indexed them, then its vector."""

    #: Each word once, folded, with a blank before and between.
    words = models.TextField(blank=True)
    #: Filled by the workers soon after, on PostgreSQL only. Its GIN index stands in a migration.
    vector = SearchVectorField(null=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"Words of {self.pk}"


class MessageWords(EmailWords):
    """The words of a received message."""

    message = models.OneToOneField(Message, primary_key=True, on_delete=models.CASCADE, related_name="words")

    class Meta:
        verbose_name_plural = "message words"
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["message"], condition=Q(vector__isnull=True), name="message_words_waiting"),
        ]


class OutgoingWords(EmailWords):
    """The words of an outgoing message."""

    message = models.OneToOneField(
        OutgoingMessage, primary_key=True, on_delete=models.CASCADE, related_name="words"
    )

    class Meta:
        verbose_name_plural = "outgoing words"
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["message"], condition=Q(vector__isnull=True), name="outgoing_words_waiting"),
        ]
