"""The diagnoses of every older Test & Enable were written with its job: nothing of them is left to write."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models import F


def note(apps: Apps, _schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Move the position of these jobs to their end."""
    apps.get_model("mailboxes", "Job").objects.filter(kind="diagnose").update(position=F("total"))


class Migration(migrations.Migration):

    dependencies = [
        ('mailboxes', '0019_jobs_follow_jobs'),
    ]

    operations = [
        migrations.RunPython(note, migrations.RunPython.noop),
    ]
