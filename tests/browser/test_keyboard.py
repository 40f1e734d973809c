"""The paths through the console by keyboard alone: nothing here touches a mouse."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import DEMO, PATIENCE, Console

pytestmark = [
    pytest.mark.browser,
    # pytest-playwright's own fixtures; pytest 10 will want them written otherwise.
    pytest.mark.filterwarnings("ignore:Session-scoped fixtures defined as instance methods"),
]
#: What has the focus: its name as a screen reader says it, and whether one can see where it is.
HERE = """() => {
  const it = document.activeElement;
  if (!it || it === document.body) return {name: "", seen: true, lost: true};
  const labelled = (it.getAttribute("aria-labelledby") || "").split(" ").filter(Boolean)
    .map(id => document.getElementById(id)?.textContent || "").join(" ");
  const labels = [...(it.labels || [])].map(label => label.textContent).join(" ");
  const name = it.getAttribute("aria-label") || labelled || labels || it.textContent || it.value || "";
  const style = getComputedStyle(it), box = it.getBoundingClientRect();
  const ringed = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
  const shown = box.width > 0 && box.bottom > 0 && box.top < innerHeight && box.right > 0
    && box.left < innerWidth;
  return {name: name.replace(/\\s+/g, " ").replace(/\\*/g, "").trim(), lost: false,
    seen: shown && (ringed || style.boxShadow !== "none"), commands: !!it.closest("[role=toolbar]")};
}"""
#: Whether the command bar stands before what has the focus.
BEYOND_COMMANDS = """() => document.activeElement !== document.body && !!(document.activeElement
  .compareDocumentPosition(document.querySelector("[role=toolbar]")) & Node.DOCUMENT_POSITION_PRECEDING)"""
MOST_STOPS = 120
#: The end of a mailbox's address.
PAGE = "[0-9a-f-]{36}/"


class Keyboard:
    """Somebody without a mouse, on one page."""

    def __init__(self, page: Page, console: Console) -> None:
        """Sit down at a console."""
        self.page, self.console = page, console

    def sign_in(self) -> None:
        """Sign in, and land on the mailboxes of the demo."""
        self.page.set_default_timeout(PATIENCE)
        self.open(f"/sign-in/?next={DEMO}/mailboxes/")
        self.type("User name", "admin", reached=True)
        self.type("^Password", self.console.password)
        self.press("Enter")
        self.page.wait_for_url(f"{self.console.url}{DEMO}/mailboxes/")

    def open(self, path: str) -> None:
        """Go to an address."""
        self.page.goto(f"{self.console.url}{path}")

    def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            self.page.keyboard.press(key)

    def reach(self, name: str, *, by: str = "Tab") -> None:
        """Press Tab until what is called `name` has the focus, and see that every stop shows it."""
        wanted, passed = re.compile(name), []
        for _ in range(MOST_STOPS):
            self.press(by)
            here = self.page.evaluate(HERE)
            if not here["seen"]:  # a panel may still be sliding in
                self.page.wait_for_timeout(500)
                here = self.page.evaluate(HERE)
            assert here["seen"], f"The focus on “{here['name']}” cannot be seen."
            if not here["lost"] and wanted.search(here["name"]):
                return
            passed.append(here["name"][:40])
        pytest.fail(f"{by} never reached “{name}”, but {passed}.", pytrace=False)

    def at(self, name: str) -> None:
        """See that what is called `name` has the focus, without a key pressed for it."""
        expect(self.page.locator(":focus")).to_have_accessible_name(re.compile(name), timeout=PATIENCE)

    def activate(self, name: str, *, by: str = "Tab") -> None:
        """Reach something and press Enter."""
        self.reach(name, by=by)
        self.press("Enter")

    def follow(self, name: str, url: str, *, by: str = "Tab") -> None:
        """Reach a link, press Enter and wait until its page is there."""
        self.activate(name, by=by)
        self.page.wait_for_url(re.compile(url))

    def type(self, name: str, text: str, *, reached: bool = False) -> None:
        """Reach a field and write into it, over what stands there."""
        if reached:
            self.at(name)
        else:
            self.reach(name)
        self.press("Control+a")
        self.page.keyboard.type(text)

    def choose(self, name: str, option: str, *, reached: bool = False) -> None:
        """Reach a list and choose by typing the beginning of an option."""
        if reached:
            self.at(name)
        else:
            self.reach(name)
        self.page.keyboard.type(option)
        chosen = self.page.locator("select:focus option:checked")
        expect(chosen).to_have_text(re.compile(f"^{re.escape(option)}"))

    def command(self, name: str) -> None:
        """Go to the command bar, along it with the arrows, and into More Commands if need be."""
        by = "Shift+Tab" if self.page.evaluate(BEYOND_COMMANDS) else "Tab"
        for _ in range(MOST_STOPS):
            if self.page.evaluate(HERE).get("commands"):
                break
            self.press(by)
        self.press("Home")
        for _ in range(20):
            here = self.page.evaluate(HERE)["name"]
            if re.search(name, here):
                self.press("Enter")
                return
            if here == "More Commands":
                self.press("Enter")
                self.activate(name)
                return
            self.press("ArrowRight")
        pytest.fail(f"No command “{name}”.", pytrace=False)

    def select(self, *names: str) -> None:
        """Tick the rows of mailboxes, from above to below."""
        for name in names:
            self.reach(f"^Select {name}")
            self.press("Space")

    @property
    def dialog(self) -> Locator:
        """Return the dialog that is open."""
        return self.page.locator("dialog:modal")

    @property
    def heading(self) -> Locator:
        """Return the title of the page."""
        return self.page.get_by_role("heading", level=1)

    @property
    def rows(self) -> Locator:
        """Return the rows of the list."""
        return self.page.locator("#list tbody tr")

    def hears(self, words: str) -> None:
        """See that a message says this."""
        expect(self.page.locator("#toasts")).to_contain_text(words, timeout=PATIENCE)


@pytest.fixture(scope="module")
def signed_in(console: Console, browser_page: Page) -> Keyboard:
    """Sign in by keyboard, once."""
    keyboard = Keyboard(browser_page, console)
    keyboard.sign_in()
    return keyboard


@pytest.fixture
def keyboard(signed_in: Keyboard) -> Iterator[Keyboard]:
    """Give the keyboard, and let nothing that one test leaves unsaved hold up the next."""
    yield signed_in
    signed_in.page.evaluate("document.querySelectorAll('form').forEach(form => { form.dataset.sent = ''; })")


def open_emails(keyboard: Keyboard) -> None:
    """Go from the mailboxes to the emails of one, by the tabs of its page."""
    keyboard.open(f"{DEMO}/mailboxes/")
    keyboard.follow("^Ana Bowman", f"/mailboxes/{PAGE}$")
    keyboard.reach("^Configuration test results")
    keyboard.follow("^Emails$", f"{PAGE}emails/$")


def test_an_environment_is_created_and_renamed(keyboard: Keyboard) -> None:
    keyboard.open("/environments/")
    keyboard.command("^New environment")
    keyboard.type("^Name", "Keys", reached=True)
    keyboard.activate("^Save$")
    keyboard.page.wait_for_url("**/environments/keys/settings/")
    keyboard.open("/environments/")
    keyboard.activate("^Actions for Keys")
    keyboard.activate("^Rename or change type")
    keyboard.type("^Name", "Keys and locks", reached=True)
    keyboard.activate("^Save$")
    expect(keyboard.rows.filter(has_text="Keys and locks")).to_have_count(1)
    keyboard.at("^Actions for Keys and locks")


def test_escape_leaves_the_panel_of_a_server_profile_for_the_command_that_opened_it(
    keyboard: Keyboard,
) -> None:
    keyboard.open(f"{DEMO}/server-profiles/")
    keyboard.command("^New server profile")
    keyboard.at("Email Server Type")
    keyboard.press("Escape")
    expect(keyboard.dialog).to_have_count(0)
    keyboard.at("New server profile")


def test_a_server_profile_is_filled_in_and_saved(keyboard: Keyboard) -> None:
    keyboard.open(f"{DEMO}/server-profiles/")
    keyboard.command("^New server profile")
    keyboard.at("Email Server Type")
    keyboard.type("^Name", "By keyboard")
    keyboard.type("^Incoming location", "imap.contoso.example")
    keyboard.type("^Outgoing location", "smtp.contoso.example")
    keyboard.activate("^Save$")
    expect(keyboard.rows.filter(has_text="By keyboard")).to_have_count(1)
    keyboard.at("New server profile")


def test_email_settings_are_changed_and_saved(keyboard: Keyboard) -> None:
    keyboard.open(f"{DEMO}/email-settings/")
    keyboard.type("^Maximum file size", "4321")
    keyboard.activate("^Save$")
    keyboard.hears("saved")
    keyboard.open(f"{DEMO}/email-settings/")
    keyboard.reach("^Maximum file size")
    expect(keyboard.page.locator(":focus")).to_have_value("4321")


def test_a_view_of_mailboxes_is_chosen(keyboard: Keyboard) -> None:
    keyboard.open(f"{DEMO}/mailboxes/")
    keyboard.activate("change view$")
    keyboard.follow("^Mailboxes Pending Email Approval", "view=pending")
    expect(keyboard.heading).to_contain_text("Mailboxes Pending Email Approval")


def test_a_mailbox_is_searched_for_and_opened(keyboard: Keyboard) -> None:
    keyboard.open(f"{DEMO}/mailboxes/")
    keyboard.type("^Search mailboxes$", "malik")
    expect(keyboard.rows).to_have_count(1)
    keyboard.at("^Search mailboxes$")
    keyboard.follow("^Malik Barden", f"/mailboxes/{PAGE}$")
    expect(keyboard.heading).to_have_text("Malik Barden")


def test_mailboxes_are_sorted_and_the_focus_stays_on_the_column(keyboard: Keyboard) -> None:
    keyboard.open(f"{DEMO}/mailboxes/")
    keyboard.activate("^Name$")
    expect(keyboard.rows.first).to_contain_text("Yusuf Demir")
    keyboard.at("^Name")


def test_mailboxes_are_filtered_and_the_focus_stays_on_the_filter(keyboard: Keyboard) -> None:
    keyboard.open(f"{DEMO}/mailboxes/")
    keyboard.activate("^Pending approval")
    expect(keyboard.rows).to_have_count(1)
    keyboard.at("^Pending approval")


def test_two_mailboxes_are_changed_to_the_end(keyboard: Keyboard) -> None:
    keyboard.open(f"{DEMO}/mailboxes/")
    keyboard.select("Elke Sørensen", "Malik Barden")
    keyboard.command("^Edit$")
    keyboard.choose("^Server Profile", "Contoso demo server", reached=True)
    keyboard.choose("^Incoming Email", "Server-Side Synchronization")
    keyboard.choose("^Outgoing Email", "Server-Side Synchronization")
    keyboard.choose("^Appointments, Contacts, and Tasks", "None")
    keyboard.choose("^Incoming email that is kept", "Email messages in response to email")
    keyboard.activate("^Change$")
    keyboard.hears("2 mailboxes changed")
    keyboard.at("^Edit$")
    keyboard.command("^Test & Enable")
    expect(keyboard.dialog).to_contain_text("Test 2 mailboxes?")
    keyboard.press("Escape")


def test_default_email_settings_are_applied(keyboard: Keyboard) -> None:
    keyboard.open(f"{DEMO}/mailboxes/")
    keyboard.select("Malik Barden")
    keyboard.command("^Apply Default Email Settings$")
    keyboard.at("^OK$")
    keyboard.reach("^Test the configuration", by="Shift+Tab")
    keyboard.press("Space")
    keyboard.activate("^OK$")
    expect(keyboard.dialog).to_have_count(0)


def test_an_address_is_approved(keyboard: Keyboard) -> None:
    keyboard.open(f"{DEMO}/mailboxes/?view=pending")
    keyboard.select("Invoices")
    keyboard.command("^Approve Email$")
    keyboard.activate("^(Approve|OK)")
    keyboard.hears("approved")


def test_mailboxes_are_tested_and_the_steps_read(keyboard: Keyboard) -> None:
    keyboard.open(f"{DEMO}/mailboxes/")
    keyboard.select("Nadia Haddad", "Yusuf Demir")
    keyboard.command("^Test & Enable Mailboxes$")
    keyboard.at("^OK$")
    keyboard.press("Enter")
    keyboard.page.wait_for_url("**/jobs/*/")
    expect(keyboard.page.get_by_role("heading", name="2 mailboxes tested")).to_be_visible(timeout=PATIENCE)
    keyboard.activate("^Steps of Nadia Haddad")
    expect(keyboard.page.locator(".steps").first).to_be_visible()
    keyboard.at("^Steps of Nadia Haddad")


def test_the_tabs_of_a_mailbox_are_read_and_it_is_synchronized_now(keyboard: Keyboard) -> None:
    keyboard.open(f"{DEMO}/mailboxes/")
    keyboard.follow("^Ana Bowman", f"/mailboxes/{PAGE}$")
    keyboard.follow("^Configuration test results", f"{PAGE}tests/$")
    keyboard.follow("^General", f"/mailboxes/{PAGE}$")
    keyboard.command("^Sync now$")
    expect(keyboard.page.locator("#course-said")).not_to_be_empty()
    keyboard.at("^Sync now$")


def test_a_forward_mailbox_is_created(keyboard: Keyboard) -> None:
    keyboard.open(f"{DEMO}/mailboxes/")
    keyboard.command("^New Forward Mailbox$")
    keyboard.type("^Name", "Forwarded by keyboard", reached=True)
    keyboard.type("^Email Address", "forwarded@contoso.example")
    keyboard.activate("^Save")
    expect(keyboard.page.get_by_text("Forwarded by keyboard").first).to_be_visible()


def test_an_alert_is_marked_as_read_and_another_deleted(keyboard: Keyboard) -> None:
    keyboard.open(f"{DEMO}/alerts/")
    keyboard.follow("^Information", "facet=information")
    keyboard.at("^Information")
    alerts = keyboard.page.locator(".wall > li")
    number = alerts.count()
    keyboard.activate("^Mark as read: ")
    expect(keyboard.page.locator("#wall-said")).to_contain_text("read")
    keyboard.at("^Delete: ")
    keyboard.activate("^Delete: ")
    expect(alerts).to_have_count(number - 1)
    keyboard.at("^Delete: ")


def test_an_email_is_opened_answered_and_sent(keyboard: Keyboard) -> None:
    open_emails(keyboard)
    keyboard.follow("Offer 2231 for forty desks", "/messages/|/emails/.")
    keyboard.command("^Reply$")
    keyboard.at("^Message")
    keyboard.page.keyboard.type("By keyboard. Ana")
    keyboard.activate("^Send$")
    expect(keyboard.page.locator("#delivery")).to_be_visible()


def test_a_new_email_is_saved_as_a_draft_after_sending_was_refused(keyboard: Keyboard) -> None:
    open_emails(keyboard)
    keyboard.command("^New email$")
    keyboard.type("^To", "malik.barden at contoso", reached=True)
    keyboard.type("^Subject", "Written without a mouse")
    keyboard.activate("^Send$")
    expect(keyboard.page.locator("#form-errors")).to_contain_text("is not an email address")
    keyboard.type("^To", "malik.barden@contoso.example")
    keyboard.activate("^Save draft$")
    expect(keyboard.page.locator("#draft-state")).to_contain_text("aved")
    keyboard.at("^Save draft$")
    expect(keyboard.page.locator("#email")).not_to_contain_text("is not an email address")
    expect(keyboard.page.locator("[data-dirty]")).to_be_empty()
    expect(keyboard.page.get_by_label("Subject")).to_have_value("Written without a mouse")


def test_the_file_of_an_import_can_be_chosen(keyboard: Keyboard) -> None:
    keyboard.open(f"{DEMO}/mailboxes/")
    keyboard.command("^Import$")
    keyboard.page.wait_for_url("**/import/")
    expect(keyboard.heading).to_have_text("Import mailboxes")
    keyboard.reach("^CSV file")


def test_somebody_is_about_to_be_added_to_the_people(keyboard: Keyboard) -> None:
    keyboard.open(f"{DEMO}/people/")
    keyboard.command("^Add somebody$")
    expect(keyboard.dialog).to_be_visible()
    keyboard.reach("^Cancel$")
    keyboard.press("Enter")
    expect(keyboard.dialog).to_have_count(0)
    keyboard.at("^Add somebody$")


def test_the_search_above_every_page_finds_a_mailbox(keyboard: Keyboard) -> None:
    keyboard.open("/environments/")
    keyboard.type("^Search mailboxes, server profiles", "malik")
    keyboard.press("Enter")
    keyboard.page.wait_for_url("**/search/**")
    keyboard.follow("^Malik Barden", f"/mailboxes/{PAGE}$")
    expect(keyboard.heading).to_have_text("Malik Barden")
