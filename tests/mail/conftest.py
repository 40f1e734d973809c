"""What the tests of the mail library share."""

from collections.abc import Callable

import pytest

from emailsync.mail.auth import Password
from emailsync.mail.endpoint import Endpoint, NetworkPolicy, Protocol, Security, parse_networks
from emailsync.mail.imap import ImapClient, open_imap
from emailsync.mail.smtp import SmtpClient, open_smtp
from emailsync.mail.wire import Deadline, Transcript, Wire
from emailsync.management.selftest.certificates import Authority
from emailsync.management.selftest.scripted import Scripted
from emailsync.management.selftest.scripted_imap import ScriptedImap
from emailsync.management.selftest.scripted_pop3 import ScriptedPop3
from emailsync.management.selftest.scripted_smtp import ScriptedSmtp

PASSWORD = Password("ann", "pass word ü")
LOOPBACK = NetworkPolicy(
    allowed_ports=(range(1, 65536),), allowed_networks=parse_networks("127.0.0.0/8"), allow_plain=True
)


@pytest.fixture
def credential() -> Password:
    """Give somebody's password."""
    return PASSWORD


@pytest.fixture
def wire(certificates: Authority) -> Wire:
    """Give a wire that may reach loopback, trusts the tests' certificates and has patience."""
    return Wire(
        policy=LOOPBACK,
        timeout=10.0,
        deadline=Deadline.after(60),
        ca_certificates=certificates.pem,
        transcript=Transcript(),
    )


@pytest.fixture
def sign_in(wire: Wire) -> Callable[[ScriptedImap], ImapClient]:
    """Give a function that signs in at a scripted IMAP server, without encryption."""

    def sign_in(server: ScriptedImap) -> ImapClient:
        return open_imap(endpoint_of(server), PASSWORD, wire)

    return sign_in


@pytest.fixture
def opened(sign_in: Callable[[ScriptedImap], ImapClient]) -> Callable[[ScriptedImap], ImapClient]:
    """Give a function that opens the INBOX of a scripted IMAP server."""

    def opened(server: ScriptedImap) -> ImapClient:
        client = sign_in(server)
        client.open_folder()
        return client

    return opened


@pytest.fixture
def sender(wire: Wire) -> Callable[[ScriptedSmtp], SmtpClient]:
    """Give a function that signs in at a scripted SMTP server, without encryption."""

    def sender(server: ScriptedSmtp) -> SmtpClient:
        return open_smtp(endpoint_of(server), PASSWORD, wire)

    return sender


PROTOCOLS: dict[type[Scripted], Protocol] = {
    ScriptedImap: Protocol.IMAP,
    ScriptedPop3: Protocol.POP3,
    ScriptedSmtp: Protocol.SMTP,
}


def endpoint_of(server: Scripted, security: Security = Security.NONE) -> Endpoint:
    """Return where a scripted server listens."""
    protocol = next(protocol for kind, protocol in PROTOCOLS.items() if isinstance(server, kind))
    return Endpoint(protocol, server.host, server.port, security)
