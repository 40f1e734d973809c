"""A password that would sing wherever it appears: no log, file, row, page, command or exception holds it."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from emailsync.management.selftest.certificates import Authority
from emailsync.management.selftest.scripted import Peer
from emailsync.management.selftest.scripted_imap import ScriptedImap
from emailsync.management.selftest.scripted_smtp import ScriptedSmtp
from tests.installation import Installation
from tests.servers.authorization import AuthorizationServer

pytestmark = pytest.mark.servers

CANARY = "Kanarienvogel-4711-singt"
USERS = ("ana", "wrong", "plain", "service")
PATIENCE = 60.0
DESCRIPTION = """
environments:
  - slug: contoso
    name: Contoso
    server_profiles:
      - name: Good
        incoming_location: localhost
        incoming_port: {imap}
        outgoing_location: localhost
        outgoing_port: {smtp}
        ca_certificate_file: {authority}
        default: true
      - name: Refusing
        incoming_location: localhost
        incoming_port: {refusing}
        outgoing_location: localhost
        outgoing_port: {refusing_smtp}
        ca_certificate_file: {authority}
      - name: Untrusted
        incoming_location: localhost
        incoming_port: {imap}
        outgoing_location: localhost
        outgoing_port: {smtp}
        authentication_type: credentials_in_profile
        user_name: service
        password: {canary}
      - name: Tokens
        incoming_location: localhost
        incoming_port: {refusing}
        outgoing_location: localhost
        outgoing_port: {refusing_smtp}
        ca_certificate_file: {authority}
        authentication_type: oauth
        outgoing_authentication_type: oauth
        oauth_grant: client_credentials
        oauth_client_id: the-application
        oauth_client_secret: {canary}
        oauth_token_url: {provider}/token
        oauth_scopes: mail
    mailboxes:
      - {{address: ana@contoso.example, name: Ana, user_name: ana, password: {canary}, approved: true}}
      - {{address: wrong@contoso.example, name: Wrong, user_name: wrong, password: {canary},
          server_profile: Refusing, approved: true}}
      - {{address: plain@contoso.example, name: Plain, user_name: plain, server_profile: Untrusted,
          allow_credentials: false, approved: true}}
      - {{address: token@contoso.example, name: Token, server_account: token, server_profile: Tokens,
          outgoing: none, approved: true}}
"""
COMMANDS = """
from io import StringIO
from django.core.management import call_command
printed = StringIO()
call_command("export_emails", environment="contoso", mailbox="ana@contoso.example", stdout=printed)
call_command("dumpdata", stdout=printed)
call_command("collectstatic", interactive=False, stdout=printed)
result = printed.getvalue()
"""
PAGES = """
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from mailboxes.forms.mailbox import EditMailboxForm
from mailboxes.models import AlertTranscript, Mailbox, Job
from profiles.models import ServerProfile
client = Client(SERVER_NAME="localhost", raise_request_exception=False)
client.force_login(User.objects.create_superuser("olga", password="x"))
urls = [reverse("mailboxes:mailbox_list", args=["contoso"]), reverse("mailboxes:alert_list"),
        reverse("profiles:profile_list", args=["contoso"]), reverse("mailboxes:job_list", args=["contoso"])]
for mailbox in Mailbox.objects.all():
    for name in ("mailbox_detail", "mailbox_alerts", "mailbox_emails"):
        urls.append(reverse(f"mailboxes:{name}", args=["contoso", mailbox.pk]))
for profile in ServerProfile.objects.all():
    urls.append(reverse("profiles:profile_edit", args=["contoso", profile.pk]))
    urls.append(reverse("mailboxes:profile_alerts", args=["contoso", profile.pk]))
for job in Job.objects.all():
    urls.append(reverse("mailboxes:job_detail", args=["contoso", job.pk]))
spoken = list(AlertTranscript.objects.all())
assert any("•••" in each.text for each in spoken)
urls += [reverse("mailboxes:alert_transcript", args=[each.alert_id]) for each in spoken]
answers = [client.get(url) for url in urls]
statuses = [answer.status_code for answer in answers]
seen = [answer.content.decode() for answer in answers]
wrong = {"version": 1, "name": "", "address": "not an address", "user_name": "ana", "password": canary,
         "allow_credentials": "on"}
first = Mailbox.objects.first()
refused = [client.post(url, wrong | {"outgoing_password": canary}) for url in (
    reverse("mailboxes:mailbox_detail", args=["contoso", first.pk]),
    reverse("mailboxes:mailbox_create", args=["contoso"]),
    reverse("profiles:profile_create", args=["contoso"]))]
seen += [answer.content.decode() for answer in refused]
seen += [str(answer.headers) for answer in refused]
for row in [*Mailbox.objects.all(), *ServerProfile.objects.all()]:
    seen += [repr(row), str(row), repr(row.password), f"{row.password}", repr(row.__dict__)]
olga = User.objects.get()
form = EditMailboxForm(data=wrong, instance=first, by=olga, credentials_locked=False)
seen += [repr(form), str(form["password"]), str(form.errors), form.errors.as_json()]
try:
    Mailbox.objects.update(password=canary)
