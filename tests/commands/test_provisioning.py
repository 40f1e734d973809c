"""An installation described as a file."""

from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from emailsync.mail.endpoint import NetworkPolicy, parse_ports
from emailsync.management.selftest.certificates import Authority
from mailboxes.choices import AddressStatus, ResultStatus
from mailboxes.models import Mailbox, WorkerState
from profiles.models import EmailSettings, Environment, ServerProfile

pytestmark = pytest.mark.django_db

EXAMPLE = """\
environments:
  - slug: contoso
    name: Contoso
    kind: production
    email_settings:
      server_profile: Contoso mail
      incoming: server_side_synchronization
      outgoing: server_side_synchronization
      process_only_approved_users: true
      process_only_approved_queues: true
    server_profiles:
      - name: Contoso mail
        server_type: other
        incoming_protocol: imap
        incoming_location: imap.contoso.example
        incoming_port: 993
        incoming_security: tls
        outgoing_location: smtp.contoso.example
        outgoing_port: 465
        outgoing_security: tls
        authentication_type: credentials_by_user_or_queue
        ca_certificate_file: null
        process_email_from: 2026-01-01T00:00:00Z
        minimum_polling_interval: 0
        maximum_concurrent_connections: 10
        default: true
      - name: One account for all
        server_type: other
        incoming_protocol: imap
        incoming_location: imap.contoso.example
        outgoing_location: smtp.contoso.example
        authentication_type: credentials_in_profile
        impersonation: sasl_authorization_identity
        user_name: sync-service
        password_env: SYNC_SERVICE_PASSWORD
        use_same_settings_for_outgoing: true
    mailboxes:
      - address: ana@contoso.example
        name: Ana Bowman
        kind: user
        server_profile: Contoso mail
        incoming: server_side_synchronization
        outgoing: server_side_synchronization
        user_name: ana
        password: never-in-real-files
        approved: true
      - address: support@contoso.example
        name: Support
        kind: queue
        server_profile: Contoso mail
        incoming: server_side_synchronization
        outgoing: server_side_synchronization
        user_name: support
        password_env: SUPPORT_PASSWORD
        approved: false
        delete_after_processing: false
"""


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    """Set the passwords that the example names, and allow the usual ports only."""
    settings.NETWORK_POLICY = NetworkPolicy(allowed_ports=parse_ports("80,443,465,587,993,995"))
    monkeypatch.setenv("SYNC_SERVICE_PASSWORD", "correct horse")
    monkeypatch.setenv("SUPPORT_PASSWORD", "battery staple")


