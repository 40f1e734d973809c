import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import transaction
from django.urls import URLPattern, get_resolver, reverse

from tests.access.visits import BELONGS, OPEN, READ_EMAIL, READ_MAILBOXES, VISITS, Visit
from tests.access.world import EVERYBODY, World

#: Words that tell of the other environment, of a mailbox that somebody does not own, and of its email.
OF_HERE = ("Lighthouse", "Osprey", "Kestrel", "Heron", "Amethyst", "Sapphire")
OF_THERE = ("Harbour", "Zircon", "Magpie", "Raven", "Tourmaline", "Topaz")
OF_THE_OTHER_MAILBOX = ("Heron", "heron@")
EMAIL_OF_THE_OTHER_MAILBOX = ("Sapphire",)
EMAIL_OF_THE_OWNED_MAILBOX = ("Amethyst",)
#: Drawn by lot for each answer, against forged forms for instance: a name may come up in them.
TOKEN = re.compile(r"[\w-]{32,}")


def secrets_from(role: str) -> tuple[str, ...]:
    """Return the words that no answer to somebody of this kind may hold."""
    if role == "superuser":
        return ()
    if role not in BELONGS:
        return OF_HERE if role == "stranger" else (*OF_HERE, *OF_THERE)
    hidden = list(OF_THERE)
    if role not in READ_EMAIL:
        hidden += EMAIL_OF_THE_OTHER_MAILBOX
    if role not in READ_EMAIL and role != "owner":
        hidden += EMAIL_OF_THE_OWNED_MAILBOX
    # A System Customizer is told of mailboxes by alerts, who only writes them by what they asked to change.
    if role not in READ_MAILBOXES and role not in {"customizer", "mailbox writer"}:
        hidden += OF_THE_OTHER_MAILBOX
    return tuple(hidden)


def names_of(patterns: Iterable[Any], space: str = "") -> Iterator[str]:
    for pattern in patterns:
        if isinstance(pattern, URLPattern):
            yield f"{space}{pattern.name}"
        else:
            yield from names_of(
                pattern.url_patterns, f"{space}{pattern.namespace}:" if pattern.namespace else space
            )


@pytest.mark.parametrize("name", sorted(set(names_of(get_resolver().url_patterns))))
def test_every_address_stands_in_the_table(name: str) -> None:
    assert name in {visit.name for visit in VISITS} | OPEN


@pytest.mark.parametrize("visit", VISITS, ids=str)
def test_an_address_answers_only_those_who_may(world: World, visit: Visit) -> None:
    answers = {role: ask(world, visit, role) for role in EVERYBODY}
    assert {role: answer.outcome for role, answer in answers.items()} == {
        role: visit.expected(role) for role in EVERYBODY
    }
    told = {role: [word for word in secrets_from(role) if word in answers[role].said] for role in EVERYBODY}
    assert {role: words for role, words in told.items() if words} == {}


@dataclass(frozen=True)
class Answer:
    """What became of a request, in a word, and all that was said."""

    outcome: str
    said: str


def ask(world: World, visit: Visit, role: str) -> Answer:
    """Make a request as somebody; what it changes is undone."""
    browser = world.browser(role)
    url = reverse(visit.name, args=visit.args(world)) + visit.query
    with transaction.atomic():
        response: Any = browser.get(url) if visit.sent is None else browser.post(url, visit.sent(world))
        body = response.getvalue() if response.streaming else response.content
        transaction.set_rollback(True)
    said = f"{body.decode('utf-8', 'replace')}\n{response.headers}\n{response.cookies.output()}"
    said = TOKEN.sub("", said)
    if response.status_code == 302 and response.headers["Location"].startswith("/sign-in/"):
        return Answer("sign in", said)
    words = {403: "refusal", 404: "nothing there", 405: "no such method", 500: "fault"}
    return Answer(words.get(response.status_code, "answer"), said)
