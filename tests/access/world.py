"""Two environments that know nothing of each other, and a person of every kind.

Names are chosen to be found: a page that says "Heron" tells of a mailbox, one that says "Sapphire" of its
email. They are long: one of four letters turns up in a random token now and then. The environment's address
("place-one") is no secret; its name is.
"""

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from mailboxes.choices import AddressStatus, OutgoingStatus, RunState, StepOutcome
from mailboxes.engine import switching
from mailboxes.models import (
    Alert,
    AlertTranscript,
    Attachment,
    Diagnosis,
    Job,
    Mailbox,
    Message,
    OutgoingMessage,
    RawMessage,
    Recipient,
)
from profiles.choices import Role
from profiles.models import EmailSettings, Environment, Membership, ServerProfile

#: Pages write out the day of what is older; that would be read as words nobody has translated.
NOW = timezone.now()
SLUG, ELSEWHERE = "place-one", "place-two"
RAW = b"""\
From: Wren <wren@outside.example>
To: %(address)s
Subject: %(word)s subject
Message-ID: <%(word)s@outside.example>
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/html; charset=utf-8

<p>%(word)s body</p>
--b
Content-Type: text/plain; name="%(word)s.txt"
Content-Disposition: attachment; filename="%(word)s.txt"

%(word)s file
--b--
"""
#: Who has which memberships in the first environment.
PEOPLE: Mapping[str, tuple[dict[str, object], ...]] = {
    "administrator": ({"role": Role.SYSTEM_ADMINISTRATOR},),
    "reading administrator": ({"role": Role.SYSTEM_ADMINISTRATOR, "may_read_email": True},),
    "customizer": ({"role": Role.SYSTEM_CUSTOMIZER},),
    "mailbox administrator": ({"role": Role.MAILBOX_ADMINISTRATOR},),
    "mailbox reader": ({"role": Role.MAILBOX_ADMINISTRATOR, "may_write_mailboxes": False},),
    "mailbox writer": ({"role": Role.MAILBOX_ADMINISTRATOR, "may_read_mailboxes": False},),
    "reading mailbox administrator": ({"role": Role.MAILBOX_ADMINISTRATOR, "may_read_email": True},),
    "approver": ({"role": Role.EMAIL_APPROVER},),
    "auditor": ({"role": Role.AUDITOR, "may_read_email": True},),  # the switch does not count for auditors
    "owner": ({"role": Role.MEMBER},),
    "member": ({"role": Role.MEMBER},),
}
SIGNED_IN = ("superuser", *PEOPLE, "stranger")
EVERYBODY = (*SIGNED_IN, "anonymous")


@dataclass(frozen=True)
class Place:
    """What there is of everything in one environment, for the addresses that name one."""

    environment: Environment
    profile: ServerProfile
    spare: ServerProfile
    owned: Mailbox
    other: Mailbox
    received: Mapping[str, Message]
    sent: Mapping[str, OutgoingMessage]
    job: Job
    own_alert: Alert
    other_alert: Alert
    gathered: Alert


@dataclass(frozen=True)
class World:
    """Everybody and everything."""

    people: Mapping[str, User]
    sessions: Mapping[str, str]
    here: Place
    there: Place

    def browser(self, role: str) -> Client:
        """Return a browser in which somebody of this kind is signed in."""
        client = Client(SERVER_NAME="localhost", raise_request_exception=True)
        if role in self.sessions:
            client.cookies[settings.SESSION_COOKIE_NAME] = self.sessions[role]
        return client


def build() -> World:
    """Write both environments and everybody."""
    people = {"superuser": User.objects.create_superuser("root", "root@outside.example")}
    for role in (*PEOPLE, "stranger"):
        name = role.replace(" ", ".")
        people[role] = User.objects.create_user(name, f"{name}@outside.example")
    here = _place(
        SLUG, "Lighthouse", "Osprey", ("Kestrel", "Amethyst"), ("Heron", "Sapphire"), people["owner"]
    )
    there = _place(
        ELSEWHERE, "Harbour", "Zircon", ("Magpie", "Tourmaline"), ("Raven", "Topaz"), people["stranger"]
    )
    for role, memberships in PEOPLE.items():
        for columns in memberships:
            Membership.objects.create(environment=here.environment, user=people[role], **columns)
    Membership.objects.create(environment=there.environment, user=people["stranger"], role=Role.MEMBER)
    sessions = {}
    for role, person in people.items():
        client = Client()
        client.force_login(person)
        sessions[role] = client.cookies[settings.SESSION_COOKIE_NAME].value
    return World(people, sessions, here, there)


