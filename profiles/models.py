"""Environments, how to reach servers (server profiles), and the defaults for new mailboxes."""

import uuid
from typing import ClassVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.urls import reverse

from emailsync.crypto.fields import EncryptedTextField
from emailsync.mail.endpoint import Endpoint, Protocol, Security
from profiles import rules
from profiles.choices import (
    ActMethod,
    AuthenticationProtocol,
    AuthenticationType,
    ConnectionSecurity,
    EnvironmentKind,
    Impersonation,
    IncomingMethod,
    IncomingProtocol,
    OutgoingMethod,
    ServerType,
)

MAXIMUM_ATTACHMENT_KB = 131_072


class Versioned(models.Model):
    """A record people edit. `version` counts the saves, so that a second editor is told, not overwritten."""

    version = models.PositiveIntegerField(default=1, editable=False)
    created_on = models.DateTimeField(auto_now_add=True)
    modified_on = models.DateTimeField(auto_now=True)
    modified_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="+",
    )

    class Meta:
        abstract = True


class Environment(Versioned):
    """A place of its own: profiles, settings and mailboxes that belong together."""

    slug = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=100)
    kind = models.CharField(max_length=20, choices=EnvironmentKind, default=EnvironmentKind.PRODUCTION)
    #: Made and removed by the demo; nothing else is ever marked so.
    is_demo = models.BooleanField(default=False, editable=False)

    class Meta:
        ordering: ClassVar[list[str]] = ["name"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=Q(kind__in=EnvironmentKind.values), name="environment_kind"),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        """Return the address of this environment's settings."""
        return reverse("profiles:environment_settings", args=[self.slug])


class ServerProfileQuerySet(models.QuerySet["ServerProfile"]):
    """Named questions about server profiles."""

    def active(self) -> "ServerProfileQuerySet":
        """Return the profiles that mailboxes may use."""
        return self.filter(is_active=True)


