"""What a server profile may be: one place for the rules that forms and files obey.

Each function returns the complaints by field name; the sentences name the way out.
"""

from ipaddress import ip_address
from typing import TYPE_CHECKING

from cryptography import x509

from emailsync.mail.endpoint import NetworkPolicy, Protocol, Security, check_host, check_plain, default_port
from emailsync.mail.errors import MailError
from emailsync.mail.registry import INCOMING
from profiles.choices import AuthenticationType, IncomingProtocol, ServerType

if TYPE_CHECKING:
    from profiles.models import ServerProfile

SUPPORTED_AUTHENTICATION = (AuthenticationType.BY_USER_OR_QUEUE, AuthenticationType.IN_PROFILE)


def supported_protocols() -> list[tuple[str, str]]:
    """Return the choices of incoming protocols that this installation can speak."""
    return [(value, label) for value, label in IncomingProtocol.choices if Protocol(value) in INCOMING]


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
    if profile.encoding_code_page and not _is_charset(profile.encoding_code_page):
        errors["encoding_code_page"] = (
            "This character set is not known. Enter one such as iso-8859-1, or leave this empty."
        )
    if profile.is_default and not profile.is_active:
        errors["is_default"] = "The default profile must be active. Make another profile the default first."
    if profile.ca_certificates.strip():
        try:
            x509.load_pem_x509_certificates(profile.ca_certificates.encode())
        except ValueError:
            errors["ca_certificates"] = (
                "These are not PEM certificates. Paste the text from BEGIN CERTIFICATE to END CERTIFICATE."
            )
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
        if _is_address(host):
            policy.check_address(ip_address(host))
    except (ValueError, MailError) as error:
        errors[location] = str(error)
    if security is Security.NONE and not policy.allow_plain:
        errors[security_name] = (
            "Connections without encryption are switched off on this installation. Choose TLS or STARTTLS."
        )
    if getattr(profile, port_name) is None:
        setattr(profile, port_name, default_port(protocol, security))
    try:
        policy.check_port(getattr(profile, port_name))
    except MailError as error:
        errors[port_name] = str(error)
    return errors


def _is_charset(name: str) -> bool:
    """Say whether text can be written in a character set of this name that extends ASCII."""
    try:
        return "A\r\n".encode(name) == b"A\r\n"
    except (LookupError, ValueError, AttributeError):
        return False


def _is_address(host: str) -> bool:
    """Say whether `host` is an IP address rather than a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _kind_errors(profile: "ServerProfile") -> dict[str, str]:
    errors = {}
    if profile.server_type != ServerType.OTHER:
        errors["server_type"] = "Choose Other (IMAP/POP,SMTP): it reaches every IMAP and SMTP server."
    if Protocol(profile.incoming_protocol) not in INCOMING:
        known = ", ".join(label for _, label in supported_protocols())
        errors["incoming_protocol"] = f"This installation reads mail over {known}. Choose {known}."
    stored = type(profile).objects.filter(pk=profile.pk).values("server_type", "incoming_protocol").first()
    if stored:
        for field, before in stored.items():
            if getattr(profile, field) != before:
                errors[field] = (
                    "This is fixed once a profile exists. Create a new profile and move the mailboxes to it."
                )
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
            label = AuthenticationType(kind).label
            errors[kind_name] = (
                f"{label} is not valid for IMAP and SMTP servers. Choose credentials specified "
                "by a user or queue, or in the email server profile."
            )
        if kind == AuthenticationType.IN_PROFILE:
            if not getattr(profile, user_name):
                errors[user_name] = "Enter the user name that signs in for all mailboxes of this profile."
            if not getattr(profile, password):
                errors[password] = "Enter the password of that user."
    return errors
