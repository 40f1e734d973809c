"""Where servers may be, and what their names may look like."""

import socket
from ipaddress import ip_address

import pytest

from emailsync.mail.auth import Password
from emailsync.mail.endpoint import (
    Endpoint,
    NetworkPolicy,
    Protocol,
    Security,
    check_host,
    check_plain,
    default_port,
    parse_networks,
    parse_ports,
    resolve,
)
from emailsync.mail.errors import (
    AddressForbidden,
    HostNotFound,
    LookupFailed,
    PlainNotAllowed,
    PortNotAllowed,
)

POLICY = NetworkPolicy(allowed_ports=parse_ports("993,1000-2000"))


@pytest.mark.parametrize(
    ("protocol", "security", "port"),
    [
        (Protocol.IMAP, Security.TLS, 993),
        (Protocol.IMAP, Security.STARTTLS, 143),
        (Protocol.POP3, Security.TLS, 995),
        (Protocol.POP3, Security.NONE, 110),
        (Protocol.SMTP, Security.TLS, 465),
        (Protocol.SMTP, Security.STARTTLS, 587),
        (Protocol.SMTP, Security.NONE, 25),
    ],
)
def test_each_protocol_has_its_port(protocol: Protocol, security: Security, port: int) -> None:
    assert default_port(protocol, security) == port


def test_ports_and_ranges_are_read() -> None:
    assert parse_ports(" 80, 443,1000-2000 ,") == (range(80, 81), range(443, 444), range(1000, 2001))


@pytest.mark.parametrize("text", ["x", "0", "65536", "20-10", "1-", "-5", "80;443", "٣"])
def test_a_bad_port_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=f"“{text}”"):
        parse_ports(f"80,{text}")


def test_a_bad_network_is_named() -> None:
    with pytest.raises(ValueError, match=r"“10\.0\.0\.1/8”"):
        parse_networks("127.0.0.0/8, 10.0.0.1/8")


def test_ports_outside_the_policy_are_refused() -> None:
    with pytest.raises(PortNotAllowed, match=r"993, 1000-2000"):
        POLICY.check_port(25)


@pytest.mark.parametrize("text", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses_are_allowed(text: str) -> None:
    POLICY.check_address(ip_address(text))


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "192.0.2.1",
        "::1",
        "::",
        "fe80::1",
        "fd00::1",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::1",
        "2001:0:4136:e378:8000:63bf:80ff:fffe",
    ],
)
def test_addresses_of_the_installations_own_networks_are_forbidden(text: str) -> None:
    with pytest.raises(AddressForbidden):
        POLICY.check_address(ip_address(text))


@pytest.mark.parametrize("text", ["10.1.2.3", "::ffff:10.1.2.3"])
def test_an_operator_may_open_a_network(text: str) -> None:
    policy = NetworkPolicy(allowed_ports=(), allowed_networks=parse_networks("10.0.0.0/8"))
    policy.check_address(ip_address(text))


@pytest.mark.parametrize(
    ("host", "result"),
    [
        (" IMAP.Example.COM. ", "imap.example.com"),
        ("imap.bücher.example", "imap.xn--bcher-kva.example"),
        ("192.0.2.1", "192.0.2.1"),
        ("[2001:DB8::1]", "2001:db8::1"),
        ("mail_server.example.com", "mail_server.example.com"),
        ("localhost", "localhost"),
    ],
)
def test_hosts_are_normalised(host: str, result: str) -> None:
    assert check_host(host) == result


@pytest.mark.parametrize(
    "host",
    [
        "",
        "   ",
        "imap://x.example",
        "x.example/mail",
        "x.example:993",
        "a b.example",
        "a@b.example",
        "x..example",
        "-x.example",
        "x.example\r\nA1 LOGOUT",
        "x\0.example",
        "1.2.3",
        "999.1.1.1",
        "0x7f.1",
        "a" * 64 + ".example",
        ("a" * 50 + ".") * 6 + "example",
        "\udcff.example",
    ],
)
def test_a_bad_host_is_explained(host: str) -> None:
    with pytest.raises(ValueError, match=r"[a-z]{4}.*\.$"):
        check_host(host)


@pytest.mark.parametrize("text", ["a\rb", "a\nb", "a\0b", "a\udc80b"])
def test_what_would_end_a_line_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="The user name"):
        check_plain(text, what="The user name")


def test_a_password_with_a_line_break_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="The password"):
        Password("ann", "a\r\nA1 LOGOUT")


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(Password("ann", "secret"))


def test_an_endpoint_reads_as_host_and_port() -> None:
    assert str(Endpoint(Protocol.IMAP, "imap.example.com", 993, Security.TLS)) == "imap.example.com:993"
    assert str(Endpoint(Protocol.IMAP, "2001:db8::1", 993, Security.TLS)) == "[2001:db8::1]:993"


def found_at(*addresses: str) -> list[tuple[object, ...]]:
    """Answer as the name service does."""
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 993)) for address in addresses]


def at(host: str) -> Endpoint:
    """Name an IMAP server."""
    return Endpoint(Protocol.IMAP, host, 993, Security.TLS)


def test_only_the_allowed_addresses_of_a_name_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found_at("10.0.0.1", "8.8.8.8", "8.8.8.8"))
    assert [str(address.ip) for address in resolve(at("x.example"), POLICY)] == ["8.8.8.8"]


def test_a_name_at_a_forbidden_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found_at("169.254.169.254"))
    with pytest.raises(AddressForbidden, match=r"x\.example"):
        resolve(at("x.example"), POLICY)


def test_a_link_local_address_with_a_scope_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found_at("fe80::1%eth0"))
    with pytest.raises(AddressForbidden):
        resolve(at("x.example"), POLICY)


@pytest.mark.parametrize(
    ("number", "kind"), [(socket.EAI_NONAME, HostNotFound), (socket.EAI_AGAIN, LookupFailed)]
)
def test_an_unknown_name_differs_from_a_silent_name_service(
    monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(number, "no")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(kind):
        resolve(at("x.example"), POLICY)


def test_a_bad_name_is_not_looked_up() -> None:
    with pytest.raises(HostNotFound, match="slash"):
        resolve(at("x.example/a"), POLICY)


def test_no_encryption_is_refused_before_anything_else() -> None:
    with pytest.raises(PlainNotAllowed):
        resolve(Endpoint(Protocol.IMAP, "x.example", 993, Security.NONE), POLICY)
