"""Read a mailbox over IMAP (RFC 3501 and 9051).

IMAPClient reads the greeting, begins TLS and lists folders; signing in, searching and fetching are done
by `dialogue` and `fetching` on the same socket, because IMAPClient neither pipelines nor bounds what it
reads.
"""

import re
from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

from imapclient import imap_utf7
from imapclient.datetime_util import datetime_to_INTERNALDATE

from emailsync.mail.auth import Credential, Password, find, missing
from emailsync.mail.closing import Closing, closed_on_failure
from emailsync.mail.connection import Connection, connect
from emailsync.mail.describing import UID, description
from emailsync.mail.dialogue import Answer, Dialogue, Literal, quoted, uid_sets
from emailsync.mail.endpoint import Endpoint, Security, check_plain
from emailsync.mail.errors import (
    CommandRefused,
    EncryptionRequired,
    FolderForbidden,
    FolderMissing,
    MailError,
    MessageUnreadable,
    ProtocolViolation,
)
from emailsync.mail.fetching import FETCH, HEADER, Fetcher, search_result, still_listed
from emailsync.mail.incoming import FetchedMessage, FolderStatus, RemoteMessage
from emailsync.mail.replies import imap_login_failure, token_failure
from emailsync.mail.session import Session
from emailsync.mail.translating import translated
from emailsync.mail.wire import Wire

SEARCH_WINDOW = 50_000
SEARCH_LINE = 1024 * 1024
# So many messages are described by one command, and so many such commands are on their way.
DESCRIBED = 1_000
DESCRIBING = 5
FAREWELL = 2.0
HIGHEST_NUMBER = 2**63 - 1
# RFC 7888, section 5: what LITERAL- allows to be sent unasked.
SHORT_LITERAL = 4096

STATUS_ITEM = re.compile(rb"\b(MESSAGES|UIDNEXT|UIDVALIDITY|HIGHESTMODSEQ) (\d{1,19})\b", re.IGNORECASE)
EXISTS = re.compile(rb"^(\d{1,10}) EXISTS\b", re.IGNORECASE)
EXPUNGE = re.compile(rb"^\d{1,10} EXPUNGE\b", re.IGNORECASE)


