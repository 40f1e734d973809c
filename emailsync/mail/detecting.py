"""Find out from an address where its mail servers are, and see that they answer.

What is known of large providers comes first, then what the domain itself publishes: service records
(RFC 6186, RFC 8314), the document for mail programs, its mail exchangers; and in the end the usual names are
guessed. Each server that is found is connected to, as far as it goes without a password, and the first of
each direction that answers is taken. Every attempt is told.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime

from emailsync.mail import autoconfig, presets
from emailsync.mail.auth import Password
from emailsync.mail.composing import Draft
from emailsync.mail.endpoint import Endpoint, Protocol, Security, check_host
from emailsync.mail.errors import LookupFailed, MailError
from emailsync.mail.headers import Address
from emailsync.mail.names import Names
from emailsync.mail.probing import probe_incoming, probe_outgoing
from emailsync.mail.trial import Outcome, Step
from emailsync.mail.wire import Wire
from emailsync.mail.words import gettext_noop

#: Labels of service records in the order in which they are asked for: encrypted from the start first.
SERVICES = (
    ("_imaps._tcp", Protocol.IMAP, Security.TLS),
    ("_imap._tcp", Protocol.IMAP, Security.STARTTLS),
    ("_pop3s._tcp", Protocol.POP3, Security.TLS),
    ("_submissions._tcp", Protocol.SMTP, Security.TLS),
    ("_submission._tcp", Protocol.SMTP, Security.STARTTLS),
)
GUESSES = (
    ("imap", Protocol.IMAP, 993, Security.TLS),
    ("mail", Protocol.IMAP, 993, Security.TLS),
    ("pop", Protocol.POP3, 995, Security.TLS),
    ("smtp", Protocol.SMTP, 465, Security.TLS),
    ("mail", Protocol.SMTP, 465, Security.TLS),
    ("smtp", Protocol.SMTP, 587, Security.STARTTLS),
    ("mail", Protocol.SMTP, 587, Security.STARTTLS),
)
ANSWERS = gettext_noop("Answers.")
NOTHING = gettext_noop("No entry.")
NOBODY_TO_ASK = gettext_noop(
    "The name service does not answer. Check the network of the workers, or enter the servers by hand."
)
NOT_FOUND = gettext_noop("No mail server answers under the usual names. Enter the servers by hand.")
HALF_FOUND = gettext_noop("Only one of the two servers was found. Enter the other one by hand.")
#: The last step that needs no password.
LAST_STEP = "capabilities"


@dataclass(frozen=True)
class Tried:
    """One attempt: what was asked or connected to, on whose word, and what came of it."""

    what: str
    source: str
    result: str
    is_success: bool = False


@dataclass(frozen=True)
class Candidate:
    """A server, and who says that it is the one."""

    endpoint: Endpoint
    source: str


@dataclass
class Detected:
    """What is known so far. `note` is a sentence for people, to be translated."""

    incoming: Candidate | None = None
    outgoing: Candidate | None = None
    note: str = ""
    tried: list[Tried] = field(default_factory=list)


def domain_of(address: str) -> str:
    """Return the domain of an address, or a domain as it is. Raises ValueError with a sentence."""
    domain = check_host(address.strip().rpartition("@")[2])
    if ":" in domain or domain.rpartition(".")[2].isdigit():
        raise ValueError("Enter the name of a domain; an IP address publishes no mail servers.")
    return domain


class Detector:
    """One search for the servers of a domain."""

    def __init__(self, domain: str, wire: Wire, names: Names) -> None:
        self._domain, self._wire, self._names = domain, wire, names
        self._seen: set[Endpoint] = set()
        self._could_ask = False
        self.found = Detected()

    def run(self, tell: Callable[[], None] = lambda: None) -> Detected:
        """Search until both servers are found or nothing is left to try; `tell` is called now and then."""
        found = self.found
        for source in (self._preset, self._services, self._published, self._exchangers, self._guesses):
            for candidate in source():
                is_outgoing = candidate.endpoint.protocol is Protocol.SMTP
                if (found.outgoing if is_outgoing else found.incoming) or candidate.endpoint in self._seen:
                    continue
                self._seen.add(candidate.endpoint)
                if self._answers(candidate):
                    if is_outgoing:
                        found.outgoing = candidate
                    else:
                        found.incoming = candidate
                tell()
            tell()
            if found.incoming and found.outgoing:
                return found
        if found.incoming or found.outgoing:
            found.note = HALF_FOUND
        else:
            found.note = NOT_FOUND if self._could_ask else NOBODY_TO_ASK
        return found

    # Where candidates come from

    def _preset(self) -> Iterator[Candidate]:
        yield from self._of_preset(presets.of_domain(self._domain), "")

    def _of_preset(self, preset: presets.Preset | None, exchanger: str) -> Iterator[Candidate]:
        if preset is None:
            return
        self.found.note = preset.note
        said = f"known provider {preset.name}" + (f", by its mail exchanger {exchanger}" if exchanger else "")
        for endpoint in preset.endpoints:
            yield Candidate(endpoint, said)

    def _services(self) -> Iterator[Candidate]:
        for label, protocol, security in SERVICES:
            name = f"{label}.{self._domain}"
            try:
                services = self._names.services(label, self._domain)
            except LookupFailed as problem:
                self._note(name, "DNS", str(problem))
                continue
            self._could_ask = True
            self._note(name, "DNS", ", ".join(f"{s.host}:{s.port}" for s in services) or NOTHING)
            for service in services:
                try:
                    host = check_host(service.host)
                except ValueError:
                    continue
                yield Candidate(Endpoint(protocol, host, service.port, security), f"DNS record {name}")

    def _published(self) -> Iterator[Candidate]:
        for url in autoconfig.addresses(self._domain):
            try:
                endpoints = autoconfig.fetch(url, self._domain, self._wire)
            except MailError as problem:
                self._note(url, "HTTPS", str(problem))
                continue
            self._note(url, "HTTPS", ", ".join(map(str, endpoints)) or NOTHING)
            for endpoint in endpoints:
                yield Candidate(endpoint, url)

    def _exchangers(self) -> Iterator[Candidate]:
        try:
            hosts = self._names.exchangers(self._domain)
        except LookupFailed as problem:
            self._note(f"MX {self._domain}", "DNS", str(problem))
            return
        self._could_ask = True
        self._note(f"MX {self._domain}", "DNS", ", ".join(hosts) or NOTHING)
        for host in hosts:
            yield from self._of_preset(presets.of_exchanger(host), host)

    def _guesses(self) -> Iterator[Candidate]:
        for label, protocol, port, security in GUESSES:
            yield Candidate(Endpoint(protocol, f"{label}.{self._domain}", port, security), "usual name")

    # Whether they answer

    def _answers(self, candidate: Candidate) -> bool:
        """Connect as far as it goes without a password, and note what came of it."""
        endpoint = candidate.endpoint
        what = f"{endpoint.protocol.upper()} {endpoint}, {endpoint.security.upper()}"
        for step in self._steps(endpoint):
            if step.outcome is Outcome.FAILURE:
                self._note(what, candidate.source, step.title)
                return False
            if step.name == LAST_STEP:
                break
        self._could_ask = True
        self._note(what, candidate.source, ANSWERS, is_success=True)
        return True

    def _steps(self, endpoint: Endpoint) -> Iterator[Step]:
        now = datetime.now(UTC)
        if endpoint.protocol is Protocol.SMTP:
            nobody = Address("", f"nobody@{self._domain}")
            draft = Draft(sender=nobody, to=(nobody,), subject="", text="")
            steps = probe_outgoing(endpoint, None, self._wire, now=now, draft=draft)
        else:
            steps = probe_incoming(endpoint, Password("nobody", "none"), self._wire, now=now)
        # Closing it in time is what keeps the later steps from being done.
        with closing(steps):  # type: ignore[type-var]  # a generator, behind the name of an iterator
            for step in steps:
                yield step
                if step.name == LAST_STEP:
                    return

    def _note(self, what: str, source: str, result: str, *, is_success: bool = False) -> None:
        self.found.tried.append(Tried(what, source, result, is_success))
