"""Trying servers out, step by step."""

import re
import ssl
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from emailsync.mail.auth import Password, Plain
from emailsync.mail.certificates import fingerprints, shown
from emailsync.mail.composing import Draft
from emailsync.mail.endpoint import Security
from emailsync.mail.headers import Address
from emailsync.mail.probing import Arrival, probe_incoming, probe_outgoing
from emailsync.mail.trial import Outcome, Step
from emailsync.mail.wire import Wire
from emailsync.management.selftest.certificates import Authority
from emailsync.management.selftest.scripted import Peer
from emailsync.management.selftest.scripted_imap import ScriptedImap, refuse
from emailsync.management.selftest.scripted_pop3 import ScriptedPop3
from emailsync.management.selftest.scripted_smtp import ScriptedSmtp
from tests.mail.conftest import PASSWORD, endpoint_of
from tests.servers.ports import free_port

NOW = datetime(2024, 2, 5, tzinfo=UTC)
ANN = Address("Ann", "ann@example.com")
DRAFT = Draft(sender=ANN, to=(ANN,), subject="A test", text="It works.\n")


def incoming(server: ScriptedImap, wire: Wire, security: Security = Security.NONE) -> list[Step]:
    """Try a server for incoming mail out."""
    return list(probe_incoming(endpoint_of(server, security), PASSWORD, wire, now=NOW))


def outgoing(server: ScriptedSmtp, wire: Wire, security: Security = Security.NONE) -> list[Step]:
    """Try a server for outgoing mail out."""
    return list(probe_outgoing(endpoint_of(server, security), PASSWORD, wire, now=NOW, draft=DRAFT))


def names(steps: list[Step], outcome: Outcome) -> list[str]:
    """Name the steps that ended so."""
    return [step.name for step in steps if step.outcome is outcome]


def failure(steps: list[Step]) -> Step:
    """Return the one step that failed."""
    (step,) = (step for step in steps if step.outcome is Outcome.FAILURE)
    return step


def test_every_step_of_a_good_pop3_server_succeeds(wire: Wire, certificates: Authority) -> None:
    letters = {b"a": b"x\r\n", b"b": b"y\r\n"}
    with ScriptedPop3(letters, certificate=certificates.server) as server:
        steps = list(probe_incoming(endpoint_of(server, Security.STARTTLS), PASSWORD, wire, now=NOW))
    assert names(steps, Outcome.SUCCESS) == [
        *("resolve", "connect", "greet", "secure", "capabilities", "authenticate", "open_inbox")
    ]
    assert (steps[-1].title, steps[-1].seen) == ("2 messages in INBOX", "6 bytes")
    assert "PIPELINING" in steps[4].seen


def test_every_step_of_a_good_incoming_server_succeeds(wire: Wire, certificates: Authority) -> None:
    with ScriptedImap({1: b"x", 2: b"y"}, certificate=certificates.server, implicit_tls=True) as server:
        steps = incoming(server, wire, Security.TLS)
    assert names(steps, Outcome.SUCCESS) == [
        *("resolve", "connect", "secure", "greet", "capabilities", "authenticate", "open_inbox")
    ]
    assert steps[1].title.startswith("Connected to 127.0.0.1, port ")
    assert "TLS 1.3, TLS_AES_256_GCM_SHA384, certificate for localhost valid until" in steps[2].title
    assert steps[3].seen == "OK ready"
    assert "AUTH=PLAIN" in steps[4].seen
    assert steps[5].title == "Signed in as ann"
    assert steps[6].title == "2 messages in INBOX"


def test_with_starttls_the_greeting_comes_first(wire: Wire, certificates: Authority) -> None:
    with ScriptedImap(certificate=certificates.server) as server:
        steps = incoming(server, wire, Security.STARTTLS)
    assert names(steps, Outcome.SUCCESS)[2:4] == ["greet", "secure"]


def test_times_run_on_from_the_beginning(wire: Wire) -> None:
    with ScriptedImap() as server:
        steps = incoming(server, wire)
    assert steps[0].started_at >= NOW
    assert [step.started_at for step in steps] == sorted(step.started_at for step in steps)


