"""The demo's own parts: its mail on disk, its letters, the policy it opens."""

import asyncio
import contextlib
import os
import socket
import ssl
import sys
import time
from collections.abc import Coroutine
from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any, TypeVar

import pytest
from django.core.management import CommandError, call_command
from pymap.parsing.message import AppendMessage
from pytest_django import Settings

from emailsync.mail.endpoint import NetworkPolicy, parse_networks, parse_ports
from emailsync.management.demonstration import letters, state, store, world
from mailboxes.choices import AddressStatus
from mailboxes.models import Diagnosis, Mailbox
from profiles.models import Environment, ServerProfile
from tests.servers.ports import free_port, wait_until_listening
from tests.servers.process import ServerProcess

T = TypeVar("T")
MANAGE = Path(__file__).parents[2] / "manage.py"
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run something asynchronous."""
    return asyncio.run(work)


async def opened(folder: Path) -> store.StoredMailbox:
    """Open a user's INBOX as the server does at its start."""
    mail = store.StoredMailboxSet(folder)
    await mail.load()
    inbox = await mail.get_mailbox("INBOX")
    assert isinstance(inbox, store.StoredMailbox)
    return inbox


async def delivered(folder: Path, *contents: bytes) -> tuple[int, list[int]]:
    """Deliver messages; return UIDVALIDITY and all UIDs."""
    inbox = await opened(folder)
    for content in contents:
        await inbox.append(AppendMessage(content, NOW, frozenset()))
    return inbox.uid_validity, [message.uid async for message in inbox.messages()]


def test_messages_keep_their_uids_over_a_restart(tmp_path: Path) -> None:
    """UIDVALIDITY stays, because it stays true (RFC 3501, section 2.3.1.1)."""
    before = run(delivered(tmp_path, b"Subject: 1\r\n\r\n", b"Subject: 2\r\n\r\n"))

    assert run(delivered(tmp_path)) == before
    assert before[1] == [1, 2]


def test_a_uid_is_never_given_twice(tmp_path: Path) -> None:
    """Not even that of a message which was deleted before the restart."""

    async def deliver_and_delete() -> None:
        inbox = await opened(tmp_path)
        await inbox.append(AppendMessage(b"Subject: 1\r\n\r\n", NOW, frozenset()))
        await inbox.delete([1])

    run(deliver_and_delete())

    assert run(delivered(tmp_path, b"Subject: 2\r\n\r\n"))[1] == [2]


def test_bytes_and_times_survive_a_restart(tmp_path: Path) -> None:
    """Also bytes that are no text."""
    run(delivered(tmp_path, b"Subject: \xff\r\n\r\n\x00"))

    async def times() -> list[datetime]:
        return [message.internal_date async for message in (await opened(tmp_path)).messages()]

    assert run(times()) == [NOW]
    assert [path.read_bytes() for path in tmp_path.glob("INBOX/*.eml")] == [b"Subject: \xff\r\n\r\n\x00"]


def test_a_moved_message_is_in_the_other_folder_after_a_restart(tmp_path: Path) -> None:
    """Folders are kept as well."""

    async def move() -> None:
        mail = store.StoredMailboxSet(tmp_path)
        await mail.load()
        inbox = await mail.get_mailbox("INBOX")
        await inbox.append(AppendMessage(b"Subject: 1\r\n\r\n", NOW, frozenset()))
        await mail.add_mailbox("Undeliverable/2026")
        await inbox.move(1, await mail.get_mailbox("Undeliverable/2026"))

    async def counts() -> list[int]:
        mail = store.StoredMailboxSet(tmp_path)
        await mail.load()
        boxes = [await mail.get_mailbox(name) for name in ("INBOX", "Undeliverable/2026")]
        return [(await box.snapshot()).exists for box in boxes]

    run(move())

    assert run(counts()) == [0, 1]


def test_a_demo_left_running_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest mail leaves."""
    monkeypatch.setattr(store, "KEEP", 2)

    assert run(delivered(tmp_path, b"a\r\n", b"b\r\n", b"c\r\n"))[1] == [2, 3]
    assert len(list(tmp_path.glob("INBOX/*.eml"))) == 2


@pytest.mark.parametrize("number", range(len(letters.LETTERS)))
def test_every_letter_is_a_sound_message(number: int) -> None:
    """With CRLF throughout, and the text that was meant."""
    content = letters.compose(number, letters.ACCOUNTS[3], when=NOW)

    message = message_from_bytes(content, policy=policy.default)
    body = message.get_body(("plain",))
    assert body is not None
    assert body.get_content().replace("\r\n", "\n") == letters.LETTERS[number].text
    assert message["Subject"] == letters.LETTERS[number].subject
    assert not message.defects
    assert content.count(b"\n") == content.count(b"\r\n")


@pytest.mark.parametrize("first", range(len(letters.ACCOUNTS)))
def test_everybody_has_a_letter_from_a_colleague_at_once(first: int) -> None:
    """So that an answer arrives in another mailbox of the demo."""
    senders = [letters.LETTERS[(first + number) % len(letters.LETTERS)].sender for number in range(4)]

    assert None in senders


def test_all_domains_are_reserved_for_examples() -> None:
    """RFC 2606: nobody real is ever written to."""
    domains = {letter.sender[1].rpartition(".")[2] for letter in letters.LETTERS if letter.sender}

    assert domains | {letters.DOMAIN.rpartition(".")[2]} == {"example"}


def test_only_the_demos_ports_and_loopback_are_opened() -> None:
    """What was allowed stays, nothing else comes."""
    before = NetworkPolicy(
        allowed_ports=parse_ports("993,1000-1002"), allowed_networks=parse_networks("10.0.0.0/8")
    )

    opened_for = state.open_for(
        state.State(imap_port=20001, smtp_port=20002, passwords={}), environment={"A": "b"}, policy=before
    )

    assert opened_for == {
        "A": "b",
        "EMAILSYNC_POLL_INTERVAL": "5",
        "EMAILSYNC_ALLOWED_PORTS": "993-993,1000-1002,20001,20002",
        "EMAILSYNC_ALLOWED_NETWORKS": "10.0.0.0/8,127.0.0.1/32",
    }


def test_an_interval_that_was_chosen_is_kept() -> None:
    """The demo only has a default of its own."""
    chosen = {"EMAILSYNC_POLL_INTERVAL": "60"}
    demo = state.State(imap_port=20001, smtp_port=20002, passwords={})

    opened_for = state.open_for(demo, environment=chosen, policy=NetworkPolicy(allowed_ports=()))

    assert opened_for["EMAILSYNC_POLL_INTERVAL"] == "60"


@pytest.fixture
def demo(settings: Settings, tmp_path: Path) -> state.State:
    """Give a demo's folder."""
    settings.DATA_DIR = tmp_path
    return state.prepare()


