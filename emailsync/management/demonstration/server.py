"""The demo's mail server: IMAP by pymap and SMTP by aiosmtpd, both over TLS on loopback."""

import asyncio
import json
import logging
import os
import random
import signal
import ssl
import warnings
from argparse import Namespace
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from proxyprotocol.reader import ProxyProtocolReader
from pymap.backend.dict import Config, Login
from pymap.backend.dict.filter import FilterSet
from pymap.imap import IMAPServer
from pymap.parsing.message import AppendMessage
from pymap.user import UserMetadata
from pysasl.hashing import Cleartext

from emailsync.management.demonstration.letters import ACCOUNTS, DOMAIN, LETTERS, Account, compose
from emailsync.management.demonstration.state import HOST, State, exists, folder, load
from emailsync.management.demonstration.store import StoredMailboxSet
from emailsync.management.supervising import FINISHED

log = logging.getLogger(__name__)

NAME = f"mail.{DOMAIN}"
LARGEST_MESSAGE = 25 * 1024 * 1024
#: Mail trickles in one by one, up to so many a day.
PAUSE_BETWEEN = (14.0, 26.0)
LETTERS_A_DAY = 400
FIRST_LETTERS = 4


class PostOffice:
    """Who has a mailbox here, and putting mail into it."""

    def __init__(self, state: State) -> None:
        """Open every account's folders."""
        self.passwords = state.passwords
        self.mail: dict[str, StoredMailboxSet] = {
            account.user_name: StoredMailboxSet(folder() / "mail" / account.user_name) for account in ACCOUNTS
        }
        self._addresses = {account.address: account.user_name for account in ACCOUNTS}
        self._log = folder() / "trickle.json"

    async def open(self) -> None:
        """Read the mail kept from earlier runs; accounts without any get their first letters."""
        for place, account in enumerate(ACCOUNTS):
            mail = self.mail[account.user_name]
            await mail.load()
            inbox = await mail.get_mailbox("INBOX")
            if (await inbox.snapshot()).next_uid == 1:
                for number in range(FIRST_LETTERS):
                    age = timedelta(hours=5 * (FIRST_LETTERS - number), minutes=7 * place)
                    await self.write(number + place, account, when=datetime.now(UTC) - age)

    def knows(self, address: str) -> bool:
        """Say whether the address has a mailbox here."""
        return address.lower() in self._addresses

    def is_ours(self, address: str) -> bool:
        """Say whether the address would have to have a mailbox here."""
        return address.lower().endswith(f"@{DOMAIN}")

    async def deliver(self, content: bytes, *, address: str, when: datetime) -> None:
        """Put a message into the INBOX of `address`."""
        inbox = await self.mail[self._addresses[address.lower()]].get_mailbox("INBOX")
        await inbox.append(AppendMessage(content, when, frozenset()), recent=True)

    async def write(self, number: int, account: Account, *, when: datetime) -> None:
        """Deliver a letter to an account."""
        await self.deliver(compose(number, account, when=when), address=account.address, when=when)

    async def trickle(self) -> None:
        """Write a letter now and then, for as long as the day's number lasts."""
        chance = random.SystemRandom()
        while True:
            await asyncio.sleep(chance.uniform(*PAUSE_BETWEEN))
            now = datetime.now(UTC)
            written = self._written_on(now)
            if written < LETTERS_A_DAY:
                try:
                    await self.write(chance.randrange(len(LETTERS)), chance.choice(ACCOUNTS), when=now)
                    self._note_written(written + 1, when=now)
                except OSError as error:
                    # A full disk passes; the mail that is here can be read meanwhile.
                    log.warning("A letter could not be written: %s", error.strerror)

    def _note_written(self, count: int, *, when: datetime) -> None:
        unfinished = self._log.with_suffix(".new")
        unfinished.write_text(json.dumps({when.date().isoformat(): count}), encoding="ascii")
        unfinished.replace(self._log)

    def _written_on(self, now: datetime) -> int:
        if not self._log.exists():
            return 0
        counts: Mapping[str, int] = json.loads(self._log.read_text(encoding="ascii"))
        return counts.get(now.date().isoformat(), 0)


