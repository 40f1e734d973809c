"""The words of the templates, times, and rules of the house for markup and style."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone
from django.utils.safestring import SafeString

from emailsync.web import icons, zone
from emailsync.web.html import fill
from emailsync.web.templatetags import console
from mailboxes import choices
from tests.web.trial import LIST_URL

SHEET = Path(settings.BASE_DIR) / "static/css/console.css"
TOKENS = SHEET.with_name("tokens.css")
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
TEMPLATES = sorted((Path(settings.BASE_DIR) / "templates").rglob("*.html"))


def test_colours_are_written_in_the_tokens_alone() -> None:
    assert re.findall(r"#[0-9a-fA-F]{3,8}\b|rgba?\(|hsla?\(", SHEET.read_text(encoding="utf-8")) == []


def test_every_token_is_used() -> None:
    tokens = TOKENS.read_text(encoding="utf-8")
    used = re.findall(r"var\((--[\w-]+)", tokens + SHEET.read_text(encoding="utf-8"))
    assert set(re.findall(r"(--[\w-]+)\s*:", tokens)) - set(used) == set()


def test_every_icon_a_template_names_is_drawn() -> None:
    named = {
        name
        for path in TEMPLATES
        for name in re.findall(r'{% icon "([^"]+)"', path.read_text(encoding="utf-8"))
    }
    assert named - set(icons.symbols()) == set()


def test_every_status_has_a_drawn_icon() -> None:
    assert {drawing for drawing, _, _ in console.STATUSES.values()} - set(icons.symbols()) == set()


STATUS_SETS = (
    choices.AddressStatus,
    choices.ResultStatus,
    choices.LedgerOutcome,
    choices.OutgoingStatus,
    choices.RunState,
    choices.StepOutcome,
    choices.AlertLevel,
)


@pytest.mark.parametrize("value", sorted({value for statuses in STATUS_SETS for value in statuses.values}))
def test_every_status_of_the_product_can_be_shown(value: str) -> None:
    assert "<svg" in console.status(value)


def test_a_status_is_an_icon_and_a_word() -> None:
    html = console.status("failure")
    assert "<svg" in html
    assert "Failure" in html


def test_what_needs_attention_is_a_badge() -> None:
    assert 'class="badge"' in console.status("failure", "auto")


def test_what_is_well_is_plain() -> None:
    assert 'class="status"' in console.status("success", "auto")


def test_text_given_to_a_status_is_escaped() -> None:
    assert "&lt;b&gt;" in console.status("success", "status", "<b>")


def test_the_same_name_always_has_the_same_tone() -> None:
    assert console.tone("Rosa Keller") == console.tone("rosa keller")


@pytest.mark.parametrize(
    ("name", "letters"), [("Rosa Keller", "RK"), ("billing", "B"), ("", ""), ("Ana de la Cruz", "AC")]
)
def test_an_avatar_holds_at_most_two_letters(name: str, letters: str) -> None:
    assert console.initials(name) == letters


def test_a_time_of_today_says_so_in_the_readers_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timezone, "now", lambda: NOON)
    with timezone.override(ZoneInfo("Asia/Tokyo")):
        assert "Today, 00:30</time>" in console.moment(NOON - timedelta(hours=20, minutes=30))


def test_a_time_of_today_begins_small_within_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timezone, "now", lambda: NOON)
    assert ">today, 12:00</time>" in console.moment_within(NOON)
    assert ">yesterday, 12:00</time>" in console.moment_within(NOON - timedelta(days=1))


def test_a_time_of_yesterday_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timezone, "now", lambda: NOON)
    assert "Yesterday, 12:00" in console.moment(NOON - timedelta(days=1))


def test_a_time_of_another_year_says_which() -> None:
    assert "Nov 20, 2019, 11:05</time>" in console.moment(datetime(2019, 11, 20, 11, 5, tzinfo=UTC))


def test_no_time_is_never() -> None:
    assert console.moment(None) == "Never"


@pytest.mark.parametrize(
    ("value", "words"),
    [(40, "40 ms"), (1400, "1.4 s"), (6000, "6 s"), (125_000, "2 min 5 s"), (None, "\N{EN DASH}")],
)
def test_durations_are_short(value: int | None, words: str) -> None:
    assert console.milliseconds(value) == words


def test_the_zone_of_the_browser_is_used(signed_in: Client) -> None:
    signed_in.cookies["zone"] = "Asia/Tokyo"
    assert "JST" in signed_in.get(LIST_URL).content.decode()


def test_a_zone_that_does_not_exist_is_utc(signed_in: Client) -> None:
    signed_in.cookies["zone"] = "../../etc/passwd"
    assert "UTC" in signed_in.get(LIST_URL).content.decode()


def test_the_navigation_shows_where_one_is(signed_in: Client) -> None:
    html = signed_in.get(LIST_URL).content.decode()
    assert f'<a href="{LIST_URL}" aria-current="page">Mailboxes</a>' in html


def test_a_link_without_target_is_left_out(signed_in: Client) -> None:
    html = signed_in.get(LIST_URL).content.decode()
    assert "Email settings" not in html
    assert "topsearch" not in html


def test_the_help_is_a_page(signed_in: Client) -> None:
    assert "When mail does not move" in signed_in.get("/help/").content.decode()


@pytest.mark.parametrize(
    ("accepted", "written"),
    [
        ("de-AT,de;q=0.9,en;q=0.5", '<span lang="de-at">20. November 2019</span>'),
        ("fr;q=0.4, ja;q=0.9", '<span lang="ja">2019年11月20日</span>'),
        ("en-GB", "20 Nov 2019"),
        ("tlh, *;q=0.1", "Nov 20, 2019"),
        ("", "Nov 20, 2019"),
    ],
)
def test_a_date_is_written_in_the_language_of_the_reader(accepted: str, written: str) -> None:
    with zone.dates_in(zone.language_of_dates(accepted)):
        assert f">{written}, 11:05</time>" in console.moment(datetime(2019, 11, 20, 11, 5, tzinfo=UTC))


def test_what_is_filled_in_is_escaped_unless_it_is_html_already() -> None:
    filled = fill('<td class="{css}">{}{}</td>', "<b> & 'c'", SafeString("<i>d</i>"), css='e"f')

    assert filled == '<td class="e&quot;f">&lt;b&gt; &amp; &#x27;c&#x27;<i>d</i></td>'
    assert isinstance(filled, SafeString)
