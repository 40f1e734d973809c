"""The mailbox as operators edit it. Workers never write this table; forms never write the others."""

import uuid
from datetime import datetime
from typing import ClassVar

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import connection, models
from django.db.models import F, FilteredRelation, Q, Value
from django.db.models.functions import Collate, Concat, Lower
from django.db.models.lookups import Contains
from django.urls import reverse

from emailsync.crypto.fields import EncryptedTextField
from mailboxes import rules
from mailboxes.choices import AddressStatus, Direction, MailboxKind, ResultStatus, TrackIncoming
from profiles.choices import ActMethod, IncomingMethod, OutgoingMethod
from profiles.models import Environment, ServerProfile, Versioned

#: An index of trigrams finds what has as many letters.
TRIGRAM = 3


def says(word: str, *, of: str = "") -> Q:
    """Return the condition for mailboxes whose name or address holds `word`, whatever its case.

    `of` leads to the mailbox from another record: "mailbox__".
    """
    name, found = f"{of}search_text", Q()
    # SQLite lowers nothing but ASCII: other letters are looked for in each case that a name may have.
    cases = {word.lower()} if word.isascii() else {word, word.lower(), word.upper(), word.capitalize()}
    for text in sorted(cases):
        found |= _holds(text, name)
    return found


def _holds(text: str, name: str) -> Q:
    if len(text) < TRIGRAM and connection.vendor == "postgresql":
        # No index knows it. Every mailbox is read, in a third of the time when no language's rules apply.
        return Q(Contains(Collate(name, "C"), text))
    return Q((f"{name}__contains", text))


class MailboxQuerySet(models.QuerySet["Mailbox"]):
    """Named questions about mailboxes."""

    def active(self) -> "MailboxQuerySet":
        """Return the mailboxes that are switched on."""
        return self.filter(is_active=True)

    def beside_states(self) -> "MailboxQuerySet":
        """Let conditions and orders name incoming_state, outgoing_state and a_state, which is either of them.

        Each is joined only then.
        """
        return self.alias(
            incoming_state=FilteredRelation("states", condition=Q(states__direction=Direction.INCOMING)),
            outgoing_state=FilteredRelation("states", condition=Q(states__direction=Direction.OUTGOING)),
            a_state=FilteredRelation("states", condition=Q(states__direction__in=Direction.values)),
        )

    def with_states(self) -> "MailboxQuerySet":
        """Annotate each row with its worker states, in the same query.

        Adds incoming_status, outgoing_status, incoming_enabled, outgoing_enabled, incoming_tested_on,
        outgoing_tested_on, the last error codes of both directions, and who attempted Test & Enable last
        (attempted_by, a primary key) and when (attempted_on).
        """
        return self.beside_states().annotate(
            incoming_status=F("incoming_state__status"),
            outgoing_status=F("outgoing_state__status"),
            incoming_enabled=F("incoming_state__is_enabled"),
            outgoing_enabled=F("outgoing_state__is_enabled"),
            incoming_error_code=F("incoming_state__last_error_code"),
            outgoing_error_code=F("outgoing_state__last_error_code"),
            incoming_tested_on=F("incoming_state__tested_on"),
            outgoing_tested_on=F("outgoing_state__tested_on"),
            attempted_by=F("incoming_state__attempted_by"),
            attempted_on=F("incoming_state__attempted_on"),
        )

    def failing(self) -> "MailboxQuerySet":
        """Return the mailboxes with a direction whose last test failed or that workers stopped."""
        return self.filter(models.Exists(self._states().filter(status=ResultStatus.FAILURE)))

    def working(self) -> "MailboxQuerySet":
        """Return the mailboxes with an enabled direction and no failure."""
        return self.filter(models.Exists(self._states().filter(is_enabled=True))).exclude(
            models.Exists(self._states().filter(status=ResultStatus.FAILURE))
        )

    def _states(self) -> models.QuerySet[models.Model]:
        states = apps.get_model("mailboxes", "WorkerState")
        return states._base_manager.filter(mailbox=models.OuterRef("pk"))


