"""What every failure of mail has."""

from enum import StrEnum

from emailsync.mail.words import gettext_noop

REPLY_LIMIT = 500


class Scope(StrEnum):
    """Whom a failure concerns: everyone on the server, one mailbox, or one message."""

    PROFILE = "profile"
    MAILBOX = "mailbox"
    MESSAGE = "message"


class OutcomeClass(StrEnum):
    """What follows a failure: see `mailboxes.engine.policy`."""

    TRANSIENT = "transient"
    CONFIGURATION = "credential or configuration"
    MESSAGE = "one message"


def classified(*, scope: Scope, permanent: bool) -> OutcomeClass:
    """Return the class of a failure."""
    if scope is Scope.MESSAGE:
        return OutcomeClass.MESSAGE
    return OutcomeClass.CONFIGURATION if permanent else OutcomeClass.TRANSIENT


class MailError(Exception):
    """Describe a failure in words an administrator can act on."""

    code = "mail_error"
    title = gettext_noop("Failure of the mail server")
    permanent = False
    scope = Scope.PROFILE
    remedy = gettext_noop("Test the mailbox again. If it fails again, ask the operator of the mail server.")

    def __init__(self, sentence: str, *, server_reply: str = "", permanent: bool | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.server_reply = server_reply[:REPLY_LIMIT]
        #: What was said on the connection, without secrets; whoever opened it fills this in.
        self.transcript = ""
        if permanent is not None:
            self.permanent = permanent

    def __str__(self) -> str:
        return self.sentence

    @property
    def outcome_class(self) -> OutcomeClass:
        """Say what follows: trying again, waiting for a person, or giving up one message."""
        return classified(scope=self.scope, permanent=self.permanent)
