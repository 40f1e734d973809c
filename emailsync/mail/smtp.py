"""Send messages over SMTP (RFC 5321): one, or many on one connection.

A message is handed over in two steps, because there is one moment after which nobody can know: when the
server has been given the end of the body and has not answered. What went wrong before that moment was
not sent; a refusal after it was not sent either; silence after it is OutcomeUnknown.
"""

import base64
import re
import smtplib
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from types import TracebackType
from typing import Self

from emailsync.mail.auth import Password
from emailsync.mail.connection import Connection, connect
from emailsync.mail.endpoint import Endpoint, Security, check_plain
from emailsync.mail.errors import (
    LoginMechanismMissing,
    MailError,
    MessageRefused,
    MessageTooLarge,
    OutcomeUnknown,
    ProtocolViolation,
    RecipientsRefused,
    SenderRefused,
    StartTlsMissing,
)
from emailsync.mail.translating import smtp_failure, smtp_login_failure, translated
from emailsync.mail.wire import Wire

REPLY_LINE = 8 * 1024
REPLY_LIMIT = 64 * 1024
# RFC 5321, section 4.5.3.2.6, allows the server ten minutes after the body; the deadline allows less.
END_OF_BODY_PATIENCE = 100.0
FAREWELL = 2.0
PIECE = 256 * 1024
FLIGHT = 50

LINE_END = re.compile(rb"\r\n|\r|\n")
NOT_IN_ADDRESS = re.compile(r"[\s<>\x00-\x1f\x7f]")


@dataclass(frozen=True)
class SendResult:
    """Say who was accepted, who was refused with which reply, and what the server said at the end."""

    accepted: tuple[str, ...]
    refused: dict[str, str]
    reply: str


class Replies:
    """Be the file that smtplib reads replies from: our connection, bounded."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._begins = connection.received

    def readline(self, _limit: int) -> bytes:
        """Read one line of a reply."""
        if self._connection.received - self._begins > REPLY_LIMIT:
            raise self._connection.broken("The server does not end its answer.")
        with translated(self._connection.clean):
            line = self._connection.read_line(REPLY_LINE)
        if line:
            self._connection.note_server(line)
        return line

    def begin(self) -> None:
        """Begin to count for a new command."""
        self._begins = self._connection.received

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class Conversation(smtplib.SMTP):
    """Make smtplib speak on a connection of ours."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(local_hostname=_own_name(connection.sock))
        self._connection = connection
        self._replies = Replies(connection)
        self._hidden = False
        self.attach()

    def attach(self) -> None:
        """Use the connection's socket, which STARTTLS replaces."""
        self.sock = self._connection.sock
        self.file = self._replies  # smtplib only reads lines and closes

    def send(self, s: object) -> None:
        """Send bytes or text, within the limits of the connection."""
        data = s if isinstance(s, bytes | memoryview) else str(s).encode(self.command_encoding)
        self._replies.begin()
        if isinstance(data, bytes):
            shown = "•••" if self._hidden else data.decode("utf-8", "replace")
            for line in shown.splitlines():
                self._connection.note_client(line)
        with translated(self._connection.clean):
            self._connection.send(data)

    def ask(self, command: str, argument: str = "", *, hidden: bool = False) -> tuple[int, str]:
        """Give a command and return the reply as text."""
        self._hidden = hidden
        try:
            return self.answer(*self.docmd(command, argument))
        finally:
            self._hidden = False

    def answer(self, code: int, text: bytes) -> tuple[int, str]:
        """Turn a reply into text that may be shown."""
        return code, self._connection.clean(text.replace(b"\n", b" "))

    def next_reply(self) -> tuple[int, str]:
        """Read the reply to a command that is on its way."""
        return self.answer(*self.getreply())

    def forget_tls(self) -> None:
        """Forget what was said before TLS began (RFC 3207, section 4.2)."""
        self.helo_resp = None
        self.ehlo_resp = None
        self.esmtp_features = {}
        self.does_esmtp = False
        self.attach()


