"""Whatever strangers, servers and colleagues may have named something: no page takes it for markup."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import CharField, JSONField, Model, TextField
from django.urls import reverse
from pytest_django import DjangoDbBlocker

from mailboxes.choices import JobKind
from mailboxes.models import Detection, Diagnosis, DiagnosisStep, Job, JobRemark
from tests.access.visits import VISITS, Visit
from tests.access.world import NOW, SLUG, World

#: Would be an element in text, behind an attribute in either quotation mark, and behind a script.
MARKUP = "\"'></script><x-evil>"
SHOWN = "&lt;x-evil&gt;"
#: No texts of anybody: what stands in addresses, names files, or is compared.
INTERNAL = re.compile(r"slug|^file$|search_text|sha256|message_id|once|key|code|token")
#: Answers that no browser takes for a page of the console.
FILES = {
    "message_html",
    "message_html_with_images",
    "message_raw",
    "message_attachment",
    "outgoing_attachment",
}
PAGES = [visit for visit in VISITS if visit.name.partition(":")[2] not in FILES]


@pytest.fixture(scope="module")
def marked(world: World, django_db_blocker: DjangoDbBlocker) -> World:
    """Give the world with markup at the end of every text."""
    words = {
        "name": "connect",
        "title": "Connected",
        "outcome": "failure",
        "seen": "S: No.",
        "remedy": "Wait.",
    }
    with django_db_blocker.unblock():
        diagnosis = Diagnosis.objects.filter(job=world.here.job)[0]
        DiagnosisStep.objects.create(
            diagnosis=diagnosis, position=0, direction="incoming", started_on=NOW, **words
        )
        write_markup()
    return world


def write_markup() -> None:
    """Write markup behind every text of the database."""
    for name in ("mailboxes", "profiles"):
        for model in apps.get_app_config(name).get_models():
            for record in model._base_manager.all():
                if texts := dict(texts_of(record)):
                    model._base_manager.filter(pk=record.pk).update(**texts)
    User.objects.update(first_name=MARKUP, last_name=MARKUP)


def texts_of(record: Model) -> Iterator[tuple[str, Any]]:
    """Yield what every text of a record becomes, by field."""
    for field in record._meta.concrete_fields:
        value = getattr(record, field.attname)
        is_text = type(field) in {CharField, TextField} and not field.choices and not field.generated
        if is_text and not INTERNAL.search(field.name):
            yield field.name, f"{value}{MARKUP}"[: field.max_length]
        elif isinstance(field, JSONField) and value:
            yield field.name, with_markup(value)


def with_markup(value: Any) -> Any:
    """Return JSON with markup in each of its texts."""
    if isinstance(value, dict):
        return {name: with_markup(each) for name, each in value.items()}
    if isinstance(value, list):
        return [with_markup(each) for each in value]
    return f"{value}{MARKUP}" if isinstance(value, str) else value


def ask(world: World, url: str, sent: Any = None, **headers: str) -> str:
    """Return the page that the superuser gets; what asking for it changes is undone."""
    browser = world.browser("superuser")
    with transaction.atomic():
        response: Any = (
            browser.get(url, headers=headers) if sent is None else browser.post(url, sent, headers=headers)
        )
        body: bytes = response.getvalue() if response.streaming else response.content
        transaction.set_rollback(True)
    return body.decode() if response.headers.get("Content-Type", "").startswith("text/html") else ""


@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}], ids=["page", "fragment"])
@pytest.mark.parametrize("visit", PAGES, ids=str)
def test_no_page_takes_a_text_for_markup(marked: World, visit: Visit, headers: dict[str, str]) -> None:
    url = reverse(visit.name, args=visit.args(marked)) + visit.query
    sent = None if visit.sent is None else visit.sent(marked)
    assert "<x-evil" not in ask(marked, url, sent, **headers)


def test_the_steps_of_a_test_are_shown_without_their_markup(marked: World) -> None:
    diagnosis = Diagnosis.objects.filter(job=marked.here.job)[0]
    page = ask(marked, f"{marked.here.job.get_absolute_url()}?open={diagnosis.pk}")
    assert ("<x-evil" in page, page.count(SHOWN) > 3) == (False, True)


def test_what_a_job_left_out_is_shown_without_its_markup(marked: World) -> None:
    job = Job.objects.create(
        environment=marked.here.environment, kind=JobKind.IMPORT, created_on=NOW, total=1
    )
    JobRemark.objects.create(job=job, label=MARKUP, sentence=MARKUP)
    page = ask(marked, job.get_absolute_url())
    assert ("<x-evil" in page, SHOWN in page) == (False, True)


def test_what_the_world_said_of_a_domain_is_shown_without_its_markup(marked: World) -> None:
    words = {"what": MARKUP, "source": MARKUP, "result": MARKUP, "is_success": False}
    found = Detection.objects.create(
        environment=marked.here.environment,
        domain="a.example",
        created_on=NOW,
        finished_on=NOW,
        state="done",
        tried=[words],
    )
    page = ask(marked, reverse("mailboxes:detection_detail", args=[SLUG, found.pk]))
    assert ("<x-evil" in page, SHOWN in page) == (False, True)


@pytest.mark.parametrize("name", ["mailbox_list", "environment_emails", "environment_alerts", "job_list"])
def test_the_lists_show_the_texts_that_bear_markup(marked: World, name: str) -> None:
    assert SHOWN in ask(marked, reverse(f"mailboxes:{name}", args=[SLUG]))
