"""System checks: what is missing, wrong or unsafe in this installation, each with an id and the way out.

Errors (E001 to E004) mean that starting would lose or hide something: `up`, the web server and the worker
refuse to start on them. The others are asked by `manage.py check --deploy`.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, Warning  # noqa: A004  (Django's own names)
from django.db import DatabaseError, InterfaceError, connection

from emailsync.crypto.fields import EncryptedTextField
from emailsync.crypto.keyring import KeyRingError, SecretUnreadable, keyring

INSECURE_SECRET_KEY = "insecure-until-a-key-is-set"  # noqa: S105  (the mark of a missing key)
#: Below this a database cannot even tidy up after itself.
SMALLEST_FREE_SPACE = 32 * 1024 * 1024
#: How many secrets of each field are opened before a start; more would make large installations start slowly.
SAMPLE = 1000


def load() -> None:
    """Register every check of this module; called once, when Django is ready."""
    checks.register(check_key_ring, Tags.security)
    checks.register(check_data_folder, Tags.files)
    checks.register(check_policy, Tags.security)
    checks.register(check_stored_secrets, Tags.database)
    for check in (check_secret_key, check_debug, check_https, check_plain_mail, check_database, check_broker):
        checks.register(check, Tags.security, deploy=True)


def refuse_unsafe_start() -> None:
    """End this process with a clear sentence when starting would be wrong. For the web server and workers."""
    errors = [
        *check_key_ring(),
        *check_data_folder(),
        *check_policy(),
        *check_stored_secrets(databases=["default"]),
    ]
    if errors:
        sys.stderr.write("".join(f"{sentence(error)}\n" for error in errors))
        # gunicorn reads 3 as "does not boot" and ends instead of trying for ever.
        raise SystemExit(3)


def sentence(message: CheckMessage) -> str:
    """Return what a check found and the way out on one line."""
    return f"{message.id}: {message.msg} {message.hint or ''}".rstrip()


def encrypted_fields() -> Iterator[EncryptedTextField]:
    """Yield every field that holds secrets."""
    for model in apps.get_models():
        yield from (field for field in model._meta.concrete_fields if isinstance(field, EncryptedTextField))


def stored_secrets(*, sample: int) -> Iterator[tuple[str, str]]:
    """Yield up to `sample` stored tokens of each field with what they are bound to.

    Yields nothing of tables that do not exist yet.
    """
    tables = set(connection.introspection.table_names())
    for field in encrypted_fields():
        if field.model._meta.db_table not in tables:
            continue
        rows = field.model._meta.base_manager.exclude(**{field.attname: ""}).values_list("pk", field.attname)
        for pk, token in rows[:sample]:
            yield str(token), field.bound_to(field.model(pk=pk))


def secrets_complaint(*, sample: int = SAMPLE) -> str:
    """Return why stored secrets cannot be opened, or nothing. Raises DatabaseError when it is away."""
    try:
        ring = keyring()
        for token, bound_to in stored_secrets(sample=sample):
            ring.open(token, bound_to=bound_to)
    except (KeyRingError, SecretUnreadable) as error:
        return str(error)
    return ""


def check_key_ring(**_: Any) -> list[CheckMessage]:
    """E001: the key ring must be there, well formed and closed to others."""
    try:
        keyring()
    except KeyRingError as error:
        return [Error(str(error), id="emailsync.E001")]
    return []


def check_stored_secrets(*, databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """E002: the key ring must open the secrets that are stored. Asked only where databases are checked."""
    if not databases:
        return []
    try:
        keyring()
        complaint = secrets_complaint()
    except (KeyRingError, DatabaseError, InterfaceError):
        # A missing ring is E001; a database that is away is waited for, and /health/ready names it.
        return []
    if not complaint:
        return []
    hint = "Restore the key ring that belongs to this database: docs/operating.md, Keys. Nothing was changed."
    return [Error(complaint, hint=hint, id="emailsync.E002")]


def check_data_folder(**_: Any) -> list[CheckMessage]:
    """E003: the data folder must take files once it exists."""
    folder: Path = settings.DATA_DIR
    if not folder.exists() or os.access(folder, os.W_OK | os.X_OK):
        return []
    hint = "Give this user write access, or name another folder with EMAILSYNC_DATA_DIR."
    return [Error(f"The data folder {folder} cannot be written.", hint=hint, id="emailsync.E003")]


def check_policy(**_: Any) -> list[CheckMessage]:
    """E004: without an allowed port no mail server can be reached."""
    if settings.NETWORK_POLICY.allowed_ports:
        return []
    hint = "Name the ports of your mail servers, for example EMAILSYNC_ALLOWED_PORTS=465,587,993."
    return [Error("EMAILSYNC_ALLOWED_PORTS is empty.", hint=hint, id="emailsync.E004")]


def check_secret_key(**_: Any) -> list[CheckMessage]:
    """E005: sessions signed with a published key can be forged."""
    if settings.SECRET_KEY != INSECURE_SECRET_KEY:
        return []
    hint = "Set EMAILSYNC_SECRET_KEY, or run: manage.py init_keys"
    return [Error("There is no key that signs sessions.", hint=hint, id="emailsync.E005")]


def check_debug(**_: Any) -> list[CheckMessage]:
    """W001: DEBUG shows settings and source to visitors."""
    hint = "Remove EMAILSYNC_DEBUG."
    return [Warning("EMAILSYNC_DEBUG is on.", hint=hint, id="emailsync.W001")] if settings.DEBUG else []


def check_https(**_: Any) -> list[CheckMessage]:
    """W002: without HTTPS, passwords and sessions can be read on the way."""
    if settings.HTTPS_ONLY:
        return []
    hint = "Put a TLS proxy in front and set EMAILSYNC_HTTPS_ONLY and EMAILSYNC_TRUST_PROXY_HEADERS to true."
    return [Warning("The console may be used without HTTPS.", hint=hint, id="emailsync.W002")]


def check_plain_mail(**_: Any) -> list[CheckMessage]:
    """W003: mail passwords may cross the network unencrypted."""
    if not settings.NETWORK_POLICY.allow_plain:
        return []
    hint = "Remove EMAILSYNC_ALLOW_NON_SSL_EMAIL."
    return [Warning("Mail servers may be reached without encryption.", hint=hint, id="emailsync.W003")]


def check_database(**_: Any) -> list[CheckMessage]:
    """W004: SQLite serves one machine and one writer at a time."""
    if connection.vendor != "sqlite":
        return []
    hint = "Set DATABASE_URL to a PostgreSQL database."
    return [Warning("The database is SQLite.", hint=hint, id="emailsync.W004")]


def check_broker(**_: Any) -> list[CheckMessage]:
    """W005: a folder as broker serves one machine."""
    if not settings.CELERY_BROKER_URL.startswith("filesystem:"):
        return []
    hint = "Set EMAILSYNC_BROKER_URL to a Redis server."
    return [Warning("The broker is a folder.", hint=hint, id="emailsync.W005")]
