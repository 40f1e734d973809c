"""What a server profile may be: one place for the rules that forms and files obey.

Each function returns the complaints by field name; the sentences name the way out.
"""

from ipaddress import ip_address
from typing import TYPE_CHECKING

from cryptography import x509
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from emailsync.mail.certificates import parse_pins, shown
from emailsync.mail.endpoint import (
    NetworkPolicy,
    Protocol,
    Security,
    check_host,
    check_plain,
    default_port,
    is_address,
)
from emailsync.mail.errors import MailError
from profiles.choices import AuthenticationProtocol, AuthenticationType, IncomingProtocol, ServerType
from profiles.oauth import oauth_errors, uses_oauth

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise

    from profiles.models import ServerProfile

#: What "Authenticate Using" lists.
LISTED_AUTHENTICATION = (
    AuthenticationType.BY_USER_OR_QUEUE,
    AuthenticationType.IN_PROFILE,
    AuthenticationType.OAUTH,
    AuthenticationType.WINDOWS_INTEGRATED,
    AuthenticationType.ANONYMOUS,
)
SUPPORTED_AUTHENTICATION = (
    AuthenticationType.BY_USER_OR_QUEUE,
    AuthenticationType.IN_PROFILE,
    AuthenticationType.OAUTH,
)
#: Passwords travel as SASL PLAIN or LOGIN, access tokens as OAUTHBEARER or XOAUTH2, as the server offers.
SUPPORTED_MECHANISMS = (
    AuthenticationProtocol.AUTO_DETECT,
    AuthenticationProtocol.BASIC,
    AuthenticationProtocol.NTLM,
    AuthenticationProtocol.OAUTH,
)

PORTS = range(1, 65_536)
FIXED = gettext_lazy(
    "This is fixed once a profile exists. Create a new profile from this one and move the mailboxes to it."
)

#: Why a choice that is listed cannot be made, in the few words that stand behind it.
Reasons = dict[str, "_StrOrPromise"]
SERVER_TYPE_REASONS: Reasons = {
    ServerType.EXCHANGE_SERVER: gettext_lazy("not reached over IMAP and SMTP here"),
}
AUTHENTICATION_REASONS: Reasons = {
    AuthenticationType.WINDOWS_INTEGRATED: gettext_lazy("Exchange servers only"),
    AuthenticationType.ANONYMOUS: gettext_lazy("never valid"),
}
OUTGOING_MECHANISM_REASONS: Reasons = {
    AuthenticationProtocol.NEGOTIATE: gettext_lazy("needs a Windows domain"),
}
#: By the side of the profile: IMAP and POP servers are not asked for what only Exchange takes over SMTP.
MECHANISM_REASONS: dict[str, Reasons] = {
    "incoming": OUTGOING_MECHANISM_REASONS | {AuthenticationProtocol.NTLM: gettext_lazy("SMTP only")},
    "outgoing": OUTGOING_MECHANISM_REASONS,
}


def plain_text_errors(instance: object, *, fields: tuple[str, ...]) -> dict[str, str]:
    """Complain about line breaks and NUL in names and credentials: they could forge protocol lines."""
    errors = {}
    for name in fields:
        try:
            check_plain(getattr(instance, name), what=name.replace("_", " ").capitalize())
        except ValueError as error:
            errors[name] = str(error)
    return errors


def profile_errors(profile: "ServerProfile", *, policy: NetworkPolicy) -> dict[str, str]:
    """Return the complaints about `profile` by field; fills empty ports and normalises host names."""
    errors = plain_text_errors(
        profile, fields=("name", "user_name", "outgoing_user_name", "encoding_code_page")
    )
    errors |= _location_errors(profile, "incoming", Protocol(profile.incoming_protocol), policy=policy)
    errors |= _location_errors(profile, "outgoing", Protocol.SMTP, policy=policy)
    errors |= _kind_errors(profile)
    errors |= _sign_in_errors(profile)
    errors |= oauth_errors(profile, policy=policy)
    if profile.encoding_code_page and not _is_charset(profile.encoding_code_page):
        errors["encoding_code_page"] = _(
            "This character set is not known. Enter one such as iso-8859-1, or leave this empty."
        )
    if profile.move_failed_to_undeliverable and profile.incoming_protocol == IncomingProtocol.POP3:
        errors["move_failed_to_undeliverable"] = _("POP3 has no folders: failed emails stay in the Inbox.")
    if profile.is_default and not profile.is_active:
        errors["is_default"] = _(
            "The default profile must be active. Make another profile the default first."
        )
    if profile.ca_certificates.strip():
        try:
            x509.load_pem_x509_certificates(profile.ca_certificates.encode())
        except ValueError:
            errors["ca_certificates"] = _(
                "These are not PEM certificates. Paste the text from BEGIN CERTIFICATE to END CERTIFICATE."
            )
    try:
        pins = parse_pins(profile.pinned_certificates)
    except ValueError as error:
        errors["pinned_certificates"] = str(error)
    else:
        profile.pinned_certificates = "\n".join(shown(pin) for pin in pins)
    return errors


