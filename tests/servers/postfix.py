"""A private Postfix: submission with implicit TLS, with STARTTLS, and without TLS.

It checks passwords with a private Dovecot and delivers into its Maildirs. Tables are plain text, and the
processes that read them serve one connection each, so a user added to Dovecot is known at once.
Postfix's master runs as root only; elsewhere its tests are skipped by name.
"""

import grp
import os
import pwd
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.servers.certificates import ServerCertificate
from tests.servers.dovecot import Dovecot
from tests.servers.ports import free_port, wait_until_listening
from tests.servers.process import ServerProcess, is_root, private_folder, require_program, run_as, unavailable

_MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
mail_owner = postfix
setgid_group = postdrop
maillog_file = {folder}/postfix.log
maillog_file_prefixes = {folder}
myhostname = localhost
mydomain = localdomain
mydestination =
mynetworks =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_peername_lookup = no
disable_dns_lookups = yes
alias_maps =
alias_database =
local_recipient_maps =
local_transport = error:5.1.1 No local users here
relay_domains =
biff = no
in_flow_delay = 0
queue_run_delay = 5
minimal_backoff_time = 5
default_process_limit = 200
message_size_limit = {message_size_limit}
mailbox_size_limit = 0
virtual_mailbox_limit = 0

# Mail of the tests' domain goes to Dovecot's Maildirs, mail for everybody else nowhere,
# except one domain whose mail is accepted and comes back as a bounce.
virtual_mailbox_domains = example.org
virtual_mailbox_base = {dovecot.mail_folder}
virtual_mailbox_maps = texthash:{dovecot.addresses}
virtual_minimum_uid = 1
virtual_uid_maps = static:{dovecot.mail_owner.pw_uid}
virtual_gid_maps = static:{dovecot.mail_owner.pw_gid}
default_transport = discard
transport_maps = inline:{{ {{ bounce.example = refuse }} }}

smtpd_tls_cert_file = {certificate.certificate}
smtpd_tls_key_file = {certificate.key}
smtpd_tls_mandatory_protocols = >=TLSv1.2
smtpd_tls_protocols = >=TLSv1.2
smtpd_tls_auth_only = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {dovecot.sasl_socket}
smtpd_sasl_security_options = noanonymous
smtpd_sasl_tls_security_options = noanonymous
smtpd_sender_login_maps = texthash:{dovecot.senders}
smtpd_delay_reject = yes
smtpd_client_restrictions = permit_sasl_authenticated, reject
smtpd_sender_restrictions = check_sender_access texthash:{folder}/sender-replies, reject_sender_login_mismatch
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_recipient_restrictions =
  reject_non_fqdn_recipient, reject_unlisted_recipient, check_recipient_access texthash:{folder}/replies
smtpd_error_sleep_time = 0
smtpd_soft_error_limit = 100
smtpd_hard_error_limit = 200
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
"""

_SERVICES = """
{ports.smtps} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes -o max_use=1
{ports.submission} inet n - n - - smtpd -o smtpd_tls_security_level=may -o max_use=1
{ports.plain} inet n - n - - smtpd -o smtpd_tls_security_level=none -o smtpd_tls_auth_only=no -o max_use=1
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
error unix - - n - - error
refuse unix - n n - - pipe user=nobody argv=/bin/sh -c {{exit 67}}
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual -o max_use=1
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""

_QUEUES = ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved")


@dataclass(frozen=True)
class PostfixPorts:
    """Where submission listens: implicit TLS, STARTTLS offered, no TLS at all."""

    smtps: int = field(default_factory=free_port)
    submission: int = field(default_factory=free_port)
    plain: int = field(default_factory=free_port)


