"""`manage.py reseal_secrets`: after a new key, move every stored secret to it, so that the old one can go."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.db.models import Model, QuerySet

from emailsync.checks import encrypted_fields
from emailsync.crypto.fields import EncryptedTextField
from emailsync.crypto.keyring import VERSION, SecretUnreadable, keyring

#: Secrets sealed in one transaction: few enough that nobody waits for their rows.
CHUNK = 100


class Command(BaseCommand):
    """Seals secrets again while everything runs; what is changed meanwhile is left as it was changed."""

    help = "Seal every stored secret with the first key of the key ring. Ends with 1 when one is not."

    def handle(self, *args: Any, **options: Any) -> None:
        """Seal, then count what another key holds still."""
        key, left = keyring().sealing_key_id, 0
        for field in encrypted_fields():
            sealed = self._reseal(field, _of_other_keys(field, key))
            if sealed:
                self.stdout.write(f"{field}: {sealed:,} sealed again.")
            left += _of_other_keys(field, key).count()
        if left:
            raise CommandError(
                f"Not sealed with the key {key}: {left:,}. Restart whatever runs with an older key ring "
                "and run this again; secrets that no key opens must be typed again."
            )
        self.stdout.write(
            f"Every stored secret is sealed with the key {key}; no other key is needed for them."
        )

    def _reseal(self, field: EncryptedTextField, others: QuerySet[Model]) -> int:
        sealed, rows = 0, others.order_by("pk").values_list("pk", field.attname)
        chunk = rows[:CHUNK]
        while found := list(chunk):
            with transaction.atomic():
                for pk, token in found:
                    try:
                        sealed += field.reseal(pk, token)
                    except SecretUnreadable as error:
                        self.stderr.write(f"{field} of {pk}: {error}")
            chunk = rows.filter(pk__gt=found[-1][0])[:CHUNK]
        return sealed


def _of_other_keys(field: EncryptedTextField, key: str) -> QuerySet[Model]:
    stored = field.model._base_manager.exclude(**{field.attname: ""})
    return stored.exclude(**{f"{field.attname}__startswith": f"{VERSION}.{key}."})
