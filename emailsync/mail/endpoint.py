"""Where a mail server is: host, port and security, and which of them may be reached at all.

An administrator types host names, so a connection could be aimed at the installation's own network.
Names are therefore resolved once, every address is checked, and the connection goes to the checked
address, while the certificate is verified against the name.
"""

import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

from emailsync.mail.errors import (
    AddressForbidden,
    HostNotFound,
    LookupFailed,
    PlainNotAllowed,
    PortNotAllowed,
)

if TYPE_CHECKING:
    from emailsync.mail.wire import Deadline

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
#: Returns the addresses of a host as text; raises socket.gaierror.
LookUp = Callable[[str], Sequence[str]]

HOST_LIMIT = 253
LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
NAT64 = IPv6Network("64:ff9b::/96")


class Protocol(StrEnum):
    IMAP = "imap"
    POP3 = "pop3"
    SMTP = "smtp"
    #: Where access tokens are asked for.
    HTTPS = "https"


class Security(StrEnum):
    TLS = "tls"
    STARTTLS = "starttls"
    NONE = "none"


PORTS = {
    (Protocol.IMAP, Security.TLS): 993,
    (Protocol.IMAP, Security.STARTTLS): 143,
    (Protocol.IMAP, Security.NONE): 143,
    (Protocol.POP3, Security.TLS): 995,
    (Protocol.POP3, Security.STARTTLS): 110,
    (Protocol.POP3, Security.NONE): 110,
    (Protocol.SMTP, Security.TLS): 465,
    (Protocol.SMTP, Security.STARTTLS): 587,
    (Protocol.SMTP, Security.NONE): 25,
    (Protocol.HTTPS, Security.TLS): 443,
}


@dataclass(frozen=True)
class Endpoint:
    """Name one server port and how it is secured."""

    protocol: Protocol
    host: str
    port: int
    security: Security

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class ResolvedAddress:
    """Hold one checked address of an endpoint."""

    ip: Address
    port: int

    def __str__(self) -> str:
        return f"{self.ip}, port {self.port}"


@dataclass(frozen=True)
class NetworkPolicy:
    """Say which ports and addresses may be reached, and whether unencrypted connections may be made."""

    allowed_ports: tuple[range, ...]
    allowed_networks: tuple[Network, ...] = ()
    allow_plain: bool = False

    def check_port(self, port: int) -> None:
        """Raise PortNotAllowed for a port outside the policy."""
        if not any(port in allowed for allowed in self.allowed_ports):
            raise PortNotAllowed(f"Port {port} is not among the allowed ports ({self._ports()}).")

    def check_address(self, ip: Address) -> None:
        """Raise AddressForbidden unless the address is public or in an allowed network."""
        if any(ip in network for network in self.allowed_networks):
            return
        inner = _embedded(ip)
        if inner is not None:
            self.check_address(inner)
        elif not _is_public(ip):
            raise AddressForbidden(f"The address {ip} is not a public one and not in an allowed network.")

    def check_security(self, security: Security) -> None:
        """Raise PlainNotAllowed for an unencrypted connection that the policy does not permit."""
        if security is Security.NONE and not self.allow_plain:
            raise PlainNotAllowed("Unencrypted connections are not allowed in this installation.")

    def _ports(self) -> str:
        pieces = (str(r.start) if len(r) == 1 else f"{r.start}-{r.stop - 1}" for r in self.allowed_ports)
        return ", ".join(pieces) or "none"


def default_port(protocol: Protocol, security: Security) -> int:
    """Return the port that a protocol has with this security."""
    return PORTS[protocol, security]


def parse_ports(text: str) -> tuple[range, ...]:
    """Read ports and ranges such as "80,443,1000-2000"."""
    found = []
    for piece in text.split(","):
        word = piece.strip()
        if not word:
            continue
        first, dash, last = word.partition("-")
        low, high = _port(first, word), _port(last if dash else first, word)
        if low > high:
            raise ValueError(f"“{word}” is not a range of ports: it ends before it begins.")
        found.append(range(low, high + 1))
    return tuple(found)


def _port(digits: str, word: str) -> int:
    digits = digits.strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 5 and 1 <= int(digits) <= 65535):
        raise ValueError(f"“{word}” is not a port or a range of ports between 1 and 65535.")
    return int(digits)


