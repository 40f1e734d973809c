"""Give every mailbox a count, which was never made where there was none, in the mailbox's environment."""

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps
from django.db.models import OuterRef, Subquery

PIECE = 1000


def write_counts(apps: StateApps, _schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Write what is missing."""
    mailboxes = apps.get_model("mailboxes", "Mailbox").objects
    counts = apps.get_model("mailboxes", "Reconciliation")
    environment = mailboxes.filter(pk=OuterRef("mailbox")).values("environment")
    counts.objects.update(environment=Subquery(environment))
    without = mailboxes.filter(reconciliation=None).values_list("pk", "environment")
    counts.objects.bulk_create(
        [counts(mailbox_id=mailbox, environment_id=place) for mailbox, place in without], batch_size=PIECE
    )


class Migration(migrations.Migration):
    """Apart from the changes of the table: PostgreSQL changes none with rows written beforehand."""

    dependencies = [("mailboxes", "0032_counts_of_environments")]
    operations = [migrations.RunPython(write_counts, migrations.RunPython.noop)]
