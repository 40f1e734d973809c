"""Bring one mailbox's Inbox up to date.

What IMAP promises (RFC 3501 §2.3.1.1): within one UIDVALIDITY, UIDs only ever grow, and a UID names the
same message for ever. So (UIDVALIDITY, highest UID seen) is a complete cursor, and `STATUS` tells for one
round trip whether anything is new. When the server breaks the promise openly (another UIDVALIDITY) or
silently (UIDNEXT at or below the cursor), the folder is read again from its first message and every
message is recognised by the SHA-256 of its bytes: nothing is lost, nothing is stored twice.

Who may die where. A reader thread fetches and parses, and a storing thread (the caller) commits, batch by
batch. Ledger rows, raw bytes, message rows and the cursor move in one transaction that holds the lease's
fence. Killed before the commit, the batch is fetched again; killed after it, the cursor is past it.
Deletions on the server come last and only for rows whose commit is known.
"""

import logging
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import QuerySet
from django.template.defaultfilters import filesizeformat
from django.utils import timezone

from emailsync.mail.errors import (
    CommandRefused,
    DeadlineExceeded,
    FolderForbidden,
    FolderMissing,
    FolderRenumbered,
    MailError,
)
from emailsync.mail.incoming import FolderStatus, IncomingClient
from mailboxes.alerts import wall
from mailboxes.choices import Direction, LedgerOutcome
from mailboxes.engine import connecting, eligibility, outcomes, reading, scheduling, storing
from mailboxes.models import FolderCursor, LedgerEntry, Mailbox, WorkerState

log = logging.getLogger(__name__)

UNDELIVERABLE = "Undeliverable"
#: How long after a message was withheld by the server it is asked for again.
ASK_AGAIN = timedelta(hours=1)
#: How long after a renumbering the next one in a row is taken up: each means reading everything again.
RENUMBERING_PAUSE = timedelta(minutes=30)


@dataclass
class Result:
    """What a run did; `is_complete` is false when its time was up before the folder was."""

    stored: int = 0
    #: Messages fetched, also those that were stored before.
    fetched: int = 0
    is_complete: bool = True
    #: UIDs of messages that went into quarantine.
    undeliverable: list[int] = field(default_factory=list)


def run(state_pk: int) -> None:
    """Do the due incoming work of one worker state, if it is still there to be done."""
    lease = scheduling.claim_running(WorkerState, state_pk, now=timezone.now())
    if lease is None:
        return
    with scheduling.working(lease):
        _run(lease)


def _run(lease: scheduling.Lease) -> None:
    state = WorkerState.objects.get(pk=lease.pk)
    mailbox = Mailbox.objects.select_related("server_profile", "environment").get(pk=state.mailbox_id)
    if eligibility.blockers(mailbox, Direction.INCOMING):
        outcomes.parked(lease)
        return
    profile = connecting.profile_of(mailbox)
    if scheduling.must_wait_for_place(profile, lease):
        return
    try:
        with connecting.open_incoming(mailbox) as client:
            result = sync(lease, mailbox, client)
    except MailError as error:
        outcomes.failed(lease, mailbox, state, error)
        return
    pause = max(settings.POLL_INTERVAL, timedelta(minutes=profile.minimum_polling_interval))
    due_at = timezone.now() + (pause if result.is_complete else timedelta(0))
    outcomes.succeeded(lease, mailbox, state, items=result.stored, due_at=due_at)


