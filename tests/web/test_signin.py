"""Signing in tells nobody anything and cannot be tried for ever."""

import json
import re
from datetime import timedelta
from io import BytesIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from emailsync.web.signin import BY_ACCOUNT, BY_ADDRESS, REFUSED
from emailsync.web.throttle import Full, Taken, Throttle

WRONG = {"username": "rosa", "password": "wrong"}
RIGHT = {"username": "rosa", "password": "a good long password"}

pytestmark = pytest.mark.django_db


def exhaust(throttle: Throttle, subject: str) -> None:
    """Use up every attempt of `subject`."""
    now = timezone.now()
    assert all(isinstance(throttle.take(subject, now=now), Taken) for _ in range(throttle.limit))


def test_the_right_password_leads_to_the_environments(client: Client, rosa: User) -> None:
    response = client.post("/sign-in/", RIGHT)
    assert (response.status_code, response.headers["Location"]) == (302, "/environments/")


def test_a_wrong_password_and_an_unknown_account_get_the_same_answer(client: Client, rosa: User) -> None:
    known = client.post("/sign-in/", WRONG).content.decode()
    unknown = client.post("/sign-in/", WRONG | {"username": "nobody"}).content.decode()
    blank = re.compile(r'value="[^"]*"')
    assert str(REFUSED) in known
    assert blank.sub("", known) == blank.sub("", unknown)


def test_an_inactive_account_gets_the_same_answer(client: Client, rosa: User) -> None:
    User.objects.update(is_active=False)
    assert str(REFUSED) in client.post("/sign-in/", RIGHT).content.decode()


def test_after_too_many_attempts_the_right_password_waits_too(client: Client, rosa: User) -> None:
    exhaust(BY_ACCOUNT, "rosa")
    response = client.post("/sign-in/", RIGHT)
    assert response.status_code == 429
    assert "Too many attempts to sign in. Try again in 15 minutes." in response.content.decode()
    assert int(response.headers["Retry-After"]) > 600


def test_the_account_is_counted_whatever_its_case(client: Client, rosa: User) -> None:
    exhaust(BY_ACCOUNT, "rosa")
    assert client.post("/sign-in/", WRONG | {"username": "ROSA"}).status_code == 429


def test_strangers_who_try_an_account_do_not_keep_its_owner_out(client: Client, rosa: User) -> None:
    client.post("/sign-in/", RIGHT)
    client.post("/sign-out/")
    exhaust(BY_ACCOUNT, "rosa")
    assert client.post("/sign-in/", RIGHT).status_code == 302


def test_a_browser_that_is_known_cannot_try_for_ever_either(client: Client, rosa: User) -> None:
    client.post("/sign-in/", RIGHT)
    client.post("/sign-out/")
    answers = [client.post("/sign-in/", WRONG).status_code for _ in range(BY_ACCOUNT.limit + 1)]
    assert answers == [422] * BY_ACCOUNT.limit + [429]


def test_a_browser_is_known_for_the_account_that_signed_in_and_no_other(client: Client, rosa: User) -> None:
    client.post("/sign-in/", RIGHT)
    client.post("/sign-out/")
    exhaust(BY_ACCOUNT, "mia")
    assert client.post("/sign-in/", WRONG | {"username": "mia"}).status_code == 429


def test_one_address_cannot_try_many_accounts(client: Client, rosa: User) -> None:
    exhaust(BY_ADDRESS, "127.0.0.1")
    assert client.post("/sign-in/", RIGHT).status_code == 429


def test_another_address_may_still_try(client: Client, rosa: User) -> None:
    exhaust(BY_ADDRESS, "127.0.0.1")
    assert client.post("/sign-in/", RIGHT, REMOTE_ADDR="192.0.2.7").status_code == 302


def test_a_forwarded_address_is_not_believed_by_default(client: Client, rosa: User) -> None:
    exhaust(BY_ADDRESS, "127.0.0.1")
    response = client.post("/sign-in/", RIGHT, headers={"X-Forwarded-For": "192.0.2.7"})
    assert response.status_code == 429


def test_a_success_forgets_the_mistakes_before_it(client: Client, rosa: User) -> None:
    client.post("/sign-in/", WRONG)
    client.post("/sign-in/", RIGHT)
    exhaust(BY_ACCOUNT, "rosa")


def test_a_full_throttle_says_when_the_first_slot_is_free() -> None:
    throttle, now = Throttle(name="trial", limit=1, window=timedelta(minutes=15)), timezone.now()
    throttle.take("somebody", now=now)
    outcome = throttle.take("somebody", now=now + timedelta(minutes=5))
    assert isinstance(outcome, Full)
    assert outcome.wait == timedelta(minutes=10)


def test_a_password_is_never_sent_back(client: Client, rosa: User) -> None:
    assert "wrong horse" not in client.post("/sign-in/", WRONG | {"password": "wrong horse"}).content.decode()


def test_a_page_asks_to_sign_in_and_comes_back(client: Client) -> None:
    response = client.get("/environments/contoso/mailboxes/?q=x")
    assert response.headers["Location"] == "/sign-in/?next=/environments/contoso/mailboxes/%3Fq%3Dx"


def test_signing_in_does_not_lead_to_another_site(client: Client, rosa: User) -> None:
    response = client.post("/sign-in/?next=https://evil.example/", RIGHT)
    assert response.headers["Location"] == "/environments/"


def test_a_fragment_never_is_the_sign_in_page(client: Client) -> None:
    here = "http://testserver/environments/contoso/mailboxes/?q=x"
    headers = {"HX-Request": "true", "HX-Current-URL": here}
    response = client.get("/environments/contoso/mailboxes/", headers=headers, follow=True)
    url = json.loads(response.headers["HX-Trigger"])["session:ended"]["url"]
    assert response.status_code == 401
    assert url == "/sign-in/?next=%2Fenvironments%2Fcontoso%2Fmailboxes%2F%3Fq%3Dx"


def test_signing_out_needs_a_form_and_ends_the_session(signed_in: Client) -> None:
    assert signed_in.get("/sign-out/").status_code == 405
    assert signed_in.post("/sign-out/").headers["Clear-Site-Data"] == '"cache"'
    assert signed_in.get("/environments/").status_code == 302


class Unread(BytesIO):
    """What nobody may read."""

    def read(self, *_sizes: int | None) -> bytes:
        """Fail."""
        raise AssertionError("It was read.")


def send_unread(url: str, *, size: int, kind: str = "multipart/form-data; boundary=b") -> Any:
    """Send a stranger's form of so many bytes that must not be read."""
    client = Client(enforce_csrf_checks=True)
    client.cookies["csrftoken"] = "a" * 32
    sent: dict[str, Any] = {"wsgi.input": Unread(), "CONTENT_LENGTH": size, "CONTENT_TYPE": kind}
    return client.post(url, **sent)


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("192.0.2.7", "192.0.2.7"),
    ],
)
def test_who_has_a_network_of_addresses_is_counted_once(
    client: Client, rosa: User, address: str, counted: str
) -> None:
    exhaust(BY_ADDRESS, counted)
    assert client.post("/sign-in/", RIGHT, REMOTE_ADDR=address).status_code == 429


def test_what_strangers_send_to_a_page_is_not_read() -> None:
    response = send_unread("/environments/contoso/server-profiles/new/", size=100)
    assert (response.status_code, response.headers["Location"][:9]) == (302, "/sign-in/")


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=b", "application/x-www-form-urlencoded"])
def test_what_is_sent_to_the_sign_in_is_not_read_when_it_is_large(kind: str) -> None:
    assert send_unread("/sign-in/", size=10**8, kind=kind).status_code == 413
