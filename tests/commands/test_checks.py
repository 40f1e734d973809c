"""What keeps an installation from starting."""

from pathlib import Path

import pytest
from django.core.checks import CheckMessage
from pytest_django import Settings

from emailsync import checks
from emailsync.crypto.keyring import new_key_line, write_new_file
from emailsync.mail.endpoint import NetworkPolicy
from profiles.models import Environment, ServerProfile

pytestmark = pytest.mark.django_db


def _store_a_secret() -> ServerProfile:
    environment = Environment.objects.create(slug="contoso", name="Contoso")
    profile = ServerProfile(
        environment=environment,
        name="Contoso mail",
        incoming_location="imap.contoso.example",
        outgoing_location="smtp.contoso.example",
    )
    profile.password = "correct horse"
    profile.save()
    return profile


def _ids(found: list[CheckMessage]) -> list[str | None]:
    return [message.id for message in found]


def test_a_sound_key_ring_has_nothing_to_say() -> None:
    """The key ring of the tests opens what it sealed."""
    _store_a_secret()

    assert checks.check_key_ring() == []
    assert checks.check_stored_secrets(databases=["default"]) == []


def test_a_missing_key_file_is_refused(settings: Settings, tmp_path: Path) -> None:
    """The sentence names the file and the way out."""
    settings.ENCRYPTION_KEYS = ""
    settings.ENCRYPTION_KEY_FILE = tmp_path / "encryption.keys"

    (error,) = checks.check_key_ring()

    assert error.id == "emailsync.E001"
    assert f"There is no key file at {tmp_path}/encryption.keys" in error.msg


def test_a_key_file_that_others_can_read_is_refused(settings: Settings, tmp_path: Path) -> None:
    """Mode 0644 is too much."""
    settings.ENCRYPTION_KEYS = ""
    settings.ENCRYPTION_KEY_FILE = tmp_path / "encryption.keys"
    write_new_file(settings.ENCRYPTION_KEY_FILE)
    settings.ENCRYPTION_KEY_FILE.chmod(0o644)

    assert _ids(checks.check_key_ring()) == ["emailsync.E001"]


def test_another_key_under_another_id_is_refused(settings: Settings) -> None:
    """A ring that lacks the key of a stored secret is found at the start, not when mail is to be read."""
    _store_a_secret()
    settings.ENCRYPTION_KEYS = new_key_line()

    assert _ids(checks.check_stored_secrets(databases=["default"])) == ["emailsync.E002"]


def test_another_key_under_the_same_id_is_refused(settings: Settings) -> None:
    """The id alone proves nothing."""
    _store_a_secret()
    settings.ENCRYPTION_KEYS = "tests:" + new_key_line().partition(":")[2]

    assert _ids(checks.check_stored_secrets(databases=["default"])) == ["emailsync.E002"]


def test_the_old_key_may_follow_a_new_one(settings: Settings) -> None:
    """A key is changed by putting a new one first."""
    _store_a_secret()
    settings.ENCRYPTION_KEYS = f"{new_key_line()},{settings.ENCRYPTION_KEYS}"

    assert checks.check_stored_secrets(databases=["default"]) == []


def test_secrets_are_opened_only_where_databases_are_checked(settings: Settings) -> None:
    """Commands that never touch the database do not need it."""
    _store_a_secret()
    settings.ENCRYPTION_KEYS = new_key_line()

    assert checks.check_stored_secrets(databases=None) == []


def test_no_allowed_port_is_refused(settings: Settings) -> None:
    """Nothing could be reached."""
    settings.NETWORK_POLICY = NetworkPolicy(allowed_ports=())

    assert _ids(checks.check_policy()) == ["emailsync.E004"]


def test_a_wrong_key_ends_the_process_with_a_sentence(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """The web server and the worker call this before anything else."""
    _store_a_secret()
    settings.ENCRYPTION_KEYS = new_key_line()

    with pytest.raises(SystemExit) as ended:
        checks.refuse_unsafe_start()

    assert ended.value.code == 3
    assert (
        "emailsync.E002: The key tests of a stored secret is not in the key ring." in capsys.readouterr().err
    )


def test_a_refusal_tells_no_secret(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither the token nor the key is printed."""
    profile = _store_a_secret()
    settings.ENCRYPTION_KEYS = new_key_line()

    with pytest.raises(SystemExit):
        checks.refuse_unsafe_start()

    printed = capsys.readouterr().err
    assert "v1." not in printed
    assert settings.ENCRYPTION_KEYS.partition(":")[2] not in printed
    assert str(profile.pk) not in printed
