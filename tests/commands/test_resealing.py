"""A new key at the head of the ring, and the old one taken away."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from emailsync.crypto.keyring import new_key_line
from mailboxes.models import Mailbox
from profiles.models import Environment, ServerProfile

pytestmark = pytest.mark.django_db
SECRETS = ("canary-7c1e", "canary-90ab")


@pytest.fixture
def mailbox() -> Mailbox:
    """Give a mailbox and a profile whose passwords the old key sealed."""
    environment = Environment.objects.create(slug="contoso", name="Contoso")
    ServerProfile.objects.create(environment=environment, name="IMAP", password=SECRETS[1])
    return Mailbox.objects.create(
        environment=environment, name="Ana", address="ana@example.org", password=SECRETS[0]
    )


def _reseal() -> str:
    said = StringIO()
    call_command("reseal_secrets", stdout=said, stderr=said)
    return said.getvalue()


def test_every_secret_moves_to_the_first_key(mailbox: Mailbox, settings: Settings) -> None:
    """Afterwards the old key is not needed."""
    new = new_key_line()
    settings.ENCRYPTION_KEYS = f"{new},{settings.ENCRYPTION_KEYS}"

    said = _reseal()

    settings.ENCRYPTION_KEYS = new
    found = (Mailbox.objects.get().password.reveal(), ServerProfile.objects.get().password.reveal())
    assert found == SECRETS
    assert "mailboxes.Mailbox.password: 1 sealed again." in said
    assert not any(secret in said for secret in SECRETS)


def test_a_second_run_finds_nothing_to_do(mailbox: Mailbox, settings: Settings) -> None:
    """What the first key sealed is left alone."""
    settings.ENCRYPTION_KEYS = f"{new_key_line()},{settings.ENCRYPTION_KEYS}"
    _reseal()

    assert "sealed again" not in _reseal()


def test_more_secrets_than_one_transaction_takes_all_move(
    mailbox: Mailbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are taken in the order of their keys."""
    monkeypatch.setattr("emailsync.management.commands.reseal_secrets.CHUNK", 2)
    for number in range(4):
        Mailbox.objects.create(
            environment=mailbox.environment, name="Ben", address=f"b{number}@example.org", password="x"
        )
    settings.ENCRYPTION_KEYS = f"{new_key_line()},{settings.ENCRYPTION_KEYS}"

    assert "mailboxes.Mailbox.password: 5 sealed again." in _reseal()


def test_a_form_that_was_open_meanwhile_is_still_accepted(mailbox: Mailbox, settings: Settings) -> None:
    """Nobody has changed the record: its version is the same."""
    settings.ENCRYPTION_KEYS = f"{new_key_line()},{settings.ENCRYPTION_KEYS}"

    _reseal()

    assert Mailbox.objects.get().version == mailbox.version


def test_a_secret_that_was_changed_meanwhile_stays_as_it_was_changed(mailbox: Mailbox) -> None:
    """It was read before, and is no longer what is stored."""
    field = Mailbox._meta.get_field("password")
    (read,) = Mailbox.objects.values_list("password", flat=True)
    mailbox.password = "typed-meanwhile"
    mailbox.save()

    assert not field.reseal(mailbox.pk, read)
    assert Mailbox.objects.get().password.reveal() == "typed-meanwhile"


def test_a_secret_that_no_key_opens_is_named_and_the_others_move(
    mailbox: Mailbox, settings: Settings
) -> None:
    """The command ends with an error, so that nobody takes a key away too soon."""
    new, old = new_key_line(), settings.ENCRYPTION_KEYS
    settings.ENCRYPTION_KEYS = "lost:" + new_key_line().partition(":")[2]
    mailbox.password = "out-of-reach"
    mailbox.save()
    settings.ENCRYPTION_KEYS = f"{new},{old}"
    said = StringIO()

    with pytest.raises(CommandError, match=r"^Not sealed with the key \w+: 1\. Restart"):
        call_command("reseal_secrets", stdout=said, stderr=said)

    assert f"mailboxes.Mailbox.password of {mailbox.pk}: The key lost of a stored secret" in said.getvalue()
    assert ServerProfile.objects.get().password.reveal() == SECRETS[1]
