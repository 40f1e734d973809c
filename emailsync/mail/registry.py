"""Which protocol is spoken by whom."""

from collections.abc import Callable

from emailsync.mail.auth import Password
from emailsync.mail.endpoint import Endpoint, Protocol
from emailsync.mail.imap import open_imap
from emailsync.mail.incoming import IncomingClient
from emailsync.mail.pop3 import open_pop3
from emailsync.mail.smtp import SmtpClient, open_smtp
from emailsync.mail.wire import Wire

INCOMING: dict[Protocol, Callable[[Endpoint, Password, Wire], IncomingClient]] = {
    Protocol.IMAP: open_imap,
    Protocol.POP3: open_pop3,
}
OUTGOING: dict[Protocol, Callable[[Endpoint, Password | None, Wire], SmtpClient]] = {Protocol.SMTP: open_smtp}
