"""Browsers in which somebody has signed in: to fill in the form takes longer than many a test."""

from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Page


def sign_in(page: Page, base: str, person: User) -> Page:
    """Give the browser a session of theirs at the console on `base`."""
    client = Client()
    client.force_login(person)
    page.context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": base}])
    return page
