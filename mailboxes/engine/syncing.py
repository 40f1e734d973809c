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
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q, QuerySet
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
from mailboxes.choices import Direction, LedgerOutcome, Reason
from mailboxes.engine import (
    connecting,
    eligibility,
    outcomes,
    preparing,
    reading,
    scheduling,
    storing,
    tracking,
)
from mailboxes.models import FolderCursor, LedgerEntry, Mailbox, WorkerState
from mailboxes.models.ledger import LedgerEntryQuerySet

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
    if not mailbox.syncs(Direction.INCOMING):
        # Its mail comes out of the forward mailbox, whose run brings it.
        scheduling.release(lease, due_at=None)
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
    again = _again(mailbox, cursor)
    # Not every server tells UIDNEXT right; a new message shows in one of the two.
    is_changed = (status.uidnext, status.messages) != (cursor.uidnext, cursor.messages)
    if again or (status.messages and is_changed):
        try:
            _receive(lease, mailbox, client, cursor, result, again=again)
        except DeadlineExceeded:
            if not result.fetched:
                raise
            # A slow server is no failure: the next run goes on from what is stored.
            result.is_complete = False
            return result
    if connecting.profile_of(mailbox).move_failed_to_undeliverable:
        _move_undeliverable(mailbox, client, cursor)
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


def _again(mailbox: Mailbox, cursor: FolderCursor) -> list[int]:
    """Return the UIDs of messages that are to be looked at again, the lowest first.

    The server listed them but did not hand them out, and it is time to ask again; or they were older than
    the start date, which has moved since.
    """
    withheld = Q(outcome=LedgerOutcome.QUARANTINED, seen_on__lt=timezone.now() - ASK_AGAIN)
    entries = _to_be_read_again(mailbox, cursor).filter(withheld | _inside_again(mailbox))
    return _uids(entries.order_by("uid")[: reading.WINDOW])


def _to_be_read_again(mailbox: Mailbox, cursor: FolderCursor) -> LedgerEntryQuerySet:
    return LedgerEntry.objects.to_be_read_again().filter(
        mailbox=mailbox, folder=reading.INBOX, uidvalidity=cursor.uidvalidity
    )


def _inside_again(mailbox: Mailbox) -> Q:
    inside = Q(outcome=LedgerOutcome.BEFORE_START)
    start = mailbox.effective_start
    return inside if start is None else inside & Q(received_at__gte=start)


def _uids(entries: QuerySet[LedgerEntry]) -> list[int]:
    return [uid for uid in entries.values_list("uid", flat=True) if uid is not None]


def _receive(
    lease: scheduling.Lease,
    mailbox: Mailbox,
    client: IncomingClient,
    cursor: FolderCursor,
    result: Result,
    *,
    again: list[int],
) -> None:
    rules = tracking.Rules.of(mailbox.environment_id)
    folder = storing.Folder(mailbox, reading.INBOX, cursor.uidvalidity, rules, is_rescan=cursor.is_rescan)
    # A run never takes so long that others starve; what is left is due at once.
    ends = time.monotonic() + settings.RUN_DEADLINE.total_seconds() / 2
    # Stored by a run that ended between two cursor moves: not fetched again.
    known = LedgerEntry.objects.filter(
        mailbox=mailbox, folder=reading.INBOX, uidvalidity=cursor.uidvalidity, uid__gt=cursor.last_uid
    )
    reader = reading.Reader(client, cursor, folder, known=set(_uids(known)), again=again)
    waited_for = set(again)
    with reader:
        for batch in reader.batches():
            now = timezone.now()
            saved = storing.save(lease, folder, batch, now=now)
            preparing.restore(batch.prepared)
            batch.close()
            result.stored += saved.stored
            result.fetched += len(batch.prepared)
            for uid in waited_for.intersection(message.source.uid for message in batch.prepared):
                wall.resolve("message_quarantined", mailbox=mailbox, now=now, about=str(uid))
            _tell(mailbox, batch, saved, now=now)
            if time.monotonic() > ends:
                result.is_complete = reader.is_exhausted()
                break
    if result.is_complete and again:
        # Those that vanished meanwhile are asked for no more often than the others, or no more at all.
        left = _to_be_read_again(mailbox, cursor).filter(uid__in=again)
        left.filter(outcome=LedgerOutcome.QUARANTINED).update(seen_on=timezone.now())
        left.filter(_inside_again(mailbox)).update(outcome=LedgerOutcome.GONE, reason=Reason.VANISHED)
        # More of them may wait.
        result.is_complete = len(again) < reading.WINDOW


def _tell(mailbox: Mailbox, batch: storing.Batch, saved: storing.Saved, *, now: datetime) -> None:
    for uid, failure in saved.quarantined:
        wall.raise_alert(
            "message_quarantined", now=now, mailbox=mailbox, cause=wall.Cause(failure), about=str(uid)
        )
    for uid, kind in saved.unmatched:
        wall.raise_alert(
            kind,
            now=now,
            mailbox=mailbox,
            about=_forwarder(batch, uid),
            words={"sender": _forwarder(batch, uid)},
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


def _forwarder(batch: storing.Batch, uid: int) -> str:
    """Return who sent a message of the forward mailbox, as far as it tells."""
    parsed = next((item.parsed for item in batch.prepared if item.source.uid == uid), None)
    return parsed.sender.address if parsed and parsed.sender else "an unknown sender"


def _move_undeliverable(mailbox: Mailbox, client: IncomingClient, cursor: FolderCursor) -> None:
    """Move what went into quarantine out of the way; its bytes are kept and told of, moved or not."""
    entries = LedgerEntry.objects.filter(
        mailbox=mailbox,
        folder=reading.INBOX,
        uidvalidity=cursor.uidvalidity,
        outcome=LedgerOutcome.QUARANTINED,
        message__isnull=False,
        moved_to="",
    )
    uids = _uids(entries.order_by("uid")[: reading.WINDOW])
    if not uids:
        return
    try:
        reading.open_inbox(client, cursor, read_only=False)
        client.move(uids, UNDELIVERABLE)
    except (FolderMissing, FolderForbidden, CommandRefused) as error:
        log.warning("A message in quarantine stays in the Inbox: %s %s", error, error.server_reply)
    else:
        entries.filter(uid__in=uids).update(moved_to=UNDELIVERABLE, is_to_delete=False)


def _delete_processed(mailbox: Mailbox, client: IncomingClient, cursor: FolderCursor) -> None:
    """Remove from the server what is stored and marked to go; what fails is tried by the next run."""
    entries = LedgerEntry.objects.filter(mailbox=mailbox, is_to_delete=True)
    entries.exclude(folder=reading.INBOX, uidvalidity=cursor.uidvalidity).update(is_to_delete=False)
    uids = _uids(entries[: reading.WINDOW])
    if uids:
        reading.open_inbox(client, cursor, read_only=False)
        client.delete(uids)
        entries.filter(uid__in=uids).update(is_to_delete=False)
