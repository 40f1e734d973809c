"""What an IMAP server tells of a message without handing it out (RFC 9051, section 7.5.2)."""

import re
from datetime import UTC, datetime

from emailsync.mail.headers import moment
from emailsync.mail.incoming import RemoteMessage

UID = re.compile(rb"[( ]UID (\d{1,10})\b", re.IGNORECASE)
SIZE = re.compile(rb"[( ]RFC822\.SIZE (\d{1,12})\b", re.IGNORECASE)
INTERNALDATE = re.compile(
    rb'[( ]INTERNALDATE "([ \d]?\d)-([a-z]{3})-(\d{4}) (\d\d:\d\d:)(\d\d) ([+-]\d{4})"', re.IGNORECASE
)


def description(line: bytes) -> RemoteMessage | None:
    """Read UID, size and INTERNALDATE from a FETCH answer; None when one of the first two is missing."""
    uid, size = UID.search(line), SIZE.search(line)
    if uid is None or size is None:
        return None
    return RemoteMessage(uid=int(uid.group(1)), size=int(size.group(1)), received_at=_internal_date(line))


def _internal_date(line: bytes) -> datetime:
    """Read INTERNALDATE as UTC; without one the message came now, so that no start date excludes it."""
    found = INTERNALDATE.search(line)
    if found is None:
        return datetime.now(UTC)
    day, month, year, clock, second, zone = (text.decode() for text in found.groups())
    try:
        # A leap second is no time of Python's.
        return moment(day, month.capitalize(), year, clock + min(second, "59"), zone)
    except (ValueError, LookupError, OverflowError):
        return datetime.now(UTC)
