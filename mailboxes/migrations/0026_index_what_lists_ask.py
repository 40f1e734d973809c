from datetime import UTC, datetime

from django.db import migrations, models
from django.db.models.functions import Coalesce


class Migration(migrations.Migration):

    dependencies = [
        ('mailboxes', '0025_reports_copies_and_automatic_mail'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='alert',
            index=models.Index(condition=models.Q(('is_folded', False), ('resolved_on__isnull', True)), fields=['server_profile'], name='alert_open_of_profile'),
        ),
        migrations.AddIndex(
            model_name='mailbox',
            index=models.Index(condition=models.Q(('is_active', False)), fields=['environment', 'server_profile'], name='mailbox_inactive'),
        ),
        migrations.AddIndex(
            model_name='mailbox',
            index=models.Index(condition=models.Q(('address_status', 'pending'), ('is_active', True)), fields=['environment', 'server_profile'], name='mailbox_pending'),
        ),
        migrations.AddIndex(
            model_name='workerstate',
            index=models.Index(condition=models.Q(('is_enabled', False), models.Q(('status', 'failure'), _negated=True)), fields=['direction', 'mailbox'], name='state_at_rest'),
        ),
        migrations.AddIndex(
            model_name='workerstate',
            index=models.Index(Coalesce('tested_on', models.Value(datetime(1970, 1, 1, tzinfo=UTC))), models.F('mailbox'), name='state_by_test'),
        ),
    ]
