"""Whatever servers, people and crashes do to a mailbox: each message ends stored once, and accounted for."""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from typing import ClassVar
from unittest import mock

import pytest
from django.db import connection, transaction
from django.db.models import Count
from django.utils import timezone
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from emailsync.mail import fetching, imap
from emailsync.management.selftest.certificates import Authority
from emailsync.management.selftest.scripted import Peer
from emailsync.management.selftest.scripted_imap import ScriptedImap
from emailsync.management.selftest.scripted_pop3 import Letter, ScriptedPop3
from mailboxes.choices import AddressStatus, Direction, LedgerOutcome, MailboxKind
from mailboxes.engine import clearing, reading, storing, syncing
from mailboxes.models import FolderCursor, LedgerEntry, Mailbox, Message, WorkerState
from mailboxes.models.ledger import Key
from mailboxes.services import editing
from profiles.choices import IncomingProtocol
from profiles.models import EmailSettings, Environment, ServerProfile

BEGINNING = timezone.now()
#: Longer than a server is believed, a message is withheld, or a folder is parked.
LONG = timedelta(hours=7)
FINAL = {LedgerOutcome.STORED, LedgerOutcome.DUPLICATE}
POSITION = st.integers(0, 5)


class Killed(BaseException):
    """The worker is no more."""


class ImapStore:
    """The Inbox of an IMAP server, and how it is abused."""

    protocol = IncomingProtocol.IMAP

    def __init__(self, authority: Authority) -> None:
        self.server = ScriptedImap(certificate=authority.server, implicit_tls=True)
        self.server.on("UID STORE", self._mark)
        self.server.on("UID EXPUNGE", self._expunge)
        self.server.uidnext = 1
        self.count = 0
        self.marked: set[int] = set()
        self.vanishing: int | None = None
        self.server.on("UID FETCH", self._fetch)

    def deliver(self, content: bytes) -> None:
        """Put a message behind the others."""
        assert self.server.uidnext is not None
        self.count += 1
        self.server.messages[self.server.uidnext] = content
        self.server.dates[self.server.uidnext] = b" 5-Feb-2024 10:%02d:%02d +0100" % divmod(self.count, 60)
        self.server.uidnext += 1

    def messages(self) -> dict[Key, bytes]:
        """Return what lies on the server, by what the ledger knows it by."""
        return {uid: content for uid, content in self.server.messages.items()}  # noqa: C416  (to other types)

    def remove(self, position: int) -> None:
        """Have somebody delete a message."""
        for uid in sorted(self.server.messages)[position : position + 1]:
            del self.server.messages[uid]

    def renumber(self, *, openly: bool) -> None:
        """Give all messages new numbers: with another UIDVALIDITY, or without a word."""
        if openly:
            self.server.uidvalidity += 1
        there, dates = sorted(self.server.messages.items()), dict(self.server.dates)
        self.server.messages.clear()
        for new, (old, content) in enumerate(there, 1):
            self.server.messages[new], self.server.dates[new] = content, dates[old]
        self.server.uidnext = len(there) + 1

    def _fetch(self, peer: Peer, tag: bytes, rest: bytes) -> None:
        if b"BODY" in rest and self.vanishing is not None:
            self.remove(self.vanishing)
            self.vanishing = None
        self.server._do_uid_fetch(peer, tag, rest)

    def _mark(self, peer: Peer, tag: bytes, rest: bytes) -> None:
        self.marked.update(self.server.chosen(rest.partition(b" ")[0]))
        peer.send(tag + b" OK marked\r\n")

    def _expunge(self, peer: Peer, tag: bytes, rest: bytes) -> None:
        for uid in self.server.chosen(rest):
            if uid in self.marked:
                del self.server.messages[uid]
        peer.send(tag + b" OK gone\r\n")


