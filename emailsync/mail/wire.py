"""How a conversation with a server is bounded, trusted and recorded."""

import ssl
import time
from collections import deque
from dataclasses import dataclass, field
from functools import lru_cache

from emailsync.mail.endpoint import LookUp, NetworkPolicy, system_look_up
from emailsync.mail.errors import DeadlineExceeded, TlsFailed

# TLS 1.2 suites with forward secrecy; the RSA key exchange is left out. Of TLS 1.3 every server has
# TLS_AES_128_GCM_SHA256 (RFC 8446, section 9.1); which of them it prefers is its own affair: all are safe.
CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384"
    ":ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384"
    ":ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA384"
    ":ECDHE-RSA-AES128-SHA256:ECDHE-RSA-AES256-SHA384"
)
HIDDEN = "•••"
#: A transcript keeps so many lines of the beginning and of the end.
FIRST_LINES, LAST_LINES = 40, 120
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

    def until_left(self, seconds: float) -> float:
        """Return the moment (`time.monotonic`) from which on fewer than so many seconds are left."""
        return self._at - seconds

    def check(self) -> None:
        """Raise DeadlineExceeded when no time is left."""
        if self.remaining() <= 0:
            raise DeadlineExceeded("The time for this run was used up.")


class Transcript:
    """Record a conversation in bounded lines, without secrets: its beginning and its end."""

    def __init__(self, *, first: int = FIRST_LINES, last: int = LAST_LINES) -> None:
        self._first = first
        self._beginning: list[str] = []
        self._end: deque[str] = deque(maxlen=last)
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
        clean = "".join(mark if mark.isprintable() else " " for mark in redact(line, self._secrets)).strip()
        short = clean if len(clean) <= TRANSCRIPT_WIDTH else f"{clean[:TRANSCRIPT_WIDTH]}…"
        if len(self._beginning) < self._first:
            self._beginning.append(who + short)
            return
        self._left_out += len(self._end) == self._end.maxlen
        self._end.append(who + short)

    def text(self) -> str:
        """Return the lines, and in between how many were left out."""
        gap = [f"({self._left_out} more lines)"] if self._left_out else []
        return "\n".join([*self._beginning, *gap, *self._end])


@dataclass(frozen=True)
class Wire:
    """Say how connections are made: to where, how long they may take, whom they trust."""

    policy: NetworkPolicy
    timeout: float = 30.0
    deadline: Deadline | None = None
    ca_certificates: str = ""
    #: SHA-256 fingerprints of certificates or their keys; with any, nothing else is trusted.
    pins: tuple[str, ...] = ()
    look_up: LookUp = field(default=system_look_up, compare=False, repr=False)
    transcript: Transcript | None = field(default=None, compare=False)


def redact(text: str, secrets: tuple[str, ...]) -> str:
    """Replace every secret in a text."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    return text


@lru_cache(maxsize=64)
def tls_context(ca_certificates: str = "", *, is_pinned: bool = False) -> ssl.SSLContext:
    """Return the one context for this trust configuration; building one costs ten times a whole poll.

    With `is_pinned` the caller compares the certificate itself, so no authority is asked about it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    if is_pinned:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    context.load_default_certs()
    if ca_certificates.strip():
        try:
            context.load_verify_locations(cadata=ca_certificates)
        except (ssl.SSLError, ValueError) as problem:
            raise TlsFailed("The trusted certificates are not readable as PEM text.") from problem
    return context
