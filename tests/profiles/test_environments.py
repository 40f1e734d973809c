import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from mailboxes.models import Alert, Message, OutgoingMessage
from profiles import services
from profiles.choices import Role
from profiles.models import Environment, Membership, ServerProfile
from tests.profiles.conftest import HTMX, NOW, NewMailbox

LIST = "/environments/"
NEW = "/environments/new/"


def edit(environment: Environment) -> str:
    return reverse("profiles:environment_edit", args=[environment.slug])


def settings_of(environment: Environment) -> str:
    return reverse("profiles:environment_settings", args=[environment.slug])


def test_the_list_needs_somebody_signed_in(db: None) -> None:
    assert Client().get(LIST).headers["Location"] == "/sign-in/?next=/environments/"


def test_an_installation_without_environments_offers_to_create_one(client: Client) -> None:
    assert "No environments yet" in client.get(LIST).content.decode()


def test_the_list_counts_failing_mailboxes(
    client: Client, environment: Environment, new_mailbox: NewMailbox
) -> None:
    new_mailbox("anna", status="success")
    new_mailbox("ben", status="failure")
    new_mailbox("carla", status="failure", is_active=False)
    page = client.get(LIST).content.decode()
    assert "1 of 2 failing" in page
    assert ">3</a>" in page


def test_no_width_hides_a_head_and_leaves_its_cells(client: Client, environment: Environment) -> None:
    page = client.get(reverse("profiles:environment_list")).content.decode()
    hidden = re.compile(r"\b(?:lg|xl|wideonly)\b")
    heads, cells = (re.findall(f"<{tag} [^>]*>", page) for tag in ("th", "td"))
    assert [hidden.findall(head) for head in heads] == [hidden.findall(cell) for cell in cells]


def test_the_list_says_when_all_mailboxes_work(
    client: Client, environment: Environment, new_mailbox: NewMailbox
) -> None:
    new_mailbox("anna", status="success")
    assert "All working" in client.get(LIST).content.decode()


def test_the_list_counts_open_alerts(client: Client, environment: Environment) -> None:
    times = {"first_seen_on": NOW, "last_seen_on": NOW, "kind": "x", "level": "error"}
    Alert.objects.create(environment=environment, key="open", **times)
    Alert.objects.create(environment=environment, key="mended", resolved_on=NOW, **times)
    assert "1 open" in client.get(LIST).content.decode()


@pytest.fixture
def many(new_mailbox: NewMailbox) -> Callable[[int], None]:
    def add(number: int) -> None:
        for place in range(number):
            other = services.save_environment(Environment(name=f"Place {place}"), by=None)
            new_mailbox(f"m{place}", environment=other, status="success")

    return add