class ImapClient(Closing):
    """Read one mailbox; see `IncomingClient` for what each method promises."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._dialogue = Dialogue(connection)
        self._capabilities: frozenset[str] = frozenset()
        self._folder: tuple[str, bool] | None = None
        self._messages = 0
        with translated(connection.clean):
            connection.expect_text()
            self.session = Session(connection)

    @property
    def capabilities(self) -> frozenset[str]:
        """Return what the server can do, as it says after the sign-in when that is done."""
        return self._capabilities or self.session.offers()

    @property
    def folders(self) -> "ImapClient":
        """Return who can do things with folders."""
        return self

    @property
    def uidls(self) -> Mapping[int, str]:
        """Return nothing: UIDs last by themselves."""
        return {}

    @property
    def greeting(self) -> str:
        """Return the server's first line."""
        return self.connection.clean(self.session.greeting).removeprefix("* ")

    def begin_tls(self) -> None:
        """Switch to TLS by STARTTLS."""
        with translated(self.connection.clean):
            self.session.begin_tls()

    def sign_in(self, credential: Credential) -> None:
        """Prove who we are, by the best SASL mechanism that is offered, else by LOGIN with a password."""
        self.connection.hide(credential.secrets())
        self._dialogue.unasked = _unasked(self.session.offers())
        with translated(self.connection.clean):
            answer = self._authenticate(credential)
            self._capabilities = self._offered_in(answer)
            self._dialogue.unasked = _unasked(self._capabilities)
            self.session.signed_in(self._capabilities)

    def _authenticate(self, credential: Credential) -> Answer:
        offers = self.session.offers()
        mechanism = find(credential, {word[5:] for word in offers if word.startswith("AUTH=")})
        may_log_in = isinstance(credential, Password) and self._takes_login(credential, offers)
        if mechanism is not None:
            answer = self._dialogue.authenticate(mechanism, initial="SASL-IR" in offers)
            if answer.status == b"OK":
                return answer
            if answer.status != b"BAD" or not may_log_in:
                reply = self.connection.clean(answer.text)
                if isinstance(credential, Password):
                    raise imap_login_failure(reply)
                raise token_failure(mechanism.refusal, reply)
        if not isinstance(credential, Password) or not may_log_in:
            raise self._no_way(credential, offers)
        name, password = quoted(credential.user_name), quoted(credential.password)
        answer = self._dialogue.run(b"LOGIN", name, password, hide=True)
        if answer.status != b"OK":
            raise imap_login_failure(self.connection.clean(answer.text))
        return answer

    @staticmethod
    def _takes_login(credential: Password, offers: frozenset[str]) -> bool:
        """Say whether the command LOGIN can carry this password (RFC 9051, section 6.2.3)."""
        by_mechanism = not {"PLAIN", "LOGIN"} & set(credential.mechanisms)
        return not (by_mechanism or credential.authorization_identity or "LOGINDISABLED" in offers)

    def _no_way(self, credential: Credential, offers: frozenset[str]) -> MailError:
        """Return the complaint that nothing the server offers carries `credential`."""
        if "LOGINDISABLED" in offers and not self.connection.is_encrypted:
            return EncryptionRequired("The server takes no password without encryption (LOGINDISABLED).")
        return missing(credential, {word[5:] for word in offers if word.startswith("AUTH=")})

    def _offered_in(self, answer: Answer) -> frozenset[str]:
        """Return the capabilities that came with the sign-in, or ask for them."""
        for text in (answer.text, *answer.untagged):
            if (found := re.match(rb"(?:OK )?\[?CAPABILITY ([^\]]*)", text, re.IGNORECASE)) is not None:
                return _words(found.group(1))
        told = self._dialogue.checked(b"CAPABILITY").untagged
        return _words(b" ".join(line[11:] for line in told if line[:11].upper() == b"CAPABILITY "))

    def open_folder(self, folder: str = "INBOX", *, read_only: bool = True) -> FolderStatus:
        """Open a folder, which the following calls speak about."""
        self._folder = None
        name = _folder_name(folder)
        with translated(self.connection.clean):
            answer = self._dialogue.run(b"EXAMINE" if read_only else b"SELECT", name)
            if answer.status != b"OK":
                raise self._folder_refusal(folder, answer)
            if not read_only and b"[READ-ONLY]" in answer.text.upper():
                raise FolderForbidden(f"The folder {folder} may only be read.")
            self._folder = (folder, read_only)
            return self._folder_status(answer)

    def _folder_status(self, answer: Answer) -> FolderStatus:
        self._note_changes(answer)
        told = _status_items(line for line in answer.untagged if line[:3].upper() == b"OK ")
        if not told.get(b"UIDVALIDITY"):
            raise ProtocolViolation("The server gives the messages of this folder no lasting numbers (UIDs).")
        uidnext = told.get(b"UIDNEXT") or self._highest_uid() + 1
        modseq = told.get(b"HIGHESTMODSEQ", 0)
        return FolderStatus(told[b"UIDVALIDITY"], uidnext, self._messages, modseq=modseq)

    def _note_changes(self, answer: Answer) -> None:
        """Keep count of the messages in the folder (RFC 9051, sections 7.4.1 and 7.5.1)."""
        for line in answer.untagged:
            if (count := EXISTS.match(line)) is not None:
                self._messages = int(count.group(1))
            elif EXPUNGE.match(line):
                self._messages = max(self._messages - 1, 0)

    def _highest_uid(self) -> int:
        if not self._messages:
            return 0
        lines = self._dialogue.checked(b"FETCH * (UID)").untagged
        return max((int(found.group(1)) for line in lines if (found := UID.search(line))), default=0)

    def _folder_refusal(self, folder: str, answer: Answer) -> MailError:
        problem = self._dialogue.refusal(answer)
        if isinstance(problem, FolderMissing | CommandRefused) and answer.status == b"NO":
            return FolderMissing(f"The folder {folder} cannot be opened.", server_reply=problem.server_reply)
        return problem

    def status(self, folder: str = "INBOX") -> FolderStatus:
        """Ask the cheap question whether anything has changed."""
        name = _folder_name(folder)
        items = b"MESSAGES UIDNEXT UIDVALIDITY"
        if "CONDSTORE" in self.capabilities:
            items += b" HIGHESTMODSEQ"
        with translated(self.connection.clean):
            answer = self._dialogue.run(b"STATUS", name, b"(" + items + b")")
            if answer.status != b"OK":
                raise self._folder_refusal(folder, answer)
            told = _status_items(line for line in answer.untagged if line[:7].upper() == b"STATUS ")
            if told.get(b"UIDVALIDITY") and told.get(b"UIDNEXT"):
                messages, modseq = told.get(b"MESSAGES", 0), told.get(b"HIGHESTMODSEQ", 0)
                return FolderStatus(told[b"UIDVALIDITY"], told[b"UIDNEXT"], messages, modseq=modseq)
        # A server may keep some of it to itself. Opening the folder tells more.
        return self.open_folder(folder)

    def ids_after(self, uid: int) -> Sequence[int]:
        """List the UIDs above this one, sorted; eight bytes each, so that a million of them fit.

        `n:*` always names the last message too (RFC 9051, section 9), so what is not above is dropped.
        """
        windows: list[array[int]] = []
        with translated(self.connection.clean):
            for window in self._windows():
                answer = self._dialogue.checked(
                    b"UID SEARCH", *window, b"UID %d:*" % (uid + 1), line_limit=SEARCH_LINE
                )
                self._note_changes(answer)
                windows.append(array("Q", (n for n in search_result(answer.untagged) if n > uid)))
                if not windows[-1]:
                    break
        found = array("Q")
        for window_found in reversed(windows):
            found.extend(window_found)
        is_sorted = all(one < next_one for one, next_one in pairwise(found))
        return found if is_sorted else array("Q", sorted(set(found)))

    def _windows(self) -> Iterator[tuple[bytes, ...]]:
        """Yield sequence sets from the newest messages down, because the answer to SEARCH is a single line.

        What is expunged meanwhile moves the numbers of the messages above it, which are listed already: a
        message may be listed twice and is never left out. The first set is open, for messages that come.
        """
        window = self._at_most(SEARCH_WINDOW)
        first = max(1, self._messages - window + 1)
        yield (b"%d:*" % first,) if first > 1 else ()
        while (last := min(first - 1, self._messages)) > 0:
            first = max(1, last - window + 1)
            yield (b"%d:%d" % (first, last),)

    def _at_most(self, count: int) -> int:
        """Return how many messages one command may be about: a server may look at no more (RFC 9738)."""
        told = (word.partition("=") for word in self.capabilities)
        limits = [int(limit) for name, _, limit in told if name == "MESSAGELIMIT" and limit.isdigit()]
        return max(1, min([count, *limits]))

    def describe(self, uids: Sequence[int], *, dates: bool = True) -> list[RemoteMessage]:
        """Ask for sizes and dates; vanished messages are left out.

        A message that is listed but not described gets a size of 1: only fetching it can tell more.
        """
        with translated(self.connection.clean):
            found = self._described(uids)
            missing = [uid for uid in uids if uid not in found]
            if missing:
                listed = still_listed(self._dialogue, missing)
                found |= self._described([uid for uid in missing if uid in listed])
                now = datetime.now(UTC)
                found |= {uid: RemoteMessage(uid, 1, now) for uid in listed if uid not in found}
        return [found[uid] for uid in dict.fromkeys(uids) if uid in found]

    def _described(self, uids: Sequence[int]) -> dict[int, RemoteMessage]:
        wanted = set(uids)
        found: dict[int, RemoteMessage] = {}
        for line in self._fetch_lines(uids, b"(UID RFC822.SIZE INTERNALDATE)"):
            message = description(line)
            if message is not None and message.uid in wanted:
                found.setdefault(message.uid, message)
        return found

    def _fetch_lines(self, uids: Sequence[int], items: bytes) -> Iterator[bytes]:
        """Yield the FETCH answers for short items, some commands being on their way."""
        self._dialogue.settle()
        flying: deque[bytes] = deque()
        size = self._at_most(DESCRIBED)
        pieces = (uids[at : at + size] for at in range(0, len(uids), size))
        sets = (uid_set for piece in pieces for uid_set, _ in uid_sets(piece))
        while True:
            while len(flying) < DESCRIBING and (uid_set := next(sets, None)) is not None:
                flying.append(self._dialogue.start(b"UID FETCH " + uid_set + b" " + items))
            if not flying:
                return
            answer = self._dialogue.wait(flying.popleft(), only=FETCH)
            if answer.status != b"OK":
                raise self._dialogue.refusal(answer)
            yield from answer.untagged

    def fetch(self, messages: Sequence[RemoteMessage]) -> Iterator[FetchedMessage]:
        """Yield the messages, the next ones already on their way; vanished messages are left out.

        Those that the server still lists but does not hand out are named by MessageUnreadable, raised
        after everything else was yielded.
        """
        with translated(self.connection.clean):
            yield from Fetcher(self._dialogue).fetch(messages)

    def fetch_headers(self, messages: Sequence[RemoteMessage]) -> Iterator[FetchedMessage]:
        """Yield the headers of messages; what is not handed out is left out."""
        asked = [replace(message, size=0) for message in messages]
        with translated(self.connection.clean), suppress(MessageUnreadable):
            yield from Fetcher(self._dialogue, section=HEADER).fetch(asked)

    def delete(self, uids: Sequence[int]) -> None:
        """Remove messages from the server for good.

        Without UIDPLUS they are only marked: a plain EXPUNGE would also remove what others have marked.
        """
        with translated(self.connection.clean):
            for uid_set, _ in uid_sets(uids):
                self._dialogue.checked(b"UID STORE", uid_set, b"+FLAGS.SILENT (\\Deleted)")
                if "UIDPLUS" in self.capabilities or "IMAP4REV2" in self.capabilities:
                    self._dialogue.checked(b"UID EXPUNGE", uid_set)

    def move(self, uids: Sequence[int], folder: str) -> None:
        """Move messages into another folder, by copying and deleting where MOVE is not offered.

        The folder is one of the mailbox itself: its name is written behind the prefix that the server tells
        (RFC 2342). When it is missing it is created, and subscribed to, or most programs would not show it.
        """
        with translated(self.connection.clean):
            name = _folder_name(self._prefix() + folder)
            can_move = "MOVE" in self.capabilities or "IMAP4REV2" in self.capabilities
            command = b"UID MOVE" if can_move else b"UID COPY"
            for uid_set, members in uid_sets(uids):
                answer = self._dialogue.run(command, uid_set, name)
                if answer.status == b"NO" and self._dialogue.run(b"CREATE", name).status == b"OK":
                    self._dialogue.run(b"SUBSCRIBE", name)
                    answer = self._dialogue.run(command, uid_set, name)
                if answer.status != b"OK":
                    raise self._folder_refusal(folder, answer)
                if not can_move:
                    self.delete(members)

    def _prefix(self) -> str:
        if "NAMESPACE" not in self.capabilities:
            return ""
        self._dialogue.settle()
        return self.session.prefix()

    def append(self, folder: str, content: bytes, *, date: datetime) -> None:
        """Add a message to a folder as one that was seen (RFC 9051, section 6.3.12)."""
        with translated(self.connection.clean):
            how = (_folder_name(folder), b"(\\Seen)", f'"{datetime_to_INTERNALDATE(date)}"'.encode())
            answer = self._dialogue.run(b"APPEND", *how, Literal(content), hide=True)
            if answer.status != b"OK":
                raise self._folder_refusal(folder, answer)

    def find_by_message_id(self, message_id: str, *, folders: Sequence[str]) -> str | None:
        """Return the first of the folders that holds a message with this Message-ID.

        The folder that was open before is open again afterwards.
        """
        check_plain(message_id, what="The Message-ID")
        before = self._folder
        found = None
        for folder in folders:
            if self._holds(folder, message_id):
                found = folder
                break
        if before is not None:
            self.open_folder(before[0], read_only=before[1])
        return found

    def _holds(self, folder: str, message_id: str) -> bool:
        try:
            self.open_folder(folder)
        except FolderMissing:
            return False
        with translated(self.connection.clean):
            answer = self._dialogue.checked(b"UID SEARCH HEADER Message-ID", quoted(message_id))
            return bool(search_result(answer.untagged))

    def sent_folder(self) -> str | None:
        """Return the folder for sent mail, if the server marks one or has one of a common name."""
        with translated(self.connection.clean):
            self._dialogue.settle()
            name = self.session.sent_folder()
            return None if name is None else check_plain(name, what="The folder")

    def finish(self) -> None:
        """End the conversation."""
        self.close()

    def close(self) -> None:
        """Say goodbye, unless answers are still on their way, and close."""
        if not self.connection.closed and not self._dialogue.is_waiting:
            with suppress(MailError, OSError):
                self.connection.wait_at_most(FAREWELL)
                self._dialogue.run(b"LOGOUT")
        self.connection.close()


