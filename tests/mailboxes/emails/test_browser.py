"""The mail and alert screens in a real browser: hostile mail, news, focus, files, accessibility."""

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from mailboxes.alerts import wall
from mailboxes.choices import OutgoingStatus
from mailboxes.models import Alert, Mailbox, Message, OutgoingMessage
from mailboxes.sanitizing import SafeHtml
from mailboxes.services import reading
from tests.accessibility import examine
from tests.mailboxes.emails.world import Receive, outgoing
from tests.sessions import sign_in

pytestmark = [
    pytest.mark.browser,
    pytest.mark.usefixtures("unsafe_async"),
    pytest.mark.django_db(transaction=True),
    # pytest-playwright's own fixtures; pytest 10 will want them written otherwise.
    pytest.mark.filterwarnings("ignore:Session-scoped fixtures defined as instance methods"),
]
#: Everything that is known to run, load or lead away, aimed at a server that counts its visitors.
HOSTILE = """<html><head><style>@import url(TRAP/import.css); body { background: url(TRAP/body.gif) }
@font-face { font-family: x; src: url(TRAP/font.woff) } p { font-family: x }</style>
<link rel="stylesheet" href="TRAP/link.css"><link rel="prefetch" href="TRAP/prefetch">
<meta http-equiv="refresh" content="0;url=TRAP/refresh"><base href="TRAP/base/"></head>
<body onload="top.hacked = 1" background="TRAP/background.gif"><p id="words">Kind words</p>
<script>top.hacked = 1; fetch("TRAP/fetch"); document.title = "hacked"</script>
<script src="TRAP/script.js"></script><img src="x" onerror="top.hacked = 1; new Image().src = 'TRAP/error'">
<img src="TRAP/track.gif"><img srcset="TRAP/set.gif 1x"><picture><source srcset="TRAP/source.gif"></picture>
<svg onload="top.hacked = 1"><image href="TRAP/svg.gif"/><script>top.hacked = 1</script></svg>
<iframe src="TRAP/frame"></iframe><object data="TRAP/object"></object><embed src="TRAP/embed">
<video src="TRAP/video" poster="TRAP/poster" autoplay></video><audio src="TRAP/audio" autoplay></audio>
<div style="background-image: url(TRAP/css.gif); list-style-image: url(TRAP/list.gif)">styled</div>
<input type="image" src="TRAP/input.gif"><input autofocus onfocus="top.hacked = 1">
<details open ontoggle="top.hacked = 1">x</details>
<form action="TRAP/form"><button>Sign in</button></form>
<a id="js" href="javascript:top.hacked = 1">click</a>
<table background="TRAP/table.gif"><tr><td>cell</td></tr></table></body></html>"""


