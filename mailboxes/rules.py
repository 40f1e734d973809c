"""What a mailbox may be: one place for the rules that forms, bulk changes and files obey."""

from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

from mailboxes.choices import MailboxKind
from profiles.choices import ActMethod, OutgoingMethod
from profiles.rules import plain_text_errors

if TYPE_CHECKING:
    from datetime import datetime

    from mailboxes.models.mailbox import Mailbox


def mailbox_errors(mailbox: "Mailbox") -> dict[str, str]:
    """Return the complaints about `mailbox` by field; brings the address into its stored form."""
    mailbox.address = mailbox.address.strip()
    errors = setting_errors(mailbox)
    taken = type(mailbox).objects.filter(
        environment_id=mailbox.environment_id, address__iexact=mailbox.address
    )
    if taken.exclude(pk=mailbox.pk).exists():
        errors["address"] = _(
            "Another mailbox of this environment has the address %(address)s. Open that one instead."
        ) % {"address": mailbox.address}
    return errors


def setting_errors(mailbox: "Mailbox") -> dict[str, str]:
    """Return the complaints about `mailbox` alone, by field, without asking the database about others."""
    errors = plain_text_errors(mailbox, fields=("name", "address", "user_name", "server_account"))
    if mailbox.act != ActMethod.NONE:
        errors["act"] = _("IMAP and POP3 servers hold no appointments, contacts or tasks. Choose None.")
    if mailbox.kind == MailboxKind.FORWARD and mailbox.outgoing != OutgoingMethod.NONE:
        errors["outgoing"] = _("A forward mailbox only receives. Choose None for outgoing email.")
    if mailbox.kind == MailboxKind.FORWARD and mailbox.is_fed_by_forwarding:
        errors["incoming"] = _("A forward mailbox receives from its own server, not from another one.")
    if mailbox.kind == MailboxKind.USER and mailbox.delete_after_processing:
        errors["delete_after_processing"] = _(
            "Email of a user's mailbox stays on the server. Only queue and forward mailboxes may delete it."
        )
    if mailbox.allow_credentials:
        if not mailbox.user_name:
            errors["user_name"] = _("Enter the user name that signs in to this mailbox.")
        if not mailbox.password:
            errors["password"] = _("Enter the password of that user.")
    if mailbox.server_profile is not None:
        errors |= _profile_errors(mailbox)
    return errors


def _profile_errors(mailbox: "Mailbox") -> dict[str, str]:
    errors = {}
    profile = mailbox.server_profile
    assert profile is not None
    if profile.environment_id != mailbox.environment_id:
        errors["server_profile"] = _(
            "This profile belongs to another environment. Choose one of this environment."
        )
    elif not profile.is_active:
        errors["server_profile"] = _(
            "The profile %(profile)s is inactive. Activate it or choose another one."
        ) % {"profile": profile}
    wrong = start_date_error(mailbox, mailbox.process_email_from)
    if wrong:
        errors["process_email_from"] = wrong
    return errors


def start_date_error(mailbox: "Mailbox", start: "datetime | None") -> str:
    """Say why `mailbox` may not begin with mail received at `start`, or nothing."""
    profile_start = mailbox.server_profile.process_email_from if mailbox.server_profile else None
    if start is None or profile_start is None or start >= profile_start:
        return ""
    return _("The profile starts at %(start)s UTC. Choose a later moment or leave this empty.") % {
        "start": f"{profile_start:%Y-%m-%d %H:%M}"
    }
