"""Server profiles: how to reach one mail system."""

import uuid
from typing import ClassVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from emailsync.crypto.fields import EncryptedTextField, Secret
from emailsync.mail.endpoint import Endpoint, Protocol, Security
from profiles import rules
from profiles.choices import (
    AppendToSent,
    AuthenticationProtocol,
    AuthenticationType,
    ConnectionSecurity,
    Impersonation,
    IncomingProtocol,
    OAuthGrant,
    OAuthProvider,
    ServerType,
)
from profiles.models.environment import Environment
from profiles.models.versioned import Versioned

DIRECTIONS = ("incoming", "outgoing")


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
    #: SHA-256 fingerprints of certificates or their keys, one a line; with any, nothing else is trusted.
    pinned_certificates = models.TextField(blank=True)

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
    oauth_provider = models.CharField(
        "OAuth provider", max_length=20, choices=OAuthProvider, default=OAuthProvider.OTHER
    )
    oauth_grant = models.CharField(
        "permission given by", max_length=30, choices=OAuthGrant, default=OAuthGrant.AUTHORIZATION_CODE
    )
    oauth_tenant_id = models.CharField("tenant id", max_length=250, blank=True)
    oauth_client_id = models.CharField("client id", max_length=250, blank=True)
    oauth_client_secret = EncryptedTextField(max_length=250)
    oauth_secret_expires_on = models.DateField("client secret expires on", null=True, blank=True)
    oauth_authorization_url = models.CharField("authorization endpoint", max_length=2084, blank=True)
    oauth_token_url = models.CharField("token endpoint", max_length=2084, blank=True)
    oauth_scopes = models.CharField("scopes", max_length=2000, blank=True)

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
    append_to_sent = models.CharField(
        "add sent email to the Sent folder", max_length=10, choices=AppendToSent, default=AppendToSent.AUTO
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

    def changed_directions(self, before: "ServerProfile") -> frozenset[str]:
        """Return the directions that connect otherwise than they did `before`."""
        return frozenset(side for side in DIRECTIONS if not self._connects_like(before, side))

    def _connects_like(self, other: "ServerProfile", side: str) -> bool:
        mine, theirs = self.connection(side), other.connection(side)
        return mine == theirs and self.secret(side).is_same_as(other.secret(side))

    def _oauth(self) -> tuple[object, ...]:
        """Return what access tokens depend on, but for the secret."""
        return (
            self.oauth_provider,
            self.oauth_grant,
            self.oauth_tenant_id,
            self.oauth_client_id,
            self.oauth_authorization_url,
            self.oauth_token_url,
            self.oauth_scopes,
        )

    def connection(self, side: str) -> tuple[object, ...]:
        """Return what a test of one direction depends on, but for the secret."""
        own = "outgoing_" if side == "outgoing" and not self.use_same_settings_for_outgoing else ""
        return (
            self.incoming_protocol if side == "incoming" else "",
            getattr(self, f"{side}_location"),
            getattr(self, f"{side}_port"),
            getattr(self, f"{side}_security"),
            self.ca_certificates.strip(),
            self.pinned_certificates.strip(),
            getattr(self, f"{own}authentication_type"),
            getattr(self, f"{own}user_name"),
            getattr(self, f"{own}impersonation"),
            getattr(self, f"{side}_authentication_protocol"),
            *(self._oauth() if self._authenticates_by(side) == AuthenticationType.OAUTH else ()),
        )

    def _authenticates_by(self, side: str) -> str:
        own = side == "outgoing" and not self.use_same_settings_for_outgoing
        return self.outgoing_authentication_type if own else self.authentication_type

    def secret(self, side: str) -> Secret:
        """Return what the profile itself keeps secret to sign in for one direction: a password, as a rule."""
        if self._authenticates_by(side) == AuthenticationType.OAUTH:
            client_secret: Secret = self.oauth_client_secret
            return client_secret
        own = side == "outgoing" and not self.use_same_settings_for_outgoing
        secret: Secret = self.outgoing_password if own else self.password
        return secret

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
