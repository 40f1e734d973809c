"""Which protocol is spoken by whom."""

from collections.abc import Callable

from emailsync.mail.auth import Credential
from emailsync.mail.endpoint import Endpoint, Protocol
from emailsync.mail.imap import open_imap
from emailsync.mail.incoming import IncomingClient
from emailsync.mail.pop3 import open_pop3
from emailsync.mail.smtp import SmtpClient, open_smtp
from emailsync.mail.wire import Wire

Incoming = Callable[[Endpoint, Credential, Wire], IncomingClient]
Outgoing = Callable[[Endpoint, Credential | None, Wire], SmtpClient]

INCOMING: dict[Protocol, Incoming] = {Protocol.IMAP: open_imap, Protocol.POP3: open_pop3}
OUTGOING: dict[Protocol, Outgoing] = {Protocol.SMTP: open_smtp}
