import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from emailsync.web.signin import BY_ACCOUNT
from emailsync.web.throttle import Taken

OLD, NEW = "a password of hers", "correct horse battery staple"


@pytest.fixture
def mia(db: None) -> User:
    """Give somebody who administers nothing."""
    return User.objects.create_user("mia", "mia@contoso.example", OLD)


@pytest.fixture
def browser(mia: User) -> Client:
    """Give a browser on this machine in which Mia is signed in."""
    client = Client(SERVER_NAME="localhost")
    client.force_login(mia)
    return client


def test_a_name_is_changed(browser: Client, mia: User) -> None:
    browser.post("/account/", {"form": "name", "first_name": "Mia", "last_name": "Berg"})
    mia.refresh_from_db()
    assert mia.get_full_name() == "Mia Berg"


def test_nobody_gives_themselves_an_address_to_approve(browser: Client, mia: User) -> None:
    browser.post("/account/", {"form": "name", "email": "ceo@contoso.example"})
    mia.refresh_from_db()
    assert mia.email == "mia@contoso.example"


def test_a_password_is_changed_and_the_session_stays(browser: Client, mia: User) -> None:
    sent = {"form": "password", "old_password": OLD, "new_password1": NEW, "new_password2": NEW}
    assert browser.post("/account/", sent).status_code == 302
    mia.refresh_from_db()
    assert mia.check_password(NEW)
    assert browser.get("/account/").status_code == 200


def test_a_password_is_not_changed_without_the_old_one(browser: Client, mia: User) -> None:
    sent = {"form": "password", "old_password": "guess", "new_password1": NEW, "new_password2": NEW}
    response = browser.post("/account/", sent)
    assert response.status_code == 422
    assert NEW not in response.content.decode()


def test_a_password_is_not_changed_over_an_open_channel(browser: Client, mia: User) -> None:
    sent = {"form": "password", "old_password": OLD, "new_password1": NEW, "new_password2": NEW}
    browser.post("/account/", sent, REMOTE_ADDR="192.0.2.7")
    mia.refresh_from_db()
    assert mia.check_password(OLD)


def test_the_old_password_cannot_be_guessed_for_ever(browser: Client, mia: User) -> None:
    sent = {"form": "password", "old_password": "guess", "new_password1": NEW, "new_password2": NEW}
    for _ in range(BY_ACCOUNT.limit):
        browser.post("/account/", sent)
    response = browser.post("/account/", {**sent, "old_password": OLD})
    assert "Too many attempts. Try again in 15 minutes." in response.content.decode()
    mia.refresh_from_db()
    assert mia.check_password(OLD)


def test_mistakes_before_the_right_old_password_are_forgotten(browser: Client, mia: User) -> None:
    sent = {"form": "password", "old_password": "guess", "new_password1": NEW, "new_password2": NEW}
    browser.post("/account/", sent)
    browser.post("/account/", {**sent, "old_password": OLD})
    taken = [BY_ACCOUNT.take("mia", now=timezone.now()) for _ in range(BY_ACCOUNT.limit)]
    assert all(isinstance(each, Taken) for each in taken)
