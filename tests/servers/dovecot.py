"""A private Dovecot 2.3: IMAP and POP3, each with and without implicit TLS, mail in Maildirs.

Every user has a folder `<mail>/<name>/Maildir` and a password file `<users>/<name>`. One file a user,
because Dovecot looks at a changed file only once a second but sees a new one at once.
"""

import base64
import grp
import os
import pwd
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from emailsync.management.selftest.certificates import ServerCertificate
from tests.servers.ports import free_port
from tests.servers.process import (
    Server,
    ServerProcess,
    current_user,
    is_root,
    require_program,
    run_as,
    tail,
    wait_until,
    write_cold,
)

_CONFIGURATION = """
protocols = imap pop3
listen = 127.0.0.1
base_dir = {folder}/run
state_dir = {folder}/run
log_path = {folder}/dovecot.log
log_timestamp = "%Y-%m-%d %H:%M:%S "
instance_name = emailsync-tests
default_internal_user = {internal_user}
default_internal_group = {internal_group}
default_login_user = {login_user}
verbose_proctitle = no
shutdown_clients = yes

ssl = yes
ssl_cert = <{certificate.certificate}
ssl_key = <{certificate.key}
ssl_min_protocol = TLSv1.2

# Loopback passwords may go without TLS, for the tests of that policy; a refusal is not delayed.
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_failure_delay = 0
auth_username_chars =
auth_verbose = yes

# The master signs in for somebody else by naming that user as the authorization identity (RFC 4616).
passdb {{
  driver = passwd-file
  args = {folder}/masters
  master = yes
}}
passdb {{
  driver = passwd-file
  args = username_format=%u {folder}/users/%u
}}
userdb {{
  driver = static
  args = uid={mail_user.pw_uid} gid={mail_user.pw_gid} home={folder}/mail/%u
}}
first_valid_uid = 1
mail_uid = {mail_user.pw_uid}
mail_gid = {mail_user.pw_gid}
mail_location = maildir:~/Maildir
mail_fsync = optimized
maildir_very_dirty_syncs = no
namespace inbox {{
  inbox = yes
  separator = /
  mailbox Sent {{
    auto = subscribe
    special_use = \\Sent
  }}
  mailbox Archive {{
    auto = subscribe
    special_use = \\Archive
  }}
  mailbox Trash {{
    auto = subscribe
    special_use = \\Trash
  }}
}}

protocol imap {{
  mail_max_userip_connections = {connections_per_user}
  imap_max_line_length = 64k
}}
protocol pop3 {{
  mail_max_userip_connections = {connections_per_user}
  pop3_uidl_format = %08Xu%08Xv
}}

# One login process for all: it stays, so that signing in costs no fork.
service imap-login {{
  chroot = {chroot}
  service_count = 0
  process_min_avail = 1
  client_limit = 2000
  inet_listener imap {{
    port = {ports.imap}
  }}
  inet_listener imaps {{
    port = {ports.imaps}
    ssl = yes
  }}
}}
service pop3-login {{
  chroot = {chroot}
  service_count = 0
  client_limit = 2000
  inet_listener pop3 {{
    port = {ports.pop3}
  }}
  inet_listener pop3s {{
    port = {ports.pop3s}
    ssl = yes
  }}
}}
service imap {{
  process_limit = 2000
}}
service pop3 {{
  process_limit = 2000
}}
service anvil {{
  chroot =
  client_limit = 5000
  # No growing delay after wrong passwords: tests give many.
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service auth {{
  client_limit = 5000
  unix_listener auth-client {{
    mode = 0666
  }}
  unix_listener sasl {{
    mode = 0666
  }}
}}
service stats {{
  chroot =
  client_limit = 5000
}}
{more}
"""


@dataclass(frozen=True)
class DovecotPorts:
    """Where the four protocols listen; `imap` and `pop3` offer STARTTLS and STLS."""

    imap: int = field(default_factory=free_port)
    imaps: int = field(default_factory=free_port)
    pop3: int = field(default_factory=free_port)
    pop3s: int = field(default_factory=free_port)