@pytest.fixture
def trap() -> Iterator[tuple[str, list[str]]]:
    """Give the address of a server, and the list of what was asked of it."""
    visits: list[str] = []

    class Counting(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            visits.append(self.path)
            self.send_response(200)
            self.end_headers()

        do_POST = do_GET  # noqa: N815  (http.server calls it so)

        def log_message(self, *words: object) -> None:
            """Stay silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Counting) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", visits
        server.shutdown()
        thread.join()


@pytest.fixture
def hostile(receive: Receive, trap: tuple[str, list[str]]) -> Message:
    """Give a received message that tries everything."""
    letter = EmailMessage()
    letter["From"] = "Eve <eve@evil.example>"
    letter["Subject"] = "Kind words"
    letter.set_content("plain")
    letter.add_alternative(HOSTILE.replace("TRAP", trap[0]), subtype="html")
    return receive(letter.as_bytes())


@pytest.fixture
def shown(page: Page, live_server: LiveServer, rosa: User, mailbox: Mailbox) -> Page:
    """Give a browser in which Rosa is signed in."""
    return sign_in(page, live_server.url, rosa)


@pytest.fixture
def at(live_server: LiveServer, mailbox: Mailbox) -> Callable[..., str]:
    """Give a function that returns the whole address of a screen of the mailbox."""

    def address(name: str, *numbers: int) -> str:
        return live_server.url + reverse(f"mailboxes:{name}", args=["contoso", mailbox.pk, *numbers])

    return address


def hacked(page: Page) -> bool:
    return bool(page.evaluate("window.hacked === 1 || document.title === 'hacked'"))


def test_hostile_mail_neither_runs_nor_loads_anything(
    shown: Page, at: Callable[..., str], hostile: Message, trap: tuple[str, list[str]]
) -> None:
    shown.goto(at("message_detail", hostile.pk))
    expect(shown.frame_locator("iframe").get_by_text("Kind words")).to_be_visible()
    shown.frame_locator("iframe").get_by_text("click").click()
    shown.wait_for_timeout(700)
    assert trap[1] == []
    assert not hacked(shown)
    assert shown.url == at("message_detail", hostile.pk)


def test_policy_and_sandbox_alone_stop_it_too(
    shown: Page,
    at: Callable[..., str],
    hostile: Message,
    trap: tuple[str, list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raw = HOSTILE.replace("TRAP", trap[0]).replace('<meta http-equiv="refresh"', "<meta")
    as_it_came = SafeHtml(html=raw, blocked_images=0, is_cut=False)
    monkeypatch.setattr(reading, "html_of", lambda _, **_options: as_it_came)
    shown.goto(at("message_detail", hostile.pk))
    frame = shown.frame_locator("iframe")
    expect(frame.get_by_text("Kind words")).to_be_visible()
    frame.get_by_text("click").click()
    frame.get_by_role("button", name="Sign in").click()
    shown.wait_for_timeout(700)
    assert trap[1] == []
    assert not hacked(shown)


def test_the_frame_has_an_origin_of_its_own(shown: Page, at: Callable[..., str], hostile: Message) -> None:
    shown.goto(at("message_detail", hostile.pk))
    expect(shown.frame_locator("iframe").get_by_text("Kind words")).to_be_visible()
    assert shown.evaluate("document.querySelector('iframe').contentDocument") is None


def test_a_link_opens_in_a_tab_of_its_own(
    shown: Page, at: Callable[..., str], receive: Receive, trap: tuple[str, list[str]]
) -> None:
    letter = EmailMessage()
    letter.set_content(f'<a href="{trap[0]}/page">Open the invoice</a>', subtype="html")
    shown.goto(at("message_detail", receive(letter.as_bytes()).pk))
    with shown.expect_popup():
        shown.frame_locator("iframe").get_by_text("Open the invoice").click()
    shown.wait_for_timeout(300)
    assert trap[1][0] == "/page"
    assert "/received/" in shown.url


def test_new_mail_appears_by_itself_and_nothing_under_the_hands_moves(
    shown: Page, at: Callable[..., str], receive: Receive
) -> None:
    for number in range(25):
        receive(received_at=timezone.now() - timedelta(hours=number + 1))
    shown.goto(at("mailbox_emails"))
    shown.locator("tbody a").nth(5).focus()
    shown.evaluate("scrollTo(0, 200)")
    held = shown.evaluate("document.activeElement.id")
    receive(subject="Something new", received_at=timezone.now())
    expect(shown.get_by_role("link", name="Something new")).to_be_attached(timeout=60_000)
    assert shown.evaluate("document.activeElement.id") == held
    assert shown.evaluate("scrollY") == 200


def test_a_typed_search_is_not_disturbed_by_news(
    shown: Page, at: Callable[..., str], receive: Receive
) -> None:
    receive()
    shown.goto(at("mailbox_emails"))
    shown.get_by_label("Search emails").fill("20418")
    shown.wait_for_url("**/?q=20418")
    asked: list[str] = []
    shown.on("request", lambda request: asked.append(request.url))
    shown.wait_for_timeout(6000)
    assert [url for url in asked if "/emails/" in url] == []
    expect(shown.get_by_label("Search emails")).to_be_focused()


def test_a_refused_form_keeps_what_was_typed_and_the_chosen_files(
    shown: Page, at: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "März.pdf").write_bytes(b"%PDF")
    shown.goto(at("email_create"))
    shown.get_by_label("To", exact=True).fill("nonsense")
    shown.get_by_role("textbox", name="Message").fill("A long letter")
    shown.get_by_label("Attachments").set_input_files(tmp_path / "März.pdf")
    shown.locator("form").get_by_role("button", name="Send").click()
    expect(shown.get_by_role("alert")).to_contain_text("“nonsense” is not an email address")
    expect(shown.get_by_role("alert")).to_be_focused()
    expect(shown.get_by_role("textbox", name="Message")).to_have_value("A long letter")
    shown.get_by_label("To", exact=True).fill("jo@fjordline.example")
    shown.keyboard.press("Enter")  # sends nothing
    expect(shown.get_by_role("textbox", name="Message")).to_have_value("A long letter")
    assert OutgoingMessage.objects.get().status == "draft"
    shown.locator("form").get_by_role("button", name="Send").click()
    expect(shown.locator("#delivery")).to_contain_text("Pending Send")
    assert OutgoingMessage.objects.get().attachment_count == 1


def test_an_email_is_followed_until_it_is_sent(shown: Page, at: Callable[..., str], mailbox: Mailbox) -> None:
    message = outgoing(mailbox, now=timezone.now())
    shown.goto(at("outgoing_detail", message.pk))
    expect(shown.locator("#delivery")).to_contain_text("Pending Send")
    OutgoingMessage.objects.update(status=OutgoingStatus.SENT, sent_at=timezone.now())
    expect(shown.locator("#delivery")).to_contain_text("Accepted by the mail server")
    expect(shown.locator("#delivery[hx-trigger*=every]")).to_have_count(0)


def test_a_decision_about_an_uncertain_email_is_confirmed(
    shown: Page, at: Callable[..., str], mailbox: Mailbox
) -> None:
    message = outgoing(mailbox, now=timezone.now(), status=OutgoingStatus.UNCERTAIN)
    shown.goto(at("outgoing_detail", message.pk))
    shown.get_by_role("link", name="Mark as sent").click()
    shown.get_by_role("dialog").get_by_role("button", name="Mark as sent").click()
    expect(shown.locator("#delivery")).to_contain_text("Accepted by the mail server")


def test_writing_and_deciding_work_without_script(
    browser: Browser, live_server: LiveServer, rosa: User, mailbox: Mailbox, at: Callable[..., str]
) -> None:
    with browser.new_context(java_script_enabled=False) as plain:
        page = sign_in(plain.new_page(), live_server.url, rosa)
        page.goto(at("email_create"))
        page.get_by_label("To", exact=True).fill("jo@fjordline.example")
        page.locator("form").get_by_role("button", name="Send").click()
        OutgoingMessage.objects.update(status=OutgoingStatus.UNCERTAIN)
        page.get_by_role("link", name="Refresh").click()
        page.get_by_role("link", name="Send again").click()
        page.get_by_role("dialog").get_by_role("button", name="Send again").click()
        expect(page.locator("#delivery")).to_contain_text("Pending Send")


def put_alerts(mailbox: Mailbox) -> None:
    now = timezone.now()
    shared = {
        "environment": mailbox.environment,
        "mailbox": mailbox,
        "first_seen_on": now - timedelta(days=1),
    }
    words = {"mailbox": "Billing", "cause": "The server refused the sign-in.", "remedy": "Type the password."}
    Alert.objects.bulk_create(
        Alert(
            kind=kind,
            level=level,
            key=kind,
            count=number + 1,
            parameters=words,
            error_code="login_refused",
            details="535 no",
            last_seen_on=now - timedelta(minutes=number),
            resolved_on=now if kind == "outgoing_stopped" else None,
            **shared,
        )
        for number, (kind, level) in enumerate(
            [
                ("incoming_stopped", "error"),
                ("email_retrying", "warning"),
                ("outgoing_stopped", "error"),
                ("configuration_succeeded", "information"),
            ]
        )
    )


def test_a_deleted_card_hands_the_focus_to_the_next(
    shown: Page, at: Callable[..., str], mailbox: Mailbox
) -> None:
    put_alerts(mailbox)
    shown.goto(at("mailbox_alerts"))
    shown.get_by_role("button", name="Delete: Incoming email for Billing is stopped").click()
    following = shown.get_by_role("button", name="Delete: An email from Billing will be sent again later")
    expect(following).to_be_focused()
    expect(shown.locator("#tab-alerts .vh")).to_have_text("1 open")
    expect(shown.get_by_role("banner").get_by_role("link", name="Alerts 1 unread")).to_be_visible()


def test_delete_all_means_what_the_filter_shows(
    shown: Page, at: Callable[..., str], mailbox: Mailbox
) -> None:
    put_alerts(mailbox)
    shown.goto(at("mailbox_alerts"))
    shown.get_by_role("link", name="Errors 1").click()
    expect(shown.locator("#rows > .wall > li")).to_have_count(1)
    shown.get_by_role("link", name="Delete all alerts").click()
    dialog = shown.get_by_role("dialog")
    expect(dialog).to_contain_text("Delete the one alert that the filters show?")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    dialog.get_by_role("button", name="Delete", exact=True).click()
    expect(shown.get_by_role("link", name="Errors 0")).to_be_visible()
    assert set(Alert.objects.open().values_list("level", flat=True)) == {"warning", "information"}


def test_new_alerts_appear_by_themselves_unless_somebody_uses_the_wall(
    shown: Page, at: Callable[..., str], mailbox: Mailbox
) -> None:
    shown.clock.install()
    put_alerts(mailbox)
    shown.goto(at("mailbox_alerts"))
    wall.raise_alert("not_approved", now=timezone.now(), mailbox=mailbox)
    shown.clock.fast_forward(21_000)
    expect(shown.get_by_role("heading", name="Billing is waiting for approval")).to_be_visible()
    expect(shown.locator("#wall-said")).to_have_text("1 new alert.")
    used = shown.get_by_role("button", name="Delete: Incoming email for Billing is stopped")
    used.focus()
    wall.raise_alert("folder_renumbered", now=timezone.now(), mailbox=mailbox)
    shown.clock.fast_forward(21_000)
    expect(used).to_be_focused()
    expect(shown.get_by_role("heading", name="renumbered")).to_have_count(0)
    shown.locator("#q").focus()
    shown.clock.fast_forward(21_000)
    expect(shown.get_by_role("heading", name="renumbered")).to_be_visible()
    expect(shown.locator("#q")).to_be_focused()


@pytest.mark.parametrize("screen", ["source", "failed", "uncertain"])
def test_the_rarer_screens_are_accessible_and_fit(
    shown: Page, mailbox: Mailbox, receive: Receive, at: Callable[..., str], screen: str
) -> None:
    message = receive()
    now = timezone.now()
    failed = outgoing(
        mailbox, now=now, status=OutgoingStatus.FAILED, error="Refused.", error_code="x", attempts=1
    )
    uncertain = outgoing(mailbox, now=now, number=2, status=OutgoingStatus.UNCERTAIN)
    addresses = {
        "source": at("message_detail", message.pk) + "?show=source",
        "failed": at("outgoing_detail", failed.pk),
        "uncertain": at("outgoing_detail", uncertain.pk),
    }
    shown.goto(addresses[screen])
    examine(shown)
