"""Mailboxes from and to CSV files: checked whole, imported whole or not at all, never a password out."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from mailboxes.choices import AddressStatus, JobKind, ResultStatus
from mailboxes.engine import jobs as engine
from mailboxes.models import Job, JobOrder, Mailbox, WorkerState
from mailboxes.services import importing
from profiles.models import Environment, Membership, ServerProfile
from tests.mailboxes.console.conftest import NOW, NewMailbox

Send = Callable[..., Any]


@pytest.fixture
def import_url(environment: Environment, profile: ServerProfile) -> str:
    """Give the address of the import."""
    return reverse("mailboxes:mailbox_import", args=[environment.slug])


@pytest.fixture
def check(client: Client, import_url: str) -> Send:
    """Give a function that has a file checked."""

    def send(content: str | bytes, **answers: str) -> Any:
        data = content.encode() if isinstance(content, str) else content
        return client.post(import_url, {"file": SimpleUploadedFile("people.csv", data), **answers})

    return send


@pytest.fixture
def bring(client: Client, import_url: str, check: Send) -> Send:
    """Give a function that has a file checked and then imported."""

    def send(content: str, **answers: str) -> Any:
        page = check(content, **answers).content.decode()
        found = re.search('name="sealed" value="([^"]+)"', page)
        assert found, page
        return client.post(import_url, {"sealed": found[1], **answers})

    return send


def complaints(response: Any) -> list[tuple[int, str]]:
    """Return line and column of what is wrong."""
    return [(complaint.line, complaint.column) for complaint in response.context["complaints"]]


def test_a_check_writes_nothing(check: Send) -> None:
    page = check("name,address\nAna,ana@contoso.example\n").content.decode()
    assert "people.csv can be imported" in page
    assert not Mailbox.objects.exists()


def test_an_import_creates_mailboxes_with_the_defaults_of_the_environment(
    bring: Send, profile: ServerProfile
) -> None:
    bring("name,address\nAna,ana@contoso.example\nBen,ben@contoso.example\n")
    ana = Mailbox.objects.get(name="Ana")
    assert (ana.server_profile, ana.address_status) == (profile, AddressStatus.PENDING)
    assert WorkerState.objects.count() == 4


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfname,address\r\nAna,ana@contoso.example\r\n",
        b"name;address\nAna;ana@contoso.example\n",
        b"name\taddress\nAna\tana@contoso.example\n",
        b'name,address,notes\n"Ana",ana@contoso.example,"two\nlines"\n',
        b"Name,Address\n\nAna,ana@contoso.example\n,,\n",
    ],
)
def test_files_of_any_spreadsheet_are_understood(check: Send, content: bytes) -> None:
    assert len(check(content).context["plan"].created) == 1


def test_every_mistake_is_named_by_line_and_column(check: Send, new_mailbox: NewMailbox) -> None:
    new_mailbox("Ana", address="ana@contoso.example")
    content = """name,address,kind,owner,server_profile,allow_credentials,process_email_from
