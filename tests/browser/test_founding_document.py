"""The founding document, step by step, on a real Dovecot and a real Postfix."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from emailsync.management.selftest.certificates import Authority
from tests.browser.conftest import PATIENCE, Console, launch
from tests.installation import Installation
from tests.servers.dovecot import Dovecot
from tests.servers.postfix import Postfix

pytestmark = [
    pytest.mark.browser,
    pytest.mark.servers,
    # pytest-playwright's own fixtures; pytest 10 will want them written otherwise.
    pytest.mark.filterwarnings("ignore:Session-scoped fixtures defined as instance methods"),
]
PASSWORD = "correct horse"
#: As the panel calls it, and as the full form does.
BY_USER_OR_QUEUE = "Credential Specified by user or queue"
BY_A_USER_OR_QUEUE = "Credentials Specified by a User or Queue"
METHOD = "Server-Side Synchronization or Email Router"
#: The environment as it is when the document begins: users and queues are there, no profile is.
PEOPLE = """\
environments:
  - slug: contoso
    name: Contoso
    kind: production
    mailboxes:
      - {address: ana@example.org, name: Ana Bowman, user_name: ana, password_env: PASSWORD}
      - {address: malik@example.org, name: Malik Gordon, user_name: malik, password_env: PASSWORD}
      - {address: support@example.org, name: Support, kind: queue, user_name: support, password_env: PASSWORD}
