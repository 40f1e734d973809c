"""How a server profile asks for access tokens: its registered application, completed from what is known."""

import hashlib
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import quote

from django.utils.translation import gettext as _

from emailsync.mail.endpoint import NetworkPolicy, check_plain, is_address
from emailsync.mail.errors import MailError
from emailsync.mail.https import endpoint_of
from emailsync.mail.oauth import GOOGLE, MICROSOFT, Client, Provider
from profiles.choices import AuthenticationType, OAuthGrant, OAuthProvider, ServerType

if TYPE_CHECKING:
    from profiles.models import ServerProfile

#: What is known of a provider; of the others the profile says it all.
PRESETS = {OAuthProvider.GOOGLE.value: GOOGLE, OAuthProvider.MICROSOFT.value: MICROSOFT}
#: The provider that belongs to a type of server.
BY_SERVER_TYPE = {
    ServerType.GMAIL.value: OAuthProvider.GOOGLE,
    ServerType.EXCHANGE_ONLINE.value: OAuthProvider.MICROSOFT,
}
#: Microsoft's word for accounts of every organisation.
EVERY_TENANT = "common"


def provider_of(profile: "ServerProfile") -> Provider:
    """Return the provider of `profile`, its own addresses and scopes in place of what is known."""
    known = PRESETS.get(profile.oauth_provider)
    if known is None:
        return Provider(
            profile.oauth_authorization_url.strip(),
            profile.oauth_token_url.strip(),
            profile.oauth_scopes,
            profile.oauth_scopes,
        )
    tenant = quote(profile.oauth_tenant_id or EVERY_TENANT, safe="")
    return Provider(
        known.authorization_url.replace("{tenant}", tenant),
        known.token_url.replace("{tenant}", tenant),
        profile.oauth_scopes or known.scopes,
        profile.oauth_scopes or known.application_scopes,
        known.parameters,
        known.inactivity,
    )


def client_of(profile: "ServerProfile", *, secret: str) -> Client:
    """Return the registered application; an empty `secret` is enough to send somebody to the provider."""
    provider = provider_of(profile)
    asks_itself = profile.oauth_grant == OAuthGrant.CLIENT_CREDENTIALS
    return Client(
        authorization_url=provider.authorization_url,
        token_url=provider.token_url,
        client_id=profile.oauth_client_id,
        client_secret=secret,
        scopes=tuple((provider.application_scopes if asks_itself else provider.scopes).split()),
        parameters=provider.parameters,
    )


def client_key(profile: "ServerProfile") -> str:
    """Return what changes when tokens have to be asked for anew: application, provider, way or scopes."""
    client = client_of(profile, secret="")
    parts = (client.token_url, client.client_id, profile.oauth_grant, *client.scopes)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def uses_oauth(profile: "ServerProfile", side: str | None = None) -> bool:
    """Say whether one direction of `profile`, or any, signs in with access tokens."""
    own = not profile.use_same_settings_for_outgoing
    outgoing = profile.outgoing_authentication_type if own else profile.authentication_type
    kinds = {"incoming": profile.authentication_type, "outgoing": outgoing}
    return AuthenticationType.OAUTH in ([kinds[side]] if side else kinds.values())


def is_connected_by_people(profile: "ServerProfile") -> bool:
    """Say whether a person has to give the permission for each mailbox."""
    return uses_oauth(profile) and profile.oauth_grant == OAuthGrant.AUTHORIZATION_CODE


def oauth_errors(profile: "ServerProfile", *, policy: NetworkPolicy) -> dict[str, str]:
    """Return what keeps `profile` from asking for access tokens, by field; nothing when it does not ask."""
    profile.oauth_provider = BY_SERVER_TYPE.get(profile.server_type, profile.oauth_provider)
    if not uses_oauth(profile):
        return {}
    errors = {}
    for name in ("oauth_client_id", "oauth_tenant_id", "oauth_scopes"):
        try:
            check_plain(getattr(profile, name), what=_("This"))
        except ValueError as error:
            errors[name] = str(error)
    asks_itself = profile.oauth_grant == OAuthGrant.CLIENT_CREDENTIALS
    if not profile.oauth_client_id:
        errors["oauth_client_id"] = _("Enter the client id that the provider gave your application.")
    if asks_itself and not profile.oauth_client_secret:
        errors["oauth_client_secret"] = _("Enter the client secret: the application signs in with it.")
    if profile.oauth_provider == OAuthProvider.GOOGLE and asks_itself:
        errors["oauth_grant"] = _("Google gives applications no permission of their own for IMAP and SMTP.")
    if profile.oauth_provider == OAuthProvider.MICROSOFT and asks_itself and not profile.oauth_tenant_id:
        errors["oauth_tenant_id"] = _("Enter the tenant id of the organization whose mailboxes these are.")
    if profile.oauth_provider == OAuthProvider.OTHER:
        errors |= _address_errors(profile, policy=policy)
    return errors


def _address_errors(profile: "ServerProfile", *, policy: NetworkPolicy) -> dict[str, str]:
    errors = {}
    names = ["oauth_token_url"]
    if profile.oauth_grant == OAuthGrant.AUTHORIZATION_CODE:
        names.append("oauth_authorization_url")
    for name in names:
        try:
            endpoint = endpoint_of(getattr(profile, name))
            if name == "oauth_token_url":
                policy.check_port(endpoint.port)
                if is_address(endpoint.host):
                    policy.check_address(ip_address(endpoint.host))
        except (ValueError, MailError) as error:
            errors[name] = str(error)
    if not profile.oauth_scopes.strip():
        errors["oauth_scopes"] = _("Enter what is asked for, as the provider calls it, separated by spaces.")
    return errors