def parse_networks(text: str) -> tuple[Network, ...]:
    """Read networks such as "127.0.0.0/8,fd00::/8"."""
    found: list[Network] = []
    for piece in text.split(","):
        word = piece.strip()
        if not word:
            continue
        try:
            found.append(ip_network(word))
        except ValueError as problem:
            raise ValueError(f"“{word}” is not a network such as 10.0.0.0/8.") from problem
    return tuple(found)


def check_plain(text: str, *, what: str) -> str:
    """Refuse what would end a protocol line: carriage return, line feed and NUL."""
    if any(mark in text for mark in "\r\n\0"):
        raise ValueError(f"{what} must not contain a line break or a NUL character.")
    try:
        text.encode()
    except UnicodeEncodeError as problem:
        raise ValueError(f"{what} contains a character that cannot be sent.") from problem
    return text


def is_address(host: str) -> bool:
    """Say whether a host is an IP address rather than a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def check_host(host: str) -> str:
    """Return the host as it is asked for in the name service, or say in a sentence what is wrong with it."""
    check_plain(host, what="The server name")
    name = host.strip().rstrip(".").lower()
    if not name:
        raise ValueError("Enter the name of the server, such as imap.example.com.")
    if "://" in name:
        raise ValueError("Enter the server name alone, without a scheme such as imap://.")
    if "/" in name or "\\" in name:
        raise ValueError("Enter the server name alone, without a slash.")
    if "@" in name:
        raise ValueError("Enter the server name alone, not an email address.")
    if any(mark.isspace() for mark in name):
        raise ValueError("The server name must not contain spaces.")
    try:
        return str(ip_address(name.strip("[]")))
    except ValueError:
        return _check_name(name)


def _check_name(name: str) -> str:
    if ":" in name:
        raise ValueError("Enter the server name alone; the port has a field of its own.")
    try:
        ascii_name = name.encode("idna").decode() if not name.isascii() else name
    except UnicodeError as problem:
        raise ValueError("The server name is not a valid host name.") from problem
    if len(ascii_name) > HOST_LIMIT or not all(LABEL.fullmatch(label) for label in ascii_name.split(".")):
        raise ValueError("The server name is not a valid host name.")
    if ascii_name.rpartition(".")[2].isdigit():
        raise ValueError("The server name is neither a host name nor an IP address.")
    return ascii_name


def system_look_up(host: str) -> list[str]:
    """Ask the system's name service for the addresses of a host."""
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]


def resolve(
    endpoint: Endpoint,
    policy: NetworkPolicy,
    *,
    deadline: "Deadline | None" = None,
    look_up: LookUp = system_look_up,
) -> tuple[ResolvedAddress, ...]:
    """Look the host up once and return those of its addresses that may be reached.

    The system's resolver cannot be interrupted; its own settings bound how long it takes.
    """
    policy.check_security(endpoint.security)
    policy.check_port(endpoint.port)
    addresses = _look_up(endpoint, look_up)
    if deadline is not None:
        deadline.check()
    allowed: list[ResolvedAddress] = []
    forbidden: AddressForbidden | None = None
    for ip in addresses:
        try:
            policy.check_address(ip)
        except AddressForbidden as problem:
            forbidden = AddressForbidden(f"{endpoint.host} is at a forbidden address. {problem}")
        else:
            allowed.append(ResolvedAddress(ip, endpoint.port))
    if forbidden is not None and not allowed:
        raise forbidden
    return tuple(allowed)


def _look_up(endpoint: Endpoint, look_up: LookUp) -> list[Address]:
    try:
        host = check_host(endpoint.host)
    except ValueError as problem:
        raise HostNotFound(f"“{endpoint.host}” is not a server name. {problem}") from problem
    try:
        found = look_up(host)
    except socket.gaierror as problem:
        if problem.errno == socket.EAI_AGAIN:
            raise LookupFailed(f"The name service did not answer for {host}.") from problem
        raise HostNotFound(f"No server is known by the name {host}.") from problem
    except UnicodeError as problem:
        raise HostNotFound(f"“{host}” is not a server name.") from problem
    # A scope such as %eth0 belongs to link-local addresses, which no policy but an explicit one allows.
    texts = dict.fromkeys(text.partition("%")[0] for text in found)
    return [ip_address(text) for text in texts]


def _embedded(ip: Address) -> IPv4Address | None:
    """Return the IPv4 address that an IPv6 address stands for (RFC 4291, 3056 and 6052)."""
    if isinstance(ip, IPv4Address):
        return None
    if ip in NAT64:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour


def _is_public(ip: Address) -> bool:
    if isinstance(ip, IPv6Address) and (ip.is_site_local or ip.teredo is not None):
        return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved
