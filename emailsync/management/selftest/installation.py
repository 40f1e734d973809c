"""What emailsync itself finds standing in the way, on a mailbox of the throw-away database of the journey.

Nothing here is a failure of a mail server: the checklist before each run and each test, the brake, a secret
that does not open, a full disk. Each is made to happen and undone again.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from emailsync.mail.errors import MailError, OutcomeClass
from emailsync.mail.trial import Outcome, Step
from emailsync.management.selftest.scripted import Peer
from emailsync.management.selftest.scripted_imap import ScriptedImap, refuse
from mailboxes.choices import AddressStatus, Direction
from mailboxes.engine import connecting, diagnosing, eligibility, reading
from mailboxes.models import (
    Diagnosis,
    DiagnosisStep,
    FolderCursor,
    Mailbox,
    OAuthToken,
    SignInBrake,
    SyncClaim,
)
from mailboxes.services import diagnosis
from profiles.choices import AuthenticationType, IncomingMethod, OAuthGrant
from profiles.models import Environment, ServerProfile
from profiles.oauth import client_key

LARGE = b"From: ben@example.org\r\nSubject: Large\r\n\r\n" + b"0123456789\r\n" * 200_000
#: What the checklist finds: the condition, its code, and what is changed of mailbox and profile.
CHECKLIST: tuple[tuple[str, str, Mapping[str, object], Mapping[str, object]], ...] = (
    ("Method None", "method_none", {"incoming": IncomingMethod.NONE}, {}),
    ("Mailbox inactive", "mailbox_inactive", {"is_active": False}, {}),
    ("No server profile", "profile_missing", {"server_profile": None}, {}),
    ("Server profile inactive", "profile_inactive", {}, {"is_active": False}),
    ("Location or port missing", "location_missing", {}, {"incoming_port": None}),
    ("Credentials not allowed", "credentials_not_allowed", {"allow_credentials": False}, {}),
    ("No user name or password", "credentials_missing", {"user_name": ""}, {}),
    ("Not connected (OAuth)", "oauth_not_connected", {}, {"authentication_type": AuthenticationType.OAUTH}),
    (
        "No forward mailbox that works",
        "forward_mailbox_missing",
        {"incoming": IncomingMethod.FORWARD_MAILBOX},
        {},
    ),
    ("Address not approved", "not_approved", {"address_status": AddressStatus.PENDING}, {}),
)


@dataclass(frozen=True)
class Told:
    """What the console says of one condition."""

    failure: str
    #: The code that must be found, and the one that was.
    expected: str
    code: str
    sentence: str
    remedy: str
    outcome_class: str = OutcomeClass.CONFIGURATION.value

    @property
    def is_expected(self) -> bool:
        """Say whether it is what it should say."""
        return self.code == self.expected


def conditions(mailbox: Mailbox, inbox: ScriptedImap) -> Iterator[Told]:
    """Let each condition happen to a mailbox that works, on a server that does."""
    for failure, code, of_mailbox, of_profile in CHECKLIST:
        with _undone():
            Mailbox.objects.filter(pk=mailbox.pk).update(**of_mailbox)
            ServerProfile.objects.update(**of_profile)
            told = _by_checklist(failure, code, mailbox)
        yield told
    yield _taken_over(mailbox)
    yield _withdrawn(mailbox)
    yield _unreadable(mailbox)
    yield _given_up(mailbox)
    yield _changed(mailbox, inbox)
    yield _renumbered(mailbox, inbox)
    yield _without_room(mailbox, inbox)
    yield _braked(mailbox, inbox)


@contextmanager
def _undone() -> Iterator[None]:
    """Take back what is written inside."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def _again(mailbox: Mailbox) -> Mailbox:
    return Mailbox.objects.select_related("server_profile", "environment").get(pk=mailbox.pk)


def _by_checklist(failure: str, code: str, mailbox: Mailbox) -> Told:
    first, *_others = eligibility.blockers(_again(mailbox), Direction.INCOMING)
    return Told(failure, code, first.code, first.sentence, first.remedy)


def _by_error(failure: str, code: str, error: MailError) -> Told:
    return Told(failure, code, error.code, str(error), str(error.remedy), error.outcome_class.value)


def _by_test(failure: str, code: str, mailbox: Mailbox) -> Told:
    steps = list(diagnosing.steps_of(_again(mailbox), Direction.INCOMING, takes_over=False))
    return _by_step(failure, code, next(step for step in steps if step.outcome is Outcome.FAILURE))


def _by_step(failure: str, code: str, step: Step) -> Told:
    return Told(failure, code, step.error_code, step.title, step.remedy, step.outcome_class.value)


