"""Try a server out step by step, and say of each step what was done, what was seen and what to do.

A generator never raises MailError: the failure is a step of its own, and what could not be tried after
it is told as skipped. When a server keeps silent where a greeting belongs, one more connection finds out
whether it waits for TLS, because that is the commonest mistake of all.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from emailsync.mail.auth import Password
from emailsync.mail.composing import Draft, compose, new_message_id
from emailsync.mail.connection import Connection, connect_to
from emailsync.mail.endpoint import Endpoint, ResolvedAddress, Security, resolve
from emailsync.mail.errors import MailError, MessageRefused, Scope, TimedOut, TlsExpected
from emailsync.mail.imap import ImapClient
from emailsync.mail.smtp import SmtpClient
from emailsync.mail.wire import Wire
from emailsync.mail.words import gettext_noop

Direction = Literal["incoming", "outgoing"]
SEEN_LIMIT = 2_000
SECOND_LOOK = 5.0
#: What stands before the server's own words in `Step.seen`.
SAID = "The server said: "


class Outcome(StrEnum):
    """Say how a step ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Step:
    """Tell one step of a trial."""

    direction: Direction
    name: str
    title: str
    outcome: Outcome
    started_at: datetime
    duration_ms: int
    seen: str = ""
    error_code: str = ""
    remedy: str = ""
    permanent: bool = False
    scope: Scope = Scope.MAILBOX


@dataclass(frozen=True)
class Plan:
    """Name a step and do it; what it returns is the title and what was seen."""

    name: str
    #: What is said when the steps before it failed.
    untried: str
    action: Callable[[], tuple[str, str]]


def probe_incoming(endpoint: Endpoint, credential: Password, wire: Wire, *, now: datetime) -> Iterator[Step]:
    """Try a server for incoming mail: reach it, sign in, open the INBOX."""
    return _Incoming(endpoint, credential, wire).steps(now)


def probe_outgoing(
    endpoint: Endpoint, credential: Password | None, wire: Wire, *, now: datetime, draft: Draft
) -> Iterator[Step]:
    """Try a server for outgoing mail: reach it, sign in and really send the draft."""
    return _Outgoing(endpoint, credential, wire, draft=draft, now=now).steps(now)


class _Probe(ABC):
    """Do what both directions have in common."""

    direction: Direction

    def __init__(self, endpoint: Endpoint, wire: Wire) -> None:
        self.endpoint = endpoint
        self.wire = wire
        self.addresses: tuple[ResolvedAddress, ...] = ()
        self.connection: Connection | None = None

    @abstractmethod
    def plans(self) -> tuple[Plan, ...]:
        """List the steps in their order, which depends on when TLS begins."""

    def steps(self, now: datetime) -> Iterator[Step]:
        """Do the steps, and after a failure only name the rest."""
        begun = time.monotonic()
        failed = False
        try:
            for plan in self.plans():
                started = time.monotonic()
                at = now + timedelta(seconds=started - begun)
                if failed:
                    yield self._skipped(plan, at)
                    continue
                step = self._do(plan, at, started)
                failed = step.outcome is Outcome.FAILURE
                yield step
        finally:
            self.close()

    def close(self) -> None:
        """End the conversation."""
        if self.connection is not None:
            self.connection.close()

    def _do(self, plan: Plan, at: datetime, started: float) -> Step:
        try:
            title, seen = plan.action()
        except MailError as problem:
            return self._failed(plan, at, started, self._explained(problem, plan.name))
        return Step(
            direction=self.direction,
            name=plan.name,
            title=title,
            outcome=Outcome.SUCCESS,
            started_at=at,
            duration_ms=_milliseconds(started),
            seen=seen[:SEEN_LIMIT],
        )

    def _failed(self, plan: Plan, at: datetime, started: float, problem: MailError) -> Step:
        return Step(
            direction=self.direction,
            name=plan.name,
            title=str(problem),
            outcome=Outcome.FAILURE,
            started_at=at,
            duration_ms=_milliseconds(started),
            seen=f"{SAID}{problem.server_reply}" if problem.server_reply else "",
            error_code=problem.code,
            remedy=problem.remedy,
            permanent=problem.permanent,
            scope=problem.scope,
        )

    def _skipped(self, plan: Plan, at: datetime) -> Step:
        return Step(
            direction=self.direction,
            name=plan.name,
            title=plan.untried,
            outcome=Outcome.SKIPPED,
            started_at=at,
            duration_ms=0,
        )

    def _explained(self, problem: MailError, step: str) -> MailError:
        """Find out whether a silent server waits for TLS."""
        silent = isinstance(problem, TimedOut) and step == "greet"
        if not silent or self.endpoint.security is Security.TLS or not self._speaks_tls():
            return problem
        return TlsExpected(f"The server says nothing before TLS begins on port {self.endpoint.port}.")

    def _speaks_tls(self) -> bool:
        with suppress(MailError):
            second = connect_to(self.addresses, self.endpoint, self.wire)
            try:
                second.wait_at_most(SECOND_LOOK)
                second.start_tls()
            except MailError as problem:
                # A certificate that is not trusted is a certificate all the same.
                return problem.code == "certificate_invalid"
            else:
                return True
            finally:
                second.close()
        return False

    def resolve(self) -> tuple[str, str]:
        """Look the server's name up."""
        self.addresses = resolve(self.endpoint, self.wire.policy, deadline=self.wire.deadline)
        found = ", ".join(str(address.ip) for address in self.addresses)
        return f"Found {self.endpoint.host} at {found}", found

    def connect(self) -> tuple[str, str]:
        """Reach the server."""
        started = time.monotonic()
        self.connection = connect_to(self.addresses, self.endpoint, self.wire)
        address = self.connection.address
        return f"Connected to {address} in {_milliseconds(started)} ms", str(address)

    def reached(self) -> Connection:
        """Return the connection that the step before made."""
        if self.connection is None:
            raise TimedOut("There is no connection.")
        return self.connection

    def secure_at_once(self) -> tuple[str, str]:
        """Begin TLS before anything is said."""
        self.reached().start_tls()
        return self._secured()

    def _secured(self) -> tuple[str, str]:
        seen = self.reached().describe_tls()
        return f"The connection is encrypted: {seen}", seen


