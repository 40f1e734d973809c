"""What a change of a profile does to the mailboxes that use it."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from mailboxes.engine import switching
from mailboxes.models import Mailbox, WorkerState
from mailboxes.services import editing
from profiles import services
from profiles.models import Environment, ServerProfile
from tests.profiles.conftest import HTMX, NOW, NewMailbox, NewProfile


def state(mailbox: Mailbox, direction: str = "incoming") -> WorkerState:
    return mailbox.states.get(direction=direction)


@pytest.fixture
def running(profile: ServerProfile, new_mailbox: NewMailbox) -> Mailbox:
    """Give a mailbox of the profile that works in both directions."""
    return new_mailbox("anna", status="success", server_profile=profile)


def test_another_server_stops_the_direction_it_serves(
    profile: ServerProfile, running: Mailbox, person: User
) -> None:
    profile.incoming_location = "mail.contoso.example"
    services.save_profile(profile, by=person, now=NOW)
    assert (state(running).status, state(running).is_enabled) == ("not_run", False)
    assert (state(running, "outgoing").status, state(running, "outgoing").is_enabled) == ("success", True)


def test_another_password_stops_both_directions(
    profile: ServerProfile, running: Mailbox, person: User
) -> None:
    profile.password = "new"
    assert services.save_profile(profile, by=person, now=NOW) == {"incoming", "outgoing"}
    assert not running.states.filter(is_enabled=True).exists()


def test_a_run_under_way_is_fenced_off(profile: ServerProfile, running: Mailbox, person: User) -> None:
    before = state(running).fence
    profile.incoming_port = 143
    services.save_profile(profile, by=person, now=NOW)
    assert state(running).fence == before + 1


def test_another_name_stops_nothing(profile: ServerProfile, running: Mailbox, person: User) -> None:
    profile.name, profile.notes, profile.minimum_polling_interval = "Mail", "Ask Anna", 5
    assert services.save_profile(profile, by=person, now=NOW) == frozenset()
    assert state(running).is_enabled


def test_a_profile_switched_off_fences_its_runs_and_keeps_their_results(
    profile: ServerProfile, running: Mailbox, person: User
) -> None:
    before = state(running).fence
    services.set_active(ServerProfile.objects.filter(pk=profile.pk), active=False, by=person, now=NOW)
    assert (state(running).fence, state(running).status) == (before + 1, "success")


def test_a_profile_switched_on_has_its_mailboxes_looked_at_at_once(
    new_profile: NewProfile, new_mailbox: NewMailbox, person: User
) -> None:
    retired = new_profile("Retired", is_active=False)
    mailbox = new_mailbox("ben", status="success", server_profile=retired)
    services.set_active(ServerProfile.objects.filter(pk=retired.pk), active=True, by=person, now=NOW)
    assert state(mailbox).due_at == NOW


# Moving mailboxes


def test_moved_mailboxes_are_to_be_tested_again(
    environment: Environment, new_profile: NewProfile, running: Mailbox, person: User
) -> None:
    target = new_profile("New")
    everything = Mailbox.objects.all()
    assert editing.move(everything, environment=environment, to=target, by=person, now=NOW) == 1
    running.refresh_from_db()
    assert (running.server_profile, state(running).status) == (target, "not_run")


def test_mailboxes_do_not_move_to_an_inactive_profile(
    environment: Environment, new_profile: NewProfile, running: Mailbox, person: User
) -> None:
    target = new_profile("Retired", is_active=False)
    with pytest.raises(switching.ProfileUnusable, match="Activate it first"):
        editing.move(Mailbox.objects.all(), environment=environment, to=target, by=person, now=NOW)


def test_the_dialog_moves_all_mailboxes_of_a_profile(
    client: Client, profile: ServerProfile, new_profile: NewProfile, running: Mailbox
) -> None:
    target = new_profile("New")
    url = reverse("mailboxes:profile_move", args=["contoso", profile.pk])
    assert "1 mailbox of Contoso IMAP" in client.get(url, headers=HTMX).content.decode()
    client.post(url, {"confirm": "move", "target": str(target.pk)})
    assert target.mailboxes.count() == 1


def test_the_page_of_a_profile_lists_its_mailboxes_alone(
    client: Client, profile: ServerProfile, running: Mailbox, new_mailbox: NewMailbox
) -> None:
    new_mailbox("stray")
    page = client.get(reverse("mailboxes:profile_mailboxes", args=["contoso", profile.pk])).content.decode()
    assert "anna@contoso.example" in page
    assert "stray@contoso.example" not in page
    assert page.index('id="find"') < page.index('id="grid"') < page.index('name="ids"')
    assert page.count("</form>", page.index('id="grid"'), page.index('name="ids"')) == 0


# The start date


def test_a_start_date_in_the_past_counts_who_has_received_nothing_yet(
    profile: ServerProfile, running: Mailbox, new_mailbox: NewMailbox
) -> None:
    running.states.filter(direction="incoming").update(last_success_on=NOW)
    new_mailbox("ben", server_profile=profile)
    profile.process_email_from = NOW - timedelta(days=30)
    found = services.backlog(profile, now=NOW)
    assert found == services.Backlog(NOW - timedelta(days=30), mailboxes=2, fresh=1)


def test_a_start_date_to_come_is_no_backlog(profile: ServerProfile) -> None:
    profile.process_email_from = NOW + timedelta(days=1)
    assert services.backlog(profile, now=NOW) is None


# Copies


def test_a_copy_has_no_secrets_and_the_usual_protocol(new_profile: NewProfile) -> None:
    origin = new_profile("Old", incoming_protocol="pop3", incoming_port=995, password="secret", notes="Ask")
    copy = services.copy_of(origin)
    assert (copy.name, copy.incoming_protocol, copy.incoming_port) == ("Copy of Old", "imap", None)
    assert (bool(copy.password), copy.notes, copy.outgoing_port) == (False, "Ask", 465)
    assert copy.pk != origin.pk