Ana,ana@contoso.example,,,,,
,ben@contoso.example,team,nobody,Nowhere,maybe,tomorrow
Carla,not an address,,,,,
Dora,dora@contoso.example,,,,,
Dora,DORA@contoso.example,,,,,
"""
    response = check(content)
    assert response.status_code == 422
    assert complaints(response) == [
        (2, "address"),
        (3, "name"),
        (3, "kind"),
        (3, "owner"),
        (3, "server_profile"),
        (3, "allow_credentials"),
        (3, "process_email_from"),
        (4, "address"),
        (6, "address"),
    ]


def test_the_line_of_a_mistake_counts_quoted_line_ends(check: Send) -> None:
    response = check('name,address,notes\nAna,ana@contoso.example,"a\nb"\nBen,wrong,\n')
    assert complaints(response) == [(4, "address")]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"name,address\nAn\xe4,ana@contoso.example\n", "Line 2 is not UTF-8"),
        (b"name\nAna\n", "no column"),
        (b'name,address\n"Ana,ana@contoso.example\n', "quotation mark"),
        (b"PK\x03\x04\0\0", "not a text file"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_a_way_out(check: Send, content: bytes, said: str) -> None:
    response = check(content)
    assert response.status_code == 422
    assert said in response.content.decode()


def test_a_file_that_is_too_large_is_refused(check: Send) -> None:
    assert "larger than 10 MB" in check(b"x" * (10 * 1024 * 1024 + 1)).content.decode()


def test_one_mistake_keeps_all_out(check: Send) -> None:
    page = check("name,address\nAna,ana@contoso.example\nBen,wrong\n").content.decode()
    assert "1 row must be mended" in page
    assert 'name="sealed"' not in page


def test_what_was_taken_meanwhile_is_found_at_the_import(
    client: Client, import_url: str, check: Send, new_mailbox: NewMailbox
) -> None:
    page = check("name,address\nAna,ana@contoso.example\nBen,ben@contoso.example\n").content.decode()
    new_mailbox("Ben", address="ben@contoso.example")
    sealed = re.search('name="sealed" value="([^"]+)"', page)
    assert sealed
    response = client.post(import_url, {"sealed": sealed[1]})
    assert complaints(response) == [(3, "address")]
    assert not Mailbox.objects.filter(name="Ana").exists()


def test_existing_mailboxes_are_changed_only_when_asked(bring: Send, new_mailbox: NewMailbox) -> None:
    tested = {"status": "success", "is_enabled": True, "tested_on": NOW}
    mailbox = new_mailbox("Ana", address="ana@contoso.example", notes="kept", incoming_state=tested)
    bring("address,name,outgoing,notes\nANA@contoso.example,Ana B,none,\n", updates="on")
    mailbox.refresh_from_db()
    assert (mailbox.name, mailbox.outgoing, mailbox.notes) == ("Ana B", "none", "kept")
    assert mailbox.address_status == AddressStatus.APPROVED
    assert mailbox.states.get(direction="incoming").status == ResultStatus.NOT_RUN


def test_a_password_is_taken_in_and_shown_nowhere(check: Send, bring: Send) -> None:
    content = "name,address,user_name,password\nAna,ana@contoso.example,ana,canary-7\n"
    assert "canary-7" not in check(content).content.decode()
    bring(content)
    ana = Mailbox.objects.get()
    assert ana.allow_credentials
    assert ana.password.reveal() == "canary-7"


def test_a_complaint_about_a_password_does_not_repeat_it(check: Send) -> None:
    content = f"name,address,user_name,password\nAna,wrong,ana,{'canary' * 50}\n"
    response = check(content)
    assert (2, "password") in complaints(response)
    assert "canary" not in response.content.decode()


def test_a_checked_file_serves_nobody_else(
    client: Client, import_url: str, check: Send, environment: Environment
) -> None:
    page = check("name,address\nAna,ana@contoso.example\n").content.decode()
    sealed = re.search('name="sealed" value="([^"]+)"', page)
    assert sealed
    client.force_login(User.objects.create_superuser("eve"))
    response = client.post(import_url, {"sealed": sealed[1]})
    assert "no longer valid" in response.content.decode()
    assert not Mailbox.objects.exists()


def test_who_may_not_write_mailboxes_imports_none(
    client: Client, import_url: str, environment: Environment
) -> None:
    auditor = User.objects.create_user("aud")
    Membership.objects.create(user=auditor, environment=environment, role="auditor")
    client.force_login(auditor)
    assert client.get(import_url).status_code == 403


def test_the_template_can_be_imported(client: Client, import_url: str, check: Send) -> None:
    template = b"".join(client.get(f"{import_url}template/"))
    response = check(template.replace(b",yes,support@contoso.example,", b",no,,"))
    assert len(response.context["plan"].created) == 1


def test_rows_are_written_many_at_once(
    bring: Send, check: Send, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    rows = "".join(f"Person {number},person{number}@contoso.example\n" for number in range(400))
    with django_assert_max_num_queries(60):
        bring(f"name,address\n{rows}")
    assert Mailbox.objects.count() == 400


def test_an_export_holds_the_rows_and_columns_of_the_view(
    client: Client, list_url: str, new_mailbox: NewMailbox
) -> None:
    new_mailbox("=1+1", address="ana@contoso.example", password="canary-7")
    new_mailbox("Gone", is_active=False)
    lines = b"".join(client.get(f"{list_url}export/")).decode("utf-8-sig").splitlines()
    assert lines[0].startswith("name,address,kind,owner,server_profile,Email Address Status")
    assert lines[1].startswith("'=1+1,ana@contoso.example,user")
    assert len(lines) == 2
    assert "canary" not in "".join(lines)


def test_an_export_can_be_imported_again(
    client: Client, list_url: str, check: Send, new_mailbox: NewMailbox, person: User
) -> None:
    new_mailbox("=1+1", address="ana@contoso.example", owner=person)
    new_mailbox("Ben", kind="queue")
    exported = b"".join(client.get(f"{list_url}export/"))
    response = check(exported, updates="1")
    assert response.context["plan"].unchanged == 2
    assert "Email Address Status" in response.context["ignored"]
    assert "Some columns are not imported." in response.content.decode()


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have files of two rows count as large, and chunks of two rows."""
    monkeypatch.setattr(importing, "DIRECTLY", 1)
    monkeypatch.setattr(engine, "CHUNK", 2)


