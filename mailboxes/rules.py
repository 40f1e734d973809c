"""What a mailbox may be: one place for the rules that forms, bulk changes and files obey."""

from typing import TYPE_CHECKING

from mailboxes.choices import MailboxKind
from profiles.choices import ActMethod, OutgoingMethod
from profiles.rules import plain_text_errors

if TYPE_CHECKING:
    from mailboxes.models.mailbox import Mailbox


def mailbox_errors(mailbox: "Mailbox") -> dict[str, str]:
    """Return the complaints about `mailbox` by field; brings the address into its stored form."""
    mailbox.address = mailbox.address.strip()
    errors = plain_text_errors(mailbox, fields=("name", "address", "user_name"))
    if mailbox.act != ActMethod.NONE:
        errors["act"] = "IMAP and POP3 servers hold no appointments, contacts or tasks. Choose None."
    if mailbox.kind == MailboxKind.FORWARD and mailbox.outgoing != OutgoingMethod.NONE:
        errors["outgoing"] = "A forward mailbox only receives. Choose None for outgoing email."
    if mailbox.kind == MailboxKind.USER and mailbox.delete_after_processing:
        errors["delete_after_processing"] = (
            "Email of a user's mailbox stays on the server. Only queue and forward mailboxes may delete it."
        )
    if mailbox.allow_credentials:
        if not mailbox.user_name:
            errors["user_name"] = "Enter the user name that signs in to this mailbox."
        if not mailbox.password:
            errors["password"] = "Enter the password of that user."  # noqa: S105  (a sentence)
    profile = mailbox.server_profile
    if profile is not None:
        errors |= _profile_errors(mailbox)
    taken = type(mailbox).objects.filter(
        environment_id=mailbox.environment_id, address__iexact=mailbox.address
    )
    if taken.exclude(pk=mailbox.pk).exists():
        errors["address"] = (
            f"Another mailbox of this environment has the address {mailbox.address}. Open that one instead."
        )
    return errors


def _profile_errors(mailbox: "Mailbox") -> dict[str, str]:
    errors = {}
    profile = mailbox.server_profile
    assert profile is not None
    if profile.environment_id != mailbox.environment_id:
        errors["server_profile"] = (
            "This profile belongs to another environment. Choose one of this environment."
        )
    elif not profile.is_active:
        errors["server_profile"] = f"The profile {profile} is inactive. Activate it or choose another one."
    start = profile.process_email_from
    if mailbox.process_email_from and start and mailbox.process_email_from < start:
        errors["process_email_from"] = (
            f"The profile starts at {start:%Y-%m-%d %H:%M} UTC. Choose a later moment or leave this empty."
        )
    return errors
