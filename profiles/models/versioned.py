"""Records that people edit: nobody overwrites what somebody else saved meanwhile."""

from django.conf import settings
from django.db import models
from django.db.models import F


class Versioned(models.Model):
    """A record people edit. `version` counts the saves, so that a second editor is told, not overwritten."""

    version = models.PositiveIntegerField(default=1, editable=False)
    created_on = models.DateTimeField(auto_now_add=True)
    modified_on = models.DateTimeField(auto_now=True)
    modified_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="+",
    )

    class Meta:
        abstract = True


def save_version(instance: Versioned) -> None:
    """Save `instance`, in a transaction, if nobody saved it since it was read; count the version up.

    Raises StaleRecord when somebody did; nothing is written then.
    """
    held = instance.version
    claimed = (
        type(instance)._base_manager.filter(pk=instance.pk, version=held).update(version=F("version") + 1)
    )
    if not claimed:
        raise StaleRecord(instance)
    instance.version = held + 1
    instance.save()


class StaleRecord(Exception):
    """Somebody else saved this record after it was read for editing."""