def test_the_list_asks_a_constant_number_of_questions(
    client: Client, many: Callable[[int], None], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    many(12)
    client.get(LIST)
    with django_assert_num_queries(
        8
    ):  # session, person, counts, rows, figures, mail in and out, alerts of the top bar
        client.get(LIST)


def test_search_finds_by_name(client: Client, environment: Environment) -> None:
    services.save_environment(Environment(name="Fabrikam"), by=None)
    page = client.get(LIST, {"q": "fabri"}).content.decode()
    assert "Fabrikam" in page
    assert "Contoso" not in page


def test_a_new_environment_leads_to_its_settings(client: Client, db: None) -> None:
    answer = client.post(NEW, {"version": "1", "name": "Contoso Sandbox", "kind": "sandbox"})
    assert answer.headers["Location"] == "/environments/contoso-sandbox/settings/"


def test_the_panel_is_a_page_without_script(client: Client, db: None) -> None:
    page = client.get(NEW).content.decode()
    assert '<dialog class="panel"' in page
    assert "<title>Environments" in page


def test_the_panel_is_bare_for_htmx(client: Client, db: None) -> None:
    assert "<title>" not in client.get(NEW, headers=HTMX).content.decode()


def test_a_name_is_needed(client: Client, db: None) -> None:
    answer = client.post(NEW, {"version": "1", "name": "", "kind": "sandbox"})
    assert answer.status_code == 422
    assert "Enter a name that people will recognise." in answer.content.decode()


def test_the_name_of_another_environment_is_refused(client: Client, environment: Environment) -> None:
    answer = client.post(NEW, {"version": "1", "name": "CONTOSO", "kind": "sandbox"})
    assert answer.status_code == 422
    assert "Another environment is named CONTOSO" in answer.content.decode()


def test_a_line_break_in_a_name_is_refused(client: Client, db: None) -> None:
    answer = client.post(NEW, {"version": "1", "name": "a\rb", "kind": "sandbox"})
    assert answer.status_code == 422
    assert "must not contain a line break" in answer.content.decode()


def test_an_environment_is_renamed(client: Client, environment: Environment) -> None:
    client.post(edit(environment), {"version": "1", "name": "Contoso Holding", "kind": "sandbox"})
    environment.refresh_from_db()
    assert (environment.name, environment.kind, environment.slug) == ("Contoso Holding", "sandbox", "contoso")


def test_the_second_editor_is_told_and_keeps_what_was_typed(client: Client, environment: Environment) -> None:
    client.post(edit(environment), {"version": "1", "name": "First", "kind": "production"})
    answer = client.post(edit(environment), {"version": "1", "name": "Second", "kind": "production"})
    page = answer.content.decode()
    assert answer.status_code == 422
    assert "saved this record while you were editing it" in page
    assert 'value="Second"' in page
    assert "Saved meanwhile: <b>First</b>" in page


def test_the_settings_page_says_what_comes_first(client: Client, environment: Environment) -> None:
    assert "Start with a server profile" in client.get(settings_of(environment)).content.decode()


def test_the_settings_page_shows_where_things_stand(
    client: Client, environment: Environment, profile: ServerProfile, new_mailbox: NewMailbox
) -> None:
    new_mailbox("anna", status="failure")
    page = client.get(settings_of(environment)).content.decode()
    assert "1 active · 1 failing · 1 waiting for approval" in page
    assert "1 active · no default" in page


def test_an_environment_that_does_not_exist_is_a_404(client: Client, db: None) -> None:
    assert client.get("/environments/nowhere/settings/").status_code == 404


def test_the_list_says_how_much_mail_came_and_went_today(
    client: Client, environment: Environment, new_mailbox: NewMailbox
) -> None:
    mailbox = new_mailbox("anna", status="success")
    now = timezone.now()
    old = now - timedelta(days=2)
    owned = {"mailbox": mailbox, "environment": environment, "size": 1}
    Message.objects.create(sha256="a", received_at=now, stored_on=now, **owned)
    Message.objects.create(sha256="b", received_at=old, stored_on=now, **owned)
    sent = {**owned, "content": b"", "created_on": old, "status": "sent"}
    OutgoingMessage.objects.create(message_id="<1@a>", sent_at=now, **sent)
    OutgoingMessage.objects.create(message_id="<2@a>", sent_at=now, **sent)
    OutgoingMessage.objects.create(message_id="<3@a>", sent_at=old, **sent)
    row = client.get(LIST).context["listing"].rows[0]
    assert (row.received, row.sent) == (1, 2)


def test_the_settings_page_finds_its_rows(client: Client, environment: Environment) -> None:
    page = client.get(settings_of(environment), {"q": "smart"}).content.decode()
    assert "/environments/contoso/email-tracking/#id_use_smart_matching" in page
    assert "Approve" not in page


def test_the_settings_of_a_member_name_only_what_they_may_see(environment: Environment) -> None:
    member = User.objects.create_user("mia")
    Membership.objects.create(environment=environment, user=member, role=Role.MEMBER)
    browser = Client()
    browser.force_login(member)
    page = browser.get(settings_of(environment)).content.decode()
    assert "The mailboxes that you own" in page
    assert "Email settings" not in page
    assert "Server profiles" not in page


def test_who_may_not_see_every_figure_is_not_offered_to_sort_by_them(environment: Environment) -> None:
    member = User.objects.create_user("mia")
    Membership.objects.create(user=member, environment=environment, role=Role.MEMBER)
    browser = Client(SERVER_NAME="localhost")
    browser.force_login(member)
    listing = browser.get("/environments/", {"sort": "mailboxes"}).context["listing"]
    assert listing.sort == "name"
    assert [column.name for column in listing.columns if column.sort] == ["name", "kind"]


def test_who_sees_every_figure_sorts_by_them(client: Client, environment: Environment) -> None:
    assert client.get("/environments/", {"sort": "mailboxes"}).context["listing"].sort == "mailboxes"
