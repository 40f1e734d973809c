"""A mailbox on the private servers, approved and enabled, and a clock's turn for it."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from emailsync.management.selftest.certificates import Authority
from emailsync.management.selftest.scripted_imap import ScriptedImap
from emailsync.management.selftest.scripted_smtp import ScriptedSmtp
from mailboxes.choices import AddressStatus, Direction, MailboxKind
from mailboxes.engine import delivering, reading, scheduling, syncing
from mailboxes.models import Mailbox, WorkerState
from mailboxes.services import editing
from profiles.choices import Role
from profiles.models import EmailSettings, Environment, Membership, ServerProfile
from tests.conftest import Account
from tests.servers.dovecot import Dovecot
from tests.servers.postfix import Postfix

pytestmark = pytest.mark.servers


@pytest.fixture(autouse=True)
def no_heart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Renew no lease from a thread beside a test: it would find no database between two of them."""
    monkeypatch.setattr(scheduling._heart, "hold", lambda _lease: None)


@pytest.fixture
def now() -> datetime:
    """Give the present moment."""
    return timezone.now()


@pytest.fixture
def owner(django_user_model: type[User], environment: Environment) -> User:
    """Give somebody of the environment who owns mailboxes and profiles."""
    owner = django_user_model.objects.create_user("olga", "olga@example.org", "a password of hers")
    Membership.objects.create(environment=environment, user=owner, role=Role.MEMBER)
    return owner


@pytest.fixture
def environment(db: None) -> Environment:
    """Give an environment with its email settings."""
    environment = Environment.objects.create(slug="contoso", name="Contoso")
    EmailSettings.objects.create(environment=environment)
    return environment


@pytest.fixture
def profile(
    environment: Environment, owner: User, dovecot: Dovecot, postfix: Postfix, certificates: Authority
) -> ServerProfile:
    """Give a profile of the private servers."""
    return ServerProfile.objects.create(
        environment=environment,
        name="Real servers",
        owner=owner,
        ca_certificates=certificates.pem,
        incoming_location="localhost",
        incoming_port=dovecot.ports.imaps,
        outgoing_location="localhost",
        outgoing_port=postfix.ports.smtps,
    )


@pytest.fixture
def mailbox(profile: ServerProfile, owner: User, account: Account, now: datetime) -> Mailbox:
    """Give an approved mailbox with the right password, enabled in both directions."""
    mailbox = Mailbox(
        environment=profile.environment,
        name="Ana Bowman",
        address=account.address,
        kind=MailboxKind.USER,
        owner=owner,
        server_profile=profile,
        allow_credentials=True,
        user_name=account.user_name,
        password=account.password,
    )
    editing.create(mailbox, by=None)
    Mailbox.objects.filter(pk=mailbox.pk).update(address_status=AddressStatus.APPROVED, approved_on=now)
    WorkerState.objects.filter(mailbox=mailbox).update(is_enabled=True, due_at=now)
    return Mailbox.objects.get(pk=mailbox.pk)


@pytest.fixture
def receive() -> Callable[[Mailbox], WorkerState]:
    """Give a function that does the incoming work of a mailbox as a worker would, due or not."""

    def run(mailbox: Mailbox) -> WorkerState:
        state = WorkerState.objects.get(mailbox=mailbox, direction=Direction.INCOMING)
        WorkerState.objects.filter(pk=state.pk).update(due_at=timezone.now())
        syncing.run(state.pk)
        return WorkerState.objects.get(pk=state.pk)

    return run


@pytest.fixture
def send() -> Callable[[Mailbox], WorkerState]:
    """Give a function that does the outgoing work of a mailbox as a worker would, due or not."""

    def run(mailbox: Mailbox) -> WorkerState:
        state = WorkerState.objects.get(mailbox=mailbox, direction=Direction.OUTGOING)
        WorkerState.objects.filter(pk=state.pk).update(due_at=timezone.now())
        delivering.run(state.pk)
        return WorkerState.objects.get(pk=state.pk)

    return run


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    """Give a function that moves on the clock by which a run sees that it has taken long enough."""
    gone = timedelta()

    def move(duration: timedelta) -> None:
        nonlocal gone
        gone += duration

    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + gone.total_seconds())
    for module in (syncing, reading, delivering):
        monkeypatch.setattr(module, "time", clock)
    return move


@pytest.fixture
def imap(certificates: Authority) -> Iterator[ScriptedImap]:
    """Give an IMAP server that behaves until it is told not to."""
    with ScriptedImap(certificate=certificates.server, implicit_tls=True) as server:
        yield server


@pytest.fixture
def smtp(certificates: Authority) -> Iterator[ScriptedSmtp]:
    """Give an SMTP server that behaves until it is told not to."""
    with ScriptedSmtp(certificate=certificates.server, implicit_tls=True) as server:
        yield server


@pytest.fixture
def box(
    environment: Environment,
    owner: User,
    imap: ScriptedImap,
    smtp: ScriptedSmtp,
    certificates: Authority,
    now: datetime,
) -> Mailbox:
    """Give an approved and enabled mailbox on the scripted servers."""
    profile = ServerProfile.objects.create(
        environment=environment,
        name="Scripted servers",
        owner=owner,
        ca_certificates=certificates.pem,
        incoming_location="localhost",
        incoming_port=imap.port,
        outgoing_location="localhost",
        outgoing_port=smtp.port,
        timeout_enabled=True,
        timeout_ms=10_000,
        alert_owner_on_major_events=False,
    )
    box = Mailbox(
        environment=environment,
        name="Ana Bowman",
        address="ana@example.org",
        owner=owner,
        server_profile=profile,
        allow_credentials=True,
        user_name="ana",
        password="a password",
    )
    editing.create(box, by=None)
    Mailbox.objects.filter(pk=box.pk).update(address_status=AddressStatus.APPROVED, approved_on=now)
    WorkerState.objects.filter(mailbox=box).update(is_enabled=True, due_at=now)
    return Mailbox.objects.get(pk=box.pk)