class Pop3Store:
    """The maildrop of a POP3 server, and how it is abused."""

    protocol = IncomingProtocol.POP3

    def __init__(self, authority: Authority) -> None:
        self.server = ScriptedPop3(certificate=authority.server, implicit_tls=True)
        self.count = 0
        #: Nobody deletes while a maildrop is open: it is locked (RFC 1939, section 3).
        self.vanishing: int | None = None

    def deliver(self, content: bytes) -> None:
        """Put a message behind the others."""
        self.count += 1
        self.server.letters.append(Letter(b"uidl-%d" % self.count, content))

    def messages(self) -> dict[Key, bytes]:
        """Return what lies on the server, by what the ledger knows it by."""
        return {letter.uidl.decode(): letter.content for letter in self.server.letters}

    def remove(self, position: int) -> None:
        """Have somebody delete a message."""
        del self.server.letters[position : position + 1]

    def renumber(self, *, openly: bool) -> None:
        """Give all messages other UIDLs, or those of each other."""
        letters = self.server.letters
        if openly:
            self.server.letters = []
            for letter in letters:
                self.deliver(letter.content)
        else:
            names = [letter.uidl for letter in letters]
            turned = names[1:] + names[:1]
            self.server.letters = [Letter(a, b.content) for a, b in zip(turned, letters, strict=True)]