class Provisioner:
    """Applies texts as files."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.path = folder / "installation.yaml"
        self._capsys = capsys

    def apply(self, text: str = EXAMPLE, *options: str) -> str:
        """Apply the text and return what was printed."""
        self.path.write_text(text, encoding="utf-8")
        self._capsys.readouterr()
        call_command("provision", str(self.path), *options)
        return self._capsys.readouterr().out

    def complaints(self, text: str) -> str:
        """Apply a text that must be refused, and return the complaints without the path."""
        with pytest.raises(CommandError) as refused:
            self.apply(text)
        return str(refused.value).replace(f"{self.path}:", "")


@pytest.fixture
def provision(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Provisioner:
    """Give something that applies texts."""
    return Provisioner(tmp_path, capsys)


def test_everything_the_file_describes_is_there(provision: Provisioner) -> None:
    """One run makes an installation."""
    provision.apply()

    profile = ServerProfile.objects.get(name="Contoso mail")
    assert Environment.objects.get().slug == "contoso"
    assert (profile.incoming_port, profile.outgoing_port, profile.is_default) == (993, 465, True)
    assert EmailSettings.objects.get().process_only_approved_queues
    assert list(Mailbox.objects.values_list("address", "address_status")) == [
        ("ana@contoso.example", AddressStatus.APPROVED),
        ("support@contoso.example", AddressStatus.PENDING),
    ]


def test_ports_that_are_left_out_follow_protocol_and_security(provision: Provisioner) -> None:
    """IMAP and SMTP over TLS."""
    provision.apply()

    profile = ServerProfile.objects.get(name="One account for all")
    assert (profile.incoming_port, profile.outgoing_port) == (993, 465)


def test_a_profile_may_read_over_pop3(provision: Provisioner) -> None:
    """Its port follows the protocol."""
    profile = "- name: One account for all\n        server_type: other\n        incoming_protocol: "
    provision.apply(EXAMPLE.replace(f"{profile}imap", f"{profile}pop3"))

    made = ServerProfile.objects.get(name="One account for all")
    assert (made.incoming_protocol, made.incoming_port) == ("pop3", 995)


def test_a_second_run_changes_nothing_and_says_so(provision: Provisioner) -> None:
    """Not even a version number moves."""
    provision.apply()
    before = list(Mailbox.objects.values()) + list(ServerProfile.objects.values())

    said = provision.apply()

    assert said == "Everything is as described (6 records); nothing was changed.\n"
    assert list(Mailbox.objects.values()) + list(ServerProfile.objects.values()) == before


def test_passwords_come_from_the_file_and_from_variables(provision: Provisioner) -> None:
    """Both ways end in the same field."""
    provision.apply()

    ana, support = Mailbox.objects.order_by("address")
    assert (ana.password.reveal(), support.password.reveal()) == ("never-in-real-files", "battery staple")


def test_passwords_are_never_printed(provision: Provisioner) -> None:
    """Neither when created nor when changed."""
    said = provision.apply() + provision.apply(EXAMPLE.replace("never-in-real-files", "another one"))

    assert "Updated mailbox ana@contoso.example: password." in said
    assert "never-in-real-files" not in said
    assert "another one" not in said


def test_a_user_name_means_credentials_of_its_own(provision: Provisioner) -> None:
    """The console has a box to tick for that."""
    provision.apply()

    assert Mailbox.objects.get(user_name="ana").allow_credentials


def test_only_what_the_file_names_is_touched(provision: Provisioner) -> None:
    """A key that is left out keeps what somebody chose in the console."""
    provision.apply()
    Mailbox.objects.filter(user_name="ana").update(notes="Speaks Danish.")

    provision.apply(EXAMPLE.replace("name: Ana Bowman", "name: Ana B. Bowman"))

    ana = Mailbox.objects.get(user_name="ana")
    assert (ana.name, ana.notes) == ("Ana B. Bowman", "Speaks Danish.")


def test_an_address_in_other_letters_is_the_same_mailbox(provision: Provisioner) -> None:
    """It is updated, not doubled."""
    provision.apply()

    provision.apply(EXAMPLE.replace("ana@contoso.example", "Ana@contoso.example"))

    assert Mailbox.objects.count() == 2


def test_a_changed_connection_must_be_tested_again(provision: Provisioner) -> None:
    """The rules of the console hold for files."""
    provision.apply()
    WorkerState.objects.update(status=ResultStatus.SUCCESS, is_enabled=True)

    provision.apply(EXAMPLE.replace("user_name: ana", "user_name: ana.bowman"))

    states = WorkerState.objects.filter(mailbox__user_name="ana.bowman")
    assert set(states.values_list("status", "is_enabled")) == {(ResultStatus.NOT_RUN, False)}


def test_approval_given_in_the_console_stays(provision: Provisioner) -> None:
    """`approved: false` leaves the decision to people."""
    provision.apply()
    Mailbox.objects.filter(kind="queue").update(address_status=AddressStatus.APPROVED)

    provision.apply()

    assert Mailbox.objects.get(kind="queue").address_status == AddressStatus.APPROVED


def test_the_default_profile_moves(provision: Provisioner) -> None:
    """There is one default at any time."""
    provision.apply()

    provision.apply(
        EXAMPLE.replace(
            "server_profile: Contoso mail\n      incoming",
            "server_profile: One account for all\n      incoming",
        ).replace("        default: true\n", "")
    )

    assert list(ServerProfile.objects.filter(is_default=True).values_list("name", flat=True)) == [
        "One account for all"
    ]


def test_certificates_are_read_beside_the_file(
    provision: Provisioner, tmp_path: Path, certificates: Authority
) -> None:
    """Relative paths begin where the file is."""
    (tmp_path / "ca.pem").write_text(certificates.pem)

    provision.apply(EXAMPLE.replace("ca_certificate_file: null", "ca_certificate_file: ca.pem"))

    assert ServerProfile.objects.get(name="Contoso mail").ca_certificates == certificates.pem


def test_check_changes_nothing(provision: Provisioner) -> None:
    """It says what would be done."""
    said = provision.apply(EXAMPLE, "--check")

    assert "Created mailbox ana@contoso.example." in said
    assert not Environment.objects.exists()


def test_a_refused_file_changes_nothing(provision: Provisioner) -> None:
    """The sound parts are not applied either."""
    said = provision.complaints(EXAMPLE.replace("kind: queue", "kind: team"))

    assert said.endswith("Nothing was changed.")
    assert not Environment.objects.exists()
    assert not Mailbox.objects.exists()


def test_a_missing_secret_is_an_error_at_its_line(
    provision: Provisioner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable is named."""
    monkeypatch.delenv("SUPPORT_PASSWORD")

    assert "54: environments[1].mailboxes[2].password_env: The environment variable SUPPORT_PASSWORD" in (
        provision.complaints(EXAMPLE)
    )


