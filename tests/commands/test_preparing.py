"""What must be true before an installation starts, and the sentences when it is not."""

import errno
import os
import socket
import stat
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError
from pytest_django import Settings

from emailsync import checks
from emailsync.management import preparing
from profiles.models import Environment, ServerProfile
from tests.servers.ports import free_port


@pytest.fixture
def fresh(settings: Settings, tmp_path: Path) -> Path:
    """Point the settings to an installation that does not exist yet."""
    folder = tmp_path / "data"
    settings.DATA_DIR = folder
    settings.ENCRYPTION_KEYS = ""
    settings.ENCRYPTION_KEY_FILE = settings.DATA_DIR / "encryption.keys"
    settings.SECRET_KEY = checks.INSECURE_SECRET_KEY
    return folder


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_data_folder_is_closed_to_others(fresh: Path) -> None:
    """It holds keys and mail."""
    preparing.make_data_folder()

    assert _mode(fresh) == 0o700


@pytest.mark.django_db
def test_both_keys_are_made_once_and_closed_to_others(fresh: Path) -> None:
    """A second start makes none."""
    preparing.make_data_folder()

    assert len(preparing.make_keys()) == 2
    assert preparing.make_keys() == []
    assert [_mode(fresh / name) for name in ("encryption.keys", "secret.key")] == [0o600, 0o600]


@pytest.mark.django_db
def test_a_lost_key_is_never_replaced_beside_stored_secrets(fresh: Path) -> None:
    """A new key could not open them, and would hide the loss."""
    preparing.make_data_folder()
    preparing.make_keys()
    profile = ServerProfile(environment=Environment.objects.create(slug="a", name="A"), name="A")
    profile.password = "correct horse"
    profile.save()
    (fresh / "encryption.keys").unlink()

    with pytest.raises(CommandError, match="Restore it from your backup"):
        preparing.make_keys()

    assert not (fresh / "encryption.keys").exists()


@pytest.mark.django_db
def test_init_keys_says_when_nothing_is_to_be_done(fresh: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command may be run again."""
    call_command("init_keys")
    call_command("init_keys")

    assert capsys.readouterr().out.endswith("All keys are there; nothing was changed.\n")


def test_a_port_in_use_is_named_with_another_to_choose() -> None:
    """The sentence can be typed as it stands."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        with pytest.raises(CommandError, match=rf"Port {port} .*already in use.*PORT=\d+ make run"):
            preparing.check_port("127.0.0.1", str(port))


@pytest.mark.parametrize("port", ["", "0", "70000", "web", "-1", "80.5"])
def test_a_port_that_is_none_names_the_variable(port: str) -> None:
    """PORT is what the person typed."""
    with pytest.raises(CommandError, match=r"PORT is .* Set it to a number"):
        preparing.check_port("127.0.0.1", port)


def test_a_host_of_another_machine_names_the_variable() -> None:
    """HOST is what the person typed."""
    with pytest.raises(CommandError, match=r"HOST is '192\.0\.2\.1'"):
        preparing.check_port("192.0.2.1", str(free_port()))


def test_a_free_port_is_taken_as_it_is() -> None:
    """Nothing stays bound."""
    port = free_port()

    assert preparing.check_port("127.0.0.1", str(port)) == port
    assert preparing.check_port("127.0.0.1", str(port)) == port


def test_two_supervisors_never_share_a_data_folder(fresh: Path) -> None:
    """The second one is told who the first is."""
    preparing.make_data_folder()

    with (
        preparing.one_at_a_time(),
        pytest.raises(CommandError, match=rf"already runs .*process {os.getpid()}"),
        preparing.one_at_a_time(),
    ):
        pass


def test_browsers_may_use_the_address_it_listens_on() -> None:
    """A host that is not among the allowed ones would be refused by Django."""
    assert "192.168.7.7" in preparing.console_hosts("192.168.7.7")


def test_listening_everywhere_allows_the_machines_own_name() -> None:
    """Not every name: that would trust the Host header."""
    hosts = preparing.console_hosts("0.0.0.0")

    assert socket.gethostname() in hosts
    assert "*" not in hosts


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OperationalError("database or disk is full"), "is full. Free some space"),
        (OSError(errno.ENOSPC, "No space left on device", "/x"), "is full. Free some space"),
        (OperationalError("attempt to write a readonly database"), "cannot be written by this user"),
        (OperationalError("unable to open database file"), "cannot be written by this user"),
        (
            PermissionError(errno.EACCES, "Permission denied", "/x/data"),
            "/x/data cannot be written by this user",
        ),
        (
            OperationalError("connection refused"),
            "The database does not answer or refuses: connection refused",
        ),
    ],
)
def test_troubles_of_disk_and_database_become_sentences(
    error: OSError | OperationalError, sentence: str
) -> None:
    """No traceback for what a person can mend."""
    assert sentence in preparing.explain(error)


def test_static_files_are_collected_once(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start where nothing changed does not copy and compress again."""
    settings.STATIC_ROOT = tmp_path / "static"
    preparing.collect_static_files()
    (settings.STATIC_ROOT / "css").rename(tmp_path / "moved")

    preparing.collect_static_files()

    assert not (settings.STATIC_ROOT / "css").exists()


def test_wake_ups_of_an_earlier_run_are_thrown_away(settings: Settings, tmp_path: Path) -> None:
    """Rows stay due; the folder must only exist."""
    settings.BROKER_DIR = tmp_path / "broker"
    settings.BROKER_DIR.mkdir()
    (settings.BROKER_DIR / "old.msg").touch()

    preparing.empty_broker_folder()

    assert [path.name for path in settings.BROKER_DIR.iterdir()] == ["control"]
