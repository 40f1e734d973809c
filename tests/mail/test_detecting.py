"""Finding the mail servers of an address, with a name service and a web server on loopback."""

import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Self

import pytest

from emailsync.mail import autoconfig, names, presets
from emailsync.mail.detecting import HALF_FOUND, NOBODY_TO_ASK, NOT_FOUND, Detected, Detector, domain_of
from emailsync.mail.endpoint import NetworkPolicy, Protocol, Security
from emailsync.mail.errors import LookupFailed, ProtocolViolation
from emailsync.mail.names import Names, Service
from emailsync.mail.wire import Wire
from emailsync.management.selftest.certificates import Authority
from emailsync.management.selftest.scripted_imap import ScriptedImap
from emailsync.management.selftest.scripted_smtp import ScriptedSmtp
from tests.servers.names import NameServer

DOMAIN = "example.org"
DOCUMENT = """<?xml version="1.0"?><clientConfig version="1.1"><emailProvider id="example.org">
<incomingServer type="pop3"><hostname>pop.example.org</hostname><port>110</port><socketType>plain</socketType>
</incomingServer><incomingServer type="imap"><hostname>localhost</hostname><port>%(imap)d</port>
<socketType>SSL</socketType></incomingServer><outgoingServer type="smtp"><hostname>%%EMAILDOMAIN%%</hostname>
<port>587</port><socketType>STARTTLS</socketType></outgoingServer></emailProvider></clientConfig>"""


@pytest.fixture
def name_server() -> Iterator[NameServer]:
    """Give a name service that knows nothing yet."""
    with NameServer() as server:
        yield server


@pytest.fixture
def imap(certificates: Authority) -> Iterator[ScriptedImap]:
    """Give an IMAP server behind TLS."""
    with ScriptedImap(certificate=certificates.server, implicit_tls=True) as server:
        yield server


@pytest.fixture
def smtp(certificates: Authority) -> Iterator[ScriptedSmtp]:
    """Give an SMTP server behind TLS."""
    with ScriptedSmtp(certificate=certificates.server, implicit_tls=True) as server:
        yield server


