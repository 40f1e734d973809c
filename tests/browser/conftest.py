"""`manage.py up --demo` as it is, and a browser that knows nothing but its address and password."""

import json
import os
import smtplib
import ssl
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.servers.ports import free_port
from tests.servers.process import ServerProcess, tail, wait_until

#: Generous, because the machine may be busy. In milliseconds.
PATIENCE = 60_000
DEMO = "/environments/contoso-demo"
Visit = Callable[[int], Page]


@dataclass(frozen=True)
class Console:
    """The installation that the tests of this folder share."""

    url: str
    password: str
    folder: Path
    started_at: float

    def sign_in(self, page: Page, *, to: str = "/environments/") -> Page:
        """Sign in as a person does, and land on `to`."""
        page.set_default_timeout(PATIENCE)
        page.goto(f"{self.url}/sign-in/?next={to}")
        page.get_by_label("User name").fill("admin")
        page.get_by_label("Password", exact=False).first.fill(self.password)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{self.url}{to}")
        return page

    def deliver(self, subject: str, *, to: str) -> None:
        """Send a letter to somebody of the demo, by the demo's own server and from outside the product."""
        demo = json.loads((self.folder / "demo" / "demo.json").read_text())
        letter = EmailMessage()
        letter["From"], letter["To"], letter["Subject"] = "orders@contoso.example", to, subject
        letter.set_content("Good morning.")
        trust = ssl.create_default_context(cafile=str(self.folder / "demo" / "ca.pem"))
        with smtplib.SMTP_SSL("127.0.0.1", demo["smtp_port"], context=trust) as server:
            server.login("orders", demo["passwords"]["orders"])
            server.send_message(letter)


@contextmanager
def launch(
    project_folder: Path, folder: Path, *arguments: str, variables: Mapping[str, str] | None = None
) -> Iterator[Console]:
    """Start everything with one command, on a data folder inside `folder`."""
    console = Console(
        url=f"http://127.0.0.1:{free_port()}",
        password="a password for the first ten minutes",
        folder=folder / "data",
        started_at=time.monotonic(),
    )
    log = folder / "up.log"
    process = ServerProcess(
        [sys.executable, project_folder / "manage.py", "up", *arguments],
        log=log,
        patience=20.0,
        environment={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": str(project_folder),
            **(variables or {}),
            "PORT": console.url.rpartition(":")[2],
            "EMAILSYNC_DATA_DIR": str(console.folder),
            "EMAILSYNC_ADMIN_PASSWORD": console.password,
        },
    )
    try:
        wait_until(lambda: "emailsync is ready." in tail(log), what="emailsync is ready", seconds=120)
        yield console
    finally:
        process.close()


@pytest.fixture(scope="session")
def console(tmp_path_factory: pytest.TempPathFactory, project_folder: Path) -> Iterator[Console]:
    """Start everything with one command, on the demo."""
    with launch(project_folder, tmp_path_factory.mktemp("up"), "--demo") as started:
        yield started


@pytest.fixture(scope="module")
def browser_page(browser: Browser) -> Iterator[Page]:
    """Give a page that the tests of a module share."""
    with browser.new_context() as context:
        yield context.new_page()


@pytest.fixture
def signed_in(page: Page, console: Console) -> Page:
    """Give a browser in which the administrator has signed in."""
    return console.sign_in(page)


@pytest.fixture(scope="session")
def visit(browser: Browser, console: Console) -> Iterator[Visit]:
    """Give a function that returns a signed-in page of a width; each signs in once."""
    pages: dict[int, Page] = {}

    def open_page(width: int) -> Page:
        if width not in pages:
            context = browser.new_context(viewport={"width": width, "height": 844}, reduced_motion="reduce")
            pages[width] = console.sign_in(context.new_page())
        return pages[width]

    yield open_page
    for page in pages.values():
        page.context.close()
