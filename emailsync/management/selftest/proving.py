"""Let every scenario happen to the real probe, and note what it says."""

import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from emailsync.mail import oauth
from emailsync.mail.composing import Draft
from emailsync.mail.endpoint import Endpoint, NetworkPolicy, Protocol, Security, default_port, parse_networks
from emailsync.mail.errors import MailError
from emailsync.mail.headers import Address
from emailsync.mail.imap import open_imap
from emailsync.mail.probing import Arrival, probe_incoming, probe_outgoing
from emailsync.mail.trial import Outcome, Step
from emailsync.mail.wire import Deadline, Wire
from emailsync.management.selftest import scenarios
from emailsync.management.selftest.certificates import Authority, ServerCertificate
from emailsync.management.selftest.failures import SCENARIOS
from emailsync.management.selftest.scenarios import Scenario
from emailsync.management.selftest.scripted import Peer
from emailsync.management.selftest.scripted_imap import ScriptedImap
from emailsync.management.selftest.scripted_pop3 import Pop3Behaviour, ScriptedPop3
from emailsync.management.selftest.scripted_smtp import ScriptedSmtp
from emailsync.management.selftest.scripted_web import ScriptedWeb

ANN = Address("Ann", "ann@example.com")
DRAFT = Draft(sender=ANN, to=(ANN,), subject="Selftest", text="It works.\n")
#: To a multicast address TCP sends nothing: the system itself says that there is no way.
NO_WAY = "224.0.0.1"
AT_ONCE = 8
KINDS: dict[Protocol, type[ScriptedImap | ScriptedPop3 | ScriptedSmtp | ScriptedWeb]] = {
    Protocol.HTTPS: ScriptedWeb,
    Protocol.IMAP: ScriptedImap,
    Protocol.POP3: ScriptedPop3,
    Protocol.SMTP: ScriptedSmtp,
}
PATIENCE, LITTLE_PATIENCE = 10.0, 1.0
#: Seconds that a run has which is to end before its work.
SHORT_RUN = 0.5
ARRIVAL_PATIENCE = 0.3


@dataclass(frozen=True)
class Result:
    """What the console says of one scenario."""

    scenario: Scenario
    step: str
    code: str
    sentence: str
    remedy: str
    outcome_class: str

    @property
    def is_expected(self) -> bool:
        """Say whether it is what it should say."""
        return (self.code, self.step) == (self.scenario.code, self.scenario.step)


@dataclass(frozen=True)
class Certificates:
    """The certificates that servers may show, and the one that is trusted."""

    trusted: str
    by_name: dict[str, ServerCertificate]

    @classmethod
    def issue(cls, folder: Path) -> "Certificates":
        """Make them, in a folder that is thrown away."""
        authority = Authority(folder)
        (folder / "stranger").mkdir()
        names = (scenarios.HOST,)
        return cls(
            authority.pem,
            {
                "server": authority.issue("named", names=names),
                "expired": authority.issue("expired", names=names, expired=True),
                "for_clients": authority.issue("for-clients", names=names, for_clients=True),
                "self_signed": authority.issue("self-signed", names=names, self_signed=True),
                "other": authority.issue("other", names=("another.example.org",)),
                "stranger": Authority(folder / "stranger").issue("stranger", names=names),
            },
        )


def prove(chosen: Sequence[Scenario] = SCENARIOS) -> list[Result]:
    """Let the scenarios happen, several at once; returns what came of each, in their order."""
    with tempfile.TemporaryDirectory(prefix="emailsync-selftest-") as folder:
        issued = Certificates.issue(Path(folder))
        with ThreadPoolExecutor(AT_ONCE) as threads:
            return list(threads.map(lambda scenario: _happen(scenario, issued), chosen))


def _happen(scenario: Scenario, issued: Certificates) -> Result:
    with _server(scenario, issued) as port, _empty_mailbox(scenario, issued) as inbox:
        endpoint = Endpoint(scenario.protocol, scenario.host, port, scenario.security)
        wire = Wire(
            policy=_policy(scenario.forbids),
            timeout=LITTLE_PATIENCE if scenario.is_slow else PATIENCE,
            deadline=Deadline.after(SHORT_RUN if scenario.is_short else 4 * PATIENCE),
            ca_certificates=issued.trusted,
            pins=scenario.pins,
            look_up=_look_up,
        )
        if act := ACTS.get(scenario.step):
            return _acted(scenario, lambda: act(endpoint, wire), port)
        now = datetime.now(UTC)
        if scenario.protocol is Protocol.SMTP:
            arrival = Arrival(inbox, scenarios.PASSWORD, ARRIVAL_PATIENCE) if inbox else None
            steps = probe_outgoing(endpoint, scenario.credential, wire, now=now, draft=DRAFT, arrival=arrival)
        else:
            steps = probe_incoming(endpoint, scenario.credential, wire, now=now)
        return _result(scenario, list(steps), port)


