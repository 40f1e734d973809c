"""After sending, over the connection of an incoming run: a copy for the Sent folder, and proof about doubt.

Neither holds up sending or receiving: what fails here is tried by later runs and then told. A copy is never
added twice: it is looked for by its Message-ID first, also after an attempt whose end nobody saw. Doubt about
an uncertain message ends with proof only: a copy in the Sent folder that this installation did not put there,
the message received by another mailbox of the environment, or an answer to it. Reports of servers are proof
too, see `bouncing`. Without any, people are asked.
"""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db.models import F, Q
from django.utils import timezone

from emailsync.mail.errors import FolderForbidden, FolderMissing, MailError
from emailsync.mail.incoming import FolderClient, IncomingClient
from mailboxes.alerts import wall
from mailboxes.choices import Correlation, OutgoingStatus, SentCopy
from mailboxes.engine import connecting, recording, scheduling
from mailboxes.models import Mailbox, Message, OutgoingMessage
from profiles.choices import AppendToSent

log = logging.getLogger(__name__)

#: Messages looked after in one run.
LIMIT = 20
#: How often a copy is tried, and how often it is looked for proof in the Sent folder.
ATTEMPTS = 10
#: How long a server that keeps copies by itself may take, before it is taken for one that does not.
SETTLED = timedelta(seconds=30)
#: Gmail says so by a capability of its own; the others are known by their names.
KEEPS_COPIES = "X-GM-EXT-1"
HOSTS_THAT_KEEP_COPIES = ("gmail.com", "googlemail.com", "outlook.com", "office365.com", "office365.us")


def run(lease: scheduling.Lease, mailbox: Mailbox, client: IncomingClient) -> None:
    """Look after what was sent, or perhaps sent, from `mailbox`. Raises LeaseLost."""
    waiting = Q(status=OutgoingStatus.UNCERTAIN) | Q(sent_copy=SentCopy.WANTED)
    found = OutgoingMessage.objects.filter(waiting, mailbox=mailbox, sent_copy_attempts__lt=ATTEMPTS)
    messages = list(found.defer("content").order_by("sent_copy_attempts", "pk")[:LIMIT])
    if not messages:
        return
    try:
        folders = client.folders
        sent = folders.sent_folder() if folders else None
        for message in messages:
            message.mailbox = mailbox
            if message.status == OutgoingStatus.UNCERTAIN:
                _settle(lease, message, folders, sent)
            elif folders is None or sent is None:
                _file(message, SentCopy.NO_FOLDER)
            else:
                _copy(lease, message, folders, sent)
    except MailError as error:
        # What was received is stored; the next run looks again.
        log.warning("The Sent folder could not be used: %s %s", error, error.server_reply)
        ask_people(mailbox, now=timezone.now())


def ask_people(mailbox: Mailbox, *, now: datetime) -> None:
    """Have people decide about the uncertain messages of `mailbox`: nothing proves what became of them."""
    uncertain = OutgoingMessage.objects.filter(mailbox=mailbox, status=OutgoingStatus.UNCERTAIN)
    _ask(uncertain.filter(sent_copy_attempts=0).defer("content"), mailbox, now=now)


def _ask(messages: Iterable[OutgoingMessage], mailbox: Mailbox, *, now: datetime) -> None:
    for message in messages:
        recording.alert("email_uncertain", message, mailbox, now=now)


def _settle(
    lease: scheduling.Lease, message: OutgoingMessage, folders: FolderClient | None, sent: str | None
) -> None:
    # A copy, or an answer, may come from those who took it in an earlier attempt.
    proven = not message.accepted and (
        _is_received(message)
        or (
            folders is not None
            and sent is not None
            and folders.find_by_message_id(message.message_id, folders=[sent]) is not None
        )
    )
    now = timezone.now()
    with scheduling.fenced(lease):
        if proven:
            recording.found_sent(message, now=now)
            return
        if message.sent_copy_attempts == 0:
            _ask([message], message.mailbox, now=now)
        _count(message)


def _is_received(message: OutgoingMessage) -> bool:
    copies = Message.objects.filter(environment=message.environment_id, message_id=message.message_id)
    answers = Message.objects.filter(correlated_with_outgoing=message.pk, correlation=Correlation.IN_REPLY_TO)
    return copies.exists() or answers.exists()


def _copy(lease: scheduling.Lease, message: OutgoingMessage, folders: FolderClient, sent: str) -> None:
    """Add a copy to the folder `sent` unless one is there, or comes there by itself."""
    is_auto = connecting.profile_of(message.mailbox).append_to_sent == AppendToSent.AUTO
    if is_auto and _keeps_copies(message.mailbox, folders):
        _file(message, SentCopy.FOUND)
        return
    if folders.find_by_message_id(message.message_id, folders=[sent]) is not None:
        _file(message, SentCopy.APPENDED if message.sent_copy_attempts else SentCopy.FOUND)
        return
    now = timezone.now()
    # A time that is still to come was noted by a clock that was ahead of time.
    if is_auto and message.sent_at is not None and timedelta() <= now - message.sent_at < SETTLED:
        return
    with scheduling.fenced(lease):
        _count(message)
    try:
        folders.append(sent, bytes(message.content), date=message.sent_at or now)
    except MailError as error:
        if isinstance(error, FolderMissing | FolderForbidden) or message.sent_copy_attempts + 1 >= ATTEMPTS:
            _file(message, SentCopy.FAILED)
            cause = wall.Cause.of(error)
            recording.alert("sent_copy_failed", message, message.mailbox, now=now, cause=cause)
        raise
    _file(message, SentCopy.APPENDED)


def _keeps_copies(mailbox: Mailbox, client: IncomingClient) -> bool:
    host = connecting.profile_of(mailbox).incoming_location.lower()
    by_name = any(host == name or host.endswith(f".{name}") for name in HOSTS_THAT_KEEP_COPIES)
    return by_name or KEEPS_COPIES in client.capabilities


def _count(message: OutgoingMessage) -> None:
    OutgoingMessage.objects.filter(pk=message.pk).update(sent_copy_attempts=F("sent_copy_attempts") + 1)


def _file(message: OutgoingMessage, copy: SentCopy) -> None:
    OutgoingMessage.objects.filter(pk=message.pk, sent_copy=SentCopy.WANTED).update(sent_copy=copy)
    if copy is SentCopy.APPENDED:
        wall.resolve("sent_copy_failed", mailbox=message.mailbox, now=timezone.now())
