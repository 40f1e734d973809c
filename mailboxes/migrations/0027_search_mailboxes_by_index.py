"""Give the search of mailboxes an index of trigrams, on PostgreSQL."""

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

TABLE = "mailboxes_mailbox"


def index_names(_apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Make the index where the extension can be had; without it a search reads every mailbox."""
    if schema_editor.connection.vendor != "postgresql":
        return
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(
            "SELECT installed_version IS NOT NULL OR has_database_privilege(current_database(), 'CREATE') "
            "FROM pg_available_extensions WHERE name = 'pg_trgm'"
        )
        if cursor.fetchone() != (True,):
            return
        cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    schema_editor.execute(f"CREATE INDEX {TABLE}_search_text ON {TABLE} USING gin (search_text gin_trgm_ops)")


class Migration(migrations.Migration):
    """Django would need an application of its own for the index."""

    dependencies = [("mailboxes", "0026_index_what_lists_ask")]
    operations = [migrations.RunPython(index_names, migrations.RunPython.noop)]
