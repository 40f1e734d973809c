"""A database as a large organisation has it: 100,000 mailboxes and 1,000,000 messages in one environment.

    DATABASE_URL=postgres://... python -m bench.fill [--mailboxes 100000] [--messages 1000000]

It fills the database that the settings name, which must be migrated, and adds one environment, `large`. Rows
are made from the models' own fields and defaults and written by COPY on PostgreSQL, so a new column needs no
line here. Figures of a run repeat exactly: everything is drawn from one seed.
"""

import argparse
import contextlib
import itertools
import random
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import django

if TYPE_CHECKING:
    from django.db.models import Field, Model

SLUG = "large"
NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
PIECE = 5_000
FIRST = "Ana Ben Carla Dmitri Elif Farid Greta Hana Ivo Jana Karim Liam Mara Nadia Omar Petra Quinn Rosa Sven"
LAST = (
    "Adler Bowman Costa Dietz Eriksen Fischer Garcia Haddad Ito Jansen Keller Lindqvist Moreau Novak Okafor"
)
TOPICS = "invoice order delivery contract meeting offer complaint reminder report question renewal holiday"


def main() -> int:
    """Fill the database of the settings."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mailboxes", type=int, default=100_000)
    parser.add_argument("--messages", type=int, default=1_000_000)
    arguments = parser.parse_args()
    django.setup()
    started = time.monotonic()
    fill(mailboxes=arguments.mailboxes, messages=arguments.messages)
    print(f"Filled in {time.monotonic() - started:.0f} s. The environment is {SLUG}.")
    return 0


def fill(*, mailboxes: int, messages: int) -> None:
    """Add the environment with its people, profiles, mailboxes, email, alerts and jobs."""
    from django.contrib.auth.models import User  # noqa: PLC0415  (Django is set up by the caller)

    from profiles.models import EmailSettings, Environment, ServerProfile  # noqa: PLC0415

    chance = random.Random(42)
    environment = Environment.objects.create(slug=SLUG, name="Large")
    EmailSettings.objects.create(environment=environment)
    people = [User.objects.create(username=f"owner{number}") for number in range(50)]
    profiles = [
        ServerProfile.objects.create(
            environment=environment,
            name=f"Profile {number:02}",
            is_default=number == 0,
            incoming_location=f"imap{number}.large.example",
            incoming_port=993,
            outgoing_location=f"smtp{number}.large.example",
            outgoing_port=465,
        )
        for number in range(20)
    ]
    boxes = _write_mailboxes(environment.pk, people, profiles, count=mailboxes, chance=chance)
    _write_email(environment.pk, boxes, count=messages, chance=chance)
    _write_alerts(environment.pk, boxes, profiles, count=mailboxes // 2, chance=chance)
    _write_jobs(environment.pk, people, boxes)
    tidy()


def tidy() -> None:
    """Do what the database does by itself in quiet moments."""
    from django.db import connection  # noqa: PLC0415

    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE" if connection.vendor == "postgresql" else "ANALYZE")


def _name(chance: random.Random, number: int) -> str:
    return f"{chance.choice(FIRST.split())} {chance.choice(LAST.split())} {number}"


def _write_mailboxes(
    environment: int, people: list[Any], profiles: list[Any], *, count: int, chance: random.Random
) -> list[uuid.UUID]:
    from mailboxes.models import Mailbox, Reconciliation, WorkerState  # noqa: PLC0415

    keys = [uuid.UUID(int=chance.getrandbits(128), version=4) for _ in range(count)]

    def mailboxes() -> Iterator[dict[str, Any]]:
        for number, key in enumerate(keys):
            kind = "forward" if number % 1000 == 999 else chance.choices(("user", "queue"), (9, 1))[0]
            status = chance.choices(("approved", "pending", "rejected"), (95, 4, 1))[0]
            name = _name(chance, number)
            yield {
                "id": key,
                "environment_id": environment,
                "name": name,
                "address": f"{name.replace(' ', '.').lower()}@large.example",
                "kind": kind,
                "owner_id": chance.choice(people).pk,
                "is_active": number % 50 != 7,
                "server_profile_id": profiles[number % len(profiles)].pk,
                "outgoing": "none" if kind == "forward" else "server_side_synchronization",
                "address_status": status,
                "approved_on": NOW if status == "approved" else None,
            }

    def states() -> Iterator[dict[str, Any]]:
        for key, direction in itertools.product(keys, ("incoming", "outgoing")):
            status = chance.choices(("success", "failure", "not_run"), (90, 2, 8))[0]
            tested = None if status == "not_run" else NOW - timedelta(minutes=chance.randrange(100_000))
            yield {
                "mailbox_id": key,
                "direction": direction,
                "status": status,
                "tested_on": tested,
                "is_enabled": status == "success",
                "last_success_on": tested if status == "success" else None,
                "last_error_code": "login_refused" if status == "failure" else "",
            }

    def counts() -> Iterator[dict[str, Any]]:
        for number, key in enumerate(keys):
            counted = NOW - timedelta(minutes=chance.randrange(1440)) if number % 12 else None
            stored, old = chance.randrange(10_000), chance.randrange(3)
            yield {
                "mailbox_id": key,
                "environment_id": environment,
                "due_on": NOW + timedelta(days=1),
                "tried_on": counted,
                "counted_on": counted,
                "on_server": stored + old if counted else 0,
                "outcomes": {"stored": stored, "before_start": old} if counted else {},
                "missed": int(number % 2000 == 1),
            }

    insert(Mailbox, mailboxes())
    insert(WorkerState, states())
    insert(Reconciliation, counts())
    return keys


def _write_email(environment: int, boxes: list[uuid.UUID], *, count: int, chance: random.Random) -> None:
    from mailboxes.models import LedgerEntry, Message, OutgoingMessage, Recipient  # noqa: PLC0415

    busy, topics = boxes[: max(1, len(boxes) // 5)], TOPICS.split()

    def messages() -> Iterator[dict[str, Any]]:
        for number in range(1, count + 1):
            # Every tenth message goes to the same mailbox: somebody always has a very large one.
            box = boxes[0] if number % 10 == 0 else chance.choice(busy)
            name, moment = _name(chance, number % 5000), NOW - timedelta(seconds=number * 25)
            subject = f"{chance.choice(topics).capitalize()} {chance.choice(topics)} {number}"
            yield {
                "id": number,
                "environment_id": environment,
                "mailbox_id": box,
                "folder": "INBOX",
                "uidvalidity": 1,
                "uid": number,
                "message_id": f"<{number}@peer.example>",
                "subject": subject,
                "from_name": name,
                "from_address": f"{name.replace(' ', '.').lower()}@peer.example",
                "date": moment,
                "received_at": moment,
                "stored_on": moment,
                "size": 4000,
                "sha256": f"{number:064x}",
                "preview": f"About your {chance.choice(topics)}: the {chance.choice(topics)} of {number}.",
            }

    def recipients() -> Iterator[dict[str, Any]]:
        for number in range(1, count + 1):
            yield {"message_id": number, "kind": "to", "position": 0, "address": f"b{number}@large.example"}

    def ledger() -> Iterator[dict[str, Any]]:
        for number in range(1, count + 1):
            box = boxes[0] if number % 10 == 0 else busy[number % len(busy)]
            yield {
                "mailbox_id": box,
                "uidvalidity": 1,
                "uid": number,
                "outcome": "stored",
                "size": 4000,
                "seen_on": NOW,
            }

    def outgoing() -> Iterator[dict[str, Any]]:
        for number in range(1, count // 10 + 1):
            moment = NOW - timedelta(seconds=number * 250)
            yield {
                "environment_id": environment,
                "mailbox_id": chance.choice(busy),
                "message_id": f"<out{number}@large.example>",
                "subject": f"Re: {chance.choice(topics)} {number}",
                "to": [f"peer{number}@peer.example"],
                "content": b"Subject: x\r\n\r\nx",
                "size": 16,
                "created_on": moment,
                "status": "sent",
                "sent_at": moment,
            }

    insert(Message, messages())
    insert(Recipient, recipients())
    insert(LedgerEntry, ledger())
    insert(OutgoingMessage, outgoing())
    _write_words(count=count)


def _write_words(*, count: int) -> None:
    """Write what a search looks at: some words of its own for each email, and a hundred of common speech."""
    from mailboxes import searching  # noqa: PLC0415
    from mailboxes.engine.rows import insert_into  # noqa: PLC0415
    from mailboxes.models import MessageWords, OutgoingWords  # noqa: PLC0415

    chance = random.Random(7)
    speech = [f"{chance.choice(TOPICS.split())}{number}" for number in range(5_000)]
    often = [1 / number for number in range(1, len(speech) + 1)]
    pieces = [" ".join(chance.choices(speech, often, k=100)) for _ in range(2_000)]

    def words(name: str, number: int) -> Iterator[tuple[int, str]]:
        for key in range(1, number + 1):
            people = [f"peer{key % 5000}@peer.example"]
            yield key, searching.words(f"{name} number{key}", people, pieces[key % 2_000])

    for model, waiting in (
        (MessageWords, words("received", count)),
        (OutgoingWords, words("sent", count // 10)),
    ):
        with _without_vectors(model):
            while piece := list(itertools.islice(waiting, PIECE)):
                insert_into(model, "message_id words", piece)
            searching.catch_up(limit=count)


@contextlib.contextmanager
def _without_vectors(model: "type[Model]") -> Iterator[None]:
    """Take the index of the vectors away meanwhile: made at the end, it costs a tenth."""
    from django.db import connection  # noqa: PLC0415

    if connection.vendor != "postgresql":
        yield
        return
    name, started = f"{model._meta.db_table}_vector", time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexdef FROM pg_indexes WHERE indexname = %s", [name])
        definition = cursor.fetchone()[0]
        cursor.execute(f"DROP INDEX {name}")
        yield
        cursor.execute(f"VACUUM {model._meta.db_table}")
        cursor.execute("SET maintenance_work_mem = '512MB'")
        cursor.execute(definition)
    print(f"            {model._meta.verbose_name_plural} in {time.monotonic() - started:.0f} s", flush=True)


def _write_alerts(
    environment: int, boxes: list[uuid.UUID], profiles: list[Any], *, count: int, chance: random.Random
) -> None:
    from mailboxes.models import Alert  # noqa: PLC0415

    kinds = (
        ("test_succeeded", "information"),
        ("incoming_stopped", "error"),
        ("incoming_retrying", "warning"),
    )

    def alerts() -> Iterator[dict[str, Any]]:
        for number in range(count):
            kind, level = chance.choices(kinds, (8, 1, 1))[0]
            moment = NOW - timedelta(minutes=number)
            of_profile, place = number % 1000 == 0, chance.randrange(len(boxes))
            yield {
                "environment_id": environment,
                "mailbox_id": None if of_profile else boxes[place],
                "server_profile_id": profiles[place % len(profiles)].pk,
                "kind": "profile_failing" if of_profile else kind,
                "level": "error" if of_profile else level,
                "parameters": {"mailbox": f"Mailbox {number}", "cause": "The server did not answer."},
                "key": f"{kind}:{number}",
                "first_seen_on": moment,
                "last_seen_on": moment,
                "resolved_on": moment if number % 2 else None,
            }

    insert(Alert, alerts())


def _write_jobs(environment: int, people: list[Any], boxes: list[uuid.UUID]) -> None:
    from mailboxes.models import Diagnosis, Job  # noqa: PLC0415

    sizes = [len(boxes[:10_000]), *([5] * 500)]

    def diagnoses() -> Iterator[dict[str, Any]]:
        for job, size in enumerate(sizes, start=1):
            for box in boxes[:size]:
                done = {"state": "done", "incoming": "success", "outgoing": "failure"}
                yield {"job_id": job, "mailbox_id": box, "finished_on": NOW, **done}

    insert(
        Job,
        (
            {
                "id": number,
                "environment_id": environment,
                "created_by_id": people[0].pk,
                "created_on": NOW - timedelta(minutes=number),
                "finished_on": NOW,
                "total": size,
                "done": size,
                "state": "done",
            }
            for number, size in enumerate(sizes, start=1)
        ),
    )
    insert(Diagnosis, diagnoses())


def insert(model: "type[Model]", rows: Iterable[Mapping[str, Any]]) -> None:
    """Write `rows`; a column that a row does not name gets its field's default."""
    from django.core.management.color import no_style  # noqa: PLC0415
    from django.db import connection, transaction  # noqa: PLC0415

    from mailboxes.engine.rows import insert_into  # noqa: PLC0415  (the engine's own way to write batches)

    fields = [field for field in model._meta.concrete_fields if not field.generated]
    numbers, written = itertools.count(1), 0
    columns = [(field.attname, _default(field, numbers)) for field in fields]
    names = " ".join(name for name, _ in columns)
    waiting, started = iter(rows), time.monotonic()
    while piece := list(itertools.islice(waiting, PIECE)):
        made = [tuple(row[name] if name in row else value() for name, value in columns) for row in piece]
        with transaction.atomic():
            insert_into(model, names, made)
        written += len(piece)
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), [model]):
            cursor.execute(statement)
    print(
        f"  {written:>9,} {model._meta.verbose_name_plural} in {time.monotonic() - started:.0f} s", flush=True
    )


def _default(field: "Field[Any, Any]", numbers: Iterator[int]) -> Callable[[], Any]:
    """Return what gives a column its value where a row does not."""
    kind = field.get_internal_type()
    if field.primary_key and kind in {"AutoField", "BigAutoField"}:
        return lambda: next(numbers)
    if kind == "DateTimeField" and not field.null:
        return lambda: NOW  # auto_now and auto_now_add
    if kind in {"UUIDField", "JSONField"}:
        return field.get_default
    value = field.get_default()
    plain = str(value) if isinstance(value, str) else value
    return lambda: plain


if __name__ == "__main__":
    sys.exit(main())