class ServerProfile(Versioned):
    """How to reach one mail system: where it is, how to secure the way, whose credentials to use."""

    # The secrets below are bound to the primary key, so it must be known before the first save.
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="server_profiles")
    name = models.CharField(max_length=100)
    description = models.TextField(max_length=2000, blank=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="server_profiles",
    )
    is_active = models.BooleanField("status", default=True)
    is_default = models.BooleanField("set as default profile for new mailboxes", default=False)

    server_type = models.CharField(
        "email server type", max_length=30, choices=ServerType, default=ServerType.OTHER
    )
    incoming_protocol = models.CharField(
        "incoming communication protocol",
        max_length=10,
        choices=IncomingProtocol,
        default=IncomingProtocol.IMAP,
    )
    incoming_location = models.CharField(max_length=2084)
    incoming_port = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(65_535)]
    )
    incoming_security = models.CharField(
        max_length=10, choices=ConnectionSecurity, default=ConnectionSecurity.TLS
    )
    outgoing_location = models.CharField(max_length=2084)
    outgoing_port = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(65_535)]
    )
    outgoing_security = models.CharField(
        max_length=10, choices=ConnectionSecurity, default=ConnectionSecurity.TLS
    )
    #: PEM certificates trusted beside the system's, for servers with an authority of their own.
    ca_certificates = models.TextField("additional trusted certificates", blank=True)

    authentication_type = models.CharField(
        max_length=40, choices=AuthenticationType, default=AuthenticationType.BY_USER_OR_QUEUE
    )
    user_name = models.CharField(max_length=250, blank=True)
    password = EncryptedTextField(max_length=250)
    incoming_authentication_protocol = models.CharField(
        max_length=20, choices=AuthenticationProtocol, default=AuthenticationProtocol.AUTO_DETECT
    )
    impersonation = models.CharField(
        "use impersonation", max_length=40, choices=Impersonation, default=Impersonation.NONE
    )
    use_same_settings_for_outgoing = models.BooleanField("use same settings for Outgoing", default=True)
    outgoing_authentication_type = models.CharField(
        max_length=40, choices=AuthenticationType, default=AuthenticationType.BY_USER_OR_QUEUE
    )
    outgoing_user_name = models.CharField(max_length=250, blank=True)
    outgoing_password = EncryptedTextField(max_length=250)
    outgoing_authentication_protocol = models.CharField(
        max_length=20, choices=AuthenticationProtocol, default=AuthenticationProtocol.AUTO_DETECT
    )
    outgoing_impersonation = models.CharField(
        max_length=40, choices=Impersonation, default=Impersonation.NONE
    )
    oauth_tenant_id = models.CharField("tenant id", max_length=250, blank=True)
    oauth_client_id = models.CharField("client id", max_length=250, blank=True)
    oauth_client_secret = EncryptedTextField(max_length=250)

    process_email_from = models.DateTimeField(null=True, blank=True)
    minimum_polling_interval = models.PositiveIntegerField(
        "minimum polling interval in minutes", default=0, validators=[MaxValueValidator(1440)]
    )
    maximum_concurrent_connections = models.PositiveIntegerField(
        default=10, validators=[MinValueValidator(1), MaxValueValidator(300)]
    )
    move_failed_to_undeliverable = models.BooleanField(
        "move failed emails to Undeliverable folder", default=False
    )
    alert_owner_on_major_events = models.BooleanField(
        "send an alert email to the owner of the email server profile on major events", default=False
    )
    timeout_enabled = models.BooleanField("timeout mailbox connection", default=True)
    timeout_ms = models.PositiveIntegerField(
        "timeout a single mailbox connection after (milliseconds)",
        default=30_000,
        validators=[MinValueValidator(1000), MaxValueValidator(100_000)],
    )
    encoding_code_page = models.CharField(max_length=100, blank=True)
    notes = models.TextField(blank=True)

    objects = ServerProfileQuerySet.as_manager()

    class Meta:
        ordering: ClassVar[list[str]] = ["name"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint("environment", "name", name="profile_name_in_environment"),
            models.UniqueConstraint(
                fields=["environment"],
                condition=Q(is_default=True),
                name="one_default_profile_per_environment",
            ),
            models.CheckConstraint(
                condition=Q(is_default=False) | Q(is_active=True), name="default_profile_is_active"
            ),
            models.CheckConstraint(
                condition=Q(server_type__in=ServerType.values), name="profile_server_type"
            ),
            models.CheckConstraint(
                condition=Q(incoming_protocol__in=IncomingProtocol.values), name="profile_incoming_protocol"
            ),
            models.CheckConstraint(
                condition=Q(incoming_security__in=ConnectionSecurity.values)
                & Q(outgoing_security__in=ConnectionSecurity.values),
                name="profile_security",
            ),
            # Listed among the choices of the admin center, never a valid setting.
            models.CheckConstraint(
                condition=~Q(authentication_type=AuthenticationType.ANONYMOUS)
                & ~Q(outgoing_authentication_type=AuthenticationType.ANONYMOUS),
                name="profile_never_anonymous",
            ),
            models.CheckConstraint(
                condition=~Q(server_type=ServerType.OTHER)
                | ~(
                    Q(authentication_type=AuthenticationType.WINDOWS_INTEGRATED)
                    | Q(outgoing_authentication_type=AuthenticationType.WINDOWS_INTEGRATED)
                ),
                name="windows_integrated_is_for_exchange",
            ),
            models.CheckConstraint(
                condition=(Q(incoming_port__isnull=True) | Q(incoming_port__range=(1, 65_535)))
                & (Q(outgoing_port__isnull=True) | Q(outgoing_port__range=(1, 65_535))),
                name="profile_ports",
            ),
            models.CheckConstraint(
                condition=Q(maximum_concurrent_connections__range=(1, 300))
                & Q(minimum_polling_interval__lte=1440)
                & Q(timeout_ms__lte=100_000),
                name="profile_limits",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse what can never work, naming the field and the way out, and fill the ports left empty."""
        errors = rules.profile_errors(self, policy=settings.NETWORK_POLICY)
        if errors:
            raise ValidationError(errors)

    @property
    def incoming_endpoint(self) -> Endpoint:
        """Return where mail is received. Call it on saved profiles: saving fills the ports."""
        assert self.incoming_port is not None
        return Endpoint(
            protocol=Protocol(self.incoming_protocol),
            host=self.incoming_location,
            port=self.incoming_port,
            security=Security(self.incoming_security),
        )

    @property
    def outgoing_endpoint(self) -> Endpoint:
        """Return where mail is sent. Call it on saved profiles: saving fills the ports."""
        assert self.outgoing_port is not None
        return Endpoint(
            protocol=Protocol.SMTP,
            host=self.outgoing_location,
            port=self.outgoing_port,
            security=Security(self.outgoing_security),
        )


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


def save_version(instance: Versioned) -> None:
    """Save `instance`, in a transaction, if nobody saved it since it was read; count the version up.

    Raises StaleRecord when somebody did; nothing is written then.
    """
    held = instance.version
    claimed = (
        type(instance)._base_manager.filter(pk=instance.pk, version=held).update(version=F("version") + 1)
    )
    if not claimed:
        raise StaleRecord(instance)
    instance.version = held + 1
    instance.save()


class StaleRecord(Exception):
    """Somebody else saved this record after it was read for editing."""