def _place(
    slug: str, name: str, profile_name: str, own: tuple[str, str], other: tuple[str, str], owner: User
) -> Place:
    environment = Environment.objects.create(slug=slug, name=name)
    EmailSettings.objects.create(environment=environment, notify_mailbox_owner=True)
    profile, spare = (
        ServerProfile.objects.create(
            environment=environment,
            name=title,
            incoming_location=f"imap.{title.lower()}.example",
            incoming_port=993,
            outgoing_location=f"smtp.{title.lower()}.example",
            outgoing_port=465,
        )
        for title in (profile_name, f"{profile_name} spare")
    )
    owned = _mailbox(profile, own[0], owner=owner)
    unowned = _mailbox(profile, other[0], owner=None)
    job = Job.objects.create(
        environment=environment,
        created_on=NOW,
        finished_on=NOW,
        state=RunState.DONE,
        total=2,
        done=2,
        failed=2,
    )
    for position, mailbox in enumerate((owned, unowned)):
        Diagnosis.objects.create(
            job=job,
            mailbox=mailbox,
            position=position,
            state=RunState.DONE,
            incoming=StepOutcome.FAILURE,
            outgoing=StepOutcome.FAILURE,
            started_on=NOW,
            finished_on=NOW,
        )
    return Place(
        environment=environment,
        profile=profile,
        spare=spare,
        owned=owned,
        other=unowned,
        received={"owned": _received(owned, own[1]), "other": _received(unowned, other[1])},
        sent={"owned": _sent(owned, own[1]), "other": _sent(unowned, other[1])},
        job=job,
        own_alert=_alert(owned, own[1]),
        other_alert=_alert(unowned, other[1]),
        gathered=_gathered(owned, unowned),
    )


def _mailbox(profile: ServerProfile, name: str, *, owner: User | None) -> Mailbox:
    mailbox = Mailbox.objects.create(
        environment=profile.environment,
        name=name,
        address=f"{name.lower()}@{profile.name.lower()}.example",
        kind="queue",
        owner=owner,
        server_profile=profile,
        address_status=AddressStatus.APPROVED,
    )
    switching.write_states([mailbox])
    return mailbox


def _received(mailbox: Mailbox, word: str) -> Message:
    raw = RAW % {b"word": word.encode(), b"address": mailbox.address.encode()}
    message = Message.objects.create(
        mailbox=mailbox,
        environment=mailbox.environment,
        uidvalidity=1,
        uid=1,
        message_id=f"<{word}@outside.example>",
        subject=f"{word} subject",
        from_name="Wren",
        from_address="wren@outside.example",
        received_at=NOW,
        stored_on=NOW,
        size=len(raw),
        sha256=hashlib.sha256(raw).hexdigest(),
        preview=f"{word} body",
        has_html=True,
        attachment_count=1,
        conversation=uuid.uuid4(),
    )
    RawMessage.objects.create(message=message, content=raw)
    Recipient.objects.create(message=message, kind="to", position=0, address=mailbox.address)
    Attachment.objects.create(
        message=message,
        position=0,
        filename=f"{word}.txt",
        content_type="text/plain",
        size=10,
        sha256="0" * 64,
    )
    return message


def _sent(mailbox: Mailbox, word: str) -> OutgoingMessage:
    content = RAW % {b"word": word.encode(), b"address": b"wren@outside.example"}
    return OutgoingMessage.objects.create(
        mailbox=mailbox,
        environment=mailbox.environment,
        message_id=f"<{word}@inside.example>",
        subject=f"{word} answer",
        to=["Wren <wren@outside.example>"],
        recipients=["wren@outside.example"],
        preview=f"{word} answer body",
        content=content,
        size=len(content),
        attachment_count=1,
        created_on=NOW,
        status=OutgoingStatus.FAILED,
        error="The server refused it.",
    )


def _alert(mailbox: Mailbox, word: str) -> Alert:
    alert = Alert.objects.create(
        environment=mailbox.environment,
        mailbox=mailbox,
        kind="email_failed",
        level="error",
        parameters={
            "mailbox": mailbox.name,
            "address": mailbox.address,
            "profile": "its profile",
            "profile_id": str(mailbox.server_profile_id),
            "cause": "The server refused it.",
            "remedy": "Send it again.",
            "subject": f"{word} answer",
        },
        key=f"email_failed:{mailbox.pk}",
        first_seen_on=NOW,
        last_seen_on=NOW,
    )
    AlertTranscript.objects.create(alert=alert, text="S: 550 No.", recorded_on=NOW)
    return alert


def _gathered(*mailboxes: Mailbox) -> Alert:
    """Return an alert of the profile that speaks for those of its mailboxes."""
    profile = mailboxes[0].server_profile
    assert profile is not None
    columns = {
        "environment": profile.environment,
        "server_profile": profile,
        "kind": "profile_failing",
        "level": "error",
        "parameters": {"profile": profile.name, "cause": "Nobody answers.", "remedy": "Wait."},
        "first_seen_on": NOW,
        "last_seen_on": NOW,
    }
    parent = Alert.objects.create(key=f"profile_failing:{profile.pk}", **columns)
    for mailbox in mailboxes:
        key = f"incoming_stopped:{mailbox.pk}"
        child = {**columns, "kind": "incoming_stopped", "mailbox": mailbox, "is_folded": True, "key": key}
        child["parameters"] = {**parent.parameters, "mailbox": mailbox.name}
        Alert.objects.create(parent=parent, **child)
    return parent
