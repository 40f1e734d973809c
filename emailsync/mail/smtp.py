"""Send messages over SMTP (RFC 5321): one, or many on one connection."""

import base64
import socket
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import suppress
from ipaddress import ip_address

from emailsync.mail.auth import ROUNDS, BearerToken, Credential, Mechanism, choose, decoded
from emailsync.mail.closing import Closing, closed_on_failure
from emailsync.mail.connection import Connection, connect
from emailsync.mail.endpoint import Endpoint, Security
from emailsync.mail.envelope import Letter, SendResult
from emailsync.mail.errors import LoginRefused, MailError, OutcomeUnknown, StartTlsMissing
from emailsync.mail.replies import smtp_failure, smtp_login_failure, token_failure
from emailsync.mail.smtp_dialogue import Reply, SmtpDialogue
from emailsync.mail.translating import translated
from emailsync.mail.transmission import FAREWELL, Outcome, Transmission
from emailsync.mail.wire import Wire

# What of a line of 512 octets is left beside the command (RFC 5321, section 4.5.3.1.4).
INITIAL_RESPONSE = 480


class SmtpClient(Closing):
    """Send messages for one account."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._smtp = SmtpDialogue(connection)
        self._transmission = Transmission(connection, self._smtp)
        self.greeting = ""

    @property
    def capabilities(self) -> frozenset[str]:
        """Return the extensions the server offers, in capitals."""
        return frozenset(self._smtp.extensions)

    def hear_greeting(self) -> None:
        """Read the first reply and say hello."""
        with translated(self.connection.clean):
            self.connection.expect_text()
            code, self.greeting = self._smtp.reply()
            if code != 220:
                self.connection.close()
                raise smtp_failure("greeting", code, self.greeting)
            self._say_hello()

    def _say_hello(self) -> None:
        reply = self._smtp.introduce(_own_name(self.connection.sock))
        if reply.code != 250:
            raise smtp_failure("greeting", *reply)

    def begin_tls(self) -> None:
        """Switch to TLS by STARTTLS (RFC 3207); what was said before is forgotten (section 4.2)."""
        with translated(self.connection.clean):
            if "STARTTLS" not in self._smtp.extensions:
                raise StartTlsMissing("The server does not offer STARTTLS.")
            reply = self._smtp.ask("STARTTLS")
            if reply.code != 220:
                raise StartTlsMissing(
                    "The server refused STARTTLS.", server_reply=str(reply), permanent=reply.code >= 500
                )
            self.connection.start_tls()
            self._say_hello()

    def sign_in(self, credential: Credential) -> None:
        """Prove who we are (RFC 4954), by the best mechanism that the server offers."""
        self.connection.hide(credential.secrets())
        offered = self._smtp.extensions.get("AUTH", "").upper().split()
        with translated(self.connection.clean):
            mechanism = choose(credential, offered)
            reply = self._authenticate(mechanism)
            if reply.code == 235:
                return
            refusal = smtp_login_failure(*reply)
            if isinstance(credential, BearerToken) and type(refusal) is LoginRefused:
                raise token_failure(mechanism.refusal, str(reply))
            raise refusal

    def _authenticate(self, mechanism: Mechanism) -> Reply:
        waiting = mechanism.first
        message = "" if waiting is None else base64.b64encode(waiting).decode()
        # A command that would be too long carries no initial response (RFC 4954, section 4).
        if message and len(message) <= INITIAL_RESPONSE:
            reply = self._smtp.ask("AUTH", f"{mechanism.name} {message}", hidden=True)
            waiting = None
        else:
            reply = self._smtp.ask("AUTH", mechanism.name)
        for _ in range(ROUNDS):
            if reply.code != 334:
                break
            answer = mechanism.respond(decoded(reply.text.encode())) if waiting is None else waiting
            waiting = None
            reply = self._smtp.ask(base64.b64encode(answer).decode(), hidden=True)
        return reply

    def send(
        self,
        *,
        sender: str,
        recipients: Sequence[str],
        content: bytes,
        before_body: Callable[[], None],
    ) -> SendResult:
        """Hand over one message; `before_body` is called when the server is ready for the body.

        The connection can be used for the next message afterwards, also after a refusal.
        """
        letter = Letter(sender, recipients, content)
        (outcome,) = self.send_all([letter], before_body=lambda _letter: before_body())
        if outcome.result is None:
            raise outcome.error or OutcomeUnknown("Nothing is known of the message.")
        return outcome.result

    def send_all(
        self, letters: Iterable[Letter], *, before_body: Callable[[Letter], None], ahead: bool = True
    ) -> Generator[Outcome, None, None]:
        """Hand over many messages, with `ahead` each announced behind the one before: see `transmission`.

        A caller that stops before the last outcome loses the connection.
        """
        return self._transmission.send(letters, before_body=before_body, ahead=ahead)

    def has_more_to_hear(self, *, within: float) -> bool:
        """Return whether answers that nobody has read yet are here, or come within so many seconds."""
        return self.connection.has_more(within=within)

    def reset(self) -> None:
        """Ask whether the connection still lives, and begin anew."""
        with translated(self.connection.clean):
            reply = self._smtp.ask("RSET")
            if reply.code != 250:
                raise smtp_failure("command", *reply)

    def close(self) -> None:
        """Say goodbye and close; closing twice does no harm."""
        if not self.connection.closed:
            with suppress(MailError, OSError):
                self.connection.wait_at_most(FAREWELL)
                self._smtp.ask("QUIT")
        self.connection.close()


def open_smtp(endpoint: Endpoint, credential: Credential | None, wire: Wire) -> SmtpClient:
    """Connect, secure the connection and sign in; without a credential, as a stranger."""
    connection = connect(endpoint, wire)
    with closed_on_failure(connection):
        client = greet(connection, endpoint)
        if credential is not None:
            client.sign_in(credential)
    return client


def greet(connection: Connection, endpoint: Endpoint) -> SmtpClient:
    """Secure a new connection as the endpoint says and hear the greeting."""
    if endpoint.security is Security.TLS:
        connection.start_tls()
    client = SmtpClient(connection)
    client.hear_greeting()
    if endpoint.security is Security.STARTTLS:
        client.begin_tls()
    return client


def _own_name(sock: socket.socket) -> str:
    """Introduce ourselves by address, which needs no name service (RFC 5321, section 4.1.3)."""
    ip = ip_address(str(sock.getsockname()[0]).partition("%")[0])
    return f"[{ip}]" if ip.version == 4 else f"[IPv6:{ip}]"
