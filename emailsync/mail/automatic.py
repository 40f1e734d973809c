"""Tell what a machine sent from what a person wrote (RFC 3834): the one must never be answered by another."""

from collections.abc import Callable, Iterable
from enum import StrEnum

#: Put on whatever is sent without anybody having written it (RFC 3834, section 5, and MS-OXCMAIL).
AUTOMATIC_HEADERS = (("Auto-Submitted", "auto-generated"), ("X-Auto-Response-Suppress", "All"))
#: A message that passed so many servers goes round in a circle (RFC 5321, section 6.3).
HOPS_LIMIT = 50

ANSWERS = frozenset({"auto_reply", "auto-reply", "autoreply"})
IN_BULK = frozenset({"bulk", "junk", "list"})
LIST_HEADERS = frozenset({"list-id", "list-post", "list-unsubscribe", "mailing-list", "x-mailing-list"})
ANSWERED_BY_MACHINE = frozenset({"x-autoreply", "x-autorespond", "x-autoresponder", "x-autoreply-from"})


class Automatic(StrEnum):
    """What kind of machine sent a message; nothing stands for a person."""

    LOOP = "loop"
    REPORT = "report"
    REPLY = "reply"
    GENERATED = "generated"
    LIST = "list"
    NONE = ""


def automatic_kind(headers: Iterable[tuple[str, str]]) -> Automatic:
    """Return what kind of machine sent a message with these headers."""
    hops = 0
    found: set[Automatic] = set()
    for name, value in headers:
        key = name.lower()
        if key == "received":
            hops += 1
        elif key in TELLING:
            found.add(_kind(key, value.strip().lower()))
    if hops > HOPS_LIMIT:
        return Automatic.LOOP
    found.discard(Automatic.NONE)
    return next(kind for kind in Automatic if kind in found) if found else Automatic.NONE


def _kind(key: str, value: str) -> Automatic:
    if key in ANSWERED_BY_MACHINE:
        return Automatic.NONE if value in {"no", "false", "0"} else Automatic.REPLY
    if key in LIST_HEADERS:
        return Automatic.LIST
    return next((kind for name, fits, kind in MARKS if key == name and fits(value)), Automatic.NONE)


#: The first line that fits decides.
MARKS: tuple[tuple[str, Callable[[str], bool], Automatic], ...] = (
    ("auto-submitted", lambda value: value.startswith("auto-replied"), Automatic.REPLY),
    ("auto-submitted", lambda value: value.partition(";")[0].strip() not in {"no", ""}, Automatic.GENERATED),
    ("content-type", lambda value: value.startswith("multipart/report"), Automatic.REPORT),
    ("precedence", ANSWERS.__contains__, Automatic.REPLY),
    ("precedence", IN_BULK.__contains__, Automatic.LIST),
    ("x-ms-exchange-generated-message-source", lambda value: "rules" in value, Automatic.REPLY),
    ("return-path", lambda value: value == "<>", Automatic.GENERATED),
    ("x-auto-response-suppress", lambda value: value not in {"none", ""}, Automatic.GENERATED),
)
#: The headers that are looked at, beside Received; most tell nothing.
TELLING = ANSWERED_BY_MACHINE | LIST_HEADERS | {name for name, _, _ in MARKS}