def sync(lease: scheduling.Lease, mailbox: Mailbox, client: IncomingClient) -> Result:
    """Receive what is new in the Inbox through a connection that somebody opened.

    Raises MailError from the server and LeaseLost when somebody else has taken over.
    """
    status = client.status(reading.INBOX)
    cursor = _cursor(lease, mailbox, client, status)
    result = Result()
    withheld = _withheld(mailbox, cursor)
    # Not every server tells UIDNEXT right; a new message shows in one of the two.
    is_changed = (status.uidnext, status.messages) != (cursor.uidnext, cursor.messages)
    if withheld or (status.messages and is_changed):
        try:
            _receive(lease, mailbox, client, cursor, result, withheld=withheld)
        except DeadlineExceeded:
            if not result.fetched:
                raise
            # A slow server is no failure: the next run goes on from what is stored.
            result.is_complete = False
            return result
    if result.undeliverable and connecting.profile_of(mailbox).move_failed_to_undeliverable:
        _move_undeliverable(client, cursor, result)
    if mailbox.delete_after_processing:
        _delete_processed(mailbox, client, cursor)
    if result.is_complete:
        with scheduling.fenced(lease):
            FolderCursor.objects.filter(pk=cursor.pk).update(
                uidnext=status.uidnext, messages=status.messages, asked_on=timezone.now()
            )
    return result


def _cursor(
    lease: scheduling.Lease, mailbox: Mailbox, client: IncomingClient, status: FolderStatus
) -> FolderCursor:
    """Return the cursor to go on from, started over when the server broke the promise of its UIDs.

    Raises FolderRenumbered when it was broken again before anybody saw it kept once.
    """
    cursor = FolderCursor.objects.filter(mailbox=mailbox, folder=reading.INBOX).first()
    if cursor is None:
        with scheduling.fenced(lease):
            return FolderCursor.objects.create(
                mailbox=mailbox, folder=reading.INBOX, uidvalidity=status.uidvalidity
            )
    if _is_kept(client, cursor, status):
        if cursor.is_rescan and cursor.uidnext:
            with scheduling.fenced(lease):
                cursor.is_rescan = False
                cursor.save()
        return cursor
    now = timezone.now()
    if cursor.is_rescan and cursor.asked_on and now - cursor.asked_on < RENUMBERING_PAUSE:
        raise FolderRenumbered("The server gives the messages of the Inbox new numbers again and again.")
    with scheduling.fenced(lease):
        # Entries of the numbering before stay until the next one; older ones say nothing about any server.
        outdated = LedgerEntry.objects.filter(mailbox=mailbox, folder=reading.INBOX)
        if cursor.uidvalidity != status.uidvalidity:
            outdated = outdated.exclude(uidvalidity=cursor.uidvalidity)
        outdated.delete()
        cursor.uidvalidity, cursor.last_uid, cursor.uidnext = status.uidvalidity, 0, 0
        cursor.is_rescan, cursor.asked_on = True, now
        cursor.save()
        wall.raise_alert("folder_renumbered", now=now, mailbox=mailbox)
    return cursor


def _is_kept(client: IncomingClient, cursor: FolderCursor, status: FolderStatus) -> bool:
    """Say whether the folder is numbered as it was when the cursor was written."""
    if cursor.uidvalidity != status.uidvalidity:
        return False
    if status.uidnext > cursor.last_uid:
        return True
    # While the last message is still there under its UID, only the UIDNEXT is wrong.
    reading.open_inbox(client, cursor, read_only=True)
    return cursor.last_uid in client.ids_after(cursor.last_uid - 1)


def _withheld(mailbox: Mailbox, cursor: FolderCursor) -> list[int]:
    """Return the UIDs that the server listed but did not hand out, when it is time to ask again."""
    entries = LedgerEntry.objects.withheld().filter(
        mailbox=mailbox,
        folder=reading.INBOX,
        uidvalidity=cursor.uidvalidity,
        seen_on__lt=timezone.now() - ASK_AGAIN,
    )
    return _uids(entries.order_by("uid")[: reading.WINDOW])


def _uids(entries: QuerySet[LedgerEntry]) -> list[int]:
    return [uid for uid in entries.values_list("uid", flat=True) if uid is not None]


