"""What new mailboxes begin with."""

from mailboxes.choices import MailboxKind
from mailboxes.models import Mailbox
from profiles.choices import IncomingMethod, OutgoingMethod
from profiles.models import EmailSettings, Environment


def new_mailbox(environment: Environment, *, kind: str = MailboxKind.USER) -> Mailbox:
    """Return an unsaved mailbox with the defaults of `environment` now in force."""
    settings = EmailSettings.objects.filter(environment=environment).first() or EmailSettings()
    profile = environment.server_profiles.filter(is_default=True).first()
    outgoing = OutgoingMethod.NONE if kind == MailboxKind.FORWARD else settings.outgoing
    return Mailbox(
        environment=environment,
        kind=kind,
        server_profile=profile,
        incoming=IncomingMethod.SERVER_SIDE if kind == MailboxKind.FORWARD else settings.incoming,
        outgoing=outgoing,
    )
