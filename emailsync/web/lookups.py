"""A comparison that Django does not bring."""

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.lookups import In
from django.db.models.sql.compiler import SQLCompiler


class Among(In):
    """Is one of many keys, numbers or texts, as with `in`, but PostgreSQL is handed one array of them.

    Where each of hundreds of values has its own mark, a statement takes longer to write than to answer.
    """

    lookup_name = "among"

    def get_prep_lookup(self) -> Any:
        """Return the values as they are."""
        return self.rhs

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> tuple[str, Any]:
        """Write it with one array."""
        column, parameters = self.process_lhs(compiler, connection)
        return f"{column} = ANY(%s)", [*parameters, list(self.rhs)]