THREE = "name,address\nAna,ana@contoso.example\nBen,ben@contoso.example\nCara,cara@contoso.example\n"


def work() -> Job:
    """Have the newest job done, and return it."""
    job = Job.objects.latest("pk")
    engine.run(job.pk)
    job.refresh_from_db()
    return job


def test_a_large_file_is_checked_and_imported_by_jobs(large: None, client: Client, bring: Send) -> None:
    response = bring(THREE, name="people\0.csv")
    check = work()
    assert response["Location"] == check.get_absolute_url()
    assert not Mailbox.objects.exists()
    assert (check.kind, check.title, check.changed) == (JobKind.CHECK_FILE, "people.csv", 3)
    done = work()
    assert (done.kind, done.follows, done.changed) == (JobKind.IMPORT, check, 3)
    assert Mailbox.objects.filter(address_status=AddressStatus.PENDING).count() == 3
    assert done.get_absolute_url() in client.get(check.get_absolute_url()).content.decode()


def test_a_large_file_can_be_checked_alone(large: None, client: Client, bring: Send) -> None:
    bring(THREE, check="1")
    job = work()
    page = client.get(job.get_absolute_url()).content.decode()
    assert "3 to be imported" in page
    assert "Nothing is wrong with this file." in page
    assert Job.objects.count() == 1


def test_one_mistake_in_a_large_file_keeps_all_out_and_is_named(
    large: None, client: Client, bring: Send
) -> None:
    bring(THREE + "Again,ANA@contoso.example\nDan,dan,\nEve,eve@contoso.example,x\n")
    job = work()
    remarks = list(job.remarks.values_list("label", "sentence"))
    assert [label for label, _ in remarks] == ["Line 5", "Line 6", "Line 7"]
    assert remarks[0][1] == "address: The same address stands in line 2."
    assert Job.objects.count() == 1
    assert not Mailbox.objects.exists()
    assert "What must be mended; nothing was imported" in client.get(job.get_absolute_url()).content.decode()


def test_rows_that_were_spoiled_since_the_check_are_left_out_and_named(
    large: None, bring: Send, new_mailbox: NewMailbox
) -> None:
    bring(THREE)
    work()
    new_mailbox("Ben")
    job = work()
    assert (job.kind, job.changed, job.failed) == (JobKind.IMPORT, 2, 1)
    assert job.remarks.get().label == "Line 3"


def test_a_large_file_is_kept_sealed_and_only_until_its_import_is_over(large: None, bring: Send) -> None:
    bring(THREE)
    assert "ana@contoso" not in str.__str__(JobOrder.objects.values_list("payload", flat=True).get())
    work()
    work()
    assert not JobOrder.objects.exists()
