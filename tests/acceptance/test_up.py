"""`manage.py up --demo` as a newcomer meets it: one command, real processes, real mail."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, build_opener, urlopen

import psutil
import pytest

from tests.servers.ports import free_port, is_listening
from tests.servers.process import ServerProcess

ROOT = Path(__file__).resolve().parent.parent.parent
#: Generous, because the machine may be busy.
PATIENCE = 90.0
WORKING, WRONG_PASSWORD, PENDING = "elke.soerensen", "yusuf.demir", "invoices"
SEND = """
import django; django.setup()
from django.utils import timezone
from emailsync.mail.composing import Draft
from emailsync.mail.parsing import Address
from mailboxes.models import Mailbox
from mailboxes.services import outgoing
ana = Mailbox.objects.get(user_name="ana.bowman")
to = (Address("", "malik.barden@contoso.example"), Address("", "far.away@example.org"))
draft = Draft(sender=Address(ana.name, ana.address), to=to, cc=(), bcc=(), subject="Grüße", text="Hello")
outgoing.queue(ana, draft, by=None, now=timezone.now())
"""
CHECK_PASSWORD = """
import django; django.setup()
from django.contrib.auth.models import User
raise SystemExit(not User.objects.get(username="admin").check_password("a password of my own"))
"""


@dataclass
class Up:
    """One data folder, and the supervisor that runs on it now."""

    folder: Path
    port: int = field(default_factory=free_port)
    words: tuple[str, ...] = ("--demo",)
    process: ServerProcess | None = None
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """Return the whole environment: nothing leaks in from outside."""
        words = {"EMAILSYNC_DATA_DIR": str(self.folder / "data"), "PORT": str(self.port)}
        return (
            {"PATH": os.environ["PATH"], "HOME": str(self.folder), "PYTHONPATH": str(ROOT)}
            | words
            | self.extra
        )

    @property
    def said(self) -> str:
        """Return what the last start printed."""
        return (self.folder / "up.log").read_text()

    @property
    def pid(self) -> int:
        """Return the supervisor's process id."""
        assert self.process is not None
        return self.process.process.pid

    @property
    def is_running(self) -> bool:
        """Say whether the supervisor that was started last still runs."""
        return self.process is not None and self.process.process.poll() is None

    def start(self) -> None:
        """Start, and wait until it says that it is ready."""
        self.close()
        (self.folder / "up.log").unlink(missing_ok=True)
        command = [sys.executable, str(ROOT / "manage.py"), "up", *self.words]
        # The supervisor gives its children five seconds.
        self.process = ServerProcess(
            command, log=self.folder / "up.log", environment=self.environment, patience=20.0
        )
        wait_for(lambda: "emailsync is ready." in self.said)

    def close(self) -> None:
        """End the supervisor."""
        if self.process is not None:
            self.process.close()

    def manage(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a management command beside it."""
        return self.run(str(ROOT / "manage.py"), *words)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run Python with its environment."""
        return subprocess.run(
            [sys.executable, *words],
            cwd=ROOT,
            env=self.environment | {"DJANGO_SETTINGS_MODULE": "emailsync.settings"},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )

    def diagnose(self, user_name: str) -> dict[str, Any]:
        """Test & Enable one mailbox and return the result."""
        address = f"{user_name}@contoso.example"
        done = self.manage("diagnose", "--environment", "contoso-demo", "--mailbox", address, "--json")
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return found[0] | {"exit_status": done.returncode}

    def messages(self, user_name: str) -> dict[str, str]:
        """Return the subjects of what is stored of a mailbox, by hash."""
        query = (
            "SELECT sha256, subject FROM mailboxes_message "
            "WHERE mailbox_id IN (SELECT id FROM mailboxes_mailbox WHERE user_name = ?)"
        )
        with closing(sqlite3.connect(self.folder / "data/emailsync.sqlite3", timeout=30)) as database:
            return dict(database.execute(query, [user_name]))

    @property
    def demo_ports(self) -> tuple[int, int]:
        """Return where the demo's mail servers listen."""
        demo = json.loads((self.folder / "data/demo/demo.json").read_text())
        return demo["imap_port"], demo["smtp_port"]

    def children(self) -> list[psutil.Process]:
        """Return the supervisor's children and what those forked."""
        return psutil.Process(self.pid).children(recursive=True)

    def child(self, program: str) -> psutil.Process:
        """Wait for the direct child that runs a program, and return it."""

        def found() -> list[psutil.Process]:
            children = psutil.Process(self.pid).children()
            return [child for child in children if program in child.cmdline()]

        wait_for(lambda: bool(found()))
        return found()[0]

    def kill(self, processes: list[psutil.Process]) -> None:
        """Kill processes as the kernel does when memory is short."""
        for process in processes:
            process.kill()

    def is_ready(self) -> bool:
        """Ask as a monitor would."""
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/health/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def wait_for(condition: Callable[[], bool]) -> None:
    """Return when the condition holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "It did not happen in time."
        time.sleep(0.2)


def is_gone(process: psutil.Process) -> bool:
    """Say whether a process ended, reaped or not."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """Give an installation that runs; no test here stops it."""
    installation = Up(tmp_path_factory.mktemp("up"))
    try:
        installation.start()
        yield installation
    finally:
        installation.close()


def prepared(folder: Path, tables: Path) -> Up:
    """Return an installation that begins with tables: making them takes longer than all else of a start."""
    (folder / "data").mkdir(mode=0o700)
    shutil.copy(tables, folder / "data/emailsync.sqlite3")
    return Up(folder)


@pytest.fixture(scope="module")
def ill_treated(tmp_path_factory: pytest.TempPathFactory, tables: Path) -> Iterator[Up]:
    """Give an installation that tests may kill and stop."""
    installation = prepared(tmp_path_factory.mktemp("ill-treated"), tables)
    yield installation
    installation.close()


@pytest.fixture
def own_up(ill_treated: Up) -> Up:
    """Give that installation, running."""
    if not ill_treated.is_running:
        ill_treated.start()
    return ill_treated


def test_it_prints_where_to_go_and_how_to_sign_in(up: Up) -> None:
    """Address, user, password."""
    assert f"Address   http://127.0.0.1:{up.port}/" in up.said
    assert "User      admin" in up.said
    assert re.search(r"Password  \w{5}-\w{5}-\w{5}-\w{5}", up.said)


def test_the_printed_password_signs_in(up: Up) -> None:
    """And leads to the demo's environment."""
    match = re.search(r"Password  (\S+)", up.said)
    assert match is not None
    browser = build_opener(HTTPCookieProcessor(CookieJar()))
    page = browser.open(f"http://127.0.0.1:{up.port}/").read().decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    assert token is not None
    form = {"csrfmiddlewaretoken": token[1], "username": "admin", "password": match[1]}

    answer = browser.open(f"http://127.0.0.1:{up.port}/sign-in/", data=urlencode(form).encode())

    assert "Contoso (demo)" in answer.read().decode()


def test_a_working_mailbox_succeeds(up: Up) -> None:
    """Both ways, with a message really sent."""
    found = up.diagnose(WORKING)

    assert (found["exit_status"], found["incoming"], found["outgoing"]) == (0, "success", "success")


def test_a_wrong_password_is_named_as_such(up: Up) -> None:
    """The true cause."""
    found = up.diagnose(WRONG_PASSWORD)

    assert found["exit_status"] == 1
    assert "login_refused" in [step["error_code"] for step in found["steps"]]


def test_a_pending_address_waits_for_approval(up: Up) -> None:
    """Nothing is tried before."""
    found = up.diagnose(PENDING)

    assert found["exit_status"] == 1
    assert "not_approved" in {step["error_code"] for step in found["steps"]} | {
        step["name"] for step in found["steps"]
    }


def test_new_mail_appears_by_itself(up: Up) -> None:
    """The first letters at once, others as they are written."""
    wait_for(lambda: len(up.messages("ana.bowman")) >= 4)


def test_sent_mail_arrives_in_the_other_mailbox_and_nowhere_else(up: Up) -> None:
    """An address far away is accepted, and nothing leaves the machine."""
    wait_for(lambda: bool(up.messages("malik.barden")))

    assert up.run("-c", SEND).returncode == 0

    wait_for(
        lambda: any(subject.startswith("Grüße CRM:") for subject in up.messages("malik.barden").values())
    )


def test_keys_and_data_are_closed_to_others(up: Up) -> None:
    """Nobody else on the machine reads them."""
    data = up.folder / "data"
    files = [
        data / "encryption.keys",
        data / "secret.key",
        data / "demo" / "demo.json",
        data / "demo" / "server.key",
    ]

    assert [oct(path.stat().st_mode & 0o777) for path in [data, *files]] == ["0o700"] + ["0o600"] * 4


def test_a_second_one_on_the_same_folder_is_refused(up: Up) -> None:
    """With the process that has it."""
    done = up.manage("up")

    assert done.returncode == 1
    assert f"(process {up.pid})" in done.stderr


def test_killed_children_are_started_again(own_up: Up) -> None:
    """Web server, worker and mail server."""
    killed = [own_up.child(program) for program in ("gunicorn", "emailsync.management.worker", "demo")]

    own_up.kill(killed)
    wait_for(lambda: all(is_gone(child) for child in killed))
    wait_for(own_up.is_ready)
    wait_for(lambda: all(map(is_listening, own_up.demo_ports)))

    assert own_up.diagnose("orders")["exit_status"] == 0


def test_a_killed_supervisor_leaves_no_orphan_and_the_next_start_goes_on(own_up: Up) -> None:
    """The password is not printed twice, and mail that was stored stays."""
    wait_for(lambda: bool(own_up.messages("ana.bowman")))
    before = set(own_up.messages("ana.bowman"))
    children = own_up.children()

    os.kill(own_up.pid, signal.SIGKILL)
    wait_for(lambda: all(is_gone(child) for child in children))
    own_up.start()

    assert "was printed at the first start" in own_up.said
    assert before <= set(own_up.messages("ana.bowman"))
    assert own_up.diagnose(WORKING)["exit_status"] == 0


def test_ctrl_c_stops_everything_within_seconds(own_up: Up) -> None:
    """Without a traceback."""
    children = own_up.children()
    assert own_up.process is not None

    os.kill(own_up.pid, signal.SIGINT)

    assert own_up.process.process.wait(timeout=30) == 0
    wait_for(lambda: all(is_gone(child) for child in children))
    assert "Traceback" not in own_up.said


def test_a_removed_demo_leaves_nothing_and_stays_away(own_up: Up) -> None:
    """Its server ends; the web server and the worker go on."""
    ports = own_up.demo_ports
    server = own_up.child("demo")

    assert own_up.manage("demo", "--remove").stdout == "The demo is removed.\n"

    wait_for(lambda: is_gone(server))
    assert not any(map(is_listening, ports))
    assert not (own_up.folder / "data/demo").exists()
    assert "There are: none yet" in own_up.manage("diagnose", "--environment", "contoso-demo").stderr
    wait_for(own_up.is_ready)
    own_up.close()


def test_the_administrators_password_can_be_given_and_changed(tmp_path: Path, tables: Path) -> None:
    """It is set at every start and never printed; without --demo there is no demo."""
    installation = prepared(tmp_path, tables)
    installation.words = ()
    with closing(installation):
        installation.start()
        installation.close()
        installation.extra = {"EMAILSYNC_ADMIN_PASSWORD": "a password of my own"}

        installation.start()

        assert "Password  the one in EMAILSYNC_ADMIN_PASSWORD" in installation.said
        assert installation.run("-c", CHECK_PASSWORD).returncode == 0
        assert not (installation.folder / "data/demo").exists()
