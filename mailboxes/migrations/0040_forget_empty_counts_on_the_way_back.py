"""Let the counts that were never made go on the way back: the table before 0032 has no place for them."""

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps


def forget_empty(apps: StateApps, _schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Delete the counts that 0033 wrote and those of mailboxes that never received."""
    apps.get_model("mailboxes", "Reconciliation").objects.filter(due_on=None).delete()


class Migration(migrations.Migration):
    """Apart from the changes of the table: PostgreSQL changes none with rows written beforehand."""

    dependencies = [("mailboxes", "0039_indexes_of_plain_columns")]
    operations = [migrations.RunPython(migrations.RunPython.noop, forget_empty)]
