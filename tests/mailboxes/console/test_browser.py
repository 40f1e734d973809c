"""The mailbox screens in a real browser: panels, menus, live progress, two editors, accessibility."""

from datetime import timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import Browser, Locator, Page, expect
from pytest_django.live_server_helper import LiveServer

from mailboxes.engine import jobs as engine
from mailboxes.models import Detection, Diagnosis, DiagnosisStep, Job, Mailbox, WorkerState
from mailboxes.services import approval, diagnosis, editing
from profiles.models import EmailSettings, Environment, ServerProfile
from tests.sessions import sign_in

pytestmark = [
    pytest.mark.browser,
    pytest.mark.usefixtures("unsafe_async"),
    pytest.mark.django_db(transaction=True),
    # pytest-playwright's base_url is one.
    pytest.mark.filterwarnings("ignore:Session-scoped fixtures defined as instance methods"),
]
LIST_URL = "/environments/contoso/mailboxes/"
#: What has the focus, when the bar with Save covers part of it.
HIDDEN_BY_THE_BAR = """() => {
  const focused = document.activeElement, bar = document.querySelector(".savebar");
  const bottom = focused.getBoundingClientRect().bottom, top = bar.getBoundingClientRect().top;
  const isField = bar.parentElement.contains(focused) && !bar.contains(focused);
  return isField && bottom > top + 1 ? [focused.id] : [];
}"""


@pytest.fixture
def ana(transactional_db: None) -> Mailbox:
    """Give Ana's mailbox, which waits for approval, beside an approved one."""
    rosa = User.objects.create_superuser("rosa", first_name="Rosa", last_name="Keller")
    environment = Environment.objects.create(slug="contoso", name="Contoso")
    EmailSettings.objects.create(environment=environment)
    where = {"incoming_location": "imap.contoso.example", "outgoing_location": "smtp.contoso.example"}
    profile = ServerProfile.objects.create(
        environment=environment,
        name="Contoso IMAP",
        is_default=True,
        incoming_port=993,
        outgoing_port=465,
        **where,
    )
    shared = {"environment": environment, "server_profile": profile, "owner": rosa}
    editing.create(Mailbox(name="Ben Okafor", address="ben@contoso.example", **shared), by=rosa)
    approval.approve(Mailbox.objects.all(), by=rosa, now=timezone.now())
    return editing.create(Mailbox(name="Ana Bowman", address="ana@contoso.example", **shared), by=rosa)


@pytest.fixture
def base(live_server: LiveServer, ana: Mailbox) -> str:
    """Give the address of the running console."""
    return live_server.url


@pytest.fixture
def shown(page: Page, base: str) -> Page:
    """Give the list of mailboxes, signed in."""
    open_page(page, base, to=LIST_URL)
    return page


def open_page(page: Page, base: str, *, to: str) -> None:
    """Open a page in a browser in which Rosa has signed in."""
    sign_in(page, base, User.objects.get(username="rosa")).goto(f"{base}{to}")


def start_job() -> Job:
    """Start a test of all mailboxes; no worker runs here."""
    environment = Environment.objects.get()
    return diagnosis.start(Mailbox.objects.all(), environment=environment, by=None, now=timezone.now())


def finish(job: Job) -> None:
    """Do the worker's work: the first mailbox fails at signing in, the others succeed."""
    now = timezone.now()
    job.diagnoses.update(
        state="done", incoming="success", outgoing="success", started_on=now, finished_on=now
    )
    first = job.diagnoses.order_by("mailbox__name")[0]
    Diagnosis.objects.filter(pk=first.pk).update(incoming="failure", finished_on=now + timedelta(seconds=2))
    DiagnosisStep.objects.create(
        diagnosis=first,
        direction="incoming",
        position=0,
        name="authenticate",
        title="The server refused the password.",
        outcome="failure",
        started_on=now,
        error_code="login_refused",
        remedy="Enter the right one.",
    )
    engine.begin(Job.objects.get(pk=job.pk), now=now)
    engine.count(job, changed=False, failed=True)
    engine.count(job, changed=True, failed=False)
    engine.settle(job.pk, now=now)


