"""Every message seen on a server is accounted for, once."""

from collections.abc import Collection
from typing import Any, ClassVar

from django.db import models
from django.db.models import Q

from mailboxes.choices import LedgerOutcome, Reason
from mailboxes.models.mailbox import Mailbox
from mailboxes.models.message import SELDOM, Message

#: What a message is known by from one conversation to the next: its UID, or over POP3 its UIDL.
Key = int | str
#: Outcomes that are not the last word while nothing of the message is stored.
LOOKED_AT_AGAIN = [LedgerOutcome.QUARANTINED, LedgerOutcome.BEFORE_START, LedgerOutcome.MISSED]


class FolderCursor(models.Model):
    """How far a folder has been read: RFC 3501's UIDVALIDITY and the highest UID accounted for.

    Over POP3 a number made of server and user stands for the UIDVALIDITY, and no UID is ever passed: the
    ledger's UIDLs say what is known.
    """

    mailbox = models.ForeignKey(Mailbox, on_delete=models.CASCADE, related_name="cursors")
    folder = models.CharField(max_length=255, default="INBOX")
    uidvalidity = models.PositiveBigIntegerField()
    last_uid = models.PositiveBigIntegerField(default=0)
    #: What the server said when the folder was last asked; equal answers mean nothing new.
    uidnext = models.PositiveBigIntegerField(default=0)
    messages = models.PositiveBigIntegerField(default=0)
    #: The messages have no UIDs; the ledger knows them by their UIDLs (POP3).
    is_by_uidl = models.BooleanField(default=False)
    #: The size of all messages together, where the server says it (POP3).
    octets = models.PositiveBigIntegerField(default=0)
    #: HIGHESTMODSEQ, where the server says it (RFC 7162).
    modseq = models.PositiveBigIntegerField(default=0)
    #: When the messages were last asked for themselves: a server that calls them unchanged is not believed
    #: for ever.
    listed_on = models.DateTimeField(null=True)
    asked_on = models.DateTimeField(null=True)
    #: The server renumbered the folder and it is being read again: messages are recognised.
    is_rescan = models.BooleanField(default=False)
    #: How often it did so lately, and when last: see `mailboxes.engine.numbering`.
    renumberings = models.PositiveIntegerField(default=0)
    renumbered_on = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["mailbox", "folder"], name="one_cursor_per_folder"),
        ]

    def __str__(self) -> str:
        return f"{self.folder} of {self.mailbox_id}, {self.uidvalidity}:{self.last_uid}"

    @property
    def key(self) -> str:
        """Return the ledger's field that tells the messages of the folder apart."""
        return "uidl" if self.is_by_uidl else "uid"

    def entries(self) -> "LedgerEntryQuerySet":
        """Return what the ledger knows of the folder's messages as they are named now."""
        entries = LedgerEntry.objects.filter(mailbox=self.mailbox_id, folder=self.folder)
        return (
            entries.filter(is_listed=True)
            if self.is_by_uidl
            else entries.filter(uidvalidity=self.uidvalidity)
        )

    def named(self, keys: Collection[Key]) -> "LedgerEntryQuerySet":
        """Return those of `entries` with these UIDs or UIDLs."""
        return self.entries().filter(**{f"{self.key}__among": keys})

    def naming(self, key: Key) -> dict[str, Any]:
        """Return what an entry for the message of this UID or UIDL is to hold."""
        if self.is_by_uidl:
            return {"uidl": key, "is_listed": True}
        return {"uidvalidity": self.uidvalidity, "uid": key}

    def keys(self, entries: models.QuerySet["LedgerEntry"]) -> list[Key]:
        """Return the UIDs or UIDLs of some of the `entries`."""
        return list(entries.values_list(self.key, flat=True))


class LedgerEntryQuerySet(models.QuerySet["LedgerEntry"]):
    """Named questions about the ledger."""

    def withheld(self) -> "LedgerEntryQuerySet":
        """Return the messages that the server listed and never handed out: nothing of them is stored."""
        return self.filter(outcome=LedgerOutcome.QUARANTINED, message__isnull=True)

    def asked_for(self) -> "LedgerEntryQuerySet":
        """Return the messages above the limit that somebody wants whole."""
        return self.filter(is_to_fetch=True)

    def to_be_read_again(self) -> "LedgerEntryQuerySet":
        """Return those of which nothing is stored and that another look may change."""
        return self.filter(outcome__in=LOOKED_AT_AGAIN, message__isnull=True)


