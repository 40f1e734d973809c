"""The first ten minutes of a newcomer: the real product, started with one command, on its demo."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import DEMO, PATIENCE, Console, launch

pytestmark = [
    pytest.mark.browser,
    # pytest-playwright's own fixtures; pytest 10 will want them written otherwise.
    pytest.mark.filterwarnings("ignore:Session-scoped fixtures defined as instance methods"),
]
WORKING, WRONG_PASSWORD, WAITING = "Nadia Haddad", "Yusuf Demir", "Invoices"


def open_mailboxes(page: Page) -> None:
    """Go from the environments to the demo's mailboxes."""
    page.get_by_role("link", name="Contoso (demo)", exact=True).first.click()
    page.locator("nav").get_by_role("link", name="Mailboxes", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Active Mailboxes")


def open_emails(page: Page, name: str) -> None:
    """Go from the environments to the emails of a mailbox."""
    open_mailboxes(page)
    page.get_by_role("link", name=name, exact=True).click()
    page.locator("main").get_by_role("link", name="Emails", exact=True).click()
    page.wait_for_url("**/emails/")


def row_of(page: Page, name: str) -> Locator:
    """Return the row of a mailbox; what was found about it stands in the row below."""
    return page.get_by_role("row").filter(has=page.get_by_role("link", name=name, exact=True))


def run_test(page: Page) -> None:
    """Test & Enable the three mailboxes, and wait until the page of the job says that it is over."""
    open_mailboxes(page)
    page.get_by_label(f"Select {WORKING}").check()
    page.get_by_label(f"Select {WRONG_PASSWORD}").check()
    page.get_by_label(f"Select {WAITING}").check()
    page.get_by_role("button", name="Test & Enable Mailboxes").click()
    page.get_by_role("dialog").get_by_role("button", name="OK").click()
    page.wait_for_url("**/jobs/*/")
    expect(page.get_by_role("heading", name="3 mailboxes tested")).to_be_visible(timeout=PATIENCE)


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory, project_folder: Path) -> Iterator[Console]:
    """Start everything anew: a newcomer's ten minutes begin with nothing."""
    with launch(project_folder, tmp_path_factory.mktemp("up"), "--demo") as started:
        yield started


@pytest.fixture(scope="module")
def first_job(console: Console, browser_page: Page) -> Page:
    """Give the page of the job that tested the three mailboxes."""
    run_test(console.sign_in(browser_page))
    return browser_page


def test_a_working_mailbox_ends_in_success(first_job: Page) -> None:
    expect(row_of(first_job, WORKING)).to_contain_text("Success")
    expect(row_of(first_job, WORKING)).not_to_contain_text("Failure")


def test_a_wrong_password_ends_in_failure_with_the_servers_words_and_the_remedy(first_job: Page) -> None:
    expect(row_of(first_job, WRONG_PASSWORD)).to_contain_text("Failure")
    found = row_of(first_job, WRONG_PASSWORD).locator("xpath=following-sibling::*[1]")
    expect(found).to_contain_text("Incoming email: The server refused the user name or the password.")
    expect(found).to_contain_text("The server said: [AUTHENTICATIONFAILED]")
    expect(found).to_contain_text("The server said: 535 5.7.8")
    expect(found).to_contain_text("Enter the user name and password again.")
    expect(found.get_by_role("link", name="Update credentials").first).to_be_visible()


def test_an_address_nobody_approved_ends_in_waiting_for_approval(first_job: Page) -> None:
    found = row_of(first_job, WAITING).locator("xpath=following-sibling::*[1]")
    expect(found).to_contain_text("Waiting for approval")
    expect(found.get_by_role("link", name="Approve invoices@contoso.example")).to_be_visible()


def test_a_finished_job_asks_no_more_and_shows_the_same_after_a_reload(first_job: Page) -> None:
    expect(first_job.locator("#job")).not_to_have_attribute("hx-trigger", re.compile("."))
    first_job.reload()
    expect(first_job.get_by_role("heading", name="3 mailboxes tested")).to_be_visible()
    expect(row_of(first_job, WORKING)).to_contain_text("Success")


