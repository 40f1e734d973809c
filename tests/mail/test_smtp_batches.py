"""Many messages on one connection: announced behind one another, and each with its own certain outcome."""

from collections.abc import Callable, Iterator

import pytest

from emailsync.mail.envelope import Letter
from emailsync.mail.errors import (
    ConnectionLost,
    MailError,
    MessageRefused,
    MessageTooLarge,
    OutcomeUnknown,
    RateLimited,
    RecipientsRefused,
    SenderRefused,
    ServerBusy,
    TimedOut,
)
from emailsync.mail.smtp import SmtpClient
from emailsync.mail.transmission import Outcome
from emailsync.management.selftest.scripted_smtp import ScriptedSmtp

Sender = Callable[[ScriptedSmtp], SmtpClient]
MANNERS = ["", "in one segment", "byte by byte"]
STAGES = ["MAIL", "RCPT", "DATA", "body"]


def letters(count: int, *recipients: str) -> list[Letter]:
    """Return messages that can be told apart."""
    to = recipients or ("bob@example.org",)
    return [
        Letter("ann@example.com", to, b"Subject: %d\r\n\r\nHello\r\n" % number, key=number)
        for number in range(count)
    ]


def send(client: SmtpClient, batch: list[Letter], begun: list[int] | None = None) -> list[Outcome]:
    """Send a batch and note which bodies were about to go out."""
    noted = begun if begun is not None else []
    return list(client.send_all(batch, before_body=lambda letter: noted.append(letter.key)))


def kinds(outcomes: list[Outcome]) -> list[type | None]:
    """Return the kind of each failure, None for what was sent."""
    return [type(outcome.error) if outcome.error else None for outcome in outcomes]


@pytest.fixture(params=["pipelined", "in turn"])
def server(request: pytest.FixtureRequest) -> Iterator[ScriptedSmtp]:
    """Give a server that takes several commands at once, and one that does not say so."""
    with ScriptedSmtp() as server:
        if request.param == "in turn":
            server.extensions.remove(b"PIPELINING")
        yield server


@pytest.mark.parametrize("manner", MANNERS)
def test_a_batch_arrives_whole_and_in_order(server: ScriptedSmtp, sender: Sender, manner: str) -> None:
    server.manner = manner
    begun: list[int] = []
    with sender(server) as client:
        outcomes = send(client, letters(20), begun)
    assert kinds(outcomes) == [None] * 20
    assert server.bodies == [letter.content for letter in letters(20)]
    assert begun == list(range(20))
    assert server.connections == 1


def test_the_next_message_is_announced_behind_the_body(sender: Sender) -> None:
    heard_at_body: list[int] = []
    with ScriptedSmtp() as server, sender(server) as client:
        announced = client.send_all(letters(2), before_body=lambda _: heard_at_body.append(len(server.heard)))
        next(announced)
        server.manner = "in one segment"
        list(announced)
    said = [line.partition(b" ")[0] for line in server.heard]
    assert said.count(b"MAIL") == 2
    # EHLO, AUTH, MAIL, RCPT and DATA were heard before the first body, three lines more before the second.
    assert heard_at_body == [5, 8]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("reply", [b"451 4.3.0 later", b"554 5.7.1 no", b"554-5.7.1 no\r\n554 5.7.1 really"])
def test_every_message_of_a_batch_can_be_refused_alone(
    server: ScriptedSmtp, sender: Sender, stage: str, reply: bytes
) -> None:
    server.replies[stage] = reply
    with sender(server) as client:
        outcomes = send(client, letters(3))
        server.replies.clear()
        assert kinds(send(client, letters(2))) == [None, None]
    of_stage = {"MAIL": (SenderRefused, ServerBusy), "RCPT": (RecipientsRefused,)}
    assert len(outcomes) == 3
    assert all(isinstance(each.error, of_stage.get(stage, (MessageRefused,))) for each in outcomes)
    assert len(server.bodies) == (5 if stage == "body" else 2)


@pytest.mark.parametrize("stage", STAGES)
def test_a_connection_cut_at_any_step_leaves_no_doubt_but_after_a_body(
    server: ScriptedSmtp, sender: Sender, stage: str
) -> None:
    begun: list[int] = []
    with sender(server) as client:
        assert kinds(send(client, letters(1))) == [None]
        server.replies[stage] = None
        outcomes = send(client, letters(3), begun)
    assert kinds(outcomes) == [OutcomeUnknown if stage == "body" else ConnectionLost]
    assert begun == ([0] if stage == "body" else [])
    assert len(server.bodies) == (2 if stage == "body" else 1)


@pytest.mark.parametrize("stage", STAGES)
def test_a_server_that_closes_the_conversation_ends_the_batch(
    server: ScriptedSmtp, sender: Sender, stage: str
) -> None:
    server.replies[stage] = b"421 4.3.2 shutting down"
    with sender(server) as client:
        assert kinds(send(client, letters(3))) == [ServerBusy]
        assert client.connection.closed


def test_a_limit_of_messages_on_a_connection_is_told_from_a_failure(
    server: ScriptedSmtp, sender: Sender
) -> None:
    server.messages_per_connection = 2
    with sender(server) as client:
        assert kinds(send(client, letters(5))) == [None, None, RateLimited]
    assert len(server.bodies) == 2