def test_a_wrong_password_is_told_with_the_servers_words(wire: Wire) -> None:
    with ScriptedImap() as server:
        server.on("AUTHENTICATE", refuse(b"[AUTHENTICATIONFAILED] Wrong pass word \xc3\xbc for ann"))
        steps = incoming(server, wire)
    step = failure(steps)
    assert (step.name, step.error_code, step.permanent) == ("authenticate", "login_refused", True)
    assert step.seen == "The server said: [AUTHENTICATIONFAILED] Wrong ••• for ann"
    assert "password" in step.remedy
    assert names(steps, Outcome.SKIPPED) == ["open_inbox"]


def test_after_a_failure_the_rest_is_named_as_not_tried(wire: Wire) -> None:
    with ScriptedImap() as server:
        endpoint = replace(endpoint_of(server), port=free_port())
        steps = list(probe_incoming(endpoint, PASSWORD, wire, now=NOW))
    assert failure(steps).error_code == "connection_refused"
    assert names(steps, Outcome.SKIPPED) == ["greet", "capabilities", "authenticate", "open_inbox"]
    assert steps[-1].title == "The opening of the INBOX was not tried."


def test_tls_at_a_plain_text_port_is_explained(wire: Wire) -> None:
    with ScriptedImap() as server:
        step = failure(incoming(server, wire, Security.TLS))
    assert (step.name, step.error_code) == ("secure", "plain_text_answered")
    assert "Choose STARTTLS" in step.remedy


@pytest.mark.parametrize("security", [Security.STARTTLS, Security.NONE])
def test_plain_text_at_a_tls_port_is_explained(
    wire: Wire, certificates: Authority, security: Security
) -> None:
    with ScriptedImap(certificate=certificates.server, implicit_tls=True) as server:
        step = failure(incoming(server, replace(wire, timeout=1.0), security))
    assert (step.name, step.error_code) == ("greet", "tls_expected")
    assert "Choose TLS" in step.remedy


def test_silence_is_silence_when_there_is_no_tls(wire: Wire) -> None:
    with ScriptedImap() as server:
        server.serve = Peer.keep_silent  # type: ignore[assignment]  # keeping silent is all it does
        step = failure(incoming(server, replace(wire, timeout=0.2)))
    assert (step.name, step.error_code) == ("greet", "timed_out")


def test_a_good_outgoing_server_gets_a_real_message(wire: Wire) -> None:
    with ScriptedSmtp() as server:
        steps = outgoing(server, wire)
    assert names(steps, Outcome.SUCCESS) == [
        *("resolve", "connect", "greet", "capabilities", "authenticate", "send")
    ]
    assert steps[-1].title == "Sent a message to ann@example.com"
    assert steps[-1].seen == "250 2.0.0 taken"
    assert b"Subject: A test" in server.bodies[0]


def test_a_message_that_is_refused_is_told_with_the_servers_words(wire: Wire) -> None:
    with ScriptedSmtp() as server:
        server.replies["MAIL"] = b"550 5.7.60 Client does not have permissions to send as this sender"
        step = failure(outgoing(server, wire))
    assert (step.name, step.error_code) == ("send", "sender_refused")
    assert "permissions to send as this sender" in step.seen


def test_plain_text_at_a_tls_port_for_sending_is_explained(wire: Wire, certificates: Authority) -> None:
    with ScriptedSmtp(certificate=certificates.server, implicit_tls=True) as server:
        step = failure(outgoing(server, replace(wire, timeout=1.0), Security.STARTTLS))
    assert step.error_code == "tls_expected"


def test_without_a_credential_there_is_no_sign_in(wire: Wire) -> None:
    with ScriptedSmtp() as server:
        steps = list(probe_outgoing(endpoint_of(server), None, wire, now=NOW, draft=DRAFT))
    assert "authenticate" not in [step.name for step in steps]


def test_a_draft_that_cannot_be_written_fails_the_sending(wire: Wire) -> None:
    with ScriptedSmtp() as server:
        broken = replace(DRAFT, subject="a\r\nb")
        steps = list(probe_outgoing(endpoint_of(server), PASSWORD, wire, now=NOW, draft=broken))
    assert "subject" in failure(steps).title


