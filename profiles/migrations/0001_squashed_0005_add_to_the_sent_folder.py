"""All of the migrations up to 0005 in one, for new databases."""

import uuid

import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import emailsync.crypto.fields


class Migration(migrations.Migration):

    initial = True
    replaces = [
        ("profiles", "0001_initial"),
        ("profiles", "0002_membership"),
        ("profiles", "0003_restrict_self_approval"),
        ("profiles", "0004_oauth_of_profiles"),
        ("profiles", "0005_add_to_the_sent_folder"),
    ]

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Environment',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_on', models.DateTimeField(auto_now_add=True)),
                ('modified_on', models.DateTimeField(auto_now=True)),
                ('slug', models.SlugField(max_length=60, unique=True)),
                ('name', models.CharField(max_length=100)),
                ('kind', models.CharField(choices=[('production', 'Production'), ('sandbox', 'Sandbox')], default='production', max_length=20)),
                ('is_demo', models.BooleanField(default=False, editable=False)),
                ('modified_by', models.ForeignKey(blank=True, editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['name'],
                'constraints': [models.CheckConstraint(condition=models.Q(('kind__in', ['production', 'sandbox'])), name='environment_kind')],
            },
        ),
        migrations.CreateModel(
            name='EmailSettings',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_on', models.DateTimeField(auto_now_add=True)),
                ('modified_on', models.DateTimeField(auto_now=True)),
                ('incoming', models.CharField(choices=[('none', 'None'), ('server_side_synchronization', 'Server-Side Synchronization or Email Router'), ('forward_mailbox', 'Forward Mailbox')], default='server_side_synchronization', max_length=40, verbose_name='incoming email')),
                ('outgoing', models.CharField(choices=[('none', 'None'), ('server_side_synchronization', 'Server-Side Synchronization or Email Router')], default='server_side_synchronization', max_length=40, verbose_name='outgoing email')),
                ('act', models.CharField(choices=[('none', 'None'), ('server_side_synchronization', 'Server-Side Synchronization')], default='none', max_length=40, verbose_name='appointments, contacts, and tasks')),
                ('process_only_approved_users', models.BooleanField(default=True, verbose_name='process emails only for approved users')),
                ('process_only_approved_queues', models.BooleanField(default=True, verbose_name='process emails only for approved queues')),
                ('restrict_self_approval', models.BooleanField(default=False)),
                ('sync_rights_managed_email', models.BooleanField(default=False)),
                ('delete_appointments_on_ownership_change', models.BooleanField(default=False)),
                ('alert_errors', models.BooleanField(default=True, verbose_name='errors')),
                ('alert_warnings', models.BooleanField(default=True, verbose_name='warnings')),
                ('alert_information', models.BooleanField(default=True, verbose_name='information')),
                ('notify_mailbox_owner', models.BooleanField(default=False)),
                ('maximum_attachment_kb', models.PositiveIntegerField(default=5120, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(131072)], verbose_name='maximum file size for attachments (KB)')),
                ('blocked_attachment_types', models.TextField(blank=True, default='ade;adp;app;asp;bat;cer;chm;cmd;com;cpl;exe;hta;inf;ins;isp;jar;js;jse;lnk;mda;mdb;mde;mdz;msc;msi;msp;mst;pcd;pif;reg;scr;sct;shs;url;vb;vbe;vbs;wsc;wsf;wsh')),
                ('use_secure_frames', models.BooleanField(default=False, verbose_name='use secure frames to restrict email message content')),
                ('send_to_unresolved_recipients', models.BooleanField(default=False)),
                ('unresolve_ambiguous_recipients', models.BooleanField(default=False)),
                ('apply_manual_resolution_to_similar', models.BooleanField(default=True)),
                ('use_correlation', models.BooleanField(default=True)),
                ('use_tracking_token', models.BooleanField(default=True)),
                ('tracking_prefix', models.CharField(default='CRM', max_length=20)),
                ('tracking_base_number', models.PositiveIntegerField(default=0)),
                ('tracking_user_digits', models.PositiveIntegerField(default=3, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(10)])),
                ('tracking_message_digits', models.PositiveIntegerField(default=3, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(9)])),
                ('use_smart_matching', models.BooleanField(default=False)),
                ('track_between_users_as_two', models.BooleanField(default=True)),
                ('modified_by', models.ForeignKey(blank=True, editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('environment', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='email_settings', to='profiles.environment')),
            ],
            options={
                'verbose_name_plural': 'email settings',
                'constraints': [models.CheckConstraint(condition=models.Q(('incoming__in', ['none', 'server_side_synchronization', 'forward_mailbox'])), name='settings_incoming'), models.CheckConstraint(condition=models.Q(('outgoing__in', ['none', 'server_side_synchronization'])), name='settings_outgoing'), models.CheckConstraint(condition=models.Q(('act', 'none')), name='settings_act_is_none'), models.CheckConstraint(condition=models.Q(('maximum_attachment_kb__range', (1, 131072))), name='settings_attachment_limit')],
            },
        ),
        migrations.CreateModel(
            name='Membership',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('role', models.CharField(choices=[('system_administrator', 'System Administrator'), ('system_customizer', 'System Customizer'), ('mailbox_administrator', 'Mailbox Administrator'), ('email_approver', 'Email Approver'), ('auditor', 'Auditor'), ('member', 'Member')], max_length=30)),
                ('may_read_mailboxes', models.BooleanField(default=True, verbose_name='read on Mailbox')),
                ('may_write_mailboxes', models.BooleanField(default=True, verbose_name='write on Mailbox')),
                ('may_read_email', models.BooleanField(default=False, verbose_name='read email')),
                ('created_on', models.DateTimeField(auto_now_add=True)),
                ('created_by', models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('environment', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='memberships', to='profiles.environment')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='memberships', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['environment', 'user', 'role'],
                'constraints': [models.UniqueConstraint(fields=('environment', 'user', 'role'), name='one_membership_per_role'), models.CheckConstraint(condition=models.Q(('role__in', ['system_administrator', 'system_customizer', 'mailbox_administrator', 'email_approver', 'auditor', 'member'])), name='membership_role')],
            },
        ),
        migrations.CreateModel(
            name='ServerProfile',
            fields=[
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_on', models.DateTimeField(auto_now_add=True)),
                ('modified_on', models.DateTimeField(auto_now=True)),
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=100)),
                ('description', models.TextField(blank=True, max_length=2000)),
                ('is_active', models.BooleanField(default=True, verbose_name='status')),
                ('is_default', models.BooleanField(default=False, verbose_name='set as default profile for new mailboxes')),
                ('server_type', models.CharField(choices=[('exchange_online', 'Exchange Online'), ('exchange_server', 'Exchange Server (On Prem)'), ('gmail', 'Gmail'), ('other', 'Other (IMAP/POP,SMTP)')], default='other', max_length=30, verbose_name='email server type')),
                ('incoming_protocol', models.CharField(choices=[('imap', 'IMAP'), ('pop3', 'POP3')], default='imap', max_length=10, verbose_name='incoming communication protocol')),
                ('incoming_location', models.CharField(max_length=2084)),
                ('incoming_port', models.PositiveIntegerField(blank=True, null=True, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(65535)])),
                ('incoming_security', models.CharField(choices=[('tls', 'TLS from the start'), ('starttls', 'STARTTLS'), ('none', 'None')], default='tls', max_length=10)),
                ('outgoing_location', models.CharField(max_length=2084)),
                ('outgoing_port', models.PositiveIntegerField(blank=True, null=True, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(65535)])),
                ('outgoing_security', models.CharField(choices=[('tls', 'TLS from the start'), ('starttls', 'STARTTLS'), ('none', 'None')], default='tls', max_length=10)),
                ('ca_certificates', models.TextField(blank=True, verbose_name='additional trusted certificates')),
                ('authentication_type', models.CharField(choices=[('credentials_by_user_or_queue', 'Credentials Specified by a User or Queue'), ('credentials_in_profile', 'Credentials Specified in Email Server Profile'), ('windows_integrated', 'Windows Integrated Authentication'), ('anonymous', 'Without Credentials (Anonymous)'), ('oauth', 'OAuth')], default='credentials_by_user_or_queue', max_length=40)),
                ('user_name', models.CharField(blank=True, max_length=250)),
                ('password', emailsync.crypto.fields.EncryptedTextField(blank=True, default='', editable=False, max_length=250)),
                ('incoming_authentication_protocol', models.CharField(choices=[('auto_detect', 'Auto Detect'), ('negotiate', 'Negotiate'), ('ntlm', 'NTLM'), ('basic', 'Basic'), ('oauth', 'OAuth')], default='auto_detect', max_length=20)),
                ('impersonation', models.CharField(choices=[('none', 'None'), ('sasl_authorization_identity', 'SASL authorization identity'), ('master_user', 'Master user ("user*master")')], default='none', max_length=40, verbose_name='use impersonation')),
                ('use_same_settings_for_outgoing', models.BooleanField(default=True, verbose_name='use same settings for Outgoing')),
                ('outgoing_authentication_type', models.CharField(choices=[('credentials_by_user_or_queue', 'Credentials Specified by a User or Queue'), ('credentials_in_profile', 'Credentials Specified in Email Server Profile'), ('windows_integrated', 'Windows Integrated Authentication'), ('anonymous', 'Without Credentials (Anonymous)'), ('oauth', 'OAuth')], default='credentials_by_user_or_queue', max_length=40)),
                ('outgoing_user_name', models.CharField(blank=True, max_length=250)),
                ('outgoing_password', emailsync.crypto.fields.EncryptedTextField(blank=True, default='', editable=False, max_length=250)),
                ('outgoing_authentication_protocol', models.CharField(choices=[('auto_detect', 'Auto Detect'), ('negotiate', 'Negotiate'), ('ntlm', 'NTLM'), ('basic', 'Basic'), ('oauth', 'OAuth')], default='auto_detect', max_length=20)),
                ('outgoing_impersonation', models.CharField(choices=[('none', 'None'), ('sasl_authorization_identity', 'SASL authorization identity'), ('master_user', 'Master user ("user*master")')], default='none', max_length=40)),
                ('oauth_provider', models.CharField(choices=[('google', 'Google'), ('microsoft', 'Microsoft'), ('other', 'Other')], default='other', max_length=20, verbose_name='OAuth provider')),
                ('oauth_grant', models.CharField(choices=[('authorization_code', 'The person of each mailbox (authorization code)'), ('client_credentials', 'The application, for all mailboxes (client credentials)')], default='authorization_code', max_length=30, verbose_name='permission given by')),
                ('oauth_tenant_id', models.CharField(blank=True, max_length=250, verbose_name='tenant id')),
                ('oauth_client_id', models.CharField(blank=True, max_length=250, verbose_name='client id')),
                ('oauth_client_secret', emailsync.crypto.fields.EncryptedTextField(blank=True, default='', editable=False, max_length=250)),
                ('oauth_secret_expires_on', models.DateField(blank=True, null=True, verbose_name='client secret expires on')),
                ('oauth_authorization_url', models.CharField(blank=True, max_length=2084, verbose_name='authorization endpoint')),
                ('oauth_token_url', models.CharField(blank=True, max_length=2084, verbose_name='token endpoint')),
                ('oauth_scopes', models.CharField(blank=True, max_length=2000, verbose_name='scopes')),
                ('process_email_from', models.DateTimeField(blank=True, null=True)),
                ('minimum_polling_interval', models.PositiveIntegerField(default=0, validators=[django.core.validators.MaxValueValidator(1440)], verbose_name='minimum polling interval in minutes')),
                ('maximum_concurrent_connections', models.PositiveIntegerField(default=10, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(300)])),
                ('move_failed_to_undeliverable', models.BooleanField(default=False, verbose_name='move failed emails to Undeliverable folder')),
                ('alert_owner_on_major_events', models.BooleanField(default=False, verbose_name='send an alert email to the owner of the email server profile on major events')),
                ('timeout_enabled', models.BooleanField(default=True, verbose_name='timeout mailbox connection')),
                ('timeout_ms', models.PositiveIntegerField(default=30000, validators=[django.core.validators.MinValueValidator(1000), django.core.validators.MaxValueValidator(100000)], verbose_name='timeout a single mailbox connection after (milliseconds)')),
                ('append_to_sent', models.CharField(choices=[('auto', 'Auto: unless the mail server does it itself'), ('always', 'Always'), ('never', 'Never')], default='auto', max_length=10, verbose_name='add sent email to the Sent folder')),
                ('encoding_code_page', models.CharField(blank=True, max_length=100)),
                ('notes', models.TextField(blank=True)),
                ('environment', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='server_profiles', to='profiles.environment')),
                ('modified_by', models.ForeignKey(blank=True, editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('owner', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='server_profiles', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['name'],
                'constraints': [models.UniqueConstraint(models.F('environment'), models.F('name'), name='profile_name_in_environment'), models.UniqueConstraint(condition=models.Q(('is_default', True)), fields=('environment',), name='one_default_profile_per_environment'), models.CheckConstraint(condition=models.Q(('is_default', False), ('is_active', True), _connector='OR'), name='default_profile_is_active'), models.CheckConstraint(condition=models.Q(('server_type__in', ['exchange_online', 'exchange_server', 'gmail', 'other'])), name='profile_server_type'), models.CheckConstraint(condition=models.Q(('incoming_protocol__in', ['imap', 'pop3'])), name='profile_incoming_protocol'), models.CheckConstraint(condition=models.Q(('incoming_security__in', ['tls', 'starttls', 'none']), ('outgoing_security__in', ['tls', 'starttls', 'none'])), name='profile_security'), models.CheckConstraint(condition=models.Q(models.Q(('authentication_type', 'anonymous'), _negated=True), models.Q(('outgoing_authentication_type', 'anonymous'), _negated=True)), name='profile_never_anonymous'), models.CheckConstraint(condition=models.Q(models.Q(('server_type', 'other'), _negated=True), models.Q(('authentication_type', 'windows_integrated'), ('outgoing_authentication_type', 'windows_integrated'), _connector='OR', _negated=True), _connector='OR'), name='windows_integrated_is_for_exchange'), models.CheckConstraint(condition=models.Q(models.Q(('incoming_port__isnull', True), ('incoming_port__range', (1, 65535)), _connector='OR'), models.Q(('outgoing_port__isnull', True), ('outgoing_port__range', (1, 65535)), _connector='OR')), name='profile_ports'), models.CheckConstraint(condition=models.Q(('maximum_concurrent_connections__range', (1, 300)), ('minimum_polling_interval__lte', 1440), ('timeout_ms__lte', 100000)), name='profile_limits')],
            },
        ),
    ]