def test_recipients_refused_for_now_are_told_from_those_refused_for_good(
    server: ScriptedSmtp, sender: Sender
) -> None:
    server.replies["RCPT full@example.org"] = b"452 4.2.2 full"
    server.replies["RCPT gone@example.org"] = b"550 5.1.1 gone"
    with sender(server) as client:
        (outcome,) = send(client, letters(1, "bob@example.org", "full@example.org", "gone@example.org"))
    assert outcome.result is not None
    assert outcome.result.accepted == ("bob@example.org",)
    assert outcome.result.deferred == {"full@example.org": "452 4.2.2 full"}
    assert outcome.result.refused == {"gone@example.org": "550 5.1.1 gone"}


def test_a_body_for_nobody_is_empty(sender: Sender) -> None:
    begun: list[int] = []
    with ScriptedSmtp() as server, sender(server) as client:
        server.replies |= {"RCPT": b"550 5.1.1 gone", "DATA": b"354 go ahead anyway"}
        assert kinds(send(client, letters(1), begun)) == [RecipientsRefused]
        server.replies.clear()
        assert kinds(send(client, letters(1))) == [None]
    assert begun == []
    assert server.bodies == [b"\r\n", letters(1)[0].content]


def test_silence_after_a_body_for_nobody_ends_the_connection(sender: Sender) -> None:
    with ScriptedSmtp() as server, sender(server) as client:
        server.replies |= {"RCPT": b"550 5.1.1 gone", "DATA": b"354 go ahead anyway", "body": b""}
        client.connection.wait_at_most(0.2)
        assert kinds(send(client, letters(2))) == [TimedOut]
        assert client.connection.closed


def test_what_cannot_be_sent_at_all_does_not_hold_up_the_others(server: ScriptedSmtp, sender: Sender) -> None:
    first, second, third = letters(3)
    bad = [
        Letter("ann@example.com", ("a b@example.org",), b"x\r\n"),
        Letter("ann@example.com", ("é@b.example",), b""),
    ]
    huge = Letter("ann@example.com", ("bob@example.org",), b"x\r\n" * 400_000)
    with sender(server) as client:
        outcomes = send(client, [first, bad[0], second, bad[1], huge, third])
    assert kinds(outcomes) == [None, MessageRefused, None, RecipientsRefused, MessageTooLarge, None]


def test_large_bodies_arrive_as_they_are(server: ScriptedSmtp, sender: Sender) -> None:
    server.extensions = [word for word in server.extensions if not word.startswith(b"SIZE")]
    body = b"".join(b".%d %s\r\n" % (number, b"x" * (number % 900)) for number in range(4000))
    large = Letter("ann@example.com", ("bob@example.org",), body + b"y" * 600_000)
    with sender(server) as client:
        assert kinds(send(client, [*letters(1), large, *letters(1)])) == [None] * 3
    assert server.bodies[1].replace(b"\r\n..", b"\r\n.") == b"." + body + b"y" * 600_000 + b"\r\n"


def test_many_recipients_of_many_messages_keep_their_answers(server: ScriptedSmtp, sender: Sender) -> None:
    people = tuple(f"p{number}@example.org" for number in range(130))
    server.replies |= {f"RCPT {name}": b"550 5.1.1 gone" for name in people[::3]}
    with sender(server) as client:
        outcomes = send(client, letters(3, *people))
    assert [list(outcome.result.refused) if outcome.result else None for outcome in outcomes] == [
        list(people[::3])
    ] * 3


def test_what_the_caller_raises_before_a_body_ends_the_connection(
    server: ScriptedSmtp, sender: Sender
) -> None:
    def stop(letter: Letter) -> None:
        if letter.key == 1:
            raise KeyError("the lease is lost")

    with sender(server) as client:
        with pytest.raises(KeyError):
            list(client.send_all(letters(3), before_body=stop))
        assert client.connection.closed
    assert len(server.bodies) == 1


def test_a_caller_that_stops_in_the_middle_sends_no_more(server: ScriptedSmtp, sender: Sender) -> None:
    with sender(server) as client:
        announced = client.send_all(letters(3), before_body=lambda _: None)
        next(announced)
        announced.close()
        assert client.connection.closed
    assert len(server.bodies) == 1


def test_internationalised_headers_are_announced(sender: Sender) -> None:
    wide = Letter("ann@example.com", ("bob@example.org",), "Cc: jürgen@example.org\r\n\r\n".encode())
    with ScriptedSmtp() as server:
        server.extensions.append(b"SMTPUTF8")
        with sender(server) as client:
            assert kinds(send(client, [wide])) == [None]
    assert any(line.endswith(b"BODY=8BITMIME SMTPUTF8") for line in server.heard)


@pytest.mark.parametrize("answer", [b"what?", b"999 odd", b"250-never\r\n999 ends"])
@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA"])
def test_an_answer_that_is_not_smtp_ends_the_batch(
    server: ScriptedSmtp, sender: Sender, stage: str, answer: bytes
) -> None:
    server.replies[stage] = answer
    with sender(server) as client:
        (outcome,) = send(client, letters(3))
        assert isinstance(outcome.error, MailError)
        assert not outcome.error.permanent
        assert client.connection.closed
    assert server.bodies == []
