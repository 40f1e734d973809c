"""Every page in a language that marks what was translated: words outside the marks were forgotten."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
from django.apps import apps
from django.db.models import CharField, EmailField, JSONField, SlugField, TextField
from django.urls import reverse
from django.utils import translation

from emailsync.web import zone
from mailboxes.engine.importing import COLUMNS
from tests.access.visits import VISITS, Visit
from tests.access.world import World

OPENS, CLOSES = "⟦", "⟧"
#: Answers that are no page of the console: an email itself, a file, a part of a page without a marker.
NO_PAGE = frozenset(
    {
        "mailboxes:message_html",
        "mailboxes:message_html_with_images",
        "mailboxes:mailbox_template",
        "mailboxes:mailbox_export",
        "mailboxes:message_raw",
        "mailboxes:message_attachment",
        "mailboxes:outgoing_attachment",
    }
)
#: The same in every language: names, initials, columns of a file, examples of addresses.
ALLOWED = re.compile(
    rf"\b(emailsync|IMAP|POP3|SMTP|TLS|STARTTLS|OAuth|NTLM|UTC|SHA-256|ms|min|s|[A-Z]{{1,2}}|(https://)?[\w.]+[.@]example(\.\w+)?(/\w+)?|{'|'.join(COLUMNS)})\b"
)
ATTRIBUTES = frozenset({"aria-label", "alt", "data-label", "placeholder", "title"})
SILENT = frozenset({"script", "style", "time", "code", "textarea", "template"})


@pytest.fixture(autouse=True)
def _marked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put every translation between marks, before anything is filled in. Days written before have none."""
    forget_days = vars(zone)["_written"].cache_clear
    forget_days()

    def mark(text: str) -> str:
        return f"{OPENS}{text}{CLOSES}" if text else text

    functions: Any = vars(translation)["_trans"]
    monkeypatch.setattr(functions, "gettext", mark)
    monkeypatch.setattr(functions, "pgettext", lambda _context, text: mark(text))
    monkeypatch.setattr(functions, "ngettext", lambda one, many, number: mark(one if number == 1 else many))
    monkeypatch.setattr(
        functions, "npgettext", lambda _context, one, many, number: mark(one if number == 1 else many)
    )
    yield
    forget_days()


class Page(HTMLParser):
    """Collects what a reader meets outside the marks."""

    def __init__(self) -> None:
        super().__init__()
        self.outside: list[str] = []
        self.depth = 0
        self.silent: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in SILENT:
            self.silent.append(tag)
        for name, value in attrs:
            if name in ATTRIBUTES and tag not in SILENT:
                self.outside.append(_outside(value or "", 0)[0])

    def handle_endtag(self, tag: str) -> None:
        if self.silent and self.silent[-1] == tag:
            self.silent.pop()

    def handle_data(self, data: str) -> None:
        if not self.silent:
            text, self.depth = _outside(data, self.depth)
            self.outside.append(text)


def _outside(text: str, depth: int) -> tuple[str, int]:
    """Return the part of `text` outside all marks, and how many are open at its end."""
    kept = []
    for character in text:
        if character == OPENS:
            depth += 1
            kept.append(" ")
        elif character == CLOSES:
            depth -= 1
        elif not depth:
            kept.append(character)
    return "".join(kept), depth


@pytest.fixture(scope="module")
def data(world: World) -> re.Pattern[str]:
    """Give what people and servers have written into the world."""
    words = {"place-one", "/place-one/"}
    for model in apps.get_models():
        for field in model._meta.concrete_fields:
            if isinstance(field, CharField | EmailField | SlugField | TextField | JSONField):
                if field.choices or not field.column:
                    continue
                for value in model._base_manager.values_list(field.attname, flat=True):
                    words.update(_texts(value))
    known = sorted((word for word in words if re.search(r"[^\W\d_]{2}", word)), key=len, reverse=True)
    return re.compile(rf"(?<!\w)({'|'.join(re.escape(word) for word in known)})(?!\w)")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value.strip()
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, dict):
        yield from _texts(list(value.values()))


PAGES = {
    visit.name + visit.query: visit for visit in VISITS if visit.sent is None and visit.name not in NO_PAGE
}


@pytest.mark.parametrize("visit", PAGES.values(), ids=str)
def test_every_word_of_a_page_is_translated(world: World, data: re.Pattern[str], visit: Visit) -> None:
    response: Any = world.browser("superuser").get(reverse(visit.name, args=visit.args(world)) + visit.query)
    page = Page()
    page.feed(response.content.decode())
    left = [ALLOWED.sub("", data.sub("", text)) for text in page.outside]
    forgotten = {text.strip() for text in left if re.search(r"[^\W\d_]", text)}
    assert page.depth == 0
    assert not forgotten
