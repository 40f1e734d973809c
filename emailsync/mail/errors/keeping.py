"""Failures of folders and of single messages."""

from collections.abc import Mapping, Sequence

from emailsync.mail.errors.base import MailError, Scope
from emailsync.mail.words import gettext_noop


class FolderMissing(MailError):
    code = "folder_missing"
    title = gettext_noop("Folder missing")
    permanent = True
    scope = Scope.MAILBOX
    remedy = gettext_noop(
        "Check that the account has a mailbox at this server: signing in to its webmail once often creates "
        "the INBOX."
    )


class FolderForbidden(MailError):
    code = "folder_forbidden"
    title = gettext_noop("Folder not accessible")
    permanent = True
    scope = Scope.MAILBOX
    remedy = gettext_noop("Grant the signing-in account the right to read (and change) this folder.")


class FolderRenumbered(MailError):
    code = "folder_renumbered"
    title = gettext_noop("Folder renumbered again and again")
    scope = Scope.MAILBOX
    remedy = gettext_noop(
        "Nothing needs to be done at once: the folder is compared with what is stored later. If this "
        "repeats, have the mailbox repaired at the mail server (its UIDVALIDITY changes)."
    )


class QuotaExceeded(MailError):
    code = "quota_exceeded"
    title = gettext_noop("Mailbox full")
    scope = Scope.MESSAGE
    remedy = gettext_noop("Make room in the mailbox, or have its quota raised.")


class MessageFailure(MailError):
    code = "message_failure"
    title = gettext_noop("Message failed")
    scope = Scope.MESSAGE
    remedy = gettext_noop("Look at the message and the server's answer.")


class MessageUnreadable(MessageFailure):
    """Name the messages that the server lists but does not hand out."""

    code = "message_unreadable"
    title = gettext_noop("Message withheld by the server")
    remedy = gettext_noop("Have the mailbox repaired at the mail server; the message is asked for again.")

    def __init__(self, *, uids: Sequence[int], server_reply: str = "") -> None:
        sentence = f"The server does not hand out all the messages that it lists (withheld: {len(uids)})."
        super().__init__(sentence, server_reply=server_reply)
        self.uids = tuple(uids)


class MessageTooLarge(MessageFailure):
    code = "message_too_large"
    title = gettext_noop("Message too large")
    permanent = True
    remedy = gettext_noop(
        "Send the message with smaller attachments, or have the limit of the mail server raised."
    )


class MessageRefused(MessageFailure):
    code = "message_refused"
    title = gettext_noop("Message refused")
    permanent = True
    remedy = gettext_noop("Read the server's answer, change the message and send it again.")


class SenderRefused(MessageFailure):
    code = "sender_refused"
    title = gettext_noop("Sender refused")
    permanent = True
    scope = Scope.MAILBOX
    remedy = gettext_noop("Allow the signing-in account to send from this address at the mail server.")


class RecipientsRefused(MessageFailure):
    """Name every recipient with the server's answer, those refused for good and those for now."""

    code = "recipients_refused"
    title = gettext_noop("Recipient refused")
    permanent = True
    remedy = gettext_noop("Correct the addresses of the recipients and send the message again.")

    def __init__(
        self,
        sentence: str,
        *,
        refused: Mapping[str, str],
        deferred: Mapping[str, str],
        server_reply: str = "",
    ) -> None:
        super().__init__(sentence, server_reply=server_reply, permanent=not deferred)
        self.refused = dict(refused)
        self.deferred = dict(deferred)


class RelayDenied(RecipientsRefused):
    code = "relay_denied"
    title = gettext_noop("Relaying denied")
    remedy = gettext_noop(
        "Check that the server profile signs in for outgoing email, and that this server is the one that "
        "sends for the mailbox's domain."
    )


class Greylisted(RecipientsRefused):
    code = "greylisted"
    title = gettext_noop("Greylisted")
    permanent = False
    remedy = gettext_noop(
        "Nothing needs to be done: the server wants to see the message once more, and it is sent again "
        "by itself."
    )


class OutcomeUnknown(MessageFailure):
    code = "outcome_unknown"
    title = gettext_noop("Outcome unknown")
    permanent = True
    remedy = gettext_noop(
        "Look into the Sent folder, or ask the recipient, before sending it again: the connection broke "
        "when the server already had the message."
    )


class NotSeenArriving(MessageFailure):
    code = "not_seen_arriving"
    title = gettext_noop("Accepted, but not seen arriving")
    remedy = gettext_noop(
        "Look for the test message in the mailbox, its spam folder and the queue of the mail server. If "
        "it arrives late, nothing needs to be done."
    )