def _fetch(endpoint: Endpoint, wire: Wire) -> None:
    """Fetch all that there is."""
    with open_imap(endpoint, scenarios.PASSWORD, wire) as client:
        client.open_folder()
        list(client.fetch(client.describe(client.ids_after(0))))


def _ask_for_token(endpoint: Endpoint, wire: Wire) -> None:
    """Have an access token renewed."""
    url = f"https://{endpoint.host}:{endpoint.port}/token"
    oauth.refresh(oauth.Client(url, url, "selftest", "a secret"), wire, refresh_token="a refresh token")  # noqa: S106


#: What is done at the steps that are none of a test.
ACTS: dict[str, Callable[[Endpoint, Wire], None]] = {"fetch": _fetch, "token": _ask_for_token}


def _acted(scenario: Scenario, act: Callable[[], None], port: int) -> Result:
    try:
        act()
    except MailError as error:
        sentence, kind = _as_usual(scenario, str(error), port), error.outcome_class.value
        return Result(scenario, scenario.step, error.code, sentence, str(error.remedy), kind)
    return Result(scenario, "", "", "Everything worked.", "", "")


def _result(scenario: Scenario, steps: list[Step], port: int) -> Result:
    found = next((step for step in steps if step.outcome in {Outcome.FAILURE, Outcome.WARNING}), None)
    if found is None:
        return Result(scenario, "", "", "Everything worked.", "", "")
    sentence = _as_usual(scenario, found.title, port)
    return Result(scenario, found.name, found.error_code, sentence, found.remedy, found.outcome_class.value)


def _as_usual(scenario: Scenario, text: str, port: int) -> str:
    """Return `text` with the port and the address that such a server usually has."""
    usual = str(default_port(scenario.protocol, scenario.security))
    return text.replace(str(port), usual).replace("127.0.0.1", "192.0.2.20")


def _policy(forbids: str) -> NetworkPolicy:
    return NetworkPolicy(
        allowed_ports=(range(25, 26),) if forbids == "ports" else (range(1, 65536),),
        allowed_networks=parse_networks("127.0.0.0/8,224.0.0.0/4"),
        allow_plain=forbids != "plain",
    )


def _look_up(host: str) -> list[str]:
    """Be the name service."""
    if host == scenarios.UNKNOWN:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")
    if host == scenarios.UNANSWERED:
        raise socket.gaierror(socket.EAI_AGAIN, "no answer")
    special = {scenarios.UNROUTED: NO_WAY, scenarios.FORBIDDEN: "10.0.0.1"}
    return [special.get(host, "127.0.0.1")]


@contextmanager
def _server(scenario: Scenario, issued: Certificates) -> Iterator[int]:
    if scenario.port == "refusing":
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            yield int(bound.getsockname()[1])
        return
    if scenario.port == "full":
        with _full_port() as port:
            yield port
        return
    server = KINDS[scenario.protocol](
        certificate=issued.by_name[scenario.certificate],
        implicit_tls=scenario.security is Security.TLS,
    )
    for name, answer in scenario.answers.items():
        if isinstance(server, ScriptedSmtp):
            assert not callable(answer)
            server.replies[name] = answer
        elif isinstance(server, ScriptedPop3):
            assert not callable(answer)
            server.on(name, _saying(answer))
        elif isinstance(server, ScriptedImap):
            assert callable(answer)
            server.on(name, answer)
    if scenario.arrange is not None:
        scenario.arrange(server)
    with server:
        yield server.port


def _saying(line: bytes | None) -> Pop3Behaviour:
    """Answer with a line; an empty one is silence, and none closes the connection."""

    def behave(peer: Peer, _rest: bytes) -> None:
        if line is None:
            raise ConnectionResetError
        if not line:
            peer.keep_silent()
        peer.send(line + b"\r\n")

    return behave


@contextmanager
def _full_port() -> Iterator[int]:
    """Listen on a port whose queue is full: whoever comes now hears nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        waiting = []
        for _ in range(3):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
            waiting.append(client)
        try:
            yield int(listener.getsockname()[1])
        finally:
            for client in waiting:
                client.close()


@contextmanager
def _empty_mailbox(scenario: Scenario, issued: Certificates) -> Iterator[Endpoint | None]:
    if not scenario.seeks_arrival:
        yield None
        return
    with ScriptedImap(certificate=issued.by_name["server"], implicit_tls=True) as server:
        yield Endpoint(Protocol.IMAP, scenarios.HOST, server.port, Security.TLS)