class _Incoming(_Probe):
    direction: Direction = "incoming"

    def __init__(self, endpoint: Endpoint, credential: Password, wire: Wire) -> None:
        super().__init__(endpoint, wire)
        self._credential = credential
        self._client: ImapClient | None = None

    def plans(self) -> tuple[Plan, ...]:
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
            Plan("authenticate", gettext_noop("The sign-in was not tried."), self._sign_in),
            Plan("open_inbox", gettext_noop("The opening of the INBOX was not tried."), self._open_inbox),
        )

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
        super().close()

    def _in_conversation(self) -> ImapClient:
        if self._client is None:
            raise TimedOut("There is no conversation.")
        return self._client

    def _greet(self) -> tuple[str, str]:
        self._client = ImapClient(self.reached())
        return gettext_noop("The server greeted us"), self._client.greeting

    def _begin_tls(self) -> tuple[str, str]:
        self._in_conversation().begin_tls()
        return self._secured()

    def _capabilities(self) -> tuple[str, str]:
        return gettext_noop("The server says what it can do"), " ".join(
            sorted(self._in_conversation().capabilities)
        )

    def _sign_in(self) -> tuple[str, str]:
        self._in_conversation().sign_in(self._credential)
        return _signed_in(self._credential), ""

    def _open_inbox(self) -> tuple[str, str]:
        folder = self._in_conversation().open_folder()
        seen = f"UIDVALIDITY {folder.uidvalidity}, UIDNEXT {folder.uidnext}"
        messages = "1 message" if folder.messages == 1 else f"{folder.messages} messages"
        return f"{messages} in INBOX", seen


class _Outgoing(_Probe):
    direction: Direction = "outgoing"

    def __init__(
        self, endpoint: Endpoint, credential: Password | None, wire: Wire, *, draft: Draft, now: datetime
    ) -> None:
        super().__init__(endpoint, wire)
        self._credential = credential
        self._draft = draft
        self._now = now
        self._client: SmtpClient | None = None

    def plans(self) -> tuple[Plan, ...]:
        greet = Plan("greet", gettext_noop("The greeting of the server was not tried."), self._greet)
        sign_in = (
            (Plan("authenticate", gettext_noop("The sign-in was not tried."), self._sign_in),)
            if self._credential
            else ()
        )
        return (
            Plan("resolve", gettext_noop("Looking up the server's name was not tried."), self.resolve),
            Plan("connect", gettext_noop("The connection to the server was not tried."), self.connect),
            *_in_order(self.endpoint, greet, self.secure_at_once, self._begin_tls),
            Plan(
                "capabilities",
                gettext_noop("The list of what the server can do was not tried."),
                self._capabilities,
            ),
            *sign_in,
            Plan("send", gettext_noop("Sending a message was not tried."), self._send),
        )

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
        super().close()

    def _in_conversation(self) -> SmtpClient:
        if self._client is None:
            raise TimedOut("There is no conversation.")
        return self._client

    def _greet(self) -> tuple[str, str]:
        self._client = SmtpClient(self.reached())
        self._client.hear_greeting()
        return gettext_noop("The server greeted us"), self._client.greeting

    def _begin_tls(self) -> tuple[str, str]:
        self._in_conversation().begin_tls()
        return self._secured()

    def _capabilities(self) -> tuple[str, str]:
        return gettext_noop("The server says what it can do"), " ".join(
            sorted(self._in_conversation().capabilities)
        )

    def _sign_in(self) -> tuple[str, str]:
        if self._credential is None:
            raise TimedOut("There is no credential.")
        self._in_conversation().sign_in(self._credential)
        return _signed_in(self._credential), ""

    def _send(self) -> tuple[str, str]:
        draft = self._draft
        domain = draft.sender.address.rpartition("@")[2]
        try:
            content = compose(draft, message_id=new_message_id(domain), date=self._now)
        except ValueError as problem:
            raise MessageRefused(f"The message could not be written. {problem}") from problem
        result = self._in_conversation().send(
            sender=draft.sender.address,
            recipients=draft.recipients,
            content=content,
            before_body=_nothing_to_note,
        )
        return f"Sent a message to {', '.join(result.accepted)}", result.reply


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


def _signed_in(credential: Password) -> str:
    if credential.authorization_identity:
        return f"Signed in as {credential.user_name} for {credential.authorization_identity}"
    return f"Signed in as {credential.user_name}"


def _nothing_to_note() -> None:
    """Let the body go: a trial leaves no record of the moment."""


def _milliseconds(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