class SubmissionHandler:
    """What the SMTP server does: demo addresses are delivered, others are accepted and thrown away."""

    def __init__(self, office: PostOffice) -> None:
        """Keep the post office."""
        self._office = office

    def authenticate(
        self, _server: SMTP, _session: Session, _envelope: Envelope, mechanism: str, credential: Any
    ) -> AuthResult:
        """Check a user name and password (RFC 4954)."""
        if not isinstance(credential, LoginPassword):
            return AuthResult(success=False, handled=False)
        user_name = credential.login.decode("utf-8", "replace")
        password = credential.password.decode("utf-8", "replace")
        return AuthResult(success=self._office.passwords.get(user_name) == password, handled=False)

    async def handle_RCPT(  # noqa: N802  (aiosmtpd's name)
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: Sequence[str]
    ) -> str:
        """Refuse addresses that should be here and are not (RFC 3463, 5.1.1)."""
        if self._office.is_ours(address) and not self._office.knows(address):
            return "550 5.1.1 There is no such mailbox here"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Deliver to the mailboxes that are here; mail to others never leaves the machine."""
        now = datetime.now(UTC)
        received = f"Received: from [{HOST}] by {NAME} with ESMTPSA;\r\n\t{format_datetime(now)}\r\n"
        content = f"Return-Path: <{envelope.mail_from}>\r\n{received}".encode() + (
            envelope.original_content or b""
        )
        for address in envelope.rcpt_tos:
            if self._office.knows(address):
                try:
                    await self._office.deliver(content, address=address, when=now)
                except OSError:
                    return "452 4.3.1 There is no room for this message now"
        return "250 2.0.0 Accepted"


class _Configuration(Config):
    @property
    def greeting(self) -> bytes:
        """Greet without asking the name service for our own name."""
        return f"{NAME} emailsync demo server ready".encode()


def _tls(path: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(path / "server.pem", path / "server.key")
    return context


async def _start_imap(office: PostOffice, state: State, tls: ssl.SSLContext) -> asyncio.Server:
    config = _Configuration(
        Namespace(proxy_protocol=None, passlib_cfg=None),
        host=HOST,
        port=state.imap_port,
        demo_data=False,
        demo_user="",
        demo_password="",
        ssl_context=tls,
        # TLS from the start: there is nothing to upgrade, and signing in is allowed at once.
        tls_enabled=False,
        hash_context=Cleartext(),
        reject_dnsbl=False,
        max_append_len=LARGEST_MESSAGE,
    )
    config.apply_context()
    login = Login(config)
    await office.open()
    for user_name, password in office.passwords.items():
        login.users_dict[user_name] = UserMetadata(config, user_name, password=password)
        config.set_cache[user_name] = (office.mail[user_name], FilterSet())
    serve = ProxyProtocolReader(config.proxy_protocol).get_callback(IMAPServer(login, config))
    return await asyncio.start_server(serve, host=HOST, port=state.imap_port, ssl=tls)


async def _start_smtp(office: PostOffice, state: State, tls: ssl.SSLContext) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    handler = SubmissionHandler(office)

    def session() -> SMTP:
        with warnings.catch_warnings():
            # aiosmtpd only knows TLS that it started itself; here every connection is encrypted already.
            warnings.filterwarnings("ignore", message="Requiring AUTH while not requiring TLS")
            return SMTP(
                handler,
                hostname=NAME,
                ident="emailsync demo server",
                data_size_limit=LARGEST_MESSAGE,
                enable_SMTPUTF8=True,
                auth_required=True,
                auth_require_tls=False,
                authenticator=handler.authenticate,
                loop=loop,
            )

    return await loop.create_server(session, host=HOST, port=state.smtp_port, ssl=tls)


async def _serve() -> int:
    state = load()
    office = PostOffice(state)
    tls = _tls(folder())
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    servers = [await _start_imap(office, state, tls), await _start_smtp(office, state, tls)]
    trickle = asyncio.create_task(office.trickle())
    # A signal, the removal of the folder or a failing trickle ends it, whichever comes first.
    while exists() and not stop.is_set() and not trickle.done():  # noqa: ASYNC110  (a folder has no event)
        await asyncio.sleep(0.2)
    for server in servers:
        server.close()
    if trickle.done() and exists():
        trickle.result()
    return 0 if exists() else FINISHED


def serve() -> None:
    """Serve until a signal, or until the demo is removed; end the process."""
    # What is delivered and asked for is nobody's log line; failures are.
    logging.getLogger("mail.log").setLevel(logging.ERROR)
    logging.getLogger("pymap").setLevel(logging.ERROR)
    status = asyncio.new_event_loop().run_until_complete(_serve())
    # What is on disk is whole at any time. Taking the loop apart instead would not be quiet: a handshake that
    # completes meanwhile starts a task that nobody waits for.
    os._exit(status)
