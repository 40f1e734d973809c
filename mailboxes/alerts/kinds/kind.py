"""What a kind of alert is."""

from dataclasses import dataclass
from enum import StrEnum

from mailboxes.choices import AlertLevel, Direction

#: The news that a mailbox was tested and is enabled. It stands until something stops the mailbox.
READY = "configuration_succeeded"


class Link(StrEnum):
    """Where an alert leads."""

    MAILBOX = "mailbox"
    PROFILE = "profile"
    EMAIL = "email"
    EMAILS = "emails"
    PEOPLE = "people"


@dataclass(frozen=True)
class Kind:
    """One kind of alert. The sentences are translated, then filled with the alert's parameters."""

    code: str
    level: AlertLevel
    title: str
    text: str
    remedy: str
    links: tuple[Link, ...] = (Link.MAILBOX,)
    #: The direction whose success resolves it.
    mended_by: Direction | None = None
    #: The kind of the profile's alert that gathers this one when it stops several mailboxes alike.
    gathered_as: str = ""
    #: Whether the mailbox receives or sends no email from then on: it was told to be ready, and is no more.
    stops: bool = False
