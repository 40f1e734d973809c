"""Find mail by words of its subject, its people and the beginning of its text.

Both databases compare the same words: cut at everything that is no letter or digit, folded, accents off,
each once. What a person types is cut alike, and every piece has to begin a word: "jo@cont" finds
"jo@contoso.example". Chinese and Japanese signs are words of one sign each.

Storing a message writes its words as plain text, which costs next to nothing. On PostgreSQL the workers
turn them into vectors under a GIN index soon after, a few hundred at a time: doing that while storing would
halve the speed of an initial sync (docs/decisions/0011). What still waits, and everything on SQLite, is
found by LIKE.
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

from django.db import connection
from django.db.models import BooleanField, Exists, F, Func, Model, OuterRef, Q, QuerySet, Value
from django.db.models.lookups import Contains

from mailboxes.models import Message, MessageWords, OutgoingMessage, OutgoingWords

#: How much of a message's text is looked at, and the longest piece of a word that is kept.
TEXT_CHARACTERS = 2_000
LONGEST_WORD = 40
MOST_WORDS = 8
PIECE = 1_000
BATCH = 250
#: As many emails are looked up by their words.
RARE = 1_000

_SIGN = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_SIGN}]|[^\W_{_SIGN}]+")


class _Bare(dict[int, int | None]):
    """What `str.translate` makes of each sign: accents go. It is looked up once for each sign there is."""

    def __missing__(self, sign: int) -> int | None:
        self[sign] = None if unicodedata.combining(chr(sign)) else sign
        return self[sign]


_BARE = _Bare()
_ASCII = str.maketrans({mark: " " for mark in map(chr, range(128)) if not mark.isalnum()})


def cut(text: str) -> list[str]:
    """Return the words of a text, folded, in their order."""
    if text.isascii():
        return text.lower().translate(_ASCII).split()
    # Piece by piece: the time for a run of accents grows with the square of its length.
    pieces = (text[at : at + PIECE] for at in range(0, len(text), PIECE))
    decomposed = "".join(unicodedata.normalize("NFKD", piece) for piece in pieces)
    return _WORD.findall(decomposed.translate(_BARE).casefold())


def words(subject: str, people: Iterable[str], text: str) -> str:
    """Return what is stored for an email: " ana invoice northpeak"."""
    pieces = dict.fromkeys(cut(f"{subject} {' '.join(people)} {text[:TEXT_CHARACTERS]}"))
    if max(map(len, pieces), default=0) > LONGEST_WORD:
        pieces = dict.fromkeys(word[:LONGEST_WORD] for word in pieces)
    return f" {' '.join(pieces)}" if pieces else ""


def received(found: QuerySet[Message], query: str) -> QuerySet[Message]:
    """Return those of `found` that hold every word of `query`."""
    return _matching(found, MessageWords, query)


def outgoing(found: QuerySet[OutgoingMessage], query: str) -> QuerySet[OutgoingMessage]:
    """Return those of `found` that hold every word of `query`."""
    return _matching(found, OutgoingWords, query)


def _matching(found: QuerySet[Any], table: type[MessageWords | OutgoingWords], query: str) -> QuerySet[Any]:
    wanted = [word[:LONGEST_WORD] for word in cut(query)][:MOST_WORDS]
    if not query.split():
        return found
    if not wanted:
        return found.none()
    fitting = Q()
    for word in wanted:
        fitting &= Q(Contains(F("words"), Value(f" {word}")))
    if connection.vendor == "postgresql":
        # The words are letters and digits only, so nothing has to be quoted.
        indexed = Func(
            F("vector"),
            Value(" & ".join(f"{word}:*" for word in wanted)),
            template="(%(expressions)s::tsquery)",
            arg_joiner=" @@ ",
            output_field=BooleanField(),
        )
        fitting = Q(indexed) | (Q(vector__isnull=True) & fitting)
    fitting_rows = table.objects.filter(fitting)
    # No statistics tell how rare the beginning of a word is. What is rare is looked up by its words; what is
    # common is soon met in the order of time.
    keys = list(fitting_rows.values_list("pk", flat=True)[: RARE + 1])
    if len(keys) <= RARE:
        return found.filter(pk__in=keys)
    return found.filter(Exists(fitting_rows.filter(message=OuterRef("pk"))))


def is_behind() -> bool:
    """Say whether words wait for their vectors. Every worker asks twice a second."""
    if connection.vendor != "postgresql":
        return False
    names = [connection.ops.quote_name(table._meta.db_table) for table in (MessageWords, OutgoingWords)]
    waiting = " OR ".join(f"EXISTS(SELECT FROM {name} WHERE vector IS NULL)" for name in names)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {waiting}")
        return bool(cursor.fetchone()[0])


def catch_up(*, limit: int = BATCH) -> int:
    """Give a batch of waiting words their vectors; workers side by side take different ones."""
    if connection.vendor != "postgresql":
        return 0
    return sum(_index(table, limit=limit) for table in (MessageWords, OutgoingWords))


def _index(table: type[Model], *, limit: int) -> int:
    name = connection.ops.quote_name(table._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {name} SET words = '', vector = array_to_tsvector(string_to_array(ltrim(words), ' ')) "  # noqa: S608
            # An array is made once; a subquery after IN may be asked again for every row.
            f"WHERE message_id = ANY(ARRAY(SELECT message_id FROM {name} WHERE vector IS NULL "
            "ORDER BY message_id LIMIT %s FOR UPDATE SKIP LOCKED))",
            [limit],
        )
        return int(cursor.rowcount)