def test_approving_from_a_rows_menu_changes_the_row_in_place(shown: Page, ana: Mailbox) -> None:
    row = shown.get_by_role("row").filter(has_text="Ana Bowman")
    shown.get_by_role("button", name="Actions for Ana Bowman").click()
    row.get_by_role("button", name="Approve Email").click()
    dialog = shown.get_by_role("dialog")
    expect(dialog).to_contain_text("Approve 1 email address?")
    expect(dialog.get_by_role("button", name="OK")).to_be_focused()
    shown.keyboard.press("Enter")
    expect(shown.get_by_role("status").filter(has_text="1 email address approved")).to_be_visible()
    expect(row).to_contain_text("Approved")


def test_what_has_the_focus_is_not_hidden_by_the_bar_with_save(shown: Page, ana: Mailbox, base: str) -> None:
    shown.set_viewport_size({"width": 1280, "height": 640})
    shown.goto(f"{base}{ana.get_absolute_url()}")
    shown.locator("#id_name").focus()
    hidden = []
    for _ in range(20):
        shown.keyboard.press("Tab")
        hidden += shown.evaluate(HIDDEN_BY_THE_BAR)
    assert hidden == []


def test_cancelling_gives_the_focus_back_and_changes_nothing(shown: Page, ana: Mailbox) -> None:
    shown.get_by_label("Select Ana Bowman").check()
    command = shown.get_by_role("button", name="Reject Email")
    command.click()
    expect(shown.get_by_role("dialog")).to_contain_text("Reject 1 email address?")
    shown.keyboard.press("Escape")
    expect(command).to_be_focused()
    assert Mailbox.objects.filter(address_status="rejected").count() == 0


def test_commands_wait_for_a_selection(shown: Page) -> None:
    edit = shown.get_by_role("button", name="Edit")
    expect(edit).to_be_disabled()
    shown.get_by_label("Select Ana Bowman").check()
    expect(edit).to_be_enabled()
    shown.get_by_label("Select Ben Okafor").check()
    expect(edit).to_be_enabled()
    expect(shown.get_by_role("button", name="Test & Enable Mailboxes")).to_be_enabled()


def test_all_that_match_are_chosen_beyond_the_page_and_given_back_by_undo(shown: Page, ana: Mailbox) -> None:
    for number in range(30):
        address = f"person{number}@contoso.example"
        editing.create(
            Mailbox(name=f"Person {number}", address=address, environment=ana.environment), by=None
        )
    shown.reload()
    shown.get_by_label("Select all rows on this page").check()
    selection = shown.locator("[data-selection]")
    expect(selection).to_contain_text("25 selected")
    shown.get_by_role("link", name="Select all 32 that match").click()
    expect(selection).to_contain_text("32 selected")
    expect(shown.get_by_role("link", name="Clear selection")).to_be_focused()
    shown.get_by_role("button", name="More Commands").click()
    shown.get_by_role("button", name="Deactivate").click()
    shown.get_by_role("dialog").get_by_role("button", name="OK").click()
    said = shown.get_by_role("status")
    expect(said.filter(has_text="32 mailboxes deactivated")).to_be_visible(timeout=30_000)
    expect(shown.get_by_text("No mailbox in “Active Mailboxes”")).to_be_visible()
    shown.get_by_role("button", name="Undo").click()
    expect(said.filter(has_text="32 mailboxes activated")).to_be_visible(timeout=30_000)
    expect(shown.locator("tbody tr")).to_have_count(25)


def test_searching_changes_the_rows_and_the_address(shown: Page) -> None:
    shown.get_by_label("Search mailboxes", exact=True).fill("okafor")
    expect(shown.locator("tbody tr")).to_have_count(1)
    expect(shown.locator("tbody tr")).to_contain_text("Ben Okafor")
    assert shown.url.endswith("?q=okafor")


