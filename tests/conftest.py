"""What all tests share: a scrubbed environment, the private servers, and accounts on them.

Django's settings are read only after the environment is clean, so `DJANGO_SETTINGS_MODULE` is set here and
not in pyproject.toml, where pytest-django would read it before any conftest.
"""

import fcntl
import gc
import itertools
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import django
import pytest
from playwright.sync_api import expect
from pytest_django import DjangoDbBlocker

from emailsync.management.selftest.certificates import Authority
from tests.installation import Installation
from tests.servers.authorization import AuthorizationServer
from tests.servers.dovecot import Dovecot
from tests.servers.postfix import Postfix
from tests.servers.postgres import Postgres
from tests.servers.process import private_folder, require_program
from tests.servers.redis import Redis

for _name in list(os.environ):
    if _name.startswith(("EMAILSYNC_", "CELERY_", "DJANGO_")) or _name in {"DATABASE_URL", "HOST", "PORT"}:
        del os.environ[_name]
_data_folder = tempfile.mkdtemp(prefix="emailsync-tests-")
os.environ |= {
    "DJANGO_SETTINGS_MODULE": "emailsync.settings",
    "EMAILSYNC_DATA_DIR": _data_folder,
    "EMAILSYNC_SECRET_KEY": "for these tests alone, and long enough to be taken for a real one",
    # 32 zero bytes under the id "tests".
    "EMAILSYNC_ENCRYPTION_KEYS": "tests:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    "EMAILSYNC_ALLOWED_NETWORKS": "127.0.0.0/8,::1/128",
    "EMAILSYNC_ALLOWED_PORTS": "1-65535",
}

#: In milliseconds; generous, because the machine may be busy.
expect.set_options(timeout=60_000)

_postgres = pytest.StashKey[Postgres]()
#: Tells the workers of pytest-xdist, which have no command line, of PostgreSQL's address, or "sqlite".
_DATABASE = "TEST_DATABASE"
#: Tells them of the folder that they share.
_SHARED = "TEST_SHARED_FOLDER"
if os.environ.get(_DATABASE, "sqlite") == "sqlite" and not any(w.startswith("--database") for w in sys.argv):
    # A folder of tests named on the command line has its conftest imported before Django is set up otherwise.
    django.setup()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the caller choose the database of Django's tests, and whether pictures are taken."""
    parser.addoption(
        "--database",
        choices=["sqlite", "postgres"],
        default="sqlite",
        help="the database of Django's tests: SQLite, or a private PostgreSQL",
    )
    parser.addoption(
        "--contact-sheet",
        type=Path,
        metavar="FOLDER",
        help="where the browser tests leave pictures of every screen; without it they take none",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Start PostgreSQL when asked to, and only then let Django read its settings."""
    config.add_cleanup(lambda: shutil.rmtree(_data_folder, ignore_errors=True))
    if not hasattr(config, "workerinput"):
        os.environ[_SHARED] = _data_folder
        os.environ[_DATABASE] = "sqlite"
        if config.getoption("--database") == "postgres":
            server = Postgres(fsync=False)
            server.__enter__()
            config.add_cleanup(lambda: server.__exit__(None, None, None))
            config.stash[_postgres] = server
            os.environ[_DATABASE] = server.url("emailsync")
        if config.getoption("numprocesses", None):
            # This process only hands out tests. Each of its workers makes a folder of its own, so none may
            # inherit the settings of this one.
            del os.environ["DJANGO_SETTINGS_MODULE"]
            return
    if os.environ[_DATABASE] != "sqlite":
        os.environ["DATABASE_URL"] = os.environ[_DATABASE]
    # Imported here because importing it earlier would be too early: see above.
    from django.conf import settings  # noqa: PLC0415
    from django.db import connections  # noqa: PLC0415

    vendor = {"sqlite": "sqlite", "postgres": "postgresql"}[config.getoption("--database")]
    assert connections["default"].vendor == vendor, "Django was set up before its database was known."
    if connections["default"].vendor == "sqlite":
        # A file, as in an installation: in memory, a second writer fails at once instead of waiting.
        connections["default"].settings_dict["TEST"]["NAME"] = f"{os.environ[_SHARED]}/tests.sqlite3"
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    # No `collectstatic` before tests, so no manifest of hashed names.
    settings.STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    # Whitenoise warns when there is no folder to serve.
    Path(settings.STATIC_ROOT).mkdir()


def pytest_collection_finish() -> None:
    """Spare the garbage collector the thousands of tests and all that was imported for them."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Give this process a copy of the database that the first of all processes has migrated.

    The migrations take seconds, a copy takes none. This is pytest-django's fixture in another way.
    """
    from django.db import connection  # noqa: PLC0415

    copy = os.environ.get("PYTEST_XDIST_WORKER", "only")
    migrated, creation = Path(os.environ[_SHARED]) / "migrated", connection.creation
    with django_db_blocker.unblock():
        with migrated.open("a+") as name:
            fcntl.flock(name, fcntl.LOCK_EX)
            if not migrated.stat().st_size:
                name.write(creation.create_test_db(verbosity=0, autoclobber=True, serialize=False))
            name.seek(0)
            connection.settings_dict["NAME"] = name.read()
            connection.close()
            creation.clone_test_db(copy, verbosity=0)
        connection.settings_dict.update(creation.get_test_db_clone_settings(copy))
        yield
        connection.close()


@pytest.fixture(scope="session")
def tables(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an SQLite database with all tables and no rows, which installations may begin with."""
    if os.environ[_DATABASE] == "sqlite":
        return Path((Path(os.environ[_SHARED]) / "migrated").read_text())
    return Installation(tmp_path_factory.mktemp("tables")).folder / "emailsync.sqlite3"


@pytest.fixture(scope="session", autouse=True)
def _rows_are_deleted() -> Iterator[None]:
    """Empty the tables after a test that commits by DELETE: to truncate them takes longer than most tests."""
    from django.test import TransactionTestCase  # noqa: PLC0415

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda _: delete_rows())
        yield


