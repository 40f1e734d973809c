"""Whether the UIDs of the Inbox still mean what the cursor says, and what to do when they do not.

A server breaks the promise of its UIDs openly (another UIDVALIDITY) or silently (UIDNEXT at or below the
cursor). The cursor then starts over, and the messages are recognised (`recognising`) by what the ledger
remembers of the numbering before. Some servers do it again and again: after RENUMBERINGS times with less
than SPAN between them the folder is parked, told of, and read again every PARKED until it is quiet.
"""

from datetime import datetime, timedelta

from django.conf import settings

from emailsync.mail.errors import FolderRenumbered
from emailsync.mail.incoming import FolderStatus, IncomingClient
from mailboxes.alerts import wall
from mailboxes.engine import reading, scheduling
from mailboxes.models import FolderCursor, LedgerEntry, Mailbox

RENUMBERINGS = 5
SPAN = timedelta(hours=24)
PARKED = timedelta(hours=6)
#: Where the entries of the numbering before are kept when the server went on with the same UIDVALIDITY: no
#: server may use this number (RFC 9051, section 2.3.1.1).
BEFORE = 0


def cursor_for(
    lease: scheduling.Lease, mailbox: Mailbox, client: IncomingClient, status: FolderStatus, *, now: datetime
) -> FolderCursor:
    """Return the cursor to go on from, started over when the server broke the promise of its UIDs.

    Raises FolderRenumbered when it did so too often.
    """
    cursor = FolderCursor.objects.filter(mailbox=mailbox, folder=reading.INBOX).first()
    if cursor is None:
        with scheduling.fenced(lease):
            return FolderCursor.objects.create(
                mailbox=mailbox,
                folder=reading.INBOX,
                uidvalidity=status.uidvalidity,
                is_by_uidl=client.folders is None,
            )
    if _is_kept(client, cursor, status):
        _calm_down(lease, mailbox, cursor, now=now)
        return cursor
    if is_parked(cursor, now=now):
        raise FolderRenumbered("The server gives the messages of the Inbox new numbers again and again.")
    cursor.is_by_uidl = client.folders is None
    with scheduling.fenced(lease):
        start_over(mailbox, cursor, uidvalidity=status.uidvalidity, now=now)
    return cursor


def start_over(mailbox: Mailbox, cursor: FolderCursor, *, uidvalidity: int, now: datetime) -> None:
    """Have the folder read again from its first message, and tell so. Call it under the fence."""
    is_one_of_many = cursor.renumbered_on is not None and now - cursor.renumbered_on < SPAN
    # What is still withheld is told of under its new number.
    for key in cursor.keys(cursor.entries().withheld()):
        wall.resolve("message_quarantined", mailbox=mailbox, now=now, about=str(key))
    _keep_entries(mailbox, cursor, uidvalidity)
    cursor.uidvalidity, cursor.last_uid, cursor.uidnext = uidvalidity, 0, 0
    cursor.is_rescan, cursor.asked_on, cursor.listed_on = True, now, None
    cursor.renumberings = cursor.renumberings + 1 if is_one_of_many else 1
    cursor.renumbered_on = now
    cursor.save()
    wall.raise_alert("folder_renumbered", now=now, mailbox=mailbox)


def put_off(lease: scheduling.Lease, mailbox: Mailbox, *, now: datetime) -> None:
    """Give the mailbox back after FolderRenumbered: for a moment, or parked and told of."""
    cursor = FolderCursor.objects.get(mailbox=mailbox, folder=reading.INBOX)
    due_at = now + settings.RETRY_DELAY
    if cursor.renumbered_on is not None and is_parked(cursor, now=now):
        due_at = cursor.renumbered_on + PARKED
        words = {"times": cursor.renumberings, "next_on": due_at.isoformat()}
        with scheduling.fenced(lease):
            wall.raise_alert("folder_renumbered_often", now=now, mailbox=mailbox, words=words)
    scheduling.release(lease, due_at=due_at)


def _is_kept(client: IncomingClient, cursor: FolderCursor, status: FolderStatus) -> bool:
    """Say whether the folder is numbered as it was when the cursor was written."""
    if cursor.uidvalidity != status.uidvalidity:
        return False
    if status.uidnext > cursor.last_uid:
        return True
    if client.folders is None:
        return True
    # While the last message is still there under its UID, only the UIDNEXT is wrong.
    reading.open_inbox(client.folders, cursor, read_only=True)
    return cursor.last_uid in client.ids_after(cursor.last_uid - 1)


def is_parked(cursor: FolderCursor, *, now: datetime) -> bool:
    """Say whether the folder was renumbered too often lately to be read again now."""
    return (
        cursor.renumberings >= RENUMBERINGS
        and cursor.renumbered_on is not None
        and now - cursor.renumbered_on < PARKED
    )


def _calm_down(lease: scheduling.Lease, mailbox: Mailbox, cursor: FolderCursor, *, now: datetime) -> None:
    """Note that the numbers were kept this time, and forget the times that they were not after a while."""
    is_read_again = cursor.is_rescan and cursor.uidnext > 0
    is_quiet = cursor.renumbered_on is not None and now - cursor.renumbered_on > SPAN
    if not (is_read_again or is_quiet):
        return
    with scheduling.fenced(lease):
        if is_read_again:
            cursor.is_rescan = False
        if is_quiet:
            cursor.renumberings, cursor.renumbered_on = 0, None
            wall.resolve("folder_renumbered_often", mailbox=mailbox, now=now)
        cursor.save()


def _keep_entries(mailbox: Mailbox, cursor: FolderCursor, uidvalidity: int) -> None:
    """Keep the entries of the numbering before until the next one; older ones are of no use."""
    entries = LedgerEntry.objects.filter(mailbox=mailbox, folder=reading.INBOX)
    entries.filter(is_listed=True).update(is_listed=False)
    entries.filter(is_to_delete=True).update(is_to_delete=False)
    numbered = entries.filter(uid__isnull=False)
    numbered.exclude(uidvalidity=cursor.uidvalidity).delete()
    if cursor.uidvalidity == uidvalidity:
        numbered.update(uidvalidity=BEFORE)
