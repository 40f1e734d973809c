import re
from html import unescape
from urllib.parse import urljoin, urlsplit

import pytest
from django.db import transaction
from django.test import Client

from tests.access.world import World

#: Those whose permissions differ most; a crawl takes a while.
ROLES = ["customizer", "mailbox reader", "approver", "auditor", "owner"]
LINK = re.compile(r'(?:href|hx-get)="([^"#]+)')
FORM = re.compile(r'<form\b[^>]*action="([^"]+)"[^>]*>(.*?)</form>', re.DOTALL)
BUTTON = re.compile(r'<button\b[^>]*\bname="action" value="([^":]+)')
#: More of the same: pages of lists, their order and their filters.
LEFT_OUT = re.compile(r"[?&](sort|page|size|facet|view|q|whose|show|seen|open|folder)=|^/static/|^/sign-")


@pytest.mark.parametrize("role", ROLES)
def test_no_page_shows_what_would_be_refused(world: World, role: str) -> None:
    browser = world.browser(role)
    seen, waiting, refused = {"/environments/"}, ["/environments/"], []
    while waiting:
        url = waiting.pop()
        status, page = visit(browser, url)
        refused += [f"{url} {status}"] if status in {403, 404, 500} else []
        for link in links_of(page, url):
            if link not in seen:
                seen.add(link)
                waiting.append(link)
        refused += [f"{url} -> {action}" for action in refused_commands(browser, page, url)]
    assert "\n".join(sorted(set(refused))) == ""


def visit(browser: Client, url: str) -> tuple[int, str]:
    """Ask for a page. What only takes commands is not asked."""
    with transaction.atomic():
        response = browser.get(url)
        is_page = "text/html" in response.headers.get("Content-Type", "") and not response.streaming
        page = response.content.decode() if is_page else ""
        transaction.set_rollback(True)
    return response.status_code, page


def links_of(page: str, url: str) -> list[str]:
    """Return where a page leads to, within the console."""
    found = [urljoin(url, unescape(link)) for link in LINK.findall(page)]
    return [link for link in found if not urlsplit(link).netloc and not LEFT_OUT.search(link)]


def refused_commands(browser: Client, page: str, url: str) -> list[str]:
    """Return the commands of a page's forms that are refused when they are given."""
    refused = []
    for target, inside in FORM.findall(page):
        ids = re.findall(r'name="ids" value="([^"]+)"', inside)[:1]
        for action in sorted(set(BUTTON.findall(inside))):
            with transaction.atomic():
                response = browser.post(urljoin(url, unescape(target)), {"action": action, "ids": ids})
                transaction.set_rollback(True)
            if response.status_code in {403, 404}:
                refused.append(action)
    return refused