def open_imap(endpoint: Endpoint, credential: Credential, wire: Wire) -> ImapClient:
    """Connect, secure the connection and sign in."""
    connection = connect(endpoint, wire)
    with closed_on_failure(connection):
        client = greet(connection, endpoint)
        client.sign_in(credential)
    return client


def greet(connection: Connection, endpoint: Endpoint) -> ImapClient:
    """Secure a new connection as the endpoint says and hear the greeting."""
    if endpoint.security is Security.TLS:
        connection.start_tls()
    client = ImapClient(connection)
    if endpoint.security is Security.STARTTLS:
        client.begin_tls()
    return client


def _status_items(lines: Iterable[bytes]) -> dict[bytes, int]:
    """Read what is told of a folder. Raise ValueError for a number beyond 63 bits (RFC 9051, section 9)."""
    told = {name.upper(): int(value) for line in lines for name, value in STATUS_ITEM.findall(line)}
    if max(told.values(), default=0) > HIGHEST_NUMBER:
        raise ValueError("a number that is too high")
    return told


def _unasked(capabilities: frozenset[str]) -> int:
    """Return how long a literal may be that is sent without waiting."""
    if "LITERAL+" in capabilities:
        return SEARCH_LINE
    return SHORT_LITERAL if {"LITERAL-", "IMAP4REV2"} & capabilities else 0


def _words(text: bytes) -> frozenset[str]:
    return frozenset(text.decode("ascii", "replace").upper().split())


def _folder_name(folder: str) -> bytes | Literal:
    """Write a folder's name in modified UTF-7 (RFC 3501, section 5.1.3)."""
    check_plain(folder, what="The folder")
    return quoted(imap_utf7.encode(folder).decode("ascii"))