class LedgerEntry(models.Model):
    """What became of one UID (or, over POP3, one UIDL; or of one message attached to a forwarded one)."""

    mailbox = models.ForeignKey(Mailbox, on_delete=models.CASCADE, related_name="ledger")
    folder = models.CharField(max_length=255, default="INBOX")
    uidvalidity = models.PositiveBigIntegerField(null=True)
    uid = models.PositiveBigIntegerField(null=True)
    uidl = models.CharField(max_length=70, null=True)  # noqa: DJ001  (NULL keeps IMAP rows out of the unique key)
    #: The server still lists the message of this UIDL (RFC 1939). One that it no longer lists may be given
    #: to another message.
    is_listed = models.BooleanField(default=False)
    outcome = models.CharField(max_length=20, choices=LedgerOutcome)
    #: Why; `get_reason_display` is the sentence for people.
    reason = models.CharField(max_length=30, choices=Reason, blank=True)
    message = models.ForeignKey(Message, null=True, on_delete=models.SET_NULL, related_name="ledger")
    size = models.PositiveBigIntegerField(default=0)
    #: What a fetched message is known by when the server renumbers the folder: see
    #: `emailsync.mail.headers.fingerprint`. Entries from before it was kept get theirs when it is needed.
    fingerprint = models.CharField(max_length=32, blank=True)
    received_at = models.DateTimeField(null=True)
    seen_on = models.DateTimeField()
    #: To be removed from the server ("Delete Emails after Processing"), now that it is stored.
    is_to_delete = models.BooleanField(default=False)
    #: Larger than the limit, and somebody asked for it all the same; see `mailboxes.engine.oversize`.
    is_to_fetch = models.BooleanField(default=False)
    #: The folder on the server into which it was moved, out of the way ("Undeliverable").
    moved_to = models.CharField(max_length=255, blank=True)
    #: For mail that came through the forward mailbox: the message there in which it was attached. Such an
    #: entry has no UID of its own; its `uidl` names the attachment.
    origin = models.ForeignKey(Message, on_delete=models.SET_NULL, related_name="unpacked_entries", **SELDOM)

    objects = LedgerEntryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "ledger entries"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["mailbox", "folder", "uidvalidity", "uid"],
                condition=Q(uid__isnull=False),
                name="one_ledger_entry_per_uid",
            ),
            models.UniqueConstraint(
                fields=["mailbox", "uidl"],
                condition=Q(is_listed=True),
                name="one_ledger_entry_per_listed_uidl",
            ),
            models.UniqueConstraint(
                fields=["mailbox", "uidl"],
                condition=Q(origin__isnull=False),
                name="one_ledger_entry_per_attached_message",
            ),
            models.CheckConstraint(
                condition=Q(uid__isnull=False, uidvalidity__isnull=False, uidl__isnull=True)
                | Q(uid__isnull=True, uidvalidity__isnull=True, uidl__isnull=False),
                name="ledger_entry_is_uid_or_uidl",
            ),
            models.CheckConstraint(condition=Q(outcome__in=LedgerOutcome.values), name="ledger_outcome"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["mailbox"], condition=Q(is_to_delete=True), name="ledger_to_delete"),
            models.Index(fields=["mailbox"], condition=Q(is_to_fetch=True), name="ledger_to_fetch"),
            models.Index(
                fields=["mailbox", "uidl"],
                condition=Q(is_listed=False, uidl__isnull=False),
                name="ledger_unlisted_uidl",
            ),
            models.Index(
                fields=["mailbox", "outcome", "received_at"],
                condition=Q(outcome__in=LOOKED_AT_AGAIN),
                name="ledger_to_look_at_again",
            ),
            models.Index(fields=["origin"], condition=Q(origin__isnull=False), name="ledger_origin"),
        ]

    def __str__(self) -> str:
        return f"{self.uidvalidity}:{self.uid or self.uidl} {self.outcome}"
