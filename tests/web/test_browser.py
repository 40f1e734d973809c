"""The script and the sheet in a real browser: dialogs, focus, bad days, small screens, accessibility."""

import contextlib
import re

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import BrowserContext, Dialog, Error, Page, Route, expect
from pytest_django.live_server_helper import LiveServer

from tests.accessibility import examine
from tests.sessions import sign_in
from tests.web.trial import LIST_URL

pytestmark = [
    pytest.mark.browser,
    pytest.mark.usefixtures("unsafe_async"),
    pytest.mark.django_db(transaction=True),
    # pytest-playwright's own fixtures; pytest 10 will want them written otherwise.
    pytest.mark.filterwarnings("ignore:Session-scoped fixtures defined as instance methods"),
]


@pytest.fixture
def people() -> None:
    """Add Rosa and some others."""
    User.objects.create_superuser("rosa", first_name="Rosa", last_name="Keller")
    User.objects.bulk_create([User(username=f"person {number}") for number in range(1, 8)])


@pytest.fixture
def base(live_server: LiveServer, people: None) -> str:
    """Give the address of the running console."""
    return live_server.url


def open_list(page: Page, base: str) -> None:
    """Open the list in a browser in which Rosa has signed in."""
    sign_in(page, base, User.objects.get(username="rosa")).goto(f"{base}{LIST_URL}")


@pytest.fixture
def shown(page: Page, base: str) -> Page:
    """Give the list, signed in."""
    open_list(page, base)
    return page


@pytest.fixture
def panel(shown: Page) -> Page:
    """Give the list with its panel open."""
    shown.get_by_role("link", name="New server").click()
    expect(shown.locator("dialog:modal")).to_be_visible()
    return shown


def save(page: Page) -> None:
    """Send the panel's form."""
    page.get_by_role("button", name="Save").click()


def test_nothing_on_the_pages_breaks_their_policy(page: Page, base: str) -> None:
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    open_list(page, base)
    page.get_by_role("link", name="New server").click()
    page.locator("dialog:modal").wait_for()
    assert [words for words in said if "Content Security Policy" in words or "Error" in words] == []


def test_a_panel_opens_on_its_first_field(panel: Page) -> None:
    expect(panel.get_by_role("textbox", name="Name")).to_be_focused()


def test_a_closed_panel_gives_the_focus_back(panel: Page) -> None:
    panel.get_by_role("button", name="Cancel").click()
    expect(panel.locator("dialog")).to_have_count(0)
    expect(panel.get_by_role("link", name="New server")).to_be_focused()


def test_escape_on_a_changed_form_asks_first(panel: Page) -> None:
    asked: list[str] = []

    def dismiss(dialog: Dialog) -> None:
        asked.append(dialog.message)
        dialog.dismiss()

    panel.on("dialog", dismiss)
    panel.get_by_role("textbox", name="Name").fill("typed")
    panel.keyboard.press("Escape")
    expect(panel.get_by_role("textbox", name="Name")).to_have_value("typed")
    assert asked == ["Discard your changes?"]


def test_a_refused_form_says_so_at_its_head_and_leads_to_the_field(panel: Page) -> None:
    panel.locator("#id_pause").evaluate("field => { field.value = 999; }")
    panel.get_by_role("textbox", name="Name").fill("kept")
    save(panel)
    expect(panel.locator("#form-errors")).to_be_focused()
    panel.get_by_role("link", name="Pause").click()
    expect(panel.locator("#id_pause")).to_be_focused()
    expect(panel.get_by_role("textbox", name="Name")).to_have_value("kept")


def test_a_typed_secret_survives_a_refused_form_inside_the_browser(panel: Page) -> None:
    answers: list[str] = []
    panel.on("response", lambda response: answers.append(response.text()) if response.status == 422 else None)
    panel.get_by_label("Password", exact=True).fill("correct horse")
    save(panel)
    expect(panel.locator("#form-errors")).to_be_visible()
    expect(panel.get_by_label("Password", exact=True)).to_have_value("correct horse")
    assert "correct horse" not in "".join(answers)


def test_enter_in_a_field_saves_the_form_and_a_toast_says_so(panel: Page) -> None:
    panel.get_by_role("textbox", name="Name").fill("Contoso IMAP")
    panel.keyboard.press("Enter")
    expect(panel.locator("dialog")).to_have_count(0)
    expect(panel.get_by_role("status").filter(has_text="Server saved")).to_be_visible()


def test_a_form_whose_token_is_gone_is_renewed_in_place(panel: Page, context: BrowserContext) -> None:
    panel.get_by_role("textbox", name="Name").fill("kept")
    context.clear_cookies(name="csrftoken")
    save(panel)
    expect(panel.get_by_role("alert")).to_contain_text("This form had expired and was renewed.")
    expect(panel.get_by_role("textbox", name="Name")).to_have_value("kept")
    save(panel)
    expect(panel.get_by_role("status").filter(has_text="Server saved")).to_be_visible()