except TypeError as error:
    seen.append(str(error))
result = {"statuses": statuses, "refused": [answer.status_code for answer in refused], "seen": seen}
"""
SEND = """
from django.utils import timezone
from emailsync.mail.composing import Draft
from emailsync.mail.parsing import Address
from mailboxes.models import Mailbox
from mailboxes.services import outgoing
box = Mailbox.objects.get(name="Ana")
people = {"sender": Address("", box.address), "to": (Address("", "ben@example.org"),)}
draft = Draft(subject="Hello", text="Hi.", **people)
outgoing.queue(box, draft, by=None, now=timezone.now())
"""


def written(text: str) -> str:
    """Write a text as SASL does."""
    return base64.b64encode(text.encode()).decode()


def songs() -> list[bytes]:
    """Return every form in which the password can travel."""
    sasl = [f"\0{user}\0{CANARY}" for user in USERS]
    return [CANARY.encode(), *(written(text).rstrip("=").encode() for text in (CANARY, *sasl, BEARER))]


def sings(content: bytes | str) -> bool:
    """Say whether the canary is in there."""
    raw = content.encode() if isinstance(content, str) else content
    return any(song in raw for song in songs())


#: The canary as an access token, as XOAUTH2 carries it.
BEARER = f"user=token\x01auth=Bearer {CANARY}\x01\x01"
ECHO = " and ".join([CANARY, written(CANARY), written(f"\0wrong\0{CANARY}")]).encode()
ECHO_OF_TOKEN = " and ".join([CANARY, written(CANARY), written(BEARER)]).encode()


def parrot(peer: Peer, tag: bytes, rest: bytes) -> None:
    """Refuse a sign-in and repeat what was heard in every form."""
    said = ECHO_OF_TOKEN if rest.startswith(b"XOAUTH2") else ECHO
    peer.send(tag + b" NO [AUTHENTICATIONFAILED] you said " + said + b"\r\n")


@pytest.fixture
def installation(
    tmp_path: Path, tables: Path, certificates: Authority, authorization: AuthorizationServer
) -> Iterator[Installation]:
    """Give an installation with a mailbox that works, one that is refused and one that trusts nobody."""
    mail = {1: b"Subject: One\r\n\r\nHello.\r\n"}
    with (
        ScriptedImap(mail, certificate=certificates.server, implicit_tls=True) as imap,
        ScriptedSmtp(certificate=certificates.server, implicit_tls=True) as smtp,
        ScriptedImap(certificate=certificates.server, implicit_tls=True) as refusing,
        ScriptedSmtp(certificate=certificates.server, implicit_tls=True) as refusing_smtp,
    ):
        refusing.capabilities += b" AUTH=XOAUTH2"
        authorization.instead = (200, json.dumps({"access_token": CANARY, "token_type": "Bearer"}))
        refusing.on("AUTHENTICATE", parrot)
        refusing_smtp.replies["AUTH"] = b"535 5.7.8 you said " + ECHO
        installation = Installation(
            tmp_path / "data",
            environment={"EMAILSYNC_LOG_LEVEL": "DEBUG", "EMAILSYNC_POLL_INTERVAL": "1"},
            tables=tables,
        )
        description = tmp_path / "contoso.yaml"
        description.write_text(
            DESCRIPTION.format(
                imap=imap.port,
                smtp=smtp.port,
                refusing=refusing.port,
                refusing_smtp=refusing_smtp.port,
                authority=certificates.file,
                canary=CANARY,
                provider=authorization.url,
            )
        )
        assert not sings(installation.manage("provision", str(description)))
        yield installation


def test_a_password_appears_nowhere(installation: Installation) -> None:
    with installation.worker("--loglevel=DEBUG") as worker:
        printed = installation.manage("diagnose", "--environment", "contoso")
        done = "SELECT count(*) FROM mailboxes_diagnosis WHERE state = 'done'"
        installation.wait_until(done, equals=4, seconds=PATIENCE)
        installation.python(SEND)
        sent = "SELECT count(*) FROM mailboxes_outgoingmessage WHERE status = 'sent'"
        installation.wait_until(sent, equals=1, seconds=PATIENCE)
        installation.wait_until("SELECT count(*) FROM mailboxes_message", equals=1, seconds=PATIENCE)
        log = worker.log
    failures = "SELECT DISTINCT error_code FROM mailboxes_diagnosisstep WHERE outcome = 'failure'"
    assert {code for (code,) in installation.sql(failures)} == {
        "login_refused",
        "token_refused",
        "certificate_unknown_authority",
    }
    printed += installation.python(COMMANDS)
    assert "Hello." in printed
    assert not sings(printed)
    found = installation.python(PAGES, canary=CANARY)
    assert set(found["statuses"]) == {200}
    assert set(found["refused"]) == {422}
    assert [text[:200] for text in found["seen"] if sings(text)] == []
    assert "DEBUG" in log.read_text()
    assert [
        path for path in installation.folder.rglob("*") if path.is_file() and sings(path.read_bytes())
    ] == []
