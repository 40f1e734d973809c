"""Every main screen of the running demo: no violation that axe knows, and no scrolling sideways."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests import accessibility
from tests.accessibility import Scheme
from tests.browser.conftest import DEMO, PATIENCE, Console, Visit
from tests.browser.contact_sheet import ContactSheet

pytestmark = [
    pytest.mark.browser,
    # pytest-playwright's own fixtures; pytest 10 will want them written otherwise.
    pytest.mark.filterwarnings("ignore:Session-scoped fixtures defined as instance methods"),
]
Examine = Callable[..., None]
#: What to click, one after the other, from the list of mailboxes.
PATHS = {
    "mailbox": ["Ana Bowman"],
    "mailbox with trouble": ["Yusuf Demir"],
    "configuration test results": ["Yusuf Demir", "Configuration test results"],
    "completeness": ["Ana Bowman", "Completeness"],
    "emails": ["Ana Bowman", "Emails"],
    "email": ["Ana Bowman", "Emails", "This month: quieter hinges, longer warranty"],
    "new email": ["Ana Bowman", "Emails", "New email"],
    "reply": ["Ana Bowman", "Emails", "Offer 2231 for forty desks", "Reply"],
}
#: Commands on selected mailboxes that ask first, by the word that is sent.
DIALOGS = {
    "change multiple records": "edit",
    "apply default email settings": "apply_default",
    "approve email": "approve",
    "test & enable": "diagnose",
}
SCREENS = {
    "environments": "/environments/",
    "new environment": "/environments/new/",
    "settings": f"{DEMO}/settings/",
    "email settings": f"{DEMO}/email-settings/",
    "email tracking": f"{DEMO}/email-tracking/",
    "people": f"{DEMO}/people/",
    "add somebody": f"{DEMO}/people/add/",
    "server profiles": f"{DEMO}/server-profiles/",
    "new server profile": f"{DEMO}/server-profiles/new/",
    "new server profile, full form": f"{DEMO}/server-profiles/new/full/",
    "mailboxes": f"{DEMO}/mailboxes/",
    "new mailbox": f"{DEMO}/mailboxes/new/",
    "mailboxes filtered": f"{DEMO}/mailboxes/?view=all&kind=user&incoming=success",
    "import mailboxes": f"{DEMO}/mailboxes/import/",
    "new forward mailbox": f"{DEMO}/mailboxes/new-forward-mailbox/",
    "emails of the environment": f"{DEMO}/emails/",
    "alerts of the environment": f"{DEMO}/alerts/",
    "completeness of the environment": f"{DEMO}/completeness/",
    "jobs": f"{DEMO}/jobs/",
    "job": f"{DEMO}/jobs/1/",
    "alerts": "/alerts/",
    "search": "/search/?q=ana",
    "account": "/account/",
    "help": "/help/",
    "nowhere": "/nowhere/",
}


@pytest.fixture(scope="session")
def sheet(request: pytest.FixtureRequest, browser: Browser) -> Iterator[ContactSheet | None]:
    """Give the sheet that pictures are collected on, when somebody asked for one."""
    folder: Path | None = request.config.getoption("--contact-sheet")
    if folder is None:
        yield None
        return
    sheet = ContactSheet(folder)
    yield sheet
    sheet.write(browser)


@pytest.fixture
def examine(sheet: ContactSheet | None, tmp_path: Path) -> Examine:
    """Give a function that checks a screen, and takes its pictures if somebody wants them."""

    def look(page: Page, title: str) -> None:
        def keep(width: int, scheme: Scheme) -> None:
            assert sheet is not None
            sheet.keep(page, title, width=width, scheme=scheme, pieces=tmp_path)

        accessibility.examine(page, look=keep if sheet is not None else None)

    return look


@pytest.fixture
def shown(visit: Visit) -> Page:
    """Give a signed-in page as wide as a desk's."""
    page = visit(1440)
    page.set_viewport_size({"width": 1440, "height": 844})
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    return page


