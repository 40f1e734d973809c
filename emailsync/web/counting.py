"""Several counts in one query, each no further than somebody looks."""

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import QuerySet


def counted_together(parts: Mapping[str, tuple[QuerySet[Any], int]]) -> dict[str, int]:
    """Return how many records each of `parts` has, no more than the number beside it, in one query.

    Put together as SQL: as expressions of one query every part would be resolved and copied once more, which
    takes longer than counting.
    """
    asked: list[str] = []
    values: list[Any] = []
    for part, most in parts.values():
        try:
            sql, params = part.order_by().values("pk")[:most].query.sql_with_params()
        except EmptyResultSet:
            asked.append("0")
            continue
        asked.append(f"(SELECT COUNT(*) FROM ({sql}) counted)")  # noqa: S608 - put together by Django
        values.extend(params)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(asked)}", values)
        return dict(zip(parts, cursor.fetchone(), strict=True))
