"""One mailbox from Test & Enable to mail received and sent, on servers that behave, in a database of its own.

It runs in a process of its own, whose settings name a folder that is thrown away afterwards. Once it has
arrived, what emailsync itself finds standing in the way is tried out on that mailbox (`installation`).
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.utils import timezone

from emailsync.crypto.keyring import new_key_line
from emailsync.mail.composing import Draft
from emailsync.mail.headers import Address
from emailsync.management.selftest.certificates import Authority
from emailsync.management.selftest.installation import Told, conditions
from emailsync.management.selftest.scripted_imap import ScriptedImap
from emailsync.management.selftest.scripted_smtp import ScriptedSmtp
from mailboxes.choices import AddressStatus, Direction, OutgoingStatus, StepOutcome, TrackIncoming
from mailboxes.engine import delivering, diagnosing, syncing
from mailboxes.models import Diagnosis, DiagnosisStep, Mailbox, Message, OutgoingMessage, WorkerState
from mailboxes.services import diagnosis, editing, outgoing
from profiles.models import EmailSettings, Environment, ServerProfile

PATIENCE = 100.0
ADDRESS = "ann@example.com"
LETTER = (
    b"From: ben@example.org\r\nTo: ann@example.com\r\nSubject: A letter\r\n"
    b"Message-ID: <letter@example.org>\r\n\r\nHello.\r\n"
)


class NotArrived(Exception):
    """The journey ended before its end; the text says where."""


class PostOffice(ScriptedSmtp):
    """Take mail over SMTP and put it into an INBOX."""

    inbox: ScriptedImap

    def take(self, body: bytes) -> None:
        """Deliver a message."""
        super().take(body)
        self.inbox.messages[max(self.inbox.messages, default=0) + 1] = body


@dataclass(frozen=True)
class Travelled:
    """How a journey ended."""

    arrived: bool
    lines: Sequence[str]
    told: Sequence[Told]


def run_apart() -> Travelled:
    """Make the journey in a process with throw-away settings."""
    with tempfile.TemporaryDirectory(prefix="emailsync-selftest-") as folder:
        kept = {name: text for name, text in os.environ.items() if not name.startswith("EMAILSYNC_")}
        own = {
            "DATABASE_URL": f"sqlite:///{folder}/selftest.sqlite3",
            "EMAILSYNC_DATA_DIR": folder,
            "EMAILSYNC_ENCRYPTION_KEYS": new_key_line(),
            "EMAILSYNC_ALLOWED_NETWORKS": "127.0.0.0/8,::1/128",
            "EMAILSYNC_ALLOWED_PORTS": "1-65535",
            "EMAILSYNC_LOG_LEVEL": "ERROR",
        }
        done = subprocess.run(  # noqa: S603  (our own program)
            [sys.executable, str(settings.BASE_DIR / "manage.py"), "selftest", "--journey"],
            env=kept | own,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    lines = (done.stdout + (done.stderr if done.returncode else "")).splitlines()
    told = [Told(**json.loads(line)) for line in lines if line.startswith("{")]
    return Travelled(done.returncode == 0, [line for line in lines if not line.startswith("{")], told)


def travel() -> Iterator[str]:
    """Make the journey here, and say of each part that it worked; then each condition as JSON.

    Raises NotArrived.
    """
    call_command("migrate", verbosity=0)
    folder = Path(settings.DATA_DIR)
    certificates = Authority(folder)
    with (
        ScriptedImap(certificate=certificates.server, implicit_tls=True) as inbox,
        PostOffice(certificate=certificates.server) as office,
    ):
        office.inbox = inbox
        mailbox = _mailbox(certificates, inbox, office)
        yield f"Test & Enable: both directions work, {_diagnose(mailbox)}"
        inbox.messages[max(inbox.messages, default=0) + 1] = LETTER
        yield _receive(mailbox)
        yield _send(mailbox, office)
        for told in conditions(mailbox, inbox):
            yield json.dumps(asdict(told))


def _mailbox(certificates: Authority, inbox: ScriptedImap, office: ScriptedSmtp) -> Mailbox:
    environment = Environment.objects.create(slug="selftest", name="Selftest")
    EmailSettings.objects.create(environment=environment)
    profile = ServerProfile.objects.create(
        environment=environment,
        name="Selftest",
        ca_certificates=certificates.pem,
        incoming_location="localhost",
        incoming_port=inbox.port,
        outgoing_location="localhost",
        outgoing_port=office.port,
        outgoing_security="starttls",
    )
    mailbox = Mailbox(
        environment=environment,
        name="Ann",
        address=ADDRESS,
        server_profile=profile,
        allow_credentials=True,
        user_name="ann",
        password="correct horse",  # noqa: S106  (for a server that takes any)
        track_incoming=TrackIncoming.ALL,
        address_status=AddressStatus.APPROVED,
    )
    editing.create(mailbox, by=None)
    Mailbox.objects.filter(pk=mailbox.pk).update(address_status=AddressStatus.APPROVED)
    return Mailbox.objects.get(pk=mailbox.pk)


def _diagnose(mailbox: Mailbox) -> str:
    chosen = Mailbox.objects.filter(pk=mailbox.pk)
    job = diagnosis.start(chosen, environment=mailbox.environment, by=None, now=timezone.now())
    diagnosing.run(Diagnosis.objects.get(job=job).pk)
    steps = DiagnosisStep.objects.filter(diagnosis__job=job)
    failed = steps.exclude(outcome=StepOutcome.SUCCESS).first()
    if failed is not None:
        raise NotArrived(f"Test & Enable failed. {failed.title}")
    return steps.order_by("position").last().title.lower()  # type: ignore[union-attr]  # there are steps


def _state(mailbox: Mailbox, direction: Direction) -> int:
    state = WorkerState.objects.get(mailbox=mailbox, direction=direction)
    if not state.is_enabled:
        raise NotArrived(f"{direction.label} is not enabled after a successful test.")
    WorkerState.objects.filter(pk=state.pk).update(due_at=timezone.now())
    return state.pk


def _receive(mailbox: Mailbox) -> str:
    syncing.run(_state(mailbox, Direction.INCOMING))
    if not Message.objects.filter(mailbox=mailbox, subject="A letter").exists():
        raise NotArrived("A letter on the server was not received.")
    return f"Receive: {Message.objects.filter(mailbox=mailbox).count()} messages are stored"


def _send(mailbox: Mailbox, office: ScriptedSmtp) -> str:
    draft = Draft(
        sender=Address("Ann", ADDRESS), to=(Address("", "ben@example.org"),), subject="Answer", text="Hi."
    )
    outgoing.queue(mailbox, draft, by=None, now=timezone.now())
    delivering.run(_state(mailbox, Direction.OUTGOING))
    if not OutgoingMessage.objects.filter(mailbox=mailbox, status=OutgoingStatus.SENT).exists():
        raise NotArrived("An email was not sent.")
    if not any(b"Subject: Answer" in body for body in office.bodies):
        raise NotArrived("An email counts as sent, but the server has not got it.")
    return "Send: the server has the email, once"
