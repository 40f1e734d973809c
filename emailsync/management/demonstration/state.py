"""The folder of the demo: ports, passwords and certificates, made once and kept until it is removed."""

import ipaddress
import itertools
import json
import os
import random
import shutil
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from django.conf import settings
from django.utils.crypto import get_random_string

from emailsync.mail.endpoint import NetworkPolicy
from emailsync.management.demonstration.letters import ACCOUNTS
from emailsync.management.selftest.certificates import key_usage
from emailsync.management.supervising import Program

HOST = "127.0.0.1"
#: Below the range from which outgoing connections take their ports.
PORTS = range(20_000, 32_000)
LIFETIME = timedelta(days=3650)


@dataclass(frozen=True)
class State:
    """What the demo's server and its environment agree on."""

    imap_port: int
    smtp_port: int
    #: Password by user name.
    passwords: dict[str, str] = field(repr=False)


def program(state: State) -> Program:
    """Return the mail server; the worker starts after it, so that its first tests find it there."""
    listens_on = ((HOST, state.imap_port), (HOST, state.smtp_port))
    return Program("demo", "django", ("demo", "--serve"), listens_on)


def folder() -> Path:
    """Return where the demo lives."""
    path: Path = settings.DATA_DIR / "demo"
    return path


def exists() -> bool:
    """Say whether there is a demo."""
    return (folder() / "demo.json").exists()


def load() -> State:
    """Return the demo's state."""
    return State(**json.loads((folder() / "demo.json").read_text(encoding="ascii")))


def prepare() -> State:
    """Make the demo's folder, or read it; ports that somebody else took meanwhile are changed."""
    if exists():
        state = load()
        changed = replace(state, imap_port=_kept(state.imap_port), smtp_port=_kept(state.smtp_port))
        if changed != state:
            _save(changed)
        return changed
    folder().mkdir(parents=True, exist_ok=True, mode=0o700)
    _make_certificates()
    imap_port, smtp_port = _free_ports(2)
    state = State(
        imap_port=imap_port,
        smtp_port=smtp_port,
        passwords={account.user_name: get_random_string(20) for account in ACCOUNTS},
    )
    _save(state)
    return state


def remove() -> None:
    """Delete the demo's folder; the server notices and ends."""
    (folder() / "demo.json").unlink(missing_ok=True)
    for _ in range(20):
        shutil.rmtree(folder(), ignore_errors=True)
        if not folder().exists():
            return
        # The server may have been writing a letter just now.
        time.sleep(0.1)


def ca_certificate() -> str:
    """Return the PEM text of the authority that signed the server's certificate."""
    return (folder() / "ca.pem").read_text(encoding="ascii")


def open_for(state: State, *, environment: Mapping[str, str], policy: NetworkPolicy) -> dict[str, str]:
    """Return `environment` with the policy opened for the demo's two ports on loopback, and nothing else.

    The demo is watched by people, so it is asked more often unless the interval is set already.
    """
    ports = [f"{allowed.start}-{allowed.stop - 1}" for allowed in policy.allowed_ports]
    networks = [str(network) for network in policy.allowed_networks]
    return {
        "EMAILSYNC_POLL_INTERVAL": "5",
        **environment,
        "EMAILSYNC_ALLOWED_PORTS": ",".join([*ports, str(state.imap_port), str(state.smtp_port)]),
        "EMAILSYNC_ALLOWED_NETWORKS": ",".join([*networks, f"{HOST}/32"]),
    }


def _save(state: State) -> None:
    path = folder() / "demo.json.new"
    path.touch(mode=0o600)
    path.write_text(json.dumps(asdict(state)), encoding="ascii")
    path.replace(folder() / "demo.json")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _free_ports(number: int) -> list[int]:
    """Return so many ports, no two of them the same."""
    chosen = random.SystemRandom().sample(PORTS, len(PORTS))
    return list(itertools.islice(filter(_is_free, chosen), number))


def _kept(port: int) -> int:
    return port if _is_free(port) else _free_ports(1)[0]


def _make_certificates() -> None:
    """Write an authority and a certificate for loopback; the authority's own key is never kept."""
    now = datetime.now(UTC)
    authority_key, server_key = (
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP256R1()),
    )
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "emailsync demo authority")])
    authority = (
        _builder(issuer, issuer, authority_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(HOST))]
    server = (
        _builder(subject, issuer, server_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
        )
        .sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder() / "ca.pem").write_bytes(authority.public_bytes(pem))
    (folder() / "server.pem").write_bytes(server.public_bytes(pem))
    handle = os.open(folder() / "server.key", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(
            server_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + LIFETIME)
    )