"""


def field(form: Locator | Page, label: str) -> Locator:
    """Return the control under a label, which may carry the mark of a required field."""
    return form.get_by_label(re.compile(rf"^{re.escape(label)}\*?$"))


class Reader:
    """Somebody who reads the document and does what it says, on one page of one browser."""

    def __init__(self, page: Page, console: Console, dovecot: Dovecot, postfix: Postfix, pem: str) -> None:
        """Take the console, and the mail servers that it is to be connected with."""
        self.page, self.console, self.dovecot, self.postfix, self.pem = page, console, dovecot, postfix, pem

    def settings(self, name: str) -> None:
        """Select an environment, then Settings > Email > …."""
        self.page.goto(f"{self.console.url}/environments/")
        self.page.locator("main").get_by_role("link", name="Contoso", exact=True).first.click()
        expect(self.page.get_by_role("heading", level=1)).to_have_text("Settings")
        self.page.locator("main").get_by_role("link", name=re.compile(f"^{name}")).first.click()

    def command(self, name: str) -> None:
        """Give a command of the command bar, from More Commands when it has no room."""
        bar = self.page.locator(".cmdbar")
        words = re.compile(f"^{name}$")
        found = bar.get_by_role("button", name=words).or_(bar.get_by_role("link", name=words))
        shown = found.filter(visible=True)
        if not shown.count():
            bar.get_by_role("button", name="More Commands").click()
        shown.first.click()

    def active_mailboxes(self, *, all_selected: bool = True) -> None:
        """Open Active Mailboxes, and select all of them."""
        self.settings("Mailboxes")
        expect(self.page.get_by_role("heading", level=1)).to_contain_text("Active Mailboxes")
        if all_selected:
            self.page.locator("[data-all]").check()

    @property
    def dialog(self) -> Locator:
        """Return the dialog or panel that is open."""
        return self.page.locator("dialog:modal")

    def wait_for_job(self) -> None:
        """Wait until the job at hand is over."""
        self.page.wait_for_url("**/jobs/*/")
        expect(self.page.locator("#job[hx-trigger]")).to_have_count(0, timeout=PATIENCE)

    def row(self, name: str) -> Locator:
        """Return the row of a mailbox."""
        return self.page.get_by_role("row").filter(has=self.page.get_by_role("link", name=name, exact=True))


@pytest.fixture(scope="module")
def reader(
    tmp_path_factory: pytest.TempPathFactory, tables: Path, project_folder: Path, browser: Browser
) -> Iterator[Reader]:
    """Start the mail servers and emailsync, and sign in."""
    folder = tmp_path_factory.mktemp("document")
    with ExitStack() as stack:
        authority = Authority(folder)
        dovecot = stack.enter_context(Dovecot(authority.server))
        postfix = stack.enter_context(Postfix(authority.server, dovecot))
        for name in ("ana", "malik", "support"):
            dovecot.add_user(name, PASSWORD, addresses=[f"{name}@example.org"])
        installation = Installation(folder / "data", environment={"PASSWORD": PASSWORD}, tables=tables)
        (folder / "people.yaml").write_text(PEOPLE, encoding="utf-8")
        installation.manage("provision", str(folder / "people.yaml"))
        variables = {**installation.variables, "EMAILSYNC_POLL_INTERVAL": "2"}
        console = stack.enter_context(launch(project_folder, folder, variables=variables))
        page = stack.enter_context(browser.new_context()).new_page()
        yield Reader(console.sign_in(page), console, dovecot, postfix, authority.pem)


def test_create_an_email_server_profile(reader: Reader) -> None:
    reader.settings("Server profiles")
    reader.command("New server profile")
    panel = reader.dialog
    field(panel, "Email Server Type").select_option(label="Other (IMAP/POP,SMTP)")
    field(panel, "Name").fill("Contoso IMAP")
    field(panel, "Set as default profile for new mailboxes").check()
    field(panel, "Authentication Type").select_option(label=BY_USER_OR_QUEUE)
    field(panel, "Incoming communication protocol").select_option(label="IMAP")
    field(panel, "Incoming location").fill("localhost")
    field(panel, "Incoming port").fill(str(reader.dovecot.ports.imaps))
    field(panel, "Outgoing location").fill("localhost")
    field(panel, "Outgoing port").fill(str(reader.postfix.ports.submission))
    field(panel, "Use SSL for outgoing").select_option(label="STARTTLS")
    panel.get_by_text("Advanced", exact=True).click()
    field(panel, "Additional trusted certificates").fill(reader.pem)
    panel.get_by_role("button", name="Save", exact=True).click()
    expect(reader.row("Contoso IMAP")).to_be_visible()
    expect(reader.row("Contoso IMAP")).to_contain_text("Default")


def test_create_an_email_server_profile_by_using_the_legacy_form(reader: Reader) -> None:
    reader.settings("Server profiles")
    reader.command("Go to legacy")
    form, tabs = reader.page.locator("#profile-form"), reader.page.locator(".tabs")
    field(form, "Name").fill("Contoso, the long way")
    field(form, "Description").fill("The same servers, described on the full form.")
    field(form, "Incoming Server Location").fill("localhost")
    field(form, "Outgoing Server Location").fill("localhost")
    tabs.get_by_role("link", name="Credentials").click()
    field(form, "Authenticate Using").first.select_option(label=BY_A_USER_OR_QUEUE)
    expect(field(form, "Use same settings for Outgoing")).to_be_checked()
    tabs.get_by_role("link", name="Advanced").click()
    field(form, "Incoming Port").fill(str(reader.dovecot.ports.imaps))
    field(form, "Outgoing Port").fill(str(reader.postfix.ports.submission))
    field(form, "Use SSL for Outgoing Connection").select_option(label="STARTTLS")
    expect(field(form, "Maximum Concurrent Connections")).to_have_value("10")
    field(form, "Additional trusted certificates").fill(reader.pem)
    reader.command("Save")
    expect(reader.page.get_by_role("heading", level=1)).to_have_text("Contoso, the long way")


def test_configure_default_email_processing(reader: Reader) -> None:
    reader.settings("Email settings")
    page = reader.page
    field(page, "Server Profile").select_option(label="Contoso IMAP")
    field(page, "Incoming Email").select_option(label=METHOD)
    field(page, "Outgoing Email").select_option(label=METHOD)
    expect(field(page, "Appointments, Contacts, and Tasks")).to_be_disabled()
    page.locator("form .savebar, form footer, form").get_by_role("button", name="Save").last.click()
    expect(page.get_by_text("Email settings saved")).to_be_visible()


def test_set_mailboxes_to_the_default_profile(reader: Reader) -> None:
    reader.active_mailboxes()
    reader.command("Apply Default Email Settings")
    expect(reader.dialog).to_contain_text("Contoso IMAP")
    expect(reader.dialog.get_by_role("checkbox")).to_be_checked()
    reader.dialog.get_by_role("button", name="OK").click()
    reader.wait_for_job()
    expect(reader.row("Support")).to_contain_text("Failure")
    expect(reader.page.locator("#job")).to_contain_text("Waiting for approval")


def test_edit_mailboxes_to_set_the_profile_and_delivery_methods(reader: Reader) -> None:
    reader.active_mailboxes()
    reader.command("Edit")
    dialog = reader.dialog
    expect(dialog.get_by_role("heading", level=2)).to_have_text("Change Multiple Records")
    field(dialog, "Server Profile").select_option(label="Contoso, the long way")
    field(dialog, "Incoming Email").select_option(label=METHOD)
    field(dialog, "Outgoing Email").select_option(label=METHOD)
    field(dialog, "Appointments, Contacts, and Tasks").select_option(label="None")
    expect(dialog.get_by_role("status")).to_contain_text("3")
    dialog.get_by_role("button", name="Change", exact=True).click()
    expect(reader.page.get_by_text("3 mailboxes changed")).to_be_visible()


def test_approve_email(reader: Reader) -> None:
    reader.active_mailboxes()
    reader.command("Approve Email")
    expect(reader.dialog).to_contain_text("ana@example.org")
    reader.dialog.get_by_role("button", name="OK").click()
    expect(reader.row("Support")).to_contain_text("Approved")
    expect(reader.row("Ana Bowman")).to_contain_text("Approved")


def test_test_the_configuration_of_mailboxes(reader: Reader) -> None:
    reader.active_mailboxes()
    reader.command("Test & Enable Mailboxes")
    reader.dialog.get_by_role("button", name="OK").click()
    reader.wait_for_job()
    expect(reader.page.locator("#job")).not_to_contain_text("Failure")
    reader.active_mailboxes(all_selected=False)
    expect(reader.row("Ana Bowman").get_by_text("Success")).to_have_count(2)
    expect(reader.row("Support").get_by_text("Success")).to_have_count(2)


def test_test_all_mailboxes_associated_with_a_profile(reader: Reader) -> None:
    reader.settings("Server profiles")
    reader.page.get_by_label("Select Contoso, the long way").check()
    reader.command("Test & Enable Mailboxes")
    expect(reader.dialog).to_contain_text("3 mailboxes")
    reader.dialog.get_by_role("button", name="OK").click()
    reader.wait_for_job()
    expect(reader.row("Malik Gordon").get_by_text("Success").first).to_be_visible()


def test_an_error_is_shown_on_the_alerts_wall_of_the_mailbox(reader: Reader) -> None:
    reader.dovecot.set_password("malik", "another one")
    reader.active_mailboxes(all_selected=False)
    reader.page.get_by_label("Select Malik Gordon").check()
    reader.command("Test & Enable Mailboxes")
    reader.dialog.get_by_role("button", name="OK").click()
    reader.wait_for_job()
    reader.row("Malik Gordon").get_by_role("link", name="Malik Gordon").click()
    reader.page.locator(".tabs").get_by_role("link", name="Alerts").click()
    expect(reader.page.locator(".wall").first).to_contain_text(
        "Incoming email for Malik Gordon could not be tested"
    )
    expect(reader.page.locator(".wall").first).to_contain_text("Enter the user name and password again.")


def test_mail_then_arrives_by_itself(reader: Reader) -> None:
    reader.dovecot.deliver("ana", b"From: lena@northwind.example\r\nSubject: Desks\r\n\r\nForty of them.\r\n")
    reader.active_mailboxes(all_selected=False)
    reader.page.get_by_role("link", name="Ana Bowman", exact=True).click()
    reader.page.locator(".tabs").get_by_role("link", name="Emails").click()
    expect(reader.page.get_by_text("Desks")).to_be_visible(timeout=PATIENCE)