def _location_errors(
    profile: "ServerProfile", side: str, protocol: Protocol, *, policy: NetworkPolicy
) -> dict[str, str]:
    errors = {}
    location, port_name, security_name = f"{side}_location", f"{side}_port", f"{side}_security"
    security = Security(getattr(profile, security_name))
    try:
        host = check_host(getattr(profile, location))
        setattr(profile, location, host)
        # A name is looked up when a worker connects; an address can be judged right here.
        if is_address(host):
            policy.check_address(ip_address(host))
    except (ValueError, MailError) as error:
        errors[location] = str(error)
    if security is Security.NONE and not policy.allow_plain:
        errors[security_name] = _(
            "Connections without encryption are switched off on this installation. Choose TLS or STARTTLS."
        )
    if getattr(profile, port_name) is None:
        setattr(profile, port_name, default_port(protocol, security))
    port = getattr(profile, port_name)
    if port in PORTS:  # what is no port at all is told of by the field
        try:
            policy.check_port(port)
        except MailError as error:
            errors[port_name] = str(error)
    return errors


def _is_charset(name: str) -> bool:
    """Say whether text can be written in a character set of this name that extends ASCII."""
    try:
        return "A\r\n".encode(name) == b"A\r\n"
    except (LookupError, ValueError, AttributeError):
        return False


def _kind_errors(profile: "ServerProfile") -> dict[str, str]:
    errors = {}
    stored = type(profile).objects.filter(pk=profile.pk).values("server_type", "incoming_protocol").first()
    if profile.server_type in SERVER_TYPE_REASONS:
        errors["server_type"] = _("Choose Other (IMAP/POP,SMTP): it reaches all such servers.")
    for field, before in (stored or {}).items():
        if getattr(profile, field) != before:
            errors[field] = str(FIXED)
    return errors


def _sign_in_errors(profile: "ServerProfile") -> dict[str, str]:
    sides = [("authentication_type", "user_name", "password")]
    if profile.use_same_settings_for_outgoing:
        profile.outgoing_authentication_type = profile.authentication_type
    else:
        sides.append(("outgoing_authentication_type", "outgoing_user_name", "outgoing_password"))
    errors = {}
    for kind_name, user_name, password in sides:
        kind = getattr(profile, kind_name)
        if kind not in SUPPORTED_AUTHENTICATION:
            errors[kind_name] = _refusal_of(AuthenticationType(kind))
        if kind == AuthenticationType.IN_PROFILE:
            if not getattr(profile, user_name):
                errors[user_name] = _("Enter the user name that signs in for all mailboxes of this profile.")
            if not getattr(profile, password):
                errors[password] = _("Enter the password of that user.")
    return errors | _mechanism_errors(profile)


def _mechanism_errors(profile: "ServerProfile") -> dict[str, str]:
    errors = {}
    for side in ("incoming", "outgoing"):
        name = f"{side}_authentication_protocol"
        mechanism = AuthenticationProtocol(getattr(profile, name))
        if mechanism not in SUPPORTED_MECHANISMS:
            sentence = _("%(label)s is not spoken by this installation. Choose Auto Detect or Basic.")
            errors[name] = sentence % {"label": mechanism.label}
        elif mechanism == AuthenticationProtocol.NTLM and side == "incoming":
            errors[name] = _("NTLM is spoken to SMTP servers only. Choose Auto Detect or Basic.")
        elif mechanism != AuthenticationProtocol.AUTO_DETECT:
            takes_token = mechanism == AuthenticationProtocol.OAUTH
            if takes_token and not uses_oauth(profile, side):
                errors[name] = _("OAuth carries no password. Choose Auto Detect or Basic.")
            elif not takes_token and uses_oauth(profile, side):
                errors[name] = _("%(label)s carries no access token. Choose Auto Detect or OAuth.") % {
                    "label": mechanism.label
                }
    return errors


def _refusal_of(kind: AuthenticationType) -> str:
    """Say why nobody signs in like this, and what to choose instead."""
    way_out = _("Choose credentials specified by a user or queue, or in the email server profile.")
    if kind == AuthenticationType.ANONYMOUS:
        return _("Email is never read or sent without credentials.") + " " + way_out
    if kind == AuthenticationType.WINDOWS_INTEGRATED:
        return _(
            "Windows Integrated Authentication signs in with the account of a Windows service, to Exchange "
            "servers only. IMAP, POP and SMTP servers do not take it."
        ) + (" " + way_out)
    return _("%(label)s is not valid for IMAP and SMTP servers.") % {"label": kind.label} + " " + way_out