def test_signing_in_for_another_mailbox_is_told(wire: Wire) -> None:
    with ScriptedImap() as server:
        credential = Password("master", "secret", "box")
        steps = list(probe_incoming(endpoint_of(server), credential, wire, now=NOW))
    assert "Signed in as master for box" in [step.title for step in steps]


def test_no_step_shows_the_password(wire: Wire) -> None:
    with ScriptedImap() as server:
        server.on("AUTHENTICATE", refuse(Plain(PASSWORD).first + b" was wrong"))
        steps = incoming(server, wire)
    assert "pass word" not in repr(steps)


def test_giving_up_half_way_closes_the_connection(wire: Wire) -> None:
    with ScriptedImap() as server:
        steps = probe_incoming(endpoint_of(server), PASSWORD, wire, now=NOW)
        assert [next(steps).name for _ in range(3)] == ["resolve", "connect", "greet"]
        steps.close()  # type: ignore[attr-defined]  # it is a generator
    assert server.heard[-1].endswith(b"LOGOUT")


def test_a_pinned_certificate_is_trusted_whoever_signed_it(wire: Wire, certificates: Authority) -> None:
    own = certificates.issue("pinned", names=("elsewhere.example",), self_signed=True)
    pins = fingerprints(ssl.PEM_cert_to_DER_cert(own.certificate.read_text()))
    for pin in pins:
        with ScriptedImap({1: b"x"}, certificate=own, implicit_tls=True) as server:
            steps = incoming(server, replace(wire, pins=(pin,), ca_certificates=""), Security.TLS)
        assert names(steps, Outcome.FAILURE) == []
        assert "pinned certificate for localhost" in steps[2].title


def test_with_a_pin_even_a_trusted_certificate_is_refused(wire: Wire, certificates: Authority) -> None:
    with ScriptedImap(certificate=certificates.server, implicit_tls=True) as server:
        step = failure(incoming(server, replace(wire, pins=("0" * 64,)), Security.TLS))
    assert (step.name, step.error_code) == ("secure", "certificate_not_pinned")


@pytest.mark.parametrize("security", [Security.TLS, Security.STARTTLS])
def test_an_untrusted_certificate_is_shown_for_pinning_and_no_password_is_sent(
    wire: Wire, certificates: Authority, security: Security
) -> None:
    own = certificates.issue("shown", names=("localhost",), self_signed=True)
    whole, _key = fingerprints(ssl.PEM_cert_to_DER_cert(own.certificate.read_text()))
    with ScriptedImap(certificate=own, implicit_tls=security is Security.TLS) as server:
        step = failure(incoming(server, wire, security))
    assert step.error_code == "certificate_self_signed"
    assert shown(whole) in step.seen
    assert not any(b"AUTHENTICATE" in line or b"LOGIN" in line for line in server.heard)


def test_the_round_trip_of_the_message_is_measured(wire: Wire) -> None:
    with ScriptedImap() as inbox, ScriptedSmtp() as server:

        def deliver(body: bytes) -> None:
            inbox.messages[1] = body

        server.take = deliver  # type: ignore[method-assign]  # it goes straight into the INBOX
        arrival = Arrival(endpoint_of(inbox, Security.NONE), PASSWORD)
        steps = list(
            probe_outgoing(endpoint_of(server), PASSWORD, wire, now=NOW, draft=DRAFT, arrival=arrival)
        )
    assert steps[-1].name == "arrive"
    assert re.fullmatch(r"The message arrived in the INBOX after \d+ ms", steps[-1].title)


def test_a_message_that_is_not_seen_arriving_is_a_warning(wire: Wire) -> None:
    with ScriptedImap({1: b"x"}) as inbox, ScriptedSmtp() as server:
        arrival = Arrival(endpoint_of(inbox, Security.NONE), PASSWORD, patience=0.1)
        steps = list(
            probe_outgoing(endpoint_of(server), PASSWORD, wire, now=NOW, draft=DRAFT, arrival=arrival)
        )
    assert (steps[-1].outcome, steps[-1].error_code) == (Outcome.WARNING, "not_seen_arriving")
    assert names(steps, Outcome.FAILURE) == []