def delete_rows() -> None:
    """Empty every table of a model but those that Django itself filled when it made them."""
    from django.db import connection, transaction  # noqa: PLC0415

    tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
    with transaction.atomic(), connection.cursor() as cursor:
        for table in set(tables) - {"django_content_type", "auth_permission"}:
            cursor.execute(f"DELETE FROM {connection.ops.quote_name(table)}")


@dataclass(frozen=True)
class Account:
    """Somebody on the private mail servers."""

    address: str
    user_name: str
    password: str


@pytest.fixture(scope="session")
def certificates() -> Iterator[Authority]:
    """Give the authority that all private servers' certificates come from."""
    with private_folder("certificates") as folder:
        yield Authority(folder)


@pytest.fixture(scope="session")
def dovecot(certificates: Authority) -> Iterator[Dovecot]:
    """Give a running Dovecot."""
    with Dovecot(certificates.server) as server:
        yield server


@pytest.fixture(scope="session")
def postfix(certificates: Authority, dovecot: Dovecot) -> Iterator[Postfix]:
    """Give a running Postfix that delivers into the Dovecot's Maildirs."""
    with Postfix(certificates.server, dovecot) as server:
        yield server


@pytest.fixture(scope="session")
def authorization_server(certificates: Authority) -> Iterator[AuthorizationServer]:
    """Give a running authorization server of OAuth 2.0."""
    with AuthorizationServer(certificates.server) as server:
        yield server


@pytest.fixture
def authorization(authorization_server: AuthorizationServer) -> AuthorizationServer:
    """Give the authorization server without a memory of other tests."""
    authorization_server.reset()
    return authorization_server


@pytest.fixture(scope="session")
def oauth_dovecot(certificates: Authority, authorization_server: AuthorizationServer) -> Iterator[Dovecot]:
    """Give a Dovecot that asks the authorization server about access tokens, and has master users."""
    with private_folder("oauth") as folder:
        asks = folder / "oauth2.conf"
        asks.write_text(
            f"introspection_mode = post\nintrospection_url = {authorization_server.url}/introspect\n"
            "username_attribute = username\nactive_attribute = active\nactive_value = true\n"
            f"tls_ca_cert_file = {certificates.file}\n"
        )
        more = (
            "auth_mechanisms = plain login xoauth2 oauthbearer\nauth_master_user_separator = *\n"
            f"passdb {{\n  driver = oauth2\n  mechanisms = xoauth2 oauthbearer\n  args = {asks}\n}}\n"
        )
        with Dovecot(certificates.server, more_configuration=more) as server:
            yield server


@pytest.fixture(scope="session")
def oauth_postfix(certificates: Authority, oauth_dovecot: Dovecot) -> Iterator[Postfix]:
    """Give a Postfix that has its sign-ins judged by the Dovecot that knows access tokens."""
    with Postfix(certificates.server, oauth_dovecot) as server:
        yield server


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Iterator[Postgres]:
    """Give a running PostgreSQL; the one of `--database=postgres`, if that was given."""
    if _postgres in request.config.stash:
        yield request.config.stash[_postgres]
        return
    with Postgres(fsync=False) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    """Give a running Redis."""
    with Redis() as server:
        yield server


@pytest.fixture(scope="session")
def new_account(dovecot: Dovecot) -> Callable[[], Account]:
    """Give a function that adds somebody new to the mail servers, with a login name unlike the address."""
    numbers = itertools.count(1)

    def add() -> Account:
        number = next(numbers)
        account = Account(
            address=f"person{number}@example.org",
            user_name=f"login{number}",
            password=f"pass word {number}",
        )
        dovecot.add_user(account.user_name, account.password, addresses=[account.address])
        return account

    return add


@pytest.fixture
def account(new_account: Callable[[], Account]) -> Account:
    """Give somebody new on the mail servers."""
    return new_account()


@pytest.fixture(scope="session")
def unsafe_async() -> Iterator[None]:
    """Let the ORM work beside Playwright's event loop, in the browser tests alone."""
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    yield
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """Drive Debian's Chromium, which makes no connection of its own and needs no sandbox as root.

    The one without windows: the other makes one for each context, and takes three times the processor time.
    """
    flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    flags += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    program = require_program("chromium-headless-shell", package="chromium-headless-shell")
    return {**browser_type_launch_args, "executable_path": program, "args": flags}


@pytest.fixture(scope="session")
def project_folder() -> Path:
    """Give the repository's folder."""
    return Path(__file__).resolve().parent.parent
