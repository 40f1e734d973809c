"""`manage.py up`: everything on one machine with one command.

Prepares the data folder, the keys, the database and the first administrator, then runs the web server and
one worker under a supervisor until Ctrl-C. With `--demo` a local mail server and an environment that uses
it are added.
"""

import http.client
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser, OutputWrapper
from django.db import DatabaseError, connections
from django.utils.crypto import get_random_string

from emailsync import checks
from emailsync.management import preparing
from emailsync.management.demonstration import state
from emailsync.management.supervising import Program, Supervisor

ADMIN = "admin"
#: No letters and digits that look alike: the password is read from a terminal.
LEGIBLE = "abcdefghijkmnpqrstuvwxyz23456789"
ASK_EVERY = 0.5
#: After this long without an answer of readiness, the reason is told.
TELL_AFTER = 30.0


class Command(BaseCommand):
    """Runs the web server and a worker under one supervisor."""

    help = "Prepare everything and run the web server and a worker until Ctrl-C."
    # The key ring is made below, on the first start; the checks are asked once it is there.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare --demo."""
        parser.add_argument(
            "--demo", action="store_true", help="add a local mail server and a demo environment"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Prepare, then run until a signal."""
        try:
            preparing.make_data_folder()
            with preparing.one_at_a_time():
                port = preparing.check_port(settings.WEB_HOST, settings.WEB_PORT)
                self._prepare()
                self._run(port=port, demo=options["demo"])
        except (OSError, DatabaseError) as error:
            raise CommandError(preparing.explain(error)) from error

    def _prepare(self) -> None:
        for item in preparing.make_keys():
            self.stdout.write(f"Created the {item}. Keep a copy in a safe place.")
        preparing.check_database_is_writable()
        checks.refuse_unsafe_start()
        call_command("migrate", interactive=False, verbosity=0)
        call_command("createcachetable", verbosity=0)
        preparing.collect_static_files()
        preparing.empty_broker_folder()
        self._prepare_admin()
        connections.close_all()

    def _prepare_admin(self) -> None:
        admin, created = User.objects.get_or_create(
            username=ADMIN, defaults={"is_staff": True, "is_superuser": True}
        )
        if settings.ADMIN_PASSWORD and not admin.check_password(settings.ADMIN_PASSWORD):
            admin.set_password(settings.ADMIN_PASSWORD)
            admin.save()
        elif created:
            admin.set_unusable_password()
            admin.save()

    def _run(self, *, port: int, demo: bool) -> None:
        host = settings.WEB_HOST
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(
                filter(None, [str(settings.BASE_DIR), os.environ.get("PYTHONPATH")])
            ),
            "PYTHONUNBUFFERED": "1",
            # The worker runs as whoever started this command, on purpose.
            "PYTHONWARNINGS": "ignore:You're running the worker with superuser privileges",
            "EMAILSYNC_DATA_DIR": str(settings.DATA_DIR),
            "EMAILSYNC_ALLOWED_HOSTS": ",".join(preparing.console_hosts(host)),
        }
        programs = [
            Program(
                "web",
                "gunicorn",
                (
                    *("--config", "python:emailsync.management.webserver"),
                    *("--bind", f"[{host}]:{port}" if ":" in host else f"{host}:{port}"),
                    "emailsync.wsgi",
                ),
            ),
        ]
        if demo:
            environment = self._prepare_demo(environment)
            programs.append(state.program(state.load()))
        elif state.exists():
            self.stdout.write(
                "The demo's mail server is not started. Start with --demo to use it, or remove the demo "
                "with: manage.py demo --remove"
            )
        programs.append(Program("worker", "emailsync.management.worker"))
        self.stdout.write("Starting the web server and the worker ...")
        door = _Door(host=host, port=port, output=self.stdout)
        supervisor = Supervisor(programs, environment=environment, output=sys.stdout)
        supervisor.run(is_ready=door.is_ready, when_ready=lambda: self._welcome(door))
        self.stdout.write("Stopped. Everything is kept in " + str(settings.DATA_DIR))

    def _prepare_demo(self, environment: dict[str, str]) -> dict[str, str]:
        missing = [name for name in ("aiosmtpd", "pymap") if find_spec(name) is None]
        if missing:
            raise CommandError(
                f"The demo's mail server needs {' and '.join(missing)}. Install the extra with: "
                "pip install '.[demo]', or start without --demo."
            )
        demo = state.prepare()
        opened = state.open_for(demo, environment=environment, policy=settings.NETWORK_POLICY)
        # A process of its own, because the rules for profiles follow the opened policy.
        done = subprocess.run(
            [sys.executable, "-m", "django", "demo", "--prepare"],
            env=opened,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise CommandError(f"The demo cannot be prepared. {done.stderr.strip()}")
        self.stdout.write(
            f"Demo: its mail server listens on {state.HOST}, ports {demo.imap_port} (IMAP) and "
            f"{demo.smtp_port} (SMTP). For this run only, connections to that address and to these two ports "
            "are allowed as well."
        )
        return opened

    def _welcome(self, door: "_Door") -> None:
        password = self._password_to_show()
        connections.close_all()
        self.stdout.write(
            f"\n  emailsync is ready.\n\n"
            f"    Address   {door.address}\n"
            f"    User      {ADMIN}\n"
            f"    Password  {password}\n\n"
            "  Ctrl-C stops it; everything is kept.\n"
        )
        self.stdout.flush()

    def _password_to_show(self) -> str:
        if settings.ADMIN_PASSWORD:
            return "the one in EMAILSYNC_ADMIN_PASSWORD"
        admin = User.objects.get(username=ADMIN)
        if admin.has_usable_password():
            return f"was printed at the first start; set another with: manage.py changepassword {ADMIN}"
        # Only now, so that a start that failed half way never kept a password nobody saw.
        password = "-".join(get_random_string(5, LEGIBLE) for _ in range(4))
        admin.set_password(password)
        admin.save()
        return f"{password}   (printed this once)"


class _Door:
    """Asks the web server whether it is ready, not too often."""

    def __init__(self, *, host: str, port: int, output: OutputWrapper) -> None:
        self._output = output
        self._host = "127.0.0.1" if host in preparing.ANY_ADDRESS else host
        self._port = port
        self._ask_at = 0.0
        self._tell_at = time.monotonic() + TELL_AFTER

    @property
    def address(self) -> str:
        """Return what to type into a browser."""
        return f"http://{f'[{self._host}]' if ':' in self._host else self._host}:{self._port}/"

    def is_ready(self) -> bool:
        """Say whether /health/ready answers 200."""
        if time.monotonic() < self._ask_at:
            return False
        self._ask_at = time.monotonic() + ASK_EVERY
        connection = http.client.HTTPConnection(self._host, self._port, timeout=2)
        try:
            connection.request("GET", "/health/ready")
            answer = connection.getresponse()
            body = answer.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException):
            answer, body = None, "the web server does not answer"
        finally:
            connection.close()
        if answer is not None and answer.status == http.client.OK:
            return True
        if time.monotonic() > self._tell_at:
            self._tell_at += TELL_AFTER
            self._output.write(f"Not ready yet: {body}")
        return False
