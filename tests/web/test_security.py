"""Headers, and failures that have a name and a way out."""

import json
import logging
import re
from io import BytesIO

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client, RequestFactory

from emailsync.web.errors import server_error
from tests.web.trial import LIST_URL

STRICT = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
PANEL = "/environments/contoso/server-profiles/new/"


def test_every_page_has_the_strict_policy(signed_in: Client) -> None:
    assert signed_in.get(LIST_URL).headers["Content-Security-Policy"] == STRICT


def test_a_failure_has_the_strict_policy_too(signed_in: Client) -> None:
    assert signed_in.get("/crash/").headers["Content-Security-Policy"] == STRICT


def test_no_cache_between_keeps_a_page(signed_in: Client) -> None:
    assert signed_in.get(LIST_URL).headers["Cache-Control"] == "private, no-cache"


def test_a_view_may_ask_for_a_frame(signed_in: Client) -> None:
    assert signed_in.get("/framing/").headers["Content-Security-Policy"] == f"{STRICT}; frame-src 'self'"


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "same-origin"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("X-Frame-Options", "DENY"),
    ],
)
def test_the_other_headers_are_there(signed_in: Client, header: str, value: str) -> None:
    assert signed_in.get(LIST_URL).headers[header] == value


def test_a_fault_of_ours_has_a_reference_that_stands_in_the_log(
    signed_in: Client, caplog: pytest.LogCaptureFixture
) -> None:
    response = signed_in.get("/crash/")
    found = re.search(r"Reference (\w{4}-\w{4})", response.content.decode())
    assert response.status_code == 500
    assert found is not None
    assert found[1] == response.headers["X-Reference"]
    assert f"Reference {found[1]}: GET /crash/ failed." in caplog.text


def test_a_fault_page_needs_no_database(caplog: pytest.LogCaptureFixture) -> None:
    request = RequestFactory().get("/crash/")
    assert b"Something went wrong on our side" in server_error(request).content


def test_an_address_writes_no_line_of_its_own_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
    server_error(RequestFactory().get("/a%0A2026-11-27 ERROR forged%1B[2J"))
    assert [record.getMessage().isprintable() for record in caplog.records] == [True]


def test_a_database_that_is_away_is_no_fault_of_the_page(signed_in: Client) -> None:
    response = signed_in.get("/away/")
    page = response.content.decode()
    assert (response.status_code, response.headers["Retry-After"]) == (503, "10")
    assert "The database does not answer" in page
    assert '<a class="btn primary" href="/away/">Try again</a>' in page
    assert f"Reference {response.headers['X-Reference']}" in page


def test_what_was_sent_to_a_database_that_is_away_is_not_fetched_again(signed_in: Client) -> None:
    page = signed_in.post("/away/").content.decode()
    assert "Try again</a>" not in page
    assert "Look whether what you sent is saved" in page


def test_a_database_of_another_version_says_that_it_is_to_be_migrated(signed_in: Client) -> None:
    with transaction.atomic():  # what fails spoils the transaction that holds the test
        response = signed_in.get("/behind/")
        transaction.set_rollback(True)
    page = response.content.decode()
    assert response.status_code == 503
    assert "The database is not upgraded yet" in page
    assert "<code>manage.py migrate</code>" in page
    assert f"Reference {response.headers['X-Reference']}" in page


def test_a_command_on_a_database_of_another_version_says_the_same(signed_in: Client) -> None:
    with transaction.atomic():
        response = signed_in.get("/behind/", headers={"HX-Request": "true"})
        transaction.set_rollback(True)
    said = json.loads(response.headers["HX-Trigger"])["server:failed"]
    assert said["title"] == "The database is not upgraded yet"
    assert "manage.py migrate" in said["text"]
    assert said["text"].endswith(f"Reference {response.headers['X-Reference']}.")


@pytest.mark.parametrize(
    ("setting", "sent"),
    [
        ("DATA_UPLOAD_MAX_MEMORY_SIZE", {"name": "x" * 20}),
        ("DATA_UPLOAD_MAX_NUMBER_FIELDS", {str(number): "x" for number in range(20)}),
        ("DATA_UPLOAD_MAX_NUMBER_FILES", {str(number): BytesIO(b"x") for number in range(20)}),
    ],
)
def test_what_is_too_large_is_told_apart_from_what_is_malformed(
    signed_in: Client, settings: object, setting: str, sent: dict[str, object]
) -> None:
    setattr(settings, setting, 10)
    response = signed_in.post(PANEL, sent)
    assert response.status_code == 413
    assert "What you sent is too large" in response.content.decode()


def test_a_refusal_says_its_sentence(signed_in: Client) -> None:
    response = signed_in.get("/forbidden/")
    assert response.status_code == 403
    assert "You may not change server profiles." in response.content.decode()


def test_a_missing_page_names_the_way_back(signed_in: Client) -> None:
    response = signed_in.get("/nowhere/")
    assert response.status_code == 404
    assert "Go to environments" in response.content.decode()


def test_an_expired_form_explains_itself(rosa: User, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    client = Client(enforce_csrf_checks=True)
    client.force_login(rosa)
    response = client.post(PANEL, {"name": "x"})
    assert response.status_code == 403
    assert "This form has expired" in response.content.decode()


def test_an_expired_form_of_htmx_is_renewed_where_it_stands(rosa: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(rosa)
    response = client.post(PANEL, {"name": "x"}, headers={"HX-Request": "true"})
    token = re.search(r'"form:expired": {"token": "(\w+)"}', response.headers["HX-Trigger"])
    assert token is not None
    again = {"name": "x", "kind": "o", "version": "0", "csrfmiddlewaretoken": token[1]}
    assert client.post(PANEL, again, headers={"HX-Request": "true"}).status_code == 200
