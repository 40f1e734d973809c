"""Read the settings that a domain publishes for mail programs, as Mozilla's Thunderbird asks for them.

The document comes over HTTPS, through the same guard as mail; its XML is read by a parser that refuses
document types, entities and references. Servers without encryption are left out.
"""

from xml.etree.ElementTree import Element, ParseError

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from emailsync.mail.endpoint import Endpoint, Protocol, Security, check_host
from emailsync.mail.errors import ProtocolViolation
from emailsync.mail.https import get
from emailsync.mail.wire import Wire

SECURITY = {"SSL": Security.TLS, "TLS": Security.TLS, "STARTTLS": Security.STARTTLS}
INCOMING = {"imap": Protocol.IMAP, "pop3": Protocol.POP3}
#: How many servers of a document are looked at.
MOST_SERVERS = 10
OK = 200


def addresses(domain: str) -> tuple[str, ...]:
    """Return where a domain may publish its settings. The address itself is told to nobody."""
    return (
        f"https://autoconfig.{domain}/mail/config-v1.1.xml",
        f"https://{domain}/.well-known/autoconfig/mail/config-v1.1.xml",
    )


def fetch(url: str, domain: str, wire: Wire) -> list[Endpoint]:
    """Return the servers that the document at `url` names, in its order. Raises MailError."""
    answer = get(url, wire)
    if answer.status != OK:
        raise ProtocolViolation(f"The web server answers {answer.status}.")
    return read(answer.body, domain)


def read(document: str, domain: str) -> list[Endpoint]:
    """Return the servers that a document names. Raises ProtocolViolation when it is none."""
    try:
        root = ElementTree.fromstring(document, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError) as problem:
        raise ProtocolViolation("The document is no harmless XML.") from problem
    provider = root.find("emailProvider")
    if root.tag != "clientConfig" or provider is None:
        raise ProtocolViolation("The document holds no settings for mail programs.")
    servers = [each for each in provider if each.tag in {"incomingServer", "outgoingServer"}]
    found = [_endpoint(server, domain) for server in servers[:MOST_SERVERS]]
    return [endpoint for endpoint in found if endpoint is not None]


def _endpoint(server: Element, domain: str) -> Endpoint | None:
    """Return one server, unless it is of another kind, unencrypted or named wrongly."""
    kind = server.get("type", "")
    protocol = Protocol.SMTP if server.tag == "outgoingServer" and kind == "smtp" else INCOMING.get(kind)
    security = SECURITY.get((server.findtext("socketType") or "").strip().upper())
    port = (server.findtext("port") or "").strip()
    host = (server.findtext("hostname") or "").strip().replace("%EMAILDOMAIN%", domain)
    if protocol is None or security is None or not (port.isascii() and port.isdigit() and len(port) <= 5):
        return None
    try:
        return Endpoint(protocol, check_host(host), int(port), security)
    except ValueError:
        return None
