"""Secrets in models: sealed in the table, closed in memory."""

import json
import pickle

import pytest
from django.core import serializers
from django.db import connection

from emailsync.crypto.fields import MASK
from emailsync.crypto.keyring import SecretUnreadable
from mailboxes.models import Mailbox
from profiles.models import Environment

pytestmark = pytest.mark.django_db
CANARY = "canary-5f1d"


@pytest.fixture
def environment() -> Environment:
    """Give an environment."""
    return Environment.objects.create(slug="contoso", name="Contoso")


@pytest.fixture
def mailbox(environment: Environment) -> Mailbox:
    """Give a mailbox with a password."""
    return Mailbox.objects.create(
        environment=environment, name="Ana", address="ana@example.org", password=CANARY
    )


def stored(mailbox: Mailbox) -> str:
    """Return the column as the database holds it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT password FROM mailboxes_mailbox WHERE address = %s", [mailbox.address])
        return str(cursor.fetchone()[0])


def test_the_table_holds_no_plain_text(mailbox: Mailbox) -> None:
    assert stored(mailbox).startswith("v1.tests.")
    assert CANARY not in stored(mailbox)


def test_a_read_secret_reveals_only_when_asked(mailbox: Mailbox) -> None:
    found = Mailbox.objects.get()
    assert (str(found.password), repr(found.password)) == (MASK, MASK)
    assert found.password.reveal() == CANARY


def test_saving_again_keeps_the_secret(mailbox: Mailbox) -> None:
    found = Mailbox.objects.get()
    found.name = "Ana B."
    found.save()
    assert Mailbox.objects.get().password.reveal() == CANARY


def test_no_secret_is_false_and_stored_empty(environment: Environment) -> None:
    mailbox = Mailbox.objects.create(environment=environment, name="Ben", address="ben@example.org")
    assert not Mailbox.objects.get().password
    assert stored(mailbox) == ""


def test_a_token_copied_to_another_row_does_not_open(mailbox: Mailbox, environment: Environment) -> None:
    other = Mailbox.objects.create(
        environment=environment, name="Ben", address="ben@example.org", password="x"
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE mailboxes_mailbox SET password = %s WHERE address = %s", [stored(mailbox), other.address]
        )
    with pytest.raises(SecretUnreadable):
        Mailbox.objects.get(address=other.address).password.reveal()


def test_an_update_with_plain_text_is_refused(mailbox: Mailbox) -> None:
    with pytest.raises(TypeError, match="secret"):
        Mailbox.objects.update(password="plain")


def test_a_secret_is_never_pickled(mailbox: Mailbox) -> None:
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(Mailbox.objects.get())


def test_serialised_data_leaves_secrets_out(mailbox: Mailbox) -> None:
    written = serializers.serialize("json", Mailbox.objects.all())
    assert json.loads(written)[0]["fields"]["password"] == ""
