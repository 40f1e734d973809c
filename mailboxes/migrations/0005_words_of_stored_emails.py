"""Fill in the environment and the words of mail that is stored already, and index words on PostgreSQL."""

import re
import unicodedata

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps
from django.db.models import OuterRef, Subquery

TABLES = ("mailboxes_messagewords", "mailboxes_outgoingwords")
CHUNK = 500


def name_environments(apps: StateApps, _schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Copy the environment of the mailbox."""
    mailboxes = apps.get_model("mailboxes", "Mailbox")
    owner = mailboxes.objects.filter(pk=OuterRef("mailbox")).values("environment")
    for name in ("Message", "OutgoingMessage"):
        apps.get_model("mailboxes", name).objects.update(environment=Subquery(owner))


def write_words(apps: StateApps, _schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Write the words of subject, people and preview; the whole text would have to be parsed anew."""
    message = apps.get_model("mailboxes", "Message")
    outgoing = apps.get_model("mailboxes", "OutgoingMessage")
    message_words = apps.get_model("mailboxes", "MessageWords")
    outgoing_words = apps.get_model("mailboxes", "OutgoingWords")
    fields = ("subject", "from_name", "from_address", "preview")
    found = message.objects.filter(is_quarantined=False).only(*fields).prefetch_related("recipients")
    message_words.objects.bulk_create(
        (
            message_words(
                message=one,
                words=_words(
                    *(getattr(one, name) for name in fields),
                    *(f"{person.name} {person.address}" for person in one.recipients.all()),
                ),
            )
            for one in found.iterator(chunk_size=CHUNK)
        ),
        batch_size=CHUNK,
    )
    sent = outgoing.objects.only("subject", "to", "cc", "bcc", "preview")
    outgoing_words.objects.bulk_create(
        (
            outgoing_words(message=one, words=_words(one.subject, *one.to, *one.cc, *one.bcc, one.preview))
            for one in sent.iterator(chunk_size=CHUNK)
        ),
        batch_size=CHUNK,
    )


def _words(*texts: str) -> str:
    """Cut as mailboxes/searching.py did when this was written."""
    plain = unicodedata.normalize("NFKD", " ".join(texts))
    folded = "".join(mark for mark in plain if not unicodedata.combining(mark)).casefold()
    found = dict.fromkeys(word[:40] for word in re.findall(r"[^\W_]+", folded))
    return f" {' '.join(found)}" if found else ""


def index_words(_apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Make the GIN indexes, on PostgreSQL."""
    if schema_editor.connection.vendor == "postgresql":
        for table in TABLES:
            schema_editor.execute(
                f"CREATE INDEX {table}_vector ON {table} USING gin (vector) WHERE vector IS NOT NULL"
            )


class Migration(migrations.Migration):
    """Fill what the migration before made room for."""

    dependencies = [("mailboxes", "0004_words_of_emails")]
    operations = [
        migrations.RunPython(name_environments, migrations.RunPython.noop),
        migrations.RunPython(write_words, migrations.RunPython.noop),
        migrations.RunPython(index_words, migrations.RunPython.noop),
    ]
