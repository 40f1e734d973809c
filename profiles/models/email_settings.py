"""Email settings: what an environment does with mail, and what new mailboxes start with."""

from typing import ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.functional import cached_property

from profiles.choices import (
    ActMethod,
    IncomingMethod,
    OutgoingMethod,
)
from profiles.models.environment import Environment
from profiles.models.server_profile import ServerProfile
from profiles.models.versioned import Versioned

MAXIMUM_ATTACHMENT_KB = 131_072


class EmailSettings(Versioned):
    """One row per environment: what new mailboxes start with, who must be approved, which alerts are kept.

    The default server profile is not repeated here: it is the environment's profile with `is_default`.
    """

    environment = models.OneToOneField(Environment, on_delete=models.CASCADE, related_name="email_settings")
    incoming = models.CharField(
        "incoming email", max_length=40, choices=IncomingMethod, default=IncomingMethod.SERVER_SIDE
    )
    outgoing = models.CharField(
        "outgoing email", max_length=40, choices=OutgoingMethod, default=OutgoingMethod.SERVER_SIDE
    )
    act = models.CharField(
        "appointments, contacts, and tasks", max_length=40, choices=ActMethod, default=ActMethod.NONE
    )

    process_only_approved_users = models.BooleanField("process emails only for approved users", default=True)
    process_only_approved_queues = models.BooleanField(
        "process emails only for approved queues", default=True
    )
    #: People then do not approve the address of their own mailbox, although it is that of their account.
    restrict_self_approval = models.BooleanField(default=False)
    sync_rights_managed_email = models.BooleanField(default=False)
    delete_appointments_on_ownership_change = models.BooleanField(default=False)

    alert_errors = models.BooleanField("errors", default=True)
    alert_warnings = models.BooleanField("warnings", default=True)
    alert_information = models.BooleanField("information", default=True)
    notify_mailbox_owner = models.BooleanField(default=False)

    maximum_attachment_kb = models.PositiveIntegerField(
        "maximum file size for attachments (KB)",
        default=5120,
        validators=[MinValueValidator(1), MaxValueValidator(MAXIMUM_ATTACHMENT_KB)],
    )
    blocked_attachment_types = models.TextField(
        default="ade;adp;app;asp;bat;cer;chm;cmd;com;cpl;exe;hta;inf;ins;isp;jar;js;jse;lnk;mda;mdb;mde;mdz;msc;msi;"
        "msp;mst;pcd;pif;reg;scr;sct;shs;url;vb;vbe;vbs;wsc;wsf;wsh",
        blank=True,
    )
    use_secure_frames = models.BooleanField(
        "use secure frames to restrict email message content", default=False
    )
    send_to_unresolved_recipients = models.BooleanField(default=False)
    unresolve_ambiguous_recipients = models.BooleanField(default=False)
    apply_manual_resolution_to_similar = models.BooleanField(default=True)

    use_correlation = models.BooleanField(default=True)
    use_tracking_token = models.BooleanField(default=True)
    tracking_prefix = models.CharField(max_length=20, default="CRM")
    tracking_base_number = models.PositiveIntegerField(default=0)
    tracking_user_digits = models.PositiveIntegerField(
        default=3, validators=[MinValueValidator(1), MaxValueValidator(10)]
    )
    tracking_message_digits = models.PositiveIntegerField(
        default=3, validators=[MinValueValidator(1), MaxValueValidator(9)]
    )
    use_smart_matching = models.BooleanField(default=False)
    track_between_users_as_two = models.BooleanField(default=True)

    class Meta:
        verbose_name_plural = "email settings"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=Q(incoming__in=IncomingMethod.values), name="settings_incoming"),
            models.CheckConstraint(condition=Q(outgoing__in=OutgoingMethod.values), name="settings_outgoing"),
            # IMAP and POP3 carry no appointments, contacts or tasks.
            models.CheckConstraint(condition=Q(act=ActMethod.NONE), name="settings_act_is_none"),
            models.CheckConstraint(
                condition=Q(maximum_attachment_kb__range=(1, MAXIMUM_ATTACHMENT_KB)),
                name="settings_attachment_limit",
            ),
        ]

    def __str__(self) -> str:
        return f"Email settings of {self.environment}"

    @property
    def server_profile(self) -> ServerProfile | None:
        """Return the default profile for new mailboxes."""
        return self.environment.server_profiles.filter(is_default=True).first()

    def wants(self, level: str) -> bool:
        """Say whether alerts of `level` (error, warning, information) are written."""
        return {"error": self.alert_errors, "warning": self.alert_warnings}.get(level, self.alert_information)

    @property
    def maximum_attachment_bytes(self) -> int:
        """Return how large each attachment may be."""
        return self.maximum_attachment_kb * 1024

    @cached_property
    def blocked_endings(self) -> frozenset[str]:
        """Return the file endings that are not let through, lower-case and without dots."""
        endings = (ending.strip(" .").casefold() for ending in self.blocked_attachment_types.split(";"))
        return frozenset(filter(None, endings))

    def blocks_type(self, filename: str) -> bool:
        """Say whether a file of this name is of a blocked type; dots at the end hide nothing."""
        return file_ending(filename) in self.blocked_endings


def file_ending(filename: str) -> str:
    """Return the ending that says what kind of file it is, as Windows reads it."""
    return filename.rstrip(". ").rpartition(".")[2].casefold()
