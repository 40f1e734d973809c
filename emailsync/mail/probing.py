"""Try a server out step by step, and say of each step what was done, what was seen and what to do."""

import time
from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, repeat
from typing import Generic, TypeVar

from emailsync.mail.auth import Credential
from emailsync.mail.composing import Draft, compose, new_message_id
from emailsync.mail.endpoint import Endpoint, Protocol, Security
from emailsync.mail.errors import MailError, MessageRefused, NotSeenArriving, TimedOut
from emailsync.mail.imap import ImapClient
from emailsync.mail.incoming import IncomingClient
from emailsync.mail.pop3 import Pop3Client
from emailsync.mail.registry import INCOMING
from emailsync.mail.smtp import SmtpClient
from emailsync.mail.trial import Direction, Plan, Step, Trial, milliseconds
from emailsync.mail.wire import Wire
from emailsync.mail.words import gettext_noop

#: How long after it was accepted a message is looked for, and how often.
ARRIVAL_PATIENCE = 20.0
#: How many of the newest messages are looked at where a server cannot search.
NEWEST = 5
ARRIVAL_PAUSES = (0.05, 0.2, 0.5, 1.0, 2.0)
Client = TypeVar("Client", bound=ImapClient | Pop3Client | SmtpClient)


@dataclass(frozen=True)
class Arrival:
    """Say where a message that was sent is to be seen arriving, and for how long it is looked for."""

    endpoint: Endpoint
    credential: Credential
    patience: float = ARRIVAL_PATIENCE


def probe_incoming(
    endpoint: Endpoint, credential: Credential, wire: Wire, *, now: datetime
) -> Iterator[Step]:
    """Try a server for incoming mail: reach it, sign in, open the INBOX."""
    return _Incoming(endpoint, credential, wire).steps(now)


def probe_outgoing(
    endpoint: Endpoint,
    credential: Credential | None,
    wire: Wire,
    *,
    now: datetime,
    draft: Draft,
    arrival: Arrival | None = None,
) -> Iterator[Step]:
    """Try a server for outgoing mail: reach it, sign in, really send the draft and see it arrive."""
    return _Outgoing(endpoint, credential, wire, draft=draft, now=now, arrival=arrival).steps(now)


class _Conversation(Trial, Generic[Client]):
    """Do what is said in the same way by every protocol."""

    _client: Client | None = None

    @abstractmethod
    def _greet(self) -> tuple[str, str]:
        """Begin the conversation."""

    def _opening(self) -> tuple[Plan, ...]:
        greet = Plan("greet", gettext_noop("The greeting of the server was not tried."), self._greet)
        return (
            Plan("resolve", gettext_noop("Looking up the server's name was not tried."), self.resolve),
            Plan("connect", gettext_noop("The connection to the server was not tried."), self.connect),
            *_in_order(self.endpoint, greet, self.secure_at_once, self._begin_tls),
            Plan(
                "capabilities",
                gettext_noop("The list of what the server can do was not tried."),
                self._capabilities,
            ),
        )

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
        super().close()

    def _in_conversation(self) -> Client:
        if self._client is None:
            raise TimedOut("There is no conversation.")
        return self._client

    def _begin_tls(self) -> tuple[str, str]:
        self._in_conversation().begin_tls()
        return self._secured()

    def _capabilities(self) -> tuple[str, str]:
        return gettext_noop("The server says what it can do"), " ".join(
            sorted(self._in_conversation().capabilities)
        )


class _Incoming(_Conversation[ImapClient | Pop3Client]):
    direction: Direction = "incoming"

    def __init__(self, endpoint: Endpoint, credential: Credential, wire: Wire) -> None:
        super().__init__(endpoint, wire)
        self._credential = credential

    def again(self, wire: Wire) -> Trial:
        return _Incoming(self.endpoint, self._credential, wire)

    def plans(self) -> tuple[Plan, ...]:
        return (
            *self._opening(),
            Plan("authenticate", gettext_noop("The sign-in was not tried."), self._sign_in),
            Plan("open_inbox", gettext_noop("The opening of the INBOX was not tried."), self._open_inbox),
        )

    def _greet(self) -> tuple[str, str]:
        speak = Pop3Client if self.endpoint.protocol is Protocol.POP3 else ImapClient
        self._client = speak(self.reached())
        return gettext_noop("The server greeted us"), self._client.greeting

    def _sign_in(self) -> tuple[str, str]:
        self._in_conversation().sign_in(self._credential)
        return _signed_in(self._credential), ""

    def _open_inbox(self) -> tuple[str, str]:
        folders = self._in_conversation().folders
        if folders is None:
            folder = self._in_conversation().status()
            seen = f"{folder.octets} bytes"
        else:
            folder = folders.open_folder()
            seen = f"UIDVALIDITY {folder.uidvalidity}, UIDNEXT {folder.uidnext}"
        messages = "1 message" if folder.messages == 1 else f"{folder.messages} messages"
        return f"{messages} in INBOX", seen