class Postfix:
    """A running Postfix beside a running Dovecot; use it in a `with` statement."""

    host = "localhost"
    domain = "example.org"
    #: Mail for this domain is accepted and then bounced to the sender.
    bouncing_domain = "bounce.example"

    def __init__(
        self, certificate: ServerCertificate, dovecot: Dovecot, *, message_size_limit: int = 64 * 1024 * 1024
    ) -> None:
        """Choose the ports."""
        self.ports = PostfixPorts()
        self.message_size_limit = message_size_limit
        self._certificate = certificate
        self._dovecot = dovecot

    def __enter__(self) -> Self:
        """Write the configuration and the queue, and start; return when all ports answer."""
        require_program("postfix", package="postfix")
        if not is_root():
            unavailable("Postfix runs only when started by root.")
        self._private = private_folder("postfix")
        self.folder = self._private.__enter__()
        self._make_queue()
        self._replies.touch()
        self._sender_replies.touch()
        settings = _MAIN.format(
            folder=self.folder,
            certificate=self._certificate,
            dovecot=self._dovecot,
            message_size_limit=self.message_size_limit,
        )
        self._configuration = self.folder / "etc"
        self._configuration.mkdir()
        (self._configuration / "main.cf").write_text(settings)
        (self._configuration / "master.cf").write_text(_SERVICES.format(ports=self.ports))
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the server and remove its folder."""
        self.stop()
        self._private.__exit__(kind, error, trace)

    def start(self) -> None:
        """Start, or start again after `stop`; the queue is still there."""
        postconf = require_program("postconf", package="postfix")
        daemons = Path(run_as([postconf, "-c", self._configuration, "-h", "daemon_directory"]).strip())
        # -d keeps master in the foreground.
        self._process = ServerProcess(
            [daemons / "master", "-c", self._configuration, "-d"], log=self.folder / "postfix.out"
        )
        try:
            wait_until_listening(self.ports.smtps, self.ports.submission, self.ports.plain)
        except TimeoutError as error:
            self._process.close()
            raise RuntimeError(f"Postfix did not start: {self._process.log_tail()}{self.log()}") from error

    def stop(self) -> None:
        """End the server and every session; nobody listens until `start`."""
        self._process.close()

    def suspend(self) -> None:
        """Freeze the server: connections open, nothing answers."""
        self._process.suspend()

    def resume(self) -> None:
        """End the freeze."""
        self._process.resume()

    def log(self) -> str:
        """Return what Postfix has logged."""
        path = self.folder / "postfix.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def reply_to_recipient(self, address: str, reply: str) -> None:
        """Answer RCPT TO for the address with a reply such as `451 4.3.0 Try again later`."""
        with self._replies.open("a") as table:
            table.write(f"{address} {reply}\n")

    def reply_to_sender(self, address: str, reply: str) -> None:
        """Answer for mail from the address with a reply such as `550 5.7.1 Blocked`."""
        with self._sender_replies.open("a") as table:
            table.write(f"{address} {reply}\n")

    def wait_until_logged(self, text: str, *, seconds: float = 10.0) -> None:
        """Return when Postfix has logged the text."""
        end = time.monotonic() + seconds
        while text not in self.log():
            if time.monotonic() > end:
                raise TimeoutError(f"Postfix did not log {text!r}: {self.log()[-2000:]}")
            time.sleep(0.05)

    @property
    def _replies(self) -> Path:
        return self.folder / "replies"

    @property
    def _sender_replies(self) -> Path:
        return self.folder / "sender-replies"

    def _make_queue(self) -> None:
        """Make the folders that `postfix check` would, without its half second of shell."""
        owner, drop = pwd.getpwnam("postfix"), grp.getgrnam("postdrop")
        queue = self.folder / "queue"
        queue.mkdir(mode=0o755)
        (queue / "pid").mkdir(mode=0o755)
        for name in _QUEUES:
            (queue / name).mkdir(mode=0o700)
            os.chown(queue / name, owner.pw_uid, 0)
        for name, mode in (("maildrop", 0o730), ("public", 0o710)):
            (queue / name).mkdir()
            os.chown(queue / name, owner.pw_uid, drop.gr_gid)
            (queue / name).chmod(mode)
        (self.folder / "data").mkdir(mode=0o700)
        os.chown(self.folder / "data", owner.pw_uid, owner.pw_gid)