def _receive(
    lease: scheduling.Lease,
    mailbox: Mailbox,
    client: IncomingClient,
    cursor: FolderCursor,
    result: Result,
    *,
    withheld: list[int],
) -> None:
    folder = storing.Folder(mailbox, reading.INBOX, cursor.uidvalidity, is_rescan=cursor.is_rescan)
    # A run never takes so long that others starve; what is left is due at once.
    ends = time.monotonic() + settings.RUN_DEADLINE.total_seconds() / 2
    # Stored by a run that ended between two cursor moves: not fetched again.
    known = LedgerEntry.objects.filter(
        mailbox=mailbox, folder=reading.INBOX, uidvalidity=cursor.uidvalidity, uid__gt=cursor.last_uid
    )
    reader = reading.Reader(
        client,
        cursor,
        known=set(_uids(known)),
        again=withheld,
        start=mailbox.effective_start,
    )
    waited_for = set(withheld)
    with reader:
        for batch in reader.batches():
            now = timezone.now()
            saved = storing.save(lease, folder, batch, now=now)
            for message in batch.prepared:
                message.source.body.close()
            result.stored += saved.stored
            result.fetched += len(batch.prepared)
            for uid in waited_for.intersection(message.source.uid for message in batch.prepared):
                wall.resolve("message_quarantined", mailbox=mailbox, now=now, about=str(uid))
            result.undeliverable += [uid for uid, _ in saved.quarantined]
            _tell(mailbox, batch, saved, now=now)
            if time.monotonic() > ends:
                result.is_complete = reader.is_exhausted()
                break
    if result.is_complete and withheld:
        # Those that vanished meanwhile are asked for no more often than the others.
        LedgerEntry.objects.withheld().filter(
            mailbox=mailbox, folder=reading.INBOX, uidvalidity=cursor.uidvalidity, uid__in=withheld
        ).update(seen_on=timezone.now())


def _tell(mailbox: Mailbox, batch: storing.Batch, saved: storing.Saved, *, now: datetime) -> None:
    for uid, failure in saved.quarantined:
        wall.raise_alert(
            "message_quarantined", now=now, mailbox=mailbox, cause=wall.Cause(failure), about=str(uid)
        )
    for note in batch.noted:
        if note.outcome is LedgerOutcome.OVERSIZE:
            wall.raise_alert(
                "message_oversize",
                now=now,
                mailbox=mailbox,
                about=str(note.remote.uid),
                words={
                    "size": filesizeformat(note.remote.size),
                    "limit": filesizeformat(settings.MAXIMUM_MESSAGE_SIZE),
                    "received_at": note.remote.received_at.isoformat(),
                },
            )
        elif note.outcome is LedgerOutcome.QUARANTINED:
            cause = wall.Cause("the server lists the message but does not deliver it.")
            wall.raise_alert(
                "message_quarantined", now=now, mailbox=mailbox, cause=cause, about=str(note.remote.uid)
            )


def _move_undeliverable(client: IncomingClient, cursor: FolderCursor, result: Result) -> None:
    """Move what went into quarantine out of the way; its bytes are kept and told of, moved or not."""
    try:
        reading.open_inbox(client, cursor, read_only=False)
        client.move(result.undeliverable, UNDELIVERABLE)
    except (FolderMissing, FolderForbidden, CommandRefused) as error:
        log.warning("A message in quarantine stays in the Inbox: %s %s", error, error.server_reply)


def _delete_processed(mailbox: Mailbox, client: IncomingClient, cursor: FolderCursor) -> None:
    """Remove from the server what is stored and marked to go; what fails is tried by the next run."""
    entries = LedgerEntry.objects.filter(mailbox=mailbox, is_to_delete=True)
    entries.exclude(folder=reading.INBOX, uidvalidity=cursor.uidvalidity).update(is_to_delete=False)
    uids = _uids(entries[: reading.WINDOW])
    if uids:
        reading.open_inbox(client, cursor, read_only=False)
        client.delete(uids)
        entries.filter(uid__in=uids).update(is_to_delete=False)
