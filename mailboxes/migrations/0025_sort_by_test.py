from datetime import UTC, datetime

from django.db import migrations, models
from django.db.models.functions import Coalesce


class Migration(migrations.Migration):

    dependencies = [
        ('mailboxes', '0024_search_mailboxes_by_index'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='workerstate',
            index=models.Index(Coalesce('tested_on', models.Value(datetime(1970, 1, 1, tzinfo=UTC))), models.F('mailbox'), name='state_by_test'),
        ),
    ]
