"""Each screen works as a page and as a fragment."""

import json
from html.parser import HTMLParser

from django.test import Client, RequestFactory
from django.utils.safestring import SafeString

from emailsync.web.responses import LARGE, page_response
from tests.web.trial import LIST_URL

PANEL = "/environments/contoso/server-profiles/new/"
HTMX = {"HX-Request": "true"}
GOOD = {"name": "Contoso IMAP", "kind": "o", "version": "0"}


class Tags(HTMLParser):
    """Collect the tags of a page with their attributes."""

    def __init__(self, html: str) -> None:
        """Read `html`."""
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the tag."""
        self.found.append((tag, dict(attrs)))

    def first(self, tag: str) -> dict[str, str | None]:
        """Return the attributes of the first `tag`."""
        return next(attributes for name, attributes in self.found if name == tag)


def test_a_list_asked_for_by_htmx_is_only_its_rows(signed_in: Client) -> None:
    html = signed_in.get(LIST_URL, headers=HTMX).content.decode()
    assert "<!doctype" not in html
    assert html.lstrip().startswith('<div class="stack" id="list"')


def test_the_address_of_a_list_has_no_empty_words(signed_in: Client) -> None:
    answer = signed_in.get(f"{LIST_URL}?q=person&size=", headers=HTMX)
    assert answer.headers["HX-Push-Url"] == f"{LIST_URL}?q=person"


def test_a_link_within_a_list_says_itself_whether_it_goes_into_the_history(signed_in: Client) -> None:
    answer = signed_in.get(f"{LIST_URL}?q=person&facet=staff", headers=HTMX)
    assert "HX-Push-Url" not in answer.headers


def test_a_page_restored_from_history_is_whole(signed_in: Client) -> None:
    response = signed_in.get(LIST_URL, headers=HTMX | {"HX-History-Restore-Request": "true"})
    assert b"<!doctype html>" in response.content


def test_hundreds_of_rows_stand_where_their_template_puts_them(rf: RequestFactory) -> None:
    rows, words = SafeString("<td>\N{EN DASH}</td>" * LARGE), "<td>" * LARGE
    response = page_response(rf.get("/"), "trial/large.html", "", {"rows": rows, "words": words})
    escaped = words.replace("<", "&lt;").replace(">", "&gt;")
    assert response.content.decode().strip() == f"<main><b>{rows}</b><i>{escaped}</i></main>"


def test_caches_keep_page_and_fragment_apart(signed_in: Client) -> None:
    assert "HX-Request" in signed_in.get(LIST_URL).headers["Vary"]


def test_a_dialog_stands_open_on_its_page_without_script(signed_in: Client) -> None:
    tags = Tags(signed_in.get(PANEL).content.decode())
    assert "open" in tags.first("dialog")
    assert tags.first("h1") is not None


def test_a_dialog_for_htmx_is_bare_and_closed(signed_in: Client) -> None:
    html = signed_in.get(PANEL, headers=HTMX).content.decode()
    assert html.lstrip().startswith("<dialog")
    assert "open" not in Tags(html).first("dialog")


def test_without_script_the_way_out_of_a_dialog_is_a_link(signed_in: Client) -> None:
    assert f'<a class="btn" href="{LIST_URL}" data-close>Cancel</a>' in signed_in.get(PANEL).content.decode()


def test_a_refused_form_replaces_only_itself(signed_in: Client) -> None:
    response = signed_in.post(PANEL, {"kind": "o"}, headers=HTMX | {"HX-Target": "dialog-form"})
    assert (response.status_code, response.headers["HX-Reselect"]) == (422, "#dialog-form")


def test_a_refused_form_keeps_what_was_typed(signed_in: Client) -> None:
    response = signed_in.post(PANEL, {"pause": "999", "kind": "x"})
    html = response.content.decode()
    assert 'value="999"' in html
    assert '<option value="x" selected>' in html


def test_a_saved_form_closes_its_dialog_and_says_so(signed_in: Client) -> None:
    response = signed_in.post(PANEL, GOOD, headers=HTMX | {"HX-Target": "dialog-form"})
    events = json.loads(response.headers["HX-Trigger"])
    assert events["toast"]["title"] == "Server saved"
    assert events["dialog:close"]
    assert events["records:changed"]
    assert response.headers["HX-Reswap"] == "none"


def test_a_saved_form_without_script_says_so_on_the_next_page(signed_in: Client) -> None:
    html = signed_in.post(PANEL, GOOD, follow=True).content.decode()
    assert '<div class="toast" data-intent="success">' in html
    assert "<b>Server saved</b>" in html
    assert "<p>It can be used now.</p>" in html