class Conservation(RuleBasedStateMachine):
    """One mailbox, its server, somebody who tidies up there, and a worker that may die at any point."""

    store_type: ClassVar[type[ImapStore | Pop3Store]]
    authority: ClassVar[Authority]

    def __init__(self) -> None:
        """Open the transaction that is rolled back at the end, and stop the clock."""
        super().__init__()
        self.open = ExitStack()
        self.open.enter_context(transaction.atomic())
        self.now = BEGINNING
        self.open.enter_context(mock.patch.object(timezone, "now", lambda: self.now))  # noqa: PT008  (it moves)
        # A few messages are windows, chunks and batches enough to have several of each on their way.
        self.open.enter_context(mock.patch.multiple(reading, WINDOW=3, WIDE_WINDOW=5, BATCH_MESSAGES=2))
        self.open.enter_context(mock.patch.object(imap, "DESCRIBED", 2))
        self.open.enter_context(mock.patch.object(fetching, "CHUNK_MESSAGES", 2))
        self.store = self.store_type(self.authority)
        self.open.enter_context(self.store.server)
        #: Whenever the server is about to hand out this message, it breaks off.
        self.poison: bytes | None = None
        send = Peer.send

        def sending(peer: Peer, data: bytes) -> None:
            if self.poison is not None and self.poison in data:
                raise ConnectionResetError
            send(peer, data)

        self.open.enter_context(mock.patch.object(Peer, "send", sending))
        self.delivered: list[bytes] = []
        self.stored: set[str] = set()

    @initialize(deletes=st.booleans())
    def begin(self, *, deletes: bool) -> None:
        """Create the mailbox of a queue, approved and enabled."""
        self.deletes = deletes
        environment = Environment.objects.create(slug="contoso", name="Contoso")
        EmailSettings.objects.create(environment=environment)
        profile = ServerProfile.objects.create(
            environment=environment,
            name="Mail",
            ca_certificates=self.authority.pem,
            incoming_protocol=self.store.protocol,
            incoming_location="localhost",
            incoming_port=self.store.server.port,
            outgoing_location="localhost",
            outgoing_port=465,
            timeout_ms=10_000,
        )
        self.mailbox = Mailbox(
            environment=environment,
            name="Orders",
            address="orders@example.org",
            kind=MailboxKind.QUEUE,
            server_profile=profile,
            allow_credentials=True,
            user_name="orders",
            password="a password",
            delete_after_processing=deletes,
        )
        editing.create(self.mailbox, by=None)
        Mailbox.objects.update(address_status=AddressStatus.APPROVED, approved_on=self.now)

    def teardown(self) -> None:
        """Let everything come to rest, count, and leave nothing to the next example."""
        try:
            if hasattr(self, "mailbox"):
                self.everything_is_accounted_for()
        finally:
            transaction.set_rollback(True)
            self.open.close()

    # What happens on the server

    @rule(number=st.integers(1, 3))
    def deliver(self, number: int) -> None:
        for _ in range(number):
            count = len(self.delivered)
            content = b"Message-ID: <%d@x>\r\nSubject: %d\r\n\r\n%s\r\n" % (count, count, b"x" * count)
            self.delivered.append(content)
            self.store.deliver(content)

    @rule(position=POSITION)
    def deliver_again(self, position: int) -> None:
        for content in self.delivered[position : position + 1]:
            self.store.deliver(content)

    @rule(position=POSITION)
    def somebody_deletes(self, position: int) -> None:
        self.store.remove(position)

    @rule(openly=st.booleans())
    def renumber(self, *, openly: bool) -> None:
        self.store.renumber(openly=openly)

    @rule(position=POSITION)
    def the_server_fails_at_a_message(self, position: int) -> None:
        for content in self.delivered[position : position + 1]:
            self.poison = content

    # What the worker does

    @rule()
    def work(self) -> None:
        self.now += timedelta(minutes=5)
        state = WorkerState.objects.get(mailbox=self.mailbox, direction=Direction.INCOMING)
        # What failed or was parked is tried all the same: here it is about mail.
        WorkerState.objects.filter(pk=state.pk).update(is_enabled=True, due_at=self.now)
        with suppress(Killed):
            syncing.run(state.pk)

    @rule(room=st.integers(0, 4000))
    def work_until_the_line_is_cut(self, room: int) -> None:
        with cut_after(room):
            self.work()

    @rule(position=POSITION)
    def work_while_somebody_deletes(self, position: int) -> None:
        self.store.vanishing = position
        self.work()
        self.store.vanishing = None

    @rule(before_commit=st.booleans(), batches=st.integers(0, 1))
    def die_while_storing(self, *, before_commit: bool, batches: int) -> None:
        save, left = storing.save, batches

        def dying(*args: object, **options: object) -> object:
            nonlocal left
            with transaction.atomic():
                result = save(*args, **options)  # type: ignore[arg-type]  # whatever it takes
                left -= 1
                if left < 0 and before_commit:
                    raise Killed
            if left < 0:
                raise Killed
            return result

        with mock.patch.object(storing, "save", dying):
            self.work()

    @rule(after=st.booleans())
    def die_while_deleting(self, *, after: bool) -> None:
        delete = clearing.delete_processed

        def dying(*args: object) -> None:
            if after:
                delete(*args)  # type: ignore[arg-type]  # whatever it takes
            raise Killed

        with mock.patch.object(clearing, "delete_processed", dying):
            self.work()

    # What always holds

    @invariant()
    def nothing_is_stored_twice(self) -> None:
        doubled = Message.objects.values("sha256").annotate(n=Count("pk")).filter(n__gt=1)
        assert not doubled.exists()

    @invariant()
    def nothing_stored_is_lost(self) -> None:
        stored = set(Message.objects.values_list("sha256", flat=True))
        assert stored >= self.stored
        self.stored = stored

    def everything_is_accounted_for(self) -> None:
        """After the last trouble, what lies on the server is stored once and stands in the ledger."""
        self.poison = None
        there = self.store.messages()
        # A run deletes no more than a window of messages.
        for _ in range(6 + len(there) // reading.WINDOW):
            self.now += LONG
            self.work()
        stored = set(Message.objects.values_list("sha256", flat=True))
        assert {hashlib.sha256(content).hexdigest() for content in there.values()} <= stored
        assert stored <= {hashlib.sha256(content).hexdigest() for content in self.delivered}
        left = self.store.messages()
        assert not (self.deletes and left)
        cursor = FolderCursor.objects.get(mailbox=self.mailbox)
        outcomes = dict(cursor.entries().values_list(cursor.key, "outcome"))
        assert {key: outcomes.get(key) for key in left if outcomes.get(key) not in FINAL} == {}
        assert LedgerEntry.objects.filter(outcome=LedgerOutcome.STORED, message=None).count() == 0


@contextmanager
def cut_after(room: int) -> Iterator[None]:
    """Let a server send so many bytes, and then nothing on any connection."""
    send = Peer.send

    def limited(peer: Peer, data: bytes) -> None:
        nonlocal room
        piece, room = data[: max(room, 0)], room - len(data)
        send(peer, piece)
        if room < 0:
            raise ConnectionResetError

    with mock.patch.object(Peer, "send", limited):
        yield


@pytest.mark.django_db
@pytest.mark.parametrize("store_type", [ImapStore, Pop3Store])
def test_every_message_ends_stored_once(
    store_type: type[ImapStore | Pop3Store], certificates: Authority
) -> None:
    Conservation.store_type, Conservation.authority = store_type, certificates
    # The other database is tried less: the ways are the same.
    examples = 8 if connection.vendor == "sqlite" else 4
    bounds = settings(max_examples=examples, stateful_step_count=15, deadline=None, database=None)
    run_state_machine_as_test(Conservation, settings=bounds)