class Mailbox(Versioned):
    """The mailbox of a user or a queue, or a forward mailbox."""

    # The password is bound to the primary key, so it must be known before the first save.
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="mailboxes")
    name = models.CharField(max_length=200)
    address = models.EmailField("email address", max_length=100)
    kind = models.CharField("regarding", max_length=10, choices=MailboxKind, default=MailboxKind.USER)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="mailboxes"
    )
    is_active = models.BooleanField("status", default=True)

    server_profile = models.ForeignKey(
        ServerProfile, null=True, blank=True, on_delete=models.PROTECT, related_name="mailboxes"
    )
    incoming = models.CharField(
        "incoming email", max_length=40, choices=IncomingMethod, default=IncomingMethod.SERVER_SIDE
    )
    outgoing = models.CharField(
        "outgoing email", max_length=40, choices=OutgoingMethod, default=OutgoingMethod.SERVER_SIDE
    )
    act = models.CharField(
        "appointments, contacts, and tasks", max_length=40, choices=ActMethod, default=ActMethod.NONE
    )
    delete_after_processing = models.BooleanField("delete emails after processing", default=False)

    allow_credentials = models.BooleanField("allow to use credentials for email processing", default=False)
    user_name = models.CharField(max_length=200, blank=True)
    password = EncryptedTextField(max_length=200)
    # What the profile's own account or application opens is no credential: it is approved like the address.
    server_account = models.CharField("account on the server", max_length=200, blank=True)

    process_email_from = models.DateTimeField("process email received after", null=True, blank=True)
    track_incoming = models.CharField(
        "track incoming email", max_length=20, choices=TrackIncoming, default=TrackIncoming.ALL
    )

    address_status = models.CharField(
        "email address status",
        max_length=10,
        choices=AddressStatus,
        default=AddressStatus.PENDING,
        editable=False,
    )
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    approved_on = models.DateTimeField(null=True, blank=True, editable=False)
    notes = models.TextField(blank=True)

    #: What a search reads, without folding case each time; a migration gives it an index on PostgreSQL.
    search_text = models.GeneratedField(
        expression=Lower(Concat("name", Value(" "), "address", output_field=models.TextField())),
        output_field=models.TextField(),
        db_persist=True,
    )

    #: What the person at hand may do with this mailbox, set by `mailboxes.access.enter` for templates.
    may: frozenset[str] = frozenset()

    objects = MailboxQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "mailboxes"
        ordering: ClassVar[list[str]] = ["name"]
        indexes: ClassVar[list[models.Index]] = [
            models.Index("environment", Lower("name"), "id", name="mailbox_by_name"),
            models.Index(fields=["environment", "address_status"], name="mailbox_by_address_status"),
            # What the states of mailboxes are looked up for, without reading the mailboxes.
            models.Index(
                fields=["id", "environment", "server_profile"],
                condition=Q(is_active=True),
                name="mailbox_active",
            ),
            models.Index(
                fields=["server_profile", "id", "environment", "is_active"],
                name="mailbox_of_profile",
            ),
            # What is rare is counted beside what is common: the figures of environments and profiles.
            models.Index(
                fields=["environment", "server_profile"],
                condition=Q(is_active=False),
                name="mailbox_inactive",
            ),
            # With the key, which facets are compared by.
            models.Index(
                fields=["environment", "server_profile", "id"],
                condition=Q(is_active=True, address_status="pending"),
                name="mailbox_pending",
            ),
        ]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint("environment", Lower("address"), name="one_mailbox_per_address"),
            models.CheckConstraint(condition=Q(kind__in=MailboxKind.values), name="mailbox_kind"),
            models.CheckConstraint(condition=Q(incoming__in=IncomingMethod.values), name="mailbox_incoming"),
            models.CheckConstraint(condition=Q(outgoing__in=OutgoingMethod.values), name="mailbox_outgoing"),
            models.CheckConstraint(
                condition=Q(address_status__in=AddressStatus.values), name="mailbox_address_status"
            ),
            models.CheckConstraint(
                condition=Q(track_incoming__in=TrackIncoming.values), name="mailbox_track_incoming"
            ),
            # IMAP and POP3 carry no appointments, contacts or tasks.
            models.CheckConstraint(condition=Q(act=ActMethod.NONE), name="mailbox_act_is_none"),
            models.CheckConstraint(
                condition=~Q(kind=MailboxKind.FORWARD) | Q(outgoing=OutgoingMethod.NONE),
                name="forward_mailbox_never_sends",
            ),
            models.CheckConstraint(
                condition=~Q(kind=MailboxKind.USER) | Q(delete_after_processing=False),
                name="user_mailbox_keeps_email",
            ),
            models.CheckConstraint(
                condition=Q(address_status=AddressStatus.APPROVED) | Q(approved_on__isnull=True),
                name="approval_stamp_means_approved",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        """Return the address of this mailbox's page."""
        return reverse("mailboxes:mailbox_detail", args=[self.environment.slug, self.pk])

    def clean(self) -> None:
        """Refuse what can never work, naming the field and the way out."""
        errors = rules.mailbox_errors(self)
        if errors:
            raise ValidationError(errors)

    @property
    def opened_as(self) -> str:
        """Return whose mailbox the profile's own account or application opens for this one."""
        return self.server_account or self.address

    @property
    def effective_start(self) -> datetime | None:
        """Return the later of the profile's and the mailbox's start date; None means all mail."""
        profile_start = self.server_profile.process_email_from if self.server_profile else None
        return max((date for date in (self.process_email_from, profile_start) if date), default=None)

    @property
    def keeps(self) -> TrackIncoming:
        """Return which of its mail is kept. What is for others is not for a forward mailbox to refuse."""
        return TrackIncoming.ALL if self.kind == MailboxKind.FORWARD else TrackIncoming(self.track_incoming)

    def syncs(self, direction: str) -> bool:
        """Say whether workers connect to this mailbox's server for `direction`."""
        return self._method(direction) == IncomingMethod.SERVER_SIDE

    def uses(self, direction: str) -> bool:
        """Say whether mail goes this way at all: by workers, or through the forward mailbox."""
        return self._method(direction) != IncomingMethod.NONE

    def _method(self, direction: str) -> str:
        return self.incoming if direction == Direction.INCOMING else self.outgoing

    @property
    def is_fed_by_forwarding(self) -> bool:
        """Say whether its mail comes out of the environment's forward mailbox."""
        return self.incoming == IncomingMethod.FORWARD_MAILBOX
