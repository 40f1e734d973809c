"""The key ring: what opens, what does not, and which files are refused."""

from pathlib import Path

import pytest

from emailsync.crypto import keyring


def ring(*lines: str) -> keyring.KeyRing:
    """Return a ring with these lines, or one fresh key."""
    return keyring.parse("\n".join(lines or (keyring.new_key_line(),)), source="the test")


def test_what_was_sealed_opens_for_the_same_row() -> None:
    keys = ring()
    assert keys.open(keys.seal("grüße", bound_to="a:1"), bound_to="a:1") == "grüße"


def test_a_token_moved_to_another_row_does_not_open() -> None:
    keys = ring()
    with pytest.raises(keyring.SecretUnreadable):
        keys.open(keys.seal("secret", bound_to="a:1"), bound_to="a:2")


def test_the_same_secret_never_gives_the_same_token() -> None:
    keys = ring()
    assert keys.seal("secret", bound_to="a:1") != keys.seal("secret", bound_to="a:1")


def test_an_older_key_still_opens_after_a_newer_one_seals() -> None:
    old, new = keyring.new_key_line(), keyring.new_key_line()
    token = ring(old).seal("secret", bound_to="a:1")
    assert ring(new, old).open(token, bound_to="a:1") == "secret"


def test_a_token_of_an_unknown_key_names_the_key() -> None:
    token = ring().seal("secret", bound_to="a:1")
    with pytest.raises(keyring.SecretUnreadable, match=r"key k[0-9a-f]{8}"):
        ring().open(token, bound_to="a:1")


def test_an_altered_token_does_not_open() -> None:
    keys = ring()
    token = keys.seal("secret", bound_to="a:1")
    with pytest.raises(keyring.SecretUnreadable):
        keys.open(token[:-6] + "AAAAAA", bound_to="a:1")


def test_a_malformed_key_is_named_by_its_number_and_never_quoted() -> None:
    with pytest.raises(keyring.KeyRingError, match=r"key 2: expected") as caught:
        ring(keyring.new_key_line(), "k2:not-base64!")
    assert "not-base64" not in str(caught.value)


def test_a_new_key_file_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    keyring.write_new_file(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert keyring.read_file(path).sealing_key_id


def test_a_key_file_that_others_can_read_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    keyring.write_new_file(path)
    path.chmod(0o640)
    with pytest.raises(keyring.KeyRingError, match="chmod 600"):
        keyring.read_file(path)


def test_an_existing_key_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    keyring.write_new_file(path)
    with pytest.raises(FileExistsError):
        keyring.write_new_file(path)


def test_a_missing_key_file_says_how_to_go_on(tmp_path: Path) -> None:
    with pytest.raises(keyring.KeyRingError, match="EMAILSYNC_ENCRYPTION_KEYS"):
        keyring.read_file(tmp_path / "none")
