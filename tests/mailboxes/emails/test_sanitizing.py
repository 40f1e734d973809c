"""HTML of strangers: what is left of an attack, and what stays of a letter."""

import time

import pytest

from mailboxes.sanitizing import referenced_images, sanitize

PICTURE = "data:image/png;base64,QQ=="


def shown(html: str) -> str:
    return sanitize(html, inline_images={"logo@ana": PICTURE}).html


@pytest.mark.parametrize(
    "html",
    [
        "<script>alert(1)</script>",
        "<ScRiPt src=//evil.example/x.js></sCrIpT>",
        "<svg><script>alert(1)</script></svg>",
        "<svg onload=alert(1)><animate onbegin=alert(1)></svg>",
        "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
        "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
        "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
        "<object data=//evil.example></object><embed src=//evil.example>",
        "<template><img src=x onerror=alert(1)></template>",
        "<textarea><img src=x onerror=alert(1)></textarea>",
        "<style>@import '//evil.example'; body { background: url(//evil.example) }</style>",
        "<link rel=stylesheet href=//evil.example>",
        "<meta http-equiv=refresh content='0;url=//evil.example'>",
        "<base href=//evil.example>",
        "<!--[if IE]><script>alert(1)</script><![endif]-->",
    ],
)
def test_nothing_is_left_of_what_could_run_or_load(html: str) -> None:
    assert "<" not in shown(html).replace("<img>", "").replace("<table></table>", "")
    assert "evil" not in shown(html)


@pytest.mark.parametrize(
    "name", ["onclick", "onload", "onmouseover", "onfocus", "style onerror", "formaction"]
)
def test_event_handlers_are_dropped(name: str) -> None:
    assert shown(f"<p {name}='alert(1)'>words</p>") in {"<p>words</p>", '<p style="">words</p>'}


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        " JaVa&#115;cript:alert(1)",
        "java\tscript:alert(1)",
        "&#x6A;avascript:alert(1)",
        "vbscript:x",
        "data:text/html,<script>alert(1)</script>",
        "file:///etc/passwd",
        "/environments/",
        "//evil.example/",
        "cid:logo@ana",
    ],
)
def test_a_link_leads_to_the_web_or_to_an_address_only(address: str) -> None:
    assert "href" not in shown(f'<a href="{address}">here</a>')


def test_a_link_opens_in_a_tab_that_knows_nothing_of_this_page() -> None:
    assert shown('<a href="https://ana.example/?a=1&amp;b=2" target=_top>here</a>') == (
        '<a href="https://ana.example/?a=1&amp;b=2" target="_blank" '
        'rel="noopener noreferrer nofollow">here</a>'
    )


def test_forms_lose_their_controls_and_keep_their_words() -> None:
    html = "<form action=//evil.example><p>Password: <input name=p><button>Send <b>it</b></button></p></form>"
    assert shown(html) == "<p>Password: Send <b>it</b></p>"


@pytest.mark.parametrize(
    "style",
    [
        "background:url(//evil.example/t.gif)",
        "background-image:url(//evil.example/t.gif)",
        "list-style-image:url(//evil.example)",
        "content:url(//evil.example)",
        "cursor:url(//evil.example),auto",
        "position:fixed;inset:0",
        "--x:url(//evil.example)",
        "behavior:url(x)",
    ],
)
def test_styles_that_load_or_overlay_are_dropped(style: str) -> None:
    assert shown(f'<p style="{style};color:red">words</p>') == '<p style="color:red">words</p>'


def test_formatting_stays() -> None:
    cell = '<td colspan="2" style="padding:4px">a <b>b</b></td>'
    html = f'<table bgcolor="#eeeeee"><tbody><tr>{cell}</tr></tbody></table>'
    assert shown(html) == html


def test_a_remote_picture_is_counted_and_not_kept() -> None:
    result = sanitize(
        '<img src="https://evil.example/t.gif" alt="Sale"><img src=//evil.example/2>', inline_images={}
    )
    assert (result.html, result.blocked_images) == ('<img alt="Sale"><img>', 1)


def test_a_picture_of_the_message_is_written_into_it() -> None:
    assert shown('<img src="cid:Logo%40ana">') == f'<img src="{PICTURE}">'


def test_a_picture_that_did_not_come_along_is_left_out() -> None:
    assert shown('<img src="cid:other@ana" alt="Logo">') == '<img alt="Logo">'


def test_a_drawing_in_a_data_address_is_not_kept() -> None:
    assert shown('<img src="data:image/svg+xml,<svg onload=alert(1)>">') == "<img>"


def test_the_pictures_of_a_message_are_found() -> None:
    assert referenced_images('<img src="cid:Logo@ana"><a href="cid:no">x</a><img src="https://x/y">') == {
        "logo@ana"
    }


@pytest.mark.parametrize(
    "html",
    [
        "<div>" * 300_000,
        "<div></x>" * 150_000,
        "<b><p>" * 100_000,
        "<table><tr><td>" * 100_000,
        "<p>" + "".join(f"<b title={n}>" for n in range(300)) + "</p>" + "<p>x</p>" * 5_000,
        f"<p><a title={'x' * 10_000}></p>" + "<p>x</p>" * 20_000,
        "<p " + " ".join(f"a{n}" for n in range(100_000)) + ">",
    ],
    ids=["div", "x", "b", "table", "opened anew", "a long one opened anew", "attributes"],
)
def test_a_hostile_message_is_cut_in_good_time(html: str) -> None:
    started = time.process_time()
    assert sanitize(html, inline_images={}).is_cut
    assert time.process_time() - started < 3


def test_careless_letters_are_shown_whole() -> None:
    careless = (
        "<p><b>News<font color=red>today<a name=x>" * 900 + "<img src='data:image/png;base64," + "A/b=" * 9000
    )
    assert not sanitize(careless + "'>", inline_images={}).is_cut


def test_secure_frames_leave_neither_links_nor_styles_nor_remote_pictures() -> None:
    html = (
        '<p style="color: red">Hi <a href="https://example.org">there</a>'
        '<img src="https://example.org/a.png"><img src="cid:logo@ana"></p>'
    )
    shown = sanitize(html, inline_images={"logo@ana": PICTURE}, remote_images=True, restricted=True)
    assert not any(word in shown.html for word in ("style", "href", "target", "example.org"))
    assert PICTURE in shown.html
    assert (shown.blocked_images, shown.is_restricted) == (1, True)
