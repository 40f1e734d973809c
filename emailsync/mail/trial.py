"""One trial of a server: its steps in order, and what a failure means at each.

A generator never raises MailError: the failure is a step of its own, and what could not be tried after
it is told as skipped. When a server keeps silent where a greeting belongs, one more connection finds out
whether it waits for TLS, because that is the commonest mistake of all; and when a certificate is not
trusted, one more connection, without any password, reads what it says, for those who want to pin it.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from emailsync.mail import stages
from emailsync.mail.connection import Connection, connect_to
from emailsync.mail.endpoint import Endpoint, ResolvedAddress, Security, resolve
from emailsync.mail.errors import (
    CertificateInvalid,
    CertificateNotPinned,
    ConnectionLost,
    MailError,
    NotSeenArriving,
    OutcomeClass,
    PlainTextAnswered,
    Scope,
    TimedOut,
    TlsExpected,
    classified,
)
from emailsync.mail.wire import Wire

Direction = Literal["incoming", "outgoing"]
SEEN_LIMIT = 2_000
SECOND_LOOK = 5.0
#: What stands before the server's own words in `Step.seen`.
SAID = "The server said: "
#: No certificate has this fingerprint: pinned, it only has every one described.
UNPINNABLE = ("0" * 64,)


class Outcome(StrEnum):
    """Say how a step ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    SKIPPED = "skipped"
    #: It worked, but something about it should be known.
    WARNING = "warning"


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
    #: What was said on the connection until then, without secrets, of a step that did not succeed.
    transcript: str = ""

    @property
    def outcome_class(self) -> OutcomeClass:
        """Say of which class a failure is."""
        return classified(scope=self.scope, permanent=self.permanent)


@dataclass(frozen=True)
class Plan:
    """Name a step and do it; what it returns is the title and what was seen."""

    name: str
    #: What is said when the steps before it failed.
    untried: str
    action: Callable[[], tuple[str, str]]


class Trial(ABC):
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
        return self._done(plan, at, started, title=title, seen=seen)

    def _done(self, plan: Plan, at: datetime, started: float, *, title: str, seen: str) -> Step:
        return Step(
            direction=self.direction,
            name=plan.name,
            title=title,
            outcome=Outcome.SUCCESS,
            started_at=at,
            duration_ms=milliseconds(started),
            seen=seen[:SEEN_LIMIT],
        )

    def _failed(self, plan: Plan, at: datetime, started: float, problem: MailError) -> Step:
        return Step(
            direction=self.direction,
            name=plan.name,
            title=str(problem),
            # What a server accepted may arrive after everybody stopped waiting for it.
            outcome=Outcome.WARNING if isinstance(problem, NotSeenArriving) else Outcome.FAILURE,
            started_at=at,
            duration_ms=milliseconds(started),
            seen=f"{SAID}{problem.server_reply}" if problem.server_reply else "",
            error_code=problem.code,
            remedy=problem.remedy,
            permanent=problem.permanent,
            scope=problem.scope,
            transcript=self.wire.transcript.text() if self.wire.transcript else "",
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
        """Say what a general failure means at this step, after a second look where that can tell more."""
        kind, port = type(problem), self.endpoint.port
        is_silent = kind is TimedOut and step == "greet"
        if is_silent and self.endpoint.security is not Security.TLS and self._speaks_tls():
            kind = TlsExpected
        if kind is TlsExpected:
            chosen = "STARTTLS" if self.endpoint.security is Security.STARTTLS else "no encryption"
            return TlsExpected(f"Port {port} speaks TLS at once; you chose {chosen}.")
        if kind is PlainTextAnswered:
            return PlainTextAnswered(f"Port {port} answers in plain text; you chose TLS.")
        if isinstance(problem, CertificateInvalid) and not self.wire.pins:
            return kind(str(problem), server_reply=self._certificate() or problem.server_reply)
        if kind in {TimedOut, ConnectionLost} and (kind.code, step) in stages.WORDS:
            sentence, remedy = stages.WORDS[kind.code, step]
            problem = kind(sentence, server_reply=problem.server_reply)
            problem.remedy = remedy
        return problem

    def _certificate(self) -> str:
        """Read what the certificate says, on a connection that gets no further than that."""
        patience = min(self.wire.timeout, SECOND_LOOK)
        second = self.again(replace(self.wire, pins=UNPINNABLE, timeout=patience, transcript=None))
        second.addresses = self.addresses
        try:
            for plan in second.plans()[1:]:
                plan.action()
        except CertificateNotPinned as told:
            return told.server_reply
        except MailError:
            return ""
        finally:
            second.close()
        return ""

    @abstractmethod
    def again(self, wire: Wire) -> "Trial":
        """Return another trial of the same, on another wire."""

    def _speaks_tls(self) -> bool:
        with suppress(MailError):
            second = connect_to(self.addresses, self.endpoint, self.wire)
            try:
                second.wait_at_most(SECOND_LOOK)
                second.start_tls()
            except MailError as problem:
                # A certificate that is not trusted is a certificate all the same.
                return isinstance(problem, CertificateInvalid)
            else:
                return True
            finally:
                second.close()
        return False

    def resolve(self) -> tuple[str, str]:
        """Look the server's name up."""
        wire = self.wire
        self.addresses = resolve(self.endpoint, wire.policy, deadline=wire.deadline, look_up=wire.look_up)
        found = ", ".join(str(address.ip) for address in self.addresses)
        return f"Found {self.endpoint.host} at {found}", found

    def connect(self) -> tuple[str, str]:
        """Reach the server."""
        started = time.monotonic()
        self.connection = connect_to(self.addresses, self.endpoint, self.wire)
        address = self.connection.address
        return f"Connected to {address} in {milliseconds(started)} ms", str(address)

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


def milliseconds(started: float) -> int:
    """Return how many have passed since then, by the monotonic clock."""
    return round((time.monotonic() - started) * 1000)
