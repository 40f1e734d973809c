"""Keep opening what profiles open now: whose mailbox it is was said by the user name so far."""

from typing import Any

from django.db import migrations, models
from django.db.models import F, Q
from django.db.models.functions import Lower


def name_accounts(apps: Any, schema_editor: Any) -> None:  # noqa: ARG001  (Django's signature)
    mailboxes = apps.get_model("mailboxes", "Mailbox").objects
    by_account = Q()
    for way in ("", "outgoing_"):
        uses = f"server_profile__{way}authentication_type"
        by_account |= Q(**{uses: "credentials_in_profile"}) & ~Q(
            **{f"server_profile__{way}impersonation": "none"}
        )
        by_account |= Q(**{uses: "oauth"}, server_profile__oauth_grant="client_credentials")
    found = mailboxes.filter(by_account).exclude(user_name="")
    found = found.annotate(login=Lower("user_name")).exclude(login=Lower("address"))
    mailboxes.filter(pk__in=found.values("pk")).update(server_account=F("user_name"))


class Migration(migrations.Migration):

    dependencies = [
        ("mailboxes", "0043_count_pending_from_the_index"),
        ("profiles", "0006_pinned_certificates"),
    ]

    operations = [
        migrations.AddField(
            model_name="mailbox",
            name="server_account",
            field=models.CharField(blank=True, max_length=200, verbose_name="account on the server"),
        ),
        migrations.RunPython(name_accounts, migrations.RunPython.noop, elidable=True),
    ]
