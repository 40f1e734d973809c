"""Owners read email: nobody is led to other people's by owning a mailbox, or by naming another one in it."""

from copy import copy
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.urls import reverse

from mailboxes.choices import AddressStatus
from mailboxes.engine.changing import Change
from mailboxes.engine.uploading import Upload
from mailboxes.models import Mailbox
from mailboxes.services import changing, editing, importing
from tests.access.world import NOW, SLUG, World

WRITES_BUT_READS_NOT = ["administrator", "mailbox administrator"]


def page_of(mailbox: Mailbox) -> str:
    """Return the address of the page of a mailbox."""
    return reverse("mailboxes:mailbox_detail", args=[SLUG, mailbox.pk])


def typed(mailbox: Mailbox, **changes: Any) -> dict[str, Any]:
    """Return the fields of the page of a mailbox with `changes` typed into them."""
    names = ("version", "name", "address", "incoming", "outgoing", "act", "track_incoming", "server_account")
    fields = {name: getattr(mailbox, name) for name in names}
    return (
        fields | {"server_profile": str(mailbox.server_profile_id), "owner": mailbox.owner_id or ""} | changes
    )


def edited(mailbox: Mailbox, **changes: Any) -> Mailbox:
    """Return a copy of the mailbox with `changes`, not saved."""
    changed = copy(Mailbox.objects.get(pk=mailbox.pk))
    vars(changed).update(changes)
    return changed


@pytest.mark.parametrize("role", WRITES_BUT_READS_NOT)
def test_who_may_not_read_email_does_not_make_a_mailbox_their_own(world: World, role: str) -> None:
    person = world.people[role]
    with pytest.raises(PermissionDenied, match="read email"):
        editing.update(edited(world.here.other, owner_id=person.pk), by=person)


def test_who_may_read_email_makes_a_mailbox_their_own(world: World) -> None:
    person = world.people["reading mailbox administrator"]
    editing.update(edited(world.here.other, owner_id=person.pk), by=person)
    assert Mailbox.objects.get(pk=world.here.other.pk).owner == person


def test_who_may_not_read_email_gives_a_mailbox_to_somebody_else(world: World) -> None:
    person = world.people["mailbox administrator"]
    editing.update(edited(world.here.other, owner_id=world.people["member"].pk), by=person)
    assert Mailbox.objects.get(pk=world.here.other.pk).owner == world.people["member"]


@pytest.mark.parametrize("role", WRITES_BUT_READS_NOT)
def test_the_page_of_a_mailbox_does_not_offer_oneself_as_owner(world: World, role: str) -> None:
    pk = world.people[role].pk
    page = world.browser(role).get(page_of(world.here.other)).content.decode()
    assert f'<option value="{pk}"' not in page
    assert "an owner reads the email, which you may not" in page


def test_oneself_as_owner_is_refused_at_the_field(world: World) -> None:
    role = "mailbox administrator"
    data = typed(world.here.other, owner=world.people[role].pk)
    answer = world.browser(role).post(page_of(world.here.other), data)
    assert (answer.status_code, list(answer.context["form"].errors)) == (422, ["owner"])


def test_an_owner_who_may_not_read_all_email_stays_the_owner(world: World) -> None:
    role = "mailbox administrator"
    Mailbox.objects.filter(pk=world.here.other.pk).update(owner=world.people[role])
    mailbox = Mailbox.objects.get(pk=world.here.other.pk)
    assert world.browser(role).post(page_of(mailbox), typed(mailbox, name="Renamed")).status_code == 302
    assert Mailbox.objects.get(pk=mailbox.pk).owner == world.people[role]


@pytest.mark.parametrize("role", WRITES_BUT_READS_NOT)
def test_many_mailboxes_are_not_made_ones_own_either(world: World, role: str) -> None:
    person, many = world.people[role], Mailbox.objects.filter(pk=world.here.other.pk)
    change = Change({"owner_id": person.pk})
    with pytest.raises(PermissionDenied, match="read email"):
        changing.change_many(many, change, environment=world.here.environment, by=person, now=NOW)


def test_the_form_for_many_mailboxes_does_not_offer_oneself_as_owner(world: World) -> None:
    role = "mailbox administrator"
    url = reverse("mailboxes:mailbox_change_many", args=[SLUG])
    page = world.browser(role).post(url, {"ids": [str(world.here.other.pk)]}).content.decode()
    assert f'<option value="{world.people[role].pk}"' not in page


def test_a_file_makes_no_existing_mailbox_ones_own(world: World) -> None:
    person = world.people["mailbox administrator"]
    content = f"address,owner\n{world.here.other.address},{person.username}\n".encode()
    upload = Upload(content, updates=True, takes_credentials=True)
    plan = importing.judge(upload, environment=world.here.environment, by=person)
    assert [complaint.column for complaint in plan.complaints] == ["owner"]


def test_a_file_names_no_account_for_an_approved_mailbox(world: World) -> None:
    person = world.people["mailbox administrator"]
    content = f"address,server_account\n{world.here.other.address},director\n".encode()
    upload = Upload(content, updates=True, takes_credentials=True)
    plan = importing.judge(upload, environment=world.here.environment, by=person)
    assert [complaint.column for complaint in plan.complaints] == ["server_account"]


def test_an_owner_names_no_account_on_the_server(world: World) -> None:
    data = typed(world.here.owned, server_account="director@contoso.example")
    assert world.browser("owner").post(page_of(world.here.owned), data).status_code == 302
    assert not Mailbox.objects.get(pk=world.here.owned.pk).server_account


def test_another_account_on_the_server_waits_for_approval(world: World) -> None:
    person = world.people["mailbox administrator"]
    editing.update(edited(world.here.other, server_account="director"), by=person)
    assert Mailbox.objects.get(pk=world.here.other.pk).address_status == AddressStatus.PENDING


def test_who_approves_an_address_is_shown_the_account(world: World) -> None:
    Mailbox.objects.filter(pk=world.here.other.pk).update(
        server_account="director", address_status=AddressStatus.PENDING
    )
    url = reverse("mailboxes:mailbox_command", args=[SLUG])
    data = {"action": "approve", "ids": [str(world.here.other.pk)]}
    assert "director" in world.browser("approver").post(url, data).content.decode()
