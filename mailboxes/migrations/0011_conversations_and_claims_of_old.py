"""Give stored mail its conversations, remember who was written to, and let running mailboxes hold their addresses."""

from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps
from django.utils import timezone

CHUNK = 500


def name_conversations(apps: StateApps, _schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Name each by its first message, as mailboxes/engine/tracking.py does for what it does not know."""
    message = apps.get_model("mailboxes", "Message")
    rows = message.objects.only("environment_id", "message_id", "in_reply_to", "references")
    chunk = []
    for one in rows.order_by("pk").iterator(chunk_size=CHUNK):
        root = (one.references.split() or [one.in_reply_to])[0] or one.message_id
        one.conversation = _conversation(one.environment_id, root)
        chunk.append(one)
        if len(chunk) == CHUNK:
            message.objects.bulk_update(chunk, ["conversation"])
            chunk = []
    message.objects.bulk_update(chunk, ["conversation"])
    outgoing = apps.get_model("mailboxes", "OutgoingMessage")
    sent = list(outgoing.objects.select_related("answers").defer("content", "text", "answers__defects"))
    for mail in sent:
        mail.conversation = (
            mail.answers.conversation if mail.answers else _conversation(mail.environment_id, mail.message_id)
        )
    outgoing.objects.bulk_update(sent, ["conversation"], batch_size=CHUNK)


def _conversation(environment: int, root: str) -> UUID:
    return uuid5(NAMESPACE_URL, f"emailsync:{environment}:{root}") if root else uuid4()


def remember_correspondents(apps: StateApps, _schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Note to whom email was sent."""
    sent = apps.get_model("mailboxes", "OutgoingMessage").objects.filter(sent_at__isnull=False)
    correspondent = apps.get_model("mailboxes", "Correspondent")
    correspondent.objects.bulk_create(
        (
            correspondent(environment_id=environment, address=address.lower()[:254], written_on=when)
            for environment, accepted, when in sent.values_list("environment", "accepted", "sent_at")
            for address in accepted
        ),
        batch_size=CHUNK,
        ignore_conflicts=True,
    )


def claim_addresses(apps: StateApps, _schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Let who was tested first keep an address that two environments synchronize."""
    claim = apps.get_model("mailboxes", "SyncClaim")
    states = apps.get_model("mailboxes", "WorkerState").objects.filter(
        is_enabled=True, mailbox__is_active=True
    )
    claim.objects.bulk_create(
        (
            claim(
                address=state.mailbox.address.lower(),
                environment_id=state.mailbox.environment_id,
                mailbox=state.mailbox,
                claimed_on=state.tested_on or timezone.now(),
            )
            for state in states.select_related("mailbox").order_by("tested_on", "pk")
        ),
        batch_size=CHUNK,
        ignore_conflicts=True,
    )


class Migration(migrations.Migration):
    """Fill what the migrations before made room for."""

    dependencies = [("mailboxes", "0010_correspondents")]
    operations = [
        migrations.RunPython(name_conversations, migrations.RunPython.noop),
        migrations.RunPython(remember_correspondents, migrations.RunPython.noop),
        migrations.RunPython(claim_addresses, migrations.RunPython.noop),
    ]
