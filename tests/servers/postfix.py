"""A private Postfix: submission with implicit TLS, with STARTTLS, and without TLS.

It checks passwords with a private Dovecot and delivers into its Maildirs. Tables are plain text, and the
processes that read them serve one connection each, so a user added to Dovecot is known at once, save to
connections that were open before.
Postfix's master runs as root only; elsewhere its tests are skipped by name.
"""

import grp
import os
import pwd
from dataclasses import dataclass, field
from pathlib import Path

from emailsync.management.selftest.certificates import ServerCertificate
from tests.servers.dovecot import Dovecot
from tests.servers.ports import free_port
from tests.servers.process import (
    Server,
    ServerProcess,
    is_root,
    require_program,
    run_as,
    tail,
    unavailable,
    wait_until,
    write_cold,
)

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

# Mail of the tests' domains goes to Dovecot's Maildirs, mail for everybody else nowhere,
# except for one domain whose mail is accepted and comes back as a bounce.
virtual_mailbox_domains = example.org example.com example.net
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

_QUEUES = (
    "active",
    "bounce",
    "corrupt",
    "defer",
    "deferred",
    "flush",
    "hold",
    "incoming",
    "private",
    "saved",
)


@dataclass(frozen=True)
class PostfixPorts:
    """Where submission listens: implicit TLS, STARTTLS offered, no TLS at all."""

    smtps: int = field(default_factory=free_port)
    submission: int = field(default_factory=free_port)
    plain: int = field(default_factory=free_port)


class Postfix(Server):
    """A running Postfix beside a running Dovecot; use it in a `with` statement."""

    label = "postfix"
    host = "localhost"
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

    @property
    def listening_ports(self) -> tuple[int, ...]:
        """Return the three ports."""
        return (self.ports.smtps, self.ports.submission, self.ports.plain)

    def log(self) -> str:
        """Return the end of what Postfix has logged."""
        return tail(self.folder / "postfix.out") + tail(self.folder / "postfix.log")

    def reply_to_recipient(self, address: str, reply: str) -> None:
        """Answer RCPT TO for the address with a reply such as `451 4.3.0 Try again later`."""
        write_cold(self._replies, f"{address} {reply}\n")

    def reply_to_sender(self, address: str, reply: str) -> None:
        """Answer for mail from the address with a reply such as `550 5.7.1 Blocked`."""
        write_cold(self._sender_replies, f"{address} {reply}\n")

    def queued(self) -> int:
        """Return how many messages it has taken and not delivered yet."""
        waiting = (self.folder / "queue" / name for name in ("maildrop", "incoming", "active", "deferred"))
        return sum(path.is_file() for each in waiting for path in each.rglob("*"))

    def wait_until_logged(self, text: str, *, seconds: float = 10.0) -> None:
        """Return when Postfix has logged the text."""
        wait_until(lambda: text in self.log(), what=f"Postfix logged {text!r}", seconds=seconds)

    def _prepare(self) -> None:
        require_program("postfix", package="postfix")
        if not is_root():
            unavailable("Postfix runs only when started by root.")
        self._make_queue()
        write_cold(self._replies)
        write_cold(self._sender_replies)
        settings = _MAIN.format(
            folder=self.folder,
            certificate=self._certificate,
            dovecot=self._dovecot,
            message_size_limit=self.message_size_limit,
        )
        self._configuration.mkdir()
        write_cold(self._configuration / "main.cf", settings)
        write_cold(self._configuration / "master.cf", _SERVICES.format(ports=self.ports))

    def _launch(self) -> ServerProcess:
        postconf = require_program("postconf", package="postfix")
        daemons = Path(run_as([postconf, "-c", self._configuration, "-h", "daemon_directory"]).strip())
        # -d keeps master in the foreground.
        return ServerProcess(
            [daemons / "master", "-c", self._configuration, "-d"], log=self.folder / "postfix.out"
        )

    @property
    def _configuration(self) -> Path:
        return self.folder / "etc"

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