class Dovecot(Server):
    """A running Dovecot; use it in a `with` statement."""

    label = "dovecot"
    host = "localhost"
    master_name = "master"
    master_password = "master password"

    def __init__(
        self, certificate: ServerCertificate, *, connections_per_user: int = 0, more_configuration: str = ""
    ) -> None:
        """Choose the ports; 0 connections per user means any number."""
        self.ports = DovecotPorts()
        self._certificate = certificate
        self._connections_per_user = connections_per_user
        self._more = more_configuration
        self._delivered = 0

    @property
    def listening_ports(self) -> tuple[int, ...]:
        """Return the four ports."""
        return (self.ports.imap, self.ports.imaps, self.ports.pop3, self.ports.pop3s)

    def log(self) -> str:
        """Return the end of what Dovecot has logged."""
        return tail(self.folder / "dovecot.out") + tail(self.folder / "dovecot.log")

    @property
    def configuration(self) -> Path:
        """Return Dovecot's configuration file."""
        return self.folder / "dovecot.conf"

    @property
    def sasl_socket(self) -> Path:
        """Return the socket where an SMTP server may check passwords."""
        return self.folder / "run" / "sasl"

    @property
    def addresses(self) -> Path:
        """Return Postfix's table of addresses and the Maildirs they are delivered to."""
        return self.folder / "addresses"

    @property
    def senders(self) -> Path:
        """Return Postfix's table of addresses and who may send from them."""
        return self.folder / "senders"

    @property
    def mail_folder(self) -> Path:
        """Return the folder of all users' mail."""
        return self.folder / "mail"

    @property
    def mail_owner(self) -> pwd.struct_passwd:
        """Return the account that owns all mail."""
        return self._owner

    def add_user(self, name: str, password: str, *, addresses: Iterable[str] | None = None) -> None:
        """Let somebody sign in, and receive mail at the addresses, by default at the name itself."""
        (self.folder / "users" / name).write_text(_password_line(name, password))
        owned = [name] if addresses is None else list(addresses)
        self._folder_of(name, "INBOX")
        write_cold(self.addresses, "".join(f"{address} {name}/Maildir/\n" for address in owned))
        write_cold(self.senders, "".join(f"{address} {name}\n" for address in owned))

    def set_password(self, name: str, password: str) -> None:
        """Change a password; the old one stops working now."""
        path = self.folder / "users" / name
        path.write_text(_password_line(name, password))
        # Dovecot rereads a changed file at most once a second, and only when its time has moved.
        later = path.stat().st_mtime + 2
        os.utime(path, (later, later))
        time.sleep(1.1)

    def remove_user(self, name: str) -> None:
        """Refuse the user from now on; the mail stays."""
        (self.folder / "users" / name).unlink()
        time.sleep(1.1)

    def deliver(
        self, name: str, content: bytes, *, folder: str = "INBOX", received_at: datetime | None = None
    ) -> None:
        """Put a message into a folder, as a delivery agent does; `received_at` is its INTERNALDATE."""
        target = self._folder_of(name, folder)
        moment = (received_at or datetime.now(UTC)).timestamp()
        self._delivered += 1
        # Dovecot gives UIDs in the order of these names.
        label = f"{time.time_ns()}.{self._delivered:08}.test,S={len(content)}"
        path = target / "tmp" / label
        path.write_bytes(content)
        os.utime(path, (moment, moment))
        if is_root():
            os.chown(path, self._owner.pw_uid, self._owner.pw_gid)
        path.rename(target / "new" / label)

    def messages(self, name: str, *, folder: str = "INBOX") -> list[bytes]:
        """Return the messages in the user's folder, the oldest file first."""
        target = self._folder_of(name, folder)
        paths = [path for part in ("new", "cur") for path in (target / part).iterdir()]
        return [path.read_bytes() for path in sorted(paths, key=lambda path: path.name)]

    def wait_for_message(self, name: str, *, containing: bytes, seconds: float = 10.0) -> bytes:
        """Return the first message of the INBOX that contains the bytes, once it is there."""

        def found() -> list[bytes]:
            return [content for content in self.messages(name) if containing in content]

        wait_until(lambda: bool(found()), what=f"{name} has a message with {containing!r}", seconds=seconds)
        return found()[0]

    def change_uidvalidity(self, name: str, *, folder: str = "INBOX") -> None:
        """Give every message of the folder a new UID, under a new UIDVALIDITY."""
        target = self._folder_of(name, folder)
        old = self._uidvalidity(target)
        for path in [*target.glob("dovecot.index*"), target / "dovecot-uidlist"]:
            path.unlink(missing_ok=True)
        fresh = max(old + 1, int(time.time()))
        uidlist = target / "dovecot-uidlist"
        uidlist.write_text(f"3 V{fresh} N1 G{os.urandom(16).hex()}\n")
        if is_root():
            os.chown(uidlist, self._owner.pw_uid, self._owner.pw_gid)

    def remove_mail(self, name: str) -> None:
        """Remove every message and folder of the user from the disk."""
        shutil.rmtree(self.mail_folder / name / "Maildir")
        self._folder_of(name, "INBOX")

    def disconnect(self, name: str) -> None:
        """Cut the user's sessions, as an administrator would."""
        self.doveadm("kick", name)

    def doveadm(self, *words: str) -> str:
        """Run doveadm against this server and return what it printed."""
        program = require_program("doveadm", package="dovecot-core")
        return run_as([program, "-c", self.configuration, *words])

    def _prepare(self) -> None:
        program = require_program("dovecot", package="dovecot-imapd")
        version = run_as([program, "--version"])
        if not version.startswith("2.3"):
            raise RuntimeError(f"These tests configure Dovecot 2.3; {program} is {version.strip()}.")
        self._owner = pwd.getpwnam("mail") if is_root() else current_user()
        for name in ("run", "users", "mail"):
            (self.folder / name).mkdir(mode=0o755)
        os.chown(self.mail_folder, self._owner.pw_uid, self._owner.pw_gid)
        (self.folder / "masters").write_text(_password_line(self.master_name, self.master_password))
        write_cold(self.addresses)
        write_cold(self.senders)
        self.configuration.write_text(self._settings())

    def _launch(self) -> ServerProcess:
        program = require_program("dovecot", package="dovecot-imapd")
        # Little patience, because Dovecot waits some seconds for its idle children.
        return ServerProcess(
            [program, "-F", "-c", self.configuration], log=self.folder / "dovecot.out", patience=0.2
        )

    def _settings(self) -> str:
        own = current_user()
        return _CONFIGURATION.format(
            folder=self.folder,
            certificate=self._certificate,
            ports=self.ports,
            mail_user=self._owner,
            internal_user="dovecot" if is_root() else own.pw_name,
            internal_group="dovecot" if is_root() else grp.getgrgid(own.pw_gid).gr_name,
            login_user="dovenull" if is_root() else own.pw_name,
            chroot="login" if is_root() else "",
            connections_per_user=self._connections_per_user,
            more=self._more,
        )

    def _folder_of(self, name: str, folder: str) -> Path:
        """Return the Maildir of one of the user's folders, made when missing."""
        home = self.mail_folder / name
        base = home / "Maildir"
        target = base if folder == "INBOX" else base / f".{folder.replace('/', '.')}"
        for path in (home, base, target, target / "tmp", target / "new", target / "cur"):
            if not path.exists():
                path.mkdir(mode=0o700)
                if is_root():
                    os.chown(path, self._owner.pw_uid, self._owner.pw_gid)
        return target

    @staticmethod
    def _uidvalidity(target: Path) -> int:
        """Return the folder's UIDVALIDITY from Dovecot's list, or 0 when nobody has opened it yet."""
        path = target / "dovecot-uidlist"
        if not path.exists():
            return 0
        words = path.read_text(errors="replace").split("\n", 1)[0].split()
        return next(int(word[1:]) for word in words if word.startswith("V"))


def _password_line(name: str, password: str) -> str:
    encoded = base64.b64encode(password.encode()).decode("ascii")
    return f"{name}:{{PLAIN.b64}}{encoded}::::::\n"