class SmtpClient:
    """Send messages for one account."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._smtp = Conversation(connection)
        self.greeting = ""

    @property
    def capabilities(self) -> frozenset[str]:
        """Return the extensions the server offers, in capitals."""
        return frozenset(name.upper() for name in self._smtp.esmtp_features)

    def hear_greeting(self) -> None:
        """Read the first reply and say hello."""
        with translated(self.connection.clean):
            self.connection.expect_text()
            code, self.greeting = self._smtp.next_reply()
            if code != 220:
                self.connection.close()
                raise smtp_failure("greeting", code, self.greeting)
            self.say_hello()

    def say_hello(self) -> None:
        """Introduce ourselves and learn what the server can do."""
        code, text = self._smtp.answer(*self._smtp.ehlo())
        if code >= 500:
            # Not for lack of time: only a server that does not know EHLO gets the older greeting.
            code, text = self._smtp.answer(*self._smtp.helo())
        if code != 250:
            raise smtp_failure("greeting", code, text)

    def begin_tls(self) -> None:
        """Switch to TLS by STARTTLS (RFC 3207)."""
        with translated(self.connection.clean):
            if not self._smtp.has_extn("starttls"):
                raise StartTlsMissing("The server does not offer STARTTLS.")
            code, text = self._smtp.ask("STARTTLS")
            if code != 220:
                raise StartTlsMissing(
                    "The server refused STARTTLS.", server_reply=f"{code} {text}", permanent=code >= 500
                )
            self.connection.start_tls()
            self._smtp.forget_tls()
            self.say_hello()

    def sign_in(self, credential: Password) -> None:
        """Prove who we are (RFC 4954), by PLAIN where it is offered, else by LOGIN."""
        self.connection.hide(credential.secrets())
        offered = self._smtp.esmtp_features.get("auth", "").upper().split()
        with translated(self.connection.clean):
            if "PLAIN" in offered:
                response = base64.b64encode(credential.plain_response()).decode()
                code, text = self._smtp.ask("AUTH", f"PLAIN {response}", hidden=True)
                if code == 334:
                    code, text = self._smtp.ask(response, hidden=True)
            elif "LOGIN" in offered and not credential.authorization_identity:
                code, text = self._login(credential)
            else:
                raise LoginMechanismMissing(
                    "The server does not offer to sign in with a password.",
                    server_reply=f"AUTH {' '.join(offered)}" if offered else "",
                )
            if code != 235:
                raise smtp_login_failure(code, text)

    def _login(self, credential: Password) -> tuple[int, str]:
        code, text = self._smtp.ask("AUTH", "LOGIN")
        for word in (credential.user_name, credential.password):
            if code != 334:
                break
            code, text = self._smtp.ask(base64.b64encode(word.encode()).decode(), hidden=True)
        return code, text

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
        _check_address(sender, what="The sender")
        for recipient in recipients:
            _check_address(recipient, what="A recipient")
        with translated(self.connection.clean):
            accepted, refused = self._envelope(sender, recipients, content)
            if not accepted:
                self._abandon()
                raise _all_refused(refused)
            self._offer_body()
        self._call(before_body)
        with translated(self.connection.clean):
            reply = self._transmit(content)
        return SendResult(accepted=tuple(accepted), refused=refused, reply=reply)

    def _envelope(
        self, sender: str, recipients: Sequence[str], content: bytes
    ) -> tuple[list[str], dict[str, str]]:
        refused: dict[str, str] = {}
        wide = not all(word.isascii() for word in map(_ascii_domain, (sender, *recipients)))
        if wide and not self._smtp.has_extn("smtputf8"):
            if not _ascii_domain(sender).isascii():
                raise SenderRefused(f"The server does not send from {sender}: it takes ASCII addresses only.")
            refused = {
                address: "The server takes ASCII addresses only (no SMTPUTF8)."
                for address in recipients
                if not _ascii_domain(address).isascii()
            }
        options = self._options(content, wide=wide and not refused)
        # MAIL says SMTPUTF8 only where it is offered, and only then is anything but ASCII sent.
        self._smtp.command_encoding = "utf-8"
        targets = [address for address in dict.fromkeys(recipients) if address not in refused]
        mail = f"MAIL FROM:<{_ascii_domain(sender)}>{options}"
        lines = [f"RCPT TO:<{_ascii_domain(address)}>" for address in targets]
        accepted: list[str] = []
        replies = self._give([mail, *lines])
        code, text = next(replies)
        if code != 250:
            for _ in replies:
                pass
            self._abandon()
            raise smtp_failure("sender", code, text)
        for address, (answer_code, answer) in zip(targets, replies, strict=True):
            if answer_code in {250, 251}:
                accepted.append(address)
            elif answer_code == 421:
                self.connection.close()
                raise smtp_failure("command", answer_code, answer)
            else:
                refused[address] = f"{answer_code} {answer}"
        return accepted, refused

    def _options(self, content: bytes, *, wide: bool) -> str:
        options = ""
        if self._smtp.has_extn("size"):
            limit = self._smtp.esmtp_features["size"].strip()
            if limit.isdigit() and 0 < int(limit) < len(content):
                raise MessageTooLarge(
                    f"The message has {len(content)} bytes; the server takes up to {limit}."
                )
            options += f" SIZE={len(content)}"
        if not content.isascii() and self._smtp.has_extn("8bitmime"):
            options += " BODY=8BITMIME"
        return options + (" SMTPUTF8" if wide else "")

    def _give(self, lines: list[str]) -> Iterator[tuple[int, str]]:
        """Give commands and yield their replies, several at once where the server allows it (RFC 2920)."""
        if not self._smtp.has_extn("pipelining"):
            for line in lines:
                yield self._smtp.ask(line)
            return
        for start in range(0, len(lines), FLIGHT):
            flight = lines[start : start + FLIGHT]
            self._smtp.send("".join(f"{line}\r\n" for line in flight))
            for _ in flight:
                yield self._smtp.next_reply()

    def _offer_body(self) -> None:
        code, text = self._smtp.ask("DATA")
        if code != 354:
            self._abandon()
            raise smtp_failure("data", code, text)

    def _call(self, before_body: Callable[[], None]) -> None:
        try:
            before_body()
        except BaseException:
            # The server waits for a body that will not come; only closing says so.
            self.connection.close()
            raise

    def _transmit(self, content: bytes) -> str:
        body = _wire_form(content)
        view = memoryview(body)
        timeout = self.connection.wire.timeout
        self.connection.note_client(f"({len(body)} bytes)")
        try:
            for start in range(0, len(body), PIECE):
                self._smtp.send(view[start : start + PIECE])
        except MailError as problem:
            raise self._cut_short(problem) from problem
        try:
            self.connection.wait_at_most(max(END_OF_BODY_PATIENCE, timeout), longer=True)
            self._smtp.send(b".\r\n")
            code, text = self._smtp.next_reply()
        except (MailError, smtplib.SMTPException, OSError) as problem:
            self.connection.close()
            raise _unknown(problem) from problem
        self.connection.wait_at_most(timeout, longer=True)
        if 200 <= code < 300:
            return f"{code} {text}"
        if not 400 <= code < 600:
            self.connection.close()
            raise _unknown(ProtocolViolation("The answer is not SMTP.", server_reply=f"{code} {text}"))
        raise smtp_failure("body", code, text)

    def _cut_short(self, problem: MailError) -> MailError:
        """Explain a body that did not go out whole: without its last dot it does not count as sent."""
        self.connection.wait_at_most(FAREWELL)
        try:
            code, text = self._smtp.next_reply()
        except (MailError, smtplib.SMTPException, OSError):
            return problem
        finally:
            self.connection.close()
        return smtp_failure("body", code, text) if 400 <= code < 600 else problem

    def _abandon(self) -> None:
        """Give the message up, so that the connection can be used for another."""
        if not self.connection.closed:
            with suppress(MailError, smtplib.SMTPException, OSError):
                self._smtp.ask("RSET")

    def reset(self) -> None:
        """Ask whether the connection still lives, and begin anew."""
        with translated(self.connection.clean):
            code, text = self._smtp.ask("RSET")
            if code != 250:
                raise smtp_failure("command", code, text)

    def close(self) -> None:
        """Say goodbye and close; closing twice does no harm."""
        if not self.connection.closed:
            with suppress(MailError, smtplib.SMTPException, OSError):
                self.connection.wait_at_most(FAREWELL)
                self._smtp.ask("QUIT")
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_smtp(endpoint: Endpoint, credential: Password | None, wire: Wire) -> SmtpClient:
    """Connect, secure the connection and sign in; without a credential, as a stranger."""
    connection = connect(endpoint, wire)
    try:
        client = greet(connection, endpoint)
        if credential is not None:
            client.sign_in(credential)
    except BaseException:
        connection.close()
        raise
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


def _wire_form(content: bytes) -> bytes:
    """End every line with CRLF and double leading dots (RFC 5321, section 4.5.2).

    A lone CR or LF before a dot is what SMTP smuggling is made of; none is left.
    """
    if b"\n" in content.replace(b"\r\n", b"") or b"\r" in content.replace(b"\r\n", b""):
        content = LINE_END.sub(b"\r\n", content)
    if not content.endswith(b"\r\n"):
        content += b"\r\n"
    content = content.replace(b"\r\n.", b"\r\n..")
    return b"." + content if content.startswith(b".") else content


def _check_address(address: str, *, what: str) -> None:
    """Refuse what would end the path in a command."""
    check_plain(address, what=what)
    if NOT_IN_ADDRESS.search(address):
        raise MessageRefused(f"{what} “{address}” is not an address.")


def _ascii_domain(address: str) -> str:
    if address.isascii():
        return address
    local, at, domain = address.rpartition("@")
    with suppress(UnicodeError):
        domain = domain.encode("idna").decode()
    return local + at + domain


def _all_refused(refused: dict[str, str]) -> RecipientsRefused:
    first = next(iter(refused.values()), "")
    permanent = not any(reply.startswith("4") for reply in refused.values())
    names = ", ".join(list(refused)[:5])
    return RecipientsRefused(
        f"The server refused every recipient ({names}).",
        refused=refused,
        server_reply=first,
        permanent=permanent,
    )


def _unknown(problem: BaseException) -> OutcomeUnknown:
    reply = problem.server_reply if isinstance(problem, MailError) else ""
    reason = str(problem) if isinstance(problem, MailError) else "The connection broke."
    return OutcomeUnknown(
        f"The server was given the whole message but did not confirm it. {reason}", server_reply=reply
    )


def _own_name(sock: socket.socket) -> str:
    """Introduce ourselves by address, which needs no name service (RFC 5321, section 4.1.3)."""
    ip = ip_address(str(sock.getsockname()[0]).partition("%")[0])
    return f"[{ip}]" if ip.version == 4 else f"[IPv6:{ip}]"