def test_new_mail_appears_by_itself_while_somebody_looks(signed_in: Page, console: Console) -> None:
    open_emails(signed_in, "Ana Bowman")
    signed_in.evaluate("window.neverReloaded = true")
    console.deliver("The lorry is here", to="ana.bowman@contoso.example")
    expect(signed_in.get_by_role("link", name="The lorry is here")).to_be_visible(timeout=PATIENCE)
    assert signed_in.evaluate("window.neverReloaded")


def test_a_reply_arrives_in_the_other_mailbox(signed_in: Page, console: Console) -> None:
    other = signed_in.context.new_page()
    other.goto(console.url)
    open_emails(other, "Malik Barden")
    open_emails(signed_in, "Ana Bowman")
    signed_in.get_by_role("link", name="Who answers the question about the desks?").last.click(
        timeout=PATIENCE
    )
    signed_in.get_by_role("link", name="Reply", exact=True).click()
    expect(signed_in.get_by_label("To", exact=True)).to_have_value(
        "Malik Barden <malik.barden@contoso.example>"
    )
    expect(signed_in.get_by_label("Message", exact=True)).to_be_focused()
    signed_in.keyboard.type("I answer. Ana")
    signed_in.get_by_role("button", name="Send").last.click()
    expect(signed_in.locator("#delivery")).to_contain_text("Sent", timeout=PATIENCE)
    arrived = other.get_by_role("link", name="Re: Who answers the question about the desks?")
    expect(arrived).to_be_visible(timeout=PATIENCE)
    arrived.click()
    expect(other.get_by_text("I answer. Ana")).to_be_visible()


def test_the_alerts_wall_says_what_to_do_and_lets_one_alert_go(signed_in: Page, first_job: Page) -> None:
    signed_in.locator("nav").get_by_role("link", name="Alerts").click()
    alert = signed_in.get_by_role("listitem").filter(
        has_text=f"Outgoing email for {WRONG_PASSWORD} could not be tested"
    )
    expect(alert).to_contain_text("What to do: Enter the user name and password again.")
    expect(alert.get_by_role("link", name="Update credentials")).to_be_visible()
    alert.get_by_role("button", name="Delete").click()
    expect(alert).to_have_count(0)
    signed_in.reload()
    left = signed_in.get_by_role("heading", name=f"Incoming email for {WRONG_PASSWORD} could not be tested")
    expect(left).to_be_visible()
    expect(alert).to_have_count(0)


def test_signing_out_closes_the_console(signed_in: Page, console: Console) -> None:
    signed_in.get_by_role("button", name="Account: admin").click()
    signed_in.get_by_role("button", name="Sign out").click()
    signed_in.wait_for_url("**/sign-in/")
    signed_in.goto(f"{console.url}{DEMO}/mailboxes/")
    expect(signed_in.get_by_role("button", name="Sign in")).to_be_visible()


def test_all_of_it_fits_into_five_minutes_with_the_start(
    signed_in: Page, first_job: Page, console: Console
) -> None:
    assert time.monotonic() - console.started_at < 300


def test_the_console_is_opened_and_a_mailbox_found_by_keyboard_alone(page: Page, console: Console) -> None:
    page.goto(f"{console.url}/sign-in/?next={DEMO}/mailboxes/")
    expect(page.get_by_label("User name")).to_be_focused()
    page.keyboard.type("admin")
    page.keyboard.press("Tab")
    page.keyboard.type(console.password)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Active Mailboxes")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to main content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    page.get_by_label("Search mailboxes", exact=True).focus()
    page.keyboard.type("malik")
    expect(page.locator("tbody tr")).to_have_count(1)
    tab_to(page, page.get_by_role("link", name="Malik Barden"), stops=20)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Malik Barden")


def tab_to(page: Page, target: Locator, *, stops: int) -> None:
    """Press Tab until the target has the focus; it must not be farther than so many stops."""
    for _ in range(stops):
        page.keyboard.press("Tab")
        if target.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError(f"Not reached within {stops} stops: {target}")
