"""What must be true before an installation starts: a folder, keys, a port, room on the disk.

Everything here is refused with one sentence that says what to do, and nothing is ever overwritten.
"""

import errno
import fcntl
import hashlib
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles import finders
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.utils.crypto import get_random_string

from emailsync import checks
from emailsync.crypto.keyring import KeyRingError, keyring, write_new_file

ANY_ADDRESS = ("0.0.0.0", "::", "")  # noqa: S104  (compared with, not bound to)


def explain(error: OSError | DatabaseError) -> str:
    """Return what `error` means for the person who starts the installation."""
    words = str(error).strip()
    if "disk is full" in words or (
        isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    ):
        return (
            f"The disk with {settings.DATA_DIR} is full. Free some space and start again; nothing was lost."
        )
    if "readonly database" in words or "unable to open database file" in words:
        name = connection.settings_dict["NAME"]
        return (
            f"The database {name} cannot be written by this user. Give this user write access to the file "
            "and its folder, or name another folder with EMAILSYNC_DATA_DIR."
        )
    if isinstance(error, PermissionError):
        return (
            f"{error.filename or settings.DATA_DIR} cannot be written by this user. Give this user write "
            "access, or name another folder with EMAILSYNC_DATA_DIR."
        )
    if isinstance(error, OSError):
        return f"{error.strerror or error}: {error.filename or settings.DATA_DIR}"
    return f"The database does not answer or refuses: {words}"


def make_data_folder() -> None:
    """Create the data folder, closed to others, and see that it takes files and has room."""
    folder: Path = settings.DATA_DIR
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
    if shutil.disk_usage(folder).free < checks.SMALLEST_FREE_SPACE:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def make_keys() -> list[str]:
    """Create the keys that are missing, and return what was created.

    Never creates an encryption key beside stored secrets: it could not open them, and would hide the loss.
    """
    created = []
    if not settings.ENCRYPTION_KEYS and not settings.ENCRYPTION_KEY_FILE.exists():
        if any(True for _ in checks.stored_secrets(sample=1)):
            raise CommandError(
                f"The database holds secrets, but their key file {settings.ENCRYPTION_KEY_FILE} is missing. "
                "Restore it from your backup, or set EMAILSYNC_ENCRYPTION_KEYS. No new key was made: it "
                "could not open them."
            )
        write_new_file(settings.ENCRYPTION_KEY_FILE)
        created.append(f"encryption key {settings.ENCRYPTION_KEY_FILE}")
    try:
        keyring()
    except KeyRingError as error:
        raise CommandError(str(error)) from error
    path = settings.DATA_DIR / "secret.key"
    if settings.SECRET_KEY == checks.INSECURE_SECRET_KEY and not path.exists():
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(get_random_string(64) + "\n")
        created.append(f"signing key {path}")
    return created


def check_database_is_writable() -> None:
    """Take the write lock once. Raises DatabaseError when the database is away or cannot be written."""
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("PRAGMA user_version = 1")
        else:
            cursor.execute("SELECT 1")


def check_port(host: str, port_text: str) -> int:
    """Return the port when it is one and free; else say which setting to change."""
    if not port_text.isascii() or not port_text.isdigit() or not 1 <= int(port_text) <= 65_535:
        raise CommandError(
            f"PORT is {port_text!r}. Set it to a number from 1 to 65535, for example PORT=8123."
        )
    port = int(port_text)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM)[
            0
        ]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise CommandError(_bind_sentence(error, host=host, port=port)) from error
    return port


def _bind_sentence(error: OSError, *, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} on {host} is already in use by another program. Stop that program, or choose "
            f"another port, for example: PORT={port + 123 if port < 65_000 else 8123} make run"
        )
    if error.errno == errno.EACCES:
        return f"This user may not open port {port}. Set PORT to a port above 1023, for example PORT=8123."
    return f"HOST is {host!r}, which is no address of this machine. Set HOST=127.0.0.1 or HOST=0.0.0.0."


def console_hosts(host: str) -> list[str]:
    """Return the names under which browsers may ask for the console when it listens on `host`."""
    hosts = [*settings.ALLOWED_HOSTS, "127.0.0.1", "localhost"]
    if host not in ANY_ADDRESS:
        hosts.append(f"[{host}]" if ":" in host else host)
    else:
        hosts.append(socket.gethostname())
        with suppress(OSError):
            found = socket.getaddrinfo(socket.gethostname(), None, family=socket.AF_INET)
            hosts += [str(address[0]) for *_, address in found]
    return list(dict.fromkeys(hosts))


def collect_static_files() -> None:
    """Collect the static files, unless none changed since they were collected last."""
    seen = _static_fingerprint()
    mark = Path(settings.STATIC_ROOT) / ".collected"
    if mark.exists() and mark.read_text(encoding="ascii") == seen:
        return
    call_command("collectstatic", interactive=False, verbosity=0)
    mark.write_text(seen, encoding="ascii")


def _static_fingerprint() -> str:
    digest = hashlib.sha256()
    for finder in finders.get_finders():
        for path, storage in finder.list([]):
            stat = Path(storage.path(path)).stat()
            digest.update(f"{path}|{stat.st_size}|{stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def empty_broker_folder() -> None:
    """Create the folder of the file broker without the wake-ups of an earlier run; rows stay due."""
    if not settings.CELERY_BROKER_URL.startswith("filesystem:"):
        return
    shutil.rmtree(settings.BROKER_DIR, ignore_errors=True)
    (settings.BROKER_DIR / "control").mkdir(parents=True, mode=0o700)


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Hold the data folder for one supervisor; the kernel lets go when that ends, however it ends."""
    with (settings.DATA_DIR / "up.lock").open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip()
            raise CommandError(
                f"emailsync already runs on the data folder {settings.DATA_DIR} (process {holder}). "
                "Stop it first, or name another folder with EMAILSYNC_DATA_DIR."
            ) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