@pytest.fixture
def offline(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> Wire:
    """Give a wire that finds no host but localhost, and a domain that publishes no document."""
    monkeypatch.setattr(autoconfig, "addresses", lambda _domain: ())

    def look_up(host: str) -> list[str]:
        if host != "localhost":
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return ["127.0.0.1"]

    return replace(wire, look_up=look_up)


@pytest.fixture
def web(certificates: Authority) -> Iterator["Web"]:
    """Give a web server that has nothing to show yet."""
    with Web(certificates) as server:
        yield server


class Web:
    """Serve one document over HTTPS."""

    def __init__(self, certificates: Authority) -> None:
        self.document: str | None = None
        self.paths: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.paths.append(self.path)
                body = (outer.document or "").encode()
                self.send_response(404 if outer.document is None else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._http = HTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.server.certificate, certificates.server.key)
        self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"https://localhost:{self._http.server_port}/mail/config-v1.1.xml"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


def detect(wire: Wire, server: NameServer, domain: str = DOMAIN) -> Detected:
    """Search as a worker does."""
    return Detector(domain, wire, Names(server.resolver)).run()


def test_service_records_lead_to_servers_that_answer(
    offline: Wire, name_server: NameServer, imap: ScriptedImap, smtp: ScriptedSmtp
) -> None:
    name_server.records = {
        ("_imaps._tcp.example.org", "SRV"): [f"10 1 {imap.port} localhost.", "0 1 1 nowhere.example.org."],
        ("_submissions._tcp.example.org", "SRV"): [f"0 1 {smtp.port} localhost."],
    }
    found = detect(offline, name_server)
    assert found.incoming is not None
    assert found.outgoing is not None
    assert (found.incoming.endpoint.host, found.incoming.endpoint.port) == ("localhost", imap.port)
    assert found.incoming.source == "DNS record _imaps._tcp.example.org"
    assert found.outgoing.endpoint.security is Security.TLS
    # The preferred one was tried first, and did not answer.
    first = next(each for each in found.tried if "nowhere" in each.what)
    assert not first.is_success
    assert not any(b"LOGIN" in line or b"AUTHENTICATE" in line for line in imap.heard)


def test_a_service_that_is_not_offered_is_no_server(name_server: NameServer) -> None:
    name_server.records = {("_imaps._tcp.example.org", "SRV"): ["0 0 0 ."]}
    assert Names(name_server.resolver).services("_imaps._tcp", DOMAIN) == []


def test_records_come_by_priority_and_weight(name_server: NameServer) -> None:
    name_server.records = {
        ("_imaps._tcp.example.org", "SRV"): ["5 1 3 c.", "1 1 2 b.", "1 9 1 a."],
        ("example.org", "MX"): ["20 second.example.org.", "10 First.example.org."],
    }
    asked = Names(name_server.resolver)
    assert asked.services("_imaps._tcp", DOMAIN) == [Service("a", 1), Service("b", 2), Service("c", 3)]
    assert asked.exchangers(DOMAIN) == ["first.example.org", "second.example.org"]


def test_what_the_domain_publishes_is_used_and_the_address_told_to_nobody(
    offline: Wire, name_server: NameServer, imap: ScriptedImap, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autoconfig, "addresses", lambda _domain: (web.url,))
    web.document = DOCUMENT % {"imap": imap.port}
    found = detect(offline, name_server)
    assert found.incoming is not None
    assert found.incoming.source == web.url
    assert found.note == HALF_FOUND
    assert web.paths == ["/mail/config-v1.1.xml"]


def test_servers_without_encryption_are_left_out() -> None:
    found = autoconfig.read(DOCUMENT % {"imap": 993}, DOMAIN)
    assert [(each.protocol, each.host, each.port) for each in found] == [
        (Protocol.IMAP, "localhost", 993),
        (Protocol.SMTP, DOMAIN, 587),
    ]


@pytest.mark.parametrize(
    "document",
    [
        "",
        "<html><body>Not found</body></html>",
        "<clientConfig/>",
        '<!DOCTYPE a [<!ENTITY x "y">]><clientConfig><emailProvider>&x;</emailProvider></clientConfig>',
        '<!DOCTYPE a SYSTEM "file:///etc/passwd"><clientConfig><emailProvider/></clientConfig>',
        "<clientConfig><emailProvider>" + "<a>" * 50_000,
        "\0",
    ],
    ids=range(7),
)
def test_a_document_that_is_none_or_means_harm_is_refused(document: str) -> None:
    with pytest.raises(ProtocolViolation):
        autoconfig.read(document, DOMAIN)


def test_hosts_that_are_none_are_left_out() -> None:
    document = (DOCUMENT % {"imap": 993}).replace("localhost", "in valid/../host")
    assert [each.protocol for each in autoconfig.read(document, DOMAIN)] == [Protocol.SMTP]


def test_nothing_in_the_own_network_is_reached(
    wire: Wire, name_server: NameServer, imap: ScriptedImap, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autoconfig, "addresses", lambda _domain: (web.url,))
    web.document = DOCUMENT % {"imap": imap.port}
    name_server.records = {("_imaps._tcp.example.org", "SRV"): [f"0 1 {imap.port} localhost."]}
    guarded = replace(wire, policy=NetworkPolicy(allowed_ports=(range(1, 65536),)))
    found = detect(replace(guarded, look_up=lambda _host: ["127.0.0.1"]), name_server)
    assert (found.incoming, imap.connections, web.paths) == (None, 0, [])
    assert any("forbidden address" in each.result for each in found.tried)


def test_ports_outside_the_policy_are_not_reached(
    offline: Wire, name_server: NameServer, imap: ScriptedImap
) -> None:
    name_server.records = {("_imaps._tcp.example.org", "SRV"): [f"0 1 {imap.port} localhost."]}
    policy = replace(offline.policy, allowed_ports=(range(993, 994),))
    found = detect(replace(offline, policy=policy), name_server)
    assert imap.connections == 0
    assert any("not among the allowed ports" in each.result for each in found.tried)


def test_a_domain_of_a_known_provider_is_found_by_its_exchanger(
    offline: Wire, name_server: NameServer
) -> None:
    name_server.records = {("example.org", "MX"): ["0 example-org.mail.protection.outlook.com."]}
    tried = detect(offline, name_server).tried
    assert any("outlook.office365.com" in each.what and "exchanger" in each.source for each in tried)


def test_without_an_answer_the_usual_names_are_guessed_and_the_end_is_clear(
    offline: Wire, name_server: NameServer
) -> None:
    found = detect(offline, name_server)
    assert (found.incoming, found.outgoing, found.note) == (None, None, NOT_FOUND)
    assert [each.what.split()[1] for each in found.tried if each.source == "usual name"][:2] == [
        "imap.example.org:993,",
        "mail.example.org:993,",
    ]


def test_without_a_network_the_sentence_says_so(
    offline: Wire, name_server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "PATIENCE", 0.05)
    name_server.is_silent = True
    with pytest.raises(LookupFailed, match="did not answer"):
        Names(name_server.resolver).exchangers(DOMAIN)
    assert detect(offline, name_server).note == NOBODY_TO_ASK


@pytest.mark.parametrize(
    ("exchanger", "name"),
    [
        ("aspmx.l.google.com", "Gmail"),
        ("contoso-com.mail.protection.outlook.com", "Microsoft 365"),
        ("outlook-com.olc.protection.outlook.com", "Outlook.com"),
        ("in1-smtp.messagingengine.com", "Fastmail"),
        ("mx.zoho.eu", "Zoho Mail"),
    ],
)
def test_providers_are_known_by_their_exchangers(exchanger: str, name: str) -> None:
    found = presets.of_exchanger(exchanger)
    assert found is not None
    assert found.name == name


def test_an_exchanger_that_only_ends_alike_is_not_known() -> None:
    assert presets.of_exchanger("mx.notgoogle.com") is None


@pytest.mark.parametrize("domain", ["gmail.com", "outlook.com", "yahoo.com", "icloud.com", "gmx.de"])
def test_large_providers_are_known_by_their_domains(domain: str) -> None:
    preset = presets.of_domain(domain)
    assert preset is not None
    assert [each.protocol for each in preset.endpoints] == [Protocol.IMAP, Protocol.SMTP]


def test_the_domain_is_taken_out_of_an_address() -> None:
    assert domain_of(" Ana@Example.ORG ") == DOMAIN
    assert domain_of("bücher.example") == "xn--bcher-kva.example"
    with pytest.raises(ValueError, match="server"):
        domain_of("ana@")


@pytest.mark.parametrize("address", ["ana@192.0.2.1", "ana@[192.0.2.1]", "::ffff:192.0.2.1"])
def test_an_ip_address_is_no_domain(address: str) -> None:
    with pytest.raises(ValueError, match="domain"):
        domain_of(address)


def test_a_domain_too_long_for_the_usual_names_ends_the_search_all_the_same(
    wire: Wire, name_server: NameServer
) -> None:
    domain = ".".join(["a" * 60] * 4) + ".example"
    detector = Detector(domain_of(domain), wire, Names(name_server.resolver))
    assert detector.run().note == NOT_FOUND
