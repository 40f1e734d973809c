"""What a mailbox's Inbox is relieved of, now that it is stored: moved out of the way, or removed.

Both come last and only for rows whose commit is known.
"""

import logging

from emailsync.mail.errors import CommandRefused, FolderForbidden, FolderMissing
from emailsync.mail.incoming import IncomingClient
from mailboxes.choices import LedgerOutcome
from mailboxes.engine import reading
from mailboxes.models import FolderCursor

log = logging.getLogger(__name__)

UNDELIVERABLE = "Undeliverable"


def set_aside_undeliverable(client: IncomingClient, cursor: FolderCursor) -> None:
    """Move what went into quarantine out of the way; its bytes are kept and told of, moved or not.

    Where there are no folders (POP3) it stays on the server, in its place.
    """
    entries = cursor.entries().filter(outcome=LedgerOutcome.QUARANTINED, message__isnull=False, moved_to="")
    if client.folders is None:
        entries.filter(is_to_delete=True).update(is_to_delete=False)
        return
    uids = reading.numbers(client, cursor.keys(entries.order_by("uid")[: reading.WINDOW]))
    if not uids:
        return
    try:
        reading.open_inbox(client.folders, cursor, read_only=False)
        client.folders.move(uids, UNDELIVERABLE)
    except (FolderMissing, FolderForbidden, CommandRefused) as error:
        log.warning("A message in quarantine stays in the Inbox: %s %s", error, error.server_reply)
    else:
        entries.filter(uid__in=uids).update(moved_to=UNDELIVERABLE, is_to_delete=False)


def delete_processed(client: IncomingClient, cursor: FolderCursor) -> bool:
    """Remove a window of what is stored and marked to go; what fails is tried by the next run.

    Says whether that was all.
    """
    keys = cursor.keys(cursor.entries().filter(is_to_delete=True)[: reading.WINDOW])
    if not keys:
        return True
    uids = reading.numbers(client, keys)
    if client.folders is not None:
        reading.open_inbox(client.folders, cursor, read_only=False)
    if uids:
        # Number and size of what is left will be others than those told before: the list is asked for again.
        cursor.listed_on = None
        client.delete(uids)
    # From now on the server may give a UIDL of theirs to another message (RFC 1939, section 7).
    cursor.named(keys).update(is_to_delete=False, is_listed=False)
    return len(keys) < reading.WINDOW