@pytest.mark.parametrize(
    ("written", "instead", "complaint"),
    [
        (
            "    name: Contoso\n",
            "    name: Contoso\n    colour: red\n",
            "4: environments[1].colour: There is no such key",
        ),
        (
            "kind: production",
            "kind: test",
            "4: environments[1].kind: 'test' is not possible here. Choose one of: production",
        ),
        (
            "incoming_port: 993",
            "incoming_port: 25",
            "16: environments[1].server_profiles[1].incoming_port: Port 25 is not",
        ),
        ("incoming_port: 993", "incoming_port: imap", "'imap' is not a number"),
        ("default: true", "default: certainly", "'certainly' is not possible here. Write true or false."),
        ("2026-01-01T00:00:00Z", "yesterday", "'yesterday' is not a time such as"),
        (
            "imap.contoso.example\n        incoming_port",
            "'imap://x'\n        incoming_port",
            "without a scheme",
        ),
        ("approved: true", "approved: maybe", "'maybe' is not possible here"),
        (
            "address: support@",
            "address: ANA@",
            "ana@contoso.example is described twice; the first time in line 38",
        ),
        ("address: support@contoso.example", "address: support", "Enter a valid email address"),
        (
            "      - address: support@contoso.example\n",
            "      - note: x\n",
            "mailboxes[2].address: The key is missing",
        ),
        ("        kind: queue\n", "        kind: queue\n        kind: user\n", "The key stands here twice"),
        ("user_name: ana", 'user_name: "ana\\r\\nx"', "must not contain a line break"),
        (
            "password: never-in-real-files",
            "password: x\n        password_env: Y",
            "Set either password or password_env",
        ),
        ("        password: never-in-real-files\n", "", "mailboxes[1].password: Enter the password"),
        ("ca_certificate_file: null", "ca_certificate_file: none.pem", "cannot be read: No such file"),
        (
            "server_profile: Contoso mail\n        incoming",
            "server_profile: X\n        incoming",
            "no server profile named 'X'",
        ),
        ("server_type: other", "server_type: exchange_server", "Choose Other (IMAP/POP,SMTP)"),
        ("name: One account for all", "name: Contoso mail", "Contoso mail is described twice"),
        (
            "server_profile: Contoso mail\n      incoming",
            "server_profile: One account for all\n      incoming",
            "Name one default",
        ),
        (EXAMPLE, "", "The file is empty"),
        (EXAMPLE, "- a\n", "Keys with values are expected here"),
        (EXAMPLE, "environments: 3\n", "This must be a list"),
        (EXAMPLE, "environments: [", "This is not YAML"),
        (EXAMPLE, "a: \x07", "characters that YAML does not allow"),
    ],
)
def test_a_complaint_names_the_line_and_the_key(
    provision: Provisioner, written: str, instead: str, complaint: str
) -> None:
    """And the way out, where there is one."""
    assert written in EXAMPLE

    assert complaint in provision.complaints(EXAMPLE.replace(written, instead, 1))


def test_all_complaints_come_at_once_in_the_order_of_the_file(provision: Provisioner) -> None:
    """Nobody runs it ten times to find ten mistakes."""
    text = EXAMPLE.replace("kind: queue", "kind: team").replace("incoming_port: 993", "incoming_port: 25")

    lines = provision.complaints(text.replace("kind: user", "kind: person")).splitlines()

    assert [line.partition(":")[0] for line in lines[:-1]] == ["16", "40", "49"]


def test_a_file_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    """No traceback."""
    with pytest.raises(CommandError, match="cannot be read: No such file or directory"):
        call_command("provision", str(tmp_path / "none.yaml"))


def test_the_docs_show_a_file_that_is_accepted(
    provision: Provisioner, project_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The example of the docs works as it stands."""
    monkeypatch.setenv("ANA_PASSWORD", "correct horse")
    text = (project_folder / "docs/provisioning.md").read_text().partition("```yaml\n")[2].partition("```")[0]

    assert "Created mailbox ana@contoso.example." in provision.apply(text)