def test_an_ended_session_keeps_what_was_typed(panel: Page, context: BrowserContext, base: str) -> None:
    panel.get_by_role("textbox", name="Name").fill("kept")
    context.clear_cookies(name="sessionid")
    save(panel)
    expect(panel.get_by_role("alert")).to_contain_text("Your session has ended.")
    other = context.new_page()
    open_list(other, base)
    expect(panel.get_by_role("textbox", name="Name")).to_have_value("kept")
    save(panel)
    expect(panel.get_by_role("status").filter(has_text="Server saved")).to_be_visible()


def test_an_ended_session_on_a_list_leads_to_the_sign_in(shown: Page, context: BrowserContext) -> None:
    context.clear_cookies(name="sessionid")
    shown.get_by_role("link", name="Staff").click()
    expect(shown).to_have_url(re.compile(r"/sign-in/\?next=%2Fenvironments%2Fcontoso%2Fmailboxes%2F$"))


def test_a_server_that_is_gone_is_said_in_the_form(panel: Page, context: BrowserContext) -> None:
    panel.get_by_role("textbox", name="Name").fill("kept")
    context.set_offline(offline=True)
    save(panel)
    expect(panel.get_by_role("alert")).to_contain_text("The server does not answer.")
    expect(panel.get_by_role("textbox", name="Name")).to_have_value("kept")


def test_the_end_of_a_job_is_told_on_the_page_one_went_on_to(shown: Page, base: str) -> None:
    script = shown.locator("script[src*=console]").get_attribute("src")
    running = (
        f'<script src="{script}"></script><h1>Import</h1><div id="job" hx-get="/jobs/1/progress/"></div>'
    )
    over = '<div id="job" data-ended="warning"></div><p id="job-status">3 of 3 done, 1 skipped.</p>'
    shown.route("**/jobs/1/", lambda route: route.fulfill(content_type="text/html", body=running))
    shown.route("**/progress/", lambda route: route.fulfill(content_type="text/html", body=over))
    shown.goto(f"{base}/jobs/1/")
    for times in (1, 0):
        shown.goto(f"{base}{LIST_URL}")
        shown.wait_for_timeout(1500)
        expect(shown.locator(".toast", has_text="3 of 3 done, 1 skipped.")).to_have_count(times)


def test_search_narrows_the_rows_and_stands_in_the_address(shown: Page) -> None:
    shown.get_by_label("Search people").fill("person 3")
    expect(shown.locator("tbody tr")).to_have_count(1)
    expect(shown).to_have_url(re.compile(r"\?q=person\+3$|\?q=person%203$"))
    expect(shown.get_by_label("Search people")).to_be_focused()


def test_of_two_filters_chosen_in_a_hurry_the_last_one_counts(shown: Page) -> None:
    held: list[Route] = []
    shown.route(re.compile("facet="), lambda route: held.append(route))  # noqa: PLW0108  (Playwright looks into it)
    for name in ("Others", "Staff"):
        with shown.expect_request(re.compile(f"facet={name.lower()}")):
            shown.get_by_role("link", name=name).click()
    for route in held:
        # The browser no longer waits for the first.
        with contextlib.suppress(Error):
            route.continue_()
    expect(shown.locator("tbody tr")).to_have_count(1)
    expect(shown).to_have_url(re.compile(r"\?facet=staff$"))


def test_the_way_back_shows_the_list_as_it_was(shown: Page) -> None:
    shown.get_by_role("link", name="Others").click()
    expect(shown).to_have_url(re.compile(r"\?facet=others$"))
    expect(shown.locator("tbody tr")).to_have_count(5)
    shown.get_by_role("link", name="Staff").click()
    expect(shown.locator("tbody tr")).to_have_count(1)
    shown.go_back()
    expect(shown.locator("tbody tr")).to_have_count(5)


def test_a_command_waits_for_a_selection(shown: Page) -> None:
    expect(shown.get_by_role("button", name="Edit")).to_be_disabled()
    shown.get_by_role("checkbox").nth(1).check()
    expect(shown.get_by_role("button", name="Edit")).to_be_enabled()


def test_shift_and_click_select_a_range(shown: Page) -> None:
    shown.locator(".rowcheck").nth(0).click()
    shown.locator(".rowcheck").nth(3).click(modifiers=["Shift"])
    expect(shown.locator(".rowcheck:checked")).to_have_count(4)


def test_the_theme_is_kept(shown: Page) -> None:
    shown.get_by_role("button", name="Switch between light and dark theme").click()
    shown.reload()
    expect(shown.locator("html")).to_have_attribute("data-theme", re.compile("dark|light"))


def test_the_panel_and_its_errors_are_accessible_and_fit(page: Page, base: str) -> None:
    open_list(page, base)
    page.get_by_role("link", name="New server").click()
    page.locator("dialog:modal").wait_for()
    save(page)
    page.locator("#form-errors").wait_for()
    examine(page)


@pytest.mark.parametrize(
    "path", ["/sign-in/", "/help/", "/nowhere/", "/crash/", "/away/", "/forbidden/", LIST_URL]
)
def test_no_page_scrolls_sideways_on_the_smallest_phone(page: Page, base: str, path: str) -> None:
    page.set_viewport_size({"width": 320, "height": 640})
    open_list(page, base)
    page.goto(f"{base}{path}")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
