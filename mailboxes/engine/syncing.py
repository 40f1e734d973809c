"""Bring one mailbox's Inbox up to date.

What IMAP promises (RFC 3501 §2.3.1.1): within one UIDVALIDITY, UIDs only ever grow, and a UID names the
same message for ever. So (UIDVALIDITY, highest UID seen) is a complete cursor, and `STATUS` tells for one
round trip whether anything is new. When the server breaks the promise (`numbering`), the folder is read
again from its first message and every message is recognised: nothing is lost, nothing is stored twice.

What servers say is not believed for long. A folder that STATUS calls unchanged is asked all the same once
an hour, and once a day all that it lists is compared with the ledger (`reconciling`), so that a UIDNEXT, a
number of messages or a HIGHESTMODSEQ that stands still, lags or falls hides no message for good.

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
from django.db.models import Case, F, Q, Value, When
from django.utils import timezone

from emailsync.mail.errors import BREAKING, DeadlineExceeded, FolderRenumbered, MailError
from emailsync.mail.incoming import MADE_UP, FolderStatus, IncomingClient
from mailboxes.alerts import wall
from mailboxes.choices import Direction, LedgerOutcome, MailboxKind, Reason
from mailboxes.engine import (
    braking,
    clearing,
    connecting,
    filing,
    numbering,
    outcomes,
    oversize,
    parking,
    preparing,
    reading,
    recognising,
    reconciling,
    recovering,
    scheduling,
    storing,
    tracking,
    unpacking,
)
from mailboxes.models import Alert, FolderCursor, Mailbox, WorkerState
from mailboxes.models.ledger import Key
from profiles.models import ServerProfile

log = logging.getLogger(__name__)

#: How long after a message was withheld by the server it is asked for again.
ASK_AGAIN = timedelta(hours=1)
#: After so many failures in a row messages are fetched one by one: it may be one of them that breaks all.
CAREFUL_AFTER = 3
#: How long a server that calls the Inbox unchanged is believed.
LIST_AGAIN = timedelta(hours=1)
#: What is told of a message that was noted without its bytes.
NOT_DELIVERED = "the server lists the message but does not deliver it."
TOO_SLOW = (
    "the server is too slow to deliver it in the time that a run has at most. Read it in the mailbox itself, "
    "or give each run more time (EMAILSYNC_RUN_DEADLINE); it is asked for again every hour."
)


@dataclass
class Result:
    """What a run did; `is_complete` is false when its time was up before the folder was."""

    stored: int = 0
    #: Messages fetched, also those that were stored before.
    fetched: int = 0
    is_complete: bool = True
    #: The conversation is over: nothing more can be asked in it.
    is_cut: bool = False


def run(state_pk: int) -> None:
    """Do the due incoming work of one worker state, if it is still there to be done."""
    lease = scheduling.claim_running(WorkerState, state_pk, now=timezone.now())
    if lease is None:
        return
    with scheduling.working(lease):
        _run(lease)


def _run(lease: scheduling.Lease) -> None:
    state = WorkerState.objects.get(pk=lease.pk)
    mailbox = parking.mailbox_of(state)
    if not state.is_enabled:
        recovering.run(lease, mailbox, state)
        return
    if not parking.may_run(lease, mailbox, state):
        return
    if not mailbox.syncs(Direction.INCOMING):
        # Its mail comes out of the forward mailbox, whose run brings it.
        scheduling.release(lease, due_at=None)
        return
    profile = connecting.profile_of(mailbox)
    if _must_wait(mailbox, profile, lease):
        return
    try:
        result = _converse(lease, mailbox, state)
    except FolderRenumbered:
        numbering.put_off(lease, mailbox, now=timezone.now())
        return
    except MailError as error:
        if not state.transient_failures:
            filing.ask_people(mailbox, now=timezone.now())
        outcomes.failed(lease, mailbox, state, error)
        return
    oversize.fetch_asked_for(lease, mailbox)
    if result.is_complete:
        reconciling.count_if_due(lease, mailbox)
    pause = max(settings.POLL_INTERVAL, timedelta(minutes=profile.minimum_polling_interval))
    due_at = timezone.now() + (pause if result.is_complete else timedelta(0))
    outcomes.succeeded(lease, mailbox, state, items=result.stored, due_at=_unless_asked_for(due_at))


def _converse(lease: scheduling.Lease, mailbox: Mailbox, state: WorkerState) -> Result:
    with connecting.open_incoming(mailbox, seconds=connecting.patience(state)) as client:
        result = sync(lease, mailbox, client, carefully=state.transient_failures >= CAREFUL_AFTER)
        if not result.is_cut:
            filing.run(lease, mailbox, client)
        if result.is_complete:
            client.finish()
    return result


def _unless_asked_for(due_at: datetime) -> Case:
    """Return when the next run is due; whoever asked for one during this run gets it, and at once."""
    return Case(When(due_at__gt=F("last_started_on"), then=F("due_at")), default=Value(due_at))


def _must_wait(mailbox: Mailbox, profile: ServerProfile, lease: scheduling.Lease) -> bool:
    """Give the row back when all connections are in use, or sign-ins at the host are paused; say so."""
    return scheduling.must_wait_for_place(profile, lease) or braking.must_wait(
        mailbox, Direction.INCOMING, lease, now=timezone.now()
    )


def sync(
    lease: scheduling.Lease, mailbox: Mailbox, client: IncomingClient, *, carefully: bool = False
) -> Result:
    """Receive what is new in the Inbox through a connection that somebody opened.

    With `carefully` a message that breaks the connection is found out and noted. Raises MailError from the
    server and LeaseLost when somebody else has taken over.
    """
    now = timezone.now()
    status = client.status()
    cursor = numbering.cursor_for(lease, mailbox, client, status, now=now)
    result = Result()
    again, withheld = _again(mailbox, cursor)
    if again or withheld or _is_changed(cursor, status, now=now):
        cursor.listed_on = now
        try:
            _receive(
                lease, mailbox, client, cursor, result, again=again, withheld=withheld, carefully=carefully
            )
        except reading.Broken:
            # At one that was withheld before, when all others had come.
            result.is_cut = True
        except (DeadlineExceeded, *BREAKING):
            if not result.fetched:
                raise
            # A server that is slow, or that ends long conversations, is no failure as long as mail comes.
            result.is_cut = True
        if result.is_cut:
            # The next run goes on from what is stored.
            result.is_complete = False
            return result
    if client.folders is None or connecting.profile_of(mailbox).move_failed_to_undeliverable:
        clearing.set_aside_undeliverable(client, cursor)
    if mailbox.delete_after_processing and result.is_complete:
        # What is left goes in the next run, at once: over POP3 a deletion ends the conversation.
        result.is_complete = clearing.delete_processed(client, cursor)
    if result.is_complete:
        with scheduling.fenced(lease):
            FolderCursor.objects.filter(pk=cursor.pk).update(
                uidnext=status.uidnext,
                messages=status.messages,
                octets=status.octets,
                modseq=status.modseq,
                asked_on=now,
                listed_on=cursor.listed_on,
            )
    return result


def _is_changed(cursor: FolderCursor, status: FolderStatus, *, now: datetime) -> bool:
    """Say whether there may be messages that nobody has looked at.

    Not every server tells UIDNEXT right; a new message shows in it or in the number of messages. Over POP3
    one message may have come and another of the same size gone.
    """
    # A listing that is still to come was noted by a clock that was ahead of time.
    if cursor.listed_on is None or not timedelta() <= now - cursor.listed_on <= LIST_AGAIN:
        return True
    before = (cursor.uidnext, cursor.messages, cursor.octets, cursor.modseq)
    return (status.uidnext, status.messages, status.octets, status.modseq) != before


def _again(mailbox: Mailbox, cursor: FolderCursor) -> tuple[list[Key], list[Key]]:
    """Return the UIDs or UIDLs of messages that are to be looked at again, the lowest first.

    First those that were older than the start date, which has moved since, or were found when the Inbox was
    counted; then those that the server listed but did not hand out, and that it is time to ask for again.
    """
    withheld = Q(outcome=LedgerOutcome.QUARANTINED, seen_on__lt=timezone.now() - ASK_AGAIN)
    entries = (
        cursor.entries()
        .to_be_read_again()
        .filter(withheld | _inside_again(mailbox) | Q(outcome=LedgerOutcome.MISSED))
    )
    found = list(entries.order_by("uid", "pk").values_list(cursor.key, "outcome")[: reading.WINDOW])
    asked = [key for key, outcome in found if outcome == LedgerOutcome.QUARANTINED]
    return [key for key, outcome in found if outcome != LedgerOutcome.QUARANTINED], asked


def _inside_again(mailbox: Mailbox) -> Q:
    inside = Q(outcome=LedgerOutcome.BEFORE_START)
    start = mailbox.effective_start
    return inside if start is None else inside & Q(received_at__gte=start)


def _receive(
    lease: scheduling.Lease,
    mailbox: Mailbox,
    client: IncomingClient,
    cursor: FolderCursor,
    result: Result,
    *,
    again: list[Key],
    withheld: list[Key],
    carefully: bool,
) -> None:
    rules = tracking.Rules.of(mailbox.environment_id)
    folder = storing.Folder(mailbox, cursor, rules)
    # A run never takes so long that others starve; what is left is due at once.
    ends = time.monotonic() + settings.RUN_DEADLINE.total_seconds() / 2
    known = _known(cursor)
    earlier = recognising.Earlier(cursor) if cursor.is_rescan and not cursor.is_by_uidl else None
    reader = reading.Reader(
        *(client, folder), known=known, again=again, withheld=withheld, carefully=carefully, earlier=earlier
    )
    waited_for = set(withheld)
    with reader:
        for batch in reader.batches():
            now = timezone.now()
            saved = storing.save(lease, folder, batch, now=now)
            preparing.restore(batch.prepared)
            batch.close()
            result.stored += saved.stored
            result.fetched += len(batch.prepared)
            for key in waited_for.intersection(message.source.key for message in batch.prepared):
                wall.resolve("message_quarantined", mailbox=mailbox, now=now, about=str(key))
            _tell(mailbox, batch, saved, now=now)
            if time.monotonic() > ends:
                result.is_complete = reader.is_exhausted()
                break
    if result.is_complete and (again or withheld):
        _settle(lease, mailbox, client, cursor, again + withheld)
        # More of them may wait.
        result.is_complete = len(again) + len(withheld) < reading.WINDOW
    if result.is_complete and cursor.is_by_uidl:
        _note_listing(lease, mailbox, client, cursor, known=known)


def _settle(
    lease: scheduling.Lease, mailbox: Mailbox, client: IncomingClient, cursor: FolderCursor, again: list[Key]
) -> None:
    """Account for what was asked for `again` and did not come.

    What the server still lists is asked for later; what it lists no more is gone, and so is the trouble.
    """
    now = timezone.now()
    left = cursor.named(again).to_be_read_again()
    # What is withheld once more has just been noted anew.
    withheld = cursor.keys(left.filter(outcome=LedgerOutcome.QUARANTINED, seen_on__lt=now - ASK_AGAIN))
    vanished: list[Key] = []
    if withheld:
        listed = set(client.uidls.values()) if cursor.is_by_uidl else set(client.ids_after(0))
        vanished = [key for key in withheld if key not in listed]
    gone = _inside_again(mailbox) | Q(outcome=LedgerOutcome.MISSED) | Q(**{f"{cursor.key}__in": vanished})
    with scheduling.fenced(lease):
        left.filter(gone).update(outcome=LedgerOutcome.GONE, reason=Reason.VANISHED)
        cursor.named(withheld).to_be_read_again().update(seen_on=now)
        for key in vanished:
            wall.resolve("message_quarantined", mailbox=mailbox, now=now, about=str(key))


def _known(cursor: FolderCursor) -> set[Key]:
    """Return which of the messages that will be listed are accounted for: they are not fetched again.

    Over POP3 that is every message whose UIDL the server still listed; where there are UIDs, those stored by
    a run that ended between two cursor moves.
    """
    entries = cursor.entries()
    return set(cursor.keys(entries if cursor.is_by_uidl else entries.filter(uid__gt=cursor.last_uid)))


def _note_listing(
    lease: scheduling.Lease,
    mailbox: Mailbox,
    client: IncomingClient,
    cursor: FolderCursor,
    *,
    known: set[Key],
) -> None:
    """Note which messages the server no longer lists, and tell of names that it does not give itself."""
    listed = set(client.uidls.values())
    gone = sorted(str(key) for key in known - listed)
    now = timezone.now()
    with scheduling.fenced(lease):
        for at in range(0, len(gone), reading.WINDOW):
            entries = cursor.named(gone[at : at + reading.WINDOW])
            for key in cursor.keys(entries.withheld()):
                wall.resolve("message_quarantined", mailbox=mailbox, now=now, about=str(key))
            entries.withheld().update(outcome=LedgerOutcome.GONE, reason=Reason.VANISHED)
            entries.update(is_listed=False, is_to_delete=False)
    if not any(name.startswith(MADE_UP) for name in listed):
        wall.resolve("uidl_missing", mailbox=mailbox, now=now)
    elif not Alert.objects.open().filter(mailbox=mailbox, kind="uidl_missing").exists():
        wall.raise_alert("uidl_missing", now=now, mailbox=mailbox)


def _tell(mailbox: Mailbox, batch: storing.Batch, saved: storing.Saved, *, now: datetime) -> None:
    for key, failure in saved.quarantined:
        wall.raise_alert(
            "message_quarantined", now=now, mailbox=mailbox, cause=wall.Cause(failure), about=str(key)
        )
    if mailbox.kind == MailboxKind.FORWARD and not saved.duplicates:
        _found_their_mailboxes(mailbox, batch, saved, now=now)
    for uid, kind in saved.unmatched:
        wall.raise_alert(
            kind,
            now=now,
            mailbox=mailbox,
            about=_forwarder(batch, uid),
            words={"sender": _forwarder(batch, uid)},
        )
    for message, pk in saved.oversize:
        oversize.tell(mailbox, message, pk=pk, now=now)
    for note in batch.noted:
        if note.outcome is LedgerOutcome.OVERSIZE:
            oversize.tell(mailbox, note.remote, pk=None, now=now)
        elif note.outcome is LedgerOutcome.QUARANTINED:
            cause = wall.Cause(TOO_SLOW if note.is_late else NOT_DELIVERED)
            wall.raise_alert(
                "message_quarantined", now=now, mailbox=mailbox, cause=cause, about=str(note.remote.key)
            )


def _found_their_mailboxes(
    mailbox: Mailbox, batch: storing.Batch, saved: storing.Saved, *, now: datetime
) -> None:
    """Resolve what was told of senders whose forwarded mail has been given to somebody now."""
    unmatched = {uid for uid, _kind in saved.unmatched}
    uids = {item.source.uid for item in batch.prepared} - unmatched
    for sender in sorted({_forwarder(batch, uid) for uid in uids}):
        for kind in (unpacking.NOBODY, unpacking.NOTHING_ATTACHED):
            wall.resolve(kind, mailbox=mailbox, now=now, about=sender)


def _forwarder(batch: storing.Batch, uid: int) -> str:
    """Return who sent a message of the forward mailbox, as far as it tells."""
    parsed = next((item.parsed for item in batch.prepared if item.source.uid == uid), None)
    return parsed.sender.address if parsed and parsed.sender else "an unknown sender"
