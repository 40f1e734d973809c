"""How a conversation with a server is bounded, trusted and recorded."""

import ssl
import time
from dataclasses import dataclass, field
from functools import lru_cache

from emailsync.mail.endpoint import NetworkPolicy
from emailsync.mail.errors import DeadlineExceeded, TlsFailed

# TLS 1.2 suites with forward secrecy; TLS 1.3 brings its own. The RSA key exchange is left out.
CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384"
    ":ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384"
    ":ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA384"
    ":ECDHE-RSA-AES128-SHA256:ECDHE-RSA-AES256-SHA384"
)
HIDDEN = "•••"
TRANSCRIPT_LINES = 400
TRANSCRIPT_WIDTH = 300


class Deadline:
    """Bound a whole run, whatever the single calls take."""

    def __init__(self, at: float) -> None:
        self._at = at

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """Begin a deadline that many seconds from now."""
        return cls(time.monotonic() + seconds)

    def remaining(self) -> float:
        """Return the seconds that are left, at least 0."""
        return max(0.0, self._at - time.monotonic())

    def check(self) -> None:
        """Raise DeadlineExceeded when no time is left."""
        if self.remaining() <= 0:
            raise DeadlineExceeded("The time for this run was used up.")


class Transcript:
    """Record a conversation in bounded lines, without secrets."""

    def __init__(self, *, lines: int = TRANSCRIPT_LINES) -> None:
        self._lines: list[str] = []
        self._limit = lines
        self._left_out = 0
        self._secrets: tuple[str, ...] = ()

    def hide(self, secrets: tuple[str, ...]) -> None:
        """Take these out of everything recorded from now on."""
        self._secrets = (*self._secrets, *secrets)

    def client(self, line: str) -> None:
        """Record what we said."""
        self._add("C: ", line)

    def server(self, line: str) -> None:
        """Record what the server said."""
        self._add("S: ", line)

    def _add(self, who: str, line: str) -> None:
        if len(self._lines) >= self._limit:
            self._left_out += 1
            return
        clean = "".join(mark if mark.isprintable() else " " for mark in redact(line, self._secrets)).strip()
        short = clean if len(clean) <= TRANSCRIPT_WIDTH else f"{clean[:TRANSCRIPT_WIDTH]}…"
        self._lines.append(who + short)

    def text(self) -> str:
        """Return the lines, and how many were left out."""
        rest = [f"({self._left_out} more lines)"] if self._left_out else []
        return "\n".join([*self._lines, *rest])


@dataclass(frozen=True)
class Wire:
    """Say how connections are made: to where, how long they may take, whom they trust."""

    policy: NetworkPolicy
    timeout: float = 30.0
    deadline: Deadline | None = None
    ca_certificates: str = ""
    transcript: Transcript | None = field(default=None, compare=False)


def redact(text: str, secrets: tuple[str, ...]) -> str:
    """Replace every secret in a text."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    return text


@lru_cache(maxsize=64)
def tls_context(ca_certificates: str = "") -> ssl.SSLContext:
    """Return the one context for this trust configuration; building one costs ten times a whole poll."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.load_default_certs()
    if ca_certificates.strip():
        try:
            context.load_verify_locations(cadata=ca_certificates)
        except (ssl.SSLError, ValueError) as problem:
            raise TlsFailed("The trusted certificates are not readable as PEM text.") from problem
    return context