def _taken_over(mailbox: Mailbox) -> Told:
    with _undone():
        other = Environment.objects.create(slug="other", name="Other")
        theirs = Mailbox.objects.create(environment=other, name="Ann", address=mailbox.address)
        SyncClaim.objects.update(environment=other, mailbox=theirs)
        return _by_checklist("Synchronized by another environment", "claimed_elsewhere", mailbox)


def _withdrawn(mailbox: Mailbox) -> Told:
    with _undone():
        ServerProfile.objects.update(
            authentication_type=AuthenticationType.OAUTH, oauth_grant=OAuthGrant.AUTHORIZATION_CODE
        )
        profile = ServerProfile.objects.get()
        OAuthToken.objects.create(
            mailbox=mailbox, client_key=client_key(profile), refusal="The provider said no."
        )
        return _by_checklist("Permission withdrawn (OAuth)", "oauth_expired", mailbox)


def _unreadable(mailbox: Mailbox) -> Told:
    with _undone():
        with connection.cursor() as cursor:
            # Cut short: what a restored database looks like beside other keys.
            cursor.execute("UPDATE mailboxes_mailbox SET password = SUBSTR(password, 1, 40)")
        return _by_test("Stored password does not open", "credential_unreadable", mailbox)


def _given_up(mailbox: Mailbox) -> Told:
    told = _by_job("Test broken off again and again", "broken_off", mailbox, attempts=diagnosing.ATTEMPTS)
    return replace(told, outcome_class=OutcomeClass.TRANSIENT.value)


def _changed(mailbox: Mailbox, inbox: ScriptedImap) -> Told:
    def change(peer: Peer, tag: bytes, rest: bytes) -> None:
        Mailbox.objects.filter(pk=mailbox.pk).update(user_name="ann2")
        connection.close()
        inbox._do_examine(peer, tag, rest)  # noqa: SLF001  (it goes on as it does otherwise)

    inbox.on("EXAMINE", change)
    told = _by_job("Changed while it was tested", "changed_meanwhile", mailbox)
    inbox.forget("EXAMINE")
    return told


def _by_job(failure: str, code: str, mailbox: Mailbox, **begun: int) -> Told:
    chosen = Mailbox.objects.filter(pk=mailbox.pk)
    job = diagnosis.start(chosen, environment=mailbox.environment, by=None, now=timezone.now())
    Diagnosis.objects.filter(job=job).update(**begun)
    diagnosing.run(Diagnosis.objects.get(job=job).pk)
    steps = DiagnosisStep.objects.filter(diagnosis__job=job, direction=Direction.INCOMING)
    failed = steps.exclude(error_code="").get()
    return Told(failure, code, failed.error_code, failed.title, failed.remedy)


def _renumbered(mailbox: Mailbox, inbox: ScriptedImap) -> Told:
    cursor = FolderCursor(mailbox=mailbox, uidvalidity=inbox.uidvalidity + 1)
    with connecting.open_incoming(_again(mailbox), seconds=connecting.PROBE_SECONDS) as client:
        assert client.folders is not None
        try:
            reading.open_inbox(client.folders, cursor, read_only=True)
        except MailError as error:
            return _by_error("Folder renumbered meanwhile", "folder_renumbered", error)
    raise AssertionError("A folder with other numbers was taken for the same.")


def _without_room(mailbox: Mailbox, inbox: ScriptedImap) -> Told:
    inbox.messages = {1: LARGE}
    usual, tempfile.tempdir = tempfile.tempdir, str(Path(settings.DATA_DIR) / "no-such-folder")
    try:
        with connecting.open_incoming(_again(mailbox), seconds=connecting.PROBE_SECONDS) as client:
            assert client.folders is not None
            client.folders.open_folder()
            list(client.fetch(client.describe([1])))
    except MailError as error:
        return _by_error("No room for temporary files", "spool_failed", error)
    finally:
        tempfile.tempdir = usual
    raise AssertionError("A large message was held without a file.")


def _braked(mailbox: Mailbox, inbox: ScriptedImap) -> Told:
    inbox.on("AUTHENTICATE", refuse(b"[AUTHENTICATIONFAILED] Authentication failed."))
    failure, code = "Too many refused sign-ins at one host", "sign_ins_paused"
    for _attempt in range(settings.BRAKE_REFUSALS):
        _by_test(failure, code, mailbox)
    inbox.forget("AUTHENTICATE")
    # The page of faults is to say the same whenever it is written.
    SignInBrake.objects.update(next_try_on=datetime(2099, 1, 1, 12, tzinfo=UTC))
    return _by_test(failure, code, mailbox)