def test_passwords_are_not_shown(demo: state.State) -> None:
    """Neither in a traceback nor in a log."""
    assert not any(password in repr(demo) for password in demo.passwords.values())


def test_the_same_ports_and_passwords_serve_again(demo: state.State) -> None:
    """The environment points at them."""
    assert state.prepare() == demo


def begin_handshake(port: int, tls: ssl.SSLContext) -> tuple[socket.socket, bytes]:
    """Return a connection whose TLS is agreed on but for our last words, and these."""
    connection = socket.create_connection((state.HOST, port))
    received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    layer = tls.wrap_bio(received, sent)
    while True:
        try:
            layer.do_handshake()
        except ssl.SSLWantReadError:
            connection.sendall(sent.read())
            received.write(connection.recv(65536))
        else:
            return connection, sent.read()


def test_its_server_ends_without_a_word_while_connections_begin(demo: state.State, tmp_path: Path) -> None:
    """Some of a hundred handshakes complete in the very moment in which it ends."""
    log = tmp_path / "server.log"
    environment = {"PATH": os.environ["PATH"], "EMAILSYNC_DATA_DIR": str(tmp_path)}
    tls = ssl.create_default_context(cadata=state.ca_certificate())
    tls.check_hostname = False
    with contextlib.ExitStack() as stack:
        server = ServerProcess([sys.executable, MANAGE, "demo", "--serve"], log=log, environment=environment)
        stack.callback(server.close)
        wait_until_listening(demo.imap_port, demo.smtp_port)
        begun = [begin_handshake(demo.imap_port, tls) for _ in range(100)]
        for connection, _ in begun:
            stack.enter_context(connection)

        server.process.terminate()
        for connection, last_words in begun:
            with contextlib.suppress(ConnectionError):
                connection.sendall(last_words)
            time.sleep(0.003)

        assert server.process.wait(timeout=60) == 0
    assert log.read_text() == ""


@pytest.mark.django_db
def test_the_environment_holds_every_kind_of_mailbox(demo: state.State) -> None:
    """Working, failing and waiting; four of them are tested at once."""
    world.prepare(now=NOW)

    assert Environment.objects.get().is_demo
    assert Mailbox.objects.count() == 8
    assert Mailbox.objects.filter(address_status=AddressStatus.PENDING).count() == 1
    assert Diagnosis.objects.count() == 4


@pytest.mark.django_db
def test_the_stored_passwords_are_those_of_the_server(demo: state.State) -> None:
    """All but the one that is meant to be wrong."""
    world.prepare(now=NOW)

    stored = {mailbox.user_name: mailbox.password.reveal() for mailbox in Mailbox.objects.all()}
    assert {name for name, password in stored.items() if password != demo.passwords[name]} == {"yusuf.demir"}


@pytest.mark.django_db
def test_what_people_deleted_in_the_demo_does_not_come_back(demo: state.State) -> None:
    """A second start only follows the server."""
    world.prepare(now=NOW)
    Mailbox.objects.get(user_name="orders").delete()

    world.prepare(now=NOW)

    assert Mailbox.objects.count() == 7
    assert Diagnosis.objects.count() == 4


@pytest.mark.django_db
def test_the_profile_follows_the_server_to_another_port(demo: state.State) -> None:
    """Somebody else may have taken the first one."""
    world.prepare(now=NOW)
    port = free_port()
    text = (state.folder() / "demo.json").read_text()
    (state.folder() / "demo.json").write_text(text.replace(str(demo.imap_port), str(port)))

    world.prepare(now=NOW)

    assert ServerProfile.objects.get().incoming_port == port


@pytest.mark.django_db
def test_an_environment_of_ones_own_is_never_taken_for_the_demo(demo: state.State) -> None:
    """It is neither changed nor removed."""
    Environment.objects.create(slug="contoso-demo", name="Mine")

    with pytest.raises(CommandError, match="An environment of yours"):
        world.prepare(now=NOW)
    call_command("demo", "--remove")

    assert Environment.objects.filter(name="Mine").exists()


@pytest.mark.django_db
def test_removing_the_demo_removes_everything_of_it(demo: state.State) -> None:
    """Rows and files."""
    world.prepare(now=NOW)

    call_command("demo", "--remove")

    assert not Environment.objects.exists()
    assert not Mailbox.objects.exists()
    assert not state.folder().exists()
