"""Detect settings: asked for in the form of a server profile, done by a worker, put into the form."""

import re
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from html import unescape

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from emailsync.mail import autoconfig
from emailsync.mail.names import Names
from emailsync.mail.wire import Wire
from emailsync.management.selftest.certificates import Authority
from emailsync.management.selftest.scripted_imap import ScriptedImap
from emailsync.management.selftest.scripted_smtp import ScriptedSmtp
from mailboxes.engine import detecting
from mailboxes.models import Detection
from profiles.models import Environment, ServerProfile
from tests.mailboxes.emails.world import environment, queue_fast, reader, rosa
from tests.servers.names import NameServer

__all__ = ["environment", "queue_fast", "reader", "rosa"]
HTMX = {"HX-Request": "true"}


@pytest.fixture
def url(environment: Environment) -> str:
    return reverse("mailboxes:profile_detect", args=["contoso"])


@pytest.fixture
def servers(certificates: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """Have the domain example.org name two servers that answer; give their ports."""
    monkeypatch.setattr(autoconfig, "addresses", lambda _domain: ())
    monkeypatch.setattr(detecting, "Wire", partial(Wire, ca_certificates=certificates.pem))
    with (
        ScriptedImap(certificate=certificates.server, implicit_tls=True) as imap,
        ScriptedSmtp(certificate=certificates.server, implicit_tls=True) as smtp,
        NameServer(
            {
                ("_imaps._tcp.example.org", "SRV"): [f"0 1 {imap.port} localhost."],
                ("_submissions._tcp.example.org", "SRV"): [f"0 1 {smtp.port} localhost."],
            }
        ) as names,
    ):
        monkeypatch.setattr(detecting, "Names", partial(Names, names.resolver))
        yield imap.port, smtp.port


def ask(reader: Client, url: str, address: str = "ana@example.org") -> Detection:
    """Ask for a search, and have a worker do it."""
    reader.post(url, {"address": address}, headers=HTMX)
    found = Detection.objects.get()
    detecting.run(str(found.pk))
    return Detection.objects.get()


def test_the_panel_and_the_full_form_ask_for_an_address(reader: Client, url: str) -> None:
    for name in ("profile_create", "profile_create_full"):
        page = reader.get(reverse(f"profiles:{name}", args=["contoso"])).content.decode()
        assert 'form="detect" name="address"' in page
        assert f'action="{url}"' in page


def test_asking_writes_a_row_and_the_fragment_asks_again(reader: Client, url: str) -> None:
    answer = reader.post(url, {"address": "ana@example.org"}, headers=HTMX).content.decode()
    assert 'hx-trigger="every 1s"' in answer
    found = Detection.objects.get()
    assert (found.domain, found.state) == ("example.org", "queued")
    assert Detection.objects.due(timezone.now()).get() == found


@pytest.mark.parametrize(
    "address", ["", "ana", "ana@", "ana@exa mple.org", "ana@example.org/x", "ana@192.0.2.1"]
)
def test_what_is_no_address_is_said_at_once(reader: Client, url: str, address: str) -> None:
    answer = reader.post(url, {"address": address}, headers=HTMX).content.decode()
    assert 'role="alert"' in answer
    assert not Detection.objects.exists()


def test_a_worker_finds_the_servers_and_says_from_where(
    reader: Client, url: str, servers: tuple[int, int]
) -> None:
    found = ask(reader, url)
    assert found.state == "done"
    assert found.found == {
        "incoming_protocol": "imap",
        "incoming_location": "localhost",
        "incoming_port": servers[0],
        "incoming_security": "tls",
        "outgoing_location": "localhost",
        "outgoing_port": servers[1],
        "outgoing_security": "tls",
    }
    page = reader.get(found.get_absolute_url(), headers=HTMX).content.decode()
    assert "DNS record _imaps._tcp.example.org" in page
    assert "every 1s" not in page
    assert "hx-vals" in page


def test_the_settings_are_put_among_what_was_typed(reader: Client, url: str) -> None:
    create = reverse("profiles:profile_create", args=["contoso"])
    typed = {"name": "Half typed", "incoming_location": "old.example.org", "password": "typed before"}
    filled = {"fill": "1", "incoming_location": "imap.example.org", "incoming_port": "993"}
    answer = reader.post(create, {**typed, **filled}, headers={**HTMX, "HX-Target": "dialog-form"})
    page = answer.content.decode()
    assert answer.status_code == 200
    assert 'value="Half typed"' in page
    assert 'value="imap.example.org"' in page
    assert "typed before" not in page
    assert not ServerProfile.objects.exists()


def test_without_script_a_page_follows_the_search_and_leads_to_the_filled_form(
    reader: Client, url: str, servers: tuple[int, int]
) -> None:
    answer = reader.post(url, {"address": "ana@example.org"})
    found = Detection.objects.get()
    assert answer.headers["Location"] == found.get_absolute_url()
    assert "Look again" in reader.get(found.get_absolute_url()).content.decode()
    detecting.run(str(found.pk))
    page = reader.get(found.get_absolute_url()).content.decode()
    link = re.search(r'href="([^"]*fill=1[^"]*)"', page)
    assert link is not None
    form = reader.get(unescape(link.group(1))).content.decode()
    assert f'value="{servers[0]}"' in form


def test_a_search_is_done_once(reader: Client, url: str, servers: tuple[int, int]) -> None:
    found = ask(reader, url)
    detecting.run(str(found.pk))
    assert Detection.objects.get().fence == found.fence


def test_a_search_that_never_ends_is_given_up(reader: Client, url: str) -> None:
    reader.post(url, {"address": "ana@example.org"}, headers=HTMX)
    found = Detection.objects.get()
    Detection.objects.update(fence=detecting.ATTEMPTS)
    detecting.run(str(found.pk))
    page = reader.get(found.get_absolute_url(), headers=HTMX).content.decode()
    assert "never came to its end" in page
    assert "hx-trigger" not in page
    assert not Detection.objects.workable(timezone.now()).exists()


def test_old_searches_are_forgotten(reader: Client, url: str) -> None:
    reader.post(url, {"address": "ana@example.org"})
    Detection.objects.update(created_on=timezone.now() - timedelta(days=2))
    reader.post(url, {"address": "ben@example.com"})
    assert Detection.objects.get().domain == "example.com"
