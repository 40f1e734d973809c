"""Name the attachments that no program but a mail program opens: packed, signed, encrypted, invitations.

They are kept as they came and never opened here; their readers learn what they are.
"""

import re
from collections.abc import Sequence

from emailsync.mail.words import gettext_noop

SIGNED = gettext_noop("S/MIME signature")
ENCRYPTED = gettext_noop("S/MIME: encrypted or signed, and readable only with the recipient's mail program")
PGP_KEY = gettext_noop("OpenPGP key")
PGP_SIGNED = gettext_noop("OpenPGP signature")
PGP_ENCRYPTED = gettext_noop("OpenPGP: encrypted, and readable only with the recipient's key")
PGP_CONTROL = gettext_noop("Says that the next part is encrypted with OpenPGP")
TNEF = gettext_noop("TNEF (winmail.dat): attachments that Outlook packed, and only Outlook opens")
CALENDAR = gettext_noop("Calendar: an invitation or an answer to one")
REPORT = gettext_noop("Report of a mail server about a delivery")

#: By content type: RFC 8551, RFC 3156, RFC 5545, RFC 3464, and for TNEF the type that Microsoft registered.
BY_TYPE = {
    "application/pkcs7-signature": SIGNED,
    "application/x-pkcs7-signature": SIGNED,
    "application/pkcs7-mime": ENCRYPTED,
    "application/x-pkcs7-mime": ENCRYPTED,
    "application/pgp-signature": PGP_SIGNED,
    "application/pgp-encrypted": PGP_CONTROL,
    "application/pgp-keys": PGP_KEY,
    "application/ms-tnef": TNEF,
    "application/vnd.ms-tnef": TNEF,
    "text/calendar": CALENDAR,
    "application/ics": CALENDAR,
    "message/delivery-status": REPORT,
}
#: By name, where a program sends it as mere bytes.
BY_NAME: Sequence[tuple[re.Pattern[str], str]] = [
    (re.compile(r"winmail\.dat$", re.IGNORECASE), TNEF),
    (re.compile(r"\.p7s$", re.IGNORECASE), SIGNED),
    (re.compile(r"\.p7m$", re.IGNORECASE), ENCRYPTED),
    (re.compile(r"\.(asc|pgp|gpg)$", re.IGNORECASE), PGP_ENCRYPTED),
    (re.compile(r"\.ics$", re.IGNORECASE), CALENDAR),
]


def named(content_type: str, filename: str) -> str:
    """Return what an attachment is, in a phrase to be translated, or nothing for an ordinary file."""
    found = BY_TYPE.get(content_type.lower())
    if found is not None:
        return found
    return next((phrase for pattern, phrase in BY_NAME if pattern.search(filename)), "")