def test_a_refused_panel_keeps_everything_and_then_creates(shown: Page) -> None:
    shown.get_by_role("link", name="New mailbox").click()
    panel = shown.get_by_role("dialog")
    panel.get_by_label("Name", exact=False).first.fill("Billing")
    panel.get_by_label("Email Address").fill("ana@contoso.example")
    panel.get_by_role("switch", name="Allow to Use Credentials for Email Processing").check()
    panel.get_by_label("User Name").fill("billing")
    panel.get_by_label("Password", exact=True).fill("a secret")
    panel.get_by_role("button", name="Save").click()
    expect(panel.get_by_role("alert")).to_contain_text("Another mailbox of this environment has the address")
    panel.get_by_label("Email Address").fill("billing@contoso.example")
    panel.get_by_role("button", name="Save").click()
    expect(shown.get_by_role("heading", level=1)).to_have_text("Billing")
    assert Mailbox.objects.get(name="Billing").password.reveal() == "a secret"


def test_the_second_of_two_editors_is_told_and_decides(
    browser: Browser, shown: Page, base: str, ana: Mailbox
) -> None:
    url = ana.get_absolute_url()
    shown.goto(f"{base}{url}")
    with browser.new_context() as second:
        other = second.new_page()
        open_page(other, base, to=url)
        other.get_by_label("Name", exact=False).first.fill("Ana of the other tab")
        other.locator(".cmdbar").get_by_role("button", name="Save", exact=True).click()
        expect(other.get_by_role("heading", level=1)).to_have_text("Ana of the other tab")
    shown.locator("#id_name").fill("Ana of this tab")
    shown.locator(".cmdbar").get_by_role("button", name="Save", exact=True).click()
    expect(shown.get_by_role("alert")).to_contain_text("saved this record while you were editing it")
    expect(shown.locator("#id_name")).to_have_value("Ana of this tab")
    shown.locator(".cmdbar").get_by_role("button", name="Save", exact=True).click()
    expect(shown.get_by_role("heading", level=1)).to_have_text("Ana of this tab")


def test_a_job_changes_while_one_looks_and_then_rests(shown: Page, base: str) -> None:
    job = start_job()
    shown.goto(f"{base}{job.get_absolute_url()}")
    expect(shown.get_by_role("heading", level=2)).to_have_text("Waiting to start")
    finish(job)
    expect(shown.get_by_role("heading", level=2)).to_have_text("2 mailboxes tested")
    expect(shown.locator("#job-status")).to_contain_text("2 of 2 mailboxes tested, 1 failed.")
    expect(shown.get_by_text("Enter the right one.")).to_be_visible()
    expect(shown.get_by_role("button", name="Test again what failed")).to_be_enabled()
    expect(shown.locator("#job[hx-trigger]")).to_have_count(0)


def test_a_job_is_followed_without_script(browser: Browser, base: str) -> None:
    job = start_job()
    with browser.new_context(java_script_enabled=False) as plain:
        page = plain.new_page()
        open_page(page, base, to=job.get_absolute_url())
        finish(job)
        page.get_by_role("link", name="Refresh").click()
        expect(page.get_by_role("heading", level=2)).to_have_text("2 mailboxes tested")


def test_approving_works_without_script(browser: Browser, base: str, ana: Mailbox) -> None:
    with browser.new_context(java_script_enabled=False) as plain:
        page = plain.new_page()
        open_page(page, base, to=LIST_URL)
        page.get_by_label("Select Ana Bowman").check()
        page.locator(".cmdbar").get_by_role("button", name="Approve Email").first.click()
        page.get_by_role("dialog").get_by_role("button", name="OK").click()
        expect(page.locator("#toasts")).to_contain_text("1 email address approved")
    ana.refresh_from_db()
    assert ana.address_status == "approved"


def test_the_state_of_a_mailbox_follows_and_leaves_what_is_typed_and_opened(
    shown: Page, base: str, ana: Mailbox
) -> None:
    shown.clock.install()
    shown.goto(f"{base}{ana.get_absolute_url()}")
    card = shown.locator("#course")
    expect(card).to_contain_text("Why is this not syncing?")
    shown.locator("#checks-incoming > summary").click()
    shown.locator("#id_name").fill("Ana B")
    WorkerState.objects.update(status="success", is_enabled=True)
    ana.allow_credentials, ana.user_name, ana.password = True, "ana", "secret"
    ana.save()
    approval.approve(Mailbox.objects.all(), by=None, now=timezone.now())
    shown.clock.fast_forward(16_000)
    expect(card).to_contain_text("The address ana@contoso.example is approved.")
    expect(shown.locator("#checks-incoming")).to_have_attribute("open", "")
    expect(shown.locator("#id_name")).to_have_value("Ana B")


