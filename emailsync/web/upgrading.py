"""A database that lacks what this version works with: it was not migrated after an upgrade."""

from django.apps import apps
from django.db import DatabaseError, InterfaceError, OperationalError, connection

MIGRATE = "The database has not the tables of this version. Run: manage.py migrate"
#: How PostgreSQL (SQLSTATE) and SQLite (in words) call a table or a column that is not there.
UNDEFINED = frozenset({"42P01", "42703"})
NO_SUCH = ("no such table", "no such column", "has no column named")


def is_of_another_version(error: Exception) -> bool:
    """Say whether the database lacks what this version works with."""
    state = getattr(error.__cause__, "sqlstate", None)
    return state in UNDEFINED or any(words in str(error) for words in NO_SUCH)


def explain(error: DatabaseError | InterfaceError) -> str:
    """Return in one line why the database fails and what to do; nothing when the fault is our own."""
    if is_of_another_version(error):
        return MIGRATE
    return str(error).strip() if isinstance(error, (OperationalError, InterfaceError)) else ""


def require_tables() -> None:
    """Ask for every column of this version, and for no row. Raises DatabaseError when one is not there.

    Reading the migrations would tell the same, and take memory that a worker needs for nothing else.
    """
    quote = connection.ops.quote_name
    with connection.cursor() as cursor:
        for model in apps.get_models():
            table = quote(model._meta.db_table)
            names = [field.column for field in model._meta.concrete_fields if field.column]
            columns = ", ".join(f"{table}.{quote(name)}" for name in names)
            cursor.execute(f"SELECT {columns} FROM {table} WHERE 1 = 0")  # noqa: S608 - names of our own