class _Outgoing(_Conversation[SmtpClient]):
    direction: Direction = "outgoing"

    def __init__(
        self,
        endpoint: Endpoint,
        credential: Credential | None,
        wire: Wire,
        *,
        draft: Draft,
        now: datetime,
        arrival: Arrival | None = None,
    ) -> None:
        super().__init__(endpoint, wire)
        self._credential = credential
        self._draft = draft
        self._now = now
        self._arrival = arrival
        self._message_id = new_message_id(draft.sender.address.rpartition("@")[2])
        self._accepted = 0.0

    def again(self, wire: Wire) -> Trial:
        return _Outgoing(self.endpoint, self._credential, wire, draft=self._draft, now=self._now)

    def plans(self) -> tuple[Plan, ...]:
        sign_in = (
            (Plan("authenticate", gettext_noop("The sign-in was not tried."), self._sign_in),)
            if self._credential
            else ()
        )
        arrive = (
            (Plan("arrive", gettext_noop("The arrival of the message was not looked for."), self._arrive),)
            if self._arrival
            else ()
        )
        return (
            *self._opening(),
            *sign_in,
            Plan("send", gettext_noop("Sending a message was not tried."), self._send),
            *arrive,
        )

    def _greet(self) -> tuple[str, str]:
        self._client = SmtpClient(self.reached())
        self._client.hear_greeting()
        return gettext_noop("The server greeted us"), self._client.greeting

    def _sign_in(self) -> tuple[str, str]:
        if self._credential is None:
            raise TimedOut("There is no credential.")
        self._in_conversation().sign_in(self._credential)
        return _signed_in(self._credential), ""

    def _send(self) -> tuple[str, str]:
        draft = self._draft
        try:
            content = compose(draft, message_id=self._message_id, date=self._now)
        except ValueError as problem:
            raise MessageRefused(f"The message could not be written. {problem}") from problem
        result = self._in_conversation().send(
            sender=draft.sender.address,
            recipients=draft.recipients,
            content=content,
            before_body=_nothing_to_note,
        )
        self._accepted = time.monotonic()
        return f"Sent a message to {', '.join(result.accepted)}", result.reply

    def _arrive(self) -> tuple[str, str]:
        """See the message in the INBOX, and measure how long after its acceptance that is."""
        assert self._arrival is not None
        try:
            self._see_it_arrive(self._arrival)
        except NotSeenArriving:
            raise
        except MailError as problem:
            sentence = f"The server took the message, but its arrival could not be looked for. {problem}"
            raise NotSeenArriving(sentence, server_reply=problem.server_reply) from problem
        return f"The message arrived in the INBOX after {milliseconds(self._accepted)} ms", ""

    def _see_it_arrive(self, arrival: Arrival) -> None:
        client: IncomingClient | None = None
        try:
            for pause in chain(ARRIVAL_PAUSES, repeat(ARRIVAL_PAUSES[-1])):
                client = client or INCOMING[arrival.endpoint.protocol](
                    arrival.endpoint, arrival.credential, self.wire
                )
                if _holds(client, self._message_id):
                    return
                if client.folders is None:
                    # A POP3 session never sees what comes later (RFC 1939, section 3).
                    client.close()
                    client = None
                if time.monotonic() + pause > self._accepted + arrival.patience:
                    break
                time.sleep(pause)
        finally:
            if client is not None:
                client.close()
        raise NotSeenArriving(
            gettext_noop("The server took the message, but it was not seen arriving in the INBOX so far.")
        )


def _holds(client: IncomingClient, message_id: str) -> bool:
    """Say whether the INBOX holds a message; without a search, whether it is among the newest."""
    if client.folders is not None:
        return client.folders.find_by_message_id(message_id, folders=("INBOX",)) is not None
    newest = client.describe(client.ids_after(0)[-NEWEST:], dates=False)
    return any(message_id.encode() in (found.body.content or b"") for found in client.fetch_headers(newest))


def _in_order(
    endpoint: Endpoint,
    greet: Plan,
    at_once: Callable[[], tuple[str, str]],
    after_greeting: Callable[[], tuple[str, str]],
) -> tuple[Plan, ...]:
    """Put the encryption before or after the greeting, or leave it out."""
    untried = gettext_noop("The encryption of the connection was not tried.")
    if endpoint.security is Security.TLS:
        return (Plan("secure", untried, at_once), greet)
    if endpoint.security is Security.STARTTLS:
        return (greet, Plan("secure", untried, after_greeting))
    return (greet,)


def _signed_in(credential: Credential) -> str:
    if credential.authorization_identity:
        return f"Signed in as {credential.user_name} for {credential.authorization_identity}"
    return f"Signed in as {credential.user_name}"


def _nothing_to_note() -> None:
    """Let the body go: a trial leaves no record of the moment."""