def test_changing_several_by_keyboard_alone(shown: Page, ana: Mailbox) -> None:
    shown.get_by_label("Select Ana Bowman").focus()
    shown.keyboard.press("Space")
    shown.get_by_label("Select Ben Okafor").focus()
    shown.keyboard.press("Space")
    shown.get_by_role("button", name="Edit").first.focus()
    shown.keyboard.press("Enter")
    dialog = shown.get_by_role("dialog")
    expect(dialog.get_by_role("combobox", name="Server Profile")).to_be_focused()
    tab_to(shown, dialog.get_by_role("combobox", name="Outgoing Email"))
    shown.keyboard.press("Space")
    shown.keyboard.press("ArrowDown")
    shown.keyboard.press("Enter")
    expect(dialog.get_by_role("status")).to_contain_text("Outgoing Email becomes None on 2 of 2.")
    assert Axe().run(shown).response["violations"] == []
    tab_to(shown, dialog.get_by_role("button", name="Change"))
    shown.keyboard.press("Enter")
    expect(shown.get_by_role("status").filter(has_text="2 mailboxes changed")).to_be_visible()
    expect(dialog).to_have_count(0)
    assert Mailbox.objects.filter(outgoing="none").count() == 2


def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until the focus is there."""
    for _ in range(60):
        if target.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError("The Tab key does not lead there.")


def test_the_commands_on_the_mailboxes_of_a_profile_stand_in_one_line_on_a_phone(
    page: Page, base: str
) -> None:
    profile = ServerProfile.objects.get()
    page.set_viewport_size({"width": 320, "height": 700})
    open_page(page, base, to=f"/environments/contoso/server-profiles/{profile.pk}/mailboxes/")
    assert page.locator(".cmdbar").bounding_box()["height"] < 60  # type: ignore[index]


def test_a_phone_shows_the_present_tab(page: Page, base: str, ana: Mailbox) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    open_page(page, base, to=f"{LIST_URL}{ana.pk}/alerts/")
    expect(page.locator(".tabs [aria-current]")).to_be_in_viewport(ratio=1)


def test_what_destroys_has_the_focus_on_cancel_on_a_page_of_its_own_too(
    page: Page, base: str, ana: Mailbox
) -> None:
    open_page(page, base, to=f"{LIST_URL}{ana.pk}/delete/")
    expect(page.locator("dialog:modal").get_by_text("Cancel")).to_be_focused()


def test_the_full_form_follows_a_changed_fragment_to_its_tab(page: Page, base: str) -> None:
    open_page(page, base, to="/environments/contoso/server-profiles/new/full/")
    expect(page.locator("#general")).to_be_visible()
    page.evaluate("location.hash = '#credentials'")
    expect(page.locator("#credentials")).to_be_visible()
    expect(page.locator("#general")).to_be_hidden()


def test_what_detection_found_fills_the_full_form_and_keeps_what_was_typed(page: Page, base: str) -> None:
    open_page(page, base, to="/environments/contoso/server-profiles/new/full/")
    page.locator("[name=name]").fill("Northwind mail")
    page.get_by_label("Detect settings from an email address").fill("ana@northwind.example")
    page.get_by_role("button", name="Detect settings").click()
    expect(page.get_by_text("A worker looks for the mail servers of northwind.example.")).to_be_visible()
    found = {
        "incoming_protocol": "imap",
        "incoming_location": "imap.northwind.example",
        "incoming_port": 993,
        "incoming_security": "tls",
        "outgoing_location": "smtp.northwind.example",
        "outgoing_port": 465,
        "outgoing_security": "tls",
    }
    sources = {"incoming": "DNS", "outgoing": "DNS"}
    finished = {"finished_on": timezone.now(), "state": "done"}
    Detection.objects.update(found=found, sources=sources, **finished)
    page.get_by_role("button", name="Use these settings").click()
    expect(page.locator("[name=incoming_location]")).to_have_value("imap.northwind.example")
    expect(page.locator("[name=outgoing_port]")).to_have_value("465")
    expect(page.locator("[name=name]")).to_have_value("Northwind mail")