def follow(page: Page, console: Console, words: list[str]) -> None:
    """Go from the list of mailboxes by links."""
    page.goto(f"{console.url}{DEMO}/mailboxes/")
    for word in words:
        page.locator("main").get_by_role("link", name=word, exact=True).last.click(timeout=PATIENCE)
        page.wait_for_load_state()


@pytest.mark.parametrize("screen", list(SCREENS))
def test_a_screen_is_accessible_and_fits(
    shown: Page, console: Console, examine: Examine, screen: str
) -> None:
    shown.goto(console.url + SCREENS[screen])
    examine(shown, screen)


@pytest.mark.parametrize("width", [641, 1280, 1366])
@pytest.mark.parametrize("screen", ["mailboxes", "emails of the environment", "server profiles"])
def test_a_table_scrolls_sideways_at_no_width_where_it_begins_to_show_more(
    visit: Visit, console: Console, screen: str, width: int
) -> None:
    page = visit(1440)
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(console.url + SCREENS[screen])
    table = page.locator("main .scrollx")
    assert table.evaluate("table => table.scrollWidth <= table.clientWidth")


@pytest.mark.parametrize("screen", list(PATHS))
def test_a_screen_of_a_mailbox_is_accessible_and_fits(
    shown: Page, console: Console, examine: Examine, screen: str
) -> None:
    follow(shown, console, PATHS[screen])
    examine(shown, screen)


def test_the_sign_in_is_accessible_and_fits(page: Page, console: Console, examine: Examine) -> None:
    page.goto(f"{console.url}/sign-in/")
    examine(page, "sign-in")


@pytest.mark.parametrize("tab", ["Credentials", "Advanced"])
def test_a_tab_of_the_full_form_is_accessible_and_fits(
    shown: Page, console: Console, examine: Examine, tab: str
) -> None:
    shown.goto(f"{console.url}{DEMO}/server-profiles/new/full/")
    shown.get_by_role("link", name=tab, exact=True).click()
    if tab == "Credentials":
        shown.locator("#id_authentication_type").select_option("oauth")
    examine(shown, f"new server profile, {tab}")


def test_what_detection_tried_is_accessible_and_fits(shown: Page, console: Console, examine: Examine) -> None:
    shown.goto(f"{console.url}{DEMO}/server-profiles/new/")
    shown.get_by_label("Detect settings from an email address").fill("ana@fabrikam.example")
    shown.get_by_role("button", name="Detect settings").click()
    shown.get_by_text("What was tried").click(timeout=PATIENCE)
    examine(shown, "detected settings")


def test_what_was_said_to_a_server_is_accessible_and_fits(
    shown: Page, console: Console, examine: Examine
) -> None:
    follow(shown, console, ["Yusuf Demir"])
    shown.locator(".tabs").get_by_role("link", name="Alerts").click()
    shown.get_by_text("Details").first.click()
    shown.get_by_role("link", name="Show what was said to the server").first.click()
    examine(shown, "conversation with the server")


@pytest.mark.parametrize("dialog", list(DIALOGS))
def test_a_dialog_on_selected_mailboxes_is_accessible_and_fits(
    shown: Page, console: Console, examine: Examine, dialog: str
) -> None:
    shown.goto(f"{console.url}{DEMO}/mailboxes/")
    shown.get_by_label("Select Invoices").check()
    shown.get_by_label("Select Ana Bowman").check()
    # The command may stand in the bar or under More Commands, as it fits.
    shown.locator(f'.cmdbar [name="action"][value="{DIALOGS[dialog]}"]').first.evaluate("it => it.click()")
    expect(shown.locator("dialog:modal")).to_be_visible()
    examine(shown, dialog)


def test_a_phone_reaches_every_section_by_the_menu(visit: Visit, console: Console) -> None:
    page = visit(390)
    page.goto(f"{console.url}{DEMO}/settings/")
    page.get_by_role("button", name="Navigation").click()
    page.locator("#nav").get_by_role("link", name="Mailboxes").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Active Mailboxes")
    page.get_by_role("link", name="Ana Bowman").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Ana Bowman")
