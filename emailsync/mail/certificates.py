"""What a server's certificate says, and the fingerprints by which it may be pinned."""

import hashlib
import re
from collections.abc import Iterable
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

HEX = re.compile(r"[0-9a-f]{64}")


def fingerprints(der: bytes) -> tuple[str, str]:
    """Return the SHA-256 of a certificate and of its public key (RFC 7469, section 2.4), in hexadecimal."""
    key = x509.load_der_x509_certificate(der).public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest(), hashlib.sha256(spki).hexdigest()


def parse_pins(text: str) -> tuple[str, ...]:
    """Read fingerprints, one a line, with or without colons. Raises ValueError with a sentence."""
    found = []
    for line in text.splitlines():
        word = line.strip()
        if not word:
            continue
        digits = word.lower().removeprefix("sha256").lstrip(" :=").replace(":", "").replace(" ", "")
        if not HEX.fullmatch(digits):
            raise ValueError(f"“{word[:80]}” is not a SHA-256 fingerprint: it has 64 hexadecimal digits.")
        found.append(digits)
    return tuple(dict.fromkeys(found))


def shown(fingerprint: str) -> str:
    """Write a fingerprint as other programs do, in pairs."""
    return ":".join(re.findall("..", fingerprint.upper()))


def is_pinned(der: bytes, pins: Iterable[str]) -> bool:
    """Say whether a certificate, or its key, is among the pinned ones."""
    return not set(fingerprints(der)).isdisjoint(pins)


def expiry(der: bytes) -> datetime:
    """Return when a certificate ends."""
    return x509.load_der_x509_certificate(der).not_valid_after_utc


def describe(der: bytes) -> str:
    """Say in a few lines what an administrator compares before pinning a certificate."""
    certificate = x509.load_der_x509_certificate(der)
    whole, key = fingerprints(der)
    lines = (
        f"SHA-256 fingerprint of the certificate: {shown(whole)}",
        f"SHA-256 fingerprint of its key: {shown(key)}",
        f"Issued to {certificate.subject.rfc4514_string() or 'nobody'}",
        f"Issued by {certificate.issuer.rfc4514_string() or 'nobody'}",
        f"Valid until {expiry(der).date().isoformat()}",
    )
    return "\n".join(lines)
