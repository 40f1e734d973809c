"""The key ring: AES-256-GCM with every token bound to its row and field.

A token is ``v1.<key id>.<base64url of nonce and ciphertext>``. The key id names the key that sealed it,
so keys can be added and retired while older tokens still open. The associated data names the model, the
field and the row: a token that is moved to another row or field does not open.

The ring is text, one key a line (or separated by commas): ``<key id>:<base64 of 32 bytes>``. The first
key seals; every key opens.
"""

import base64
import binascii
import os
import re
import stat
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

VERSION = "v1"
NONCE_BYTES = 12
KEY_BYTES = 32
_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")


class KeyRingError(Exception):
    """The key ring is missing, malformed or readable by others; the sentence says what to do."""


class SecretUnreadable(Exception):
    """A stored secret cannot be opened: its key is not in the ring, or the token was moved or altered."""


@dataclass(frozen=True)
class KeyRing:
    """Keys by id, the sealing key first."""

    keys: dict[str, bytes] = field(repr=False)

    @property
    def sealing_key_id(self) -> str:
        """Return the id of the key that seals new secrets."""
        return next(iter(self.keys))

    def seal(self, secret: str, *, bound_to: str) -> str:
        """Return a token for `secret` that opens only for the same `bound_to`."""
        key_id = self.sealing_key_id
        nonce = os.urandom(NONCE_BYTES)
        sealed = AESGCM(self.keys[key_id]).encrypt(nonce, secret.encode("utf-8"), _aad(key_id, bound_to))
        return f"{VERSION}.{key_id}.{base64.urlsafe_b64encode(nonce + sealed).decode('ascii')}"

    def open(self, token: str, *, bound_to: str) -> str:
        """Return the secret of `token`.

        Raises SecretUnreadable when the key is unknown or the token belongs elsewhere.
        """
        version, _, rest = token.partition(".")
        key_id, _, body = rest.partition(".")
        if version != VERSION or key_id not in self.keys:
            raise SecretUnreadable(f"The key {key_id or '(none)'} of a stored secret is not in the key ring.")
        try:
            blob = base64.urlsafe_b64decode(body)
            plain = AESGCM(self.keys[key_id]).decrypt(
                blob[:NONCE_BYTES], blob[NONCE_BYTES:], _aad(key_id, bound_to)
            )
        except (InvalidTag, ValueError, binascii.Error) as error:
            raise SecretUnreadable(
                "A stored secret was altered, moved, or sealed with another key."
            ) from error
        return plain.decode("utf-8")


def _aad(key_id: str, bound_to: str) -> bytes:
    return f"{VERSION}|{key_id}|{bound_to}".encode()


def new_key_line() -> str:
    """Return a line for a key ring with a fresh key under a fresh id."""
    return f"k{os.urandom(4).hex()}:{base64.b64encode(os.urandom(KEY_BYTES)).decode('ascii')}"


def parse(text: str, *, source: str) -> KeyRing:
    """Return the ring written in `text`; `source` names it in errors, which never quote a key."""
    keys: dict[str, bytes] = {}
    for number, line in enumerate(re.split(r"[,\n]", text), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key_id, _, encoded = line.strip().partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            key = b""
        if not _KEY_ID.fullmatch(key_id) or len(key) != KEY_BYTES:
            raise KeyRingError(f"{source}, key {number}: expected KEY_ID:BASE64_OF_32_BYTES.")
        if key_id in keys:
            raise KeyRingError(f"{source}, key {number}: the id {key_id} stands twice.")
        keys[key_id] = key
    if not keys:
        raise KeyRingError(f"{source} holds no key. Restore it from your backup.")
    return KeyRing(keys)


def read_file(path: Path) -> KeyRing:
    """Return the ring in the file at `path`, refused when anyone but its owner can read it."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise KeyRingError(f"The key file {path} can be read by others. Run: chmod 600 {path}")
        text = path.read_text(encoding="ascii")
    except FileNotFoundError as error:
        raise KeyRingError(
            f"There is no key file at {path}. Restore it from your backup, set EMAILSYNC_ENCRYPTION_KEYS, "
            "or, for a new installation, run: manage.py init_keys"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise KeyRingError(f"The key file {path} cannot be read: {error}.") from error
    return parse(text, source=f"The key file {path}")


def write_new_file(path: Path) -> None:
    """Create the key file at `path` with one fresh key, mode 0600; an existing file is never touched."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(new_key_line() + "\n")


@lru_cache(maxsize=8)
def _load(text: str, path: Path) -> KeyRing:
    return parse(text, source="EMAILSYNC_ENCRYPTION_KEYS") if text else read_file(path)


def keyring() -> KeyRing:
    """Return the configured ring: EMAILSYNC_ENCRYPTION_KEYS, else the key file.

    Raises KeyRingError with the way out.
    """
    return _load(settings.ENCRYPTION_KEYS, settings.ENCRYPTION_KEY_FILE)
